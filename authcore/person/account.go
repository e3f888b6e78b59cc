package person

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// maxAccountName is how many characters a name may have.
const maxAccountName = 100

// ParseName brings a name into one form: white space is folded, Unicode is
// composed. ok is false for a name that is too long or has characters that are
// not seen: it stands in headers, mails and lists. The empty name is none.
func ParseName(s string) (name string, ok bool) {
	if len(s) > 4*maxAccountName || !utf8.ValidString(s) {
		return "", false
	}
	name = strings.Join(strings.Fields(norm.NFC.String(s)), " ")
	hidden := func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r)
	}
	return name, utf8.RuneCountInString(name) <= maxAccountName && !strings.ContainsFunc(name, hidden)
}

// FindAccount finds a person by subject or address.
func FindAccount(tx store.Tx, id string) (*Record, error) {
	if a, err := address.Parse(id); err == nil {
		var sub string
		if known, err := store.Load(tx, store.KeyAddress+a.String(), &sub); err != nil || !known {
			return nil, err
		}
		id = sub
	}
	if !store.IsKeyPart(id) {
		return nil, nil
	}
	p, err := Load(tx, id)
	if err != nil || p == nil || !p.IsAccount() {
		return nil, err
	}
	return p, nil
}
