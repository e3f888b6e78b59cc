package authcore

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/orgname"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What the outbox asks of the engine above it: what a challenge has to say, and
// where to write down what became of it.

// mailOf is the message that a challenge is answered with; share names whose part
// of Limits.Global it is from.
func mailOf(c *challenge.Challenge, share string) *outbox.Entry {
	return &outbox.Entry{Ref: c.ID, Text: c.IsText(), At: c.AskedAt, Expires: c.Expires, Share: share, Known: c.Known, To: c.Recipient(), Decoy: c.Decoy}
}

// noticeOf is a mail that tells a person of what was done with c: signed in with,
// in a browser that was not seen before, or admitted.
func noticeOf(c *challenge.Challenge, kind outbox.LetterKind) *outbox.Entry {
	e := mailOf(c, networkShare(c.Network))
	e.Kind, e.Expires = kind, c.Kept
	return e
}

// spend counts the mail of a new challenge, which becomes a decoy when it could
// only be given up in the end.
func (s *Service) spend(tx store.Tx, c *challenge.Challenge, mail *outbox.Entry) error {
	ok, err := s.core.outbox.Count(tx, s.cfg.Limits, mail)
	if err == nil && !ok {
		c.Decoy, c.Unsent = true, challenge.OutcomeLimited
		mail.Decoy, mail.Held = true, nil
	}
	return err
}

// Letter implements outbox.Letters.
func (s *Service) Letter(tx store.Tx, e outbox.Entry) (*outbox.Item, error) {
	now := s.core.now()
	c, err := challenge.Open(tx, e.Ref, now)
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
	secret, known := s.core.secrets.Find(c.Secret)
	switch {
	case e.Kind == outbox.LetterNewDevice || e.Kind == outbox.LetterAdmitted:
		at := c.Origin
		if s.cfg.AccountAt != nil {
			at = s.cfg.AccountAt(at)
		}
		letter.Lifetime, letter.Link = 0, at.String()+"/_gatehouse/account"
	case !known:
		item.Problem = fmt.Errorf("challenge made with secret %s, which is not configured any more", c.Secret)
	case c.Part == nil:
		letter.Link = c.Origin.String() + "/_gatehouse/link/" + secret.LinkFor(c.ID)
		letter.NotMe = c.Origin.String() + "/_gatehouse/not-me/" + secret.NotMeFor(c.Address, c.AskedAt)
		if !c.LinkOnly {
			letter.Code = c.Code(secret)
		}
	}
	if c.Part != nil {
		to, err := s.wanted(tx, c, now)
		if err != nil || to == nil {
			return nil, err
		}
		item.About.App, item.About.Subject = to.Realm.App, to.Subject
		if known {
			item.Problem = s.letterOf(to, secret, &letter)
		}
		if letter.Into, err = to.into(tx); err != nil {
			return nil, err
		}
	}
	item.Letter = letter
	return item, nil
}

// wanted completes a challenge made for an app whose mail is to be sent: none that
// can't be answered any more, and no invitation whose recipient wants none by now.
func (s *Service) wanted(tx store.Tx, c *challenge.Challenge, now time.Time) (*sent, error) {
	to, err := sentOf(tx, c)
	if err != nil || to == nil {
		return nil, err
	}
	if v, err := to.standing(tx, now); err != nil || v != event.Accepted {
		return nil, err
	}
	if app := s.cfg.Apps.Find(to.Realm.App); app != nil && to.isOff(app) {
		return nil, nil
	}
	if to.Invite == "" {
		return to, nil
	}
	if paused, err := invitesPaused(tx, to.Realm, to.Address, now); err != nil || paused {
		return nil, err
	}
	return to, nil
}

// into is what the organization that to invites to is called now, "" for none.
func (to *sent) into(tx store.Tx) (string, error) {
	i, err := loadInvite(tx, to.Realm, to.Invite)
	if err != nil || i == nil {
		return "", err
	}
	o, err := loadOrg(tx, to.Realm, i.Org)
	if err != nil || o == nil {
		return "", err
	}
	return orgname.Quoted(o.Name), nil
}

// errGone: what a message was about is not configured any more.
var errGone = errors.New("the app that asked, or the redirect it asked for, is not in the configuration any more")

// letterOf completes the letter of a challenge made for an app. A redirect that is
// not allowed any more is not sent.
func (s *Service) letterOf(to *sent, secret keyring.Secret, letter *outbox.Letter) error {
	letter.Kind, letter.Phone = to.Letter, to.Phone
	app := s.cfg.Apps.Find(to.Realm.App)
	if app == nil || to.Redirect != "" && !app.MayRedirect(to.Use, to.Redirect) {
		return errGone
	}
	letter.App = app.DisplayName()
	if to.isLink() {
		letter.Link = to.link(secret.APILink(to.ID))
	} else {
		letter.Code = to.Code(secret)
		letter.Link = to.link(letter.Code)
	}
	if to.Invite != "" {
		letter.NotMe = to.link(stopPrefix + secret.APIStop(to.ID))
	}
	return nil
}

// tell adds what came of a letter to the history of its challenge.
func (c *Core) tell(tx store.Tx, of outbox.Item, tries []outbox.Try) error {
	var steps []challenge.Step
	for _, try := range tries {
		step := challenge.Step{At: try.At, Outcome: challenge.OutcomeAccepted, Sender: try.Sender, MessageID: cmp.Or(try.Renamed, try.MessageID)}
		if try.Failed != nil {
			step.Outcome, step.Detail = challenge.OutcomeDeferred, try.Failed.Reason
			if try.Failed.Maybe {
				step.Outcome = challenge.OutcomeMaybe
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
func (t *attempt) isUnseen(p *person.Record) (bool, error) {
	if !p.Created.Before(t.now) {
		return false, nil // the first sign-in of all is no news
	}
	d, err := challenge.LoadDevice(t.tx, t.b.Device)
	return err == nil && !d.Knows(p.Address), err
}
