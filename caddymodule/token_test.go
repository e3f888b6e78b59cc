package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

const backupSecret = "backup-secret-of-more-than-32-bytes"

// machines configures the token backup for GET of /api/* on app.example.com.
func machines(f *fixture, cfg *authcore.Config) {
	site, err := origin.ParseSitePattern("app.example.com")
	must(f.t, err)
	paths, err := origin.ParsePublicPaths([]string{"/api/*"})
	must(f.t, err)
	cfg.Machines = []session.ConfiguredMachine{{
		Machine: session.Machine{Name: "backup", Sites: []origin.SitePattern{site}, Paths: paths, Methods: []string{"GET"}},
		Hash:    session.HashMachine(backupSecret), Until: time.Now().Add(24 * time.Hour),
	}}
}

func TestConfiguredTokenPassesItsGates(t *testing.T) {
	f := newFixture(t, machines)
	g := f.gate(func(g *Gate) {
		g.Headers, g.Fresh = []string{"remote", "forwarded", "assertion", "cloudflare"}, caddy.Duration(time.Minute)
		g.Public = []string{"/public/*"}
	})
	for _, header := range []string{"Authorization: Bearer " + backupSecret, "Authorization: bearer  " + backupSecret, "X-Gatehouse-Token: " + backupSecret} {
		w, r := ask(g, "GET", testSite+"/api/x", header, "Cookie: a=b", "Remote-User: root")
		if w.Code != 200 {
			t.Fatalf("%.20s: %d %s", header, w.Code, w.Body)
		}
		for name, want := range map[string]string{"Remote-User": "token:backup", "X-Forwarded-User": "token:backup", "Remote-Email": "", "Cf-Access-Authenticated-User-Email": "", "Authorization": "", "X-Gatehouse-Token": "", "Cookie": "a=b"} {
			if got := strings.Join(r.Header[name], "|"); got != want {
				t.Errorf("%.20s: the app sees %s %q, want %q", header, name, got, want)
			}
		}
		if strings.Contains(dump(r), backupSecret) {
			t.Errorf("%.20s: the app sees the secret", header)
		}
		if got := claims(t, r.Header.Get("X-Gatehouse-Assertion"))["token"]; got != "token:backup" {
			t.Errorf("the assertion says %v", got)
		}
		if got := claims(t, r.Header.Get("Cf-Access-Jwt-Assertion"))["common_name"]; got != "token:backup" {
			t.Errorf("the access token says %v", got)
		}
	}
	for name, c := range map[string]struct {
		method, target string
		header         []string
		want           int
	}{
		"another method":     {"POST", testSite + "/api/x", []string{"X-Gatehouse-Token: " + backupSecret}, 403},
		"another path":       {"GET", testSite + "/admin", []string{"X-Gatehouse-Token: " + backupSecret}, 403},
		"a path in disguise": {"GET", testSite + "/api/%2e%2e/admin", []string{"X-Gatehouse-Token: " + backupSecret}, 403},
		"another secret":     {"GET", testSite + "/api/x", []string{"X-Gatehouse-Token: " + backupSecret + "x"}, 401},
		"two secrets":        {"GET", testSite + "/api/x", []string{"X-Gatehouse-Token: " + backupSecret, "Authorization: Bearer " + backupSecret}, 401},
		"an empty one":       {"GET", testSite + "/api/x", []string{"X-Gatehouse-Token: "}, 401},
		"in a browser":       {"GET", testSite + "/api/x", append(navigation, "X-Gatehouse-Token: nothing"), 401},
	} {
		if w, _ := ask(g, c.method, c.target, c.header...); w.Code != c.want {
			t.Errorf("%s: %d, want %d", name, w.Code, c.want)
		}
	}
	// What is not ours is the app's.
	_, r := ask(g, "GET", testSite+"/public/x", "Authorization: Bearer of-the-app", "X-Gatehouse-Token: x", "X_Gatehouse_Token: x", "x.gatehouse.token: x")
	if r.Header.Get("Authorization") != "Bearer of-the-app" || len(r.Header) != 1 {
		t.Errorf("the app got %v", r.Header)
	}
	f.clock.add(25 * time.Hour)
	if w, _ := ask(g, "GET", testSite+"/api/x", "X-Gatehouse-Token: "+backupSecret); w.Code != 401 {
		t.Errorf("after its last day: %d", w.Code)
	}
}

// A token for some paths copies and moves nothing out of them, nor into them from
// elsewhere.
func TestTokenAndDestination(t *testing.T) {
	f := newFixture(t, func(f *fixture, cfg *authcore.Config) {
		machines(f, cfg)
		cfg.Machines[0].Methods = nil
		free := cfg.Machines[0]
		free.Name, free.Paths, free.Hash = "free", origin.PublicPaths{}, session.HashMachine("free-"+backupSecret)
		cfg.Machines = append(cfg.Machines, free)
	})
	g := f.gate(nil)
	for to, passes := range map[string]bool{"/api/y": true, testSite + "/api/y": true, "/admin/y": false, testSite + "/admin/y": false, "/api/../admin": false, "/api/%2e%2e/admin": false, "": false, "%zz": false} {
		if w, r := ask(g, "MOVE", testSite+"/api/x", "X-Gatehouse-Token: "+backupSecret, "Destination: "+to); (r != nil) != passes {
			t.Errorf("to %q: %d", to, w.Code)
		}
		if w, r := ask(g, "MOVE", testSite+"/api/x", "X-Gatehouse-Token: free-"+backupSecret, "Destination: "+to); r == nil {
			t.Errorf("a token for all paths, to %q: %d", to, w.Code)
		}
	}
}

// An app that honours X-HTTP-Method-Override does DELETE for a token that is good
// for GET. Other proxies hand the header on themselves, so that there the token is
// refused.
func TestTokenLimitedToMethodsOverridesNone(t *testing.T) {
	f := newFixture(t, func(f *fixture, cfg *authcore.Config) {
		machines(f, cfg)
		free := cfg.Machines[0]
		free.Name, free.Methods, free.Hash = "free", nil, session.HashMachine("free-"+backupSecret)
		cfg.Machines = append(cfg.Machines, free)
	})
	g := f.gate(func(g *Gate) { g.Public = []string{"/public/*"} })
	a := f.authz(func(a *Authz) { a.Sites[0].Site = "app.example.com" })
	q := []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: app.example.com", "X-Forwarded-Uri: /api/x", "X-Forwarded-Method: GET"}
	alice := "Cookie: " + f.signIn("alice@example.com", testSite)
	limited, free := "X-Gatehouse-Token: "+backupSecret, "X-Gatehouse-Token: free-"+backupSecret
	for _, name := range []string{"X-HTTP-Method-Override", "x-http-method", "X_Method_Override", "X.Http.Method.Override", "x-method-override",
		"X-HTTP-Verb", "HTTP-Method-Override", "X-Tunneled-Method", "X-Method", "X-HTTP-Method-Overrides"} {
		w, r := ask(g, "GET", testSite+"/api/x", limited, name+": DELETE", "X-Other: 1")
		if w.Code != 200 || len(r.Header["X-Other"]) != 1 || strings.Contains(dump(r), "DELETE") {
			t.Errorf("%s: %d, the app sees %v", name, w.Code, r.Header)
		}
		for who, credential := range map[string]string{"a token for all methods": free, "a person": alice} {
			if w, r := ask(g, "GET", testSite+"/api/x", credential, name+": DELETE"); w.Code != 200 || !strings.Contains(dump(r), "DELETE") {
				t.Errorf("%s of %s: %d %v", name, who, w.Code, r)
			}
		}
		if w := asks(t, a, "GET", "/api/authz/forward-auth", append(q, limited, name+": DELETE")...); w.Code != 403 || w.Header().Get("Remote-User") != "" {
			t.Errorf("%s behind another proxy: %d", name, w.Code)
		}
		if w := asks(t, a, "GET", "/api/authz/forward-auth", append(q, free, name+": DELETE")...); w.Code != 200 {
			t.Errorf("%s behind another proxy, all methods: %d", name, w.Code)
		}
	}
	if w := asks(t, a, "GET", "/api/authz/forward-auth", append(q, limited)...); w.Code != 200 {
		t.Errorf("behind another proxy: %d", w.Code)
	}
	for query, want := range map[string]int{
		"_method=DELETE": 403, "a=b&_METHOD=delete": 403, "%5fmethod=PUT": 403, ".method=DELETE": 403, "_method[]=DELETE": 403, "a=b;_method=DELETE": 403,
		"_method=GET&_method=DELETE": 403, "X-HTTP-Method-Override=DELETE": 403, "_method=%44ELETE": 403,
		"_method=get": 200, "method=DELETE": 200, "a=_method=DELETE": 200, "http_methods=DELETE": 200,
	} {
		w, _ := ask(g, "GET", testSite+"/api/x?"+query, limited)
		if w.Code != want || want == 403 && !strings.Contains(w.Body.String(), "in the query names another") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
		for _, credential := range []string{free, alice} {
			if w, _ := ask(g, "GET", testSite+"/api/x?"+query, credential); w.Code != 200 {
				t.Errorf("%s with %.20s: %d", query, credential, w.Code)
			}
		}
		asked := append(slices.Clone(q), limited)
		asked[2] = "X-Forwarded-Uri: /api/x?" + query
		if w := asks(t, a, "GET", "/api/authz/forward-auth", asked...); w.Code != want {
			t.Errorf("%s behind another proxy: %d", query, w.Code)
		}
	}
}

func dump(r *http.Request) string {
	text, _ := json.Marshal(r.Header)
	return string(text) + r.URL.String()
}

func claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a token: %q", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	out := map[string]any{}
	must(t, json.Unmarshal(payload, &out))
	return out
}

// A token that a person made loses with them what they lose.
func TestPersonsToken(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Allow = []string{"staff"} })
	fresh := f.gate(func(g *Gate) { g.Fresh = caddy.Duration(time.Hour) })
	site, _ := origin.ParseSitePattern("app.example.com")
	token := func(email string) string {
		signIn := f.signInFor(email, testSite)
		secret, _, no, err := f.run.Service.Sessions().MakeToken(t.Context(), signIn.Session, origin.Origin{}, session.Machine{Name: "ci", Sites: []origin.SitePattern{site}}, f.run.Service.Now().Add(time.Hour))
		must(t, err)
		if no != "" {
			t.Fatal(no)
		}
		return secret
	}
	alice, carol := token("alice@example.com"), token("carol@example.com")
	w, r := ask(g, "GET", testSite+"/", "Authorization: Bearer "+alice)
	if w.Code != 200 || r.Header.Get("Remote-User") != "token:alice@example.com/ci" || r.Header.Get("Remote-Email") != "alice@example.com" || r.Header.Get("Remote-Groups") != "admins,staff" || r.Header.Get("Authorization") != "" {
		t.Errorf("%d %v", w.Code, r)
	}
	if w, _ := ask(g, "GET", testSite+"/", "Authorization: Bearer "+carol); w.Code != 403 {
		t.Errorf("a person the gate does not admit: %d", w.Code)
	}
	if w, _ := ask(fresh, "GET", testSite+"/", "Authorization: Bearer "+alice); w.Code != 401 {
		t.Errorf("a gate that wants a fresh sign-in: %d", w.Code)
	}
	// It opens no page of ours, and ends no session.
	w, _ = ask(g, "GET", testSite+"/_gatehouse/session", "X-Gatehouse-Token: "+alice)
	if w.Code != 401 {
		t.Errorf("the session page: %d", w.Code)
	}
	// Behind another proxy too.
	a := f.authz(func(a *Authz) { a.Sites[0].Site = "app.example.com" })
	q := []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: app.example.com", "X-Forwarded-Uri: /", "X-Forwarded-Method: GET"}
	if w := asks(t, a, "GET", "/api/authz/forward-auth", append(q, "Authorization: Bearer "+alice)...); w.Code != 200 || w.Header().Get("Remote-User") != "token:alice@example.com/ci" {
		t.Errorf("behind another proxy: %d %v", w.Code, w.Header())
	}
	if w := asks(t, a, "GET", "/api/authz/forward-auth", append(q, "Authorization: Bearer "+carol)...); w.Code != 403 {
		t.Errorf("behind another proxy, refused: %d", w.Code)
	}
	ended, err := f.run.Core.Sessions().EndPerson(t.Context(), f.signInFor("alice@example.com", testSite).Session.Subject, "removed")
	must(t, err)
	if ended == 0 {
		t.Fatal("nothing ended")
	}
	if w, _ := ask(g, "GET", testSite+"/", "Authorization: Bearer "+alice); w.Code != 401 {
		t.Errorf("after its person's end: %d", w.Code)
	}
}

// With two gates the inner one sees the token that the outer has taken away.
func TestTokenPassesNestedGates(t *testing.T) {
	f := newFixture(t, machines)
	outer, inner := f.gate(func(g *Gate) { g.Paths = []string{"/other/*"} }), f.gate(nil)
	app := &recordingApp{}
	chain := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return inner.ServeHTTP(w, r, app) })
	w := newRecorder()
	handler(outer, chain).ServeHTTP(w, request("GET", testSite+"/api/x", "Authorization: Bearer "+backupSecret))
	if w.Code != 200 || app.last().Header.Get("Remote-User") != "token:backup" || app.last().Header.Get("Authorization") != "" {
		t.Errorf("%d %v", w.Code, app.last())
	}
}

// Apps behind Cloudflare Access verify its token by RS256 with the published
// keys, aud being a list.
func TestCloudflareToken(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Headers = []string{"cloudflare"} })
	_, r := ask(g, "GET", testSite+"/", "Cookie: "+f.signIn("alice@example.com", testSite))
	token := r.Header.Get("Cf-Access-Jwt-Assertion")
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	must(t, err)
	w, _ := ask(g, "GET", testSite+"/_gatehouse/jwks.json")
	var set jose.JSONWebKeySet
	must(t, json.Unmarshal(w.Body.Bytes(), &set))
	keys := set.Key(jws.Signatures[0].Protected.KeyID)
	if len(keys) != 1 {
		t.Fatalf("jwks.json has no key %s", jws.Signatures[0].Protected.KeyID)
	}
	if _, err := jws.Verify(keys[0]); err != nil {
		t.Fatal(err)
	}
	got := claims(t, token)
	audience, _ := got["aud"].([]any)
	if got["email"] != "alice@example.com" || got["iss"] != testSite || len(audience) != 1 || audience[0] != testSite || got["type"] != "app" {
		t.Errorf("%v", got)
	}
	// One key signs, and none of the two kinds is taken for the other.
	if sess, _ := f.run.Service.Sessions().Check(t.Context(), token, mustOrigin(t, testSite)); sess != nil {
		t.Error("an access token is a session")
	}
	again := func() string {
		_, r := ask(g, "GET", testSite+"/", "Cookie: "+f.signIn("bob@example.com", testSite))
		return r.Header.Get("Cf-Access-Jwt-Assertion")
	}
	first := claims(t, again())
	f.clock.add(61 * time.Second)
	if left := first["exp"].(float64) - float64(f.run.Service.Now().Unix()); left < 58 {
		t.Errorf("%v s are left", left)
	}
}
