package challenge

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Break-glass: while mail is down, a start is stored as a challenge that nothing
// is sent for, and that no answer is compared with. The visitor reads six letters
// to an operator, who sees what was started, decides, and reads the code back. The
// letters are a name and no secret: the code is good in the browser that holds the
// flow alone, and whoever starts a sign-in in somebody else's name has to talk the
// operator into it.

const (
	referenceLetters = "ABCDEFGHJKMNPQRSTUVWXYZ" // none that sounds or looks like a digit
	referenceLen     = 6

	// admittedLifetime is how long the code lives that an operator gives out.
	admittedLifetime = 10 * time.Minute
	// admittedKept is how long its challenge is kept, so that its person gets a mail
	// about it once mail works again.
	admittedKept = 7 * 24 * time.Hour
)

// Wait makes c one that waits for an operator: nothing is sent for it.
func (c *Challenge) Wait(now time.Time) {
	c.Decoy, c.Unsent = true, OutcomeMailDown
	c.Expires, c.Kept = now.Add(FlowLifetime), now.Add(2*FlowLifetime)
}

// Refer gives c a reference, unless it has one, by which an operator finds it. c
// must be saved.
func (c *Challenge) Refer(tx store.Tx) error {
	for c.Reference == "" {
		name := newReference()
		l, err := LoadLead(tx, store.KeyReference+name)
		if err != nil {
			return err
		}
		if l.Challenge == "" {
			c.Reference = name
		}
	}
	return store.Save(tx, store.KeyReference+c.Reference, LeadTo(c.ID), c.Kept)
}

func newReference() string {
	var b [referenceLen]byte
	for i := range b {
		b[i] = referenceLetters[randomBelow(len(referenceLetters))]
	}
	return string(b[:])
}

func randomBelow(n int) int {
	for {
		var b [1]byte
		rand.Read(b[:])
		if most := 256 / n * n; int(b[0]) < most {
			return int(b[0]) % n
		}
	}
}

// ParseReference reads a reference as people say and type it.
func ParseReference(text string) (reference string, ok bool) {
	reference = strings.ToUpper(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '-' }), ""))
	return reference, len(reference) == referenceLen && strings.Trim(reference, referenceLetters) == ""
}

// Referred finds the challenge for a with a reference, nil for none.
func Referred(tx store.Tx, reference string, a address.Address) (*Challenge, error) {
	l, err := LoadLead(tx, store.KeyReference+reference)
	if err != nil || l.Challenge == "" {
		return nil, err
	}
	c, err := Open(tx, l.Challenge)
	if err != nil || c == nil || c.Reference != reference || c.Address != a {
		return nil, err
	}
	return c, nil
}

// Unadmitted is why no code may be given out for c, empty if one may. A bounce
// stands in nobody's way: that mail does not arrive is why they ask. Nor do wrong
// codes: any stranger can give them, and there is no link while mail is down.
func (e *Engine) Unadmitted(tx store.Tx, c *Challenge) (Outcome, error) {
	now := e.Now()
	switch v := c.State(now); {
	case c.Admitted:
		return OutcomeAdmitted, nil
	case v != event.MailDown && v != event.Accepted && v != event.CodesOff:
		return Outcome(v.String()), nil
	case !e.MayReceive(c.Address):
		return OutcomeNotAllowed, nil
	}
	if _, err := e.Secrets.Find(c.Secret); err != nil {
		return "", err
	}
	if paused, err := Paused(tx, c.Address, now); err != nil || paused && !c.Known {
		return OutcomePaused, err
	}
	return "", nil
}

// Admit makes c one that its code answers, on an operator's word, and returns the
// code. Unadmitted has been asked.
func (e *Engine) Admit(tx store.Tx, c *Challenge) (code string, err error) {
	now := e.Now()
	ends := now.Add(admittedLifetime)
	if flow := c.AskedAt.Add(FlowLifetime); flow.Before(ends) {
		ends = flow // the browser knows its flow no longer
	}
	c.Decoy, c.Unsent, c.LinkOnly, c.Admitted = false, "", false, true
	c.Expires, c.Kept, c.Tries = ends, now.Add(admittedKept), e.Attempts
	if err := Note(tx, c, Step{At: now, Outcome: OutcomeAdmitted}); err != nil {
		return "", err
	}
	secret, err := e.Secrets.Find(c.Secret)
	if err != nil {
		return "", err
	}
	return c.Code(secret), c.Save(tx)
}
