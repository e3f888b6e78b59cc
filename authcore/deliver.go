package authcore

import (
	"cmp"
	"context"
	"errors"
	"time"
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
	message, err := s.compose(c, cmp.Or(m.kind, LetterSignIn))
	if err != nil {
		q.core.log.Error("a mail can't be put into words", "error", err)
		s.observe(Event{Name: EventMailFailed, Address: c.Address, Challenge: c.ID, Reason: "compose", Letter: m.kind})
		return nil
	}
	for _, courier := range s.couriersOf(m.text) {
		fault, err := q.try(ctx, s, courier, m, c, message)
		if err == nil || fault == Rejected {
			return nil
		}
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
	err = q.core.store.View(ctx, func(tx Tx) (err error) {
		c, err = loadOpen(tx, m.challenge, q.core.now())
		return err
	})
	return c, err
}

// try hands the message to one sender and notes how that went.
func (q *queue) try(ctx context.Context, s *Service, courier courier, m *mail, c *challenge, message Message) (SendFault, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	began := time.Now()
	err := courier.send(ctx, c, message)
	fault, reason := SenderDown, ""
	if failed := new(SendError); errors.As(err, &failed) {
		fault, reason = failed.Fault, failed.Reason
	} else if err != nil {
		reason = "the sender failed"
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return fault, err // we are stopping: that says nothing about the sender
	}
	q.note(courier, err != nil && fault == SenderDown)
	m.history = historyKey(c)
	m.news = append(m.news, q.outcome(courier.name, err, fault, reason))
	e := Event{Name: EventMailSent, Address: c.Address, Challenge: c.ID, Origin: c.Origin, Sender: courier.name, Letter: m.kind, Took: time.Since(began)}
	c.mark(&e)
	if err != nil {
		e.Name, e.Reason, e.Detail = EventMailFailed, fault.String(), reason
		if m.text {
			e.Name = EventTextFailed
		}
	}
	s.observe(e)
	return fault, err
}
