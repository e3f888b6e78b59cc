package person

import (
	"encoding/json"
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

// Apply puts d into p, and stores what leads to it by that. With Taken it returns whose it is.
func (p *Record) Apply(tx store.Tx, d Draft, now time.Time) (*Record, event.Verdict, error) {
	f, before := p.Profile, p.Contacts()
	if d.tooMuch(f) {
		return p, event.Malformed, nil
	}
	f.Updated, f.Asked = now, time.Time{}
	p.describe(d)
	set(&f.Plan, d.Plan)
	if d.Metadata != nil {
		f.Metadata = d.Metadata
		if string(d.Metadata) == "null" {
			f.Metadata = nil
		}
	}
	if d.External != nil && *d.External != f.External {
		if other, err := p.claim(tx, ByExternal, keyring.Hash(*d.External)); err != nil || other != nil {
			return other, event.Taken, err
		}
		if f.External != "" {
			tx.Delete(Key(p.Realm, ByExternal, keyring.Hash(f.External)))
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
	p.Choose()
	if p.Pass(before, now) { // only d.Address does that: it is whose the person is from now on
		return p, event.Accepted, p.keep(tx, p.idOf(d.Address.String()), now)
	}
	return p, event.Accepted, nil
}

func (p *Record) describe(d Draft) {
	set(&p.Name, d.Name)
	set(&p.Profile.Names, d.Names)
	set(&p.Profile.Pending, d.Pending)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// tooMuch bounds what one person can make the store keep.
func (d Draft) tooMuch(f *Profile) bool {
	var texts []string
	for _, text := range []*string{d.Name, d.External} {
		if text != nil {
			texts = append(texts, *text)
		}
	}
	if n := d.Names; n != nil {
		texts = append(texts, n.First, n.Middle, n.Last)
	}
	return slices.ContainsFunc(texts, func(s string) bool { return len(s) > MaxName }) ||
		len(d.Metadata) > MaxMetadata ||
		len(f.Emails)+len(d.Emails) > MaxContacts || len(f.Phones)+len(d.Phones) > MaxContacts
}
