package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// topology is another proxy in front of the app, with Gatehouse beside it, from
// the files of examples/ as they stand: only ports are chosen here, and mail
// goes to the tests' server.
type topology struct {
	*server
	portal string // URL of the sign-in host
	ports  *strings.Replacer
	proxy  string // address of the proxy
	config string // the example's Caddyfile, with what run adds to it
}

// newTopology starts Gatehouse from examples/Caddyfile. more are files of
// examples/ with further sites for the same Caddy.
func newTopology(t testing.TB, more ...string) *topology {
	t.Helper()
	app := newUpstream(t)
	proxy, portal, authz := freePort(t), freePort(t), freePort(t)
	_, appPort, _ := net.SplitHostPort(app.addr)
	top := &topology{
		server: &server{TB: t, dir: t.TempDir(), port: proxy, url: "http://wiki.localhost:" + proxy, app: app},
		portal: "http://auth.localhost:" + portal, proxy: "127.0.0.1:" + proxy,
		ports: strings.NewReplacer("8080", proxy, "8081", portal, "9091", authz, "3000", appPort),
	}
	from := len(logs.String())
	top.config = top.example("Caddyfile")
	for _, name := range more {
		top.config += top.example(name)
	}
	top.run(top.config)
	t.Cleanup(func() {
		top.stop()
		if t.Failed() {
			t.Logf("the logs:\n%s", lastLines(logs.String()[from:], 40))
		}
	})
	return top
}

// example reads a file of examples/ with this topology's ports.
func (top *topology) example(name string) string {
	top.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", name))
	if err != nil {
		top.Fatal(err)
	}
	return top.ports.Replace(string(text))
}

// run loads a Caddyfile, with the store, the logs and the mail server of the
// tests.
func (top *topology) run(caddyfile string) {
	top.Helper()
	globals := fmt.Sprintf(`admin off
	persist_config off
	grace_period 5s
	storage file_system %s/caddy
	log {
		output e2e
		level DEBUG
	}
	gatehouse {
		store badger %[1]s/store
		from "Example sign-in" <login@example.com>
		mail smtp %s
		%s`, top.dir, mails.Addr, limits)
	text := strings.Replace(caddyfile, "gatehouse {\n\t\tmail log", globals, 1)
	config, err := adapt(text)
	if err == nil {
		err = caddy.Load(config, true)
	}
	if err != nil {
		top.Fatalf("loading the example: %v\n%s", err, text)
	}
}

// process runs a proxy until the end of the test. Its files are those of
// examples/dir.
func (top *topology) process(dir string, command ...string) {
	top.Helper()
	files, err := os.ReadDir(filepath.Join("..", "examples", dir))
	if err != nil {
		top.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(top.dir, f.Name()), []byte(top.example(filepath.Join(dir, f.Name()))), 0o600); err != nil {
			top.Fatal(err)
		}
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		path = "/usr/sbin/" + command[0]
	}
	var output bytes.Buffer
	cmd := exec.Command(path, command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = top.dir, &output, &output
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		top.Fatalf("starting %s, which this test needs: %v", command[0], err)
	}
	top.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // which nginx passes on to its workers
		_ = cmd.Wait()
		if top.Failed() {
			top.Logf("%s said:\n%s", command[0], output.String())
		}
	})
	top.listening(top.proxy)
}

func (top *topology) listening(addr string) {
	top.Helper()
	within(top, patience, addr+" listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// at is the same browser at another site.
func (v *visitor) at(base string) *visitor {
	there := *v
	there.base = base
	return &there
}

// hop is one step of a browser that follows redirects.
type hop struct {
	status int
	url    string
}

// follow views a page as a browser does, until nothing leads on. That it does
// so within a few steps is a part of the promise.
func (v *visitor) follow(path string, headers ...string) (*answer, []hop) {
	v.Helper()
	if !strings.Contains(path, "://") {
		path = v.base + path
	}
	var hops []hop
	for range 10 {
		got := v.get(path, headers...)
		hops = append(hops, hop{got.StatusCode, path})
		to := got.Header.Get("Location")
		if got.StatusCode < 300 || got.StatusCode > 399 || to == "" {
			return got, hops
		}
		here, _ := url.Parse(path)
		next, err := here.Parse(to)
		if err != nil {
			v.Fatalf("%s leads to %q: %v", path, to, err)
		}
		path = next.String()
	}
	v.Fatalf("redirects without an end: %v", hops)
	return nil, nil
}

// signInAt comes to a page of the site, is sent to the portal, signs in there
// with the code, and is back at the page.
func (top *topology) signInAt(v *visitor, path, address string) *answer {
	top.Helper()
	form, hops := v.follow(path)
	form.must(top, http.StatusOK).shows(top, `name="email"`)
	at := v.at(top.portal)
	if !strings.HasPrefix(hops[len(hops)-1].url, top.portal+"/_gatehouse/login?") {
		top.Fatalf("the form is not the portal's: %v", hops)
	}
	to := mustURL(hops[len(hops)-1].url).Query().Get("return_to")
	at.post("/_gatehouse/login", "email", address, "return_to", to).must(top, http.StatusSeeOther)
	done := at.post("/_gatehouse/code", "code", mails.NextTo(top, address).Code(top)).must(top, http.StatusSeeOther)
	back, _ := v.follow(done.Header.Get("Location"))
	return back
}

// raw sends a request as it stands to the proxy and returns the answer.
func (top *topology) raw(line, host string, header ...string) *answer {
	top.Helper()
	w := top.wire()
	w.request(line, host, append(header, "Connection: close")...)
	return w.answer()
}

func (top *topology) host() string { return "wiki.localhost:" + top.port }

// cookies are the headers of a browser at the site.
func (v *visitor) cookies() string {
	u, _ := url.Parse(v.base)
	var all []string
	for _, c := range v.client.Jar.Cookies(u) {
		all = append(all, c.Name+"="+c.Value)
	}
	return "Cookie: " + strings.Join(all, "; ")
}

// tour is what every topology must do.
func (top *topology) tour(t *testing.T) {
	alice := person("alice")
	v := top.visitor()
	page := top.signInAt(v, "/page?x=1&y=%2F#z", alice)
	page.must(t, http.StatusOK).shows(t, alice, "/page?x=1&y=%2F")

	t.Run("identity", func(t *testing.T) { top.checkIdentity(t, v, alice) })
	t.Run("forged", func(t *testing.T) { top.checkForged(t) })
	t.Run("methods", func(t *testing.T) { top.checkMethods(t, v, alice) })
	t.Run("websocket", func(t *testing.T) { top.checkWebSocket(t, v) })
	t.Run("fixed point", func(t *testing.T) { top.checkFixedPoint(t) })
	t.Run("paths", func(t *testing.T) { top.checkPaths(t) })
	t.Run("sign out", func(t *testing.T) { top.checkSignOut(t) })
	t.Run("refused", func(t *testing.T) { top.checkRefused(t, v) })
}

var claimed = []string{
	"Remote-User: root@evil.test", "remote-email: root@evil.test", "Remote_User: root@evil.test", "Remote-Groups: admins",
	"REMOTE-NAME: root", "Remote.User: root@evil.test",
}

// checkIdentity: the app sees who Gatehouse says it is, and nothing the client
// says.
func (top *topology) checkIdentity(t *testing.T, v *visitor, alice string) {
	for _, path := range []string{"/", "/public/x"} {
		s := top.raw("GET "+path, top.host(), append(claimed, v.cookies(), "Accept: application/json")...).must(t, http.StatusOK).seen(t)
		for _, name := range []string{"Remote-User", "Remote-Email"} {
			if got := s.header(name); len(got) != 1 || got[0] != alice {
				t.Errorf("%s: the app sees %s %q", path, name, got)
			}
		}
		for _, name := range []string{"Remote-Groups", "Remote-Name"} {
			if got := s.header(name); len(got) > 0 && got[0] != "" {
				t.Errorf("%s: the app sees %s %q", path, name, got)
			}
		}
	}
	s := top.raw("GET /public/x", top.host(), append(claimed, "Accept: application/json", "X-Gatehouse-Token: x")...).must(t, http.StatusOK).seen(t)
	for _, name := range []string{"Remote-User", "Remote-Email", "Remote-Groups", "Remote-Name", "X-Gatehouse-Token"} {
		if got := s.header(name); len(got) > 0 && got[0] != "" {
			t.Errorf("nobody is signed in, and the app sees %s %q", name, got)
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
	body := strings.Repeat("a long body ", 10_000)
	s := v.do(http.MethodPost, "/save", strings.NewReader(body), "Accept", "application/json", "Content-Type", "text/plain").must(t, http.StatusOK).seen(t)
	if s.Method != http.MethodPost || s.Body != body || s.Header.Get("Remote-User") != alice {
		t.Errorf("the app got %s with %d bytes of %s", s.Method, len(s.Body), s.Header.Get("Remote-User"))
	}
	stranger := top.visitor()
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
		got := stranger.do(method, "/api", nil, scripts...).must(t, http.StatusUnauthorized)
		if challenge := got.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, `Gatehouse login_url="http://wiki.localhost:`) || got.Header.Get("Location") != "" {
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
		if got.StatusCode != http.StatusUnauthorized && got.StatusCode != http.StatusForbidden && got.StatusCode != http.StatusBadRequest && got.StatusCode != http.StatusNotFound && !(got.StatusCode == http.StatusOK && got.body == "") {
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
		return v.get("/", scripts...).StatusCode == http.StatusForbidden
	})
	if got := v.get("/"); got.StatusCode != http.StatusForbidden {
		t.Errorf("a page view gets %s", got.Status)
	}
	top.run(top.config)
}

// scripts are the headers of a request that a page's script makes.
var scripts = []string{"Accept", "*/*", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}
