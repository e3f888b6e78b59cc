package pgstore

import (
	"testing"
	"time"
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
