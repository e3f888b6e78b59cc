package pgstore

import "testing"

// Commits are noted as their calls wake up: an older one may come last.
func TestOlderCommitsAreNotRememberedLast(t *testing.T) {
	h := &history{}
	at := func(version int64) map[string]row {
		return map[string]row{"key": {version: version, asked: true}}
	}
	h.keep(2, map[string]write{"key": {value: []byte(`"ended"`)}}, at(1))
	h.keep(1, map[string]write{"key": {value: []byte(`"live"`)}}, at(0))
	if got := h.young["key"]; got.version != 2 || string(got.value) != `"ended"` {
		t.Errorf("version %d, %s, is what would be put back", got.version, got.value)
	}
	h.keep(3, map[string]write{"key": {value: []byte(`"more"`)}}, at(2))
	if got := h.young["key"]; got.version != 3 {
		t.Errorf("version %d is the last", got.version)
	}
}
