package authcore

import (
	"context"
	"time"

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

// accountOf returns the person as an Account, nil for one that only an app knows.
func accountOf(p *person.Record) *Account {
	if p == nil || !p.IsAccount() {
		return nil
	}
	return &Account{Subject: p.Subject, Address: p.Address, Name: p.Name, Created: p.Created}
}

// Account returns the account with this subject or address, nil for none.
func (c *Core) Account(ctx context.Context, id string) (*Account, error) {
	p, err := store.View(ctx, c.store, func(tx store.Tx) (*person.Record, error) { return person.FindAccount(tx, id) })
	return accountOf(p), err
}

// Rename gives a person another name, as ParseName returned it. It reports
// whether there is such a person. Sessions in use show the new name at once.
func (c *Core) Rename(ctx context.Context, sub, name string) (bool, error) {
	found, err := store.Update(ctx, c.store, func(tx store.Tx) (bool, error) {
		p, err := person.FindAccount(tx, sub)
		if err != nil || p == nil {
			return false, err
		}
		p.Name = name
		return true, store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{})
	})
	if err == nil && found {
		c.sessions.Rename(sub, name)
	}
	return found, err
}
