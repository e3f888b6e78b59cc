package authcore

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// person is somebody who has proved an address at least once, or whom an app
// knows. Subject is random and stays theirs.
type person struct {
	Subject string          `json:"sub"`
	Address address.Address `json:"email"` // the first of Emails; zero for who has only a phone
	Name    string          `json:"name,omitempty"`
	Created time.Time       `json:"created"`
	// Ended is when all sessions were ended last. What was proved before makes
	// none any more.
	Ended time.Time `json:"ended,omitzero"`

	Realm   Realm       `json:"realm,omitzero"` // zero: the gates'
	Profile *appProfile `json:"profile,omitempty"`
}

// appProfile is what an app knows of a person.
type appProfile struct {
	Names    Names           `json:"names,omitzero"`
	Pending  bool            `json:"pending,omitempty"`
	Emails   []Contact       `json:"emails,omitempty"`
	Phones   []Contact       `json:"phones,omitempty"`
	External string          `json:"external,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Plan     string          `json:"plan,omitempty"`
	Updated  time.Time       `json:"updated"`
	// Anew is when a contact was proved first without a session of the person's:
	// what was proved of other contacts before makes no session.
	Anew time.Time `json:"anew,omitzero"`
}

// loadPerson reads a person, nil if there is none.
func loadPerson(tx store.Tx, sub string) (*person, error) {
	p := &person{}
	ok, err := store.Load(tx, store.KeyPerson+sub, p)
	if err != nil || !ok || p.Subject != sub {
		return nil, err
	}
	return p, nil
}

// isAccount tells people of the gates from those that only an app knows.
func (p *person) isAccount() bool { return p.Realm == Realm{} }

// personFor returns the person with address a, made if there is none yet.
func personFor(tx store.Tx, a address.Address, now time.Time) (*person, error) {
	var sub string
	if _, err := store.Load(tx, store.KeyAddress+a.String(), &sub); err != nil {
		return nil, err
	}
	if sub != "" {
		p, err := loadPerson(tx, sub)
		if err != nil {
			return nil, err
		}
		if p != nil && p.Address == a {
			return p, nil
		}
	}
	p := &person{Subject: keyring.RandomID(), Address: a, Created: now}
	if err := store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{}); err != nil {
		return nil, err
	}
	return p, store.Save(tx, store.KeyAddress+a.String(), p.Subject, time.Time{})
}

// newPerson is somebody new in a realm, not stored yet.
func newPerson(realm Realm, plan string, now time.Time) *person {
	return &person{Subject: keyring.NewID(now), Realm: realm, Created: now, Profile: &appProfile{Plan: plan, Updated: now}}
}

// entries are the keys of the index by which an app finds the person.
func (p *person) entries() []string {
	var out []string
	for _, c := range slices.Concat(p.Profile.Emails, p.Profile.Phones) {
		out = append(out, realmKey(p.Realm, indexValue, c.Value), realmKey(p.Realm, indexContact, c.ID))
	}
	if p.Profile.External != "" {
		out = append(out, realmKey(p.Realm, indexExternal, keyring.Hash(p.Profile.External)))
	}
	return out
}

// findPerson reads the person that an index entry leads to, nil for none.
func findPerson(tx store.Tx, r Realm, kind, id string) (*person, error) {
	if id == "" || len(id) > address.MaxAddress {
		return nil, nil
	}
	return personAt(tx, r, realmKey(r, kind, id))
}

func personAt(tx store.Tx, r Realm, entry string) (*person, error) {
	var sub string
	if ok, err := store.Load(tx, entry, &sub); err != nil || !ok {
		return nil, err
	}
	return loadRealmPerson(tx, r, sub)
}

// loadRealmPerson reads a person of one realm: another's is none.
func loadRealmPerson(tx store.Tx, r Realm, sub string) (*person, error) {
	if !keyring.IsID(sub) {
		return nil, nil
	}
	p, err := loadPerson(tx, sub)
	if err != nil || p == nil || p.Realm != r || p.Profile == nil {
		return nil, err
	}
	return p, nil
}

// save stores a person of an app.
func (p *person) save(tx store.Tx) error {
	tx.Put(realmKey(p.Realm, indexPerson, p.Subject), []byte("{}"), time.Time{})
	return store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{})
}

// choose makes the first address the person's own.
func (p *person) choose() {
	p.Address = address.Address{}
	if len(p.Profile.Emails) > 0 {
		p.Address = address.AddressOf(p.Profile.Emails[0].Value)
	}
}
