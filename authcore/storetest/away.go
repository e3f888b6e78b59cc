package storetest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Away is a store that several nodes would use, for tests of rooms that must know the
// difference. It can be out of reach.
type Away struct {
	store.Store
	away atomic.Bool
}

var _ store.Shared = &Away{}

var errAway = errors.New("the store is out of reach")

// Be puts the store out of reach, or back.
func (s *Away) Be(away bool) { s.away.Store(away) }

// Node implements store.Shared.
func (s *Away) Node() string { return "one" }

// OnLost implements store.Shared: nothing is ever lost.
func (s *Away) OnLost(func(context.Context, store.Store, store.Lost) error) {}

// Gone implements store.Shared.
func (s *Away) Gone(context.Context, string) (bool, error) { return false, nil }

// View implements store.Store.
func (s *Away) View(ctx context.Context, fn func(store.Tx) error) error {
	if s.away.Load() {
		return errAway
	}
	return s.Store.View(ctx, fn)
}

// Update implements store.Store.
func (s *Away) Update(ctx context.Context, fn func(store.Tx) error) error {
	if s.away.Load() {
		return errAway
	}
	return s.Store.Update(ctx, fn)
}
