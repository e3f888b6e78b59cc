package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

const page = "Sec-Fetch-Mode: navigate"

func TestAdmittedVisitorReachesTheApp(t *testing.T) {
	f := newFixture(t)
	cookie := f.signIn("alice@example.com", testSite)
	w, r := ask(f.gate(nil), "GET", testSite+"/x?y=1", "Cookie: a=b; "+cookie+"; c=d", "Remote-Name: root")
	if r == nil {
		t.Fatalf("stopped with %d", w.Code)
	}
	want := map[string]string{
		"Remote-User": "alice@example.com", "Remote-Email": "alice@example.com", "Remote-Groups": "admins,staff", "Cookie": "a=b; c=d",
	}
	for name, value := range want {
		if got := r.Header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if r.Header["Remote-Name"] != nil {
		t.Error("the client's own Remote-Name reached the app")
	}
}

// Whatever way a request takes past the sign-in, no identity of the client's
// own making goes with it.
func TestSpoofedHeadersNeverReachTheApp(t *testing.T) {
	f := newFixture(t)
	cookie := f.signIn("alice@example.com", testSite)
	g := f.gate(func(g *Gate) { g.Public = []string{"/public/*"}; g.Paths = []string{"/public/*", "/private/*"} })
	report := f.gate(func(g *Gate) { g.ReportOnly = true })
	webSocket := []string{"Connection: Upgrade", "Upgrade: websocket"}
	ways := []struct {
		name, method, target string
		g                    *Gate
		headers              []string
		identified           bool
	}{
		{"protected", "GET", "/private/x", g, []string{"Cookie: " + cookie}, true},
		{"protected, POST", "POST", "/private/x", g, []string{"Cookie: " + cookie}, true},
		{"public", "GET", "/public/x", g, nil, false},
		{"public, signed in", "GET", "/public/x", g, []string{"Cookie: " + cookie}, true},
		{"public preflight", "OPTIONS", "/public/x", g, []string{"Access-Control-Request-Method: PUT"}, false},
		{"websocket", "GET", "/private/x", g, append([]string{"Cookie: " + cookie}, webSocket...), true},
		{"public websocket", "GET", "/public/x", g, webSocket, false},
		{"public websocket of another site", "GET", "/public/x", g, append([]string{"Cookie: " + cookie, "Origin: https://evil.test"}, webSocket...), false},
		{"not the gate's path", "GET", "/elsewhere", g, []string{"Cookie: " + cookie}, false},
		{"report_only", "GET", "/private/x", report, nil, false},
		{"report_only, bad host", "GET", "/private/x", report, []string{"Host: evil"}, false},
	}
	for _, way := range ways {
		for _, name := range identityHeaders {
			for _, spelling := range spellings(name) {
				headers := append(slices.Clone(way.headers), spelling+": root@evil.test", spelling+": ", "Connection: "+name)
				w, r := ask(way.g, way.method, testSite+way.target, headers...)
				if r == nil {
					t.Fatalf("%s: stopped with %d", way.name, w.Code)
				}
				for got, values := range r.Header {
					if header.ClaimOf(got) == header.IdentityClaim && (!way.identified || strings.Contains(strings.Join(values, " "), "root") || len(values) != 1) {
						t.Errorf("%s: %s came through as %s: %q", way.name, spelling, got, values)
					}
				}
				if way.identified && r.Header.Get("Remote-Email") != "alice@example.com" {
					t.Errorf("%s: %s took the identity away", way.name, spelling)
				}
			}
		}
	}
}

// Of two readings of a path the app may choose the other one, so only what
// everybody reads alike is public.
func TestPublicPathTricks(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Public = []string{"/public", "/public/*", "/pub"} })
	for target, open := range map[string]bool{
		"/public": true, "/public/": true, "/public/a/b.png": true, "/public/a?x=/admin": true, "/pub": true, "/public/%61": true,
		"/admin?x=/public/": false, "/admin?/public/a.png": false, "/admin%23/public/x": false,
		"/public/../admin": false, "/public/%2e%2e/admin": false, "/public/..%2fadmin": false, "/public%2f..%2fadmin": false,
		"/public/%252e%252e/admin": false, "/public/..;/admin": false, "/public/.%2e/admin": false, "/public/./x": false,
		"//admin": false, "/public//../admin": false, "/public//x": false, "/public/..%5cadmin": false, "/public/x%5c..": false,
		"/public%5c..%5cadmin": false, "/public/%00": false, "/public/x%00.png": false, "/admin%00": false, "/admin%20": false, "/admin%09": false,
		"/%ef%bc%8fadmin": false, "/public/%c0%af": false, "/public-secret": false, "/pubx": false, "/PUBLIC": false, "/Public/x": false,
		"/public/x;y": false, "/public/a%2fb": false, "/public/%23": false, "*": false,
	} {
		w := newRecorder()
		app := &recordingApp{}
		r := request("GET", testSite+"/", "User-Agent: kube-probe/1.29", "X-Http-Method-Override: DELETE")
		r.RequestURI = target
		if target != "*" {
			parsed, err := url.Parse(testSite + target)
			must(t, err)
			r.URL = parsed
		} else {
			r.URL.Path = target
		}
		handler(g, app).ServeHTTP(w, r)
		if got := app.last() != nil; got != open {
			t.Errorf("%s: passed %v, want %v", target, got, open)
		}
	}
	for _, method := range []string{"POST", "get", "HEAD", "OPTIONS", "PROPFIND"} {
		if _, r := ask(g, method, testSite+"/public"); r == nil {
			t.Errorf("%s /public was stopped; public is by path", method)
		}
	}
}

// Who guards /admin means that and all below it. Any other pattern is Caddy's.
func TestShapesOfAPath(t *testing.T) {
	f := newFixture(t)
	for pattern, want := range map[string]map[string]bool{
		"/admin/*": {"/admin": true, "/admin/": true, "/admin/x": true, "/adminx": false, "/": false, "/Admin": true, "/admin.json": true},
		"/admin/":  {"/admin": true, "/admin/": true, "/admin/x": true, "/adminx": false, "/admin;x": true},
		"/admin":   {"/admin": true, "/admin/": true, "/admin/x/y": true, "/adminx": false, "//admin": true, "/admin%2fx": true},
		"/admin*":  {"/admin": true, "/adminx": true, "/admin/x": true, "/x": false, "/%2561dminx": true, "/adm": false},
		"*.php":    {"/x.php": true, "/x.php%00.png": true, "/x.PHP;y": true, "/x.html": false},
		"/a/*/b":   {"/a/x/b": true, "/a/x;y/b": true, "/a/b": false, "/a/x/b/c": false},
		"/*":       {"/": true, "/x": true},
		"*":        {"/": true},
	} {
		g := f.gate(func(g *Gate) { g.Paths = []string{"/nowhere", pattern} })
		for target, guarded := range want {
			if w, _ := ask(g, "GET", testSite+target); (w.Code == 401) != guarded {
				t.Errorf("%s, %s: %d, guarded should be %v", pattern, target, w.Code, guarded)
			}
		}
	}
	for _, pattern := range []string{"/", "//", "/./"} {
		g := &Gate{Allow: []string{"any"}, Paths: []string{pattern}}
		if err := g.parse(f.app.groups); err == nil || !strings.Contains(err.Error(), "gatehouse /* ") {
			t.Errorf("%s alone: %v", pattern, err)
		}
	}
}

// What the visitor asked for decides, whatever it was rewritten to on the way,
// and what the app will serve decides as well.
func TestPathsMatchOriginalOrCurrent(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Paths = []string{"/admin/*"} })
	rewritten := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
			r.URL.Path = to
			app := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { w.WriteHeader(200); return nil })
			_ = g.ServeHTTP(w, r, app)
		})
	}
	for _, test := range []struct {
		from, to string
		want     int
	}{
		{"/admin/x", "/index.php", 401}, {"/x", "/admin/index.php", 401}, {"/ADMIN/x", "/y", 401}, {"//admin/x", "/y", 401},
		{"/x", "/y", 200}, {"/administrator", "/administrator", 200},
		// What some servers read as /admin/x.
		{"/admin;v=1/x", "/y", 401}, {"/y/..;/admin/x", "/y", 401}, {"/y/..%5cadmin/x", "/y", 401}, {"/%2561dmin/x", "/y", 401},
		{"/x", "/admin;v=1/x", 401}, {"/x;v=1", "/x;v=1", 200}, {"/100%25/x", "/y", 200},
	} {
		w := newRecorder()
		rewritten(test.to).ServeHTTP(w, request("GET", testSite+test.from))
		if w.Code != test.want {
			t.Errorf("%s rewritten to %s: %d, want %d", test.from, test.to, w.Code, test.want)
		}
	}
}

func TestPagesAreServedOnTheOriginalPathAlone(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Paths = []string{"/admin/*"} })
	for target, want := range map[string]int{
		"/_gatehouse/login": 200, "/_gatehouse/nonsense": 404, "/_gatehouse": 404, "/_gatehouse/": 404,
	} {
		if w, r := ask(g, "GET", testSite+target, page); w.Code != want || r != nil {
			t.Errorf("%s: %d, reached the app: %v; want %d from the pages", target, w.Code, r != nil, want)
		}
	}
	if w, _ := ask(g, "PUT", testSite+"/_gatehouse/login"); w.Code != 405 {
		t.Errorf("PUT login: %d", w.Code)
	}
	if w, _ := ask(f.gate(nil), "GET", testSite+"/_GATEHOUSE/login"); w.Code != 401 {
		t.Errorf("another spelling of our path: %d, want it guarded as the app's", w.Code)
	}
}

func TestMethods(t *testing.T) {
	f := newFixture(t)
	cookie := f.signIn("alice@example.com", testSite)
	for _, g := range []*Gate{f.gate(func(g *Gate) { g.Public = []string{"/"} }), f.gate(func(g *Gate) { g.ReportOnly = true })} {
		for _, method := range []string{"TRACE", "CONNECT"} {
			if w, r := ask(g, method, testSite+"/", "Cookie: "+cookie); w.Code != 405 || r != nil || w.Header().Get("Allow") == "" {
				t.Errorf("%s: %d", method, w.Code)
			}
		}
	}
}

func TestClientIP(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.ClientIP = []string{"10.0.0.0/8", "2001:db8::/32"}; g.Public = []string{"/public"} })
	for client, want := range map[string]int{
		"10.1.2.3": 401, "::ffff:10.1.2.3": 401, "2001:db8::7": 401, "2001:db8::7%eth0": 401,
		"192.0.2.1": 403, "": 403, "unknown": 403, "2001:db9::1": 403, "::ffff:11.0.0.1": 403,
	} {
		for _, path := range []string{"/", "/public", "/_gatehouse/login"} {
			w := newRecorder()
			r := request("GET", testSite+path)
			r.RemoteAddr = "203.0.113.9:1234"
			handler(g, &recordingApp{}, func(vars map[string]any) { vars[caddyhttp.ClientIPVarKey] = client }).ServeHTTP(w, r)
			want := want
			if want == 401 && path != "/" {
				want = 200
			}
			if w.Code != want {
				t.Errorf("%s from %q: %d, want %d", path, client, w.Code, want)
			}
			if w.Code == 403 && strings.Contains(w.Body.String(), "login") {
				t.Errorf("%s from %q: sign-in is offered: %s", path, client, w.Body)
			}
		}
	}
}

// Early data can be sent again by anybody, from any address.
func TestClientIPWaitsForTheHandshake(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.ClientIP = []string{"192.0.2.0/24"} })
	r := request("GET", testSite+"/")
	r.TLS.HandshakeComplete = false
	w := newRecorder()
	handler(g, &recordingApp{}).ServeHTTP(w, r)
	if w.Code != http.StatusTooEarly {
		t.Error(w.Code)
	}
}

func TestPolicyIsAskedAtEveryRequest(t *testing.T) {
	f := newFixture(t)
	cookie := f.signIn("alice@example.com", testSite)
	g := f.gate(nil)
	if _, r := ask(g, "GET", testSite+"/", "Cookie: "+cookie); r == nil {
		t.Fatal("stopped")
	}
	g.gate.Rule = f.gate(func(g *Gate) { g.Deny = []string{"admins"} }).gate.Rule
	w, r := ask(g, "GET", testSite+"/", "Cookie: "+cookie)
	if r != nil || w.Code != 403 || strings.TrimSpace(w.Body.String()) != `{"error":"access_denied","email":"alice@example.com"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _ := ask(g, "GET", testSite+"/", "Cookie: "+cookie, page); w.Code != 403 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Errorf("no page: %d %s", w.Code, w.Header())
	}
}

// On a public path the app hears only of people whom the gate would admit.
func TestPublicPathTellsOnlyOfAdmittedPeople(t *testing.T) {
	f := newFixture(t)
	cookie := f.signIn("bob@example.com", testSite)
	g := f.gate(func(g *Gate) { g.Allow = []string{"admins"}; g.Public = []string{"/public"} })
	if _, r := ask(g, "GET", testSite+"/public", "Cookie: "+cookie); r == nil || r.Header.Get("Remote-User") != "" {
		t.Error("a person who is not admitted has an identity there")
	}
}

func TestSessionLimitsOfTheSite(t *testing.T) {
	f := newFixture(t)
	strict := f.gate(func(g *Gate) { g.SessionIdle = caddy.Duration(time.Hour) })
	short := f.gate(func(g *Gate) { g.SessionMax = caddy.Duration(3 * time.Hour) })
	fresh := f.gate(func(g *Gate) { g.Fresh = caddy.Duration(10 * time.Minute) })
	lax := f.gate(nil)
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	status := func(g *Gate) int {
		w, _ := ask(g, "GET", testSite+"/", cookie)
		return w.Code
	}
	check := func(when string, wantStrict, wantShort, wantFresh int) {
		t.Helper()
		if a, b, c := status(strict), status(short), status(fresh); a != wantStrict || b != wantShort || c != wantFresh {
			t.Errorf("%s: idle %d max %d fresh %d, want %d %d %d", when, a, b, c, wantStrict, wantShort, wantFresh)
		}
	}
	check("at once", 200, 200, 200)
	f.clock.add(20 * time.Minute)
	check("after 20 min", 200, 200, 401)
	f.clock.add(61 * time.Minute)
	if first, second := status(strict), status(strict); first != 401 || second != 401 {
		t.Error("a refusal for idleness must not count as a use")
	}
	if status(lax) != 200 || status(strict) != 200 {
		t.Error("a use at another site counts here too")
	}
	f.clock.add(2 * time.Hour)
	check("after 3 h 21 min", 401, 401, 401)
}

func TestStoreDown(t *testing.T) {
	f := newFixture(t)
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	g := f.gate(func(g *Gate) { g.Public = []string{"/public"} })
	report := f.gate(func(g *Gate) { g.ReportOnly = true })
	f.store.breakDown()
	f.clock.add(30 * time.Second)
	if w, _ := ask(g, "GET", testSite+"/", cookie); w.Code != 200 {
		t.Errorf("read within the last minute: %d", w.Code)
	}
	f.clock.add(time.Minute)
	w, _ := ask(g, "GET", testSite+"/", cookie)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w, r := ask(g, "GET", testSite+"/public", cookie); r == nil || r.Header.Get("Remote-User") != "" {
		t.Errorf("public: %d", w.Code)
	}
	if w, r := ask(report, "GET", testSite+"/", cookie); r == nil {
		t.Errorf("report_only: %d", w.Code)
	}
	if w, _ := ask(g, "GET", testSite+"/"); w.Code != 401 {
		t.Errorf("without a cookie nothing needs the store: %d", w.Code)
	}
	for path, want := range map[string]int{"session": 503, "account": 503, "refused?for=/": 503, "logout": 503, "login": 200} {
		for _, accept := range []string{"Accept: application/json", "Accept: text/html"} {
			w, _ := ask(g, "GET", testSite+"/_gatehouse/"+path, cookie, accept)
			if w.Code != want || (w.Header().Get("Retry-After") != "") != (want == 503) || len(w.Result().Cookies()) > 0 {
				t.Errorf("%s, %s: %d %v", path, accept, w.Code, w.Header())
			}
		}
	}
	if w, _ := ask(g, "GET", testSite+"/_gatehouse/session"); w.Code != 401 {
		t.Errorf("the session of who has none: %d", w.Code)
	}
}

// A cookie that another node has signed a moment ago, with a key that can't be read
// here: whoever holds it is asked to come again, not to sign in again.
func TestStoreDownBehindANewKey(t *testing.T) {
	f := newFixture(t, func(f *fixture, _ *authcore.Config) { f.nodes = true })
	name, token, _ := strings.Cut(f.signIn("alice@example.com", testSite), "=")
	cookie := "Cookie: " + name + "=" + apitest.FromAnotherNode(t, token)
	g := f.gate(nil)
	if w, _ := ask(g, "GET", testSite+"/", cookie); w.Code != 401 {
		t.Errorf("a key that nobody has: %d", w.Code)
	}
	f.store.breakDown()
	for _, accept := range []string{"Accept: application/json", "Accept: text/html"} {
		w, _ := ask(g, "GET", testSite+"/", cookie, accept)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d %v", accept, w.Code, w.Header())
		}
	}
}

func TestNotStarted(t *testing.T) {
	f := newFixture(t)
	f.app.house.Open(nil) // ready, but not running: Start failed
	for path, want := range map[string]int{"/": 503, "/_gatehouse/login": 503} {
		if w, r := ask(f.gate(nil), "GET", testSite+path); w.Code != want || r != nil || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if _, r := ask(f.gate(func(g *Gate) { g.ReportOnly = true }), "GET", testSite+"/", "Remote-User: root"); r == nil || r.Header.Get("Remote-User") != "" {
		t.Error("report_only must pass without an identity")
	}
}

func TestReportOnlyStopsNobody(t *testing.T) {
	f := newFixture(t)
	cookie := "Cookie: " + f.signIn("bob@example.com", testSite)
	g := f.gate(func(g *Gate) { g.Allow = []string{"admins"}; g.ReportOnly = true; g.ClientIP = []string{"10.0.0.0/8"} })
	for _, headers := range [][]string{nil, {cookie}, {"Origin: https://evil.test", "Connection: Upgrade", "Upgrade: websocket", cookie}} {
		w, r := ask(g, "GET", testSite+"/", headers...)
		if r == nil || r.Header.Get("Remote-User") != "" || strings.Contains(strings.Join(r.Header["Cookie"], ""), "gatehouse") {
			t.Errorf("%q: %d", headers, w.Code)
		}
	}
	// People must be able to sign in to be told apart.
	if w, _ := ask(g, "GET", testSite+"/_gatehouse/login", page); w.Code != 200 {
		t.Errorf("the sign-in page: %d", w.Code)
	}
	if f.logs.FilterMessageSnippet("report_only").Len() == 0 {
		t.Error("nothing was logged")
	}
}

// One line a minute about each client, however many bad cookies it sends.
func TestGarbageDoesNotFillTheLog(t *testing.T) {
	f := newFixture(t)
	g := f.gate(nil)
	for _, token := range []string{"x", ".", "..", "a.b.c", "a.b.c.d.e", strings.Repeat("A", 4096), "eyJhbGciOiJub25lIn0.e30."} {
		for range 50 {
			if w, r := ask(g, "GET", testSite+"/", "Cookie: __Host-gatehouse="+token); w.Code != 401 || r != nil {
				t.Fatalf("%q: %d", token, w.Code)
			}
		}
	}
	if n := f.logs.Len(); n != 1 {
		t.Errorf("%d lines", n)
	}
}
