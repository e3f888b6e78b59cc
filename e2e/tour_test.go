package e2e

import (
	"compress/gzip"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// tour is what every topology must do.
func (top *topology) tour(t *testing.T) {
	alice := person("alice")
	v := top.visitor()
	page := top.signInAt(v, "/page?x=1&y=%2F#z", alice)
	page.must(t, http.StatusOK).shows(t, alice, "/page?x=1&y=%2F")

	t.Run("identity", func(t *testing.T) { top.checkIdentity(t, v, alice) })
	t.Run("forged", func(t *testing.T) { top.checkForged(t) })
	t.Run("methods", func(t *testing.T) { top.checkMethods(t, v, alice) })
	t.Run("assets", func(t *testing.T) { top.checkAssets(t) })
	t.Run("websocket", func(t *testing.T) { top.checkWebSocket(t, v) })
	t.Run("upgrade", func(t *testing.T) { top.checkUpgrade(t, v) })
	t.Run("hop by hop", func(t *testing.T) { top.checkHopByHop(t, v, alice) })
	t.Run("fixed point", func(t *testing.T) { top.checkFixedPoint(t) })
	t.Run("long addresses", func(t *testing.T) { top.checkLong(t, v) })
	t.Run("paths", func(t *testing.T) { top.checkPaths(t) })
	t.Run("sign out", func(t *testing.T) { top.checkSignOut(t) })
	t.Run("refused", func(t *testing.T) { top.checkRefused(t, v) })
}

// claimed is what a client says of itself, in headers of every preset.
var claimed = []string{
	"Remote-User: root@evil.test", "remote-email: root@evil.test", "Remote_User: root@evil.test", "Remote-Groups: admins",
	"REMOTE-NAME: root", "Remote.User: root@evil.test",
	"X-Forwarded-User: root@evil.test", "x-forwarded-email: root@evil.test", "X-Forwarded-Groups: admins", "X-Forwarded-Preferred-Username: root",
	"X-Auth-Request-User: root@evil.test", "X-Auth-Request-Email: root@evil.test", "X-Auth-Request-Groups: admins", "X-Auth-Request-Preferred-Username: root",
	"Cf-Access-Authenticated-User-Email: root@evil.test", "Cf-Access-Jwt-Assertion: a.b.c", "X-Gatehouse-Assertion: a.b.c",
	"X_Forwarded_User: root@evil.test", "X.Forwarded.Email: root@evil.test", "X_Auth_Request_User: root@evil.test", "X.Auth.Request.User: root@evil.test",
	"Cf_Access_Jwt_Assertion: a.b.c", "Cf.Access.Authenticated.User.Email: root@evil.test", "X_Gatehouse_Assertion: a.b.c", "X.Gatehouse.Assertion: a.b.c",
}

// checkIdentity: the app sees who Gatehouse says it is, and nothing the client
// says.
func (top *topology) checkIdentity(t *testing.T, v *visitor, alice string) {
	for _, path := range []string{"/", "/public/x"} {
		s := top.raw("GET "+path, top.host(), append(claimed, v.cookies(), "Accept: application/json")...).must(t, http.StatusOK).seen(t)
		checkClaims(t, s, alice)
		s = top.raw("GET "+path, top.host(), append(routeClaims, v.cookies(), "Accept: application/json")...).must(t, http.StatusOK).seen(t)
		checkRoute(t, s, top.host())
	}
	s := top.raw("GET /public/x", top.host(), append(claimed, "Accept: application/json", "X-Gatehouse-Token: x")...).must(t, http.StatusOK).seen(t)
	checkClaims(t, s, "")
	if got := s.header("X-Gatehouse-Token"); len(got) > 0 {
		t.Errorf("the app sees a token: %q", got)
	}
}

// checkClaims: the app is told of the person with this address, or of nobody.
func checkClaims(t *testing.T, s seen, address string) {
	t.Helper()
	for _, line := range claimed {
		name, _, _ := strings.Cut(line, ": ")
		got := strings.Join(s.header(name), "|")
		want := ""
		if folded(name) == "remoteuser" || folded(name) == "remoteemail" {
			want = address
		}
		if got != want {
			t.Errorf("the app sees %s: %q, want %q", name, got, want)
		}
	}
}

// checkForged: no header that a client sends makes a protected page public, or
// another site's.
func (top *topology) checkForged(t *testing.T) {
	top.app.requests()
	for _, forged := range [][]string{
		{"X-Forwarded-Uri: /public/x"}, {"X-Original-URL: http://" + top.host() + "/public/x"}, {"X-Original-URI: /public/x"},
		{"X-Original-Uri: /public/x", "X-Original-Url: /public/x"}, {"X-Rewrite-URL: /public/x"}, {"X-Forwarded-Prefix: /public"},
		{"X-Forwarded-Method: OPTIONS"}, {"X-Original-Method: OPTIONS"}, {"X-HTTP-Method-Override: OPTIONS"},
		{"X-Forwarded-Host: evil.test"}, {"X-Forwarded-Host: evil.test", "X-Forwarded-Host: wiki.localhost"},
		{"X-Forwarded-Proto: https"}, {"X-Forwarded-Proto: javascript"}, {"X_Forwarded_Uri: /public/x"}, {"X.Forwarded.Uri: /public/x"},
		{"X-Forwarded-For: 127.0.0.1"}, {"Forwarded: for=127.0.0.1;host=evil.test;proto=https"},
		{"X-Forwarded-Uri: /public/x", "X-Forwarded-Uri: /public/y"},
		{"Cookie: gatehouse=x"}, {"Cookie: gatehouse=a.b.c"}, {"Cookie: gatehouse=" + strings.Repeat("A", 4000)},
		{"Authorization: Bearer ght_x"}, {"X-Gatehouse-Token: x"}, {"User-Agent: kube-probe/1.29"}, {"Connection: close, X-Forwarded-Uri"},
		{"Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
	} {
		got := top.raw("GET /secret", top.host(), append(forged, "Accept: application/json")...)
		if got.StatusCode < 300 || got.StatusCode >= 500 {
			t.Errorf("%q: %s", forged, got.Status)
		}
		if strings.Contains(got.Header.Get("Location"), "evil") {
			t.Errorf("%q leads to %s", forged, got.Header.Get("Location"))
		}
	}
	if reached := top.app.requests(); len(reached) > 0 {
		t.Errorf("%d requests reached the app, the first %+v", len(reached), reached[0])
	}
}

// checkMethods: a POST arrives whole, a script without a session gets a 401 that
// says where to sign in, and a form is led there without its body.
func (top *topology) checkMethods(t *testing.T, v *visitor, alice string) {
	body := strings.Repeat("a long body ", 250_000) // 3 MB
	s := v.do(http.MethodPost, "/save", strings.NewReader(body), "Accept", "application/json", "Content-Type", "text/plain").must(t, http.StatusOK).seen(t)
	if s.Method != http.MethodPost || s.Body != body || s.Header.Get("Remote-User") != alice {
		t.Errorf("the app got %s with %d bytes of %s", s.Method, len(s.Body), s.Header.Get("Remote-User"))
	}
	stranger := top.visitor()
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
		got := stranger.do(method, "/api", nil, scripts...).must(t, http.StatusUnauthorized)
		if challenge := strings.Join(got.Header.Values("WWW-Authenticate"), ", "); len(got.Header.Values("WWW-Authenticate")) != 1 || !strings.HasPrefix(challenge, `Gatehouse login_url="http://wiki.localhost:`) || got.Header.Get("Location") != "" {
			t.Errorf("%s: %q, Location %q", method, challenge, got.Header.Get("Location"))
		}
	}
	for _, asset := range []string{"manifest", "serviceworker", "image", "iframe"} {
		mode := "no-cors"
		if asset == "iframe" {
			mode = "navigate"
		}
		stranger.get("/asset", "Sec-Fetch-Mode", mode, "Sec-Fetch-Dest", asset).must(t, http.StatusUnauthorized)
	}
	for _, view := range [][]string{
		{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "empty"}, {"Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty"}, {"X-Requested-With", "com.example.app"},
	} {
		if got := stranger.get("/asset", append(view, "Accept", "text/html,*/*;q=0.8")...); got.StatusCode != http.StatusFound && got.StatusCode != http.StatusSeeOther {
			t.Errorf("a page view with %q gets %s", view, got.Status)
		}
	}
	stranger.get("/asset", "Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty", "Accept", "*/*").must(t, http.StatusUnauthorized)
	got := stranger.do(http.MethodPost, "/save?draft=1", strings.NewReader("x=1"), "Content-Type", "application/x-www-form-urlencoded")
	if got.StatusCode != http.StatusSeeOther || !strings.Contains(got.Header.Get("Location"), "return_to=%2Fsave") || strings.Contains(got.Header.Get("Location"), "draft") {
		t.Errorf("a form gets %s to %s", got.Status, got.Header.Get("Location"))
	}
}

// checkWebSocket: a handshake passes with a session, from a page of the site.
func (top *topology) checkWebSocket(t *testing.T, v *visitor) {
	handshake := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"}
	for _, c := range []struct {
		name   string
		header []string
		status string
	}{
		{"nobody", nil, "401"},
		{"another site's page", []string{v.cookies(), "Origin: https://evil.test"}, "403"},
		{"the site's page", []string{v.cookies(), "Origin: " + top.url}, "101"},
	} {
		w := top.wire()
		w.request("GET /socket", top.host(), append(append([]string{}, handshake...), c.header...)...)
		status, _ := readHeader(t, w.r)
		if !strings.Contains(status, " "+c.status) {
			t.Errorf("%s: %s, want %s", c.name, status, c.status)
		}
		if c.status == "101" {
			fmt.Fprint(w, "hello\n")
			if line, err := w.r.ReadString('\n'); line != "echo hello\n" {
				t.Errorf("the socket says %q, %v", line, err)
			}
			// Caddy's own handling of a WebSocket that ends while its
			// configuration is replaced is not free of races.
			w.finish()
		}
	}
}

// checkAssets: what a browser loads for a page is never led to the form, with
// or without fetch metadata. A manifest or service worker that is a sign-in page
// would stay with the browser.
func (top *topology) checkAssets(t *testing.T) {
	for _, client := range [][]string{
		{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: manifest"}, {"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker", "Service-Worker: script"},
		{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"}, {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"},
		{"Accept: */*"}, {"Accept: image/avif,image/webp,*/*"}, {"Accept: text/html", "X-Requested-With: XMLHttpRequest"}, {},
	} {
		for _, path := range []string{"/app.webmanifest", "/sw.js", "/favicon.ico"} {
			top.isChallenged(t, path, client)
		}
	}
	for _, client := range [][]string{{"Accept: text/html"}, {"Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, {"Accept: */*"}} {
		for _, path := range []string{"/.well-known/change-password", "/.well-known/assetlinks.json?x=1"} {
			top.isChallenged(t, path, client)
		}
	}
}

func (top *topology) isChallenged(t *testing.T, path string, client []string) {
	t.Helper()
	got := top.raw("GET "+path, top.host(), client...)
	if got.StatusCode != http.StatusUnauthorized || got.Header.Get("Location") != "" || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Gatehouse login_url=") {
		t.Errorf("%s %q: %s to %q, %q", path, client, got.Status, got.Header.Get("Location"), got.Header.Get("WWW-Authenticate"))
	}
}

// checkUpgrade: nothing but a WebSocket becomes a connection of its own: behind
// it the proxy would not see what is asked of the app.
func (top *topology) checkUpgrade(t *testing.T, v *visitor) {
	top.app.requests()
	for _, protocols := range [][]string{
		{"h2c"}, {"spdy/3.1"}, {"websocket, h2c"}, {"h2c, websocket"}, {"websocket,h2c"}, {"h2c", "websocket"}, {"websocket", "h2c"}, {"websocket", "websocket"},
		{"websocket/13"}, {"websocket/13", "websocket"}, {"WebSocket", "h2c"}, {"", "h2c"}, {"h2c", ""}, {"websocket", ""}, {`"websocket"`, "h2c"}, {"websocket\t, h2c"},
	} {
		for path, cookie := range map[string]string{"/public/socket": "A: b", "/socket": v.cookies()} {
			header := []string{"Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", cookie}
			for _, p := range protocols {
				header = append(header, "Upgrade: "+p)
			}
			w := top.wire()
			w.request("GET "+path, top.host(), header...)
			status, answered := readHeader(t, w.r)
			if strings.Contains(status, " 101") && answered.Get("Upgrade") != "websocket" {
				t.Errorf("%s, %q: %s to %q", path, protocols, status, answered["Upgrade"])
			}
			_ = w.Close()
			for _, s := range top.app.requests() {
				if got := s.Header["Upgrade"]; len(got) > 0 && !slices.Equal(got, []string{"websocket"}) || len(s.Header["Http2-Settings"]) > 0 {
					t.Errorf("%s, %q: the app is asked for %q with %q", path, protocols, got, s.Header["Http2-Settings"])
				}
			}
		}
	}
}

// checkHopByHop: what a client declares to be for one hop takes nothing away of
// what the app is told. Its own cookie it may lose, before anybody is asked.
func (top *topology) checkHopByHop(t *testing.T, v *visitor, alice string) {
	for _, named := range []string{"Remote-User, remote-email, X-Forwarded-Method, X-Original-Method", "Remote-User, Cookie"} {
		got := top.raw("GET /page", top.host(), v.cookies(), "Accept: application/json", "Connection: "+named)
		if strings.Contains(named, "Cookie") && got.StatusCode == http.StatusUnauthorized {
			continue
		}
		if user := got.must(t, http.StatusOK).seen(t).header("Remote-User"); len(user) != 1 || user[0] != alice {
			t.Errorf("%s: the app sees %q", named, user)
		}
	}
}

// checkFixedPoint: whatever a browser keeps or refuses, redirects end.
func (top *topology) checkFixedPoint(t *testing.T) {
	deaf := top.visitor()
	deaf.client.Jar = nil
	for _, start := range []string{top.url + "/page", top.portal + "/", top.portal + "/_gatehouse/login", top.url + "/_gatehouse/login?return_to=%2F_gatehouse%2Flogin",
		top.url + "/_gatehouse/logout", top.url + "/_gatehouse/account", top.url + "/_gatehouse/code", top.url + "/_gatehouse/handover/x", top.portal + "/_gatehouse/handover"} {
		for _, v := range []*visitor{top.visitor(), deaf} {
			if got, hops := v.follow(start); got.StatusCode >= 500 {
				t.Errorf("%s ends in %s: %v", start, got.Status, hops)
			}
		}
	}
	// Signed in at the portal, but the site's cookies are refused: the ticket
	// finds no mark, and a page says so.
	keeper := top.visitor()
	top.signInAt(keeper, "/", person("keeper"))
	half := keeper.at(top.portal)
	half.client = &http.Client{Transport: keeper.client.Transport, CheckRedirect: keeper.client.CheckRedirect, Jar: onlyHost{keeper.client.Jar, "auth.localhost"}}
	got, hops := half.follow(top.url + "/page")
	if got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, "cookies") {
		t.Errorf("without the site's cookies: %s after %v", got.Status, hops)
	}
}

// checkLong: an address of any length that the proxy takes leads to the form and
// back, and what is too long comes back shorter.
func (top *topology) checkLong(t *testing.T, v *visitor) {
	many := func(part string, bytes int) string { return "?" + strings.Repeat(part, bytes/len(part)) }
	for query, back := range map[string]bool{
		many("q=the+words&", 1000): true, many("q=the+words&", 1700): true,
		many("q=%C3%A9&", 2000): false, many("&", 2000): false, many("q=the+words&", 3000): false, many("q=the+words&", 5500): false,
	} {
		for _, client := range [][]string{{"Accept: text/html"}, {"Accept: */*"}, {"Accept: */*", "Sec-Fetch-Mode: cors", "Referer: " + top.url + "/page" + query}} {
			if got := top.raw("GET /page"+query, top.host(), client...); got.StatusCode/100 != 3 && got.StatusCode != http.StatusUnauthorized {
				t.Errorf("%.10s of %d bytes, %.20q: %s", query, len(query), client, got.Status)
			}
		}
		form, hops := top.visitor().follow("/page" + query)
		last := mustURL(hops[len(hops)-1].url)
		if form.StatusCode != http.StatusOK || !strings.HasPrefix(last.String(), top.portal+"/_gatehouse/login?") {
			t.Fatalf("%.10s of %d bytes ends in %s at %.100s", query, len(query), form.Status, last)
		}
		got := last.Query().Get("return_to")
		if want := top.url + "/page"; got != want+query && (back || got != want) {
			t.Errorf("%.10s of %d bytes leads back to %.100s", query, len(query), got)
		}
		v.get("/page"+query).must(t, http.StatusOK)
	}
}

// onlyHost is a browser that refuses the cookies of all other hosts.
type onlyHost struct {
	http.CookieJar
	host string
}

func (j onlyHost) SetCookies(u *url.URL, cookies []*http.Cookie) {
	if u.Hostname() == j.host {
		j.CookieJar.SetCookies(u, cookies)
	}
}

func (j onlyHost) Cookies(u *url.URL) []*http.Cookie {
	if u.Hostname() == j.host {
		return j.CookieJar.Cookies(u)
	}
	return nil
}

// checkPaths: no spelling of a path or host makes a protected page public.
func (top *topology) checkPaths(t *testing.T) {
	top.app.requests()
	for _, path := range []string{
		"/public/../secret", "/public/%2e%2e/secret", "/public/..%2fsecret", "/public%2f..%2fsecret", "/public/%252e%252e/secret", "/public/..;/secret",
		"/public/.%2e/secret", "/publicsecret", "/public", "//public/x", "/PUBLIC/x", "/secret?x=/public/", "/secret?/public/a", "/secret%23/public/x", "/secret#/public/x",
		"/public/%zz", "/public/%00", "/public/x%5c..%5csecret", `/public/x\..\secret`, "/public/%c0%af", "/secret%3f/public/", "/" + strings.Repeat("a", 7000),
		"http://wiki.localhost/secret", "/public/x;a=/../../secret",
	} {
		got := top.raw("GET "+path, top.host(), "Accept: application/json")
		if path == "//public/x" && got.StatusCode == http.StatusOK && got.seen(t).URI == "/public/x" {
			top.app.requests() // the proxy makes one slash of two, asks about that, and hands that on
			continue
		}
		if got.StatusCode < 300 || got.StatusCode >= 500 && got.StatusCode != http.StatusBadGateway {
			t.Errorf("%.40s: %s", path, got.Status)
		}
	}
	for _, host := range []string{"evil.test", "wiki.localhost.evil.test", "wiki.localhost@evil.test", "evil.localhost", "127.0.0.1", "[::1]", "xn--80ak6aa92e.localhost", "wiki.localhost:99999", ""} {
		if got := top.raw("GET /secret", host, "Accept: application/json"); got.StatusCode == http.StatusOK && strings.Contains(got.body, "/secret") {
			t.Errorf("host %q: %s", host, got.Status)
		}
	}
	for _, method := range []string{"TRACE", "FOO", "get", "PROPFIND"} {
		if got := top.raw(method+" /secret", top.host(), "Accept: application/json"); got.StatusCode == http.StatusOK {
			t.Errorf("method %s: %s", method, got.Status)
		}
	}
	if reached := top.app.requests(); len(reached) > 0 {
		t.Errorf("%d requests reached the app, the first %+v", len(reached), reached[0])
	}
	for _, host := range []string{"WIKI.localhost:" + top.port, "wiki.localhost.:" + top.port} {
		got := top.raw("GET /secret", host, "Accept: application/json")
		if got.StatusCode != http.StatusUnauthorized && got.StatusCode != http.StatusForbidden && got.StatusCode != http.StatusBadRequest && got.StatusCode != http.StatusNotFound && got.StatusCode != http.StatusMisdirectedRequest && !(got.StatusCode == http.StatusOK && got.body == "") {
			t.Errorf("host %q: %s", host, got.Status)
		}
	}
}

// checkSignOut: ending the portal's session ends the site's.
func (top *topology) checkSignOut(t *testing.T) {
	v := top.visitor()
	top.signInAt(v, "/", person("leaver"))
	v.app("/")
	v.at(top.portal).post("/_gatehouse/logout").must(t, http.StatusSeeOther)
	within(t, 2*time.Second, "the site's session ends", func() bool {
		return v.get("/", scripts...).StatusCode == http.StatusUnauthorized
	})
}

// checkRefused: who loses access gets a 403, within two seconds.
func (top *topology) checkRefused(t *testing.T, v *visitor) {
	top.run(strings.Replace(top.config, "*@example.com", "nobody@example.com", 1))
	within(t, 2*time.Second, "access ends", func() bool {
		return v.statusOfScript("/") == http.StatusForbidden
	})
	// A browser takes compressed pages, and shows none that it can't read.
	got, hops := v.follow("/page?x=1", "Accept-Encoding", "gzip, br", "Accept", "text/html")
	if got.StatusCode != http.StatusForbidden {
		t.Fatalf("a page view gets %s: %v", got.Status, hops)
	}
	page := got.text(t)
	ways := regexp.MustCompile(`<a href="([^"]*/_gatehouse/[^"]*)">`).FindAllStringSubmatch(page, -1)
	if !strings.Contains(page, "have access to <bdi>"+top.host()) || len(ways) != 3 {
		t.Fatalf("the page says where there is no access, and three ways out:\n%s", page)
	}
	for i, want := range []string{`name="email"`, "<h1>Your account</h1>", "<form"} { // another address, the account, signing out
		if way, hops := v.follow(html.UnescapeString(ways[i][1])); way.StatusCode != http.StatusOK || !strings.Contains(way.body, want) {
			t.Errorf("%s ends in %s: %v", ways[i][1], way.Status, hops)
		} else if last := hops[len(hops)-1].url; i == 0 && !strings.Contains(last, url.QueryEscape("/page?x=1")) {
			t.Errorf("another address does not come back to the page: %s", last)
		}
	}
	top.run(top.config)
}

// text is the body, uncompressed.
func (a *answer) text(t testing.TB) string {
	t.Helper()
	if a.Header.Get("Content-Encoding") != "gzip" {
		return a.body
	}
	r, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// statusOfScript is the status that a script gets, 0 for none: where the proxy
// itself is a Caddy that loads its configuration anew, a connection may end.
func (v *visitor) statusOfScript(path string) int {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), http.MethodGet, v.base+path, nil)
	if err != nil {
		v.Fatal(err)
	}
	for i := 0; i < len(scripts); i += 2 {
		r.Header.Set(scripts[i], scripts[i+1])
	}
	response, err := v.client.Do(r)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// scripts are the headers of a request that a page's script makes.
var scripts = []string{"Accept", "*/*", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}
