package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Invite returns the invitation with id, also one that was accepted or is too
// old; nil for none in realm.
func (s *Service) Invite(ctx context.Context, realm Realm, id string) (out *Invite, err error) {
	err = s.core.store.View(ctx, func(tx store.Tx) (err error) {
		out, err = loadInvite(tx, realm, id)
		return err
	})
	return out, err
}

// UpdateOrganization gives an organization another name or plan; nil leaves it
// as it is. Verdict is Accepted, Unknown (no such organization in realm) or
// Malformed (no name that it may have).
func (s *Service) UpdateOrganization(ctx context.Context, realm Realm, id string, name, plan *string) (Organization, event.Verdict, error) {
	var out Organization
	v := event.Accepted
	if name != nil && !isOrgName(*name) {
		return out, event.Malformed, nil
	}
	err := s.core.store.Update(ctx, func(tx store.Tx) error {
		v = event.Accepted
		o, err := loadOrg(tx, realm, id)
		if err != nil || o == nil {
			v = event.Unknown
			return err
		}
		set(&o.Name, name)
		set(&o.Plan, plan)
		out = *o
		return store.Save(tx, store.KeyOrg+o.ID, o, time.Time{})
	})
	return out, v, err
}
