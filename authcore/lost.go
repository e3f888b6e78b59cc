package authcore

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/notice"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// voidSlack is how much later than what this node has seen last a challenge may have
// been asked for, and still be void: others saw a little more.
const voidSlack = 5 * time.Second

// putRight makes a store safe again that has lost what was written last: sessions that
// were ended are, what was revoked is, wrong codes count, and what can be used once and is older can't be any
// more, since who used it may be gone. engine is the store while all others wait.
func (c *Core) putRight(ctx context.Context, engine store.Store, lost store.Lost) error {
	ended := map[string]bool{}
	for _, n := range c.board.Heard() {
		if n.Kind == notice.Ended || n.Kind == notice.Replaced {
			ended[n.ID] = true
		}
	}
	for _, item := range lost.Clashes {
		switch {
		case strings.HasPrefix(item.Key, store.KeyLimit+"failures/"):
			if err := engine.Update(ctx, func(tx store.Tx) error { return limit.Restore(tx, item.Key, item.Value, item.Expires) }); err != nil {
				return err
			}
		case strings.HasPrefix(item.Key, store.KeySession):
			var r session.Record
			if _, err := store.Decode(item.Key, item.Value, &r); err != nil {
				return err
			}
			if !r.EndedAt.IsZero() {
				ended[r.ID] = true
			}
		}
	}
	for sid := range ended {
		if err := c.sessions.EndAgain(ctx, engine, sid); err != nil {
			return err
		}
	}
	if err := c.keys.PutBack(ctx, engine); err != nil {
		return err
	}
	if err := engine.Update(ctx, func(tx store.Tx) error {
		again, err := c.sessions.RevokeAgain(tx)
		if err == nil && again {
			err = c.board.Tell(tx, notice.Revoked, "")
		}
		return err
	}); err != nil {
		return err
	}
	for _, once := range []string{store.KeyHandover, store.KeyCode} {
		if err := store.Each(ctx, engine, once, func(tx store.Tx, key string) error { tx.Delete(key); return nil }); err != nil {
			return err
		}
	}
	now := c.now()
	until := lost.Seen.Add(voidSlack)
	if until.After(now) {
		until = now
	}
	return challenge.Void(ctx, engine, until, now)
}
