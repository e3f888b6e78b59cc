package caddymodule

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
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
	var seen gate.Claim
	if seen = gate.ClaimOf("X-Gatehouse-Include"); seen != gate.IdentityClaim {
		t.Errorf("the name of an include is not ours: %v", seen)
	}
}
