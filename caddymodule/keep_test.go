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

// An app behind several names serves the one that was judged, whatever a trusted
// proxy hands on of what its clients say.
func TestAppsAreToldTheHostThatWasJudged(t *testing.T) {
	f := newFixture(t)
	for name, h := range map[string]caddyhttp.MiddlewareHandler{
		"gate":            f.gate(func(g *Gate) { g.Public = []string{"/public/*"} }),
		"a gate beside":   f.gate(func(g *Gate) { g.Paths = []string{"/admin"} }),
		"gatehouse_clean": joined(f.app, new(Cleaner)),
		"gatehouse_first": joined(f.app, &PagesHandler{Clean: true}),
	} {
		for _, trusted := range []bool{true, false} {
			for _, header := range []string{"X-Forwarded-Host: wiki.example.com", "X_Forwarded_Host: wiki.example.com", "x.forwarded.host: wiki.example.com", "X-Host: wiki.example.com", "X-Original-Host: wiki.example.com"} {
				var app recordingApp
				r := request("GET", testSite+"/public/x", header, "X-Forwarded-Host: app.example.com, wiki.example.com")
				handler(h, &app, func(vars map[string]any) { vars[caddyhttp.TrustedProxyVarKey] = trusted }).ServeHTTP(newRecorder(), r)
				got := app.last().Header
				for field, values := range got {
					if all := strings.Join(values, ","); strings.Contains(all, "wiki") || field == "X-Forwarded-Host" && all != app.last().Host {
						t.Errorf("%s, trusted %v, %s: the app sees %s: %s", name, trusted, header, field, all)
					}
				}
			}
		}
	}
}

// The second path of a WebDAV request is judged as the first is.
func TestDestinationIsJudged(t *testing.T) {
	f := newFixture(t)
	limited := f.gate(func(g *Gate) { g.Paths = []string{"/admin/*"} })
	public := f.gate(func(g *Gate) { g.Public = []string{"/open/*"} })
	for _, test := range []struct {
		gate     *Gate
		path, to string
		passes   bool
	}{
		{limited, "/open/x", "", true},
		{limited, "/open/x", "/open/y", true},
		{limited, "/open/x", "/admin/y", false},
		{limited, "/open/x", testSite + "/admin/y", false},
		{limited, "/open/x", "/x/..%2fadmin/y", false},
		{public, "/open/x", "", true},
		{public, "/open/x", "/secret/y", false},
		{public, "/open/x", "%zz", false},
	} {
		headers := []string{"A: b"}
		if test.to != "" {
			headers = append(headers, "Destination: "+test.to)
		}
		if w, r := ask(test.gate, "MOVE", testSite+test.path, headers...); (r != nil) != test.passes {
			t.Errorf("MOVE %s to %q: %d", test.path, test.to, w.Code)
		}
	}
}

// Which way a request has come is a proxy's to say, and no stranger's: apps take
// their visitors' addresses, and the names of their hosts, from there.
func TestOnlyTrustedProxiesSayWhichWay(t *testing.T) {
	f := newFixture(t)
	ways := []string{"Forwarded: for=1.2.3.4;host=evil.test", "X-Real-IP: 1.2.3.4", "x_real_ip: 1.2.3.4", "X-Client-IP: 1.2.3.4", "True-Client-IP: 1.2.3.4",
		"CF-Connecting-IP: 1.2.3.4", "X-Forwarded-Port: 1", "X-Forwarded-Ssl: off", "X-Forwarded-Server: evil.test"}
	for name, h := range map[string]caddyhttp.MiddlewareHandler{
		"gate":            f.gate(func(g *Gate) { g.Public = []string{"/public/*"} }),
		"a gate beside":   f.gate(func(g *Gate) { g.Paths = []string{"/admin"} }),
		"keep":            f.gate(func(g *Gate) { g.Public, g.Keep = []string{"/public/*"}, []string{"X-Real-IP", "Forwarded"} }),
		"gatehouse_clean": joined(f.app, new(Cleaner)),
		"gatehouse_first": joined(f.app, &PagesHandler{Clean: true}),
	} {
		for _, trusted := range []bool{true, false} {
			for _, header := range ways {
				var app recordingApp
				handler(h, &app, func(vars map[string]any) { vars[caddyhttp.TrustedProxyVarKey] = trusted }).
					ServeHTTP(newRecorder(), request("GET", testSite+"/public/x", header, "Via: 1.1 x"))
				key, _, _ := strings.Cut(header, ":")
				got := 0
				for field := range app.last().Header {
					if strings.EqualFold(field, key) {
						got++
					}
				}
				if (got == 1) != trusted || app.last().Header.Get("Via") == "" {
					t.Errorf("%s, trusted %v: %s: the app sees %v", name, trusted, header, app.last().Header)
				}
			}
		}
	}
	// A proxy of one's own that is not listed would go unnoticed.
	near := request("GET", testSite+"/x", "X-Real-IP: 1.2.3.4")
	near.RemoteAddr = "10.0.0.1:1234"
	for range 2 {
		handler(f.gate(nil), &recordingApp{}).ServeHTTP(newRecorder(), near.Clone(near.Context()))
	}
	if told := f.logs.FilterMessageSnippet("had the header X-Real-I"); told.Len() != 1 {
		t.Errorf("told %d times: %v", told.Len(), f.logs.All())
	}
}

// A network is trusted at first hand, also where a gate or a cleaner before has
// taken away what tells of a proxy.
func TestTrustBehindACleaner(t *testing.T) {
	f := newFixture(t)
	inner := f.gate(func(g *Gate) { g.Trust = []Trust{{Networks: []string{"192.0.2.0/24"}}} })
	for name, outer := range map[string]caddyhttp.MiddlewareHandler{
		"gatehouse_clean": joined(f.app, new(Cleaner)),
		"a gate beside":   f.gate(func(g *Gate) { g.Paths = []string{"/admin"} }),
		"a public path":   f.gate(func(g *Gate) { g.Public = []string{"/x"} }),
	} {
		for header, want := range map[string]bool{"A: b": true, "X-Real-IP: 192.0.2.7": false, "Forwarded: for=192.0.2.7": false, "X-Forwarded-For: 192.0.2.7": false} {
			app := &recordingApp{}
			chain := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return inner.ServeHTTP(w, r, app) })
			// By Connection a client would have us remove it before anything reads it.
			for _, more := range []string{"C: d", "Connection: X-Real-IP, Forwarded, X-Forwarded-For"} {
				handler(outer, chain).ServeHTTP(newRecorder(), withLocalPort(request("GET", testSite+"/x", header, more), 443))
				if passes := app.last() != nil; passes != want {
					t.Errorf("%s, %s, %s: passes %v", name, header, more, passes)
				}
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
