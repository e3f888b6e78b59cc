package authcore

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// wait is the challenge of a start while mail is down, with a reference: the one
// that this browser waits with already, for live or for an operator, or a new one.
func (s *Service) wait(tx store.Tx, flows *challenge.Flows, live *challenge.Challenge, wish challenge.Wish) (c *challenge.Challenge, err error) {
	if c = live; c == nil {
		if c, err = flows.Waiting(tx, wish.Address, wish.Origin, s.core.now()); err != nil {
			return nil, err
		}
	}
	isNew := c == nil
	if isNew {
		if c, _, err = s.challenges.New(tx, wish); err != nil {
			return nil, err
		}
		c.Wait(s.core.now())
	}
	if err := c.Refer(tx); err != nil {
		return nil, err
	}
	return c, s.challenges.Put(tx, c, isNew)
}

// refer gives what is under way a reference, while mail is down.
func (t *run) refer() error {
	if t.c.Reference != "" || !t.c.Live(t.now) {
		return nil
	}
	if err := t.c.Refer(t.tx); err != nil {
		return err
	}
	return t.c.Save(t.tx)
}

// Admitted is what came of an operator's wish to give out a code.
type Admitted struct {
	Challenge *challenge.Challenge // nil: there is no such reference for the address
	Refused   challenge.Outcome    // why no code is given out, empty for nothing
	Code      string

	notice *outbox.Entry // with Code: the mail about it
}

// Admit looks at what a has started under a reference, while mail was down. With
// really it gives out the code: good in the browser that has started it alone,
// once, for ten minutes at most. The person gets a mail about it when mail works
// again.
func (all Flows) Admit(ctx context.Context, reference string, a address.Address, really bool) (Admitted, error) {
	s := all.s
	out, err := store.Update(ctx, s.core.store, func(tx store.Tx) (out Admitted, err error) {
		if out.Challenge, err = challenge.Referred(tx, reference, a); err != nil || out.Challenge == nil {
			return out, err
		}
		if out.Refused, err = s.challenges.Unadmitted(tx, out.Challenge); err != nil || out.Refused != "" || !really {
			return out, err
		}
		if out.Code, err = s.challenges.Admit(tx, out.Challenge); err != nil {
			return out, err
		}
		out.notice = noticeOf(out.Challenge, outbox.LetterAdmitted)
		return out, s.core.outbox.Put(tx, out.notice)
	})
	if out.notice != nil {
		s.core.outbox.Add(out.notice)
	}
	return out, err
}
