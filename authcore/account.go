package authcore

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Account is somebody who has signed in at a gate at least once.
type Account struct {
	Subject string
	Address address.Address
	Name    string
	Created time.Time
}

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

// accountOf returns the person as an Account, nil for one that only an app knows.
func accountOf(p *person.Record) *Account {
	if p == nil || !p.IsAccount() {
		return nil
	}
	return &Account{Subject: p.Subject, Address: p.Address, Name: p.Name, Created: p.Created}
}

// Account returns the account with this subject or address, nil for none.
func (c *Core) Account(ctx context.Context, id string) (out *Account, err error) {
	err = c.store.View(ctx, func(tx store.Tx) error {
		p, err := findAccount(tx, id)
		out = accountOf(p)
		return err
	})
	return out, err
}

// findAccount finds a person by subject or address.
func findAccount(tx store.Tx, id string) (*person.Record, error) {
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
	p, err := person.Load(tx, id)
	if err != nil || p == nil || !p.IsAccount() {
		return nil, err
	}
	return p, nil
}

// Rename gives a person another name, as ParseName returned it. It reports
// whether there is such a person. Sessions in use show the new name at once.
func (c *Core) Rename(ctx context.Context, sub, name string) (bool, error) {
	found := false
	err := c.store.Update(ctx, func(tx store.Tx) error {
		p, err := findAccount(tx, sub)
		if found = p != nil; err != nil || p == nil {
			return err
		}
		p.Name = name
		return store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{})
	})
	if err == nil && found {
		c.sessions.Rename(sub, name)
	}
	return found, err
}
