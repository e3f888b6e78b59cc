package authcore

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Ping reads one record, to tell whether the store answers.
func (c *Core) Ping(ctx context.Context) error {
	return c.store.View(ctx, func(tx store.Tx) error {
		_, err := tx.Get(store.KeyMeta)
		return err
	})
}
