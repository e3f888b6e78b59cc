package apps

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Invitations are mails that one customer has sent to anybody. They have limits
// of their own and a share of Limits.Global, so that no customer stops sign-ins
// with them, of all or of whom they invite.
var (
	invitesByPerson = []limit.Rate{{Count: 20, Per: time.Hour}, {Count: 50, Per: 24 * time.Hour}}
	invitesOf       = []limit.Rate{{Count: 50, Per: time.Hour}, {Count: 100, Per: 24 * time.Hour}} // one organization, one client network
)

// SendInvite is InviteMember that has the mail sent to in.Whom.Email, all in one
// transaction. Verdict is that of Ask, or as above. While the address's owner
// wants no such mails the answer is the same and nothing is sent.
func (s *View) SendInvite(ctx context.Context, in Ask, org, by string, role organization.Role) (organization.Invite, Asked, error) {
	return s.mailInvite(ctx, in, organization.Invite{Org: org, By: by, Email: in.Whom.Email, Role: role})
}

// ResendInvite renews the invitation with id and has its mail sent again. It reads
// the invitation in the transaction that renews it: one that is accepted, withdrawn
// or dead otherwise meanwhile stays so. Verdict is as of SendInvite, Unknown for an
// invitation that does not wait, and Forbidden for who may not invite.
func (s *View) ResendInvite(ctx context.Context, in Ask, org, id, by string) (organization.Invite, Asked, error) {
	return s.mailInvite(ctx, in, organization.Invite{ID: id, Org: org, By: by})
}

func (s *View) mailInvite(ctx context.Context, in Ask, wish organization.Invite) (organization.Invite, Asked, error) {
	wish.Realm = in.Caller.Realm()
	in.invite, in.Create, in.Deliver = &wish, true, true
	in.Known.Letter, in.Known.Lifetime = outbox.LetterInvite, organization.InviteLifetime
	asked, err := s.Ask(ctx, in)
	return asked.invite, asked, err
}

// renew reads the invitation that is to be sent again, and makes it what is asked
// for. Verdict is Accepted, Unknown for one that does not wait, or Forbidden.
func (t *asking) renew() (event.Verdict, error) {
	wish := t.in.invite
	i, v, err := organization.Renewable(t.tx, wish.Realm, wish.Org, wish.ID, wish.By)
	if err != nil || v != event.Accepted {
		return v, err
	}
	wish.Email, wish.Role = i.Email, i.Role
	t.in.Whom.Email = i.Email
	return event.Accepted, nil
}

// inviteState is Accepted while the invitation of c waits, or if c has none.
func (c *sent) inviteState(tx store.Tx) (event.Verdict, error) {
	if c.Invite == "" {
		return event.Accepted, nil
	}
	i, err := organization.LoadInvite(tx, c.Realm, c.Invite)
	switch {
	case err != nil || i == nil:
		return event.Expired, err
	case !i.Accepted.IsZero():
		return event.Used, nil
	}
	return event.Accepted, nil
}

// stopPrefix begins the tokens that stop invitations: they stand where those of
// links do, because a mail may show no other host than the app's.
const stopPrefix = "stop-"

// IsStopToken tells a token that stops invitations from one of a link.
func IsStopToken(token string) bool { return strings.HasPrefix(token, stopPrefix) }

func invitePauseKey(r person.Realm, a address.Address) string {
	return store.KeyInvitePause + r.String() + "/" + keyring.Hash(a.String())
}

// invitesPaused tells whether the owner of a wants no invitations now: as for
// what was never asked for at the gates.
func invitesPaused(tx store.Tx, r person.Realm, a address.Address, now time.Time) (bool, error) {
	var until time.Time
	ok, err := store.Load(tx, invitePauseKey(r, a), &until)
	if err != nil || ok && now.Before(until) {
		return ok, err
	}
	return challenge.Paused(tx, a, now)
}

// wrongStops bounds the addresses that are tried with the token of one mail:
// whom it was handed on to may not find out whose it was.
var wrongStops = []limit.Rate{{Count: 5, Per: time.Hour}}

// StopInvites takes the word of whoever holds token, from the mail of an
// invitation to a, that it was not wanted: the invitation is withdrawn, and for
// 24 hours no invitation of the app is mailed to a. Verdict is Accepted, Unknown
// (the token belongs to no mail to a, and nothing changes) or Limited, for the
// time that is returned: too many addresses were tried.
func (s *View) StopInvites(ctx context.Context, app *App, token string, a address.Address) (event.Verdict, time.Duration, error) {
	type stopped struct {
		v    event.Verdict
		wait time.Duration
	}
	got, err := store.Update(ctx, s.core.store, func(tx store.Tx) (got stopped, err error) {
		got.v, got.wait, err = s.stopInvites(tx, app, token, a)
		return got, err
	})
	if err == nil && got.v == event.Accepted {
		s.observe(event.Event{Name: event.NotMe, App: app.ID, Address: a})
	}
	return got.v, got.wait, err
}

func (s *View) stopInvites(tx store.Tx, app *App, token string, a address.Address) (event.Verdict, time.Duration, error) {
	var id string
	if _, err := store.Load(tx, store.KeyAPIStop+keyring.Hash(token), &id); err != nil || id == "" {
		return event.Unknown, 0, err
	}
	made, err := challenge.Load(tx, id)
	if err != nil || made == nil {
		return event.Unknown, 0, err
	}
	c, err := sentOf(tx, made)
	if err != nil || c == nil || c.Realm.App != app.ID {
		return event.Unknown, 0, err
	}
	now := s.core.now()
	tries := limit.Counters{limit.NewCounter("stop/"+c.ID, wrongStops)}
	if err := tries.Load(tx); err != nil {
		return event.Unknown, 0, err
	}
	if wait := tries.Wait(now); wait > 0 {
		return event.Limited, wait, nil
	}
	if c.Address != a {
		tries.Count(tx, now)
		return event.Unknown, 0, nil
	}
	until := now.Add(challenge.PauseLifetime)
	if err := store.Save(tx, invitePauseKey(c.Realm, a), until, until); err != nil {
		return event.Unknown, 0, err
	}
	i, err := organization.LoadInvite(tx, c.Realm, c.Invite)
	if err != nil || i == nil || !i.Waits() {
		return event.Accepted, 0, err
	}
	i.Withdrawn = now
	return event.Accepted, 0, i.Save(tx)
}

// invitationCounters are the counters of one more invitation. What the app itself
// invites is counted for the recipient alone.
func invitationCounters(l limit.Limits, i *organization.Invite, in Ask) limit.Counters {
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
