package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Rotated is what came of RotateKeys.
type Rotated struct {
	Key     string // id of the key that signs from now on
	Removed int    // with revoke: how many old keys are gone
}

// RotateKeys makes a new signing key and signs with it from now on. Cookies
// signed with the old keys stay valid until their sessions end, and the old
// public keys stay in jwks.json as long.
//
// With revoke, for a key that has become known, it ends everything instead: all
// sessions of everybody, at once, with their streams, and the old keys verify
// nothing any more.
func (c *Core) RotateKeys(ctx context.Context, revoke bool) (Rotated, error) {
	rings := []*keyring.Ring{c.keys}
	if !c.rsaKeys.IsEmpty() {
		rings = append(rings, c.rsaKeys)
	}
	var out Rotated
	for _, ring := range rings {
		var at time.Time
		var drop func(store.Tx) error
		if revoke {
			drop = func(tx store.Tx) error {
				at = c.now() // later than all that is in the store by now
				return store.Save(tx, store.KeyRevoked, revokedRecord{at}, time.Time{})
			}
		}
		key, removed, err := ring.Rotate(ctx, drop)
		if err != nil {
			return out, err
		}
		if revoke {
			c.revokeBefore(at)
		}
		out.Removed += removed
		if ring == c.keys {
			out.Key = key
		}
	}
	if !revoke {
		c.observe(event.Event{Name: event.Keys, Reason: "by_operator"})
		return out, nil
	}
	c.observe(event.Event{Name: event.Keys, Reason: "revoked"})
	c.observe(event.Event{Name: event.Revoked, Reason: "keys_revoked"})
	return out, nil
}

// revokedRecord says that no session from before a time counts. It makes ending
// everything one write, however many sessions there are.
type revokedRecord struct {
	At time.Time `json:"at"`
}

func (c *Core) loadRevoked(ctx context.Context) error {
	var r revokedRecord
	err := c.store.View(ctx, func(tx store.Tx) error {
		_, err := store.Load(tx, store.KeyRevoked, &r)
		return err
	})
	if err == nil && !r.At.IsZero() {
		c.revokedAt.Store(r.At.UnixNano())
	}
	return err
}

// revoked tells whether a session that began at authTime was ended with all
// others.
func (c *Core) revoked(authTime time.Time) bool {
	at := c.revokedAt.Load()
	return at != 0 && authTime.UnixNano() <= at
}

// revokeBefore ends what began before at. Tokens of the configuration go on, but
// what was signed for them is not handed out again.
func (c *Core) revokeBefore(at time.Time) {
	c.revokedAt.Store(at.UnixNano())
	c.census.sessions.Store(0)
	c.mu.Lock()
	for _, s := range c.services {
		for _, m := range s.machines {
			m.live.memos.Store(nil)
		}
	}
	c.mu.Unlock()
	c.sweep()
}
