package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Away is a store that several nodes would use, for tests of rooms that must know the
// difference. It can be out of reach.
type Away struct {
	store.Store
	away   atomic.Bool
	silent atomic.Int64 // nanoseconds
	late   atomic.Int64
	calls  atomic.Int64
}

var _ store.Shared = &Away{}

var errAway = errors.New("the store is out of reach")

// Be puts the store out of reach, or back.
func (s *Away) Be(away bool) { s.away.Store(away) }

// BeSilent has each call fail only after a time, as behind a network that swallows all;
// 0: it answers.
func (s *Away) BeSilent(d time.Duration) {
	s.silent.Store(int64(d))
	s.away.Store(d > 0)
}

// BeLate has each read answer after a time what was so when it began.
func (s *Away) BeLate(d time.Duration) { s.late.Store(int64(d)) }

// Calls is how many there were.
func (s *Away) Calls() int64 { return s.calls.Load() }

func (s *Away) reach() error {
	s.calls.Add(1)
	if !s.away.Load() {
		return nil
	}
	if d := s.silent.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
	return errAway
}

// Node implements store.Shared.
func (s *Away) Node() string { return "one" }

// OnLost implements store.Shared: nothing is ever lost.
func (s *Away) OnLost(func(context.Context, store.Store, store.Lost) error) {}

// Gone implements store.Shared.
func (s *Away) Gone(context.Context, string) (bool, error) { return false, nil }

// View implements store.Store.
func (s *Away) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.reach(); err != nil {
		return err
	}
	err := s.Store.View(ctx, fn)
	time.Sleep(time.Duration(s.late.Load()))
	return err
}

// Update implements store.Store.
func (s *Away) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.reach(); err != nil {
		return err
	}
	return s.Store.Update(ctx, fn)
}
