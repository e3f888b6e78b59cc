package history_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
	"github.com/gatehouse-auth/gatehouse/e2e/history"
)

// TestMain lets the test binary be a node, too: it has all of Caddy in it.
func TestMain(m *testing.M) {
	if os.Getenv("GATEHOUSE_TEST_NODE") != "" {
		caddycmd.Main()
		return
	}
	os.Exit(m.Run())
}

// cluster is three Gatehouses, each a process of its own, on one PostgreSQL and behind
// one HAProxy. Each reaches the servers of the database by wires of its own.
type cluster struct {
	testing.TB
	dir   string
	host  string // where browsers think they are
	dsn   string // of the database at the server that can be written to
	mail  *smtptest.Server
	nodes []*node
	proxy string // address

	servers []*pgtest.Server // of the database, where it has a replica
	primary int              // which can be written to
	stream  *wire            // from the replica to that one
}

type node struct {
	*cluster
	name, addr, admin string

	slow  atomic.Bool
	wires []*wire // one for each server
	sites int     // how many there are beside the first
	cmd   *exec.Cmd
	log   lines // of all its processes
}

// newCluster starts three nodes on the database at dsn, of which the servers after the
// first have copies.
func newCluster(t testing.TB, dsn string, servers ...string) *cluster {
	port := caddytest.FreePort(t)
	c := &cluster{TB: t, dir: t.TempDir(), host: "app.localhost:" + port, proxy: "127.0.0.1:" + port, dsn: dsn, mail: smtptest.Start(t, smtptest.Options{})}
	for _, name := range []string{"a", "b", "c"} {
		n := &node{cluster: c, name: name, addr: "127.0.0.1:" + caddytest.FreePort(t), admin: "127.0.0.1:" + caddytest.FreePort(t)}
		for _, server := range append([]string{hostOf(t, dsn)}, servers...) {
			n.wires = append(n.wires, newWire(t, server))
		}
		c.nodes = append(c.nodes, n)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.kill()
			if t.Failed() {
				t.Logf("node %s said:\n%s", n.name, lastLines(n.log.String(), 15))
			}
		}
	})
	for _, n := range c.nodes {
		n.start()
	}
	for _, n := range c.nodes {
		n.ready()
	}
	c.balance()
	return c
}

// config is that of testdata, with mail to the tests' server, no limit on so
// many people from one machine, and more sites.
func (n *node) config() string {
	n.Helper()
	text := strings.NewReplacer("admin off", "admin "+n.admin, "\t\tmail log\n", fmt.Sprintf(`		mail smtp %s {
			tls off
		}
		from "Example" <login@example.com>
		limits {
			per_recipient 1000000 1m
			per_client 1000000 1m
			global 1000000 1m
		}
`, n.mail.Addr), "grace_period 3s", "grace_period 1s\n\tstorage file_system "+filepath.Join(n.dir, n.name)).Replace(n.example("Caddyfile"))
	for i := range n.sites {
		text += fmt.Sprintf("\nhttp://%s:{$PORT} {\n\tgatehouse any\n\tgatehouse_whoami\n}\n", siteName(i))
	}
	return text
}

// siteName is one of the sites that come by and by.
func siteName(i int) string { return fmt.Sprintf("more%d.localhost", i) }

// database is the DSN of the node.
func (n *node) database() string {
	n.Helper()
	u, err := url.Parse(n.dsn)
	if err != nil {
		n.Fatal(err)
	}
	var hosts []string
	for _, w := range n.wires {
		hosts = append(hosts, w.addr)
	}
	u.Host = strings.Join(hosts, ",")
	return u.String() + "&target_session_attrs=read-write"
}

func (c *cluster) example(name string) string {
	c.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		c.Fatal(err)
	}
	return string(text)
}

// start runs the node, which may run already elsewhere.
func (n *node) start() {
	n.Helper()
	config := filepath.Join(n.dir, n.name+".caddyfile")
	if err := os.WriteFile(config, []byte(n.config()), 0o600); err != nil {
		n.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		n.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(n.addr)
	n.cmd = exec.Command(self, "run", "--config", config, "--adapter", "caddyfile")
	n.cmd.Env = append(os.Environ(), "GATEHOUSE_TEST_NODE=1", "XDG_DATA_HOME="+n.dir, "XDG_CONFIG_HOME="+n.dir,
		"GATEHOUSE_DATABASE="+n.database(), "GATEHOUSE_SECRET=0123456789abcdef0123456789abcdef", "PORT="+port)
	n.cmd.Stdout, n.cmd.Stderr = &n.log, &n.log
	// A test that is killed takes its nodes along.
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		n.Fatal(err)
	}
}

// kill ends the node as a power cut would.
func (n *node) kill() { n.end(syscall.SIGKILL) }

// stop ends it as an operator would.
func (n *node) stop() { n.end(syscall.SIGTERM) }

func (n *node) end(by syscall.Signal) {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(by)
	_ = n.cmd.Wait()
	n.cmd = nil
}

// signal stops the node where it is, or lets it go on.
func (n *node) signal(s syscall.Signal) {
	n.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.Fatal(err)
	}
}

// reload gives the node its configuration anew while it runs.
func (n *node) reload() {
	n.Helper()
	resp, err := http.Post("http://"+n.admin+"/load", "text/caddyfile", strings.NewReader(n.config()))
	if err != nil {
		n.Fatal(err)
	}
	defer resp.Body.Close()
	if says, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		n.Fatalf("node %s: %s\n%s", n.name, resp.Status, says)
	}
}

// get asks the node for a site's page and returns the status, 0 for no answer.
func (n *node) get(host, path string) int {
	n.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+n.addr+path, nil)
	if err != nil {
		n.Fatal(err)
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// ready waits until people can sign in at the node.
func (n *node) ready() {
	n.Helper()
	n.wait("node "+n.name+" gets ready", func() bool { return n.get("auth.localhost", "/_gatehouse/health") == http.StatusOK })
}

// wait waits for something to come true, and fails when it does not in good time.
func (c *cluster) wait(what string, is func() bool) {
	c.Helper()
	for deadline := time.Now().Add(time.Duration(ifProving(10, 2)) * time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("it did not come true that %s", what)
		}
	}
}

// balance puts HAProxy in front of the nodes.
func (c *cluster) balance() {
	c.Helper()
	config := strings.NewReplacer("127.0.0.1:8080", c.proxy, "balance roundrobin", "balance roundrobin\n    http-response set-header X-Node %s").Replace(c.example("haproxy.cfg"))
	for i, n := range c.nodes {
		config = strings.Replace(config, fmt.Sprintf("127.0.0.1:800%d", i+1), n.addr, 1)
	}
	path := filepath.Join(c.dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		c.Fatal(err)
	}
	program, err := exec.LookPath("haproxy")
	if err != nil {
		program = "/usr/sbin/haproxy"
	}
	var out bytes.Buffer
	cmd := exec.Command(program, "-db", "-f", path)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.Fatalf("starting HAProxy, which this test needs (.ci/tools installs it): %v", err)
	}
	c.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if c.Failed() {
			c.Logf("HAProxy said:\n%s", out.String())
		}
	})
	c.wait("HAProxy listens", func() bool {
		resp, err := client.Get("http://" + c.proxy + "/_gatehouse/jwks.json")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
}

// client follows nothing and keeps nothing.
var client = &http.Client{
	Timeout:       5 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 20, IdleConnTimeout: 5 * time.Second},
}

// browser is one person's, with its cookies.
type browser struct {
	c       *cluster
	mu      sync.Mutex
	cookies map[string]string
}

func (c *cluster) browser() *browser { return &browser{c: c, cookies: map[string]string{}} }

// reply is what a browser got; status is 0 where there was no answer.
type reply struct {
	history.Span
	status   int
	signedIn bool
}

// ask sends a request to a node, or to HAProxy, which tells whose answer it is; a form
// is posted. With keep the cookies of the answer are the browser's.
func (b *browser) ask(at *node, path string, form url.Values, keep bool) (r reply) {
	addr := b.c.proxy
	if r.Node = "HAProxy"; at != nil {
		addr, r.Node = at.addr, at.name
	}
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, "http://"+addr+path, body)
	if err != nil {
		b.c.Error(err)
		return r
	}
	r.Start = time.Now()
	defer func() { r.End = time.Now() }()
	req.Host = b.c.host
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	req.Header.Set("Sec-Fetch-Dest", "document")
	b.mu.Lock()
	for name, value := range b.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	b.mu.Unlock()
	resp, err := client.Do(req)
	if err != nil {
		return r
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if r.status = resp.StatusCode; at == nil && resp.Header.Get("X-Node") != "" {
		r.Node = resp.Header.Get("X-Node")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cookie := range resp.Cookies() {
		r.signedIn = r.signedIn || cookie.Name == "gatehouse" && cookie.MaxAge >= 0 && cookie.Value != ""
		if keep && cookie.MaxAge >= 0 {
			b.cookies[cookie.Name] = cookie.Value
		}
	}
	return r
}

// has tells whether the browser has the cookie of a session.
func (b *browser) has() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cookies["gatehouse"] != ""
}

// lines is what processes say.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
