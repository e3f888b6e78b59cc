// Package memstore keeps a Gatehouse store in memory. It is for tests and
// examples: it passes the same suite as the engines that keep their data, and runs
// one update at a time. State of the process: everything.
//
//	store := memstore.New()
//	err := store.Update(ctx, func(tx store.Tx) error { ... })
//
// Expired records are absent at once and freed by later updates, a few at a
// time.
package memstore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Store is a store.Store in memory. Make it with New.
type Store struct {
	now func() time.Time

	mu      sync.RWMutex
	closed  bool
	records map[string]record
	keys    []string // of records, in order
}

type record struct {
	value   []byte // never changed once it is here
	expires time.Time
}

func (r record) live(now time.Time) bool {
	return r.value != nil && (r.expires.IsZero() || now.Before(r.expires))
}

// Option changes how New makes a Store.
type Option func(*Store)

// WithNow makes the store judge expiry by now instead of time.Now, so that a
// test can move the clock.
func WithNow(now func() time.Time) Option {
	return func(s *Store) { s.now = now }
}

// New returns an empty store.
func New(options ...Option) *Store {
	s := &Store{now: time.Now, records: map[string]record{}}
	for _, option := range options {
		option(s)
	}
	return s
}

// View runs fn over the store as it is now; updates wait until fn returns.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.refuse(ctx); err != nil {
		return err
	}
	return fn(&tx{store: s, readOnly: true})
}

// Update runs fn alone, twice, and keeps what it wrote the second time, unless
// it fails: engines run an fn again after a conflict, so one that does not reset
// what it sets outside itself shows in every test.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse(ctx); err != nil {
		return err
	}
	var t *tx
	for range 2 {
		t = &tx{store: s, writes: map[string]record{}}
		if err := fn(t); err != nil {
			return err
		}
	}
	if t.err != nil {
		return t.err
	}
	for key, r := range t.writes {
		if at, known := slices.BinarySearch(s.keys, key); !known {
			s.keys = slices.Insert(s.keys, at, key)
		}
		s.records[key] = r
	}
	s.collect(2 * len(t.writes))
	return nil
}

// Close forgets everything.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.records, s.keys = true, nil, nil
	return nil
}

func (s *Store) refuse(ctx context.Context) error {
	if s.closed {
		return store.ErrClosed
	}
	return ctx.Err()
}

// collect looks at n records, in the map's random order, and frees the dead
// ones: two looked at for each one written keep their share bounded.
func (s *Store) collect(n int) {
	now := s.now()
	for key, r := range s.records {
		if n == 0 {
			return
		}
		n--
		if !r.live(now) {
			delete(s.records, key)
			if at, known := slices.BinarySearch(s.keys, key); known {
				s.keys = slices.Delete(s.keys, at, at+1)
			}
		}
	}
}

type tx struct {
	store    *Store
	readOnly bool
	writes   map[string]record // a deleted key has a nil value
	err      error             // the first refused Put or Delete
}

func (t *tx) Get(keys ...string) ([][]byte, error) {
	now := t.store.now()
	values := make([][]byte, len(keys))
	for i, key := range keys {
		if err := store.CheckKey(key); err != nil {
			return nil, err
		}
		r, ok := t.writes[key]
		if !ok {
			r = t.store.records[key]
		}
		if r.live(now) {
			values[i] = clone(r.value)
		}
	}
	return values, nil
}

func (t *tx) Put(key string, value []byte, expires time.Time) {
	err := store.CheckRecord(key, value)
	if err == nil && !json.Valid(value) {
		err = errors.New("store: value is not JSON")
	}
	t.write(key, record{clone(value), expires}, err)
}

func (t *tx) Delete(key string) {
	t.write(key, record{}, store.CheckKey(key))
}

func (t *tx) write(key string, r record, err error) {
	if t.readOnly {
		panic("memstore: Put or Delete inside View")
	}
	if t.err == nil {
		t.err = err
	}
	t.writes[key] = r
}

func (t *tx) Scan(prefix, after string, limit int) ([]store.Item, error) {
	now, keys := t.store.now(), t.store.keys
	from, _ := slices.BinarySearch(keys, max(prefix, after))
	var items []store.Item
	for _, key := range keys[from:] {
		if len(items) >= limit || !strings.HasPrefix(key, prefix) {
			break
		}
		if r := t.store.records[key]; key > after && r.live(now) {
			items = append(items, store.Item{Key: key, Value: clone(r.value), Expires: r.expires})
		}
	}
	return items, nil
}

func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
