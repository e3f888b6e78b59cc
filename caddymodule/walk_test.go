package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestWalk compares Caddyfiles with where their gates stand, and with what is
// said about it at the start.
func TestWalk(t *testing.T) { golden(t, "testdata/walk/*.txtar", places) }

// places provisions a Caddyfile and looks for its gates, without a start.
func places(caddyfile string) (result, text string) {
	app, err := provisioned(caddyfile)
	if err != nil {
		return ".error", err.Error() + "\n"
	}
	core, logs := observer.New(zap.WarnLevel)
	app.log = zap.New(core)
	if err := app.placeGates(); err != nil {
		return ".error", err.Error() + "\n"
	}
	var out strings.Builder
	for _, g := range app.gates {
		fmt.Fprintf(&out, "gate hosts %v origins %v ports %v tls %v ways %d\n", g.guard.Place.Hosts, g.guard.Place.Origins, g.guard.Place.Ports, g.guard.Place.TLS, len(g.guard.Place.Spots))
	}
	for _, entry := range logs.All() {
		fmt.Fprintf(&out, "warning: %s\n", entry.Message)
	}
	return ".places", out.String()
}

func provisioned(caddyfile string) (*App, error) {
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, err
	}
	var config *caddy.Config
	if err := caddy.StrictUnmarshalJSON(raw, &config); err != nil {
		return nil, err
	}
	ctx, err := caddy.ProvisionContext(config)
	if err != nil {
		return nil, err
	}
	app, err := ctx.App("gatehouse")
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

func TestGateKeysLastAcrossReloads(t *testing.T) {
	const text = `{
	admin off
	gatehouse {
		mail log
	}
}
app.example.com {
	gatehouse any
	gatehouse /admin/* alice@example.com
	@api header X-Api *
	gatehouse @api %s
}
other.example.com {
	gatehouse any
}`
	keys := func(who string) []string {
		app, err := provisioned(fmt.Sprintf(text, who))
		must(t, err)
		must(t, app.placeGates())
		var keys []string
		for _, g := range app.gates {
			keys = append(keys, g.guard.Place.Key)
		}
		return keys
	}
	before, after := keys("alice@example.com"), keys("bob@example.com")
	seen := map[string]bool{}
	for i, key := range before {
		if after[i] != key {
			t.Errorf("gate %d has another key after its people changed: %q, %q", i, key, after[i])
		}
		if seen[key] {
			t.Errorf("two gates have the key %q", key)
		}
		seen[key] = true
	}
}

func TestProtects(t *testing.T) {
	const text = `{
	admin off
	%s
	gatehouse {
		mail log
		%s
	}
}
app.example.com, *.apps.example.com:8443 {
	gatehouse any
}
http://localhost:8080 {
	gatehouse any {
		origin https://front.example.com:444
	}
}
http://intern.example.com {
	gatehouse any
}
open.example.com {
	respond open
}`
	tests := []struct {
		origin      string
		strict, lax bool // without and with insecure_http
	}{
		{"https://app.example.com", true, true},
		{"https://app.example.com:8443", false, false},
		{"https://app.example.com:9999", false, false},
		{"http://app.example.com", false, false},
		{"https://a.apps.example.com:8443", true, true},
		{"https://a.b.apps.example.com:8443", false, false},
		{"https://apps.example.com:8443", false, false},
		{"http://localhost:8080", true, true},
		{"http://localhost:1234", true, true},
		{"https://front.example.com:444", true, true},
		{"https://front.example.com", false, false},
		{"http://intern.example.com", false, true},
		{"https://intern.example.com", true, true}, // behind a proxy that speaks TLS
		{"https://open.example.com", false, false},
		{"https://example.com", false, false},
		{"https://app.example.com.evil.example", false, false},
	}
	for _, insecure := range []bool{false, true} {
		option := ""
		if insecure {
			option = "insecure_http on"
		}
		app, err := provisioned(fmt.Sprintf(text, "", option))
		must(t, err)
		must(t, app.placeGates())
		for _, test := range tests {
			want := test.strict
			if insecure {
				want = test.lax
			}
			if got := app.protects(mustOrigin(t, test.origin)); got != want {
				t.Errorf("insecure %v: protects %s: %v, want %v", insecure, test.origin, got, want)
			}
		}
	}
}
