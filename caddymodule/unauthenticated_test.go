package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// What a visitor without a session gets hangs on who asks: a person's window is
// led to the form, everything else is told where it is.
func TestUnauthenticated(t *testing.T) {
	f := newFixture(t)
	html := "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
	preflight := []string{"Sec-Fetch-Mode: cors", "Access-Control-Request-Method: PUT", "Origin: https://x.test"}
	webSocket := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-Fetch-Mode: websocket"}
	for _, test := range []struct {
		name, method, path      string
		headers                 []string
		auto, redirect, refused int
	}{
		{"page view", "GET", "/", []string{page, "Sec-Fetch-Dest: document"}, 302, 302, 401},
		{"page view without a destination", "GET", "/", []string{page}, 302, 302, 401},
		{"HEAD", "HEAD", "/", []string{page}, 302, 302, 401},
		{"form", "POST", "/", []string{page, "Sec-Fetch-Dest: document"}, 303, 303, 401},
		{"frame", "GET", "/", []string{page, "Sec-Fetch-Dest: iframe"}, 401, 302, 401},
		{"embed", "GET", "/", []string{page, "Sec-Fetch-Dest: embed", html}, 401, 302, 401},
		{"fetch", "GET", "/", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", html}, 401, 302, 401},
		{"image", "GET", "/", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, 401, 302, 401},
		{"service worker", "GET", "/sw.js", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker"}, 401, 302, 401},
		{"manifest", "GET", "/m.json", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: manifest"}, 401, 302, 401},
		{"metadata without a mode", "GET", "/", []string{"Sec-Fetch-Site: none", html}, 401, 302, 401},
		{"old browser", "GET", "/", []string{html}, 302, 302, 401},
		{"old browser, capitals", "GET", "/", []string{"Accept: TEXT/HTML"}, 302, 302, 401},
		{"old browser's XHR", "GET", "/", []string{html, "X-Requested-With: XMLHttpRequest"}, 401, 302, 401},
		{"old browser's form", "POST", "/", []string{html}, 303, 303, 401},
		{"curl", "GET", "/", []string{"Accept: */*"}, 401, 302, 401},
		{"old browser's XHR, in capitals", "GET", "/", []string{html, "X-Requested-With: XMLHTTPREQUEST"}, 401, 302, 401},
		{"a view in an app on Android", "GET", "/", []string{html, "X-Requested-With: com.example.app"}, 302, 302, 401},
		{"old browser's XHR in such a view", "GET", "/", []string{html, "X-Requested-With: com.example.app", "X-Requested-With: XMLHttpRequest"}, 401, 302, 401},
		{"page view that a service worker hands on", "GET", "/", []string{page, "Sec-Fetch-Dest: empty", html}, 302, 302, 401},
		{"form that a service worker hands on", "POST", "/", []string{page, "Sec-Fetch-Dest: empty", html}, 303, 303, 401},
		{"new Request in a service worker", "GET", "/", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: empty", html}, 302, 302, 401},
		{"fetch in same-origin mode", "GET", "/", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: empty", "Accept: */*"}, 401, 302, 401},
		{"fetch that also takes pages", "GET", "/", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: empty", "Accept: application/json, text/html"}, 401, 302, 401},
		{"fetch of a page for data", "GET", "/", []string{"Sec-Fetch-Mode: same-origin", html}, 401, 302, 401},
		{"worker that takes pages", "GET", "/", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: worker", html}, 401, 302, 401},
		{"well-known", "GET", "/.well-known/change-password", []string{page}, 401, 302, 401},
		{"preflight", "OPTIONS", "/", preflight, 401, 401, 401},
		{"old browser's preflight", "OPTIONS", "/", []string{html, "Access-Control-Request-Method: PUT"}, 401, 401, 401},
		{"websocket", "GET", "/", webSocket, 401, 401, 401},
	} {
		for mode, want := range map[string]int{"": test.auto, "auto": test.auto, "redirect": test.redirect, "401": test.refused} {
			g := f.gate(func(g *Gate) { g.Unauthenticated = mode })
			w, r := ask(g, test.method, testSite+test.path, test.headers...)
			if w.Code != want || r != nil {
				t.Errorf("%s, %q: %d, want %d", test.name, mode, w.Code, want)
			}
			checkSignInAnswer(t, test.name, test.method, w.Result())
		}
	}
}

func checkSignInAnswer(t *testing.T, name, method string, answer *http.Response) {
	t.Helper()
	h := answer.Header
	if h.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: could be cached: %q", name, h.Get("Cache-Control"))
	}
	if answer.StatusCode != 401 {
		if location := h.Get("Location"); !strings.HasPrefix(location, "/_gatehouse/login?return_to=%2F") {
			t.Errorf("%s: Location %q", name, location)
		}
		return
	}
	var body struct {
		Error    string
		LoginURL string `json:"login_url"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil && method != "HEAD" {
		t.Errorf("%s: %v", name, err)
	}
	if method != "HEAD" && (body.Error != "login_required" || !strings.HasPrefix(body.LoginURL, testSite+"/_gatehouse/login")) {
		t.Errorf("%s: %+v", name, body)
	}
	if challenge := h.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, `Gatehouse login_url="`+testSite+`/_gatehouse/login`) {
		t.Errorf("%s: WWW-Authenticate %q", name, challenge)
	}
	if h.Get("Location") != "" || !strings.HasPrefix(h.Get("Content-Type"), "application/json") {
		t.Errorf("%s: %v", name, h)
	}
}

func TestReturnTo(t *testing.T) {
	f := newFixture(t)
	g := f.gate(nil)
	for _, test := range []struct {
		method, target, referer, want string
	}{
		{"GET", "/a/b?x=1&y=%2F", "", "/a/b?x=1&y=%2F"},
		{"GET", "/", "", "/"},
		{"POST", "/form?step=2", "", "/form"},
		{"GET", "//evil.test/x", "", "/"},
		{"GET", "/%5cevil.test", "", "/"},
		{"GET", "/a%0d%0aSet-Cookie:x", "", "/"},
		{"GET", "/" + strings.Repeat("a", 9000), "", "/"},
		{"GET", "/x?" + strings.Repeat("a", 8000), "", "/x?" + strings.Repeat("a", 8000)},
		{"GET", "/x?" + strings.Repeat("a", 9000), "", "/x"},
		{"GET", `/x?a=\&b=50%`, "", `/x?a=\&b=50%`},
		{"GET", "/ä b", "", "/%C3%A4%20b"},
	} {
		u, err := url.Parse(testSite + test.target)
		must(t, err)
		r := request(test.method, testSite+"/", page)
		r.URL = u
		w := newRecorder()
		handler(g, &recordingApp{}).ServeHTTP(w, r)
		location, err := url.Parse(w.Header().Get("Location"))
		must(t, err)
		if got := location.Query().Get("return_to"); got != test.want || location.Host != "" || location.Path != "/_gatehouse/login" {
			t.Errorf("%s %s: leads to %q (%s), want %q", test.method, test.target, got, location, test.want)
		}
	}
}

// An answer that another proxy reads first stays under 3 KiB: nginx makes a 502 of
// more than 4.
func TestReturnToBehindAProxy(t *testing.T) {
	f := newFixture(t)
	g := f.gate(nil)
	for _, test := range []struct {
		bytes   int
		trusted bool
		header  string
		query   bool
	}{
		{1500, true, "A: b", true}, {3000, true, "A: b", false}, {3000, false, "X-Forwarded-For: 192.0.2.1", false}, {3000, false, "A: b", true},
	} {
		for _, client := range []string{page, "Accept: */*"} {
			w := newRecorder()
			handler(g, &recordingApp{}, func(vars map[string]any) { vars[caddyhttp.TrustedProxyVarKey] = test.trusted }).
				ServeHTTP(w, request("GET", testSite+"/x?"+strings.Repeat("a", test.bytes), client, test.header))
			form := w.Header().Get("Location") + w.Header().Get("WWW-Authenticate")
			if query := strings.Contains(form, "%3Faaa"); query != test.query || !strings.Contains(form, "return_to=%2Fx") {
				t.Errorf("%+v: %.80s… of %d bytes", test, form, len(form))
			}
		}
	}
}

// A script's user goes back to the page, not to the data.
func TestLoginURLLeadsBackToThePage(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Unauthenticated = "401" })
	for _, test := range []struct {
		headers []string
		want    string
	}{
		{[]string{page, "Referer: " + testSite + "/before"}, "/api/x?y=1"},
		{[]string{"Sec-Fetch-Mode: cors", "Referer: " + testSite + "/board?tab=2"}, "/board?tab=2"},
		{[]string{"Sec-Fetch-Mode: cors", "Referer: https://evil.test/board"}, "/"},
		{[]string{"Sec-Fetch-Mode: cors"}, "/"},
		{nil, "/api/x?y=1"},
	} {
		w, _ := ask(g, "GET", testSite+"/api/x?y=1", test.headers...)
		var body struct {
			LoginURL string `json:"login_url"`
		}
		must(t, json.Unmarshal(w.Body.Bytes(), &body))
		login, err := url.Parse(body.LoginURL)
		must(t, err)
		if got := login.Query().Get("return_to"); got != test.want {
			t.Errorf("%q: %q, want %q", test.headers, got, test.want)
		}
	}
}

func TestStaleSignInSaysHowOldItMayBe(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Fresh = caddy.Duration(90*time.Second + 1) })
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	f.clock.add(2 * time.Minute)
	w, _ := ask(g, "GET", testSite+"/x", cookie, page)
	if want := "/_gatehouse/login?return_to=%2Fx&max_age=91"; w.Code != 302 || w.Header().Get("Location") != want {
		t.Errorf("%d %q, want %q", w.Code, w.Header().Get("Location"), want)
	}
	w, _ = ask(g, "GET", testSite+"/x", cookie)
	if w.Code != 401 || !strings.Contains(w.Body.String(), `"max_age":91`) || !strings.HasSuffix(w.Header().Get("WWW-Authenticate"), "max_age=91") {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
}

// Cookies have no port, so a session of a site at another port of the host counts,
// if that site is one of this instance. Its people are still the gate's to choose.
func TestSeveralPorts(t *testing.T) {
	f := newFixture(t)
	at := func(origins ...string) func(*Gate) {
		return func(g *Gate) { g.Origins = origins }
	}
	first := f.gate(at("https://box:8443", "https://192.0.2.7:8443", "https://[2001:db8::7]:8443"))
	second := f.gate(func(g *Gate) {
		at("https://box:9443", "https://192.0.2.7:9443", "https://[2001:db8::7]:9443", "https://other:8443")(g)
		g.Deny = []string{"bob0@example.com", "bob1@example.com", "bob2@example.com"}
	})
	for i, host := range []string{"box", "192.0.2.7", "[2001:db8::7]"} {
		at := func(name, port string) string {
			return "Cookie: " + f.signIn(fmt.Sprintf("%s%d@example.com", name, i), "https://"+host+port)
		}
		alice, bob := at("alice", ":8443"), at("bob", ":8443")
		for _, test := range []struct {
			gate     *Gate
			url, who string
			status   int
		}{
			{first, "https://" + host + ":8443/", alice, 200}, {second, "https://" + host + ":9443/", alice, 200},
			{second, "https://" + host + ":9443/", bob, 403}, {second, "https://other:8443/", alice, 401},
			{second, "https://" + host + ":9443/", at("carol", ":7443"), 401},
		} {
			if w, _ := ask(test.gate, "GET", test.url, test.who); w.Code != test.status {
				t.Errorf("%s with %.30s…: %d, want %d", test.url, test.who, w.Code, test.status)
			}
		}
	}
}

// The one of two valid sessions that counts could be an attacker's.
func TestTwoSessionsCountAsNone(t *testing.T) {
	f := newFixture(t)
	g := f.gate(nil)
	alice, bob := f.signIn("alice@example.com", testSite), f.signIn("bob@example.com", testSite)
	for _, test := range []struct {
		cookies []string
		passes  bool
	}{
		{[]string{alice}, true}, {[]string{alice + "; " + bob}, false}, {[]string{bob, alice}, false},
		{[]string{"__Host-gatehouse=garbage; " + alice}, true}, {[]string{alice, alice}, true},
		{[]string{strings.Replace(alice, "__Host-", "", 1)}, false}, {[]string{strings.Replace(alice, "__Host-", "__Secure-", 1)}, false},
		{[]string{strings.Repeat("__Host-gatehouse=x; ", 3) + alice}, true}, {[]string{strings.Repeat("__Host-gatehouse=x; ", 4) + alice}, false},
	} {
		var headers []string
		for _, c := range test.cookies {
			headers = append(headers, "Cookie: "+c)
		}
		_, r := ask(g, "GET", testSite+"/", headers...)
		if (r != nil) != test.passes {
			t.Errorf("%.60q: passed %v", test.cookies, r != nil)
		}
		if r != nil && len(r.Header["Cookie"]) > 0 {
			t.Errorf("the app got %q", r.Header["Cookie"])
		}
	}
	if _, r := ask(g, "GET", "https://other.example.com/", "Cookie: "+alice); r != nil {
		t.Error("a session of another site passed")
	}
}
