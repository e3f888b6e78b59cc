package caddymodule

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// The inner gate finds the session that the outer one hid, and has the last
// word about headers.
func TestNestedGates(t *testing.T) {
	f := newFixture(t)
	alice := "Cookie: a=b; " + f.signIn("alice@example.com", testSite)
	bob := "Cookie: " + f.signIn("bob@example.com", testSite)
	outer := f.gate(func(g *Gate) { g.Headers = []string{"forwarded"} })
	inner := f.gate(func(g *Gate) { g.Allow = []string{"admins"} })
	unmatched := f.gate(func(g *Gate) { g.Paths = []string{"/elsewhere"} })
	open := f.gate(func(g *Gate) { g.Public = []string{"/x"} })
	for _, test := range []struct {
		name, cookie string
		gates        []*Gate
		want         int
	}{
		{"both admit", alice, []*Gate{outer, inner}, 200},
		{"the inner refuses", bob, []*Gate{outer, inner}, 403},
		{"the outer does not look", alice, []*Gate{unmatched, inner}, 200},
		{"the outer does not look, three deep", alice, []*Gate{unmatched, unmatched, inner}, 200},
		{"the outer is public there", alice, []*Gate{open, inner}, 200},
		{"nobody, the outer is public there", "", []*Gate{open, inner}, 401},
		{"three gates", alice, []*Gate{outer, inner, inner}, 200},
	} {
		app := &recordingApp{}
		var h caddyhttp.Handler = app
		for _, g := range slices.Backward(test.gates[1:]) {
			next := h
			h = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return g.ServeHTTP(w, r, next) })
		}
		w := newRecorder()
		handler(test.gates[0], h).ServeHTTP(w, request("GET", testSite+"/x", test.cookie))
		r := app.last()
		if w.Code != test.want || (r != nil) != (test.want == 200) {
			t.Errorf("%s: %d, want %d", test.name, w.Code, test.want)
			continue
		}
		if r == nil {
			continue
		}
		if got := r.Header["Remote-User"]; len(got) != 1 || got[0] != "alice@example.com" || r.Header["X-Forwarded-User"] != nil || r.Header.Get("Cookie") != "a=b" {
			t.Errorf("%s: %v", test.name, r.Header)
		}
	}
	if f.run.Core.Sessions().Streams() != 0 {
		t.Error("an answer is still watched")
	}
}

// "gatehouse any" for a site and "gatehouse /admin/* admins" beside it: outside
// of /admin the second gate took away what the first had told the app about the
// visitor, as if a client had sent it.
func TestGateThatDoesNotLookLeavesTheIdentity(t *testing.T) {
	f := newFixture(t)
	cookie := "Cookie: a=b; " + f.signIn("alice@example.com", testSite)
	outer := f.gate(func(g *Gate) { g.Public = []string{"/public"} })
	inner := f.gate(func(g *Gate) { g.Allow, g.Paths = []string{"admins"}, []string{"/admin/*"} })
	for path, headers := range map[string][]string{
		"/x": {cookie}, "/public": {"Remote-User: alice@example.com"},
	} {
		app := &recordingApp{}
		next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return inner.ServeHTTP(w, r, app) })
		handler(outer, next).ServeHTTP(newRecorder(), request("GET", testSite+path, headers...))
		r := app.last()
		if r == nil {
			t.Fatalf("%s: stopped", path)
		}
		known := r.Header.Get("Remote-User") == "alice@example.com"
		if known != (path == "/x") || strings.Contains(r.Header.Get("Cookie"), "gatehouse") {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
}

// A gate that passes everybody (report_only) and found a reason before it asked
// for the session left the next gate with nobody: its visitors were led to sign
// in for ever.
func TestGateAfterOneThatOnlyReports(t *testing.T) {
	f := newFixture(t)
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	outer := f.gate(func(g *Gate) { g.ReportOnly, g.ClientIP = true, []string{"10.0.0.0/8"} })
	inner := f.gate(nil)
	next := func(app *recordingApp) caddyhttp.Handler {
		return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return inner.ServeHTTP(w, r, app) })
	}
	for headers, want := range map[string]int{cookie: 200, "Cookie: a=b": 401} {
		w, app := newRecorder(), &recordingApp{}
		handler(outer, next(app)).ServeHTTP(w, request("GET", testSite+"/x", headers))
		if w.Code != want {
			t.Errorf("%q: %d, want %d", headers[:10], w.Code, want)
		}
	}
}
