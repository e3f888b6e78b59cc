package authcore

import (
	"context"
	"fmt"
	"slices"
	"time"
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
	rings := []*keyring{c.keys}
	if len(*c.rsaKeys.keys.Load()) > 0 {
		rings = append(rings, c.rsaKeys)
	}
	var out Rotated
	for _, ring := range rings {
		key, removed, err := ring.rotate(ctx, revoke)
		if err != nil {
			return out, err
		}
		out.Removed += removed
		if ring == c.keys {
			out.Key = key
		}
	}
	if !revoke {
		c.observe(Event{Name: EventKeys, Reason: "by_operator"})
		return out, nil
	}
	c.observe(Event{Name: EventKeys, Reason: "revoked"})
	c.observe(Event{Name: EventRevoked, Reason: "keys_revoked"})
	return out, nil
}

// rotate adds a key that signs at once. Verifiers that keep a copy of jwks.json
// meet an unknown kid and fetch it again.
func (k *keyring) rotate(ctx context.Context, revoke bool) (id string, removed int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.core.now()
	private, err := generateKey(k.alg)
	if err != nil {
		return "", 0, err
	}
	key, err := newSigningKey(k.alg, private, now)
	if err != nil {
		return "", 0, err
	}
	key.signs = now
	old := *k.keys.Load()
	at := now
	record, err := k.record(key)
	if err != nil {
		return "", 0, err
	}
	err = k.core.store.Update(ctx, func(tx Tx) error {
		if revoke {
			for _, o := range old {
				tx.Delete(keySigning + o.id)
			}
			at = k.core.now() // later than all that is in the store by now
			if err := save(tx, keyRevoked, revokedRecord{at}, time.Time{}); err != nil {
				return err
			}
		}
		return save(tx, keySigning+key.id, record, time.Time{})
	})
	if err != nil {
		return "", 0, fmt.Errorf("storing a new signing key: %w", err)
	}
	if !revoke {
		keys := append(slices.Clone(old), key)
		k.keys.Store(&keys)
		return key.id, 0, nil
	}
	k.keys.Store(&[]*signingKey{key})
	k.core.revokeBefore(at)
	return key.id, len(old), nil
}

// revokedRecord says that no session from before a time counts. It makes ending
// everything one write, however many sessions there are.
type revokedRecord struct {
	At time.Time `json:"at"`
}

func (c *Core) loadRevoked(ctx context.Context) error {
	var r revokedRecord
	err := c.store.View(ctx, func(tx Tx) error {
		_, err := load(tx, keyRevoked, &r)
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
