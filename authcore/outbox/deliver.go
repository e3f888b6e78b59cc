package outbox

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

var (
	// errLater: the mail could not be handed over now and stays in the queue.
	errLater = errors.New("to be tried again")
	// errHeld: the mail waits for its part of Limits.Global, or for others that are
	// being sent.
	errHeld = errors.New("held back")
	// errUnanswered: the mail was sent as often as it may be, and waits for answers.
	errUnanswered = errors.New("to be answered")
)

const (
	// mostCopies is how often a mail is handed over of which nobody says that it was
	// taken: a mailbox shows one, as they have one Message-ID, but it was paid for twice.
	mostCopies = 2
	// answerWithin is how long an answer may be late (RFC 5321 section 4.5.3.2.6).
	answerWithin = 10 * time.Minute
)

// The way of one message: Letters is asked whether it is still to be sent, and what
// it says (take); the Composer puts that into words; the senders get it one after the
// other until one takes it (turns, try). Who failed lately comes last, and who refused
// this message is not asked again. Who got it and did not answer may have sent it:
// that is written before the next one gets it, and two do at most. All send the same
// Message-ID, so that a mailbox shows one mail. The queue comes back with what is
// left (queue.go), until the message is too old.

// deliver tries all senders once. nil means there is nothing left to do.
func (o *Outbox) deliver(ctx context.Context, m *mail) error {
	r := o.means.Load()
	if r == nil {
		return errLater
	}
	item, err := o.take(ctx, r, m)
	if err != nil || item == nil {
		return err
	}
	message, err := item.compose(r.Composer)
	if err != nil {
		o.cfg.Log.Error("a mail can't be put into words", "error", err)
		e := item.About
		e.Name, e.Reason, e.Letter = event.MailFailed, "compose", string(m.Kind)
		o.cfg.Observe(e)
		return nil
	}
	for _, i := range o.turns(r, m) {
		if done := o.try(ctx, r, i, m, item, message); done || ctx.Err() != nil {
			break
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	m.returned()
	return o.left(r, m)
}

// turns are the senders that m is given to, one after the other until one takes it:
// as configured, but who failed within the last minute comes last. Who failed
// longer ago is tried again by one mail, and comes last for others meanwhile.
func (o *Outbox) turns(r *route, m *mail) []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m.refusedIn != r {
		m.refused, m.refusedIn = map[int]bool{}, r
	}
	now, couriers := o.cfg.Now(), r.couriers(m.Text)
	var turns, last []int
	for _, i := range o.open(r, m) {
		if now.Before(o.health(couriers[i].name).last) {
			last = append(last, i)
		} else {
			turns = append(turns, i)
		}
	}
	if len(turns) > 0 {
		if first := o.health(couriers[turns[0]].name); !first.last.IsZero() {
			first.last = now.Add(lastFor)
		}
	}
	return append(turns, last...)
}

// open are the senders of r that m may be given to; o.mu is held. Those that got it and
// did not answer are left out, unless there is no other to send it once more.
func (o *Outbox) open(r *route, m *mail) (may []int) {
	if len(m.Maybe) >= mostCopies || m.gone {
		return nil
	}
	var again []int
	for i, c := range r.couriers(m.Text) {
		switch {
		case m.refusedIn == r && m.refused[i]:
		case slices.Contains(m.Maybe, c.name):
			again = append(again, i)
		default:
			may = append(may, i)
		}
	}
	if len(may) == 0 && m.late == 0 {
		return again
	}
	return may
}

// left tells what is left to be done for m, nil for nothing; o.mu is held.
func (o *Outbox) left(r *route, m *mail) error {
	switch {
	case r == nil:
		return errLater
	case m.gone:
		return nil
	case len(o.open(r, m)) > 0 || len(r.couriers(m.Text)) == 0:
		return errLater
	case m.late > 0:
		return errUnanswered
	}
	return nil
}

// take is what m has to say if it is to be sent now, nil if it never is.
func (o *Outbox) take(ctx context.Context, r *route, m *mail) (*Item, error) {
	claims, knows := m.Held == nil && !o.isClaimed(m), m.To != ""
	item, err := o.ask(ctx, r, m, claims && knows)
	if err != nil || item == nil {
		return nil, err
	}
	if o.learn(m, item.Letter.recipient(), r.width(m.Text)) {
		return nil, errHeld
	}
	switch {
	case m.Held != nil:
		item, err = o.spend(ctx, r, m)
	case claims && !knows: // not before it was its turn
		item, err = o.ask(ctx, r, m, true)
	}
	if err != nil || item == nil {
		return nil, err
	}
	item.Ref = m.Ref
	o.mu.Lock()
	defer o.mu.Unlock()
	m.log, item.id = item.Log, m.messageID(o.cfg.Secrets)
	return item, nil
}

// ask is what m has to say. With claim it is this node's from then on.
func (o *Outbox) ask(ctx context.Context, r *route, m *mail, claim bool) (*Item, error) {
	elsewhere, err := o.isElsewhere(ctx, m)
	if elsewhere {
		return nil, errElsewhere
	}
	if err != nil {
		return nil, errLater
	}
	if !claim {
		item, err := store.View(ctx, o.cfg.Store, func(tx store.Tx) (*Item, error) { return r.Letters.Letter(tx, m.Entry) })
		if err != nil {
			err = errLater
		}
		return item, err
	}
	type asked struct {
		item *Item
		as   Entry
	}
	a, err := store.Update(ctx, o.cfg.Store, func(tx store.Tx) (a asked, err error) {
		if a.as, err = o.claim(tx, m); err != nil {
			return a, err
		}
		if a.item, err = r.Letters.Letter(tx, m.Entry); err != nil || a.item == nil {
			return a, err
		}
		return a, a.as.save(tx)
	})
	if err == nil && a.item != nil {
		o.claimed(m, a.as)
	} else if err != nil && !errors.Is(err, errElsewhere) {
		err = errLater
	}
	return a.item, err
}

func (i *Item) compose(words Composer) (Message, error) {
	if i.Problem != nil {
		return Message{}, i.Problem
	}
	message, err := words.Compose(i.Letter)
	if i.Letter.Lifetime > 0 { // it can be answered
		message.Code, message.Link = i.Letter.Code, i.Letter.Link
	}
	_, domain, _ := strings.Cut(message.FromAddress, "@")
	message.MessageID, message.References, message.EntityRef = i.id+"@"+domain, "login."+i.id+"@"+domain, i.id
	return message, err
}

// recipient is to whom the letter goes.
func (l *Letter) recipient() string {
	if !l.Phone.IsZero() {
		return l.Phone.String()
	}
	return l.To.String()
}

// try hands the message to one sender and notes how that went. done: no other is asked.
func (o *Outbox) try(ctx context.Context, r *route, i int, m *mail, item *Item, message Message) (done bool) {
	c := r.couriers(m.Text)[i]
	select {
	case c.places <- struct{}{}:
	case <-ctx.Done():
		return true
	}
	a := &submission{Outbox: o, route: r, i: i, courier: c, mail: m, item: item, began: time.Now(), queued: m.Queued, messageID: message.MessageID}
	message.renamed = &a.renamed
	within, cancel := context.WithTimeout(ctx, sendTimeout)
	failed := sendError(c.send(within, item, message))
	cancel()
	<-c.places
	if failed != nil && errors.Is(failed, context.Canceled) && ctx.Err() != nil && !failed.Maybe {
		return true // we are stopping: that says nothing about the sender
	}
	a.came(failed)
	if failed != nil && failed.Maybe {
		// Before the next copy goes out, so that a crash makes no third.
		if err := o.settle(m, false); err != nil {
			o.cfg.Log.Warn("that a mail may have been sent can't be written; it may be sent again after a restart", "error", err)
		}
		if failed.Late != nil {
			o.under.Go(func() { a.wait(ctx, failed.Late) })
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return failed == nil || m.gone || len(m.Maybe) >= mostCopies
}

// submission is one message in the hands of one sender.
type submission struct {
	*Outbox
	route     *route
	i         int
	courier   courier
	mail      *mail
	item      *Item
	began     time.Time
	queued    time.Time // of the mail: asked for again, it is another one
	messageID string
	renamed   string
}

// came takes down what a sender answered.
func (a *submission) came(failed *SendError) {
	m := a.mail
	a.note(a.courier, m, failed)
	try := Try{At: a.cfg.Now(), Sender: a.courier.name, Failed: failed, MessageID: a.messageID}
	if m.Text {
		try.MessageID = ""
	}
	if a.renamed != a.messageID {
		try.Renamed = a.renamed
	}
	a.mu.Lock()
	if m.Queued.Equal(a.queued) {
		try.Final = a.stands(failed)
	}
	m.news = append(m.news, try)
	a.mu.Unlock()
	e := a.item.About
	e.Name, e.Sender, e.Letter, e.Took = event.MailSent, a.courier.name, string(m.Kind), time.Since(a.began)
	e.Message, e.Waited = cmp.Or(a.renamed, try.MessageID), try.At.Sub(a.queued)
	if m.Text {
		e.Name = event.TextSent
	}
	if failed != nil {
		e.Name, e.Reason, e.Detail = event.MailFailed, failed.Word(), failed.Reason
		if m.Text {
			e.Name = event.TextFailed
		}
	}
	a.cfg.Observe(e)
}

// stands notes what an answer means for the mail itself; a.mu is held. final: nobody is left that
// may take it.
func (a *submission) stands(failed *SendError) (final bool) {
	m, name := a.mail, a.courier.name
	if failed != nil && failed.Maybe {
		m.Maybe, m.unsaved = append(m.Maybe, name), true
		if failed.Late != nil {
			m.late++
		}
		return false
	}
	if failed == nil {
		m.gone = true
		return false
	}
	if failed.Fault != Rejected || m.refusedIn != a.route {
		return false
	}
	m.refused[a.i] = true
	return len(m.refused) == len(a.route.couriers(m.Text))
}

// wait waits for an answer that is late, without a worker.
func (a *submission) wait(ctx context.Context, late func(context.Context) error) {
	within, cancel := context.WithTimeout(ctx, answerWithin)
	failed := sendError(late(within))
	cancel()
	if ctx.Err() != nil {
		return // we are stopping: it stays as it is
	}
	m := a.mail
	a.mu.Lock()
	m.late--
	// Asked for again since, it is another mail, of which the answer says nothing.
	if i := slices.Index(m.Maybe, a.courier.name); m.Queued.Equal(a.queued) && i >= 0 && (failed == nil || !failed.Maybe) {
		m.Maybe, m.unsaved = slices.Delete(slices.Clone(m.Maybe), i, i+1), true
	}
	a.mu.Unlock()
	if failed == nil || !failed.Maybe {
		a.came(failed)
	}
	if err := a.settle(m, a.next()); err != nil {
		a.cfg.Log.Warn("a late answer of a mail server can't be written to the mail's history", "error", err)
	}
	a.wake()
}

// next finds the mail its next place after a late answer, unless it is being sent once
// more: then its worker does so. done: it has none.
func (a *submission) next() (done bool) {
	m := a.mail
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.of(m.Text)
	if q.waiting[m.name] != m {
		return false
	}
	switch err := a.left(a.means.Load(), m); {
	case err == nil:
		delete(q.waiting, m.name)
		a.hold(m, nil)
	case errors.Is(err, errLater) && m.idle:
		m.idle, m.due = false, a.cfg.Now().Add(retryFirst)
		m.rounds++
	default:
		return false
	}
	q.refill()
	return q.waiting[m.name] == nil
}
