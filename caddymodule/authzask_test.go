package caddymodule

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// What can't be believed or read is refused, in every dialect: 400, or 403 where
// the proxy knows nothing else. It is never 200, and never a redirect.
func TestAuthzBadQuestions(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	cookie := "Cookie: " + f.signIn("alice@example.com", "https://auth.example.com")
	replace := func(headers []string, name string, with ...string) []string {
		var out []string
		for _, h := range headers {
			if !strings.HasPrefix(h, name+": ") {
				out = append(out, h)
			}
		}
		return append(out, with...)
	}
	for name, proxy := range proxies {
		refused := 400
		if strict(name) {
			refused = 403
		}
		method, target, good := proxy(append(navigation, cookie)...)
		check := func(what string, w *httptest.ResponseRecorder, want int) {
			t.Helper()
			if w.Code != want || w.Header().Get("Remote-User") != "" || w.Header().Get("Location") != "" {
				t.Errorf("%s, %s: %d to %q, want %d", name, what, w.Code, w.Header().Get("Location"), want)
			}
		}
		check("a stranger", asksAs(t, false, a, method, target, good...), refused)
		for _, conflict := range []string{
			"X-Original-URI: /public/x", "X-Original-URL: https://x.apps.example.com/public/x", "X-Original-URL: https://wiki.example.com/public/x",
			"X-Forwarded-Uri: /public/x", "X-Forwarded-Host: x.apps.example.com", "X-Forwarded-Host: wiki.example.com, x.apps.example.com",
			"X-Forwarded-Proto: http", "X-Forwarded-Proto: javascript", "X-Forwarded-Proto: https,http", "X-Forwarded-Proto: ", "X-Forwarded-Method: OPTIONS", "X-Original-Method: OPTIONS", "X-Forwarded-Uri: ",
		} {
			field, _, _ := strings.Cut(conflict, ": ")
			if name != "oauth2-proxy" || !strings.HasPrefix(field, "X-Forwarded") {
				check("also "+conflict, asks(t, a, method, target, append(good, conflict)...), refused)
			}
			if strings.Contains(strings.Join(good, "\n"), field+": ") {
				check("twice "+field, asks(t, a, method, target, append(good, conflict)...), refused)
			}
		}
		for _, h := range good {
			field, value, _ := strings.Cut(h, ": ")
			switch field {
			case "X-Forwarded-Proto", "X-Forwarded-Method", "X-Original-URL", "X-Original-Method":
			case "X-Forwarded-Uri", "X-Forwarded-Host":
			default:
				continue
			}
			check("without "+field, asks(t, a, method, target, replace(good, field)...), refused)
			check("twice the same "+field, asks(t, a, method, target, append(good, field+": "+value)...), refused)
		}
		for _, header := range []string{"X-Forwarded-Prefix: /public", "X-Replaced-Path: /public/x", "X_forwarded_uri: /public/x", "X-Rewrite-Url: /public/x", "Forwarded: host=x.apps.example.com;proto=http", "X-Forwarded-Port: 80", "X-Http-Method-Override: OPTIONS"} {
			if w := asks(t, a, method, target, append(good, header)...); w.Code != 200 || w.Header().Get("Remote-User") != "alice@example.com" {
				t.Errorf("%s: %s changes the answer to %d", name, header, w.Code)
			}
		}
	}
}

// Forms of a URL that mean something else to somebody: the canonical meaning, or
// a refusal, and nothing public for an anonymous visitor.
func TestAuthzOddURLs(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	anonymous := func(proto, host, uri, method string) *httptest.ResponseRecorder {
		return asks(t, a, "GET", "/api/authz/forward-auth", "X-Forwarded-Proto: "+proto, "X-Forwarded-Host: "+host, "X-Forwarded-Uri: "+uri, "X-Forwarded-Method: "+method)
	}
	const host = "x.apps.example.com"
	for _, uri := range []string{"/public/a", "/public/a?x=/../", "/public/%61"} {
		if w := anonymous("https", host, uri, "GET"); w.Code != 200 {
			t.Errorf("public %s: %d", uri, w.Code)
		}
	}
	for _, uri := range []string{
		"/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public%2f..%2fadmin", "/public/%252e%252e/admin", "/public/..;/admin", "/public/.%2e/admin",
		"/public", "/publicx", "//public/a", "/public//a", "/PUBLIC/a", "/admin?/public/a", "/admin#/public/a", "/admin%23/public/a", "/public/a#b", `/public\..\admin`, "/public%5c..%5cadmin",
		"/public/%00", "/public/%09", "/public/a;b", "/%70ublic/../admin", "public/a", "https://" + host + "/public/a", "", "?x", "/public/%zz", "/public/\x00", "/public/a, /admin", "/public/a b", "/" + strings.Repeat("a", 16<<10), "/public/%c0%af",
	} {
		if w := anonymous("https", host, uri, "GET"); w.Code != 401 && w.Code != 400 {
			t.Errorf("%.40q: %d", uri, w.Code)
		}
	}
	for _, h := range []string{"X.APPS.example.com", "x.apps.example.com.", "x.apps.example.com:443"} {
		if w := anonymous("https", h, "/public/a", "GET"); w.Code != 200 {
			t.Errorf("host %s: %d", h, w.Code)
		}
	}
	for _, h := range []string{
		"x.apps.example.com:444", "x.apps.example.com:0", "x.apps.example.com:99999", "x.apps.example.com:x", "a.x.apps.example.com", "apps.example.com", ".apps.example.com", "x..apps.example.com",
		"user@x.apps.example.com", "x.apps.example.com/public", "x.apps.example.com,evil.test", "[::1]", "[::1", "127.0.0.1", "2130706433", "x.apps.exämple.com", "xn--x.apps.example.com ", "evil.test", "x.apps.example.com.evil.test", "*.apps.example.com", " ",
	} {
		if w := anonymous("https", h, "/public/a", "GET"); w.Code != 400 && w.Code != 403 {
			t.Errorf("host %q: %d", h, w.Code)
		}
	}
	for _, method := range []string{"", "get", "TRACE", "CONNECT", "G ET", "GET\r\nX: 1", strings.Repeat("A", 100)} {
		if w := anonymous("https", host, "/public/a", method); w.Code != 400 && w.Code != 403 {
			t.Errorf("method %.20q: %d", method, w.Code)
		}
	}
	// Two slashes after Envoy's path_prefix: one may be the prefix's own, or the
	// app's to read as a host.
	for path, want := range map[string]int{"/public/a": 200, "//public/a": 401, "///public/a": 401, "/%2fpublic/a": 401} {
		if w := asks(t, a, "GET", "/api/authz/ext-authz"+path, "Host: "+host, "X-Forwarded-Proto: https"); w.Code != want {
			t.Errorf("Envoy, %s: %d, want %d", path, w.Code, want)
		}
	}
	if w := anonymous("http", host, "/admin", "GET"); w.Code != 400 {
		t.Errorf("plain http: %d", w.Code)
	}
	for _, ws := range []string{"wss", "https", "WSS"} {
		if w := anonymous(ws, host, "/public/a", "GET"); w.Code != 200 {
			t.Errorf("%s: %d", ws, w.Code)
		}
	}
	if w := anonymous("http", "app.localhost:8080", "/", "GET"); w.Code != 401 {
		t.Errorf("a port of localhost: %d", w.Code)
	}
}

// Whatever stands in the cookie, 200 says who it is.
func TestAuthzOddCookies(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	good := f.signIn("alice@example.com", "https://auth.example.com")
	name, token, _ := strings.Cut(good, "=")
	parts := strings.Split(token, ".")
	cookies := []string{"", "x", ".", "..", "a.b.c", "a.b.c.d.e", strings.Repeat("A", 4096), "!!!.###.$$$", token + ".", "." + token, token + "\n", parts[0] + "." + parts[1] + ".", parts[0] + ".e30." + parts[2], "null", "{}"}
	for i := 1; i < len(token); i += 37 {
		cookies = append(cookies, token[:i])
	}
	for _, value := range cookies {
		for proxy, ask := range proxies {
			method, target, headers := ask("Cookie: " + name + "=" + value)
			if w := asks(t, a, method, target, headers...); w.Code != 401 {
				t.Errorf("%s: cookie %.40q: %d", proxy, value, w.Code)
			}
		}
	}
	// Good for the host it was made at alone, where no domain is shared.
	alone := newFixture(t)
	b := alone.authz()
	at := alone.signIn("alice@example.com", "https://app2.apps.example.com")
	w := asks(t, b, "GET", "/api/authz/forward-auth", "Cookie: "+at, "X-Forwarded-Proto: https", "X-Forwarded-Host: app1.apps.example.com", "X-Forwarded-Uri: /", "X-Forwarded-Method: GET")
	if w.Code != 401 {
		t.Errorf("another host's cookie: %d", w.Code)
	}
}

// A page of another site opens no WebSocket as the visitor, however the proxy
// tells of one: over HTTP/2 there is no key, and proxies keep Upgrade to themselves.
func TestAuthzWebSocket(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	cookie := "Cookie: " + f.signIn("alice@example.com", "https://auth.example.com")
	const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
	for _, signs := range [][]string{
		{key, "Sec-WebSocket-Version: 13"}, {key}, {"Sec-WebSocket-Version: 13"}, {"Sec-WebSocket-Protocol: chat"}, {"Sec-WebSocket-Extensions: permessage-deflate"},
		{"Sec-Fetch-Mode: websocket"}, {"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: websocket"}, {"Upgrade: websocket"}, {"Upgrade: WebSocket", "Connection: Upgrade"},
	} {
		for name, proxy := range proxies {
			for origin, want := range map[string]int{"": 200, "Origin: https://wiki.example.com": 200, "Origin: https://evil.test": 403, "Origin: null": 403, "Origin: https://evil.test\nOrigin: https://wiki.example.com": 403} {
				client := append([]string{cookie}, signs...)
				if origin != "" {
					client = append(client, strings.Split(origin, "\n")...)
				}
				method, target, headers := proxy(client...)
				if w := asks(t, a, method, target, headers...); w.Code != want || (w.Header().Get("Remote-User") != "") != (want == 200) {
					t.Errorf("%s, %q, %q: %d, want %d", name, signs, origin, w.Code, want)
				}
			}
		}
		// Where everybody may, the page is nobody.
		for origin, user := range map[string]string{"https://x.apps.example.com": "alice@example.com", "https://evil.test": ""} {
			for _, method := range []string{"GET", "CONNECT"} {
				w := asks(t, a, "GET", "/api/authz/forward-auth", append([]string{cookie, "Origin: " + origin, "X-Forwarded-Proto: https", "X-Forwarded-Host: x.apps.example.com", "X-Forwarded-Uri: /public/a", "X-Forwarded-Method: " + method}, signs...)...)
				if w.Code != 200 || w.Header().Get("Remote-User") != user {
					t.Errorf("public, %s %q from %s: %d as %q", method, signs, origin, w.Code, w.Header().Get("Remote-User"))
				}
			}
		}
	}
}

// A proxy that passes a client's Upgrade on to us passes it on to the app: any
// but a WebSocket's, in one line, would be a tunnel that nobody looks into.
func TestAuthzRefusesOtherUpgrades(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	cookie := "Cookie: " + f.signIn("alice@example.com", "https://auth.example.com")
	handshake := []string{cookie, "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"}
	for name, proxy := range proxies {
		for _, lines := range [][]string{
			{"h2c"}, {"h2c", "websocket"}, {"websocket", "h2c"}, {"websocket", "websocket"}, {"h2c, websocket"}, {"websocket, h2c"}, {"websocket,websocket"},
			{"websocket/13"}, {"TLS/1.2"}, {""}, {"", "websocket"}, {"websocket", ""}, {"websocket\t, h2c"}, {`"websocket"`},
		} {
			client := slices.Clone(handshake)
			for _, line := range lines {
				client = append(client, "Upgrade: "+line)
			}
			method, target, headers := proxy(client...)
			if w := asks(t, a, method, target, headers...); w.Code != 400 && !(strict(name) && w.Code == 403) || w.Header().Get("Remote-User") != "" {
				t.Errorf("%s, %q: %d", name, lines, w.Code)
			}
		}
		for _, line := range []string{"websocket", "WebSocket"} {
			method, target, headers := proxy(append(handshake, "Upgrade: "+line)...)
			if w := asks(t, a, method, target, headers...); w.Code != 200 {
				t.Errorf("%s, %s: %d", name, line, w.Code)
			}
		}
	}
}

// Unknown paths are refused: a proxy reads any 200 as "allowed".
func TestAuthzUnknownPaths(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	cookie := "Cookie: " + f.signIn("alice@example.com", "https://auth.example.com")
	for _, path := range []string{"/", "/api/verify", "/api/authz", "/api/authz/", "/api/authz/forward-auth/", "/api/authz/forward-auth/x", "/API/authz/forward-auth", "/api/authz/auth-request/..", "/oauth2/auth/", "/oauth2", "/oauth2/callback", "/oauth2/userinfo", "/ping", "/metrics", "/_gatehouse"} {
		w := asks(t, a, "GET", path, cookie, "Host: wiki.example.com", "X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /", "X-Forwarded-Method: GET")
		if w.Code < 400 || w.Header().Get("Remote-User") != "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// Whatever a proxy says of host and path, an anonymous visitor passes only where
// the canonical form of both is public.
func FuzzAuthzPublic(f *testing.F) {
	fix := newFixture(f, sharedCookie)
	a := fix.authz()
	for _, seed := range []string{"/public/a", "/public/../admin", "/public/%2e%2e/", "//public/a", "/public/a?x", "/public/a#b", "/public/;/..", `/public/\..\x`, "/public/%00"} {
		f.Add("x.apps.example.com", seed)
	}
	f.Add("x.apps.example.com.", "/public/a")
	f.Add("X.APPS.EXAMPLE.COM:443", "/public/a")
	f.Add("wiki.example.com", "/public/a")
	f.Fuzz(func(t *testing.T, host, uri string) {
		w := asks(t, a, "GET", "/api/authz/forward-auth", "X-Forwarded-Proto: https", "X-Forwarded-Host: "+host, "X-Forwarded-Uri: "+uri, "X-Forwarded-Method: GET")
		if w.Code >= 300 {
			return
		}
		path, _, _ := strings.Cut(uri, "?")
		label, rest, _ := strings.Cut(strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(host), ":443"), "."), ".")
		if rest != "apps.example.com" || label == "" || !strings.HasPrefix(path, "/") || strings.Contains(path, "..") || strings.ContainsAny(path, ";\\#") || strings.Contains(path, "//") {
			t.Errorf("%q %q: %d", host, uri, w.Code)
		}
		if decoded, err := url.PathUnescape(path); err != nil || !strings.HasPrefix(decoded, "/public/") {
			t.Errorf("%q %q: %d", host, uri, w.Code)
		}
	})
}

// A controller that takes the host it asks about from another place than the one
// it routes by writes the latter into the address that it asks at.
func TestAuthzAskedAboutAnotherSite(t *testing.T) {
	f := newFixture(t, sharedCookie)
	a := f.authz()
	cookie := "Cookie: " + f.signIn("alice@example.com", "https://auth.example.com")
	for query, admits := range map[string]bool{
		"":                                       true,
		"?x=1":                                   false,
		"?SITE=wiki.example.com":                 false,
		"?sites=wiki.example.com":                false,
		"?site=wiki.example.com&Site=x":          false,
		"?allowed_groups=staff":                  false, // oauth2-proxy would ask for it
		"?authelia_url=https://auth.example.com": true,
		"?rd=https://auth.example.com&site=wiki.example.com": true,
		"?site=wiki.example.com":                             true,
		"?site=WIKI.example.com.":                            true,
		"?site=https://wiki.example.com":                     true,
		"?site=*.example.com":                                true,
		"?site=blog.example.com":                             false,
		"?site=http://wiki.example.com":                      false,
		"?site=wiki.example.com:8443":                        false,
		"?site=wiki.example.com&site=x.example.com":          false,
		"?site=":      false,
		"?site=$host": false,
		"?site=%zz":   false,
	} {
		for path, headers := range map[string][]string{
			"/api/authz/auth-request": {"X-Original-Method: GET", "X-Original-URL: https://wiki.example.com/page"},
			"/api/authz/forward-auth": {"X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /page"},
			"/oauth2/auth":            {"Host: wiki.example.com", "X-Forwarded-Uri: /page"},
		} {
			if w := asks(t, a, "GET", path+query, append(headers, cookie)...); (w.Code == 200) != admits || w.Code >= 500 {
				t.Errorf("%s%s: %d", path, query, w.Code)
			}
		}
	}
	w := asks(t, a, "GET", "/api/authz/forward-auth?sites=wiki.example.com", "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /page", cookie)
	if body := w.Body.String(); w.Code != 400 || !strings.Contains(body, "sites") || !strings.Contains(body, "site, authelia_url, rd") {
		t.Errorf("a misspelt pin: %d %s", w.Code, body)
	}
	// Caddy's forward_auth hands the visitor's query on, unless its uri has one.
	for query, admits := range map[string]bool{"?x=1&a;b=%zz": true, "?SITE=blog.example.com": true, "?site=blog.example.com": false} {
		for _, asked := range []string{query, "?x=2"} {
			want := 400
			if admits && asked == query {
				want = 200
			}
			if w := asks(t, a, "GET", "/api/authz/forward-auth"+query, "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /page"+asked, cookie); w.Code != want {
				t.Errorf("a visitor's %s, asked with %s: %d, want %d", asked, query, w.Code, want)
			}
		}
	}
	// Envoy's question has the query of the request itself.
	if w := asks(t, a, "GET", "/api/authz/ext-authz/page?site=blog.example.com", "Host: wiki.example.com", "X-Forwarded-Proto: https", cookie); w.Code != 200 {
		t.Errorf("a query of the visitor's: %d", w.Code)
	}
}
