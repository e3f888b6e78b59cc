package authcore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Invitations are mails that one customer has sent to anybody. They have limits
// of their own and a share of Limits.Global, so that no customer stops sign-ins
// with them, of all or of whom they invite.
var (
	invitesByPerson = []limit.Rate{{Count: 20, Per: time.Hour}, {Count: 50, Per: 24 * time.Hour}}
	invitesOf       = []limit.Rate{{Count: 50, Per: time.Hour}, {Count: 100, Per: 24 * time.Hour}} // one organization, one client network
)

// InviteMember makes an invitation of email, and the person whose address it is
// if there is none: the invitation dies with that person's contact. The one that
// waits already is renewed instead. No mail is sent. by is the subject of the
// member who invites, "" for the app itself. Verdict is Accepted, Unknown (no
// such organization) or Forbidden.
func (s *Service) InviteMember(ctx context.Context, realm Realm, org, by string, email address.Address, role Role) (Invite, event.Verdict, error) {
	i, err := s.newInvite(ctx, realm, org, by, email, role)
	if err != nil {
		return Invite{}, event.Unknown, err
	}
	out, v := i, event.Unknown
	err = s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		out = i
		_, v, err = s.putInvite(tx, &out)
		return err
	})
	return out, v, err
}

// SendInvite is InviteMember that has the mail sent to in.Whom.Email, all in one
// transaction. Verdict is that of Ask, or as above. While the address's owner
// wants no such mails the answer is the same and nothing is sent.
func (s *Service) SendInvite(ctx context.Context, in Ask, org, by string, role Role) (Invite, Asked, error) {
	i, err := s.newInvite(ctx, in.Caller.Realm(), org, by, in.Whom.Email, role)
	if err != nil {
		return Invite{}, Asked{}, err
	}
	in.invite, in.Create, in.Deliver = &i, true, true
	in.Known.Letter, in.Known.Lifetime = LetterInvite, InviteLifetime
	asked, err := s.Ask(ctx, in)
	return i, asked, err
}

func (s *Service) newInvite(ctx context.Context, realm Realm, org, by string, email address.Address, role Role) (Invite, error) {
	pending, err := s.Invites(ctx, realm, org)
	if err != nil {
		return Invite{}, err
	}
	now := s.core.now()
	i := Invite{ID: keyring.NewID(now), Realm: realm, Org: org, Email: email, Created: now}
	if n := slices.IndexFunc(pending, func(i Invite) bool { return i.Email == email }); n >= 0 {
		i = pending[n]
	}
	i.Role, i.By, i.Expires = role, by, now.Add(InviteLifetime)
	return i, nil
}

// putInvite checks and stores an invitation, and returns its organization. One
// that was accepted or withdrawn meanwhile stays so, and this is another.
func (s *Service) putInvite(tx store.Tx, i *Invite) (*Organization, event.Verdict, error) {
	o, err := loadOrg(tx, i.Realm, i.Org)
	if err != nil || o == nil {
		return nil, event.Unknown, err
	}
	if may, err := i.byRight(tx); err != nil || !may {
		return nil, event.Forbidden, err
	}
	var old Invite
	if known, err := store.Load(tx, store.KeyInvite+i.ID, &old); err != nil {
		return nil, event.Unknown, err
	} else if known && !old.waits() {
		i.ID = keyring.NewID(s.core.now())
	}
	if err := s.addressInvite(tx, i); err != nil {
		return nil, event.Unknown, err
	}
	return o, event.Accepted, i.save(tx)
}

// waits tells whether an invitation can still be accepted, if it is not too old.
func (i *Invite) waits() bool { return i.Accepted.IsZero() && i.Withdrawn.IsZero() }

// byRight tells whether who invites may make such an invitation now.
func (i *Invite) byRight(tx store.Tx) (bool, error) {
	if i.By == "" {
		return true, nil
	}
	role, err := roleIn(tx, i.Org, i.By)
	return mayChange(role, "", i.Role), err
}

// inviteDead tells whether the link of an invitation died with it.
func (t *proving) inviteDead() (bool, error) {
	if t.c.API.Invite == "" {
		return false, nil
	}
	i, err := loadInvite(t.tx, t.c.API.Realm, t.c.API.Invite)
	return i == nil, err
}

// WithdrawInvite takes an invitation back. by is as in InviteMember. Verdict is
// Accepted, Unknown (none that waits) or Forbidden.
func (s *Service) WithdrawInvite(ctx context.Context, realm Realm, org, id, by string) (event.Verdict, error) {
	v := event.Unknown
	err := s.core.store.Update(ctx, func(tx store.Tx) error {
		v = event.Unknown
		i, err := loadInvite(tx, realm, id)
		if err != nil || i == nil || i.Org != org || !i.waits() {
			return err
		}
		if by != "" {
			role, err := roleIn(tx, org, by)
			if err != nil || !mayChange(role, "", i.Role) {
				v = event.Forbidden
				return err
			}
		}
		v, i.Withdrawn = event.Accepted, s.core.now()
		return i.save(tx)
	})
	if err == nil && v == event.Accepted {
		s.observe(event.Event{Name: event.Org, App: realm.App, Subject: by, Reason: "invite_withdrawn"})
	}
	return v, err
}

// stopPrefix begins the tokens that stop invitations: they stand where those of
// links do, because a mail may show no other host than the app's.
const stopPrefix = "stop-"

// IsStopToken tells a token that stops invitations from one of a link.
func IsStopToken(token string) bool { return strings.HasPrefix(token, stopPrefix) }

func invitePauseKey(r Realm, a address.Address) string {
	return store.KeyInvitePause + r.String() + "/" + keyring.Hash(a.String())
}

// invitesPaused tells whether the owner of the address wants no invitations
// now: as for what was never asked for at the gates.
func (t *asking) invitesPaused() (bool, error) {
	i, p := t.in.invite, &pause{}
	ok, err := store.Load(t.tx, invitePauseKey(i.Realm, i.Email), p)
	if err != nil || ok && t.now.Before(p.Until) {
		return ok, err
	}
	gates, err := loadPause(t.tx, i.Email, t.now)
	return gates != nil, err
}

// StopInvites takes the word of whoever holds token, from the mail of an
// invitation to a, that it was not wanted: the invitation is withdrawn, and for
// 24 hours no invitation of the app is mailed to a. It reports whether token
// belongs to a mail to a; if not, nothing changes.
func (s *Service) StopInvites(ctx context.Context, app *App, token string, a address.Address) (bool, error) {
	var ok bool
	err := s.core.store.Update(ctx, func(tx store.Tx) error {
		ok = false
		var id string
		if _, err := store.Load(tx, store.KeyAPIStop+keyring.Hash(token), &id); err != nil || id == "" {
			return err
		}
		c, err := loadChallenge(tx, id)
		if err != nil || c == nil || c.API == nil || c.API.Realm.App != app.ID || c.Address != a {
			return err
		}
		ok = true
		now := s.core.now()
		p := pause{Since: now, Until: now.Add(pauseLifetime)}
		if err := store.Save(tx, invitePauseKey(c.API.Realm, a), p, p.Until); err != nil {
			return err
		}
		i, err := loadInvite(tx, c.API.Realm, c.API.Invite)
		if err != nil || i == nil || !i.waits() {
			return err
		}
		i.Withdrawn = now
		return i.save(tx)
	})
	if err == nil && ok {
		s.observe(event.Event{Name: event.NotMe, App: app.ID, Address: a})
	}
	return ok, err
}

// invitationCounters are the counters of one more invitation. What the app itself
// invites is counted for the recipient alone.
func invitationCounters(l limit.Limits, i *Invite, in Ask) limit.Counters {
	cs := limit.Counters{limit.NewCounter("invite-recipient/"+keyring.Hash(i.Email.String()), l.Repeated(in.Repeat))}
	if i.By == "" {
		return cs
	}
	cs = append(cs, limit.NewCounter("invite-by/"+i.By, invitesByPerson),
		limit.NewCounter("invite-org/"+i.Org, invitesOf))
	for n, p := range limit.ClientNetworks(in.Client) {
		rates := invitesOf
		if n > 0 {
			rates = limit.Times(rates, limit.WiderClient)
		}
		cs = append(cs, limit.NewCounter("invite-client/"+p.String(), rates))
	}
	return cs
}
