package gate

import (
	"net/http"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

// Every preset's header must be one that requests are cleaned of.
func TestPresetsAreClaims(t *testing.T) {
	for name, fields := range presets {
		for _, f := range fields {
			if header.ClaimOf(f.name) != header.IdentityClaim || http.CanonicalHeaderKey(f.name) != f.name {
				t.Errorf("preset %s: %s is not removed from requests or not canonical", name, f.name)
			}
		}
	}
}
