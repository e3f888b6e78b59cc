package caddymodule

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// timedStore measures a store.
type timedStore struct{ store.Store }

var (
	viewSeconds   = storeCalls.WithLabelValues("view")
	updateSeconds = storeCalls.WithLabelValues("update")
)

// View implements store.Store.
func (s timedStore) View(ctx context.Context, fn func(store.Tx) error) error {
	began := time.Now()
	var own error
	err := s.Store.View(ctx, func(tx store.Tx) error {
		own = fn(tx)
		return own
	})
	viewSeconds.Observe(since(began))
	countStoreError(ctx, "view", err, own)
	return err
}

// Update implements store.Store.
func (s timedStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	began := time.Now()
	var own error
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		own = fn(tx)
		return own
	})
	updateSeconds.Observe(since(began))
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
