package authcore

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// addContact gives p an address or a number that is nobody else's. One that p
// has stays as it is.
func (p *person) addContact(tx store.Tx, list *[]Contact, value string, now time.Time) (*person, error) {
	if slices.ContainsFunc(*list, func(c Contact) bool { return c.Value == value }) {
		return nil, nil
	}
	if other, err := p.claim(tx, indexValue, value); err != nil || other != nil {
		return other, err
	}
	c := Contact{ID: keyring.NewID(now), Value: value, Created: now, Updated: now}
	*list = append(*list, c)
	return nil, store.Save(tx, realmKey(p.Realm, indexContact, c.ID), p.Subject, time.Time{})
}

// replaceAddress puts a in the place of p's own address. One that p has already
// stays what it is.
func (p *person) replaceAddress(tx store.Tx, a address.Address, now time.Time) (*person, error) {
	f, own := p.Profile, p.Address
	if a == own {
		return nil, nil
	}
	if other, err := p.addContact(tx, &f.Emails, a.String(), now); err != nil || other != nil {
		return other, err
	}
	i := slices.IndexFunc(f.Emails, func(c Contact) bool { return c.Value == a.String() })
	list := []Contact{f.Emails[i]}
	for j, c := range f.Emails {
		if c.Value == own.String() {
			p.dropContact(tx, c)
		} else if j != i {
			list = append(list, c)
		}
	}
	f.Emails = list
	return nil, nil
}

// prove notes that the person holds a contact.
func (p *person) prove(contact string, now time.Time) {
	if c := p.contact(contact); c != nil && (!c.Verified || p.Profile.Pending) {
		c.Verified, c.Updated = true, now
		p.Profile.Pending, p.Profile.Updated = false, now
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

func (p *person) dropContact(tx store.Tx, c Contact) {
	tx.Delete(realmKey(p.Realm, indexValue, c.Value))
	tx.Delete(realmKey(p.Realm, indexContact, c.ID))
}
