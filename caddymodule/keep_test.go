package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// What says that a request is for another path reaches no app, whoever sent it:
// proxies hand on what their clients say there. keep lets one pass from trusted
// proxies, once and in its own spelling.
func TestRouteClaimsOfTrustedProxies(t *testing.T) {
	f := newFixture(t)
	kept := []string{"x-forwarded-prefix"}
	all := []string{"X-Original-URL: /admin", "X-Rewrite-Url: /admin", "X-Forwarded-Uri: /admin", "X-Forwarded-Method: GET", "X_Original_Url: /admin", "X-Script-Name: /wiki"}
	gates := map[string]struct{ plain, keeps caddyhttp.MiddlewareHandler }{
		"gate": {
			f.gate(func(g *Gate) { g.Public = []string{"/public/*"} }),
			f.gate(func(g *Gate) { g.Public, g.Keep = []string{"/public/*"}, kept }),
		},
		"gate beside": {
			f.gate(func(g *Gate) { g.Paths = []string{"/admin"} }),
			f.gate(func(g *Gate) { g.Paths, g.Keep = []string{"/admin"}, kept }),
		},
		"gatehouse_clean": {joined(f.app, new(Cleaner)), joined(f.app, &Cleaner{Keep: kept})},
		"gatehouse_first": {joined(f.app, &PagesHandler{Clean: true}), joined(f.app, &PagesHandler{Clean: true, Keep: kept})},
	}
	for name, g := range gates {
		for _, test := range []struct {
			handler caddyhttp.MiddlewareHandler
			trusted bool
			headers []string
			want    string
		}{
			{g.plain, true, []string{"X-Forwarded-Prefix: /wiki"}, ""},
			{g.plain, false, []string{"X-Forwarded-Prefix: /wiki"}, ""},
			{g.keeps, true, []string{"X-Forwarded-Prefix: /wiki"}, "/wiki"},
			{g.keeps, false, []string{"X-Forwarded-Prefix: /wiki"}, ""},
			{g.keeps, true, []string{"X-Forwarded-Prefix: /wiki", "X-Forwarded-Prefix: /evil"}, ""},
			{g.keeps, true, []string{"X-Forwarded-Prefix: /wiki", "X_Forwarded_Prefix: /evil"}, "/wiki"},
		} {
			var app recordingApp
			handler(test.handler, &app, func(vars map[string]any) { vars[caddyhttp.TrustedProxyVarKey] = test.trusted }).
				ServeHTTP(newRecorder(), request("GET", testSite+"/public/x", append(all, test.headers...)...))
			if len(app.requests) == 0 {
				t.Fatalf("%s: the request did not pass", name)
			}
			var got []string
			for header, values := range app.requests[0].Header {
				if strings.Contains(header, "X") && !strings.Contains(header, "Gatehouse") {
					got = append(got, values...)
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s, %+v: the app sees %q: %v", name, test.headers, got, app.requests[0].Header)
			}
		}
	}
}

// What is taken from a trusted proxy's request is told once, with the line to
// write; what strangers send is not.
func TestTakenAwayIsToldOnce(t *testing.T) {
	f := newFixture(t)
	g := f.gate(nil)
	for _, trusted := range []bool{false, true, true, true} {
		for _, header := range []string{"X-Original-URL: /a", "X-Forwarded-Prefix: /b", "Remote-User: root"} {
			handler(g, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }), func(vars map[string]any) { vars[caddyhttp.TrustedProxyVarKey] = trusted }).
				ServeHTTP(newRecorder(), request("GET", testSite+"/x", header))
		}
		if told := f.logs.FilterMessageSnippet("trusted proxy").All(); !trusted && len(told) > 0 || trusted && len(told) != 2 {
			t.Fatalf("trusted %v: %+v", trusted, told)
		}
	}
	for _, line := range []string{"keep X-Original-U", "keep X-Forwarded-Prefix"} {
		if f.logs.FilterMessageSnippet(line).Len() != 1 {
			t.Errorf("nothing says %q", line)
		}
	}
}

// A refusal names what to write: where TLS ends in front, the scheme that browsers
// see is known only of a proxy that is listed.
func TestUnknownHostSaysWhatToWrite(t *testing.T) {
	f := newFixture(t)
	g := f.gate(nil)
	for _, test := range []struct {
		url, header string
		trusted     bool
		want, not   string
	}{
		{"http://other.example.com/", "X-Forwarded-Proto: https", false, `trusted_proxies, so that its X-Forwarded-Proto is believed; or, if browsers see that host, write \"origin https://other.example.com\"`, "http://other"},
		{"http://other.example.com/", "X-Forwarded-Proto: https", true, `write \"origin https://other.example.com\"`, "trusted_proxies"},
		{"https://other.example.com/", "A: b", false, `write \"origin https://other.example.com\"`, "trusted_proxies"},
	} {
		w := newRecorder()
		handler(g, &recordingApp{}, func(vars map[string]any) { vars[caddyhttp.TrustedProxyVarKey] = test.trusted }).
			ServeHTTP(w, request("GET", test.url, test.header, "X-Forwarded-Host: app.example.com"))
		if body := w.Body.String(); w.Code != http.StatusBadRequest || !strings.Contains(body, test.want) || strings.Contains(body, test.not) {
			t.Errorf("%+v: %d %s", test, w.Code, body)
		}
	}
	found := false
	for _, entry := range f.logs.FilterMessageSnippet("refused").All() {
		found = found || entry.ContextMap()["forwarded_host"] == `"app.example.com"`
	}
	if !found {
		t.Errorf("the log has no forwarded host: %+v", f.logs.All())
	}
}

// A proxy that adds to what its client says makes a list, which nobody guesses about.
func TestJoinedForwardedHostIsCalledAList(t *testing.T) {
	f := newFixture(t)
	a := f.authz()
	w := asks(t, a, "GET", "/api/authz/forward-auth", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test, wiki.example.com", "X-Forwarded-Uri: /", "X-Forwarded-Method: GET")
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "X-Forwarded-Host is a list") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
