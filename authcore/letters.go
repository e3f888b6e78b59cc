package authcore

import (
	"cmp"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What the outbox asks of the engine above it: what a challenge has to say, and
// where to write down what became of it.

// noticeOf is a mail that tells a person of what was done with c: signed in with,
// in a browser that was not seen before, or admitted.
func noticeOf(c *challenge.Challenge, kind outbox.LetterKind) *outbox.Entry {
	e := apps.MailOf(c, apps.NetworkShare(c.Network))
	e.Kind, e.Expires = kind, c.Kept
	return e
}

// Letter implements outbox.Letters.
func (s *Service) Letter(tx store.Tx, e outbox.Entry) (*outbox.Item, error) {
	now := s.core.now()
	c, err := challenge.Open(tx, e.Ref)
	if err != nil || c == nil || c.Decoy || e.Kind == "" && !c.Live(now) {
		return nil, err
	}
	if e.Kind == "" && c.Part == nil && !c.Known { // mail may have come back since it was asked for
		if stopped, err := challenge.Stopped(tx, c.Address, now); err != nil || stopped != "" {
			return nil, err
		}
	}
	item := &outbox.Item{About: event.Event{Address: c.Address, Challenge: c.ID, Origin: c.Origin.String()}}
	if e.Kind == "" { // others tell of a sign-in, and don't make one
		item.Log = challenge.HistoryKey(c)
	}
	letter := outbox.Letter{
		Kind: cmp.Or(e.Kind, outbox.LetterSignIn), To: c.Address, Site: c.Origin, For: c.For, Language: c.Language,
		Lifetime: c.Expires.Sub(c.AskedAt), AskedAt: c.AskedAt, Agent: c.Agent, Network: c.Network,
	}
	secret, err := s.core.secrets.Find(c.Secret)
	switch {
	case e.Kind == outbox.LetterNewDevice || e.Kind == outbox.LetterAdmitted:
		at := c.Origin
		if s.cfg.AccountAt != nil {
			at = s.cfg.AccountAt(at)
		}
		letter.Lifetime, letter.Link = 0, at.String()+"/_gatehouse/account"
	case err != nil:
		item.Problem = fmt.Errorf("challenge made with secret %s: %w", c.Secret, err)
	case c.Part == nil:
		letter.Link = c.Origin.String() + "/_gatehouse/link/" + secret.LinkFor(c.ID)
		letter.NotMe = c.Origin.String() + "/_gatehouse/not-me/" + secret.NotMeFor(c.Address, c.AskedAt)
		if !c.LinkOnly {
			letter.Code = c.Code(secret)
		}
	}
	if c.Part != nil {
		if wanted, err := s.apps.Letter(tx, c, item, &letter); err != nil || !wanted {
			return nil, err
		}
	}
	item.Letter = letter
	return item, nil
}

// tell adds what came of a letter to the history of its challenge.
func (c *Core) tell(tx store.Tx, of outbox.Item, tries []outbox.Try) error {
	var steps []challenge.Step
	for _, try := range tries {
		step := challenge.Step{At: try.At, Outcome: challenge.OutcomeAccepted, Sender: try.Sender, MessageID: cmp.Or(try.Renamed, try.MessageID)}
		if try.Failed != nil {
			step.Outcome, step.Detail = challenge.OutcomeDeferred, try.Failed.Reason
			switch {
			case try.Failed.Maybe:
				step.Outcome = challenge.OutcomeMaybe
			case try.Failed.Fault == outbox.Rejected: // others may take it yet
				step.Outcome = challenge.OutcomeDeclined
			}
		}
		if try.Final {
			step.Outcome = challenge.OutcomeRejected
		}
		steps = append(steps, step)
	}
	return challenge.NoteAt(tx, of.Log, of.Ref, steps...)
}

// isUnseen tells whether a person who was here before signs in with a browser
// that has not proved the address. It is asked before the browser is remembered.
func (t *run) isUnseen(p *person.Record) (bool, error) {
	if !p.Created.Before(t.now) {
		return false, nil // the first sign-in of all is no news
	}
	d, err := challenge.LoadDevice(t.tx, t.b.Device)
	if err != nil {
		return false, err
	}
	known, err := d.Knows(t.tx, p.Address)
	return !known, err
}
