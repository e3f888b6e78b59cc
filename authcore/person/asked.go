package person

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Who is asked to prove an address or a number that nobody has is nobody yet:
// anybody may name it. What an app's server asks for makes a person, who keeps
// the value from nobody that has it attached, until it is proved or the app says
// more of them (Profile.Asked, Said). What anybody else asks for makes a record beside
// the people, which no call finds but the proof; it goes when it can't be used any
// more.

func askedKey(r Realm, value string) string { return Key(r, ByAsked, keyring.Hash(value)) }

// AskedKeys are what is read of w beside who has the address or number.
func (w Whom) AskedKeys(r Realm) []string {
	return []string{Key(r, ByValue, w.value()), askedKey(r, w.value())}
}

// NewAsked is somebody new with the address or number of w, and the names of d,
// not stored yet; nil if those are too long.
func (w Whom) NewAsked(r Realm, plan string, d Draft, now time.Time) *Record {
	p := New(r, plan, now)
	p.nobody = true
	if d.tooMuch(p.Profile) {
		return nil
	}
	p.describe(d)
	list := &p.Profile.Emails
	if w.Email.IsZero() {
		list = &p.Profile.Phones
	}
	*list = []Contact{{ID: keyring.NewID(now), Value: w.value(), Created: now, Updated: now}}
	p.Choose()
	return p
}

// LoadAsked reads who was asked to prove the address or number of w and is nobody
// yet, nil for none.
func (w Whom) LoadAsked(tx store.Tx, r Realm) (*Record, error) { return loadAsked(tx, r, w.value()) }

func loadAsked(tx store.Tx, r Realm, value string) (*Record, error) {
	p := &Record{nobody: true}
	if ok, err := store.Load(tx, askedKey(r, value), p); err != nil || !ok || p.Realm != r || p.Profile == nil {
		return nil, err
	}
	return p, nil
}

// IsNobody tells whether p is none of the people, but who was asked to prove
// something.
func (p *Record) IsNobody() bool { return p.nobody }

// SaveAsked stores p as nobody yet, for as long as something that was sent until
// until can be answered.
func (p *Record) SaveAsked(tx store.Tx, until time.Time) error {
	if until.After(p.Profile.Asked) {
		p.Profile.Asked = until
	}
	for _, c := range p.Contacts() {
		if err := store.Save(tx, askedKey(p.Realm, c.Value), p, p.Profile.Asked); err != nil {
			return err
		}
	}
	return nil
}

// Settle stores p among the people. With Taken somebody else is known by what p
// was asked for, who is returned.
func (p *Record) Settle(tx store.Tx, now time.Time) (*Record, error) {
	for _, c := range p.Contacts() {
		if other, err := p.takeOver(tx, c.Value, now); err != nil || other != nil {
			return other, err
		}
	}
	p.Unask(tx)
	p.nobody = false
	return nil, p.SaveAll(tx)
}

// Unask forgets that p was asked.
func (p *Record) Unask(tx store.Tx) {
	for _, c := range p.Contacts() {
		tx.Delete(askedKey(p.Realm, c.Value))
	}
}

// Said notes that an app has said more of its person than an address: they belong
// to an organization, say. Nobody else gets the address then by having it attached.
func Said(tx store.Tx, r Realm, sub string) error {
	p, err := LoadIn(tx, r, sub)
	if err != nil || p == nil || p.Profile.Asked.IsZero() {
		return err
	}
	p.Profile.Asked = time.Time{}
	return p.Save(tx)
}

// askedFor reads the holder of what was sent to somebody who is nobody yet, nil
// once somebody else is known by the address or number.
func (to SentTo) askedFor(tx store.Tx, r Realm) (*Record, error) {
	p, err := loadAsked(tx, r, to.Value)
	if err != nil || p == nil || p.Subject != to.Subject {
		return nil, err
	}
	other, err := find(tx, r, ByValue, to.Value)
	if err != nil || other != nil && other.isNamedBy(to.Value) {
		return nil, err
	}
	return p, nil
}
