package authcore

import "context"

// Ping reads one record, to tell whether the store answers.
func (c *Core) Ping(ctx context.Context) error {
	return c.store.View(ctx, func(tx Tx) error {
		_, err := tx.Get(keyMeta)
		return err
	})
}
