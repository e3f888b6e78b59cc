package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const nightly = "nightly-secret-0123456789abcdef0123456789abcdef"

// A program passes with a token of the configuration, or with one that a person
// made at the portal: at the site, with the path and method it is for, and until
// it is ended. The app sees who it is, and never the token.
func TestMachineTokens(t *testing.T) {
	s := start(t, plan{
		global: "token nightly {\n secret " + nightly + "\n site a.localhost\n path /api/*\n method GET\n}",
		site:   "gatehouse_portal",
		sites: `http://a.localhost:PORT {
	bind 127.0.0.1
	log
	gatehouse *@example.com {
		portal http://localhost:PORT
		headers remote assertion
	}
	reverse_proxy /api/gone 127.0.0.1:1
	reverse_proxy APP
}
http://127.0.0.1:PORT {
	bind 127.0.0.1
	gatehouse any {
		portal http://localhost:PORT
	}
	reverse_proxy APP
}`,
	})
	keepSecret("token", nightly)
	v := s.visitor()
	alice := person("alice")
	v.signIn(alice)
	own, _ := v.follow(s.site("a.localhost") + "/_gatehouse/account/tokens")
	own.must(t, http.StatusOK).shows(t, `href="`+s.url+`/_gatehouse/account/tokens"`)
	made := v.post("/_gatehouse/account/tokens", "name", "ci", "site", s.site("a.localhost"), "days", "30").must(t, http.StatusOK)
	token := regexp.MustCompile(`ght_[A-Za-z0-9_-]{43}`).FindString(made.body)
	keepSecret("token", token)

	program := s.visitor()
	ask := func(method, address string, headers ...string) *answer {
		t.Helper()
		return program.do(method, address, nil, append([]string{"Accept", "application/json", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "Sec-Fetch-Site", ""}, headers...)...)
	}
	a, other := s.site("a.localhost"), s.site("127.0.0.1")
	for name, c := range map[string]struct {
		headers     []string
		user, email string
		left        string // of Authorization, at the app
	}{
		"bearer":               {[]string{"Authorization: Bearer " + token}, "token:" + alice + "/ci", alice, ""},
		"beside the app's own": {[]string{"X-Gatehouse-Token: " + token, "Authorization: Bearer the-app's"}, "token:" + alice + "/ci", alice, "Bearer the-app's"},
		"of the configuration": {[]string{"Authorization: Bearer " + nightly}, "token:nightly", "", ""},
	} {
		// By hand: Caddy's debug log has what the app is told, and the assertion is
		// no secret from whoever reads that.
		w := s.wire()
		w.request("GET /api/x", "a.localhost:"+s.port, append(c.headers, "Accept: application/json")...)
		seen := w.answer().must(t, http.StatusOK).seen(t)
		_, body, _ := strings.Cut(seen.Header.Get("X-Gatehouse-Assertion"), ".")
		body, _, _ = strings.Cut(body, ".")
		raw, _ := base64.RawURLEncoding.DecodeString(body)
		var claims struct{ Token, Email, Aud string }
		_ = json.Unmarshal(raw, &claims)
		if seen.Header.Get("Remote-User") != c.user || seen.Header.Get("Remote-Email") != c.email || seen.Header.Get("Authorization") != c.left || len(seen.header("X-Gatehouse-Token")) > 0 {
			t.Errorf("%s: the app sees %v", name, seen.Header)
		}
		if claims.Token != c.user || claims.Email != c.email || claims.Aud != a {
			t.Errorf("%s: the assertion says %s", name, raw)
		}
	}
	// The app is away: no error page, and no token in the error log.
	ask("GET", a+"/api/gone", "X-Gatehouse-Token", token).must(t, http.StatusBadGateway)
	for name, c := range map[string]struct {
		method, address, token string
		status                 int
	}{
		"another site": {"GET", other + "/api/x", token, 403}, "another site, configured": {"GET", other + "/api/x", nightly, 403},
		"another method": {"POST", a + "/api/x", nightly, 403}, "another path": {"GET", a + "/x", nightly, 403}, "a path that could be another": {"GET", a + "/api/../x", nightly, 403},
		"no token of ours": {"GET", a + "/api/x", "ght_" + strings.Repeat("A", 43), 401}, "a prefix": {"GET", a + "/api/x", token[:46], 401},
	} {
		if got := ask(c.method, c.address, "X-Gatehouse-Token", c.token); got.StatusCode != c.status || got.Header.Get("Location") != "" {
			t.Errorf("%s: %s", name, got.Status)
		}
	}
	if got := ask("GET", a+"/api/x", "X-Gatehouse-Token", token, "Authorization", "Bearer "+nightly); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("two tokens: %s", got.Status)
	}

	if line := lineWith(logs.since(s.from), `"logger":"gatehouse.access"`); !strings.Contains(line, `"uri":"/api/x"`) || !strings.Contains(line, `"status":200`) || !strings.Contains(line, `"user_id":"token:`+alice+`/ci"`) {
		t.Errorf("in place of Caddy's line: %q", line)
	}

	page := v.get("/_gatehouse/account/tokens").must(t, http.StatusOK).shows(t, "ci", "Last used")
	end := regexp.MustCompile(`/_gatehouse/account/tokens/[^"/]+/end`).FindString(page.body)
	stream := program.streamWith(a+"/events", "Authorization", "Bearer "+token)
	v.post(end).must(t, http.StatusSeeOther)
	stream.ends(t)
	if got := ask("GET", a+"/api/x", "X-Gatehouse-Token", token); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("after its end: %s", got.Status)
	}
	s.pass(6 * 60e9)
	if got := v.post("/_gatehouse/account/tokens", "name", "late", "site", a, "days", "30").must(t, http.StatusSeeOther).Header.Get("Location"); !strings.HasSuffix(got, "&max_age=300") {
		t.Errorf("six minutes after signing in: to %q", got)
	}
}
