package pages

import (
	"bytes"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

func (b *browser) url(path string) *url.URL {
	u, err := url.Parse(b.h.origin.String() + path)
	check(b.h.T, err)
	return u
}

// request is a request of this browser, for tests that make many at once.
func (b *browser) request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, b.url(path).String(), strings.NewReader(body))
	r.TLS.HandshakeComplete = true
	r.Header = b.headers.Clone()
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	return r
}

func TestUnknownPathsAndMethods(t *testing.T) {
	b := newHouse(t).browser()
	for _, path := range []string{"", "nothing", "login/", "login/x", "link", "link/", "health", "account/", "account/nothing", "account/sessions/", "account/sessions/x", "ui-0000000000000000.js", "session/x.css", "LOGIN"} {
		b.get("/_gatehouse/" + path)
		b.wants(404, "Page not found")
	}
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "login", "GET, HEAD, POST"}, {"DELETE", "code", "GET, HEAD, POST"}, {"OPTIONS", "link/x", "GET, HEAD, POST"},
		{"GET", "resend", "POST"}, {"POST", "session", "GET, HEAD"}, {"POST", "jwks.json", "GET, HEAD"}, {"TRACE", "logout", "GET, HEAD, POST"},
		{"DELETE", "account", "GET, HEAD"}, {"PATCH", "refused", "GET, HEAD"}, {"POST", "client.js", "GET, HEAD"}, {"PUT", "handover", "GET, HEAD"},
	} {
		b.do(c.method, "/_gatehouse/"+c.path, nil)
		b.wants(405)
		if got := b.last.Header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow is %q, want %q", c.method, c.path, got, c.allow)
		}
	}
}

func TestOnlyOwnPagesMayPost(t *testing.T) {
	const own = "https://app.example.com"
	h := newHouse(t)
	for _, c := range []struct {
		name    string
		headers http.Header
		passes  bool
	}{
		{"same origin", http.Header{"Sec-Fetch-Site": {"same-origin"}}, true},
		{"typed in", http.Header{"Sec-Fetch-Site": {"none"}}, true},
		{"cross site", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {own}, "Referer": {own + "/"}}, false},
		{"a neighbour", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {own}}, false},
		{"two", http.Header{"Sec-Fetch-Site": {"same-origin", "same-origin"}}, false},
		{"empty", http.Header{"Sec-Fetch-Site": {""}, "Origin": {own}}, false},
		{"own origin", http.Header{"Origin": {own}}, true},
		{"own origin, default port", http.Header{"Origin": {own + ":443"}}, true},
		{"null", http.Header{"Origin": {"null"}, "Referer": {own + "/"}}, false},
		{"empty origin", http.Header{"Origin": {""}, "Referer": {own + "/"}}, false},
		{"http", http.Header{"Origin": {"http://app.example.com"}}, false},
		{"another port", http.Header{"Origin": {own + ":8443"}}, false},
		{"a longer host", http.Header{"Origin": {own + ".evil.test"}}, false},
		{"a protected other origin", http.Header{"Origin": {"https://wiki.example.com"}}, false},
		{"referer", http.Header{"Referer": {own + "/_gatehouse/login?x"}}, true},
		{"referer, http", http.Header{"Referer": {"http://app.example.com/"}}, false},
		{"referer elsewhere", http.Header{"Referer": {"https://evil.test/" + own}}, false},
		{"referer with user", http.Header{"Referer": {"https://app.example.com@evil.test/"}}, false},
		{"nothing", http.Header{}, false},
	} {
		for _, path := range []string{"login", "code", "resend", "link/x", "logout"} {
			b := h.browser()
			b.headers = c.headers
			b.post("/_gatehouse/"+path, "email", "not an address")
			if refused := b.last.StatusCode == 403; refused == c.passes {
				t.Errorf("%s: POST %s is %d", c.name, path, b.last.StatusCode)
			}
			if !c.passes {
				b.wants(403, "Origin: "+own)
			}
		}
	}
}

func TestBodies(t *testing.T) {
	b := newHouse(t).browser()
	b.post("/_gatehouse/login", "email", "a@example.com", "email", "b@example.com")
	b.wants(400)
	b.post("/_gatehouse/code", "code", "123456", "code", "123457")
	b.wants(400)
	b.do("POST", "/_gatehouse/login", strings.NewReader("email=%zz"))
	b.wants(400)
	b.do("POST", "/_gatehouse/login", strings.NewReader("email="+strings.Repeat("a", 64<<10)))
	b.wants(413)
	b.do("POST", "/_gatehouse/login", io.MultiReader(strings.NewReader("email="), strings.NewReader(strings.Repeat("a", 64<<10))))
	b.wants(413) // of unknown length
	b.post("/_gatehouse/login", "email", "x", "unknown", "1", "unknown", "2")
	b.wants(422)
	for _, media := range []string{"text/plain", "application/json", "multipart/form-data; boundary=x", "bad/;;"} {
		b.headers.Set("Content-Type", media)
		b.do("POST", "/_gatehouse/login", strings.NewReader("email=a@example.com"))
		b.wants(415)
	}
}

func TestEarlyData(t *testing.T) {
	h := newHouse(t)
	r := h.browser().request("POST", "/_gatehouse/login", "email=alice@example.com")
	r.TLS = &tls.ConnectionState{}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusTooEarly {
		t.Errorf("a POST in early data is %d, want 425", w.Code)
	}
}

// TestSlowBody holds a connection open and sends no body: a page must not wait
// for it for ever.
func TestSlowBody(t *testing.T) {
	h := newHouse(t)
	bodyTimeout = 50 * time.Millisecond
	t.Cleanup(func() { bodyTimeout = 10 * time.Second })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.pages.ServeHTTP(w, r, Visit{Origin: h.origin, Client: netip.MustParseAddr("203.0.113.9")})
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	check(t, err)
	defer conn.Close()
	io.WriteString(conn, "POST /_gatehouse/login HTTP/1.1\r\nHost: app.example.com\r\nSec-Fetch-Site: none\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nemail=")
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408")) {
		t.Errorf("a body that never comes is answered %.60q, %v", answer, err)
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	m := b.start("alice@example.com")
	for _, try := range []struct{ method, path string }{
		{"GET", "login"}, {"POST", "login"}, {"GET", "code"}, {"POST", "code"}, {"POST", "resend"}, {"GET", "logout"}, {"POST", "logout"},
		{"GET", "link/x"}, {"GET", strings.TrimPrefix(linkPath(m), "/_gatehouse/")}, {"GET", "session"}, {"GET", "nothing"}, {"PUT", "login"},
	} {
		b.do(try.method, "/_gatehouse/"+try.path, strings.NewReader(""))
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Opener-Policy": "same-origin", "X-Robots-Tag": "noindex", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := b.last.Header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", try.method, try.path, name, got, want)
			}
		}
		policy := b.last.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s %s: policy %q", try.method, try.path, policy)
		}
	}
}

func TestPolicyAdmitsStyleScriptAndReturnAddress(t *testing.T) {
	b := newHouse(t).browser()
	b.start("alice@example.com", "return_to", "https://wiki.example.com/page")
	b.get("/_gatehouse/code")
	policy := b.last.Header.Get("Content-Security-Policy")
	src := regexp.MustCompile(`<script src="([^"]+)"`).FindStringSubmatch(b.body)
	if src == nil || !strings.Contains(policy, "script-src https://app.example.com"+src[1]+";") {
		t.Errorf("the policy does not admit exactly the script %v: %s", src, policy)
	}
	if !strings.Contains(policy, "form-action 'self' https://wiki.example.com;") {
		t.Errorf("the policy stops the way to the return address: %s", policy)
	}
	b.get(src[1])
	b.wants(200)
	if got := b.last.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("the script is not immutable: %q", got)
	}
}

func TestReturnAddresses(t *testing.T) {
	for raw, want := range map[string]string{
		"/a/b?c=d#e": "/a/b?c=d#e", "https://app.example.com/x": "/x", "https://wiki.example.com/x": "https://wiki.example.com/x",
		"https://evil.test/": "/", "//evil.test": "/", `/\evil.test`: "/", "https://app.example.com//evil.test": "/",
		"https://app.example.com:8443/": "/", "javascript:alert(1)": "/", "/_gatehouse/logout": "/", "/x\r\nSet-Cookie: a=b": "/",
		"http://app.example.com/": "/", "{env.SECRET}": "/", "/{env.SECRET}": "/{env.SECRET}",
	} {
		b := newHouse(t).browser()
		b.post("/_gatehouse/code", "code", b.start("alice@example.com", "return_to", raw).Code)
		b.wantsTo(want)
		b.post("/_gatehouse/logout", "return_to", raw)
		b.wantsTo(want)
	}
}

func TestReturnAddressIsCheckedAgain(t *testing.T) {
	wiki := true
	h := newHouse(t, func(c *authcore.Config, _ *Config) {
		c.Protects = func(o origin.Origin) bool { return wiki && o.String() == "https://wiki.example.com" }
	})
	b := h.browser()
	m := b.start("alice@example.com", "return_to", "https://wiki.example.com/x")
	wiki = false // the site left the configuration meanwhile
	b.post("/_gatehouse/code", "code", m.Code)
	b.wantsTo("/")
}

// TestNobodyLearnsWhoMaySignIn compares every answer for an address that may
// sign in with that for one that may not.
func TestNobodyLearnsWhoMaySignIn(t *testing.T) {
	h := newHouse(t)
	random := regexp.MustCompile(`value="[\w-]{12}"`)
	transcript := func(email string) (all []string) {
		b := h.browser()
		note := func() {
			headers := b.last.Header.Clone()
			for i, c := range headers["Set-Cookie"] {
				name, value, _ := strings.Cut(c, "=")
				_, attributes, _ := strings.Cut(value, ";")
				headers["Set-Cookie"][i] = name + ";" + attributes
			}
			body := random.ReplaceAllString(b.body, `value=""`)
			for _, name := range slices.Sorted(maps.Keys(headers)) {
				all = append(all, name+": "+strings.Join(headers[name], "|"))
			}
			all = append(all, strings.ReplaceAll(body, email, "ADDRESS"))
		}
		b.post("/_gatehouse/login", "email", email)
		note()
		b.get("/_gatehouse/code")
		note()
		for range 6 {
			b.post("/_gatehouse/code", "code", "000000")
			note()
		}
		b.post("/_gatehouse/resend")
		note()
		other := h.browser()
		other.post("/_gatehouse/login", "email", email)
		b = other
		note()
		return all
	}
	known, unknown := transcript("known@example.com"), transcript("other@nowhere.org")
	for i := range min(len(known), len(unknown)) {
		if known[i] != unknown[i] {
			t.Fatalf("the answers differ:\n%s\n---\n%s", known[i], unknown[i])
		}
	}
	if len(known) != len(unknown) {
		t.Errorf("%d and %d lines", len(known), len(unknown))
	}
}

// TestNoSecretLeaves looks for code, link and tokens wherever a browser, a
// proxy or a log could see them and has no business to.
func TestNoSecretLeaves(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	m := b.start("alice@example.com")
	token := strings.TrimPrefix(linkPath(m), "/_gatehouse/link/")
	seen := func() {
		var all strings.Builder
		b.last.Header.Write(&all)
		all.WriteString(b.body)
		for _, secret := range []string{m.Code, token} {
			if strings.Contains(all.String(), secret) {
				t.Errorf("an answer holds a secret of the mail:\n%s", all.String())
			}
		}
	}
	b.get("/_gatehouse/code")
	seen()
	b.get(linkPath(m))
	seen()
	b.post("/_gatehouse/code", "code", m.Code)
	seen()
	b.post("/_gatehouse/code", "code", m.Code)
	seen()
}

// What another proxy's site closes is said by a page with ways out, which stay at
// the host that was asked, or lead to where people sign in.
func TestRefused(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.get("/_gatehouse/refused?for=/x%3Fa=b")
	b.wantsTo("/_gatehouse/login?return_to=%2Fx%3Fa%3Db")
	b.signIn("alice@example.com")
	b.get("/_gatehouse/refused?for=/x%3Fa=b")
	b.wants(http.StatusForbidden, "alice@example.com", `href="/_gatehouse/login?return_to=%2Fx%3Fa%3Db"`, `href="/_gatehouse/logout"`)
	b.get("/_gatehouse/refused?for=https://wiki.example.com/x")
	b.wants(http.StatusForbidden, "have access to <bdi>wiki.example.com", `return_to=https%3A%2F%2Fwiki.example.com%2Fx"`)
	for _, evil := range []string{"https://evil.test/x", "//evil.test", "javascript:alert(1)", ""} {
		b.get("/_gatehouse/refused?for=" + url.QueryEscape(evil))
		b.wants(http.StatusForbidden, "have access to <bdi>app.example.com", `href="/_gatehouse/login"`)
	}
	b.post("/_gatehouse/refused")
	b.wants(http.StatusMethodNotAllowed, "This page can&#39;t be opened this way")
	if got := b.last.Header.Get("Allow"); got != "GET, HEAD" {
		t.Errorf("Allow: %q", got)
	}
	if strings.Contains(b.body, "a form of this site") {
		t.Errorf("a wrong method is told as a bad form:\n%s", b.body)
	}
	w := httptest.NewRecorder()
	v := Visit{Origin: mustOrigin(t, "https://wiki.example.com")}
	h.pages.Problem(w, httptest.NewRequest("GET", "/y", nil), v, Problem{Kind: screen.NotAllowed, For: origin.ParseReturnTo("/y", v.Origin, nil), SignIn: h.origin})
	for _, want := range []string{"have access to <bdi>wiki.example.com", `href="https://app.example.com/_gatehouse/login?return_to=https%3A%2F%2Fwiki.example.com%2Fy"`, `href="https://app.example.com/_gatehouse/logout"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s:\n%s", want, w.Body)
		}
	}
}

// Any link can lead to the page about a refusal: what it says is what the gates say.
func TestRefusedThatIsNot(t *testing.T) {
	var asked origin.ReturnTo
	passes := true
	h := newHouse(t, func(_ *authcore.Config, c *Config) {
		c.Passes = func(_ *session.Session, to origin.ReturnTo, _ netip.Addr) bool {
			asked = to
			return passes
		}
	})
	b := h.browser()
	b.get("/_gatehouse/refused?for=https://wiki.example.com/x%3Fa=b")
	b.wantsTo("/_gatehouse/login?return_to=https%3A%2F%2Fwiki.example.com%2Fx%3Fa%3Db")
	b.signIn("alice@example.com")
	b.get("/_gatehouse/refused?for=https://wiki.example.com/x%3Fa=b")
	b.wants(http.StatusOK, "this address has access to <bdi>wiki.example.com", `<a class="button" href="https://wiki.example.com/x?a=b">Go to <bdi>wiki`, `href="/_gatehouse/logout"`)
	if asked.String() != "https://wiki.example.com/x?a=b" {
		t.Errorf("%s was judged", asked)
	}
	b.get("/_gatehouse/refused?for=/x")
	b.wants(http.StatusOK, "this address has access to <bdi>app.example.com", `href="/x">Go to`)
	for _, evil := range []string{"https://evil.test/x", "//evil.test", "javascript:alert(1)", ""} {
		b.get("/_gatehouse/refused?for=" + url.QueryEscape(evil))
		if b.wants(http.StatusOK, `href="/">Go to <bdi>app.example.com`); strings.Contains(b.body, "evil") {
			t.Errorf("the page leads elsewhere:\n%s", b.body)
		}
	}
	passes = false
	b.get("/_gatehouse/refused?for=https://wiki.example.com/x")
	b.wants(http.StatusForbidden, "doesn&#39;t have access to <bdi>wiki.example.com")
}

func TestProblems(t *testing.T) {
	h := newHouse(t)
	for kind, status := range problemStatus {
		for _, v := range []Visit{{}, {Origin: h.origin}} {
			w := httptest.NewRecorder()
			h.pages.Problem(w, httptest.NewRequest("GET", "/x?a=<b>", nil), v, Problem{Kind: kind, Detail: `host "<evil>": write`})
			if w.Code != status || !strings.Contains(w.Body.String(), "host &#34;&lt;evil&gt;&#34;: write") {
				t.Errorf("%s: %d\n%s", kind, w.Code, w.Body)
			}
		}
	}
	w := httptest.NewRecorder()
	h.pages.Problem(w, httptest.NewRequest("GET", "/x", nil), Visit{Origin: h.origin}, Problem{Kind: screen.Unavailable, RetryAfter: 1500 * time.Millisecond})
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After is %q, want 2", got)
	}
	for target, want := range map[string]string{
		"/x?a=b": "/x?a=b", "//evil.example/": "/", "/_gatehouse/code?flow=x": "/_gatehouse/code?flow=x",
	} {
		for method, offered := range map[string]bool{"GET": true, "POST": false} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(method, "https://app.example.com/", nil)
			r.URL, _ = url.ParseRequestURI(target)
			h.pages.Problem(w, r, Visit{Origin: h.origin}, Problem{Kind: screen.Unavailable})
			if got := strings.Contains(w.Body.String(), `href="`+want+`">Try again`); got != offered {
				t.Errorf("%s %s: a way to try again at %s: %v, want %v\n%s", method, target, want, got, offered, w.Body)
			}
		}
	}
}

// FuzzForms holds that whatever is posted is answered, and that nothing but a
// right code signs in.
func FuzzForms(f *testing.F) {
	f.Add("login", "email=alice%40example.com&return_to=%2Fx")
	f.Add("code", "code=123456&flow=x")
	f.Add("code", "code=%D9%A1%00%ff")
	f.Add("logout", "return_to=//x")
	f.Add("link/abc", "ui_locales=de+%00+x-y-z")
	f.Fuzz(func(t *testing.T, path, body string) {
		h := newHouse(t)
		b := h.browser()
		u := b.url("/_gatehouse/")
		u.Path += path
		r := b.request("POST", "/_gatehouse/", body)
		r.URL.Path = u.Path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 200 || w.Code >= 500 {
			t.Errorf("POST %q %q: %d", path, body, w.Code)
		}
		for _, c := range w.Result().Cookies() {
			if c.Name == "__Host-gatehouse" && c.MaxAge >= 0 {
				t.Errorf("POST %q %q signs in", path, body)
			}
		}
	})
}

// Where people sign in elsewhere, what is no page is none there either.
func TestUnknownPathsAtASiteWithAPortal(t *testing.T) {
	h := newHouse(t)
	for path, want := range map[string]int{"login": 303, "account": 303, "account/tokens": 303, "login/": 404, "login/x": 404, "link/": 404, "code/x": 404} {
		w := httptest.NewRecorder()
		h.pages.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://app.example.com/_gatehouse/"+path, nil),
			Visit{Origin: h.origin, Portal: mustOrigin(t, "https://auth.example.com")})
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

// A site that leaves a step to its portal takes no other methods for it either.
func TestMethodsOfASiteWithAPortal(t *testing.T) {
	h := newHouse(t)
	v := Visit{Origin: h.origin, Portal: mustOrigin(t, "https://auth.example.com")}
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "login", 303, ""}, {"POST", "login", 303, ""}, {"DELETE", "login", 405, "GET, HEAD, POST"}, {"PATCH", "code", 405, "GET, HEAD, POST"}, {"GET", "resend", 405, "POST"},
	} {
		w := httptest.NewRecorder()
		h.pages.ServeHTTP(w, httptest.NewRequest(c.method, "https://app.example.com/_gatehouse/"+c.path, nil), v)
		if w.Code != c.status || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, w.Code, w.Header().Get("Allow"))
		}
	}
}
