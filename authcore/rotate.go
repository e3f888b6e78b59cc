package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// revokedRecord says that no session from before a time counts. It makes ending
// everything one write, however many sessions there are.
type revokedRecord struct {
	At time.Time `json:"at"`
}

// keysRevoked ends all sessions of everybody, at once, with their streams: what
// the old keys have signed is good for nothing any more.
func (c *Core) keysRevoked(tx store.Tx) (stored func(), err error) {
	at := c.now() // later than all that is in the store by now
	return func() { c.revokeBefore(at) }, store.Save(tx, store.KeyRevoked, revokedRecord{at}, time.Time{})
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
