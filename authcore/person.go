package authcore

import (
	"encoding/json"
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

// personFor returns the person with address a, made if there is none yet.
func (s *Service) personFor(tx store.Tx, a address.Address) (*person, error) {
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
	p := &person{Subject: keyring.RandomID(), Address: a, Created: s.core.now()}
	if err := store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{}); err != nil {
		return nil, err
	}
	return p, store.Save(tx, store.KeyAddress+a.String(), p.Subject, time.Time{})
}

// isNew tells whether p was made by this very attempt.
func (t *attempt) isNew(p *person) bool { return !p.Created.Before(t.now) }

// loadPerson reads a person, nil if there is none.
func loadPerson(tx store.Tx, sub string) (*person, error) {
	p := &person{}
	ok, err := store.Load(tx, store.KeyPerson+sub, p)
	if err != nil || !ok || p.Subject != sub {
		return nil, err
	}
	return p, nil
}
