package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// An update may run again; what counts is what its last run returned, and an
// error returns nothing.
func TestUpdateReturnsTheRunThatCounts(t *testing.T) {
	ctx, s := context.Background(), memstore.New()
	runs := 0
	got, err := store.Update(ctx, twice{s}, func(tx store.Tx) (found []int, err error) {
		runs++
		return append(found, runs), nil
	})
	if err != nil || runs < 2 || len(got) != 1 || got[0] != runs {
		t.Errorf("%v, %v after %d runs", got, err, runs)
	}
	failed := errors.New("failed")
	if got, err := store.Update(ctx, s, func(store.Tx) (int, error) { return 7, failed }); got != 0 || err != failed {
		t.Errorf("a failed update: %d, %v", got, err)
	}
	if got, err := store.View(ctx, s, func(store.Tx) (int, error) { return 7, failed }); got != 0 || err != failed {
		t.Errorf("a failed view: %d, %v", got, err)
	}
}

// twice runs each update again, as an engine does after a conflict.
type twice struct{ store.Store }

func (s twice) Update(ctx context.Context, fn func(store.Tx) error) error {
	_ = s.Store.Update(ctx, func(tx store.Tx) error { _ = fn(tx); return errors.New("conflict") })
	return s.Store.Update(ctx, fn)
}
