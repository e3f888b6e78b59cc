package authcore

import (
	"context"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// DeletePerson removes a person with all that leads to it, memberships too, and
// ends the person's sessions. An organization that the person was alone in goes
// with its invitations. Verdict is Accepted; Unknown, when there is nobody like
// that in realm; Forbidden, with nothing changed, for the last owner of an
// organization that has other members: an organization keeps an owner.
func (s *Service) DeletePerson(ctx context.Context, realm person.Realm, sub string) (event.Verdict, error) {
	d := &deletion{core: s.core, realm: realm, sub: sub}
	v, err := d.run(ctx)
	if err != nil || v != event.Accepted {
		return v, err
	}
	s.observe(event.Event{Name: event.Person, App: realm.App, Address: d.p.Address, Subject: sub, Reason: "deleted"})
	_, err = s.core.sessions.endAll(ctx, d.p, "person_deleted", "")
	return event.Accepted, err
}

// DeleteHolder is Core.Delete for anybody whom Holders returned. It never
// refuses: an organization that loses its last owner and has other members
// stays, is reported and logged, since only its app can name another, and its id
// is among orphans. found tells whether there was such a person.
func (s *Service) DeleteHolder(ctx context.Context, h Holder, reason string) (found bool, orphans []string, err error) {
	if h.Realm == (person.Realm{}) {
		gone, err := s.core.Delete(ctx, h.Subject, reason)
		return gone != nil, nil, err
	}
	d := &deletion{core: s.core, realm: h.Realm, sub: h.Subject, force: true}
	v, err := d.run(ctx)
	if err != nil || v != event.Accepted {
		return false, nil, err
	}
	for _, org := range d.orphans {
		s.core.log.Warn("an organization has lost its last owner; its app can make another member the owner, with its secret key", "app", h.Realm.App, "organization", org)
		s.observe(event.Event{Name: event.Org, App: h.Realm.App, Subject: h.Subject, Reason: "no_owner", Detail: org})
	}
	s.observe(event.Event{Name: event.Deleted, App: h.Realm.App, Address: d.p.Address, Subject: h.Subject, Reason: reason})
	_, err = s.core.sessions.endAll(ctx, d.p, reason, "")
	return true, d.orphans, err
}

// deletion takes a person of an app out of the store.
type deletion struct {
	core  *Core
	realm person.Realm
	sub   string
	force bool // also the last owner of an organization with other members

	p       *person.Record
	orphans []string // organizations without an owner now
}

func (d *deletion) run(ctx context.Context) (v event.Verdict, err error) {
	if !keyring.IsID(d.sub) {
		return event.Unknown, nil
	}
	orgs, err := d.memberships(ctx)
	if err != nil {
		return event.Unknown, err
	}
	err = d.core.store.Update(ctx, func(tx store.Tx) (err error) {
		d.orphans = nil
		if v, err = d.remove(tx, orgs); err == nil && v != event.Accepted {
			return errUndo
		}
		return err
	})
	return v, undone(err)
}

// memberOf is one organization of the person.
type memberOf struct {
	org     string
	others  bool     // it has other members
	invites []string // when it has none
}

// memberships looks at the person's organizations. Somebody may come into one
// before the person is out: then it goes under them, as it would have gone a
// moment earlier.
func (d *deletion) memberships(ctx context.Context) (list []memberOf, err error) {
	err = d.core.store.View(ctx, func(tx store.Tx) error {
		list = nil
		ids, err := scanIDs(tx, store.KeyPersonOrg+d.sub+"/")
		if err != nil {
			return err
		}
		for _, org := range ids {
			m := memberOf{org: org}
			items, err := tx.Scan(store.KeyOrgPerson+org+"/", "", 2)
			if err != nil {
				return err
			}
			if m.others = len(items) > 1; !m.others {
				if m.invites, err = scanIDs(tx, store.KeyOrgInvite+org+"/"); err != nil {
					return err
				}
			}
			list = append(list, m)
		}
		return nil
	})
	return list, err
}

// scanIDs returns what follows prefix in all keys that begin with it.
func scanIDs(tx store.Tx, prefix string) (ids []string, err error) {
	for after := ""; ; {
		items, err := tx.Scan(prefix, after, peoplePage)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			after = item.Key
			ids = append(ids, after[len(prefix):])
		}
		if len(items) < peoplePage {
			return ids, nil
		}
	}
}

func (d *deletion) remove(tx store.Tx, orgs []memberOf) (event.Verdict, error) {
	p, err := person.LoadIn(tx, d.realm, d.sub)
	if err != nil || p == nil {
		return event.Unknown, err
	}
	d.p = p
	for _, m := range orgs {
		if v, err := d.leave(tx, m); err != nil || v != event.Accepted {
			return v, err
		}
	}
	p.Delete(tx)
	return event.Accepted, nil
}

// leave takes the person out of an organization.
func (d *deletion) leave(tx store.Tx, m memberOf) (event.Verdict, error) {
	o, err := loadOrg(tx, d.realm, m.org)
	if err != nil || o == nil {
		return event.Accepted, err
	}
	if !m.others {
		o.remove(tx, d.sub, m.invites)
		return event.Accepted, nil
	}
	if slices.Equal(o.Owners, []string{d.sub}) {
		if !d.force {
			return event.Forbidden, nil
		}
		d.orphans = append(d.orphans, o.ID)
	}
	return event.Accepted, o.setRole(tx, d.sub, "", d.core.now())
}

// remove deletes an organization that has one member at most.
func (o *Organization) remove(tx store.Tx, member string, invites []string) {
	tx.Delete(store.KeyOrg + o.ID)
	tx.Delete(person.Key(o.Realm, person.BySlug, o.Slug))
	tx.Delete(store.KeyOrgPerson + o.ID + "/" + member)
	tx.Delete(store.KeyPersonOrg + member + "/" + o.ID)
	for _, id := range invites {
		tx.Delete(store.KeyInvite + id)
		tx.Delete(store.KeyOrgInvite + o.ID + "/" + id)
	}
}
