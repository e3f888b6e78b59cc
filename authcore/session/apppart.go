package session

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// AppPart is what an app's session has beside the rest.
type AppPart struct {
	Realm       person.Realm `json:"realm"`
	Secret      string       `json:"secret"` // id of the secret that the token comes from
	Form        TokenForm    `json:"form"`
	Factors     []Factor     `json:"factors"`
	Fingerprint *Fingerprint `json:"fingerprint,omitempty"`
	Org         string       `json:"org,omitempty"`
	Note        string       `json:"note,omitempty"`
	Updated     time.Time    `json:"updated"`
}

// TokenForm is the form of a session's opaque token.
type TokenForm string

// The forms of tokens, all of 64 characters.
const (
	TokenAlnum TokenForm = "alnum" // letters and digits
	TokenHex   TokenForm = "hex"   // lower-case hexadecimal
)

// Factor is one proof that a session rests on.
type Factor struct {
	Contact string    `json:"contact"` // id of the contact that was proved
	Method  string    `json:"method"`  // "code" or "link"
	At      time.Time `json:"at"`
}

// Fingerprint is what is known of a device.
type Fingerprint struct {
	IP        string `json:"ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

// Realm is whose person holds the session.
func (r *Record) Realm() person.Realm {
	if r.API == nil {
		return person.Realm{}
	}
	return r.API.Realm
}

// restsOn tells whether p still has a contact that was proved for the session of
// an app. It ends with the last of them.
func (r *Record) restsOn(p *person.Record) bool {
	return slices.ContainsFunc(r.API.Factors, func(f Factor) bool {
		c := p.Held(f.Contact)
		return c != nil && c.Verified
	})
}

// Address is whose session it is. At an app that is an address that was proved
// for it and is still p's: p's own if that is one of them, else the oldest; zero
// for none.
func (r *Record) Address(p *person.Record) address.Address {
	if r.API == nil {
		return p.Address
	}
	var first address.Address
	for _, f := range r.API.Factors {
		c := p.Held(f.Contact)
		if c == nil || c.Address().IsZero() {
			continue
		}
		if c.Address() == p.Address {
			return p.Address
		}
		if first.IsZero() {
			first = c.Address()
		}
	}
	return first
}
