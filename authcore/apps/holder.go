package apps

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Holder is somebody whom an operator may ask for: a person of the gates, or one
// whom only an app knows.
type Holder struct {
	Subject string
	Address address.Address // zero for who has none
	Phone   address.Phone   // the first of a person of an app
	Name    string
	Realm   person.Realm // zero: of the gates
	Created time.Time
}

func holderOf(p *person.Record) Holder {
	v := p.View()
	return Holder{Subject: p.Subject, Address: v.Shown(address.Address{}), Phone: v.Phone(), Name: p.Name, Realm: p.Realm, Created: p.Created}
}

// Holders returns everybody with this subject or address. One address may be
// several people: each app has its own, and so have the gates, who come first.
func (s *View) Holders(ctx context.Context, id string) (list []Holder, err error) {
	people, err := store.View(ctx, s.core.store, func(tx store.Tx) ([]*person.Record, error) { return s.withID(tx, id) })
	for _, p := range people {
		list = append(list, holderOf(p))
	}
	return list, err
}

// Everybody returns a page of all people, of the gates and of apps, in the order
// of their subjects, after the subject after. next is what to pass as after for
// the next page, empty at the end.
func (c *Core) Everybody(ctx context.Context, after string, limit int) (page []Holder, next string, err error) {
	limit = session.PageSize(limit)
	if after != "" {
		after = store.KeyPerson + after
	}
	items, err := store.View(ctx, c.store, func(tx store.Tx) ([]store.Item, error) { return tx.Scan(store.KeyPerson, after, limit) })
	if err != nil {
		return nil, "", err
	}
	for _, item := range items {
		p := &person.Record{}
		if _, err := store.Decode(item.Key, item.Value, p); err != nil {
			return nil, "", err
		}
		page = append(page, holderOf(p))
	}
	if len(items) == limit {
		next = page[limit-1].Subject
	}
	return page, next, nil
}

func (s *View) withID(tx store.Tx, id string) (list []*person.Record, err error) {
	address, err := address.Parse(id)
	if err != nil {
		p, err := LoadPersonOf(tx, id)
		if err != nil || p == nil {
			return nil, err
		}
		return []*person.Record{p}, nil
	}
	p, err := person.FindAccount(tx, id)
	if err != nil {
		return nil, err
	}
	if p != nil {
		list = append(list, p)
	}
	realms, err := storedRealms(tx)
	if err != nil {
		return nil, err
	}
	for _, realm := range realms {
		p, err := person.Whom{Email: address}.Find(tx, realm)
		if err != nil {
			return nil, err
		}
		if p != nil {
			list = append(list, p)
		}
	}
	return list, nil
}

// storedRealms are the apps that have data, whether they are configured or not:
// whom lists show must be found.
func storedRealms(tx store.Tx) (list []person.Realm, err error) {
	for after := ""; ; {
		items, err := tx.Scan(store.KeyRealm, after, 1)
		if err != nil || len(items) == 0 {
			return list, err
		}
		parts := strings.SplitN(strings.TrimPrefix(items[0].Key, store.KeyRealm), "/", 3)
		after = items[0].Key
		var realm person.Realm
		if len(parts) == 3 && realm.UnmarshalText([]byte(parts[0]+"/"+parts[1])) == nil && realm.App != "" {
			list = append(list, realm)
			after = store.KeyRealm + realm.String() + "0" // "0" follows "/": behind all of this realm
		}
	}
}

// LoadPersonOf reads the person with a subject from outside.
func LoadPersonOf(tx store.Tx, sub string) (*person.Record, error) {
	if !store.IsKeyPart(sub) {
		return nil, nil
	}
	return person.Load(tx, sub)
}
