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

// Invite is an invitation to an organization.
type Invite struct {
	ID       string          `json:"id"`
	Realm    person.Realm    `json:"realm"`
	Org      string          `json:"org"`
	Email    address.Address `json:"email"`
	Span     string          `json:"span,omitempty"` // of Email, see person.Span
	Role     Role            `json:"role"`
	By       string          `json:"by,omitempty"`        // subject, "" for the app
	Tenure   string          `json:"tenure,omitempty"`    // of By's membership, see MemberRecord
	ByTenure string          `json:"by_tenure,omitempty"` // of By, see person.Profile
	Created  time.Time       `json:"created"`
	Expires  time.Time       `json:"expires"`
	Accepted time.Time       `json:"accepted,omitzero"`

	Withdrawn time.Time `json:"withdrawn,omitzero"` // by a member, by whom it was sent to, or for another one
}

// InviteLifetime is how long an invitation can be accepted.
const InviteLifetime = 7 * 24 * time.Hour

// InviteMember makes an invitation of email, for whoever proves that address. It
// dies when the address is taken from a person who is known by it. A person has
// one invitation to an organization: the one that waits already is renewed, or
// withdrawn if it went to another of their addresses. No mail is sent. by is as in
// Organization. Verdict is Accepted, Unknown (no such organization) or Forbidden:
// also to replace what by may not withdraw.
func (s *View) InviteMember(ctx context.Context, realm person.Realm, org, by string, email address.Address, role Role) (Invite, event.Verdict, error) {
	return decide(ctx, s.core.store, func(tx store.Tx) (Invite, event.Verdict, error) {
		i := Invite{Realm: realm, Org: org, By: by, Email: email, Role: role}
		v, err := s.putInvite(tx, &i)
		return i, v, err
	})
}

// SendInvite is InviteMember that has the mail sent to in.Whom.Email, all in one
// transaction. Verdict is that of Ask, or as above. While the address's owner
// wants no such mails the answer is the same and nothing is sent.
func (s *View) SendInvite(ctx context.Context, in Ask, org, by string, role Role) (Invite, Asked, error) {
	return s.mailInvite(ctx, in, Invite{Org: org, By: by, Email: in.Whom.Email, Role: role})
}

// ResendInvite renews the invitation with id and has its mail sent again. It reads
// the invitation in the transaction that renews it: one that is accepted, withdrawn
// or dead otherwise meanwhile stays so. Verdict is as of SendInvite, Unknown for an
// invitation that does not wait, and Forbidden for who may not invite.
func (s *View) ResendInvite(ctx context.Context, in Ask, org, id, by string) (Invite, Asked, error) {
	return s.mailInvite(ctx, in, Invite{ID: id, Org: org, By: by})
}

func (s *View) mailInvite(ctx context.Context, in Ask, wish Invite) (Invite, Asked, error) {
	wish.Realm = in.Caller.Realm()
	in.invite, in.Create, in.Deliver = &wish, true, true
	in.Known.Letter, in.Known.Lifetime = outbox.LetterInvite, InviteLifetime
	asked, err := s.Ask(ctx, in)
	return asked.invite, asked, err
}

// renew reads the invitation that is to be sent again, and makes it what is asked
// for. Verdict is Accepted, Unknown for one that does not wait, or Forbidden.
func (t *asking) renew() (event.Verdict, error) {
	wish := t.in.invite
	o, by, err := enter(t.tx, wish.Realm, wish.Org, wish.By)
	switch {
	case err != nil || o == nil:
		return event.Unknown, err
	case !by.Role.mayInvite():
		return event.Forbidden, nil
	}
	i, err := loadInvite(t.tx, wish.Realm, wish.ID)
	if err != nil || i == nil || i.Org != wish.Org || !i.Waits() {
		return event.Unknown, err
	}
	wish.Email, wish.Role = i.Email, i.Role
	t.in.Whom.Email = i.Email
	return event.Accepted, nil
}

// putInvite checks and stores an invitation, reading of i
// what was wished, and tells the rest.
func (s *View) putInvite(tx store.Tx, i *Invite) (event.Verdict, error) {
	o, by, err := enter(tx, i.Realm, i.Org, i.By)
	switch {
	case err != nil || o == nil:
		return event.Unknown, err
	case !mayChange(by.Role, "", i.Role):
		return event.Forbidden, nil
	}
	_, byTenure, err := i.sender(tx)
	if err != nil {
		return event.Unknown, err
	}
	now := s.core.now()
	i.ID, i.Created, i.Expires = keyring.NewID(now), now, now.Add(InviteLifetime)
	i.Tenure, i.ByTenure = by.Tenure, byTenure
	if i.Span, err = KeepSpan(tx, i); err != nil {
		return event.Unknown, err
	}
	p, err := person.Whom{Email: i.Email}.Find(tx, i.Realm)
	if err != nil {
		return event.Unknown, err
	}
	old, err := o.WaitingInvite(tx, invitedAs(p, i.Email)...)
	if err != nil {
		return event.Unknown, err
	}
	if old != nil {
		alive, err := loadInvite(tx, i.Realm, old.ID)
		switch {
		case err != nil:
			return event.Unknown, err
		case alive != nil && !mayChange(by.Role, "", old.Role):
			return event.Forbidden, nil
		case alive != nil && old.Email == i.Email && now.Before(old.Expires):
			i.ID, i.Created = old.ID, old.Created
		default:
			old.Withdrawn = now
			if err := old.Save(tx); err != nil {
				return event.Unknown, err
			}
		}
	}
	return event.Accepted, i.Save(tx)
}

// KeepSpan reads the Span of the invited address, and keeps it as long as the
// invitation.
func KeepSpan(tx store.Tx, i *Invite) (string, error) {
	span, err := person.LoadSpan(tx, i.Realm, i.Email.String())
	if err != nil || span.ID == "" {
		return "", err
	}
	return span.ID, store.Save(tx, person.SpanKey(i.Realm, i.Email.String()), span, i.Kept().Add(InviteLifetime))
}

// invitedAs are the addresses by which the one who was invited by a is known: of
// nobody, or of somebody who only has it attached, that alone.
func invitedAs(p *person.Record, a address.Address) []address.Address {
	list := []address.Address{a}
	if p != nil {
		list = append(list, namesOf(p)...)
	}
	return list
}

// namesOf are the addresses by which p is known.
func namesOf(p *person.Record) (list []address.Address) {
	v := p.View()
	for _, c := range v.Named(v.Emails) {
		list = append(list, c.Address())
	}
	return list
}

func invitedKey(org string, a address.Address) string {
	return store.KeyInvited + org + "/" + keyring.Hash(a.String())
}

// waitingInvite reads the invitation of any of the addresses that was neither
// accepted nor withdrawn, dead or alive; nil for none.
func (o *Organization) WaitingInvite(tx store.Tx, list ...address.Address) (*Invite, error) {
	for _, a := range list {
		var id string
		if ok, err := store.Load(tx, invitedKey(o.ID, a), &id); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		i := &Invite{}
		if ok, err := store.Load(tx, store.KeyInvite+id, i); err != nil {
			return nil, err
		} else if ok && i.Org == o.ID && i.Email == a && i.Waits() {
			return i, nil
		}
	}
	return nil, nil
}

// answerInvite ends the invitations that wait for a person who gets a role
// otherwise, or loses it: none of their links counts any more.
func (o *Organization) answerInvite(tx store.Tx, sub string, role Role, now time.Time) error {
	p, err := person.LoadIn(tx, o.Realm, sub)
	if err != nil || p == nil {
		return err
	}
	for _, a := range namesOf(p) {
		i, err := o.WaitingInvite(tx, a)
		if err != nil {
			return err
		}
		if i == nil {
			continue
		}
		if role == "" {
			i.Withdrawn = now
		} else {
			i.Accepted = now
		}
		if err := i.Save(tx); err != nil {
			return err
		}
	}
	return nil
}

// keys are what is read with an invitation of the person sub, "" while it is not
// known who that is.
func (i *Invite) keys(sub string) (keys []string) {
	if !keyring.IsID(i.Org) {
		return nil
	}
	keys = append(keys, store.KeyOrg+i.Org, person.SpanKey(i.Realm, i.Email.String()), invitedKey(i.Org, i.Email))
	if keyring.IsID(i.By) {
		keys = append(keys, store.KeyOrgPerson+i.Org+"/"+i.By, store.KeyPerson+i.By)
	}
	if sub != "" {
		keys = append(keys, store.KeyInvite+i.ID, store.KeyOrgPerson+i.Org+"/"+sub)
	}
	return keys
}

// waits tells whether an invitation can still be accepted, if it is not too old.
func (i *Invite) Waits() bool { return i.Accepted.IsZero() && i.Withdrawn.IsZero() }

// standsBy tells whether who made the invitation has had the right to since then,
// and is still who they were. Who got it back makes another.
func (i *Invite) standsBy(tx store.Tx) (bool, error) {
	if i.By == "" {
		return true, nil
	}
	by, tenure, err := i.sender(tx)
	return by.Tenure == i.Tenure && tenure == i.ByTenure && mayChange(by.Role, "", i.Role), err
}

// sender reads the place of By in the organization, and By's Tenure.
func (i *Invite) sender(tx store.Tx) (m MemberRecord, tenure string, err error) {
	if i.By == "" {
		return m, "", nil
	}
	if m, err = loadMember(tx, i.Org, i.By); err != nil || m.Role == "" {
		return m, "", err
	}
	p, err := person.LoadIn(tx, i.Realm, i.By)
	if err != nil || p == nil {
		return MemberRecord{}, "", err
	}
	return m, p.Profile.Tenure, nil
}

// inviteState is Accepted while the invitation of c waits, or if c has none.
func (c *sent) inviteState(tx store.Tx) (event.Verdict, error) {
	if c.Invite == "" {
		return event.Accepted, nil
	}
	i, err := loadInvite(tx, c.Realm, c.Invite)
	switch {
	case err != nil || i == nil:
		return event.Expired, err
	case !i.Accepted.IsZero():
		return event.Used, nil
	}
	return event.Accepted, nil
}

// WithdrawInvite takes an invitation back. by is as in Organization. Verdict is
// Accepted, Unknown (none that waits) or Forbidden.
func (s *View) WithdrawInvite(ctx context.Context, realm person.Realm, org, id, by string) (event.Verdict, error) {
	_, v, err := decide(ctx, s.core.store, func(tx store.Tx) (none struct{}, v event.Verdict, err error) {
		o, m, err := enter(tx, realm, org, by)
		if err != nil || o == nil {
			return none, event.Unknown, err
		}
		i, err := loadInvite(tx, realm, id)
		switch {
		case err != nil || i == nil || i.Org != org || !i.Waits():
			return none, event.Unknown, err
		case !mayChange(m.Role, "", i.Role):
			return none, event.Forbidden, nil
		}
		i.Withdrawn = s.core.now()
		return none, event.Accepted, i.Save(tx)
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
	i, err := loadInvite(tx, c.Realm, c.Invite)
	if err != nil || i == nil || !i.Waits() {
		return event.Accepted, 0, err
	}
	i.Withdrawn = now
	return event.Accepted, 0, i.Save(tx)
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

// Kept is until when an invitation that is too old can be told from none.
func (i *Invite) Kept() time.Time { return i.Expires.Add(InviteLifetime) }

// Save writes the invitation.
func (i *Invite) Save(tx store.Tx) error {
	kept := i.Kept()
	tx.Put(store.KeyOrgInvite+i.Org+"/"+i.ID, []byte("{}"), kept)
	waiting, key := "", invitedKey(i.Org, i.Email)
	if _, err := store.Load(tx, key, &waiting); err != nil {
		return err
	}
	if i.Waits() {
		if err := store.Save(tx, key, i.ID, kept); err != nil {
			return err
		}
	} else if waiting == i.ID {
		tx.Delete(key)
	}
	return store.Save(tx, store.KeyInvite+i.ID, i, kept)
}

// loadInvite reads an invitation, nil for none. One that was not accepted is none
// for good once it was withdrawn, who made it lost any right in the organization,
// or its address was taken from whoever had it.
func loadInvite(tx store.Tx, realm person.Realm, id string) (*Invite, error) {
	if !keyring.IsID(id) {
		return nil, nil
	}
	i := &Invite{}
	ok, err := store.Load(tx, store.KeyInvite+id, i)
	if err != nil || !ok || i.ID != id || i.Realm != realm {
		return nil, err
	}
	if i.Accepted.IsZero() {
		if alive, err := i.IsAlive(tx); err != nil || !alive {
			return nil, err
		}
	}
	return i, nil
}

// isAlive tells whether the invitation, if it is not too old, can be accepted.
func (i *Invite) IsAlive(tx store.Tx) (bool, error) {
	if may, err := i.standsBy(tx); err != nil || !may || !i.Waits() {
		return false, err
	}
	span, err := person.LoadSpan(tx, i.Realm, i.Email.String())
	return span.ID == i.Span, err
}

// Invites returns the invitations of an organization that wait. by is as in
// Organization. Verdict is Accepted, Unknown (no such organization) or Forbidden,
// for who may not invite.
func (s *View) Invites(ctx context.Context, realm person.Realm, org, by string) ([]Invite, event.Verdict, error) {
	return look(ctx, s.core.store, func(tx store.Tx) (out []Invite, v event.Verdict, err error) {
		o, m, err := enter(tx, realm, org, by)
		switch {
		case err != nil || o == nil:
			return nil, event.Unknown, err
		case !m.Role.mayInvite():
			return nil, event.Forbidden, nil
		}
		ids, err := scanIDs(tx, store.KeyOrgInvite+o.ID+"/")
		for _, id := range ids {
			i, err := loadInvite(tx, realm, id)
			if err != nil {
				return nil, event.Unknown, err
			}
			if i != nil && i.Org == o.ID && i.Waits() && s.core.now().Before(i.Expires) {
				out = append(out, *i)
			}
		}
		return out, event.Accepted, err
	})
}

// AcceptInvite makes the person a member as invited. Only who has proved the
// invited address may accept. Verdict is Accepted, Unknown, Expired, Used or
// Forbidden. A member keeps a role that is higher than the invited one. With Used
// the membership is that of who became a member by the link in the mail, which is
// the same invitation; of anybody else it is the zero one.
func (s *View) AcceptInvite(ctx context.Context, realm person.Realm, id, sub string) (Membership, event.Verdict, error) {
	out, v, err := decide(ctx, s.core.store, func(tx store.Tx) (Membership, event.Verdict, error) {
		return s.acceptInvite(tx, realm, id, sub)
	})
	if err == nil && v == event.Accepted {
		s.joined(out.Person)
	}
	return out, v, err
}

// joined reports that p has accepted an invitation.
func (s *View) joined(p person.Person) {
	s.observe(event.Event{Name: event.Org, App: p.Realm.App, Subject: p.Subject, Reason: "invite_accepted"})
}

func (s *View) acceptInvite(tx store.Tx, realm person.Realm, id, sub string) (out Membership, v event.Verdict, err error) {
	i, err := loadInvite(tx, realm, id)
	if err != nil || i == nil {
		return out, event.Unknown, err
	}
	p, err := person.LoadIn(tx, realm, sub)
	if err != nil || p == nil {
		return out, event.Unknown, err
	}
	view := p.View()
	c, ok := view.Contact(i.Email.String())
	invited, now := ok && c.Verified, s.core.now()
	switch {
	case !i.Accepted.IsZero() && invited:
		out, err = loadMembership(tx, realm, i.Org, sub)
		return out, event.Used, err
	case !i.Accepted.IsZero():
		return out, event.Used, nil
	case !now.Before(i.Expires):
		return out, event.Expired, nil
	case !invited:
		return out, event.Forbidden, nil
	}
	o, err := LoadOrg(tx, realm, i.Org)
	if err != nil || o == nil {
		return out, event.Unknown, err
	}
	role, err := RoleIn(tx, o.ID, sub)
	if err != nil {
		return out, event.Unknown, err
	}
	if role.isLower(i.Role) {
		role = i.Role
	}
	i.Accepted = now
	if err := i.Save(tx); err != nil {
		return out, event.Unknown, err
	}
	if err := o.setRole(tx, sub, role, now); err != nil {
		return out, event.Unknown, err
	}
	out, err = loadMembership(tx, realm, o.ID, sub)
	return out, event.Accepted, err
}
