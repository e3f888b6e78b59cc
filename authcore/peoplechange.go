package authcore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Draft is what a new person is made of, or what is to change in one. In a
// change nil fields stay as they are.
type Draft struct {
	Name     *string
	Names    *Names
	Pending  *bool
	Address  *address.Address  // added, unverified, in the place of the person's own, which is removed
	Emails   []address.Address // added, unverified
	Phones   []address.Phone   // added, unverified
	External *string
	Metadata json.RawMessage // replaces the old; "null" removes it
	Plan     *string
}

// CreatePerson makes a person. Verdict is Accepted, or Taken when one of the
// addresses, numbers or the external id is another's (who is returned), or
// Malformed for what is too long or too much.
func (s *Service) CreatePerson(ctx context.Context, app *App, realm Realm, d Draft) (Person, event.Verdict, error) {
	return s.changePerson(ctx, d, func(store.Tx) (*person, error) {
		return s.newPerson(app, realm), nil
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
		other, verdict, err := s.apply(tx, p, d)
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

// newPerson is somebody new in a realm, not stored yet.
func (s *Service) newPerson(app *App, realm Realm) *person {
	now := s.core.now()
	p := &person{Subject: keyring.NewID(now), Realm: realm, Created: now, Profile: &appProfile{Updated: now}}
	if app != nil && len(app.Plans) > 0 {
		p.Profile.Plan = app.Plans[0].ID
	}
	return p
}

// apply puts d into p. With Taken it returns whose it is.
func (s *Service) apply(tx store.Tx, p *person, d Draft) (*person, event.Verdict, error) {
	f, now := p.Profile, s.core.now()
	if d.tooMuch(f) {
		return p, event.Malformed, nil
	}
	f.Updated = now
	set(&p.Name, d.Name)
	set(&f.Names, d.Names)
	set(&f.Pending, d.Pending)
	set(&f.Plan, d.Plan)
	if d.Metadata != nil {
		f.Metadata = d.Metadata
		if string(d.Metadata) == "null" {
			f.Metadata = nil
		}
	}
	if d.External != nil && *d.External != f.External {
		if other, err := p.claim(tx, indexExternal, keyring.Hash(*d.External)); err != nil || other != nil {
			return other, event.Taken, err
		}
		if f.External != "" {
			tx.Delete(realmKey(p.Realm, indexExternal, keyring.Hash(f.External)))
		}
		f.External = *d.External
	}
	for _, a := range d.Emails {
		if other, err := p.addContact(tx, &f.Emails, a.String(), now); err != nil || other != nil {
			return other, event.Taken, err
		}
	}
	if d.Address != nil {
		if other, err := p.replaceAddress(tx, *d.Address, now); err != nil || other != nil {
			return other, event.Taken, err
		}
	}
	for _, n := range d.Phones {
		if other, err := p.addContact(tx, &f.Phones, n.String(), now); err != nil || other != nil {
			return other, event.Taken, err
		}
	}
	p.choose()
	return p, event.Accepted, nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// tooMuch bounds what one person can make the store keep.
func (d Draft) tooMuch(f *appProfile) bool {
	var texts []string
	for _, text := range []*string{d.Name, d.External} {
		if text != nil {
			texts = append(texts, *text)
		}
	}
	if n := d.Names; n != nil {
		texts = append(texts, n.First, n.Middle, n.Last)
	}
	return slices.ContainsFunc(texts, func(s string) bool { return len(s) > maxName }) ||
		len(d.Metadata) > MaxMetadata ||
		len(f.Emails)+len(d.Emails) > maxContacts || len(f.Phones)+len(d.Phones) > maxContacts
}

// choose makes the first address the person's own.
func (p *person) choose() {
	p.Address = address.Address{}
	if len(p.Profile.Emails) > 0 {
		p.Address = address.AddressOf(p.Profile.Emails[0].Value)
	}
}

// claim takes an entry of the realm's index for p. If it is another's, that
// person is returned.
func (p *person) claim(tx store.Tx, kind, id string) (*person, error) {
	owner, err := findPerson(tx, p.Realm, kind, id)
	if err != nil || owner != nil && owner.Subject != p.Subject {
		return owner, err
	}
	return nil, store.Save(tx, realmKey(p.Realm, kind, id), p.Subject, time.Time{})
}

// save stores a person of an app.
func (p *person) save(tx store.Tx) error {
	tx.Put(realmKey(p.Realm, indexPerson, p.Subject), []byte("{}"), time.Time{})
	return store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{})
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
