package organization

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/decide"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
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

// Invite makes an invitation of email, for whoever proves that address. It
// dies when the address is taken from a person who is known by it. A person has
// one invitation to an organization: the one that waits already is renewed, or
// withdrawn if it went to another of their addresses. No mail is sent. by is as in
// Find. Verdict is Accepted, Unknown (no such organization) or Forbidden:
// also to replace what by may not withdraw.
func (s *Organizations) Invite(ctx context.Context, realm person.Realm, org, by string, email address.Address, role Role) (Invite, event.Verdict, error) {
	return decide.Update(ctx, s.store, func(tx store.Tx) (Invite, event.Verdict, error) {
		i := Invite{Realm: realm, Org: org, By: by, Email: email, Role: role}
		v, err := s.PutInvite(tx, &i)
		return i, v, err
	})
}

// PutInvite checks and stores an invitation, reading of i
// what was wished, and tells the rest.
func (s *Organizations) PutInvite(tx store.Tx, i *Invite) (event.Verdict, error) {
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
	now := s.now()
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
		alive, err := LoadInvite(tx, i.Realm, old.ID)
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

// WaitingInvite reads the invitation of any of the addresses that was neither
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

// Keys are what is read with an invitation of the person sub, "" while it is not
// known who that is.
func (i *Invite) Keys(sub string) (keys []string) {
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

// Waits tells whether an invitation can still be accepted, if it is not too old.
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

// Renewable reads an invitation that waits, for somebody who may send it again. by is
// as in Find. Verdict is Accepted, Unknown for one that does not wait, or Forbidden.
func Renewable(tx store.Tx, realm person.Realm, org, id, by string) (*Invite, event.Verdict, error) {
	o, m, err := enter(tx, realm, org, by)
	switch {
	case err != nil || o == nil:
		return nil, event.Unknown, err
	case !m.Role.mayInvite():
		return nil, event.Forbidden, nil
	}
	i, err := LoadInvite(tx, realm, id)
	if err != nil || i == nil || i.Org != org || !i.Waits() {
		return nil, event.Unknown, err
	}
	return i, event.Accepted, nil
}

// Withdraw takes an invitation back. by is as in Find. Verdict is
// Accepted, Unknown (none that waits) or Forbidden.
func (s *Organizations) Withdraw(ctx context.Context, realm person.Realm, org, id, by string) (event.Verdict, error) {
	_, v, err := decide.Update(ctx, s.store, func(tx store.Tx) (none struct{}, v event.Verdict, err error) {
		o, m, err := enter(tx, realm, org, by)
		if err != nil || o == nil {
			return none, event.Unknown, err
		}
		i, err := LoadInvite(tx, realm, id)
		switch {
		case err != nil || i == nil || i.Org != org || !i.Waits():
			return none, event.Unknown, err
		case !mayChange(m.Role, "", i.Role):
			return none, event.Forbidden, nil
		}
		i.Withdrawn = s.now()
		return none, event.Accepted, i.Save(tx)
	})
	if err == nil && v == event.Accepted {
		s.observe(event.Event{Name: event.Org, App: realm.App, Subject: by, Reason: "invite_withdrawn"})
	}
	return v, err
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

// LoadInvite reads an invitation, nil for none. One that was not accepted is none
// for good once it was withdrawn, who made it lost any right in the organization,
// or its address was taken from whoever had it.
func LoadInvite(tx store.Tx, realm person.Realm, id string) (*Invite, error) {
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

// IsAlive tells whether the invitation, if it is not too old, can be accepted.
func (i *Invite) IsAlive(tx store.Tx) (bool, error) {
	if may, err := i.standsBy(tx); err != nil || !may || !i.Waits() {
		return false, err
	}
	span, err := person.LoadSpan(tx, i.Realm, i.Email.String())
	return span.ID == i.Span, err
}

// Invites returns the invitations of an organization that wait. by is as in
// Find. Verdict is Accepted, Unknown (no such organization) or Forbidden,
// for who may not invite.
func (s *Organizations) Invites(ctx context.Context, realm person.Realm, org, by string) ([]Invite, event.Verdict, error) {
	return decide.View(ctx, s.store, func(tx store.Tx) (out []Invite, v event.Verdict, err error) {
		o, m, err := enter(tx, realm, org, by)
		switch {
		case err != nil || o == nil:
			return nil, event.Unknown, err
		case !m.Role.mayInvite():
			return nil, event.Forbidden, nil
		}
		ids, err := store.IDs(tx, store.KeyOrgInvite+o.ID+"/")
		for _, id := range ids {
			i, err := LoadInvite(tx, realm, id)
			if err != nil {
				return nil, event.Unknown, err
			}
			if i != nil && i.Org == o.ID && i.Waits() && s.now().Before(i.Expires) {
				out = append(out, *i)
			}
		}
		return out, event.Accepted, err
	})
}

// Accept makes the person a member as invited. Only who has proved the
// invited address may accept. Verdict is Accepted, Unknown, Expired, Used or
// Forbidden. A member keeps a role that is higher than the invited one. With Used
// the membership is that of who became a member by the link in the mail, which is
// the same invitation; of anybody else it is the zero one.
func (s *Organizations) Accept(ctx context.Context, realm person.Realm, id, sub string) (Membership, event.Verdict, error) {
	out, v, err := decide.Update(ctx, s.store, func(tx store.Tx) (Membership, event.Verdict, error) {
		return s.AcceptIn(tx, realm, id, sub)
	})
	if err == nil && v == event.Accepted {
		s.Joined(out.Person)
	}
	return out, v, err
}

// Joined reports that p has accepted an invitation.
func (s *Organizations) Joined(p person.Person) {
	s.observe(event.Event{Name: event.Org, App: p.Realm.App, Subject: p.Subject, Reason: "invite_accepted"})
}

// AcceptIn takes the invitation id for sub, in the transaction tx.
func (s *Organizations) AcceptIn(tx store.Tx, realm person.Realm, id, sub string) (out Membership, v event.Verdict, err error) {
	i, err := LoadInvite(tx, realm, id)
	if err != nil || i == nil {
		return out, event.Unknown, err
	}
	p, err := person.LoadIn(tx, realm, sub)
	if err != nil || p == nil {
		return out, event.Unknown, err
	}
	view := p.View()
	c, ok := view.Contact(i.Email.String())
	invited, now := ok && c.Verified, s.now()
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
