package authcore

import (
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

// A link that somebody waits for signs in who waits, not who opens it: a
// stranger can start a sign-in for anybody and wait for the click. Two digits
// bind the two ends: they are shown where the sign-in began, and typed where
// the link is opened.

const (
	pairDigits = 2
	pairTries  = 3
)

// pair compares the digits of a link that has any, and counts a wrong answer.
// Without two digits it is Malformed, and no try.
func (t *proving) pair() (event.Verdict, error) {
	if !t.c.API.Paired {
		return event.Accepted, nil
	}
	digits, _, ok := ParseCode(t.in.Pair, pairDigits)
	if !ok {
		return event.Malformed, nil
	}
	if secret, known := t.s.core.secrets.Find(t.c.Secret); known && keyring.SameCode(digits, secret.PairOf(t.c.ID, pairDigits)) {
		return event.Accepted, nil
	}
	v, step := event.Wrong, Step{At: t.now, Outcome: OutcomeWrongCode}
	if t.c.API.PairTries--; t.c.API.PairTries <= 0 {
		t.c.Locked, v, step.Outcome = true, event.Locked, OutcomeLocked
	}
	if err := t.s.core.note(t.tx, t.c, step); err != nil {
		return event.Unknown, err
	}
	return v, t.c.save(t.tx)
}
