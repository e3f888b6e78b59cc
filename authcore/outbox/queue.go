package outbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

const (
	// queueSize bounds the mails that wait. A full queue refuses new sign-ins.
	queueSize = 1000
	// workers is how many mails are handed over at once.
	workers = 4
	// probeEvery is how often the senders are tried while mail is down.
	probeEvery = 30 * time.Second
	// retryFirst is the wait after a failed round of all senders; it doubles
	// up to retryMost.
	retryFirst = 5 * time.Second
	retryMost  = time.Minute
	// sendTimeout bounds one attempt of one sender, whatever it promises.
	sendTimeout = 30 * time.Second
)

// outage is what is known while all senders of a kind are down.
type outage struct {
	probed time.Time // when they were last tried
	last   string    // to whom the message that failed last was
	// open: starts are accepted until a message to somebody else fails. No other
	// message waits, or the senders work when they are tried without one.
	open bool
}

// mail is an entry that waits, or is being sent.
type mail struct {
	Entry
	due     time.Time
	rounds  int // failed rounds of all senders
	sending bool
	item    *Item // what its news are about
	news    []Try // what came of it and was not told yet

	// refused says which senders of the route refusedIn refused it for good. Those
	// of another are all asked.
	refused   map[int]bool
	refusedIn *route
}

// isFull tells whether too many mails wait for a sender. Those that are held have
// a bound of their own.
func (o *Outbox) isFull() bool {
	if len(o.waiting) < queueSize {
		return false
	}
	n := 0
	for _, m := range o.waiting {
		if m.Held == nil {
			n++
		}
	}
	return n >= queueSize
}

func (o *Outbox) sendersDown(text bool) bool {
	r := o.means.Load()
	if r == nil || o.outages[text].open || !slices.ContainsFunc(o.waiting, func(m *mail) bool { return m.Text == text }) {
		return false
	}
	return !slices.ContainsFunc(r.couriers(text), func(c courier) bool { return !o.health(c.name).Down })
}

// Run sends until ctx ends, then waits for the attempts under way.
func (o *Outbox) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for do := o.next(); do != nil; do = o.next() {
			select {
			case o.slots <- struct{}{}:
				go func() {
					defer func() { <-o.slots; o.wake() }()
					do(ctx)
				}()
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
		}
		timer.Reset(o.pause())
		select {
		case <-o.ready:
		case <-timer.C:
		case <-ctx.Done():
			for range workers {
				o.slots <- struct{}{}
			}
			return
		}
	}
}

// pause is how long nothing will be due.
func (o *Outbox) pause() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, pause := o.cfg.Now(), time.Hour
	down := map[bool]bool{false: o.sendersDown(false), true: o.sendersDown(true)}
	under := o.underWay(nil)
	for _, m := range o.waiting {
		switch {
		case m.sending:
		case down[m.Text]:
			pause = min(pause, max(probeEvery-now.Sub(o.outages[m.Text].probed), time.Second))
		case under.holds(m): // the end of what it waits for wakes us
			pause = min(pause, max(m.Expires.Sub(now), time.Second))
		default:
			pause = min(pause, m.due.Sub(now), m.Expires.Sub(now))
		}
	}
	return max(pause, 10*time.Millisecond)
}

// underWay is what is being sent.
type underWay struct {
	to      []string
	domains map[string]int
	retries int
}

// underWay looks at what is being sent, but for m; nil: at all.
func (o *Outbox) underWay(but *mail) underWay {
	all := underWay{domains: map[string]int{}}
	for _, m := range o.waiting {
		if !m.sending || m == but {
			continue
		}
		all.to = append(all.to, m.To)
		all.domains[m.domain()]++
		if m.rounds > 0 {
			all.retries++
		}
	}
	return all
}

// holds tells whether m waits for what is under way: a recipient whose server
// makes ours think for half a minute gets one worker, a domain half of them, and
// so do all that failed before together, so that nobody keeps the mail of others.
func (u underWay) holds(m *mail) bool {
	return m.To != "" && (slices.Contains(u.to, m.To) || u.domains[m.domain()] >= workers/2) ||
		m.rounds > 0 && u.retries >= workers/2
}

// domain is that of the recipient; a number is its own, and empty is unknown.
func (m *mail) domain() string { return m.To[strings.LastIndexByte(m.To, '@')+1:] }

// learn notes to whom m goes, and tells whether it has to wait for others: one
// that an earlier process left began without that being known.
func (o *Outbox) learn(m *mail, to string) (waits bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := m.To == ""
	m.To = to
	return first && o.underWay(m).holds(m)
}

// next picks what is to be done now, nil for nothing: a mail that is due, or
// while mail is down a look at the senders, every 30 seconds.
func (o *Outbox) next() func(context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.cfg.Now()
	if o.means.Load() == nil {
		return nil
	}
	// What has expired is gone from the store by itself.
	o.waiting = slices.DeleteFunc(o.waiting, func(m *mail) bool { return !m.sending && !now.Before(m.Expires) })
	down := map[bool]bool{}
	for _, text := range []bool{false, true} {
		down[text] = o.sendersDown(text)
		if outage := o.outages[text]; down[text] && now.Sub(outage.probed) >= probeEvery {
			outage.probed = now
			return func(ctx context.Context) { o.probe(ctx, text) }
		}
	}
	under := o.underWay(nil)
	var next *mail
	for _, m := range o.waiting {
		if m.sending || m.due.After(now) || down[m.Text] && !m.Decoy || under.holds(m) {
			continue
		}
		if next == nil || next.rounds > 0 && m.rounds == 0 { // what was never tried goes first
			next = m
		}
	}
	if next == nil {
		return nil
	}
	next.sending = true
	return func(ctx context.Context) { o.work(ctx, next) }
}

// probe tries the senders of a kind that are all down, by a connection and a
// sign-in where they can be tried so, else by a message to another recipient
// than the one that failed last: its server may be what fails. Where none waits,
// starts are accepted again until another one fails.
func (o *Outbox) probe(ctx context.Context, text bool) {
	r := o.means.Load()
	if r == nil {
		return
	}
	mute := false
	for _, c := range r.couriers(text) {
		if c.check == nil {
			mute = true
		} else if o.check(ctx, c) || ctx.Err() != nil {
			return
		}
	}
	if !mute {
		return
	}
	if m := o.another(text); m != nil {
		o.work(ctx, m)
	}
}

// check tries a sender without a mail.
func (o *Outbox) check(ctx context.Context, c courier) (works bool) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	failed := sendError(c.check(ctx))
	if failed != nil && errors.Is(ctx.Err(), context.Canceled) {
		return false // we are stopping: that says nothing about the sender
	}
	o.note(c, nil, failed)
	return failed == nil
}

// another picks the oldest message to another recipient than the one that
// failed last. If there is none, mail is open.
func (o *Outbox) another(text bool) *mail {
	o.mu.Lock()
	defer o.mu.Unlock()
	outage := o.outages[text]
	for _, m := range o.waiting {
		if m.Text == text && !m.sending && !m.Decoy && m.Held == nil && (m.To == "" || m.To != outage.last) {
			m.sending = true
			return m
		}
	}
	outage.open = true
	o.allDue(text)
	return nil
}

func (o *Outbox) allDue(text bool) {
	for _, m := range o.waiting {
		if m.Text == text {
			m.due, m.rounds = o.cfg.Now(), 0
		}
	}
}

func (o *Outbox) work(ctx context.Context, m *mail) {
	err := o.deliver(ctx, m)
	if errors.Is(err, errHeld) {
		o.mu.Lock()
		m.sending = false
		o.mu.Unlock()
		return
	}
	if errors.Is(err, errLater) {
		if err := o.settle(m, false); err != nil && ctx.Err() == nil {
			o.cfg.Log.Warn("what became of a mail can't be written to its history", "error", err)
		}
		o.later(m)
		return
	}
	o.drop(m)
	if err := o.forget(m); err != nil && ctx.Err() == nil {
		o.cfg.Log.Warn("a mail that was sent can't be taken off the queue; it may be sent once more after a restart", "error", err)
	}
}

// note takes down how a sender fared: with m, or if that is nil at a check.
func (o *Outbox) note(c courier, m *mail, failed *SendError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was, outage, now := o.sendersDown(c.text), o.outages[c.text], o.cfg.Now()
	switch {
	case failed == nil && m == nil:
		o.health(c.name).answers()
	case failed == nil:
		o.health(c.name).took(now)
	case m == nil || m.Text:
		o.health(c.name).failed(now, failed, "")
	default:
		o.health(c.name).failed(now, failed, m.domain())
	}
	switch {
	case failed == nil && m == nil:
		outage.open = true // the one that failed last fails by itself, if it does so again
	case failed == nil || failed.Fault != SenderDown:
		outage.last, outage.open = "", false
	case m != nil && m.To != outage.last:
		outage.last, outage.open = m.To, false
	}
	is := o.sendersDown(c.text)
	if was && !is { // back again: everything that waits is due
		o.allDue(c.text)
	}
	if !was && is {
		outage.probed = now
	}
}

// Tried notes how a mail sender fared with a message to somebody that was in no
// queue, as when an operator sends one by hand, and returns err as a SendError.
func (o *Outbox) Tried(sender string, to address.Address, err error) *SendError {
	failed := sendError(err)
	if errors.Is(err, context.Canceled) {
		return failed // whoever sent it is gone: that says nothing about the sender
	}
	if r := o.means.Load(); r != nil {
		if i := slices.IndexFunc(r.mail, func(c courier) bool { return c.name == sender }); i >= 0 {
			o.note(r.mail[i], &mail{Entry: Entry{To: to.String()}}, failed)
			o.wake()
		}
	}
	return failed
}

func (o *Outbox) later(m *mail) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m.sending = false
	m.due = o.cfg.Now().Add(min(retryFirst<<min(m.rounds, 8), retryMost))
	m.rounds++
}

func (o *Outbox) drop(m *mail) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, w := range o.waiting {
		if w == m {
			o.waiting = append(o.waiting[:i], o.waiting[i+1:]...)
			return
		}
	}
}
