package pgstore

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Commits are noted as their calls wake up: an older one may come last.
func TestOlderCommitsAreNotRememberedLast(t *testing.T) {
	h, began := &history{}, time.Now()
	at := func(n int) time.Time { return began.Add(time.Duration(n) * time.Millisecond) }
	h.keep(2, at(2), map[string]write{"key": {value: []byte(`"ended"`)}}, updating)
	h.keep(1, at(1), map[string]write{"key": {value: []byte(`"live"`)}}, updating)
	if got := h.young["key"]; got.version != 2 || string(got.value) != `"ended"` {
		t.Errorf("version %d, %s, is what would be put back", got.version, got.value)
	}
	h.keep(3, at(3), map[string]write{"key": {value: []byte(`"more"`)}}, updating)
	if got := h.young["key"]; got.version != 3 {
		t.Errorf("version %d is the last", got.version)
	}
}

// Who puts something back stands in no line, and reads anew what others have changed
// meanwhile.
func TestPuttingBackMeetsOthers(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s, other := openNode(t, dsn), openNode(t, dsn)
	runs := 0
	err := beside{s}.Update(t.Context(), func(tx store.Tx) error {
		if _, err := tx.Get("k"); err != nil {
			return err
		}
		if runs++; runs < 3 {
			if err := other.Update(t.Context(), func(tx store.Tx) error { return add(tx, "k") }); err != nil {
				return err
			}
		}
		return add(tx, "k")
	})
	if got := sum(t, s, "k"); err != nil || runs > 4 || got != 3 {
		t.Errorf("after %d runs: %v, counted to %d", runs, err, got)
	}
}

// Whoever began before something was lost, and has waited for a connection or in a line
// since, reads and writes nothing before all of it is put back.
func TestWhoBeganBeforeTheLoss(t *testing.T) {
	t.Parallel()
	s := openNode(t, pgtest.Database(t))
	get := func(tx store.Tx) error { _, err := tx.Get("k"); return err }
	for what, c := range map[string]struct {
		call func(context.Context, func(store.Tx) error) error
		do   func(store.Tx) error
	}{
		"View":              {s.View, get},
		"View that lists":   {s.View, func(tx store.Tx) error { _, err := tx.Scan("k", "", 1); return err }},
		"Update that reads": {s.Update, get},
		"Update":            {s.Update, func(tx store.Tx) error { tx.Put("k", []byte(`1`), time.Time{}); return nil }},
	} {
		began, lost, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		once := sync.OnceFunc(func() {
			s.history.mu.Lock()
			s.history.lost, s.history.seen = lost, nil
			s.history.mu.Unlock()
			close(began)
		})
		go func() {
			done <- c.call(t.Context(), func(tx store.Tx) error {
				once()
				return c.do(tx)
			})
		}()
		<-began
		select {
		case err := <-done:
			t.Errorf("%s: %v before all was put back", what, err)
			done <- nil
		case <-time.After(100 * time.Millisecond):
		}
		s.history.mu.Lock()
		s.history.lost = nil
		close(lost)
		s.history.mu.Unlock()
		if err := <-done; err != nil {
			t.Errorf("%s: %v once all was put back", what, err)
		}
	}
}
