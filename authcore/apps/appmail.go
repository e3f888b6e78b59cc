package apps

import (
	"cmp"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/orgname"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// MailOf is the message that a challenge is answered with; share names whose part
// of Limits.Global it is from.
func MailOf(c *challenge.Challenge, share string) *outbox.Entry {
	return &outbox.Entry{Ref: c.ID, Text: c.IsText(), At: c.AskedAt, Expires: c.Expires, Share: share, Known: c.Known, To: c.Recipient(), Unsent: string(c.Unsent)}
}

// NetworkShare is the share of Limits.Global that a network's mails are from.
func NetworkShare(network string) string { return cmp.Or(network, "unknown") }

// Spend counts the mail of a new challenge, which becomes a decoy when it could
// only be given up in the end.
func Spend(tx store.Tx, out *outbox.Outbox, limits limit.Limits, c *challenge.Challenge, mail *outbox.Entry) error {
	ok, err := out.Count(tx, limits, mail)
	if err == nil && !ok {
		c.Decoy, c.Unsent = true, challenge.OutcomeLimited
		mail.Unsent, mail.Held = string(c.Unsent), nil
	}
	return err
}

// Letter says what the letter of a challenge made for an app has beside what any
// letter has; false where none is wanted any more.
func (s *View) Letter(tx store.Tx, c *challenge.Challenge, item *outbox.Item, letter *outbox.Letter) (bool, error) {
	to, err := s.wanted(tx, c, s.core.now())
	if err != nil || to == nil {
		return false, err
	}
	item.About.App, item.About.Subject = to.Realm.App, to.Subject
	if secret, err := s.core.secrets.Find(c.Secret); err == nil {
		item.Problem = s.letterOf(to, secret, letter)
	}
	letter.Into, err = to.into(tx)
	return true, err
}

// wanted completes a challenge made for an app whose mail is to be sent: none that
// can't be answered any more, and no invitation whose recipient wants none by now.
func (s *View) wanted(tx store.Tx, c *challenge.Challenge, now time.Time) (*sent, error) {
	to, err := sentOf(tx, c)
	if err != nil || to == nil {
		return nil, err
	}
	if v, err := to.standing(tx, now); err != nil || v != event.Accepted && v != event.CodesOff {
		return nil, err
	}
	if app := s.cfg.List.Find(to.Realm.App); app != nil && to.isOff(app) {
		return nil, nil
	}
	if to.Invite == "" && to.apiPart.Letter != outbox.LetterInvite {
		return to, nil
	}
	if paused, err := invitesPaused(tx, to.Realm, to.Address, now); err != nil || paused {
		return nil, err
	}
	return to, nil
}

// into is what the organization that to invites to is called now, "" for none.
func (to *sent) into(tx store.Tx) (string, error) {
	i, err := organization.LoadInvite(tx, to.Realm, to.Invite)
	if err != nil || i == nil {
		return "", err
	}
	o, err := organization.LoadOrg(tx, to.Realm, i.Org)
	if err != nil || o == nil {
		return "", err
	}
	return orgname.Quoted(o.Name), nil
}

// errGone: what a message was about is not configured any more.
var errGone = errors.New("the app that asked, or the redirect it asked for, is not in the configuration any more")

// letterOf completes the letter of a challenge made for an app. A redirect that is
// not allowed any more is not sent.
func (s *View) letterOf(to *sent, secret keyring.Secret, letter *outbox.Letter) error {
	letter.Kind, letter.Phone = to.Letter, to.Phone
	app := s.cfg.List.Find(to.Realm.App)
	if app == nil || to.Redirect != "" && !app.MayRedirect(to.Use, to.Redirect) {
		return errGone
	}
	letter.App = app.DisplayName()
	switch {
	case to.isLink():
		letter.Link = to.link(secret.APILink(to.ID))
	case to.LinkOnly:
		letter.Kind, letter.Link = outbox.LetterLink, to.Shows+secret.APILink(to.ID)
	default:
		letter.Code = to.Code(secret)
		letter.Link = to.link(letter.Code)
	}
	if to.Invite != "" {
		letter.NotMe = to.link(stopPrefix + secret.APIStop(to.ID))
	}
	return nil
}
