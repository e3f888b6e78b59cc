// Package storetest is the conformance suite of store.Store. An engine
// passes it in one call:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Engine{New: ..., Reopen: ...})
//	}
//
// Each test names one promise of the interface and works on a store of its
// own, with a clock that the test moves. The rules of codes, sessions and
// limits rest on these promises: a store that loses a concurrent count gives
// away the limit on guesses, one that forgets a write gives back a used code.
//
// That the suite would notice is tested too: stores with planted faults must
// fail it.
//
// It keeps nothing.
package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Engine says how to get a store of one kind.
type Engine struct {
	// New returns an empty store that judges expiry by now.
	New func(t testing.TB, now func() time.Time) store.Store

	// Reopen returns a store over what closed, made by New or Reopen and
	// closed since, has left behind. An engine that forgets has no Reopen,
	// and is not tested for remembering.
	Reopen func(t testing.TB, closed store.Store, now func() time.Time) store.Store
}

// Run runs the suite, each test as a subtest of t.
func Run(t *testing.T, engine Engine) {
	for _, p := range promises() {
		if p.remembers && engine.Reopen == nil {
			continue
		}
		t.Run(p.name, func(t *testing.T) { p.test(newSubject(t, engine)) })
	}
}

// promise is one test of the suite.
type promise struct {
	name      string
	test      func(*subject)
	remembers bool // needs Reopen
}

func promises() []promise {
	var all []promise
	for _, group := range [][]promise{
		recordPromises, expiryPromises, scanPromises, limitPromises,
		atomicityPromises, concurrencyPromises, closingPromises, reopenPromises,
	} {
		all = append(all, group...)
	}
	return all
}

// subject is the store under test, its clock and short ways to use it.
type subject struct {
	testing.TB
	engine Engine
	store  store.Store
	clock  *clock
}

func newSubject(t testing.TB, engine Engine) *subject {
	s := &subject{TB: t, engine: engine, clock: &clock{now: time.Date(2031, 5, 6, 7, 8, 9, 123456789, time.UTC)}}
	s.store = engine.New(t, s.clock.Now)
	t.Cleanup(func() { _ = s.store.Close() })
	return s
}

// reopen closes the store and opens what it left.
func (s *subject) reopen() {
	s.Helper()
	if err := s.store.Close(); err != nil {
		s.Fatalf("Close: %v", err)
	}
	s.store = s.engine.Reopen(s, s.store, s.clock.Now)
}

func (s *subject) update(fn func(store.Tx) error) {
	s.Helper()
	if err := s.store.Update(context.Background(), fn); err != nil {
		s.Fatalf("Update: %v", err)
	}
}

func (s *subject) view(fn func(store.Tx) error) {
	s.Helper()
	if err := s.store.View(context.Background(), fn); err != nil {
		s.Fatalf("View: %v", err)
	}
}

// put writes one record in an update of its own.
func (s *subject) put(key, value string, expires time.Time) {
	s.Helper()
	s.update(func(tx store.Tx) error {
		tx.Put(key, []byte(value), expires)
		return nil
	})
}

func (s *subject) remove(key string) {
	s.Helper()
	s.update(func(tx store.Tx) error {
		tx.Delete(key)
		return nil
	})
}

// get reads one record, "" when it is absent.
func (s *subject) get(key string) string {
	s.Helper()
	var value []byte
	s.view(func(tx store.Tx) error {
		values, err := tx.Get(key)
		if err == nil {
			value = values[0]
		}
		return err
	})
	return string(value)
}

// want fails unless key holds the JSON value, or is absent if value is empty.
// Engines may keep JSON in a form of their own, so bytes are not compared.
func (s *subject) want(key, value string) {
	s.Helper()
	if got := s.get(key); !sameJSON(got, value) {
		s.Errorf("%q holds %s, want %s", key, shown(got), shown(value))
	}
}

func (s *subject) scan(prefix, after string, limit int) []store.Item {
	s.Helper()
	var items []store.Item
	s.view(func(tx store.Tx) (err error) {
		items, err = tx.Scan(prefix, after, limit)
		return err
	})
	return items
}

func (s *subject) wantKeys(items []store.Item, want ...string) {
	s.Helper()
	got := []string{}
	for _, item := range items {
		got = append(got, item.Key)
	}
	if !reflect.DeepEqual(got, append([]string{}, want...)) {
		s.Errorf("Scan found %q, want %q", got, want)
	}
}

func shown(value string) string {
	if value == "" {
		return "nothing"
	}
	if len(value) > 80 {
		return value[:80] + "…"
	}
	return value
}

func sameJSON(a, b string) bool {
	if a == "" || b == "" {
		return a == b
	}
	return reflect.DeepEqual(decoded(a), decoded(b))
}

func decoded(s string) any {
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return "not JSON: " + s
	}
	return v
}

// clock is the store's time, moved by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var never time.Time
