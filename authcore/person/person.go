package person

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Person is somebody an app knows. Each app has people of its own, and others
// for tests: the same address in two realms is two people.
type Person struct {
	Subject  string // 27 letters and digits; wire formats put a prefix before it
	Realm    Realm
	Address  address.Address // the first of Emails, zero for none
	Name     string
	Names    Names
	Pending  bool // has not proved anything yet, and the app asked for that
	Emails   []Contact
	Phones   []Contact
	External string          // the app's own id of the person
	Metadata json.RawMessage // a JSON object of the app's, nil for none
	Plan     string          // id of a Plan, "" for none
	Created  time.Time
	Updated  time.Time
}

// Names are the parts of a name.
type Names struct {
	First  string `json:"first,omitempty"`
	Middle string `json:"middle,omitempty"`
	Last   string `json:"last,omitempty"`
}

// Contact is one address or number of a person.
type Contact struct {
	ID       string    `json:"id"`
	Value    string    `json:"value"` // as Address or Phone print it
	Verified bool      `json:"verified,omitempty"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Tenure   string    `json:"tenure,omitempty"` // the person's when it was added, or proved first
}

// Contact returns the person's contact with id or value want.
func (p *Person) Contact(want string) (Contact, bool) {
	for _, list := range [][]Contact{p.Emails, p.Phones} {
		for _, c := range list {
			if want != "" && (c.ID == want || c.Value == want) {
				return c, true
			}
		}
	}
	return Contact{}, false
}

// Named are those of list, the person's Emails or Phones, that they are known by:
// they were proved, or nothing of the person was.
func (p *Person) Named(list []Contact) (out []Contact) {
	for _, c := range list {
		if isName(c, slices.Concat(p.Emails, p.Phones)) {
			out = append(out, c)
		}
	}
	return out
}

// Shown is the address by which an answer names the person: asked, if they are
// known by it; else the first that they have proved; else, of who has proved none,
// the first.
func (p *Person) Shown(asked address.Address) address.Address {
	out := p.Address
	for i, c := range p.Named(p.Emails) {
		if a := c.Address(); i == 0 || a == asked {
			out = a
		}
	}
	return out
}

// Phone returns the person's first number, zero for none.
func (p *Person) Phone() address.Phone {
	if len(p.Phones) == 0 {
		return address.Phone{}
	}
	return address.PhoneOf(p.Phones[0].Value)
}

// View is the person without what only the store needs.
func (p *Record) View() Person {
	out := Person{Subject: p.Subject, Realm: p.Realm, Address: p.Address, Name: p.Name, Created: p.Created, Updated: p.Created}
	if f := p.Profile; f != nil {
		out.Names, out.Pending, out.External, out.Plan, out.Updated = f.Names, f.Pending, f.External, f.Plan, f.Updated
		out.Emails, out.Phones, out.Metadata = slices.Clone(f.Emails), slices.Clone(f.Phones), slices.Clone(f.Metadata)
	}
	return out
}

// Limits of what an app can make the store keep for one person.
const (
	MaxMetadata = 16 << 10 // bytes of Metadata
	MaxContacts = 20       // of each kind
	MaxName     = 256      // bytes
)

// Trusted is the person's first number that was added once address had been
// proved. One from before is of whoever entered both.
func (p *Person) Trusted(address address.Address) (number string, ok bool) {
	proved, ok := p.Contact(address.String())
	if !ok || !proved.Verified {
		return "", false
	}
	for _, phone := range p.Phones {
		if phone.Created.After(proved.Updated) {
			return phone.Value, true
		}
	}
	return "", false
}

// Whom names a person of a realm: the first field that is set counts. An address
// or a number names who is known by it.
type Whom struct {
	Subject  string
	Email    address.Address
	Phone    address.Phone
	Contact  string // id of one of the person's contacts
	External string
}

// find returns the person meant by w in a realm, nil for nobody.
func (w Whom) Find(tx store.Tx, r Realm) (*Record, error) {
	switch {
	case w.Subject != "":
		return LoadIn(tx, r, w.Subject)
	case w.value() != "":
		p, err := find(tx, r, ByValue, w.value())
		if err != nil || p == nil || !p.isNamedBy(w.value()) {
			return nil, err
		}
		return p, nil
	case w.Contact != "":
		if !keyring.IsID(w.Contact) {
			return nil, nil
		}
		return find(tx, r, ByContact, w.Contact)
	}
	return find(tx, r, ByExternal, keyring.Hash(w.External))
}

// Holder is Find that also finds who only has the address or number attached.
func (w Whom) Holder(tx store.Tx, r Realm) (*Record, error) {
	if w.Subject == "" && w.value() != "" {
		return find(tx, r, ByValue, w.value())
	}
	return w.Find(tx, r)
}

// value is the address or the number, "" for neither.
func (w Whom) value() string { return cmp.Or(w.Email.String(), w.Phone.String()) }
