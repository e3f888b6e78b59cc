package authcore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// errLater: the mail could not be handed over now and stays in the queue.
var errLater = errors.New("to be tried again")

// deliver tries all senders once. nil means there is nothing left to do.
func (q *queue) deliver(ctx context.Context, m *mail) error {
	s := q.core.current.Load()
	if s == nil {
		return errLater
	}
	c, err := q.challenge(ctx, m)
	if err != nil {
		return errLater
	}
	if c == nil || c.Decoy || m.kind == "" && !c.live(q.core.now()) {
		return nil
	}
	if q.learn(m, c.recipient()) {
		return errHeld
	}
	if m.held != nil {
		if !q.core.now().Before(m.held.until) {
			return nil
		}
		if err := q.claim(ctx, s, m, c); err != nil {
			return err
		}
	}
	message, err := s.compose(c, cmp.Or(m.kind, LetterSignIn))
	if err != nil {
		q.core.log.Error("a mail can't be put into words", "error", err)
		s.observe(event.Event{Name: event.MailFailed, Address: c.Address, Challenge: c.ID, Reason: "compose", Letter: string(m.kind)})
		return nil
	}
	if m.refusedIn != s {
		m.refused, m.refusedIn = map[int]bool{}, s
	}
	couriers := s.couriersOf(m.text)
	for i, courier := range couriers {
		if m.refused[i] {
			continue
		}
		left := len(couriers) - len(m.refused) - 1
		failed := q.try(ctx, s, courier, m, c, message, left)
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

// challenge is what m is about, as the store has it. Of a mail that was queued
// this moment it is known.
func (q *queue) challenge(ctx context.Context, m *mail) (c *challenge, err error) {
	c, m.fresh = m.fresh, nil
	if c != nil && q.core.now().Before(m.queued.Add(freshMail)) {
		return c, nil
	}
	err = q.core.store.View(ctx, func(tx store.Tx) (err error) {
		c, err = loadOpen(tx, m.challenge, q.core.now())
		return err
	})
	return c, err
}

// try hands the message to one sender and notes how that went. left is how many
// other senders have not refused it.
func (q *queue) try(ctx context.Context, s *Service, courier courier, m *mail, c *challenge, message Message, left int) *SendError {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	began := time.Now()
	failed := sendError(courier.send(ctx, c, message))
	if failed != nil && errors.Is(failed, context.Canceled) && ctx.Err() != nil {
		return failed // we are stopping: that says nothing about the sender
	}
	q.note(courier, m, failed)
	m.history = historyKey(c)
	m.news = append(m.news, q.outcome(courier.name, failed, failed != nil && failed.Fault == Rejected && left == 0))
	e := event.Event{Name: event.MailSent, Address: c.Address, Challenge: c.ID, Origin: c.Origin.String(), Sender: courier.name, Letter: string(m.kind), Took: time.Since(began)}
	c.mark(&e)
	if failed != nil {
		e.Name, e.Reason, e.Detail = event.MailFailed, failed.Fault.String(), failed.Reason
		if m.text {
			e.Name = event.TextFailed
		}
	}
	s.observe(e)
	return failed
}

// sendError is err as a SendError, nil for nil.
func sendError(err error) *SendError {
	if err == nil {
		return nil
	}
	if failed := new(SendError); errors.As(err, &failed) {
		return failed
	}
	return &SendError{Fault: SenderDown, Reason: "the sender failed", Err: err}
}

// recipient is to whom the message of a challenge goes.
func (c *challenge) recipient() string {
	if c.text() {
		return c.API.Phone.String()
	}
	return c.Address.String()
}
