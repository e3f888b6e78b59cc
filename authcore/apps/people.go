package apps

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Person returns the person that whom names in realm, nil for none.
func (s *View) Person(ctx context.Context, realm person.Realm, whom person.Whom) (*person.Person, error) {
	var out *person.Person
	err := s.core.store.View(ctx, func(tx store.Tx) error {
		out = nil
		p, err := whom.Find(tx, realm)
		if err != nil || p == nil {
			return err
		}
		v := p.View()
		out = &v
		return nil
	})
	return out, err
}

// GatePerson tells whether somebody has signed in at a gate with address a, and
// by what name.
func (s *View) GatePerson(ctx context.Context, a address.Address) (name string, known bool, err error) {
	err = s.core.store.View(ctx, func(tx store.Tx) error {
		var sub string
		ok, err := store.Load(tx, store.KeyAddress+a.String(), &sub)
		if err != nil || !ok {
			return err
		}
		p, err := person.Load(tx, sub)
		if err != nil || p == nil {
			return err
		}
		name, known = p.Name, p.Address == a
		return nil
	})
	return name, known, err
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
		return person.New(realm, app.firstPlan(), s.core.now()), nil
	})
}

// UpdatePerson changes a person. Verdict as for CreatePerson, or Unknown when
// there is no such person in realm.
func (s *View) UpdatePerson(ctx context.Context, realm person.Realm, whom person.Whom, d person.Draft) (person.Person, event.Verdict, error) {
	return s.changePerson(ctx, d, func(tx store.Tx) (*person.Record, error) { return whom.Find(tx, realm) })
}

func (s *View) changePerson(ctx context.Context, d person.Draft, get func(store.Tx) (*person.Record, error)) (person.Person, event.Verdict, error) {
	var out person.Person
	var v event.Verdict
	var p *person.Record
	var own address.Address
	err := s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		p, err = get(tx)
		if err != nil || p == nil {
			v = event.Unknown
			return err
		}
		own = p.Address
		other, verdict, err := p.Apply(tx, d, s.core.now())
		v, out = verdict, other.View()
		if err != nil {
			return err
		}
		if v != event.Accepted {
			return errUndo
		}
		return p.Save(tx)
	})
	if err = undone(err); err == nil && v == event.Accepted && d.Address != nil {
		err = s.core.sessions.EndUnfounded(ctx, p, own, "contact_removed")
	}
	return out, v, err
}

// errUndo ends a transaction whose outcome is a "no" that must write nothing,
// though something was put already.
var errUndo = errors.New("nothing to commit")

func undone(err error) error {
	if errors.Is(err, errUndo) {
		return nil
	}
	return err
}

// peoplePage is how many people one transaction reads.
const peoplePage = 200

// EachPerson calls do with the people of realm, the oldest first, beginning
// after subject after (empty: with the first), until do returns false.
func (s *View) EachPerson(ctx context.Context, realm person.Realm, after string, do func(person.Person) bool) error {
	prefix := person.Key(realm, person.BySubject, "")
	for cursor := prefix + after; ; {
		var page []store.Item
		var people []person.Person
		err := s.core.store.View(ctx, func(tx store.Tx) (err error) {
			people = nil
			if page, err = tx.Scan(prefix, cursor, peoplePage); err != nil {
				return err
			}
			for _, item := range page {
				p, err := person.LoadIn(tx, realm, item.Key[len(prefix):])
				if err != nil {
					return err
				}
				if p != nil {
					people = append(people, p.View())
				}
			}
			return nil
		})
		if err != nil || len(page) == 0 {
			return err
		}
		cursor = page[len(page)-1].Key
		for _, p := range people {
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
	var out person.Person
	v := event.Unknown
	var p *person.Record
	var gone person.Contact
	err := s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		v = event.Unknown
		p, err = person.Whom{Contact: contact}.Find(tx, realm)
		if err != nil || p == nil {
			return err
		}
		if gone, err = p.Remove(tx, contact, s.core.now()); err != nil {
			return err
		}
		v, out = event.Accepted, p.View()
		return p.Save(tx)
	})
	if err == nil && v == event.Accepted {
		err = s.core.sessions.EndUnfounded(ctx, p, gone.Address(), "contact_removed")
	}
	return out, v, err
}
