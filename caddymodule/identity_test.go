package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
)

func TestPresets(t *testing.T) {
	f := newFixture(t)
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	for _, test := range []struct {
		presets []string
		want    []string
	}{
		{nil, []string{"Remote-User", "Remote-Email", "Remote-Groups"}},
		{[]string{"remote"}, []string{"Remote-User", "Remote-Email", "Remote-Groups"}},
		{[]string{"forwarded"}, []string{"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups"}},
		{[]string{"auth_request"}, []string{"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups"}},
		{[]string{"cloudflare"}, []string{"Cf-Access-Authenticated-User-Email", "Cf-Access-Jwt-Assertion"}},
		{[]string{"assertion"}, []string{"X-Gatehouse-Assertion"}},
		{[]string{"remote", "assertion"}, []string{"Remote-User", "Remote-Email", "Remote-Groups", "X-Gatehouse-Assertion"}},
		{[]string{"none"}, nil},
	} {
		must(t, checkPresets(test.presets))
		g := f.gate(func(g *Gate) { g.Headers = test.presets })
		_, r := ask(g, "GET", testSite+"/", cookie)
		var got []string
		for name, values := range r.Header {
			if header.ClaimOf(name) == header.IdentityClaim {
				got = append(got, name)
				if want := "alice@example.com"; !strings.HasSuffix(name, "Groups") && !strings.HasSuffix(name, "Assertion") && values[0] != want {
					t.Errorf("%s: %q", name, values)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.presets, got, test.want)
		}
	}
}

func TestAssertionIsReusedForAMinute(t *testing.T) {
	f := newFixture(t)
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	g := f.gate(func(g *Gate) { g.Headers = []string{"assertion"} })
	assertion := func() string {
		_, r := ask(g, "GET", testSite+"/", cookie)
		return r.Header.Get("X-Gatehouse-Assertion")
	}
	first := assertion()
	if f.clock.add(59 * time.Second); assertion() != first {
		t.Error("signed anew within a minute")
	}
	if f.clock.add(2 * time.Second); assertion() == first {
		t.Error("less than a minute was left of it")
	}
	var claims map[string]any
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(first, ".")[1])
	must(t, err)
	must(t, json.Unmarshal(payload, &claims))
	if claims["aud"] != testSite || claims["email"] != "alice@example.com" || claims["sub"] == "" {
		t.Errorf("%v", claims)
	}
}

// One session and one gate, two hosts: each app may only take what is for it.
func TestAssertionIsForOneHost(t *testing.T) {
	f := newFixture(t, func(f *fixture, c *authcore.Config) { f.run.Domain, c.Domain = "example.com", "example.com" })
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	g := f.gate(func(g *Gate) {
		g.Headers = []string{"assertion"}
		g.guard.Place = &routes.Place{Place: gate.Place{Key: "k", Hosts: []string{"*.example.com"}}}
	})
	for _, host := range []string{"https://a.example.com", "https://b.example.com", "https://a.example.com"} {
		_, r := ask(g, "GET", host+"/", cookie)
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(r.Header.Get("X-Gatehouse-Assertion"), ".")[1])
		must(t, err)
		if !strings.Contains(string(payload), `"aud":"`+host+`"`) {
			t.Errorf("at %s: %s", host, payload)
		}
	}
}

// Handlers further in may change header values in place; the next request must
// not see that.
func TestIdentityIsNotSharedBetweenRequests(t *testing.T) {
	f := newFixture(t)
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	g := f.gate(nil)
	for range 2 {
		_, r := ask(g, "GET", testSite+"/", cookie)
		if got := r.Header.Get("Remote-User"); got != "alice@example.com" {
			t.Fatalf("%q", got)
		}
		for _, values := range r.Header {
			values[0] = "changed"
			_ = append(values, "appended")
		}
	}
}

func TestPlaceholders(t *testing.T) {
	f := newFixture(t)
	signIn := f.signInFor("alice@example.com", testSite)
	var got string
	app := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		got = repl.ReplaceAll("{http.auth.user.id} {http.auth.user.email} {http.auth.user.sub} {http.auth.user.name} {http.auth.user.groups} {http.auth.user.sid} {http.auth.user.amr}", "-")
		return nil
	})
	g := f.gate(nil)
	inner := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return g.ServeHTTP(w, r, app) })
	before := f.gate(func(g *Gate) { g.Paths = []string{"/elsewhere"} }) // does not look at this request
	s := signIn.Session
	want := "alice@example.com alice@example.com " + s.Subject + " - admins,staff " + s.ID + " email,otp"
	for name, h := range map[string]http.Handler{
		"one gate": handler(g, app), "two gates": handler(g, inner), "a gate before that does not look": handler(before, inner),
	} {
		got = ""
		h.ServeHTTP(newRecorder(), request("GET", testSite+"/", "Cookie: __Host-gatehouse="+signIn.Token))
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Without a session the placeholders are empty: an app would take their own text
// for a name. What somebody else has found out stays.
func TestPlaceholdersOfNobody(t *testing.T) {
	f := newFixture(t)
	f.clock.add(time.Hour)
	g := f.gate(func(g *Gate) { g.Public = []string{"/public/*"} })
	reports := f.gate(func(g *Gate) { g.ReportOnly = true })
	beside := f.gate(func(g *Gate) { g.Paths = []string{"/admin"} })
	closed := f.gate(func(g *Gate) { g.Allow, g.ReportOnly = []string{"bob@example.com"}, true })
	cleaner := joined(f.app, new(Cleaner))
	alice := "Cookie: " + f.signIn("alice@example.com", testSite)
	basic := false
	var got string
	app := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		if basic {
			repl.Set("http.auth.user.id", "carol")
		}
		got = repl.ReplaceKnown("{http.auth.user.id}|{http.auth.user.email}|{http.auth.user.other}", "")
		return nil
	})
	for name, test := range map[string]struct {
		path, cookie string
		gates        []caddyhttp.MiddlewareHandler
		basic        bool
		want         string
	}{
		"public":                      {"/public/x", "A: b", []caddyhttp.MiddlewareHandler{g}, false, "||"},
		"report_only":                 {"/x", "A: b", []caddyhttp.MiddlewareHandler{reports}, false, "||"},
		"report_only, refused":        {"/x", alice, []caddyhttp.MiddlewareHandler{closed}, false, "||"},
		"outside the path":            {"/x", alice, []caddyhttp.MiddlewareHandler{beside}, false, "||"},
		"cleaned":                     {"/x", alice, []caddyhttp.MiddlewareHandler{cleaner}, false, "||"},
		"cleaned, then a gate":        {"/x", alice, []caddyhttp.MiddlewareHandler{cleaner, g}, false, "alice@example.com|alice@example.com|"},
		"a gate, then one beside":     {"/x", alice, []caddyhttp.MiddlewareHandler{g, beside}, false, "alice@example.com|alice@example.com|"},
		"a gate that refuses, then g": {"/x", alice, []caddyhttp.MiddlewareHandler{closed, g}, false, "alice@example.com|alice@example.com|"},
		"somebody else's user":        {"/public/x", "A: b", []caddyhttp.MiddlewareHandler{g}, true, "carol||"},
	} {
		var next caddyhttp.Handler = app
		for _, one := range slices.Backward(test.gates) {
			inner := next
			next = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return one.ServeHTTP(w, r, inner) })
		}
		got, basic = "not reached", test.basic
		handler(passOn{}, next).ServeHTTP(newRecorder(), request("GET", testSite+test.path, test.cookie))
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestHeaderValue(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "Alice Example": "Alice Example", "Zoë": "Zo%C3%AB", "100%": "100%25", " a ": "%20a%20",
		"a\r\nRemote-User: root": "a%0D%0ARemote-User: root", "\x00\x7f": "%00%7F", "名": "%E5%90%8D",
	} {
		if got := header.Value(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzHeaderValue(f *testing.F) {
	f.Add("Zoë\r\n%")
	f.Fuzz(func(t *testing.T, s string) {
		value := header.Value(s)
		if strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c >= 0x7f }) {
			t.Errorf("%q is not safe in a header", value)
		}
		if back, err := url.PathUnescape(value); err != nil || back != s {
			t.Errorf("%q came back as %q, %v", s, back, err)
		}
	})
}

// A foreign page's WebSocket passes a public path as nobody, also to gates
// further in.
func TestWebSocketOrigin(t *testing.T) {
	f := newFixture(t, func(f *fixture, c *authcore.Config) { f.run.Domain, c.Domain = "example.com", "example.com" })
	cookie := "Cookie: a=b; " + f.signIn("alice@example.com", testSite)
	g := f.gate(func(g *Gate) { g.Public = []string{"/public"} })
	f.gate(func(g *Gate) {
		g.guard.Place = &routes.Place{Place: gate.Place{Key: "wiki", Hosts: []string{"wiki.example.com"}}}
	})
	for origin, own := range map[string]bool{
		"": true, testSite: true, "https://wiki.example.com": true,
		"https://evil.test": false, "null": false, "http://app.example.com": false, "https://app.example.com:8443": false,
		"https://unknown.example.com": false, "https://app.example.com.evil.test": false, "https://app.example.com/": false, "file://": false,
	} {
		headers := []string{cookie, "Connection: Upgrade", "Upgrade: websocket"}
		if origin != "" {
			headers = append(headers, "Origin: "+origin)
		}
		w, r := ask(g, "GET", testSite+"/", headers...)
		if (r != nil) != own || !own && w.Code != 403 {
			t.Errorf("%q: %d", origin, w.Code)
		}
		_, r = ask(g, "GET", testSite+"/public", headers...)
		if r == nil {
			t.Errorf("%q: stopped on a public path", origin)
		} else if named, cookies := r.Header.Get("Remote-User") != "", r.Header.Get("Cookie") != ""; named != own || cookies != own {
			t.Errorf("%q on a public path: identity %v, cookies %v", origin, named, cookies)
		}
	}
	if w, _ := ask(g, "GET", testSite+"/", cookie, "Connection: Upgrade", "Upgrade: websocket", "Origin: "+testSite, "Origin: https://evil.test"); w.Code != 403 {
		t.Errorf("two origins: %d", w.Code)
	}
	for _, sign := range []string{"Sec-Websocket-Version: 13", "Sec-Fetch-Mode: websocket"} {
		if w, _ := ask(g, "GET", testSite+"/", cookie, sign, "Origin: https://evil.test"); w.Code != 403 {
			t.Errorf("%s: %d", sign, w.Code)
		}
	}
}

func TestProvider(t *testing.T) {
	f := newFixture(t)
	f.gate(nil)
	cookie := f.signIn("alice@example.com", testSite)
	p := &Provider{app: f.app}
	authenticate := func(r *http.Request) (string, bool, string) {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), newRecorder(), nil)
		user, ok, err := p.Authenticate(newRecorder(), r)
		must(t, err)
		return user.ID, ok, user.Metadata["groups"]
	}
	if id, ok, groups := authenticate(request("GET", testSite+"/", "Cookie: "+cookie)); !ok || id != "alice@example.com" || groups != "admins,staff" {
		t.Errorf("%q %v %q", id, ok, groups)
	}
	for _, r := range []*http.Request{
		request("GET", testSite+"/"), request("GET", testSite+"/", "Cookie: __Host-gatehouse=x"), request("GET", "https://other.test/", "Cookie: "+cookie),
	} {
		if id, ok, _ := authenticate(r); ok || id != "" {
			t.Errorf("%s: authenticated as %q", r.URL, id)
		}
	}
	f.store.breakDown()
	f.clock.add(2 * time.Minute)
	r := caddyhttp.PrepareRequest(request("GET", testSite+"/", "Cookie: "+cookie), caddy.NewReplacer(), newRecorder(), nil)
	if _, ok, err := p.Authenticate(newRecorder(), r); ok || err == nil {
		t.Error("an outage is not an answer")
	}
}
