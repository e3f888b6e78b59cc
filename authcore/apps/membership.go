package apps

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// RoleChange is a wish to change somebody's place in an organization.
type RoleChange struct {
	Realm   person.Realm
	Org     string
	Subject string // whose
	Role    Role   // "" takes the person out
	By      string // subject of the member who wishes it; "" for the app itself
	Add     bool   // the person may be new to the organization
}

// SetRole changes, adds or ends a membership, and returns what it is then. Verdict
// is Accepted; Unknown (no such organization, person or membership, or By is not in
// it); Forbidden: only owners change or remove owners and admins or make any, only
// owners and admins change members, and an organization keeps at least one owner.
func (s *View) SetRole(ctx context.Context, in RoleChange) (Membership, event.Verdict, error) {
	out, v, err := decide(ctx, s.core.store, func(tx store.Tx) (Membership, event.Verdict, error) {
		v, err := s.setRole(tx, in)
		if err != nil || v != event.Accepted {
			return Membership{}, v, err
		}
		out, err := loadMembership(tx, in.Realm, in.Org, in.Subject)
		return out, v, err
	})
	if err == nil && v == event.Accepted {
		s.observe(event.Event{Name: event.Org, App: in.Realm.App, Subject: in.Subject, Reason: "role_" + string(in.Role)})
	}
	return out, v, err
}

func (s *View) setRole(tx store.Tx, in RoleChange) (event.Verdict, error) {
	o, by, err := enter(tx, in.Realm, in.Org, in.By)
	if err != nil || o == nil {
		return event.Unknown, err
	}
	p, err := person.LoadIn(tx, in.Realm, in.Subject)
	if err != nil || p == nil {
		return event.Unknown, err
	}
	old, err := RoleIn(tx, o.ID, p.Subject)
	if err != nil || old == "" && !in.Add {
		return event.Unknown, err
	}
	if leaves := in.By == in.Subject && in.Role == ""; !leaves && !mayChange(by.Role, old, in.Role) {
		return event.Forbidden, nil
	}
	if old == Owner && in.Role != Owner && len(o.Owners) == 1 || in.Role == Owner && len(o.Owners) >= MaxOwners {
		return event.Forbidden, nil
	}
	return event.Accepted, o.setRole(tx, p.Subject, in.Role, s.core.now())
}

// mayInvite tells whether a member with role r may invite at all, and see whom
// others have invited.
func (r Role) mayInvite() bool { return mayChange(r, "", Member) }

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
