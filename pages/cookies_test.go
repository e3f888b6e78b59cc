package pages

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

func TestSessionTokens(t *testing.T) {
	header := func(lines ...string) *http.Request { return &http.Request{Header: http.Header{"Cookie": lines}} }
	for _, c := range []struct {
		lines  []string
		secure bool
		domain string
		want   []string
	}{
		{nil, true, "", nil},
		{[]string{"__Host-gatehouse=a"}, true, "", []string{"a"}},
		{[]string{"__Host-gatehouse=a"}, true, "example.com", nil},
		{[]string{"__Host-gatehouse=a; __Secure-gatehouse=b; gatehouse=c"}, true, "example.com", []string{"b"}},
		{[]string{"__Host-gatehouse=a; __Secure-gatehouse=b; gatehouse=c"}, false, "", []string{"c"}},
		{[]string{"x=1;__Host-gatehouse=a ;  y", "__Host-gatehouse=b;"}, true, "", []string{"a", "b"}},
		{[]string{"__host-gatehouse=a; __Host-gatehouse=; __Host-gatehouse"}, true, "", nil},
		{[]string{strings.Repeat("__Host-gatehouse=a;", 100)}, true, "", []string{"a", "a", "a", "a", "a"}},
		{[]string{"__Host-gatehouse=a=b=="}, true, "", []string{"a=b=="}},
	} {
		if got := defaultCookies.SessionTokens(header(c.lines...), c.secure, c.domain, nil); !slices.Equal(got, c.want) {
			t.Errorf("%q, secure %v, domain %q: %q, want %q", c.lines, c.secure, c.domain, got, c.want)
		}
	}
}

func TestStripOwnCookies(t *testing.T) {
	for line, want := range map[string]string{
		"a=1; b=\"2;3\"":               "a=1; b=\"2;3\"",
		"__Host-gatehouse=x":           "",
		"a=1; __Host-gatehouse=x; b=2": "a=1; b=2",
		"__Secure-gatehouse=x;a=1":     "a=1",
		"a=1; gatehouse=x":             "a=1",
		" gatehouse-flow =x; __host-GATEHOUSE-device=y; gatehouses=z": "gatehouses=z",
		"__Host-__Secure-gatehouse=x; gatehouse2=y;; c":               "__Host-__Secure-gatehouse=x; gatehouse2=y;; c",
		"\t__Secure-gatehouse-flow\t=x; ":                             "",
	} {
		h := http.Header{"Cookie": {line}}
		defaultCookies.StripOwn(h)
		if got := strings.Join(h["Cookie"], "|"); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
		if hasOwnCookie(h) {
			t.Errorf("%q still holds one of ours: %q", line, h)
		}
	}
}

func TestStripOwnCookiesCostsNothing(t *testing.T) {
	h := http.Header{"Cookie": {"a=1; session=abc; theme=dark"}}
	r := &http.Request{Header: http.Header{"Cookie": {"a=1; __Host-gatehouse=abc"}}}
	if n := testing.AllocsPerRun(100, func() {
		var buf [session.MaxTokens + 1]string
		if hasOwnCookie(h) || len(defaultCookies.SessionTokens(r, true, "", buf[:0])) != 1 {
			t.Fail()
		}
		defaultCookies.StripOwn(h)
	}); n != 0 {
		t.Errorf("%v allocations for a request", n)
	}
}

func FuzzStripOwnCookies(f *testing.F) {
	f.Add("a=1; __Host-gatehouse=x; b=2")
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Cookie": {line}}
		defaultCookies.StripOwn(h)
		if hasOwnCookie(h) {
			t.Errorf("%q still holds one of ours: %q", line, h)
		}
		if left := strings.Join(h["Cookie"], ""); !isSubsequence(left, line) {
			t.Errorf("%q becomes %q", line, left)
		}
	})
}

func isSubsequence(part, whole string) bool {
	for i := range len(whole) {
		if part != "" && whole[i] == part[0] {
			part = part[1:]
		}
	}
	return part == ""
}

func TestCookieAttributes(t *testing.T) {
	b := newHouse(t).browser()
	m := b.start("alice@example.com")
	flow := b.cookie("__Host-gatehouse-flow")
	b.post("/_gatehouse/code", "code", m.Code)
	sess, device := b.cookie("__Host-gatehouse"), b.cookie("__Host-gatehouse-device")
	total := 0
	for c, life := range map[*http.Cookie]time.Duration{flow: time.Hour, sess: 7 * 24 * time.Hour, device: 365 * 24 * time.Hour} {
		if c == nil {
			t.Fatal("a cookie is missing")
		}
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s: %s", c.Name, c.Raw)
		}
		if c.MaxAge != int(life.Seconds()) {
			t.Errorf("%s lives %d s, want %v", c.Name, c.MaxAge, life)
		}
		total += len(c.Name) + 1 + len(c.Value)
	}
	if strings.Count(sess.Value, ".") != 2 {
		t.Errorf("the session cookie is no compact JWS: %s", sess.Value)
	}
	if total > 2048 {
		t.Errorf("our cookies have %d bytes", total)
	}
}

func TestCookiesWithDomain(t *testing.T) {
	h := newHouse(t, func(c *authcore.Config, _ *Config) { c.Domain = "example.com" })
	b := h.browser()
	b.signIn("alice@example.com")
	if c := b.cookie("__Secure-gatehouse"); c == nil || c.Domain != "example.com" || !c.Secure {
		t.Errorf("session cookie of a domain: %v", c)
	}
	if c := b.cookie("__Host-gatehouse-device"); c == nil || c.Domain != "" {
		t.Errorf("device cookie: %v", c)
	}
	b.post("/_gatehouse/logout")
	wantExpired(t, b.last, "__Secure-gatehouse", "", "app.example.com", "example.com")
}

func TestCookiesOverPlainHTTP(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	h.origin = mustOrigin(t, "http://app.example.com")
	r := b.start("alice@example.com")
	if c := b.cookie("gatehouse-flow"); c == nil || c.Secure {
		t.Fatalf("flow cookie over http: %v", c)
	}
	b.post("/_gatehouse/code", "code", r.Code)
	if c := b.cookie("gatehouse"); c == nil || c.Secure || !c.HttpOnly {
		t.Errorf("session cookie over http: %v", c)
	}
}

// TestTossedCookies: a neighbouring host can plant cookies of our names for the
// whole domain. Of two nobody knows whose they are; the next sign-in page must
// get rid of both, or signing in would never work again.
func TestTossedCookies(t *testing.T) {
	h := newHouse(t, func(c *authcore.Config, _ *Config) { c.Domain = "example.com" })
	alice, bob := h.browser(), h.browser()
	alice.signIn("alice@example.com")
	bob.signIn("bob@example.com")
	first, second := alice.cookie("__Secure-gatehouse").Value, bob.cookie("__Secure-gatehouse").Value
	for _, cookie := range []string{first + "; __Secure-gatehouse=" + second, second + "; __Secure-gatehouse=" + first} {
		b := h.browser()
		b.headers.Set("Cookie", "__Secure-gatehouse="+cookie)
		b.get("/_gatehouse/session")
		b.wants(401)
		b.get("/_gatehouse/login")
		b.wants(200)
		wantExpired(t, b.last, "__Secure-gatehouse", "", "example.com")
	}
	b := h.browser()
	b.headers.Set("Cookie", "__Secure-gatehouse=junk; __Secure-gatehouse="+first)
	b.get("/_gatehouse/login")
	b.wants(200, "Continue as")
	if len(b.last.Cookies()) != 0 {
		t.Error("the one good session is taken away")
	}
}

func TestTwoFlowCookies(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.start("alice@example.com")
	flow := b.cookie("__Host-gatehouse-flow").Value
	other := h.browser()
	other.headers.Set("Cookie", "__Host-gatehouse-flow="+flow+"; __Host-gatehouse-flow=x")
	other.get("/_gatehouse/code")
	other.wantsTo("/_gatehouse/login")
	other.get("/_gatehouse/login")
	wantExpired(t, other.last, "__Host-gatehouse-flow", "")
}

func wantExpired(t *testing.T, r *http.Response, name string, domains ...string) {
	t.Helper()
	for _, domain := range domains {
		if !slices.ContainsFunc(r.Cookies(), func(c *http.Cookie) bool {
			return c.Name == name && c.Domain == domain && c.MaxAge < 0 && c.Path == "/"
		}) {
			t.Errorf("%s with domain %q is not taken back: %q", name, domain, r.Header["Set-Cookie"])
		}
	}
}

// hasOwnCookie tells whether a Cookie header holds one of ours.
func hasOwnCookie(h http.Header) bool {
	for _, line := range h["Cookie"] {
		if _, own := defaultCookies.withoutOwn(line); own {
			return true
		}
	}
	return false
}

// Two instances on one host: each reads its own cookies, and hides those of both from
// its apps.
func TestCookiesOfTwoInstances(t *testing.T) {
	named := func(name string) Cookies {
		c, err := CookiesNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const line = "__Host-gatehouse=a; __Host-gatehouse-intern=b; __Host-other=c; app=d"
	r := &http.Request{Header: http.Header{"Cookie": {line}}}
	for name, want := range map[string]string{"": "a", "gatehouse": "a", "gatehouse-intern": "b", "other": "c"} {
		if got := named(name).SessionTokens(r, true, "", nil); !slices.Equal(got, []string{want}) {
			t.Errorf("%s reads %q", name, got)
		}
		h := http.Header{"Cookie": {line + "; gatehouse-intern-flow=x; __Secure-GATEHOUSE-intern-device=y; __Secure-other-flow=z; others=e"}}
		named(name).StripOwn(h)
		left := strings.Join(h["Cookie"], "|")
		if strings.Contains(strings.ToLower(left), "gatehouse") || !strings.Contains(left, "app=d") || !strings.Contains(left, "others=e") || strings.Contains(left, "other=c") != (name != "other") || strings.Contains(left, "-other-flow") != (name != "other") {
			t.Errorf("behind %s the app sees %q", name, left)
		}
	}
	for _, bad := range []string{"Gatehouse", "a b", "a;b", "a=b", "__Host-x", "x-flow", "gatehouse-device", strings.Repeat("x", 33), "ä"} {
		if _, err := CookiesNamed(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// A browser that signs in again after a time without use has left the session
// before: what apps hold of it goes over to the new one, or ends with somebody
// else's.
func TestSignInReplacesAnIdleSession(t *testing.T) {
	for email, heir := range map[string]bool{"alice@example.com": true, "bob@example.com": false} {
		h := newHouse(t)
		b := h.browser()
		b.signIn("alice@example.com")
		token := b.cookie("__Host-gatehouse").Value
		old := b.session()
		h.advance(25 * time.Hour)
		b.get("/_gatehouse/session")
		b.wants(http.StatusUnauthorized)
		if held, err := h.core.Sessions().Held(t.Context(), []string{token}); err != nil || len(held) != 1 {
			t.Fatalf("before: %v, %v", held, err)
		}
		b.signIn(email)
		now, err := h.service.Sessions().Check(t.Context(), b.cookie("__Host-gatehouse").Value, h.origin)
		check(t, err)
		if held, err := h.core.Sessions().Held(t.Context(), []string{token}); err != nil || len(held) != 0 {
			t.Errorf("%s: the session before goes on beside the new one: %v, %v", email, held, err)
		}
		if is, err := h.core.Sessions().IsHeir(t.Context(), now, old.Session); err != nil || is != heir {
			t.Errorf("%s: it takes its place: %v, %v", email, is, err)
		}
	}
}
