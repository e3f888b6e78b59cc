package authcore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

// What a sender keeps lies wrapped in the store, survives a restart and a
// rotation of the secret, and can't be moved to another name.
func TestWhatSendersKeep(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		kept := func(name, wanted string) {
			t.Helper()
			got, err := h.core.Outbox().Kept(t.Context(), name)
			want(t, err, nil)
			want(t, got, wanted)
		}
		kept("one", "")
		want(t, h.core.Outbox().Keep(t.Context(), "one", "refresh-token-1"), nil)
		want(t, h.core.Outbox().Keep(t.Context(), "one", "refresh-token-2"), nil)
		kept("one", "refresh-token-2")
		h.reopen()
		kept("one", "refresh-token-2")
		for key, value := range h.contents() {
			if strings.Contains(value, "refresh-token") {
				t.Errorf("%s: %s", key, value)
			}
		}
		h.secrets = keyring.Secrets{Current: secretOf(t, 'b'), Old: []keyring.Secret{h.secrets.Current}}
		h.reopen()
		h.secrets.Old = nil // wrapped anew at the start
		h.reopen()
		kept("one", "refresh-token-2")
		h.setClock(401 * 24 * time.Hour)
		kept("one", "")
	})
}
