package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
)

// Resend sends the mail of a flow again: the same code and link while they
// live, else new ones. It never gives back a try.
func (s *Service) Resend(ctx context.Context, b Browser, flow string) (Answer, error) {
	if wait, down := s.core.outbox.Down(false); down {
		s.observe(s.event(event.Refused, b, address.Address{}, event.MailDown.String()))
		return Answer{Verdict: event.MailDown, RetryAfter: wait}, nil
	}
	return s.answer(ctx, b, func(t *attempt) (Answer, error) {
		t.resend = true
		if err := t.find(flow); err != nil || t.c == nil {
			return Answer{Verdict: event.NoFlow}, err
		}
		if wait, err := t.untilResend(); err != nil || wait > 0 {
			return Answer{Verdict: event.Limited, RetryAfter: wait}, err
		}
		return t.send()
	})
}

// resendRate holds beside what is configured: mail takes its time, and nobody
// reads three of them.
var resendRate = limit.Rate{Count: 1, Per: time.Minute}

// untilResend is how long until a new mail may be asked for.
func (t *attempt) untilResend() (time.Duration, error) {
	recipient := t.s.cfg.Limits.Recipient(t.c.Address, t.c.Known)
	err := (limit.Counters{recipient}).Load(t.tx)
	return recipient.Waits(t.now, resendRate), err
}

// resendWait is untilResend for an answer that does not hang on it.
func (t *attempt) resendWait() time.Duration {
	wait, err := t.untilResend()
	if err != nil {
		return time.Minute
	}
	return wait
}

// renewExpired answers a code that came too late, with a new mail at once if
// the limits allow it.
func (t *attempt) renewExpired() (Answer, error) {
	if _, down := t.s.core.outbox.Down(false); down {
		return Answer{Verdict: event.Expired}, nil
	}
	sent, err := t.send()
	if err != nil {
		return Answer{}, err
	}
	return Answer{Verdict: event.Expired, Resent: sent.Verdict == event.Accepted, RetryAfter: sent.RetryAfter}, nil
}

// send queues the mail of t.c again, of a new challenge if t.c is dead.
func (t *attempt) send() (Answer, error) {
	recipient := t.s.cfg.Limits.Recipient(t.c.Address, t.c.Known)
	all := limit.Counters{recipient}
	if err := all.Load(t.tx); err != nil {
		return Answer{}, err
	}
	if wait := all.Wait(t.now); wait > 0 {
		return Answer{Verdict: event.Limited, RetryAfter: wait}, nil
	}
	all.Count(t.tx, t.now)
	if !t.c.live(t.now) {
		return Answer{Verdict: event.Accepted}, t.renew()
	}
	if p, err := loadPause(t.tx, t.c.Address, t.now); err != nil || p != nil && !t.c.Known {
		t.wished(string(OutcomePaused))
		return Answer{Verdict: event.Accepted}, err // looks sent, and is not
	}
	t.c.mail = t.c.entry("")
	if !t.c.Decoy {
		ok, err := t.s.core.outbox.Count(t.tx, t.s.cfg.Limits, t.c.mail)
		if err != nil {
			return Answer{}, err
		}
		if !ok {
			t.wished(string(OutcomeLimited))
			return Answer{Verdict: event.Accepted}, nil // looks sent, and is not
		}
	}
	t.mails = append(t.mails, t.c.mail)
	t.wished("resent")
	if !t.c.Decoy {
		if err := t.s.core.note(t.tx, t.c, Step{At: t.now, Outcome: OutcomeQueued}); err != nil {
			return Answer{}, err
		}
	}
	return Answer{Verdict: event.Accepted}, t.s.core.outbox.Put(t.tx, t.c.mail)
}

// wished notes what came of the wish for a mail of t.c: this word, unless none
// is ever sent for it.
func (t *attempt) wished(word string) {
	if t.c.Decoy {
		word = string(t.s.decoyOutcome(t.c))
	}
	t.again = word
}

// renew puts a new challenge in the place of t.c, which is dead.
func (t *attempt) renew() error {
	b := t.b
	b.Origin = t.c.Origin
	c, err := t.s.newChallenge(t.tx, challengeFor{b, t.c.Address, t.c.Language, t.c.Known})
	if err != nil {
		return err
	}
	c.Browser = t.flows.Browser
	t.flows.renew(t.c.ID, c.ID)
	t.c, t.mails = c, append(t.mails, c.mail)
	t.wished("renewed")
	if err := c.save(t.tx); err != nil {
		return err
	}
	return t.flows.save(t.tx, t.now)
}
