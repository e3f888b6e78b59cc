package person

import (
	"encoding/json"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Record is somebody who has proved an address at least once, or whom an app
// knows. Subject is random and stays theirs.
type Record struct {
	Subject string          `json:"sub"`
	Address address.Address `json:"email"` // the first of Emails; zero for who has only a phone
	Name    string          `json:"name,omitempty"`
	Created time.Time       `json:"created"`
	// Ended is when all sessions were ended last. What was proved before makes
	// none any more.
	Ended time.Time `json:"ended,omitzero"`

	Realm   Realm    `json:"realm,omitzero"` // zero: the gates'
	Profile *Profile `json:"profile,omitempty"`

	nobody bool // see IsNobody
}

// Profile is what an app knows of a person.
type Profile struct {
	Names    Names           `json:"names,omitzero"`
	Pending  bool            `json:"pending,omitempty"`
	Emails   []Contact       `json:"emails,omitempty"`
	Phones   []Contact       `json:"phones,omitempty"`
	External string          `json:"external,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Plan     string          `json:"plan,omitempty"`
	Updated  time.Time       `json:"updated"`
	// Asked is set while all that is known of the person is what somebody was asked
	// to prove, see SaveAsked.
	Asked time.Time `json:"asked,omitzero"`
	// Tenure is the span in which somebody had proved who the person is, see
	// pass: an id, "" for the first.
	Tenure string `json:"tenure,omitempty"`
}

// Load reads a person, nil if there is none.
func Load(tx store.Tx, sub string) (*Record, error) {
	p := &Record{}
	ok, err := store.Load(tx, store.KeyPerson+sub, p)
	if err != nil || !ok || p.Subject != sub {
		return nil, err
	}
	return p, nil
}

// IsAccount tells people of the gates from those that only an app knows.
func (p *Record) IsAccount() bool { return p.Realm == Realm{} }

// ForAddress returns the person with address a, made if there is none yet.
func ForAddress(tx store.Tx, a address.Address, now time.Time) (*Record, error) {
	var sub string
	if _, err := store.Load(tx, store.KeyAddress+a.String(), &sub); err != nil {
		return nil, err
	}
	if sub != "" {
		p, err := Load(tx, sub)
		if err != nil {
			return nil, err
		}
		if p != nil && p.Address == a {
			return p, nil
		}
	}
	p := &Record{Subject: keyring.RandomID(), Address: a, Created: now}
	if err := store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{}); err != nil {
		return nil, err
	}
	return p, store.Save(tx, store.KeyAddress+a.String(), p.Subject, time.Time{})
}

// New is somebody new in a realm, not stored yet.
func New(realm Realm, plan string, now time.Time) *Record {
	return &Record{Subject: keyring.NewID(now), Realm: realm, Created: now, Profile: &Profile{Plan: plan, Updated: now}}
}

// Entries are the keys of the index by which an app finds the person.
func (p *Record) Entries() []string {
	var out []string
	for _, c := range p.Contacts() {
		out = append(out, Key(p.Realm, ByValue, c.Value), Key(p.Realm, ByContact, c.ID))
	}
	if p.Profile.External != "" {
		out = append(out, Key(p.Realm, ByExternal, keyring.Hash(p.Profile.External)))
	}
	return out
}

// find reads the person that an index entry leads to, nil for none.
func find(tx store.Tx, r Realm, kind, id string) (*Record, error) {
	if id == "" || len(id) > address.MaxAddress {
		return nil, nil
	}
	return PersonAt(tx, r, Key(r, kind, id))
}

// PersonAt returns the person whom the index entry names, nil for nobody.
func PersonAt(tx store.Tx, r Realm, entry string) (*Record, error) {
	var named indexEntry
	if ok, err := store.Load(tx, entry, &named); err != nil || !ok {
		return nil, err
	}
	return LoadIn(tx, r, named.Subject)
}

// indexEntry is what the index of a realm holds.
type indexEntry struct {
	Subject string   `json:"sub"`
	With    []string `json:"ahead"` // the person, see store.Ahead
}

// enter puts p into the index of its realm.
func (p *Record) enter(tx store.Tx, entry string) error {
	return store.Save(tx, entry, indexEntry{p.Subject, []string{store.KeyPerson + p.Subject}}, time.Time{})
}

// LoadIn reads a person of one realm: another's is none.
func LoadIn(tx store.Tx, r Realm, sub string) (*Record, error) {
	if !keyring.IsID(sub) {
		return nil, nil
	}
	p, err := Load(tx, sub)
	if err != nil || p == nil || p.Realm != r || p.Profile == nil {
		return nil, err
	}
	return p, nil
}

// Save stores a person of an app.
func (p *Record) Save(tx store.Tx) error {
	tx.Put(Key(p.Realm, BySubject, p.Subject), []byte("{}"), time.Time{})
	return store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{})
}

// SaveAll stores p with the entries by which its app finds it.
func (p *Record) SaveAll(tx store.Tx) error {
	for _, entry := range p.Entries() {
		if err := p.enter(tx, entry); err != nil {
			return err
		}
	}
	return p.Save(tx)
}

// Delete takes p out of the store, with all that leads to it.
func (p *Record) Delete(tx store.Tx, now time.Time) error {
	tx.Delete(store.KeyPerson + p.Subject)
	if err := MarkGone(tx, now, p.Subject); err != nil {
		return err
	}
	if p.IsAccount() {
		tx.Delete(store.KeyAddress + p.Address.String())
		return nil
	}
	tx.Delete(Key(p.Realm, BySubject, p.Subject))
	return p.Leave(tx, nil, now)
}

// Leave takes p out of the index, before next takes its place there: nil for
// nobody.
func (p *Record) Leave(tx store.Tx, next *Record, now time.Time) error {
	for _, entry := range p.Entries() {
		tx.Delete(entry)
	}
	for _, c := range p.Contacts() {
		if next == nil || !next.Holds(c.ID, c.Value) {
			if err := p.drop(tx, c, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// Choose makes the first address the person's own.
func (p *Record) Choose() {
	p.Address = address.Address{}
	if len(p.Profile.Emails) > 0 {
		p.Address = address.AddressOf(p.Profile.Emails[0].Value)
	}
}
