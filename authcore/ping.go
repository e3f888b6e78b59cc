package authcore

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Ping tells whether the store answers: by its own word, or by a record.
func (c *Core) Ping(ctx context.Context) error {
	if c.board.Blind() {
		return errors.New("the store could not be read for a minute; sessions that can't be checked are refused")
	}
	if own, can := c.store.(interface{ Ping(context.Context) error }); can {
		return own.Ping(ctx)
	}
	return c.store.View(ctx, func(tx store.Tx) error {
		_, err := tx.Get(store.KeyMeta)
		return err
	})
}
