package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The sign-in host behind the proxy that the sites stand behind, as the
// documentation says: what is written there is what runs here.

// newSignInHost starts Gatehouse with the block of globals that docs/page has,
// and the portal's name at the proxy.
func newSignInHost(t *testing.T, page string) (top *topology, text string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = strings.Cut(string(raw), "\n## The sign-in host behind the same ")
	top = newTopology(t)
	trust := regexp.MustCompile(`(?s)        (servers 127\.0\.0\.1:8081 \{.*?)\n    \}\n`).FindStringSubmatch(text)
	if trust == nil {
		t.Fatalf("%s has no block for the portal's server", page)
	}
	signIn := "http://auth.localhost:" + top.port
	config := strings.Replace(top.config, "\tservers ", "\t"+top.ports.Replace(trust[1])+"\n\tservers ", 1)
	top.run(strings.Replace(config, "login "+top.portal, "login "+signIn, 1))
	top.portal = signIn
	return top, text
}

// change writes a file of the example with parts of it replaced, each once.
func (top *topology) change(name string, parts ...string) {
	top.Helper()
	text := top.example(name)
	for i := 0; i < len(parts); i += 2 {
		from, to := top.ports.Replace(parts[i]), top.ports.Replace(parts[i+1])
		if strings.Count(text, from) != 1 {
			top.Fatalf("%s has %d times %q", name, strings.Count(text, from), from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	if err := os.WriteFile(filepath.Join(top.dir, filepath.Base(name)), []byte(text), 0o600); err != nil {
		top.Fatal(err)
	}
}

// signsIn: the form, its answers and the way back go through the proxy, which
// nobody has to ask about them.
func (top *topology) signsIn(t *testing.T) {
	t.Helper()
	alice := person("alice")
	top.signInAt(top.visitor(), "/page", alice).must(t, http.StatusOK).shows(t, alice, "/page")
	list := top.visitor().at(top.portal).get("/_gatehouse/login").must(t, http.StatusOK)
	list.shows(t, `name="email"`)
	top.raw("GET /", "blog.localhost:"+top.port).must(t, http.StatusMisdirectedRequest)
}

func TestNginxSignInHost(t *testing.T) {
	top, text := newSignInHost(t, "nginx.md")
	block := regexp.MustCompile(`(?s)    server \{\n        listen 443 ssl;.*?\n    \}\n`).FindString(text)
	if !strings.Contains(block, "proxy_set_header X-Forwarded-For") {
		t.Fatalf("docs/nginx.md has no such block:\n%s", text)
	}
	block = regexp.MustCompile(`        ssl_.*\n`).ReplaceAllString(block, "")
	block = strings.NewReplacer("443 ssl", "127.0.0.1:8080", "Host auth.example.com", "Host auth.localhost:8080", "auth.example.com", "auth.localhost").Replace(block)
	top.change("nginx/gatehouse.conf")
	top.change("nginx/gatehouse-headers.conf")
	top.change("nginx/nginx.conf", "    # Whatever names no site", block+"\n    # Whatever names no site")
	top.processIn("nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;")
	top.signsIn(t)
}

func TestHAProxySignInHost(t *testing.T) {
	top, text := newSignInHost(t, "haproxy.md")
	text = strings.NewReplacer("auth.example.com auth.example.com:443", "auth.localhost:8080", "str(auth.example.com)", "str(auth.localhost:8080)").Replace(text)
	part := func(from, until string) string {
		_, after, _ := strings.Cut(text, from)
		inner, _, ok := strings.Cut(after, until)
		if !ok {
			t.Fatalf("docs/haproxy.md has nothing from %q to %q:\n%s", from, until, text)
		}
		return from + inner + "\n"
	}
	ask := part("    http-request lua.gatehouse", "\n")
	top.change("haproxy/gatehouse.lua")
	top.change("haproxy/haproxy.cfg",
		"    http-request return status 421", part("    acl signin", "\n\n")+"    http-request return status 421",
		"    http-request lua.gatehouse http://127.0.0.1:9091/api/authz/forward-auth unless own\n", ask,
		"    use_backend gatehouse if own\n", part("    use_backend portal", "\n\n"),
		"backend gatehouse\n", strings.ReplaceAll(part("    backend portal", "\n\n"), "    backend", "backend")+"\nbackend gatehouse\n")
	top.processIn("haproxy", "-db", "-f", "haproxy.cfg")
	top.signsIn(t)
}
