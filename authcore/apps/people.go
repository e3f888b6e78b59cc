package apps

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/decide"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Person returns the person that whom names in realm, nil for none.
func (s *View) Person(ctx context.Context, realm person.Realm, whom person.Whom) (*person.Person, error) {
	p, err := store.View(ctx, s.core.store, func(tx store.Tx) (*person.Record, error) { return whom.Find(tx, realm) })
	if err != nil || p == nil {
		return nil, err
	}
	v := p.View()
	return &v, nil
}

// GatePerson tells whether somebody has signed in at a gate with address a, and
// by what name.
func (s *View) GatePerson(ctx context.Context, a address.Address) (name string, known bool, err error) {
	p, err := store.View(ctx, s.core.store, func(tx store.Tx) (*person.Record, error) {
		var sub string
		ok, err := store.Load(tx, store.KeyAddress+a.String(), &sub)
		if err != nil || !ok {
			return nil, err
		}
		return person.Load(tx, sub)
	})
	if err != nil || p == nil {
		return "", false, err
	}
	return p.Name, p.Address == a, nil
}

// CreatePerson makes a person. Verdict is Accepted, or Taken when one of the
// addresses, numbers or the external id is another's (who is returned), or
// Malformed for what is too long or too much.
func (s *View) CreatePerson(ctx context.Context, app *App, realm person.Realm, d person.Draft) (person.Person, event.Verdict, error) {
	return s.changePerson(ctx, d, func(tx store.Tx) (*person.Record, error) {
		for _, a := range d.Emails { // who was asked for it gets the same ids
			p, err := (person.Whom{Email: a}).LoadAsked(tx, realm)
			if err != nil {
				return nil, err
			}
			if p == nil {
				continue
			}
			if other, err := p.Settle(tx, s.core.now()); err != nil || other == nil {
				return p, err
			}
		}
		return person.New(realm, app.FirstPlan(), s.core.now()), nil
	})
}

// UpdatePerson changes a person. Verdict as for CreatePerson, or Unknown when
// there is no such person in realm.
func (s *View) UpdatePerson(ctx context.Context, realm person.Realm, whom person.Whom, d person.Draft) (person.Person, event.Verdict, error) {
	return s.changePerson(ctx, d, func(tx store.Tx) (*person.Record, error) { return whom.Find(tx, realm) })
}

func (s *View) changePerson(ctx context.Context, d person.Draft, get func(store.Tx) (*person.Record, error)) (person.Person, event.Verdict, error) {
	c, v, err := decide.Update(ctx, s.core.store, func(tx store.Tx) (c changed, v event.Verdict, err error) {
		c.p, err = get(tx)
		if err != nil || c.p == nil {
			return c, event.Unknown, err
		}
		c.own = c.p.Address
		other, v, err := c.p.Apply(tx, d, s.core.now())
		if err != nil {
			return c, v, err
		}
		if c.view = other.View(); v == event.Accepted {
			err = c.p.Save(tx)
		}
		return c, v, err
	})
	if err == nil && v == event.Accepted && d.Address != nil {
		err = s.core.sessions.EndUnfounded(ctx, c.p, c.own, "contact_removed")
	}
	return c.view, v, err
}

// changed is a person after a transaction that changed them.
type changed struct {
	p    *person.Record
	view person.Person   // of p, or of whoever has what p was to get
	own  address.Address // p's own before
	gone person.Contact  // what p does not have any more
}

// peoplePage is how many people one transaction reads.
const peoplePage = 200

// EachPerson calls do with the people of realm, the oldest first, beginning
// after subject after (empty: with the first), until do returns false.
func (s *View) EachPerson(ctx context.Context, realm person.Realm, after string, do func(person.Person) bool) error {
	prefix := person.Key(realm, person.BySubject, "")
	for cursor := prefix + after; ; {
		type page struct {
			people []person.Person
			last   string // key
		}
		got, err := store.View(ctx, s.core.store, func(tx store.Tx) (got page, err error) {
			items, err := tx.Scan(prefix, cursor, peoplePage)
			if err != nil {
				return got, err
			}
			for _, item := range items {
				got.last = item.Key
				p, err := person.LoadIn(tx, realm, item.Key[len(prefix):])
				if err != nil {
					return got, err
				}
				if p != nil {
					got.people = append(got.people, p.View())
				}
			}
			return got, nil
		})
		if err != nil || got.last == "" {
			return err
		}
		cursor = got.last
		for _, p := range got.people {
			if !do(p) {
				return nil
			}
		}
	}
}

// RemoveContact takes an address or a number from the person that has it. What
// was sent to it is dead, and sessions that rest on nothing else end.
// Verdict is Accepted, or Unknown when nobody in realm has it.
func (s *View) RemoveContact(ctx context.Context, realm person.Realm, contact string) (person.Person, event.Verdict, error) {
	c, v, err := decide.Update(ctx, s.core.store, func(tx store.Tx) (c changed, v event.Verdict, err error) {
		c.p, err = person.Whom{Contact: contact}.Find(tx, realm)
		if err != nil || c.p == nil {
			return c, event.Unknown, err
		}
		if c.gone, err = c.p.Remove(tx, contact, s.core.now()); err != nil {
			return c, event.Unknown, err
		}
		c.view = c.p.View()
		return c, event.Accepted, c.p.Save(tx)
	})
	if err == nil && v == event.Accepted {
		err = s.core.sessions.EndUnfounded(ctx, c.p, c.gone.Address(), "contact_removed")
	}
	return c.view, v, err
}
