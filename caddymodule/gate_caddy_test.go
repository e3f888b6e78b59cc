package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const loopback = "Accept-Encoding: identity"

// What any client may send, on the wire, reaches the app through Caddy's own
// parser and proxy without a claim that is not ours.
func TestSpoofedHeadersThroughCaddy(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("", "expected_underscore_headers remote_email x_auth_request_*\nexpected_dot_headers remote.user", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse *@example.com {
		public /public
	}
	reverse_proxy {app}
}`)
	cookie := c.session("alice@example.com")
	want := map[string][]string{"Remote-User": {"alice@example.com"}, "Remote-Email": {"alice@example.com"}}
	for _, path := range []string{"/", "/public"} {
		for _, name := range identityHeaders {
			lines := []string{"GET " + path + " HTTP/1.1", "Host: {host}", "Cookie: " + cookie, "Connection: close, " + name, "connection: " + strings.ToUpper(name)}
			for _, spelling := range spellings(name)[:11] {
				lines = append(lines, spelling+": root@evil.test", spelling+":")
			}
			got := readEcho(t, c.raw(append(lines, "", "")...))
			if diff := cmp.Diff(want, got.claims()); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", path, name, diff)
			}
			if got.Header.Get("Cookie") != "" {
				t.Errorf("the app saw %q", got.Header["Cookie"])
			}
		}
	}
	for _, method := range []string{"GET", "OPTIONS", "POST"} {
		got := readEcho(t, c.raw(method+" /public HTTP/1.1", "Host: {host}", "Remote-Email: root@evil.test", "remote_email: root@evil.test", "remote.user: root", "x_auth_request_user: root", "Connection: close", "Content-Length: 0", "", ""))
		if len(got.claims()) > 0 {
			t.Errorf("anonymous %s: %v", method, got.claims())
		}
	}
}

// Trailers come after the handler has begun; the proxy copies them at the end
// of the body.
func TestSpoofedTrailers(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.runGate("*@example.com", "public /public")
	cookie := c.session("alice@example.com")
	for _, path := range []string{"/", "/public"} {
		got := readEcho(t, c.raw("POST "+path+" HTTP/1.1", "Host: {host}", "Cookie: "+cookie, "Transfer-Encoding: chunked", "Trailer: X-Sum, Remote-Email",
			"Connection: close", "", "2", "hi", "0", "X-Sum: 1", "Remote-Email: root@evil.test", "remote_user: root", "Remote-Groups: admins", "X-Rewrite-Url: /admin",
			"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: http", "X-Real-Ip: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Http-Method-Override: DELETE", "Authorization: Bearer x", "", ""))
		if got.Body != "hi" || got.Trailer.Get("X-Sum") != "1" {
			t.Errorf("the rest must arrive whole: %+v", got)
		}
		if len(got.Trailer) != 1 || got.Header.Get("Remote-User") != "alice@example.com" {
			t.Errorf("%s: %v %v", path, got.Trailer, got.Header)
		}
	}
	r, err := http.NewRequest("POST", c.origin("app.example.com")+"/", io.MultiReader(strings.NewReader("hi")))
	must(t, err)
	r.Header.Set("Cookie", cookie)
	r.Trailer = http.Header{"X-Sum": {"1"}, "Remote-Email": {"root@evil.test"}, "X-Forwarded-User": {"root"}, "X-Forwarded-For": {"1.2.3.4"}, "X-Real-Ip": {"1.2.3.4"}}
	resp, err := c.client(true).Do(r)
	must(t, err)
	defer resp.Body.Close()
	if got := readEcho(t, resp); resp.ProtoMajor != 2 || len(got.Trailer) != 1 || got.Trailer.Get("X-Sum") != "1" {
		t.Errorf("HTTP/%d: %v", resp.ProtoMajor, got.Trailer)
	}
}

// On the connection behind a switch to h2c anything could be asked for, past
// every gate, so no path of the site switches.
func TestOnlyWebSocketsSwitchProtocols(t *testing.T) {
	c := newGatedCaddy(t, http.HandlerFunc(switchProtocols))
	c.run("", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse /admin/* *@example.com {
		public /admin/public
	}
	reverse_proxy {app}
}`)
	cookie := "Cookie: " + c.session("alice@example.com")
	for _, path := range []string{"/", "/admin/public", "/admin/x"} {
		for _, token := range []string{"h2c", "anything", "TLS/1.2", "websocket/13", "h2c, foo"} {
			resp := c.raw("GET "+path+" HTTP/1.1", "Host: {host}", cookie, "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+token, "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "", "")
			if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(body) != "plain, Upgrade: []" {
				t.Errorf("%s with %s: %s %s", path, token, resp.Status, body)
			}
		}
		w := c.dial()
		c.send(w, "GET "+path+" HTTP/1.1", "Host: {host}", cookie, "Connection: keep-alive, Upgrade", "Upgrade: h2c, websocket", "", "hello")
		resp, err := http.ReadResponse(w.r, nil)
		must(t, err)
		line, _ := textproto.NewReader(w.r).ReadLine()
		if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || line != "hello" {
			t.Errorf("%s: %s, echoed %q", path, resp.Status, line)
		}
	}
}

// switchProtocols switches to whatever it is asked for, and echoes.
func switchProtocols(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("Upgrade")
	if token == "" {
		fmt.Fprintf(w, "plain, Upgrade: %v", r.Header["Upgrade"])
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", token)
	_ = rw.Flush()
	_, _ = io.Copy(conn, rw)
}

// The path that Caddy parsed from the wire, the one that is judged and the one
// that the app gets must be the same.
func TestPathTricksThroughCaddy(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.runGate("*@example.com", "public /public /public/*")
	for target, want := range map[string][]int{
		"/public": {200}, "/public/a.png": {200}, "/public/a?/admin": {200},
		"/admin?x=/public/": {401}, "/admin#/public/x": {400, 401}, "/public/../admin": {401}, "/public/%2e%2e/admin": {401},
		"/public/..%2fadmin": {401}, "/public%2f..%2fadmin": {401}, "/public/%252e%252e/admin": {401}, "/public/..;/admin": {401},
		"//public": {401}, "/public//../admin": {401}, `/public\..\admin`: {400, 401}, "/public/..%5c..%5cadmin": {401},
		"/public/%00": {401}, "/public/%zz": {400}, "/public-secret": {401}, "*": {400, 401}, "https://app.example.com/admin": {401},
		"https://evil.test/public": {200, 400},
	} {
		resp := c.raw("GET "+target+" HTTP/1.1", "Host: {host}", "Connection: close", "", "")
		ok := false
		for _, status := range want {
			ok = ok || resp.StatusCode == status
		}
		if body, _ := io.ReadAll(resp.Body); !ok || target == "https://evil.test/public" && len(body) > 0 && resp.StatusCode == 200 {
			t.Errorf("%s: %s, want %v", target, resp.Status, want)
		}
	}
	if resp := c.raw("TRACE /public HTTP/1.1", "Host: {host}", "Connection: close", "", ""); resp.StatusCode != 405 {
		t.Errorf("TRACE: %s", resp.Status)
	}
	if resp := c.raw("GET /public HTTP/1.1", "Host: app.example.com:1", "Connection: close", "", ""); resp.StatusCode != 400 {
		t.Errorf("another port: %s", resp.Status)
	}
	if resp := c.raw("CONNECT /public HTTP/1.1", "Host: {host}", "Connection: close", "", ""); resp.StatusCode != 405 {
		t.Errorf("CONNECT: %s", resp.Status)
	}
}

// What an app may read as a guarded path is guarded, as it comes over the wire.
func TestSpellingsOfAGuardedPathThroughCaddy(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.runGate("/admin/* *@example.com")
	for target, guarded := range map[string]bool{
		"/admin": true, "/admin/": true, "/admin/x": true, "/admin?x": true, "/admin;x": true, "//admin": true, "/admin%2fx": true, "/%2fadmin": true, "/ADMIN": true, "/./admin": true,
		`/\admin`: true, "/%5cadmin": true, "/x/../admin": true, "/x/%2e%2e/admin": true, "/%2561dmin": true, "/index.php/admin": true, "/admin%00": true, "/admin.json": true, "/admin#x": true,
		"https://app.example.com/admin": true, "https://app.example.com//admin": true,
		"/": false, "/adminx": false, "/x?/admin": false, "/x/admin": false,
	} {
		resp := c.raw("GET "+target+" HTTP/1.1", "Host: {host}", "Connection: close", "", "")
		if body, _ := io.ReadAll(resp.Body); guarded != (resp.StatusCode == 401 || resp.StatusCode == 400) || guarded && strings.Contains(string(body), "GET") {
			t.Errorf("%s: %s", target, resp.Status)
		}
	}
}

// The app could otherwise sign its visitors in as somebody else.
func TestAppCannotSetOurCookies(t *testing.T) {
	lines := []string{
		"__Host-gatehouse=evil; Path=/; Secure", "__Secure-gatehouse=evil; Domain=example.com", "gatehouse=evil", " GATEHOUSE = evil", "=__Host-gatehouse=evil",
		"__host-gatehouse-flow=evil", "gatehouse-device=evil",
	}
	c := newGatedCaddy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Set-Cookie"] = append([]string{"early=1"}, lines...)
		h.Set("Trailer", "Set-Cookie, X-Sum")
		w.WriteHeader(http.StatusEarlyHints)
		h["Set-Cookie"] = append([]string{"app=1; Path=/"}, append(slices.Clip(lines), "gatehouse2=fine")...)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "body")
		h["Set-Cookie"] = append([]string{"late=1"}, lines...)
		h.Set("X-Sum", "1")
	}))
	c.run("", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse /admin/* *@example.com {
		public /admin/public
	}
	reverse_proxy {app}
}`)
	cookie := "Cookie: " + c.session("alice@example.com")
	for _, path := range []string{"/admin/x", "/admin/public", "/elsewhere"} {
		w := c.dial()
		c.send(w, "GET "+path+" HTTP/1.1", "Host: {host}", cookie, "Connection: close", "TE: trailers", "", "")
		answer, err := io.ReadAll(w.r)
		must(t, err)
		text := strings.ToLower(string(answer))
		for _, want := range []string{"103 early hints", "set-cookie: early=1", "set-cookie: app=1; path=/", "set-cookie: gatehouse2=fine", "set-cookie: late=1", "x-sum: 1"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", path, want, answer)
			}
		}
		if strings.Contains(text, "evil") {
			t.Errorf("%s: the app set a cookie of ours:\n%s", path, answer)
		}
	}
}

// Everybody sees themselves, whatever else goes on.
func TestNoCrossTalk(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.runGate("*@example.com", "public /public")
	var cookies []string
	for i := range 10 {
		cookies = append(cookies, c.session(fmt.Sprintf("user%d@example.com", i)))
	}
	requests := 1_000
	if os.Getenv("GATEHOUSE_PROVE") != "" {
		requests = 10_000
	}
	clients := []*http.Client{c.client(false), c.client(true)}
	var wg sync.WaitGroup
	for worker := range 20 {
		wg.Go(func() {
			for i := range requests / 20 {
				who, path := (worker+i)%11, [...]string{"/", "/public"}[i%2]
				headers := []string{"Remote-Email: root@evil.test", loopback}
				want := ""
				if who < 10 {
					headers = append(headers, "Cookie: "+cookies[who])
					want = fmt.Sprintf("user%d@example.com", who)
				} else {
					path = "/public"
				}
				if got, err := c.email(clients[i/2%2], path, headers); err != nil || got != want {
					t.Errorf("%q instead of %q, %v", got, want, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (c *gatedCaddy) email(client *http.Client, path string, headers []string) (string, error) {
	r, err := http.NewRequest("GET", c.origin("app.example.com")+path, nil)
	if err != nil {
		return "", err
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return readEcho(c, resp).Header.Get("Remote-Email"), nil
}
