package person

import (
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Realm is whose data a call sees: an app's, real or for tests. The zero Realm
// is that of the gates: people who sign in with a browser.
type Realm struct {
	App  string
	Test bool
}

// String returns the realm as it stands in keys of the store: app/live or
// app/test, empty for the gates.
func (r Realm) String() string {
	switch {
	case r.App == "":
		return ""
	case r.Test:
		return r.App + "/test"
	}
	return r.App + "/live"
}

// MarshalText returns the same as String.
func (r Realm) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ErrRealm: a text is not a realm.
var ErrRealm = errors.New("not a realm")

// UnmarshalText reads what MarshalText wrote.
func (r *Realm) UnmarshalText(text []byte) error {
	*r = Realm{}
	app, mode, _ := strings.Cut(string(text), "/")
	if app != "" && mode != "live" && mode != "test" {
		return ErrRealm
	}
	r.App, r.Test = app, mode == "test"
	return nil
}

// Key is a key in the index of a realm.
func Key(r Realm, kind, id string) string {
	return store.KeyRealm + r.String() + "/" + kind + "/" + id
}

// Kinds of index entries of a realm. They hold an indexEntry, unless said otherwise.
const (
	BySubject  = "person"   // by subject: holds nothing
	ByContact  = "contact"  // by id of the contact
	ByValue    = "value"    // by address or number
	ByExternal = "external" // by hash of the external id
	ByAsked    = "asked"    // by hash of an address or number: holds a person who is nobody yet
	BySpan     = "span"     // by hash of an address or number: holds its Span
	BySlug     = "slug"     // by slug: holds an organization's id
)
