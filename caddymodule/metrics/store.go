package metrics

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Store is a store that is measured.
type Store struct{ store.Store }

var (
	viewSeconds   = storeCalls.WithLabelValues("view")
	updateSeconds = storeCalls.WithLabelValues("update")
)

// View implements store.Store.
func (s Store) View(ctx context.Context, fn func(store.Tx) error) error {
	began := time.Now()
	var own error
	err := s.Store.View(ctx, func(tx store.Tx) error {
		own = fn(tx)
		return own
	})
	viewSeconds.Observe(time.Since(began).Seconds())
	countStoreError(ctx, "view", err, own)
	return err
}

// Update implements store.Store.
func (s Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	began := time.Now()
	var own error
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		own = fn(tx)
		return own
	})
	updateSeconds.Observe(time.Since(began).Seconds())
	countStoreError(ctx, "update", err, own)
	return err
}

// countStoreError counts what is neither the caller's own error nor somebody
// who went away.
func countStoreError(ctx context.Context, op string, err, own error) {
	if err != nil && own == nil && ctx.Err() == nil {
		storeErrors.WithLabelValues(op).Inc()
	}
}
