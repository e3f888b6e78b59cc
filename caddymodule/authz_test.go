package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// authz makes a handler for wiki.example.com (staff), *.apps.example.com (all of
// example.com, with a public path) and far.test, with the login host
// auth.example.com. The session cookie is good for all under example.com.
func (f *fixture) authz(change ...func(*Authz)) *Authz {
	f.t.Helper()
	a := &Authz{app: f.app, Login: "https://auth.example.com", Sites: []*AuthzSite{
		{Site: "wiki.example.com", Allow: []string{"staff"}},
		{Site: "*.apps.example.com", Allow: []string{"*@example.com"}, Deny: []string{"mallory@example.com"}, Public: []string{"/public/*"}, Headers: []string{"remote", "forwarded", "auth_request"}},
		{Site: "fresh.apps.example.com", Allow: []string{"any"}, Fresh: caddy.Duration(time.Hour)},
		{Site: "far.test", Allow: []string{"any"}},
		{Site: "app.localhost", Allow: []string{"any"}},
	}}
	for _, c := range change {
		c(a)
	}
	must(f.t, a.parse(f.app.groups))
	f.app.authzs = append(f.app.authzs, a)
	return a
}

func sharedCookie(f *fixture, cfg *authcore.Config) {
	cfg.Domain, f.run.Domain = "example.com", "example.com"
}

// asks sends a question as a trusted proxy does. The handler behind must never
// be called.
func asks(t testing.TB, a *Authz, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return asksAs(t, true, a, method, target, headers...)
}

func asksAs(t testing.TB, trusted bool, a *Authz, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	app := &recordingApp{}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "/", nil)
	path, query, _ := strings.Cut(target, "?")
	decoded, err := url.PathUnescape(path)
	must(t, err)
	r.URL, r.RequestURI = &url.URL{Path: decoded, RawPath: path, RawQuery: query}, target
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		name = http.CanonicalHeaderKey(name)
		r.Header[name] = append(r.Header[name], value)
	}
	handler(a, app, func(vars map[string]any) { vars[caddyhttp.TrustedProxyVarKey] = trusted }).ServeHTTP(w, r)
	if app.last() != nil {
		t.Fatalf("%s %s went on to the next handler", method, target)
	}
	return w
}

// navigation is what a browser adds to a page view, and every proxy passes on.
var navigation = []string{"Accept: text/html,application/xhtml+xml", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: none"}

// proxies replay what proxies send, by their documentation and source, for a
// GET of https://wiki.example.com/page?x=1. cookie is the client's.
var proxies = map[string]func(client ...string) (method, target string, headers []string){
	// Traefik v3, pkg/middlewares/auth/forward.go: GET, all headers of the
	// client but hop-by-hop ones, then X-Forwarded-* set anew.
	"traefik": func(client ...string) (string, string, []string) {
		return "GET", "/api/authz/forward-auth", append(client, "Host: 127.0.0.1:9091", "X-Forwarded-Method: GET", "X-Forwarded-Proto: https",
			"X-Forwarded-Port: 443", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /page?x=1", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Server: traefik", "X-Real-Ip: 203.0.113.9")
	},
	// Caddy, modules/caddyhttp/reverseproxy/forwardauth.
	"caddy": func(client ...string) (string, string, []string) {
		return "GET", "/api/authz/forward-auth", append(client, "Host: wiki.example.com", "X-Forwarded-Method: GET", "X-Forwarded-Uri: /page?x=1",
			"X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-For: 203.0.113.9", "Via: 1.1 Caddy")
	},
	// Authelia's nginx snippets.
	"nginx": func(client ...string) (string, string, []string) {
		return "GET", "/api/authz/auth-request", append(client, "Host: 127.0.0.1:9091", "X-Original-Method: GET",
			"X-Original-URL: https://wiki.example.com/page?x=1", "X-Forwarded-For: 203.0.113.9")
	},
	// Envoy v1.36, ext_authz over HTTP with path_prefix: the request's own
	// method, path under the prefix and Host.
	"envoy": func(client ...string) (string, string, []string) {
		return "GET", "/api/authz/ext-authz/page?x=1", append(client, "Host: wiki.example.com", "X-Forwarded-Proto: https",
			"X-Forwarded-For: 203.0.113.9", "X-Envoy-Internal: true", "Content-Length: 0")
	},
	"envoy with a slash at the end of path_prefix": func(client ...string) (string, string, []string) {
		return "GET", "/api/authz/ext-authz//page?x=1", append(client, "Host: wiki.example.com", "X-Forwarded-Proto: https")
	},
	// oauth2-proxy's documentation for nginx.
	"oauth2-proxy": func(client ...string) (string, string, []string) {
		return "GET", "/oauth2/auth", append(client, "Host: wiki.example.com", "X-Real-Ip: 203.0.113.9", "X-Forwarded-Uri: /page?x=1")
	},
}

func strict(proxy string) bool { return proxy == "nginx" || proxy == "oauth2-proxy" }

func TestAuthzAllows(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	cookie := "Cookie: " + f.signIn("alice@example.com", "https://auth.example.com")
	for name, proxy := range proxies {
		t.Run(name, func(t *testing.T) {
			method, target, headers := proxy(append(navigation, cookie, "Remote-User: root@evil.test", "Remote-Groups: root")...)
			w := asks(t, a, method, target, headers...)
			if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Length") != "0" {
				t.Fatalf("%d with %q", w.Code, w.Body)
			}
			want := map[string]string{"Remote-User": "alice@example.com", "Remote-Email": "alice@example.com", "Remote-Groups": "admins,staff", "Remote-Name": "", "Set-Cookie": "", "Location": ""}
			for header, value := range want {
				if got := strings.Join(w.Header()[header], "|"); got != value {
					t.Errorf("%s: %q, want %q", header, got, value)
				}
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Error("the answer may be kept")
			}
		})
	}
}

func TestAuthzRefuses(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	cookie := "Cookie: " + f.signIn("carol@example.com", "https://auth.example.com") // not of the staff
	for name, proxy := range proxies {
		method, target, headers := proxy(append(navigation, cookie)...)
		w := asks(t, a, method, target, headers...)
		way := ""
		if name == "nginx" { // which shows no page of ours by itself
			way = "https://auth.example.com/_gatehouse/refused?for=https%3A%2F%2Fwiki.example.com%2Fpage%3Fx%3D1"
		}
		if w.Code != 403 || w.Header().Get("Remote-User") != "" || w.Header().Get("Location") != way {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

// TestRefusedIsJudged: the page about a refusal, which any link can name an address to,
// says what the gates do: of sites behind other proxies, where the one with a star is
// not asked for a name that has a line of its own, and of gates before a path.
func TestRefusedIsJudged(t *testing.T) {
	f := newFixture(t, sharedCookie)
	f.authz()
	f.gate(func(g *Gate) {
		g.guard.Place = &routes.Place{Place: gate.Place{Key: "admin", Hosts: []string{"app.example.com"}}}
		g.Allow, g.Paths, g.Public = []string{"staff"}, []string{"/admin/*"}, []string{"/admin/health"}
	})
	own, err := pages.New(pages.Config{Service: f.run.Service, Passes: f.app.passes})
	must(t, err)
	auth := mustOrigin(t, "https://auth.example.com")
	refused := func(who *session.Session, to string) string {
		w := httptest.NewRecorder()
		own.ServeHTTP(w, httptest.NewRequest("GET", "/_gatehouse/refused?for="+url.QueryEscape(to), nil), pages.Visit{Origin: auth, Session: who})
		switch page := w.Body.String(); {
		case w.Code == 403 && strings.Contains(page, "have access to <bdi>"):
			return "no"
		case w.Code == 200 && strings.Contains(page, `class="button" href="`+to+`"`):
			return "yes"
		}
		return fmt.Sprint(w.Code, w.Header().Get("Location"))
	}
	alice, carol := f.signInFor("alice@example.com", auth.String()).Session, f.signInFor("carol@example.com", auth.String()).Session
	mallory := f.signInFor("mallory@example.com", auth.String()).Session
	for _, c := range []struct {
		who      *session.Session
		to, want string
	}{
		{alice, "https://wiki.example.com/page", "yes"},
		{carol, "https://wiki.example.com/page", "no"},
		{carol, "https://x.apps.example.com/", "yes"},
		{mallory, "https://x.apps.example.com/", "no"},
		{mallory, "https://x.apps.example.com/public/1", "yes"},
		{mallory, "https://fresh.apps.example.com/", "yes"}, // where the star refuses
		{alice, "https://app.example.com/admin/x", "yes"},
		{carol, "https://app.example.com/admin/x", "no"},
		{carol, "https://app.example.com/admin/health", "yes"},
		{carol, "https://app.example.com/", "yes"}, // no gate stands before it
		{carol, "https://nobody.example.net/", "404"},
		{carol, "https://auth.example.com/", "404"},
		{nil, "https://wiki.example.com/page", "303/_gatehouse/login?return_to=https%3A%2F%2Fwiki.example.com%2Fpage"},
	} {
		if got := refused(c.who, c.to); got != c.want {
			t.Errorf("%v at %s: %s, want %s", c.who, c.to, got, c.want)
		}
	}
}

// A visitor without a session is led to the login host; what is no page view
// gets a 401 that says where it is.
func TestAuthzAsksToSignIn(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	const form = "https://auth.example.com/_gatehouse/login?return_to=https%3A%2F%2Fwiki.example.com%2Fpage%3Fx%3D1"
	for name, proxy := range proxies {
		for kind, client := range map[string][]string{"page": navigation, "script": {"Accept: */*", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, "cli": {"Accept: */*"}} {
			method, target, headers := proxy(client...)
			w := asks(t, a, method, target, headers...)
			location := w.Header().Get("Location")
			challenge := w.Header().Get("Www-Authenticate")
			want, wantLocation := 401, ""
			switch {
			case strict(name):
				if name == "nginx" {
					wantLocation = form
					if kind == "script" { // its page is not known
						wantLocation = "https://auth.example.com/_gatehouse/login?return_to=https%3A%2F%2Fwiki.example.com%2F"
					}
				}
			case kind == "page":
				want, wantLocation = 302, form
			}
			if w.Code != want || location != wantLocation {
				t.Errorf("%s, %s: %d to %q, want %d to %q", name, kind, w.Code, location, want, wantLocation)
			}
			wantChallenge := `Gatehouse login_url="https://auth.example.com/_gatehouse/login?return_to=`
			if name == "nginx" { // what the Location says is not said twice
				wantChallenge = ""
			}
			if w.Code == 401 && (!strings.HasPrefix(challenge, wantChallenge) || name == "nginx" && challenge != wantChallenge) {
				t.Errorf("%s, %s: %q", name, kind, challenge)
			}
			if strings.Contains(w.Body.String(), "<") {
				t.Errorf("%s, %s: a page in the body", name, kind)
			}
		}
	}
}

// However long an address is, the headers of an answer to nginx, which makes a
// 500 of more than 4 KiB, stay under 3.
func TestAuthzAnswersToNginxAreShort(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	const site = "https://wiki.example.com"
	for _, c := range []struct{ uri, want string }{
		{"/page?q=" + strings.Repeat("x", 1900), "/page?q=" + strings.Repeat("x", 1900)},
		{"/page?q=" + strings.Repeat("%C3%A9", 330), "/page"}, // 2 KB that the form's address doubles
		{"/page?q=" + strings.Repeat("x", 3000), "/page"},
		{"/page?" + strings.Repeat("&", 2000), "/page"},
		{"/page?q=" + strings.Repeat("x", 15_000), "/page"},
		{"/" + strings.Repeat("x", 2000) + "?q=" + strings.Repeat("y", 2000), "/" + strings.Repeat("x", 2000)},
		{"/" + strings.Repeat("%25", 600), "/"},
		{"/" + strings.Repeat("x", 4000), "/"},
	} {
		for _, client := range [][]string{navigation, {"Accept: */*"}, {"Accept: */*", "Sec-Fetch-Mode: cors", "Referer: " + site + c.uri}} {
			for target, headers := range map[string][]string{
				"/api/authz/auth-request": {"X-Original-Method: GET", "X-Original-URL: " + site + c.uri},
				"/oauth2/auth":            {"Host: wiki.example.com", "X-Forwarded-Uri: " + c.uri},
			} {
				w := asks(t, a, "GET", target, append(headers, client...)...)
				form := w.Header().Get("Location")
				if target == "/oauth2/auth" {
					form = strings.TrimSuffix(strings.TrimPrefix(w.Header().Get("Www-Authenticate"), `Gatehouse login_url="`), `"`)
				}
				var headers strings.Builder
				must(t, w.Header().Write(&headers))
				if size := headers.Len(); w.Code != 401 || size > 3<<10-100 { // Caddy adds a status line, Date and Server
					t.Errorf("%s, %.30s of %d bytes: %d with %d bytes of headers", target, c.uri, len(c.uri), w.Code, size)
				}
				u, err := url.Parse(form)
				must(t, err)
				if got := u.Query().Get("return_to"); got != site+c.want {
					t.Errorf("%s, %.30s of %d bytes leads back to %.60q of %d bytes", target, c.uri, len(c.uri), got, len(got))
				}
			}
		}
	}
}

// far.test is under another domain: it has the session handed over, so its
// visitors are led to its own pages.
func TestAuthzOfAnotherDomain(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	w := asks(t, a, "GET", "/api/authz/forward-auth", append(navigation, "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: far.test", "X-Forwarded-Uri: /a")...)
	if got := w.Header().Get("Location"); w.Code != 302 || got != "https://far.test/_gatehouse/login?return_to=%2Fa" {
		t.Fatalf("%d to %q", w.Code, got)
	}
	w = asks(t, a, "GET", "/_gatehouse/login?return_to=%2Fa", append(navigation, "Host: far.test", "X-Forwarded-Proto: https")...)
	to, _ := url.Parse(w.Header().Get("Location"))
	if w.Code != 303 || to.Host != "auth.example.com" || to.Path != "/_gatehouse/handover" || to.Query().Get("site") != "https://far.test" || to.Query().Get("return_to") != "/a" {
		t.Fatalf("%d to %q", w.Code, to)
	}
	for _, host := range []string{"evil.test", "xfar.test", "far.test:444"} {
		if w := asks(t, a, "GET", "/_gatehouse/login", "Host: "+host, "X-Forwarded-Proto: https"); w.Code != 403 {
			t.Errorf("pages for %s: %d", host, w.Code)
		}
	}
	if w := asksAs(t, false, a, "GET", "/_gatehouse/login", "Host: far.test", "X-Forwarded-Proto: https"); w.Code != 403 {
		t.Errorf("pages for a stranger: %d", w.Code)
	}
}

// Signed statements name a host that serves the keys to verify them: the login
// host, or the site itself where the session is handed over to it.
func TestAuthzSigns(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz(func(a *Authz) {
		for _, s := range a.Sites {
			s.Headers = []string{"assertion", "cloudflare"}
		}
	})
	for site, login := range map[string]string{"https://wiki.example.com": "https://auth.example.com", "https://far.test": "https://far.test"} {
		cookie := "Cookie: " + f.signIn("alice@example.com", login)
		w := asks(t, a, "GET", "/api/authz/forward-auth", cookie, "X-Forwarded-Proto: https", "X-Forwarded-Host: "+strings.TrimPrefix(site, "https://"), "X-Forwarded-Uri: /", "X-Forwarded-Method: GET")
		var set jose.JSONWebKeySet
		must(t, json.Unmarshal(asks(t, a, "GET", "/_gatehouse/jwks.json", "Host: far.test", "X-Forwarded-Proto: https").Body.Bytes(), &set))
		for header, alg := range map[string]jose.SignatureAlgorithm{"X-Gatehouse-Assertion": jose.EdDSA, "Cf-Access-Jwt-Assertion": jose.RS256} {
			token := w.Header().Get(header)
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg})
			must(t, err)
			if _, err := jws.Verify(&set); err != nil {
				t.Errorf("%s for %s: %v", header, site, err)
			}
			got := claims(t, token)
			if audience, _ := got["aud"].([]any); got["iss"] != login || got["email"] != "alice@example.com" || got["aud"] != site && (len(audience) != 1 || audience[0] != site) {
				t.Errorf("%s for %s: %v", header, site, got)
			}
		}
	}
}

// A Host header that names another site of ours contradicts the question, in each dialect;
// it may be our own address, and the address that is asked at may name the site.
func TestAuthzHostContradicts(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz(func(a *Authz) { a.Sites = append(a.Sites, &AuthzSite{Site: "*.example.com", Allow: []string{"any"}}) })
	forward := func(query, uri string) []string {
		return []string{"/api/authz/forward-auth" + query, "X-Forwarded-Proto: https", "X-Forwarded-Method: GET", "X-Forwarded-Host: x.apps.example.com", "X-Forwarded-Uri: " + uri}
	}
	oauth := func(query string) []string {
		return []string{"/oauth2/auth" + query, "X-Forwarded-Host: x.apps.example.com", "X-Forwarded-Uri: /public/x"}
	}
	original := []string{"/api/authz/auth-request", "X-Original-Method: GET", "X-Original-URL: https://x.apps.example.com/public/x"}
	own := []string{"127.0.0.1:9091", "gatehouse:9091", "gatehouse", "auth.example.com", "x.apps.example.com:9091", "x.apps.example.com", "X.apps.example.com.", "x.apps.example.com:443", "other.test"}
	others := []string{
		"wiki.example.com", "WIKI.example.com", "wiki.example.com.", "wiki.example.com:443", "y.apps.example.com", "other.example.com", "far.test",
		"wiki.example.com:81", "wiki.example.com:", "wiki.example.com:0443", "wiki.example.com.:8443", "other.example.com:8443", "wiki.example.com:99999",
	}
	for _, host := range own {
		for _, q := range [][]string{forward("", "/public/x"), oauth(""), original} {
			if w := asks(t, a, "GET", q[0], append(q[1:], "Host: "+host)...); w.Code != 200 {
				t.Errorf("%s at Host %s: %d", q[0], host, w.Code)
			}
		}
	}
	for _, host := range others {
		for _, c := range []struct {
			status int
			q      []string
		}{
			{400, forward("", "/public/x")},
			{400, forward("?site=*.apps.example.com", "/public/x")},
			{400, forward("?site=x.apps.example.com", "/public/x?site=x.apps.example.com")}, // the visitor's own, as Caddy hands it on
			{200, forward("?site=x.apps.example.com", "/public/x")},
			{403, oauth("")},
			{200, oauth("?site=x.apps.example.com")},
			{403, original},
		} {
			if w := asks(t, a, "GET", c.q[0], append(c.q[1:], "Host: "+host)...); w.Code != c.status {
				t.Errorf("%s at Host %s: %d, want %d", c.q[0], host, w.Code, c.status)
			}
		}
		if w := asks(t, a, "GET", "/_gatehouse/login", "Host: "+host, "X-Forwarded-Proto: https", "X-Forwarded-Host: x.apps.example.com"); w.Code != 403 {
			t.Errorf("pages at Host %s: %d", host, w.Code)
		}
	}
}

func TestAuthzForm(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	q := []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /save?a=1", "X-Forwarded-Method: POST"}
	w := asks(t, a, "GET", "/api/authz/forward-auth", append(navigation, q...)...)
	if got := w.Header().Get("Location"); w.Code != 303 || !strings.HasSuffix(got, "return_to=https%3A%2F%2Fwiki.example.com%2Fsave") {
		t.Errorf("a form: %d to %q", w.Code, got)
	}
	// Envoy sends the method itself.
	w = asks(t, a, "POST", "/api/authz/ext-authz/save?a=1", append(navigation, "Host: wiki.example.com", "X-Forwarded-Proto: https")...)
	if w.Code != 303 {
		t.Errorf("a form through Envoy: %d", w.Code)
	}
}

func TestAuthzOptionsOfASite(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	ask := func(host, uri string, client ...string) *httptest.ResponseRecorder {
		return asks(t, a, "GET", "/api/authz/forward-auth", append(client, "X-Forwarded-Proto: https", "X-Forwarded-Host: "+host, "X-Forwarded-Uri: "+uri, "X-Forwarded-Method: GET")...)
	}
	alice := "Cookie: " + f.signIn("alice@example.com", "https://auth.example.com")
	mallory := "Cookie: " + f.signIn("mallory@example.com", "https://auth.example.com")
	if w := ask("x.apps.example.com", "/", mallory); w.Code != 403 {
		t.Errorf("denied: %d", w.Code)
	}
	if w := ask("x.apps.example.com", "/public/a"); w.Code != 200 || w.Header().Get("Remote-User") != "" {
		t.Errorf("public: %d %v", w.Code, w.Header())
	}
	if w := ask("x.apps.example.com", "/public/a", mallory); w.Code != 200 || w.Header().Get("Remote-User") != "" {
		t.Errorf("public to somebody denied: %d %v", w.Code, w.Header())
	}
	w := ask("x.apps.example.com", "/public/a", alice)
	for _, name := range []string{"Remote-User", "X-Forwarded-User", "X-Forwarded-Email", "X-Auth-Request-Email"} {
		if w.Header().Get(name) != "alice@example.com" {
			t.Errorf("%s: %q", name, w.Header().Get(name))
		}
	}
	if w := ask("fresh.apps.example.com", "/", alice); w.Code != 200 {
		t.Errorf("fresh: %d", w.Code)
	}
	f.clock.add(2 * time.Hour)
	w = ask("fresh.apps.example.com", "/", append(navigation, alice)...)
	if w.Code != 302 || !strings.HasSuffix(w.Header().Get("Location"), "&max_age=3600") {
		t.Errorf("stale: %d to %q", w.Code, w.Header().Get("Location"))
	}
}

// oauth2-proxy's sign-in paths lead to the login form, and from there only to
// sites of this instance.
func TestAuthzSignInPaths(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	for _, c := range []struct{ query, redirect, want string }{
		{"rd=https%3A%2F%2Fwiki.example.com%2Fa%3Fb%3Dc", "", "https://wiki.example.com/a?b=c"},
		{"rd=%2Fa", "", "https://wiki.example.com/a"},
		{"", "/a", "https://wiki.example.com/a"},
		{"", "https://x.apps.example.com/a", "https://x.apps.example.com/a"},
		{"", "", "https://wiki.example.com/"},
		{"rd=https%3A%2F%2Fevil.test%2F", "", "https://wiki.example.com/"},
		{"rd=%2F%2Fevil.test", "", "https://wiki.example.com/"},
		{"rd=%2Foauth2%2Fsign_in%3Frd%3D%2F", "", "https://wiki.example.com/"},
	} {
		for _, path := range []string{"/oauth2/sign_in", "/oauth2/start"} {
			w := asks(t, a, "GET", path+"?"+c.query, "Host: wiki.example.com", "X-Forwarded-Proto: https", "X-Auth-Request-Redirect: "+c.redirect)
			to, err := url.Parse(w.Header().Get("Location"))
			must(t, err)
			if w.Code != 302 || to.Host != "auth.example.com" || to.Path != "/_gatehouse/login" || to.Query().Get("return_to") != c.want {
				t.Errorf("%s?%s (%s): %d to %s, want %s", path, c.query, c.redirect, w.Code, to, c.want)
			}
			if !strings.Contains(w.Body.String(), `http-equiv="refresh"`) {
				t.Error("a proxy that makes a 403 of this leaves its visitors nowhere")
			}
		}
	}
}

// Nothing can be told while the store is away: never 200 for somebody whose
// session is not known.
func TestAuthzWithoutStore(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	cookie := "Cookie: " + f.signIn("alice@example.com", "https://auth.example.com")
	f.clock.add(2 * time.Minute)
	f.store.breakDown()
	for name, proxy := range proxies {
		want := 503
		if strict(name) {
			want = 403
		}
		method, target, headers := proxy(cookie)
		if w := asks(t, a, method, target, headers...); w.Code != want {
			t.Errorf("%s: %d, want %d", name, w.Code, want)
		}
	}
}
