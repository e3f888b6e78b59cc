package authcore

import (
	"context"
	"errors"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Person returns the person that whom names in realm, nil for none.
func (s *Service) Person(ctx context.Context, realm Realm, whom Whom) (*Person, error) {
	var out *Person
	err := s.core.store.View(ctx, func(tx store.Tx) error {
		out = nil
		p, err := whom.find(tx, realm)
		if err != nil || p == nil {
			return err
		}
		v := p.view()
		out = &v
		return nil
	})
	return out, err
}

// GatePerson tells whether somebody has signed in at a gate with address a, and
// by what name.
func (s *Service) GatePerson(ctx context.Context, a address.Address) (name string, known bool, err error) {
	err = s.core.store.View(ctx, func(tx store.Tx) error {
		var sub string
		ok, err := store.Load(tx, store.KeyAddress+a.String(), &sub)
		if err != nil || !ok {
			return err
		}
		p, err := loadPerson(tx, sub)
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
func (s *Service) CreatePerson(ctx context.Context, app *App, realm Realm, d Draft) (Person, event.Verdict, error) {
	return s.changePerson(ctx, d, func(store.Tx) (*person, error) {
		return newPerson(realm, app.firstPlan(), s.core.now()), nil
	})
}

// UpdatePerson changes a person. Verdict as for CreatePerson, or Unknown when
// there is no such person in realm.
func (s *Service) UpdatePerson(ctx context.Context, realm Realm, whom Whom, d Draft) (Person, event.Verdict, error) {
	return s.changePerson(ctx, d, func(tx store.Tx) (*person, error) { return whom.find(tx, realm) })
}

func (s *Service) changePerson(ctx context.Context, d Draft, get func(store.Tx) (*person, error)) (Person, event.Verdict, error) {
	var out Person
	var v event.Verdict
	var p *person
	var own address.Address
	err := s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		p, err = get(tx)
		if err != nil || p == nil {
			v = event.Unknown
			return err
		}
		own = p.Address
		other, verdict, err := p.apply(tx, d, s.core.now())
		v, out = verdict, other.view()
		if err != nil {
			return err
		}
		if v != event.Accepted {
			return errUndo
		}
		return p.save(tx)
	})
	if err = undone(err); err == nil && v == event.Accepted && d.Address != nil {
		err = s.core.sessions.endUnfounded(ctx, p, own, "contact_removed")
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
func (s *Service) EachPerson(ctx context.Context, realm Realm, after string, do func(Person) bool) error {
	prefix := realmKey(realm, indexPerson, "")
	for cursor := prefix + after; ; {
		var page []store.Item
		var people []Person
		err := s.core.store.View(ctx, func(tx store.Tx) (err error) {
			people = nil
			if page, err = tx.Scan(prefix, cursor, peoplePage); err != nil {
				return err
			}
			for _, item := range page {
				p, err := loadRealmPerson(tx, realm, item.Key[len(prefix):])
				if err != nil {
					return err
				}
				if p != nil {
					people = append(people, p.view())
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
func (s *Service) RemoveContact(ctx context.Context, realm Realm, contact string) (Person, event.Verdict, error) {
	var out Person
	v := event.Unknown
	var p *person
	var gone Contact
	err := s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		v = event.Unknown
		p, err = Whom{Contact: contact}.find(tx, realm)
		if err != nil || p == nil {
			return err
		}
		same := func(c Contact) bool { return c.ID == contact }
		for _, list := range []*[]Contact{&p.Profile.Emails, &p.Profile.Phones} {
			if i := slices.IndexFunc(*list, same); i >= 0 {
				gone = (*list)[i]
				p.dropContact(tx, gone)
				*list = slices.Delete(*list, i, i+1)
			}
		}
		p.choose()
		p.Profile.Updated = s.core.now()
		v, out = event.Accepted, p.view()
		return p.save(tx)
	})
	if err == nil && v == event.Accepted {
		err = s.core.sessions.endUnfounded(ctx, p, gone.Address(), "contact_removed")
	}
	return out, v, err
}
