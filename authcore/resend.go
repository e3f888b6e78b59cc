package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// Resend sends the mail of a flow again: the same code and link while they
// live, else new ones. It never gives back a try.
func (all Flows) Resend(ctx context.Context, b session.Browser, flow string) (Answer, error) {
	s := all.s
	down, isDown := s.core.outbox.Down(false)
	return s.answer(ctx, b, func(t *run) (Answer, error) {
		t.resend = true
		if err := t.find(flow, s.mailKeys(b)...); err != nil || t.c == nil {
			return Answer{Verdict: event.NoFlow}, err
		}
		if isDown {
			return Answer{Verdict: event.MailDown, RetryAfter: down}, t.refer()
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
func (t *run) untilResend() (time.Duration, error) {
	recipient := t.s.cfg.Limits.Recipient(t.c.Address, t.c.Known)
	err := (limit.Counters{recipient}).Load(t.tx)
	return recipient.Waits(t.now, resendRate), err
}

// resendWait is untilResend for an answer that does not hang on it.
func (t *run) resendWait() time.Duration {
	wait, err := t.untilResend()
	if err != nil {
		return time.Minute
	}
	return wait
}

// renewExpired answers a code that came too late, with a new mail at once if
// the limits allow it.
func (t *run) renewExpired() (Answer, error) {
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
func (t *run) send() (Answer, error) {
	recipient := t.s.cfg.Limits.Recipient(t.c.Address, t.c.Known)
	all := limit.Counters{recipient}
	if err := all.Load(t.tx); err != nil {
		return Answer{}, err
	}
	if wait := all.Wait(t.now); wait > 0 {
		return Answer{Verdict: event.Limited, RetryAfter: wait}, nil
	}
	all.Count(t.tx, t.now)
	if !t.c.Live(t.now) {
		return Answer{Verdict: event.Accepted}, t.renew()
	}
	if stopped, err := challenge.Stopped(t.tx, t.c.Address, t.now); err != nil || stopped != "" && !t.c.Known {
		t.wished(string(stopped))
		return Answer{Verdict: event.Accepted}, err // looks sent, and is not
	}
	mail := apps.MailOf(t.c, apps.NetworkShare(t.c.Network))
	if !t.c.Decoy {
		ok, err := t.s.core.outbox.Count(t.tx, t.s.cfg.Limits, mail)
		if err != nil {
			return Answer{}, err
		}
		if !ok {
			t.wished(string(challenge.OutcomeLimited))
			return Answer{Verdict: event.Accepted}, nil // looks sent, and is not
		}
		if err := challenge.Note(t.tx, t.c, challenge.Step{At: t.now, Outcome: challenge.OutcomeQueued}); err != nil {
			return Answer{}, err
		}
	}
	t.mails = append(t.mails, mail)
	t.wished("resent")
	return Answer{Verdict: event.Accepted}, t.s.core.outbox.Put(t.tx, mail)
}

// wished notes what came of the wish for a mail of t.c: this word, unless none
// is ever sent for it.
func (t *run) wished(word string) {
	if t.c.Decoy {
		word = string(t.c.Unsent)
	}
	t.again = word
}

// renew puts a new challenge in the place of t.c, which is dead.
func (t *run) renew() error {
	wish := t.s.wish(t.b, Start{Address: t.c.Address, Language: t.c.Language})
	wish.Browser, wish.Known, wish.For = t.flows.Browser, t.c.Known, t.c.For
	c, mail, err := t.s.newChallenge(t.tx, wish)
	if err != nil {
		return err
	}
	lead, err := t.s.leadTo(t.tx, c)
	if err != nil {
		return err
	}
	t.flows.Renew(t.c.ID, lead)
	t.c, t.mails = c, append(t.mails, mail)
	t.wished("renewed")
	return t.flows.Save(t.tx, t.now)
}
