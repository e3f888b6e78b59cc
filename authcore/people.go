package authcore

import (
	"context"
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

// Phone returns the person's first number, zero for none.
func (p *Person) Phone() address.Phone {
	if len(p.Phones) == 0 {
		return address.Phone{}
	}
	return address.PhoneOf(p.Phones[0].Value)
}

func (p *person) view() Person {
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
	maxContacts = 20       // of each kind
	maxName     = 256      // bytes
)

// realmKey is a key in the index of a realm.
func realmKey(r Realm, kind, id string) string {
	return store.KeyRealm + r.String() + "/" + kind + "/" + id
}

// Kinds of index entries of a realm. All hold a subject.
const (
	indexPerson   = "person"
	indexContact  = "contact"  // by id of the contact
	indexValue    = "value"    // by address or number
	indexExternal = "external" // by hash of the external id
	indexSlug     = "slug"     // by slug: holds an organization's id
)

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

// Whom names a person of a realm: the first field that is set counts.
type Whom struct {
	Subject  string
	Email    address.Address
	Phone    address.Phone
	Contact  string // id of one of the person's contacts
	External string
}

func (w Whom) find(tx store.Tx, r Realm) (*person, error) {
	switch {
	case w.Subject != "":
		return loadRealmPerson(tx, r, w.Subject)
	case !w.Email.IsZero():
		return findPerson(tx, r, indexValue, w.Email.String())
	case !w.Phone.IsZero():
		return findPerson(tx, r, indexValue, w.Phone.String())
	case w.Contact != "":
		if !keyring.IsID(w.Contact) {
			return nil, nil
		}
		return findPerson(tx, r, indexContact, w.Contact)
	}
	return findPerson(tx, r, indexExternal, keyring.Hash(w.External))
}

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
