package outbox

import (
	"cmp"
	"context"
	"errors"
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
)

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
	if m.refusedIn != r {
		m.refused, m.refusedIn = map[int]bool{}, r
	}
	couriers := r.couriers(m.Text)
	for i, courier := range couriers {
		if m.refused[i] {
			continue
		}
		left := len(couriers) - len(m.refused) - 1
		failed := o.try(ctx, courier, m, message, left)
		if failed == nil {
			return nil
		}
		if failed.Fault == Rejected {
			m.refused[i] = true
		}
	}
	if len(couriers) > 0 && len(m.refused) == len(couriers) {
		return nil
	}
	return errLater
}

// take is what m has to say if it is to be sent now, nil if it never is.
func (o *Outbox) take(ctx context.Context, r *route, m *mail) (*Item, error) {
	if m.Decoy {
		return nil, nil
	}
	item, err := store.View(ctx, o.cfg.Store, func(tx store.Tx) (*Item, error) { return r.Letters.Letter(tx, m.Entry) })
	if err != nil {
		return nil, errLater
	}
	if item == nil {
		return nil, nil
	}
	if o.learn(m, item.Letter.recipient()) {
		return nil, errHeld
	}
	if m.Held != nil {
		if item, err = o.claim(ctx, r, m); err != nil || item == nil {
			return nil, err
		}
	}
	item.Ref, item.id, m.item = m.Ref, m.messageID(o.cfg.Secrets), item
	return item, nil
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

// try hands the message to one sender and notes how that went. left is how many
// other senders have not refused it.
func (o *Outbox) try(ctx context.Context, courier courier, m *mail, message Message, left int) *SendError {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	var renamed string
	message.renamed = &renamed
	began := time.Now()
	failed := sendError(courier.send(ctx, m.item, message))
	if failed != nil && errors.Is(failed, context.Canceled) && ctx.Err() != nil {
		return failed // we are stopping: that says nothing about the sender
	}
	o.note(courier, m, failed)
	if m.Text {
		message.MessageID = ""
	}
	try := Try{
		At: o.cfg.Now(), Sender: courier.name, Failed: failed, Final: failed != nil && failed.Fault == Rejected && left == 0,
		MessageID: message.MessageID, Renamed: renamed,
	}
	if renamed == message.MessageID {
		try.Renamed = ""
	}
	m.news = append(m.news, try)
	e := m.item.About
	e.Name, e.Sender, e.Letter, e.Took = event.MailSent, courier.name, string(m.Kind), time.Since(began)
	e.Message = cmp.Or(renamed, message.MessageID)
	if m.Text {
		e.Name = event.TextSent
	}
	if failed != nil {
		e.Name, e.Reason, e.Detail = event.MailFailed, failed.Fault.String(), failed.Reason
		if m.Text {
			e.Name = event.TextFailed
		}
	}
	o.cfg.Observe(e)
	return failed
}
