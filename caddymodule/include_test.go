package caddymodule

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

// A page that Caddy's templates put together asks for its parts with a request of
// its own, which comes from nowhere: it is the visitor's who asked for the page.
func TestIncludedPagesAreTheVisitors(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) { must(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600)) }
	write("page.html", `page of {{placeholder "http.auth.user.email"}}: {{httpInclude "/part.html"}}`)
	write("part.html", `part of {{placeholder "http.auth.user.email"}}, {{.Req.Header.Get "Remote-User"}}, {{httpInclude "/deep.html"}}`)
	write("deep.html", `deep of {{.Req.Header.Get "Remote-User"}}`)
	write("guarded.html", `guarded: {{httpInclude "/admin/part.html"}}`)
	must(t, os.Mkdir(filepath.Join(root, "admin"), 0o700))
	write("admin/part.html", `admin part of {{.Req.Header.Get "Remote-User"}}`)
	write("sent.html", `sent to the app: {{httpInclude "/app"}}`)
	write("pages.html", `account: {{httpInclude "/_gatehouse/session"}}`)
	c := newGatedCaddy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			if strings.Contains(strings.ToLower(name+strings.Join(values, " ")), "include") && name != "Caddy-Templates-Include" {
				_, _ = w.Write([]byte(name + "=" + strings.Join(values, ",") + " "))
			}
		}
		_, _ = w.Write([]byte("app for " + r.Header.Get("Remote-User")))
	}))
	site := func(gates string) {
		c.run("", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	root * `+root+`
`+gates+`
	templates
	reverse_proxy /app {app}
	file_server
}`)
	}
	get := func(path string, headers ...string) string {
		t.Helper()
		resp := c.raw(append([]string{"GET " + path + " HTTP/1.1", "Host: {host}", "Connection: close"}, append(headers, "", "")...)...)
		body := make([]byte, 4096)
		n, _ := resp.Body.Read(body)
		return string(body[:n])
	}
	site("\tgatehouse *@example.com {\n\t\tclient_ip 127.0.0.0/8\n\t}")
	cookie := "Cookie: " + c.session("alice@example.com")
	if got := get("/page.html", cookie); got != "page of alice@example.com: part of alice@example.com, alice@example.com, deep of alice@example.com" {
		t.Errorf("the page: %q", got)
	}
	if got := get("/sent.html", cookie); got != "sent to the app: app for alice@example.com" {
		t.Errorf("what the app got: %q", got)
	}
	if got := get("/app", cookie); got != "app for alice@example.com" {
		t.Errorf("what the app got: %q", got)
	}
	if got := get("/pages.html", cookie); strings.Contains(got, "alice") {
		t.Errorf("a page of ours within a page: %q", got)
	}
	for _, forged := range []string{"X-Gatehouse-Include: " + strings.Repeat("A", 26), "X_Gatehouse_Include: x", "Connection: X-Gatehouse-Include"} {
		if got := get("/page.html", forged); strings.Contains(got, "alice") {
			t.Errorf("%s: %q", forged, got)
		}
	}

	site("\tgatehouse /admin *@example.com") // the page is not guarded, its part is
	if got := get("/guarded.html", cookie); got != "guarded: admin part of alice@example.com" {
		t.Errorf("a guarded part: %q", got)
	}
	if got := get("/guarded.html"); strings.Contains(got, "admin part") {
		t.Errorf("a guarded part for nobody: %q", got)
	}

	site("\tgatehouse *@example.com {\n\t\tclient_ip 203.0.113.0/24\n\t}\n\thandle_errors {\n\t\tgatehouse_clean\n\t\trespond \"none\"\n\t}")
	if got := get("/page.html", cookie); strings.Contains(got, "part") {
		t.Errorf("a client from elsewhere: %q", got)
	}
}

// A request without an address on this side was made by a handler: its peer is
// nobody, whatever it says.
func TestARequestFromNowhereIsTrustedWithNothing(t *testing.T) {
	f := newFixture(t)
	made := func(change func(*Gate), headers ...string) int {
		w := newRecorder()
		h := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			table := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
			table[caddyhttp.ClientIPVarKey], table[caddyhttp.TrustedProxyVarKey] = "127.0.0.1", true
			return f.gate(change).ServeHTTP(w, r, &recordingApp{})
		})
		nowhere(h).ServeHTTP(w, request("GET", testSite+"/", append(headers, "Cookie: "+f.signIn("alice@example.com", testSite))...))
		return w.Code
	}
	if got := made(func(g *Gate) { g.ClientIP = []string{"127.0.0.0/8", "0.0.0.0/0", "::/0"} }); got != 403 {
		t.Errorf("client_ip: %d", got)
	}
	if got := made(nil, "X-Forwarded-Proto: http"); got != 200 {
		t.Errorf("a scheme that a proxy would be believed: %d", got)
	}
	f.app.house.Includes = true
	var seen header.Claim
	if seen = header.ClaimOf("X-Gatehouse-Include"); seen != header.IdentityClaim {
		t.Errorf("the name of an include is not ours: %v", seen)
	}
}

// A part that the visitor may not see is empty, and the page stands; asked for by
// itself it is refused as ever.
func TestAPartThatIsRefusedIsEmpty(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) { must(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600)) }
	must(t, os.Mkdir(filepath.Join(root, "team"), 0o700))
	write("index.html", `start [{{httpInclude "/team/part.html"}}] end`)
	write("pages.html", `start [{{httpInclude "/_gatehouse/session"}}{{httpInclude "/_gatehouse/login"}}] end`)
	write("team/part.html", "secret")
	c := newGatedCaddy(t, nil)
	site := func(gates string) {
		c.run("token backup {\n\t\t\tsecret "+backupSecret+"\n\t\t\tsite app.example.com:{port}\n\t\t\tpath /\n\t\t}", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	root * `+root+`
`+gates+`
	templates
	file_server
}`)
	}
	get := func(path string, headers ...string) (int, string) {
		t.Helper()
		resp := c.raw(append([]string{"GET " + path + " HTTP/1.1", "Host: {host}", "Connection: close"}, append(headers, "", "")...)...)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(body)
	}
	want := func(who, path, want string, headers ...string) {
		t.Helper()
		if status, body := get(path, headers...); status != 200 || body != want {
			t.Errorf("%s: %d %q, not %q", who, status, body, want)
		}
	}
	site("\tgatehouse *@example.com\n\tgatehouse /team staff@example.com")
	bob, staff := "Cookie: "+c.session("bob@example.com"), "Cookie: "+c.session("staff@example.com")
	want("who may not see the part", "/", "start [] end", bob)
	want("who may not see the part, as a script", "/", "start [] end", bob, "Sec-Fetch-Mode: cors")
	want("who may see the part", "/", "start [secret] end", staff)
	want("a program for the page alone", "/", "start [] end", "Authorization: Bearer "+backupSecret)
	want("pages of ours", "/pages.html", "start [] end", staff)
	if status, body := get("/team/part.html", bob); status != 403 || strings.Contains(body, "secret") {
		t.Errorf("the part by itself: %d %q", status, body)
	}
	if status, _ := get("/team/part.html", bob, "X-Gatehouse-Include: "+strings.Repeat("A", 26), "Connection: X-Gatehouse-Include"); status != 403 {
		t.Errorf("the part by itself, as if it were included: %d", status)
	}

	site("\tgatehouse /team staff@example.com")
	for name, accept := range map[string]string{"a browser": "text/html", "a preview of links": "*/*", "a program": ""} {
		want(name+" without a session", "/", "start [] end", "Accept: "+accept)
	}
	want("a script without a session", "/", "start [] end", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
	for method, status := range map[string]int{"text/html": 302, "*/*": 401} {
		if got, _ := get("/team/part.html", "Accept: "+method); got != status {
			t.Errorf("the part by itself, accepting %s: %d", method, got)
		}
	}
}

// What stands behind the gate is told of an included part what it is told of the page.
func TestIncludesTellTheAppWhoAsks(t *testing.T) {
	root := t.TempDir()
	must(t, os.WriteFile(filepath.Join(root, "page.html"), []byte(`{{httpInclude "/app"}}`), 0o600))
	c := newGatedCaddy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		fmt.Fprintf(w, "%s|%s|%s", h["X-Forwarded-For"], h["X-Forwarded-Host"], h["X-Forwarded-Proto"])
	}))
	get := func(from, path string, headers ...string) string {
		t.Helper()
		dialer := tls.Dialer{
			NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}},
			Config:    &tls.Config{InsecureSkipVerify: true, ServerName: "app.example.com"}, //nolint:gosec // the test's own certificate
		}
		conn, err := dialer.DialContext(t.Context(), "tcp", c.addr)
		must(t, err)
		defer conn.Close()
		r := request("GET", "https://app.example.com:"+c.port()+path, headers...)
		must(t, r.Write(conn))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		return string(body)
	}
	for _, servers := range []string{"", "trusted_proxies static 127.0.0.1/32\n\t\ttrusted_proxies_strict", "trusted_proxies static 127.0.0.9/32"} {
		for _, gates := range []string{"\tgatehouse *@example.com", "\tgatehouse /page.html *@example.com\n\tgatehouse_clean"} {
			c.run("", servers, `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	root * `+root+`
`+gates+`
	templates
	reverse_proxy /app {app}
	file_server
}`)
			cookie := "Cookie: " + c.session("alice@example.com")
			said := []string{cookie, "X-Forwarded-For: 10.9.0.1", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https"}
			for _, from := range []string{"127.0.0.1", "127.0.0.5", "127.0.0.9"} {
				for name, headers := range map[string][]string{"nothing": {cookie}, "much": said} {
					direct, included := get(from, "/app", headers...), get(from, "/page.html", headers...)
					if included != direct || !strings.Contains(direct, from) {
						t.Errorf("%q, %q: of a client at %s who says %s the app is told %q, in an include %q", servers, gates, from, name, direct, included)
					}
				}
			}
		}
	}
}

// A session counts in an include where it would count in a request of its own: the
// Host that a handler has put there may be another site's.
func TestIncludesOfAnotherSite(t *testing.T) {
	root := t.TempDir()
	must(t, os.WriteFile(filepath.Join(root, "page.html"), []byte(`page [{{httpInclude "/part.html"}}]`), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "part.html"), []byte(`{{placeholder "http.auth.user.email"}}`), 0o600))
	c := newGatedCaddy(t, nil)
	c.run("", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	root * `+root+`
	gatehouse *@example.com
	templates
	file_server
}
https://evil.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	root * `+root+`
	gatehouse any
	request_header Host app.example.com:{port}
	templates
	file_server
}`)
	get := func(host, cookie string) string {
		t.Helper()
		resp := c.raw("GET /page.html HTTP/1.1", "Host: "+host+":"+c.port(), "Connection: close", "Cookie: "+cookie, "", "")
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		return string(body)
	}
	there := "__Host-gatehouse=" + c.signInAt("alice@example.com", "evil.example.com").Token
	if got := get("evil.example.com", there); got != "page []" {
		t.Errorf("the part of another site: %q", got)
	}
	if got := get("app.example.com", c.session("alice@example.com")); got != "page [alice@example.com]" {
		t.Errorf("the part of the same site: %q", got)
	}
}
