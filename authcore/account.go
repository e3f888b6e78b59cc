package authcore

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
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
		c.sessions.rename(sub, name)
	}
	return found, err
}

// Delete removes an account with all that is known of it: its sessions end,
// with their streams, codes and links under way die, and its history goes. What
// stays for a while names nobody: ended sessions, so that their cookies stay
// refused, that an account with this address is gone, and the counters of
// limits. It returns whom it was, nil if there was no such account.
//
// If it fails halfway it may be called again with the same subject: the account
// goes after all that is found through it.
func (c *Core) Delete(ctx context.Context, sub, reason string) (*Account, error) {
	var p *person.Record
	err := c.store.View(ctx, func(tx store.Tx) (err error) {
		p, err = findAccount(tx, sub)
		return err
	})
	if err != nil || p == nil {
		return nil, err
	}
	if err := c.forget(ctx, p, reason); err != nil {
		return nil, err
	}
	err = c.store.Update(ctx, func(tx store.Tx) (err error) {
		if p, err = findAccount(tx, p.Subject); err != nil || p == nil {
			return err
		}
		tx.Delete(store.KeyPerson + p.Subject)
		tx.Delete(store.KeyAddress + p.Address.String())
		tx.Delete(store.KeyMachines + p.Subject)
		return challenge.EndAll(tx, p.Address, c.now())
	})
	if err != nil || p == nil {
		return nil, err
	}
	c.census.people.Add(-1)
	c.observe(event.Event{Name: event.Deleted, Address: p.Address, Subject: p.Subject, Reason: reason})
	return accountOf(p), c.forget(ctx, p, reason) // what has come meanwhile
}

// forget ends the sessions of an account, and forgets its history.
func (c *Core) forget(ctx context.Context, p *person.Record, reason string) error {
	if _, err := c.sessions.endAll(ctx, p, reason, ""); err != nil {
		return err
	}
	return c.history.Forget(ctx, p.Address)
}
