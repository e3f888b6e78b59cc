package person

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What was sent to a contact dies with it: codes, links, the tokens that wait
// for them. A contact's id is given once. Whoever has the same address or number
// afterwards, its former holder too, has another contact, to which nothing was
// sent yet. What was sent to an address that may be nobody's, an invitation, dies
// with the address's Span.

// SentTo is a contact as it was when something was sent to it.
type SentTo struct {
	Subject string `json:"sub"`
	Contact string `json:"contact"` // its id
	Value   string `json:"value"`
}

// Holder reads the person whose contact it still is, nil once it was removed or
// replaced or the person was deleted.
func (to SentTo) Holder(tx store.Tx, r Realm) (*Record, error) {
	p, err := LoadIn(tx, r, to.Subject)
	if err == nil && p == nil {
		p, err = to.askedFor(tx, r)
	}
	if err != nil || p == nil || !p.Holds(to.Contact, to.Value) {
		return nil, err
	}
	return p, nil
}

// Holds tells whether p has the contact with this id and value.
func (p *Record) Holds(id, value string) bool {
	c := p.Held(id)
	return c != nil && c.Value == value
}

// Held finds a contact of an app's person by its id, nil for none.
func (p *Record) Held(id string) *Contact {
	if p.Profile == nil {
		return nil
	}
	for _, list := range [][]Contact{p.Profile.Emails, p.Profile.Phones} {
		for i := range list {
			if list[i].ID == id {
				return &list[i]
			}
		}
	}
	return nil
}

// Contacts are all addresses and numbers of an app's person.
func (p *Record) Contacts() []Contact { return slices.Concat(p.Profile.Emails, p.Profile.Phones) }

// IsNamedBy tells whether the contact with this id is one that p is known by: it
// was proved, or nothing of p was. Any other one somebody has only said is theirs.
func (p *Record) IsNamedBy(id string) bool {
	c := p.Held(id)
	return c != nil && isName(*c, p.Contacts())
}

func (p *Record) isNamedBy(value string) bool { return p.IsNamedBy(p.idOf(value)) }

// idOf is the id of p's contact with a value, "" for none.
func (p *Record) idOf(value string) string {
	v := p.View()
	c, _ := v.Contact(value)
	return c.ID
}

func isName(c Contact, all []Contact) bool {
	return c.Verified || !slices.ContainsFunc(all, isProved)
}

func isProved(c Contact) bool { return c.Verified }

// Address is the contact as an address, zero for a number.
func (c Contact) Address() address.Address {
	if !strings.Contains(c.Value, "@") {
		return address.Address{}
	}
	return address.AddressOf(c.Value)
}

// A person whose last proved contact goes passes: the app says whose they are from
// then on, and whoever proves one of the contacts that are left, or added, is them.
// Who was there before may be another. The person's id, names, data and roles stay;
// nothing else does that was done or added in the former Tenure: sessions rest on
// contacts that were proved, invitations on the Tenure of who sent them, and other
// contacts go by the first proof.

// Pass begins another Tenure of p, of which before were the contacts, if nothing
// is left that was proved in this one.
func (p *Record) Pass(before []Contact, now time.Time) bool {
	proved := false
	for _, c := range before {
		if !c.Verified {
			continue
		}
		if left := p.Held(c.ID); left != nil && left.Verified && left.Value == c.Value {
			return false
		}
		proved = true
	}
	if proved {
		p.Profile.Tenure = keyring.NewID(now)
	}
	return proved
}

// keep makes c one of this Tenure, and takes the contacts of former ones from p.
func (p *Record) keep(tx store.Tx, id string, now time.Time) error {
	c := p.Held(id)
	c.Tenure = p.Profile.Tenure
	for _, c := range p.Contacts() {
		if c.Tenure != p.Profile.Tenure {
			if _, err := p.Remove(tx, c.ID, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// without is list without its contact i. In the place of the first one comes one that
// was proved, if any was: nobody is known by what is only attached.
func without(list []Contact, i int) []Contact {
	list = slices.Delete(list, i, i+1)
	if proved := slices.IndexFunc(list, isProved); i == 0 && proved > 0 {
		list[0], list[proved] = list[proved], list[0]
	}
	return list
}

// ContactRef names a contact as it was.
type ContactRef struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

// takeOver takes the entry of an address or a number in the realm's index for p.
// Who is known by it keeps it and is returned; who only has it attached loses it,
// and so does who was made by asking, unless p is new, too.
func (p *Record) takeOver(tx store.Tx, value string, now time.Time) (*Record, error) {
	other, err := find(tx, p.Realm, ByValue, value)
	if err != nil {
		return nil, err
	}
	if other != nil && other.Subject != p.Subject {
		asked := !other.Profile.Asked.IsZero() && len(p.Contacts()) > 0
		if other.isNamedBy(value) && !asked {
			return other, nil
		}
		v := other.View()
		if c, ok := v.Contact(value); ok {
			if err := other.unlink(tx, c, now); err != nil {
				return nil, err
			}
			other.unlist(c.ID, now)
		}
		if err := other.Save(tx); err != nil {
			return nil, err
		}
	}
	return nil, p.enter(tx, Key(p.Realm, ByValue, value))
}

// addContact gives p an address or a number by which nobody else is known. One
// that p has stays as it is.
func (p *Record) addContact(tx store.Tx, list *[]Contact, value string, now time.Time) (*Record, error) {
	if slices.ContainsFunc(*list, func(c Contact) bool { return c.Value == value }) {
		return nil, nil
	}
	if other, err := p.takeOver(tx, value, now); err != nil || other != nil {
		return other, err
	}
	c := Contact{ID: keyring.NewID(now), Value: value, Created: now, Updated: now, Tenure: p.Profile.Tenure}
	*list = append(*list, c)
	return nil, p.enter(tx, Key(p.Realm, ByContact, c.ID))
}

// replaceAddress puts a in the place of p's own address. One that p has already
// stays what it is.
func (p *Record) replaceAddress(tx store.Tx, a address.Address, now time.Time) (*Record, error) {
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
			if err := p.drop(tx, c, now); err != nil {
				return nil, err
			}
		} else if j != i {
			list = append(list, c)
		}
	}
	f.Emails = list
	return nil, nil
}

// Prove notes that the person holds a contact. Proved first, it becomes their own
// in the place of one that never was. The first proof of all in a Tenure is that
// of who the person is by now: what others left goes.
func (p *Record) Prove(tx store.Tx, contact string, now time.Time) error {
	c := p.Held(contact)
	if c == nil || c.Verified && !p.Profile.Pending {
		return nil
	}
	if p.IsNamedBy(contact) && !c.Verified && p.Profile.Tenure != "" && !slices.ContainsFunc(p.Contacts(), isProved) {
		if err := p.keep(tx, contact, now); err != nil {
			return err
		}
		c = p.Held(contact)
	}
	c.Verified, c.Updated, p.Profile.Asked = true, now, time.Time{}
	p.Profile.Pending, p.Profile.Updated = false, now
	for _, list := range [][]Contact{p.Profile.Emails, p.Profile.Phones} {
		if i := slices.IndexFunc(list, func(c Contact) bool { return c.ID == contact }); i > 0 && !list[0].Verified {
			list[0], list[i] = list[i], list[0]
		}
	}
	p.Choose()
	return nil
}

// unlink takes a contact out of the index for good: no import brings it back, and
// what was sent to its value meanwhile, waiting for whoever proves it, is dead.
func (p *Record) unlink(tx store.Tx, c Contact, now time.Time) error {
	tx.Delete(Key(p.Realm, ByValue, c.Value))
	tx.Delete(Key(p.Realm, ByContact, c.ID))
	tx.Delete(askedKey(p.Realm, c.Value))
	return MarkGone(tx, now, p.Subject, c.ID)
}

// drop takes a contact out of the index, and ends its span if p was known by it.
func (p *Record) drop(tx store.Tx, c Contact, now time.Time) error {
	if err := p.unlink(tx, c, now); err != nil || !p.IsNamedBy(c.ID) {
		return err
	}
	return store.Save(tx, SpanKey(p.Realm, c.Value), Span{keyring.NewID(now), now}, now.Add(spanKept))
}

// Span is the time in which an address or a number, whoever's or nobody's, was
// taken from none who was known by it.
type Span struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
}

// spanKept is how long a Span is known, and what was sent in the one before can
// be told from what was sent in it.
const spanKept = 30 * 24 * time.Hour

// SpanKey is where the Span of a value is, if it is not the first.
func SpanKey(r Realm, value string) string { return Key(r, BySpan, keyring.Hash(value)) }

// LoadSpan reads the Span of a value, the zero one for the first.
func LoadSpan(tx store.Tx, r Realm, value string) (s Span, err error) {
	_, err = store.Load(tx, SpanKey(r, value), &s)
	return s, err
}

// claim takes an entry of the realm's index for p. If it is another's, that
// person is returned.
func (p *Record) claim(tx store.Tx, kind, id string) (*Record, error) {
	owner, err := find(tx, p.Realm, kind, id)
	if err != nil || owner != nil && owner.Subject != p.Subject {
		return owner, err
	}
	return nil, p.enter(tx, Key(p.Realm, kind, id))
}

// Part stores the contact of p with this id as a person of its own, whom it
// returns.
func (p *Record) Part(tx store.Tx, id, plan string, now time.Time) (*Record, error) {
	out := New(p.Realm, plan, now)
	for _, list := range []struct{ from, to *[]Contact }{{&p.Profile.Emails, &out.Profile.Emails}, {&p.Profile.Phones, &out.Profile.Phones}} {
		if i := slices.IndexFunc(*list.from, func(c Contact) bool { return c.ID == id }); i >= 0 {
			*list.to = []Contact{(*list.from)[i]}
			*list.from = without(*list.from, i)
		}
	}
	p.Choose()
	out.Choose()
	p.Profile.Updated = now
	if err := p.Save(tx); err != nil {
		return nil, err
	}
	if err := MarkGone(tx, now, p.Subject, id); err != nil {
		return nil, err
	}
	return out, out.SaveAll(tx)
}

// Remove takes a contact from p, and returns what it was.
func (p *Record) Remove(tx store.Tx, id string, now time.Time) (gone Contact, err error) {
	c := p.Held(id)
	if c == nil {
		return Contact{}, nil
	}
	gone = *c
	if err := p.drop(tx, gone, now); err != nil {
		return gone, err
	}
	p.unlist(id, now)
	return gone, nil
}

// unlist takes a contact from the lists of p.
func (p *Record) unlist(id string, now time.Time) {
	before := p.Contacts()
	for _, list := range []*[]Contact{&p.Profile.Emails, &p.Profile.Phones} {
		if i := slices.IndexFunc(*list, func(c Contact) bool { return c.ID == id }); i >= 0 {
			*list = without(*list, i)
		}
	}
	p.Choose()
	p.Pass(before, now)
	p.Profile.Updated = now
}
