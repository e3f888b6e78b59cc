package caddymodule

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// BenchmarkGate compares a request that passes, for a session in the cache,
// with the same request without a gate. Both run what Caddy does for each
// request before its handlers.
func BenchmarkGate(b *testing.B) {
	f := newFixture(b)
	cookie := f.signIn("alice@example.com", testSite)
	app := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return nil
	})
	off := caddyhttp.MiddlewareHandler(passOn{})
	for _, bench := range []struct {
		name    string
		handler caddyhttp.MiddlewareHandler
		path    string
	}{
		{"off", off, "/"},
		{"on", f.gate(nil), "/"},
		{"assertion", f.gate(func(g *Gate) { g.Headers = []string{"assertion"} }), "/"},
		{"public", f.gate(func(g *Gate) { g.Public = []string{"/x/*"} }), "/x/y"},
		{"clean", joined(f.app, new(Cleaner)), "/x"},
		{"elsewhere", f.gate(func(g *Gate) { g.Paths = []string{"/admin/*"} }), "/x"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := request("GET", testSite+bench.path, "Accept: text/html,application/xhtml+xml", "Accept-Encoding: gzip", "Accept-Language: en",
				"Cookie: a=b; "+cookie, "Sec-Fetch-Dest: document", page, "Sec-Fetch-Site: none", "Upgrade-Insecure-Requests: 1", "User-Agent: x", "Referer: "+testSite)
			r = r.WithContext(gate.ConnContext(r.Context(), nil))
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				r.Header["Cookie"] = []string{"a=b; " + cookie}
				prepared := caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
				if err := bench.handler.ServeHTTP(w, prepared, app); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type passOn struct{}

func (passOn) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
