package storetest

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// splitUpdate reads in one step and writes in another, as a View followed by
// an Update does.
type splitUpdate struct{ *kept }

func (s splitUpdate) Update(ctx context.Context, fn func(store.Tx) error) error {
	var writes []func(store.Tx)
	var fnErr error
	err := s.View(ctx, func(tx store.Tx) error {
		fnErr = fn(&splitTx{tx, &writes})
		return fnErr
	})
	if err != nil {
		return err
	}
	time.Sleep(time.Millisecond) // lets another one read the same
	return s.kept.Update(ctx, func(tx store.Tx) error {
		for _, write := range writes {
			write(tx)
		}
		return nil
	})
}

type splitTx struct {
	store.Tx
	writes *[]func(store.Tx)
}

func (t *splitTx) Put(key string, value []byte, expires time.Time) {
	value = slices.Clone(value)
	*t.writes = append(*t.writes, func(tx store.Tx) { tx.Put(key, value, expires) })
}

func (t *splitTx) Delete(key string) {
	*t.writes = append(*t.writes, func(tx store.Tx) { tx.Delete(key) })
}

// noRetry refuses an update that meets another one, instead of running it
// again.
type noRetry struct {
	*kept
	busy sync.Mutex
}

func (s *noRetry) Update(ctx context.Context, fn func(store.Tx) error) error {
	if !s.busy.TryLock() {
		return fmt.Errorf("conflict")
	}
	defer s.busy.Unlock()
	return s.kept.Update(ctx, func(tx store.Tx) error {
		err := fn(tx)
		time.Sleep(100 * time.Microsecond)
		return err
	})
}

// lateExpiry drops a record at the next full second.
type lateExpiry struct{ *kept }

func (s lateExpiry) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.kept.Update(ctx, func(tx store.Tx) error { return fn(lateTx{tx}) })
}

type lateTx struct{ store.Tx }

func (t lateTx) Put(key string, value []byte, expires time.Time) {
	if !expires.IsZero() {
		expires = expires.Truncate(time.Second).Add(time.Second)
	}
	t.Tx.Put(key, value, expires)
}

// keepsFailed keeps what fn wrote before it failed.
type keepsFailed struct{ *kept }

func (s keepsFailed) Update(ctx context.Context, fn func(store.Tx) error) (err error) {
	var panicked any
	commitErr := s.kept.Update(ctx, func(tx store.Tx) error {
		defer func() { panicked = recover() }()
		err = fn(tx)
		return nil
	})
	if panicked != nil {
		panic(panicked)
	}
	if commitErr != nil {
		return commitErr
	}
	return err
}

type wrapsErrors struct{ *kept }

func (s wrapsErrors) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.kept.Update(ctx, fn); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

// liveView reads each key as it is when it is asked for.
type liveView struct{ *kept }

func (s liveView) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.kept.View(ctx, func(store.Tx) error { return nil }); err != nil {
		return err
	}
	return fn(liveTx{s.kept})
}

type liveTx struct{ k *kept }

func (t liveTx) Get(keys ...string) (values [][]byte, err error) {
	err = t.k.View(background, func(tx store.Tx) error {
		values, err = tx.Get(keys...)
		return err
	})
	return values, err
}

func (t liveTx) Scan(prefix, after string, limit int) (items []store.Item, err error) {
	err = t.k.View(background, func(tx store.Tx) error {
		items, err = tx.Scan(prefix, after, limit)
		return err
	})
	return items, err
}

func (liveTx) Put(string, []byte, time.Time) { panic("read-only") }
func (liveTx) Delete(string)                 { panic("read-only") }

type deafStore struct{ *kept }

func (s deafStore) View(_ context.Context, fn func(store.Tx) error) error {
	return s.kept.View(background, fn)
}

func (s deafStore) Update(_ context.Context, fn func(store.Tx) error) error {
	return s.kept.Update(background, fn)
}

// undead forgets that it was closed.
type undead struct{ *kept }

func (s *undead) Close() error { return nil }

// hastyClose answers Close at once and lets updates run on.
type hastyClose struct {
	*kept
	running sync.WaitGroup
}

func (s *hastyClose) Update(ctx context.Context, fn func(store.Tx) error) error {
	s.running.Add(1)
	defer s.running.Done()
	return s.kept.Update(ctx, fn)
}

func (s *hastyClose) Close() error {
	go func() {
		s.running.Wait()
		_ = s.kept.Close()
	}()
	return nil
}

// txFault changes what a transaction does.
type txFault struct {
	*kept
	change func(store.Tx, *kept) store.Tx
}

func (s txFault) View(ctx context.Context, fn func(store.Tx) error) error {
	return s.kept.View(ctx, func(tx store.Tx) error { return fn(s.change(tx, s.kept)) })
}

func (s txFault) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.kept.Update(ctx, func(tx store.Tx) error { return fn(s.change(tx, s.kept)) })
}

type alteredScan struct {
	store.Tx
	scan func(tx store.Tx, prefix, after string, limit int) ([]store.Item, error)
}

func (t alteredScan) Scan(prefix, after string, limit int) ([]store.Item, error) {
	return t.scan(t.Tx, prefix, after, limit)
}

func unsorted(tx store.Tx, _ *kept) store.Tx {
	return alteredScan{tx, func(tx store.Tx, prefix, after string, limit int) ([]store.Item, error) {
		items, err := tx.Scan(prefix, after, limit)
		sort.Slice(items, func(i, j int) bool { return strings.ToLower(items[i].Key) > strings.ToLower(items[j].Key) })
		return items, err
	}}
}

func scanIncludesAfter(tx store.Tx, _ *kept) store.Tx {
	return alteredScan{tx, func(tx store.Tx, prefix, after string, limit int) ([]store.Item, error) {
		if after != "" {
			after = after[:len(after)-1] + string(after[len(after)-1]-1) + "\x7f"
		}
		return tx.Scan(prefix, after, limit)
	}}
}

func scanCountsDead(tx store.Tx, k *kept) store.Tx {
	return alteredScan{tx, func(tx store.Tx, prefix, after string, limit int) ([]store.Item, error) {
		items, err := tx.Scan(prefix, after, limit)
		return items[:min(len(items), max(0, limit-1))], err
	}}
}

func scanForgetsExpiry(tx store.Tx, _ *kept) store.Tx {
	return alteredScan{tx, func(tx store.Tx, prefix, after string, limit int) ([]store.Item, error) {
		items, err := tx.Scan(prefix, after, limit)
		for i := range items {
			items[i].Expires = never
		}
		return items, err
	}}
}

// alteredWrites changes keys on the way in; Get asks for the changed ones.
type alteredWrites struct {
	store.Tx
	key func(string) string
}

func (t alteredWrites) Put(key string, value []byte, expires time.Time) {
	t.Tx.Put(t.key(key), value, expires)
}

func (t alteredWrites) Get(keys ...string) ([][]byte, error) {
	altered := make([]string, len(keys))
	for i, key := range keys {
		altered[i] = t.key(key)
	}
	return t.Tx.Get(altered...)
}

func cutsKeys(tx store.Tx, _ *kept) store.Tx {
	return alteredWrites{tx, func(key string) string { return key[:min(len(key), 255)] }}
}

func foldsKeys(tx store.Tx, _ *kept) store.Tx {
	return alteredWrites{tx, strings.ToLower}
}

// dropsBad leaves out what breaks the limits and keeps the rest.
type dropsBadTx struct{ store.Tx }

func (t dropsBadTx) Put(key string, value []byte, expires time.Time) {
	if store.CheckRecord(key, value) == nil {
		t.Tx.Put(key, value, expires)
	}
}

func dropsBad(tx store.Tx, _ *kept) store.Tx { return dropsBadTx{tx} }

// blindTx reads what was there before the update.
type blindTx struct {
	store.Tx
	before map[string][]byte
}

func blindToOwn(tx store.Tx, _ *kept) store.Tx {
	return &blindTx{Tx: tx, before: map[string][]byte{}}
}

func (t *blindTx) Put(key string, value []byte, expires time.Time) {
	if values, err := t.Get(key); err == nil {
		t.before[key] = values[0]
	}
	t.Tx.Put(key, value, expires)
}

func (t *blindTx) Get(keys ...string) ([][]byte, error) {
	values, err := t.Tx.Get(keys...)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if old, ok := t.before[key]; ok {
			values[i] = old
		}
	}
	return values, nil
}
