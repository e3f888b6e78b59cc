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

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// topology is another proxy in front of the app, with Gatehouse beside it, from
// the files of examples/ as they stand: only ports are chosen here, and mail
// goes to the tests' server.
type topology struct {
	*server
	portal string // URL of the sign-in host, which stands behind the proxy, too
	direct string // address at which the proxy reaches it
	ports  *strings.Replacer
	proxy  string // address of the proxy
	config string // the example's Caddyfile, with what run adds to it
	admin  string // address of Caddy's admin endpoint, if it has one
}

// newTopology starts Gatehouse from examples/Caddyfile. more are files of
// examples/ with further sites for the same Caddy.
func newTopology(t testing.TB, more ...string) *topology {
	t.Helper()
	app := newUpstream(t)
	proxy, portal, authz := caddytest.FreePort(t), caddytest.FreePort(t), caddytest.FreePort(t)
	_, appPort, _ := net.SplitHostPort(app.addr)
	top := &topology{
		server: &server{TB: t, dir: t.TempDir(), port: proxy, url: "http://wiki.localhost:" + proxy, app: app},
		portal: "http://auth.localhost:" + proxy, direct: "127.0.0.1:" + portal, proxy: "127.0.0.1:" + proxy,
		ports: strings.NewReplacer("8080", proxy, "8081", portal, "9091", authz, "3000", appPort),
	}
	from := logs.size()
	top.config = top.example("Caddyfile")
	for _, name := range more {
		top.config += top.example(name)
	}
	top.run(top.config)
	t.Cleanup(func() {
		top.stop()
		if t.Failed() {
			t.Logf("the logs:\n%s", lastLines(logs.since(from), 40))
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
	exclude := ""
	if strings.Contains(caddyfile, "forward_auth") {
		// The Caddy in front, which writes every address it is asked for.
		exclude = "exclude http.handlers.reverse_proxy"
	}
	admin := "off"
	if top.admin != "" {
		admin = top.admin
	}
	globals := fmt.Sprintf(`admin %[5]s
	persist_config off
	grace_period 5s
	storage file_system %[1]s/caddy
	log {
		output e2e
		level DEBUG
		%[2]s
	}
	gatehouse {
		store badger %[1]s/store
		from "Example sign-in" <login@example.com>
		mail smtp %[3]s
		%[4]s`, top.dir, exclude, mails.Addr, limits, admin)
	text := strings.Replace(caddyfile, "gatehouse {\n\t\tmail log", globals, 1)
	text = strings.ReplaceAll(text, "\tbind 127.0.0.1\n", "\tbind 127.0.0.1\n\tlog\n")
	config, err := adapt(text)
	if err == nil {
		err = caddytest.Load(config)
	}
	if err != nil {
		top.Fatalf("loading the example: %v\n%s", err, text)
	}
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
	top.processIn(command...)
}

// processIn runs a proxy whose files are there.
func (top *topology) processIn(command ...string) {
	top.Helper()
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
		if _, ticket, ok := strings.Cut(path, "/_gatehouse/handover/"); ok {
			keepSecret("ticket", ticket)
		}
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
