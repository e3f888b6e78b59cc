package authcore

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What the outbox asks of the engine above it: what a challenge has to say, and
// where to write down what became of it.

// text tells whether the challenge goes out as a text message.
func (c *challenge) text() bool { return c.API != nil && !c.API.Phone.IsZero() }

// entry is the message of a challenge, kind "" for the one that it is answered
// with.
func (c *challenge) entry(kind outbox.LetterKind) *outbox.Entry {
	e := &outbox.Entry{Ref: c.ID, Kind: kind, Text: c.text(), At: c.AskedAt, Expires: c.Expires, Share: c.share(), Known: c.Known, To: c.Address.String(), Decoy: c.Decoy}
	if c.text() {
		e.To = c.API.Phone.String()
	}
	if kind != "" {
		e.Expires = c.Kept
	}
	return e
}

// share names whose part of Limits.Global the mail of c is from: a network's, or
// that of all invitations. It is "" for what an app's server asks for: an app's
// own limits are those of its key.
func (c *challenge) share() string {
	switch {
	case c.API != nil && c.API.Invite != "":
		return "invitations"
	case c.API != nil && c.API.Server:
		return ""
	}
	return cmp.Or(c.Network, "unknown")
}

// spend counts the mail of a new challenge, which becomes a decoy when it could
// only be given up in the end.
func (s *Service) spend(tx store.Tx, c *challenge) (*outbox.Entry, error) {
	e := c.entry("")
	ok, err := s.core.outbox.Count(tx, s.cfg.Limits, e)
	if err == nil && !ok {
		c.Decoy, c.Over = true, true
		e = c.entry("")
	}
	return e, err
}

// Letter implements outbox.Letters.
func (s *Service) Letter(tx store.Tx, e outbox.Entry) (*outbox.Item, error) {
	c, err := loadWanted(tx, e.Ref, s.core.now())
	if err != nil || c == nil || c.Decoy || e.Kind == "" && !c.live(s.core.now()) {
		return nil, err
	}
	item := &outbox.Item{About: event.Event{Address: c.Address, Challenge: c.ID, Origin: c.Origin.String()}}
	if c.API != nil {
		item.About.App, item.About.Subject = c.API.Realm.App, c.API.Subject
	}
	if e.Kind == "" { // others tell of a sign-in, and don't make one
		item.Log = historyKey(c)
	}
	item.Letter, item.Problem = s.letter(c, e.Kind)
	return item, nil
}

// loadWanted is loadOpen for sending: an invitation whose recipient wants none by
// now is none.
func loadWanted(tx store.Tx, id string, now time.Time) (*challenge, error) {
	c, err := loadOpen(tx, id, now)
	if err != nil || c == nil || c.API == nil || c.API.Invite == "" {
		return c, err
	}
	if paused, err := invitesPaused(tx, c.API.Realm, c.Address, now); err != nil || paused {
		return nil, err
	}
	return c, nil
}

// errGone: what a message was about is not configured any more.
var errGone = errors.New("the app that asked, or the redirect it asked for, is not in the configuration any more")

// letter rebuilds what a mail about a challenge says. A redirect that is not
// allowed any more is not sent.
func (s *Service) letter(c *challenge, kind outbox.LetterKind) (outbox.Letter, error) {
	letter := outbox.Letter{
		Kind: cmp.Or(kind, outbox.LetterSignIn), To: c.Address, Site: c.Origin, Language: c.Language,
		AskedAt: c.AskedAt, Agent: c.Agent, Network: c.Network,
		Thread: strings.ToLower(keyring.RandomToken(12)),
	}
	if kind == outbox.LetterNewDevice {
		at := c.Origin
		if s.cfg.AccountAt != nil {
			at = s.cfg.AccountAt(at)
		}
		letter.Link = at.String() + "/_gatehouse/account"
		return letter, nil
	}
	letter.Lifetime = c.Expires.Sub(c.AskedAt)
	secret, ok := s.core.secrets.Find(c.Secret)
	if !ok {
		return letter, fmt.Errorf("challenge made with secret %s, which is not configured any more", c.Secret)
	}
	a := c.API
	if a == nil {
		letter.Link = c.Origin.String() + "/_gatehouse/link/" + secret.LinkFor(c.ID)
		letter.NotMe = c.Origin.String() + "/_gatehouse/not-me/" + secret.NotMeFor(c.Address, c.AskedAt)
		if !c.LinkOnly {
			letter.Code = secret.CodeFor(c.ID, c.Digits)
		}
		return letter, nil
	}
	letter.Kind, letter.Phone, letter.Into = a.Letter, a.Phone, a.Into
	app := s.cfg.Apps.Find(a.Realm.App)
	if app == nil || a.Redirect != "" && !app.MayRedirect(a.Use, a.Redirect) {
		return letter, errGone
	}
	letter.App = app.DisplayName()
	if a.Link {
		letter.Link = a.link(secret.APILink(c.ID))
	} else {
		letter.Code = c.codeOf(secret)
		letter.Link = a.link(letter.Code)
	}
	if a.Invite != "" {
		letter.NotMe = a.link(stopPrefix + secret.APIStop(c.ID))
	}
	return letter, nil
}

// tell adds what came of a letter to the history of its challenge.
func (c *Core) tell(tx store.Tx, of outbox.Item, tries []outbox.Try) error {
	if of.Log == "" {
		return nil
	}
	return c.changeHistory(tx, of.Log, of.Entry, func(r *attemptRecord) {
		for _, try := range tries {
			step := Step{At: try.At, Outcome: OutcomeAccepted, Sender: try.Sender}
			if try.Failed != nil {
				step.Outcome, step.Detail = OutcomeDeferred, try.Failed.Reason
			}
			if try.Final {
				step.Outcome = OutcomeRejected
			}
			r.add(step)
		}
	})
}

// isUnseen tells whether a person who was here before signs in with a browser
// that has not proved the address. It is asked before the browser is remembered.
func (t *attempt) isUnseen(p *person) (bool, error) {
	if t.isNew(p) {
		return false, nil // the first sign-in of all is no news
	}
	d, err := loadDevice(t.tx, t.b.Device)
	return err == nil && !d.knows(p.Address), err
}
