package history_test

import (
	"bytes"
	"context"
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
	"syscall"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
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
// one HAProxy.
type cluster struct {
	testing.TB
	dir   string
	host  string // where browsers think they are
	dsn   string
	mail  *smtptest.Server
	nodes []*node
	proxy string // address
}

type node struct {
	*cluster
	name, addr string

	mu  sync.Mutex
	cmd *exec.Cmd
	log bytes.Buffer // of all its processes
}

func newCluster(t testing.TB, dsn string) *cluster {
	port := freePort(t)
	c := &cluster{TB: t, dir: t.TempDir(), host: "app.localhost:" + port, proxy: "127.0.0.1:" + port, dsn: dsn, mail: smtptest.Start(t, smtptest.Options{})}
	for _, name := range []string{"a", "b", "c"} {
		c.nodes = append(c.nodes, &node{cluster: c, name: name, addr: "127.0.0.1:" + freePort(t)})
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

// config is that of examples/cluster, with mail to the tests' server and no limit on so
// many people from one machine.
func (n *node) config() string {
	n.Helper()
	return strings.NewReplacer("\t\tmail log\n", fmt.Sprintf(`		mail smtp %s {
			tls off
		}
		from "Example" <login@example.com>
		limits {
			per_client 1000000 1m
			global 1000000 1m
		}
`, n.mail.Addr), "grace_period 3s", "grace_period 1s\n\tstorage file_system "+filepath.Join(n.dir, n.name)).Replace(n.example("Caddyfile"))
}

func (c *cluster) example(name string) string {
	c.Helper()
	text, err := os.ReadFile(filepath.Join("../../examples/cluster", name))
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
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cmd = exec.Command(self, "run", "--config", config, "--adapter", "caddyfile")
	n.cmd.Env = append(os.Environ(), "GATEHOUSE_TEST_NODE=1", "XDG_DATA_HOME="+n.dir, "XDG_CONFIG_HOME="+n.dir,
		"GATEHOUSE_DATABASE="+n.dsn, "GATEHOUSE_SECRET=0123456789abcdef0123456789abcdef", "PORT="+port)
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
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(by)
	_ = n.cmd.Wait()
	n.cmd = nil
}

// ready waits until people can sign in at the node.
func (n *node) ready() {
	n.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodGet, "http://"+n.addr+"/_gatehouse/health", nil)
		if err != nil {
			n.Fatal(err)
		}
		req.Host = "auth.localhost"
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			n.Fatalf("node %s does not get ready: %v\n%s", n.name, err, lastLines(n.log.String(), 30))
		}
	}
}

// balance puts HAProxy in front of the nodes.
func (c *cluster) balance() {
	c.Helper()
	config := strings.Replace(c.example("haproxy.cfg"), "127.0.0.1:8080", c.proxy, 1)
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
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + c.proxy + "/_gatehouse/jwks.json"); err == nil {
			_ = resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			c.Fatalf("HAProxy does not listen:\n%s", out.String())
		}
	}
}

// client follows nothing and keeps nothing.
var client = &http.Client{
	Timeout:       20 * time.Second,
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

// ask sends a request to a node, or to HAProxy; a form is posted. status is 0 where
// there was no answer. With keep the cookies of the answer are the browser's.
func (b *browser) ask(ctx context.Context, addr, path string, form url.Values, keep bool) (status int, signedIn bool) {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, body)
	if err != nil {
		b.c.Error(err)
		return 0, false
	}
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
		return 0, false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cookie := range resp.Cookies() {
		signedIn = signedIn || cookie.Name == "gatehouse" && cookie.MaxAge >= 0 && cookie.Value != ""
		if keep && cookie.MaxAge >= 0 {
			b.cookies[cookie.Name] = cookie.Value
		}
	}
	return resp.StatusCode, signedIn
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
