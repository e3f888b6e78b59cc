package stackbe_test

import (
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
)

// A session token that another node has signed a moment ago, with a key that can't be
// read here, is no session that is over.
func TestAnotherNodesTokenWhileTheStoreIsAway(t *testing.T) {
	w := house(t, func(h *apitest.House) { h.Nodes = true })
	token := apitest.FromAnotherNode(t, w.session(alice))
	if a := w.call("GET", auth+"session", nil, token); a.Status != 401 {
		t.Errorf("a key that nobody has: %d", a.Status)
	}
	w.Store.FailWith(errors.New("away"))
	if a := w.call("GET", auth+"session", nil, token); a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.Status, a.Header)
	}
}
