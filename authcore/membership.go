package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// RoleChange is a wish to change somebody's place in an organization.
type RoleChange struct {
	Realm   Realm
	Org     string
	Subject string // whose
	Role    Role   // "" takes the person out
	By      string // subject of the member who wishes it; "" for the app itself
	Add     bool   // the person may be new to the organization
}

// SetRole changes, adds or ends a membership. Verdict is Accepted; Unknown (no
// such organization, person or membership); Forbidden: only owners change or
// remove owners and admins or make any, only owners and admins change members,
// and an organization keeps at least one owner.
func (s *Service) SetRole(ctx context.Context, in RoleChange) (event.Verdict, error) {
	var v event.Verdict
	err := s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		v, err = s.setRole(tx, in)
		return err
	})
	if err == nil && v == event.Accepted {
		s.observe(event.Event{Name: event.Org, App: in.Realm.App, Subject: in.Subject, Reason: "role_" + string(in.Role)})
	}
	return v, err
}

func (s *Service) setRole(tx store.Tx, in RoleChange) (event.Verdict, error) {
	o, err := loadOrg(tx, in.Realm, in.Org)
	if err != nil || o == nil {
		return event.Unknown, err
	}
	p, err := loadRealmPerson(tx, in.Realm, in.Subject)
	if err != nil || p == nil {
		return event.Unknown, err
	}
	old, err := roleIn(tx, o.ID, p.Subject)
	if err != nil || old == "" && !in.Add {
		return event.Unknown, err
	}
	if in.By != "" {
		by, err := roleIn(tx, o.ID, in.By)
		if err != nil || !mayChange(by, old, in.Role) && !(in.By == in.Subject && in.Role == "") {
			return event.Forbidden, err
		}
	}
	if old == Owner && in.Role != Owner && len(o.Owners) == 1 || in.Role == Owner && len(o.Owners) >= maxOwners {
		return event.Forbidden, nil
	}
	return event.Accepted, o.setRole(tx, p.Subject, in.Role, s.core.now())
}

// mayChange tells whether a member with role by may make old into role.
func mayChange(by, old, role Role) bool {
	switch by {
	case Owner:
		return true
	case Admin: // members may be promoted, never to owner; admins are for owners
		return old != Owner && old != Admin && role != Owner
	}
	return false
}

// Invite is an invitation to an organization.
type Invite struct {
	ID       string          `json:"id"`
	Realm    Realm           `json:"realm"`
	Org      string          `json:"org"`
	Email    address.Address `json:"email"`
	Subject  string          `json:"sub,omitempty"`     // whose address it is, until it is accepted
	Contact  string          `json:"contact,omitempty"` // the id of the address, until then
	Role     Role            `json:"role"`
	By       string          `json:"by,omitempty"` // subject, "" for the app
	Created  time.Time       `json:"created"`
	Expires  time.Time       `json:"expires"`
	Accepted time.Time       `json:"accepted,omitzero"`

	Withdrawn time.Time `json:"withdrawn,omitzero"` // by a member or by whom it was sent to
}

// InviteLifetime is how long an invitation can be accepted.
const InviteLifetime = 7 * 24 * time.Hour

// addressInvite notes whose contact the invited address is.
func (s *Service) addressInvite(tx store.Tx, i *Invite) error {
	p, err := findPerson(tx, i.Realm, indexValue, i.Email.String())
	if err != nil {
		return err
	}
	if p == nil {
		p = s.newPerson(s.cfg.Apps.Find(i.Realm.App), i.Realm)
		if _, _, err := s.apply(tx, p, Draft{Emails: []address.Address{i.Email}}); err != nil {
			return err
		}
		if err := p.save(tx); err != nil {
			return err
		}
	}
	v := p.view()
	c, _ := v.Contact(i.Email.String())
	i.Subject, i.Contact = p.Subject, c.ID
	return nil
}

// kept is until when an invitation that is too old can be told from none.
func (i *Invite) kept() time.Time { return i.Expires.Add(InviteLifetime) }

func (i *Invite) save(tx store.Tx) error {
	kept := i.kept()
	tx.Put(store.KeyOrgInvite+i.Org+"/"+i.ID, []byte("{}"), kept)
	return store.Save(tx, store.KeyInvite+i.ID, i, kept)
}

// loadInvite reads an invitation, nil for none. One that was not accepted is none
// once it was withdrawn, who made it may not make it any more, or its address is
// not that person's any more.
func loadInvite(tx store.Tx, realm Realm, id string) (*Invite, error) {
	if !keyring.IsID(id) {
		return nil, nil
	}
	i := &Invite{}
	ok, err := store.Load(tx, store.KeyInvite+id, i)
	if err != nil || !ok || i.ID != id || i.Realm != realm {
		return nil, err
	}
	if i.Accepted.IsZero() {
		if may, err := i.byRight(tx); err != nil || !may || !i.waits() {
			return nil, err
		}
		p, err := sentTo{i.Subject, i.Contact, i.Email.String()}.holder(tx, realm)
		if err != nil || p == nil {
			return nil, err
		}
	}
	return i, nil
}

// Invites returns the invitations of an organization that wait.
func (s *Service) Invites(ctx context.Context, realm Realm, org string) ([]Invite, error) {
	var out []Invite
	err := s.core.store.View(ctx, func(tx store.Tx) error {
		out = nil
		prefix := store.KeyOrgInvite + org + "/"
		ids, err := scanIDs(tx, prefix)
		if err != nil {
			return err
		}
		for _, id := range ids {
			i, err := loadInvite(tx, realm, id)
			if err != nil {
				return err
			}
			if i != nil && i.Org == org && i.waits() && s.core.now().Before(i.Expires) {
				out = append(out, *i)
			}
		}
		return nil
	})
	return out, err
}

// AcceptInvite makes the person a member as invited. Only who has proved the
// invited address may accept. Verdict is Accepted, Unknown, Expired, Used or
// Forbidden. A member keeps a role that is higher than the invited one.
func (s *Service) AcceptInvite(ctx context.Context, realm Realm, id, sub string) (Membership, event.Verdict, error) {
	var out Membership
	var v event.Verdict
	err := s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		v, err = s.acceptInvite(tx, realm, id, sub, &out)
		return err
	})
	if err == nil && v == event.Accepted {
		s.observe(event.Event{Name: event.Org, App: realm.App, Subject: sub, Reason: "invite_accepted"})
	}
	return out, v, err
}

func (s *Service) acceptInvite(tx store.Tx, realm Realm, id, sub string, out *Membership) (event.Verdict, error) {
	i, err := loadInvite(tx, realm, id)
	if err != nil || i == nil {
		return event.Unknown, err
	}
	now := s.core.now()
	switch {
	case !i.Accepted.IsZero():
		return event.Used, nil
	case !now.Before(i.Expires):
		return event.Expired, nil
	}
	o, err := loadOrg(tx, realm, i.Org)
	if err != nil || o == nil {
		return event.Unknown, err
	}
	p, err := loadRealmPerson(tx, realm, sub)
	if err != nil || p == nil {
		return event.Unknown, err
	}
	v := p.view()
	if c, ok := v.Contact(i.Email.String()); !ok || !c.Verified {
		return event.Forbidden, nil
	}
	old, err := roleIn(tx, o.ID, sub)
	if err != nil {
		return event.Unknown, err
	}
	role := i.Role
	if old == Owner || old == Admin && role == Member {
		role = old
	}
	i.Accepted, i.Subject, i.Contact = now, "", "" // who it was need not be kept
	if err := i.save(tx); err != nil {
		return event.Unknown, err
	}
	*out = Membership{Org: *o, Person: v, Role: role, Since: now}
	return event.Accepted, o.setRole(tx, sub, role, now)
}
