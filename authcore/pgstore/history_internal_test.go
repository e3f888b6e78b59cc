package pgstore

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Commits are noted as their calls wake up: an older one may come last.
func TestOlderCommitsAreNotRememberedLast(t *testing.T) {
	h, began := &history{}, time.Now()
	at := func(n time.Duration) time.Time { return began.Add(n * time.Millisecond) }
	h.keep(2, at(2), map[string]write{"key": {value: []byte(`"ended"`)}})
	h.keep(1, at(1), map[string]write{"key": {value: []byte(`"live"`)}})
	if got := h.young["key"]; got.version != 2 || string(got.value) != `"ended"` {
		t.Errorf("version %d, %s, is what would be put back", got.version, got.value)
	}
	h.keep(3, at(3), map[string]write{"key": {value: []byte(`"more"`)}})
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
