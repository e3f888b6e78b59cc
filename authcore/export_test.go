package authcore

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What tests need to see of the inside.

// SigningKey returns the private key in use and its id.
func (c *Core) SigningKey() (ed25519.PrivateKey, string) {
	key, id := c.keys.Private()
	return key.(ed25519.PrivateKey), id
}

// PutPerson writes somebody with so many live sessions, as sign-ins would.
func PutPerson(tx store.Tx, sub string, sessions int, now time.Time) error {
	p := &person.Record{Subject: sub, Address: address.AddressOf(sub + "@example.com"), Created: now}
	if err := store.Save(tx, store.KeyPerson+sub, p, time.Time{}); err != nil {
		return err
	}
	if err := store.Save(tx, store.KeyAddress+p.Address.String(), sub, time.Time{}); err != nil {
		return err
	}
	for range sessions {
		r := &session.Record{
			ID: keyring.Hash(keyring.RandomID())[:32], Subject: sub, Issuer: "https://app.example.com", Audience: "https://app.example.com",
			AuthTime: now, Expires: now.Add(session.DefaultRule.Max), LastSeen: now, AMR: []string{"email", "otp"},
			Agent:   "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0",
			Network: "203.0.113.0/24", Sites: []string{"https://app.example.com"}, Challenge: keyring.RandomToken(16),
		}
		if err := r.Save(tx); err != nil {
			return err
		}
		tx.Put(store.KeyPersonSession+sub+"/"+r.ID, []byte("{}"), r.Expires.Add(keyring.ClockSkew))
	}
	return nil
}

// ReadSession reads what the check of a session reads that is not in the cache.
func (c *Core) ReadSession(ctx context.Context, sid string) error {
	r, _, err := c.sessions.ReadSession(ctx, sid)
	if err == nil && r == nil {
		return errors.New("there is no such session")
	}
	return err
}

// TakeCensus counts sessions and people now.
func (c *Core) TakeCensus(ctx context.Context) error { return c.count(ctx, 0) }
