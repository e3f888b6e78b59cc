// Package cluster_test runs examples/cluster: each file of it as it stands, with nothing
// changed but ports, where mail goes, and a header that tells which node has answered.
package cluster_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// TestMain lets the test binary be a node, too: it has all of Caddy in it.
func TestMain(m *testing.M) {
	if os.Getenv("GATEHOUSE_TEST_NODE") != "" {
		caddycmd.Main()
		return
	}
	os.Exit(m.Run())
}

const example = "../../examples/cluster"

// cluster is a copy of the example, with ports of its own.
type cluster struct {
	testing.TB
	dir   string // files, run (what cluster.sh makes) and logs
	mail  *smtptest.Server
	ports map[string]string // by the example's
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-cluster") //nolint:usetesting // the server's user must get at it
	must(t, err)
	c := &cluster{TB: t, dir: dir, mail: smtptest.Start(t, smtptest.Options{}), ports: map[string]string{}}
	var pairs []string
	for _, port := range []string{"8443", "8001", "8002", "8003", "5433", "5434", "2379", "2380", "8008", "8009"} {
		c.ports[port] = caddytest.FreePort(t)
		pairs = append(pairs, port, c.ports[port])
	}
	pairs = append(pairs,
		"\t\tmail log\n", fmt.Sprintf("\t\tmail smtp %s {\n\t\t\ttls off\n\t\t}\n\t\tfrom \"Example\" <login@example.com>\n", c.mail.Addr),
		"grace_period 3s", "grace_period 1s\n\tstorage file_system "+dir+"/caddy-{$PORT}",
		"    default_backend gatehouse\n", "    default_backend gatehouse\n    http-response set-header Served-By %s\n")
	ours := strings.NewReplacer(pairs...)
	files, err := os.ReadDir(example)
	must(t, err)
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(example, file.Name()))
		must(t, err)
		c.write("files/"+file.Name(), ours.Replace(string(text)))
	}
	self, err := os.Executable()
	must(t, err)
	c.write("bin/gatehouse", "#!/bin/sh\nGATEHOUSE_TEST_NODE=1 exec "+self+" \"$@\"\n")
	must(t, os.Mkdir(filepath.Join(dir, "run"), 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return c
}

func (c *cluster) write(name, text string) {
	c.Helper()
	path := filepath.Join(c.dir, name)
	must(c, os.MkdirAll(filepath.Dir(path), 0o755))
	must(c, os.WriteFile(path, []byte(text), 0o755))
	must(c, os.Chmod(filepath.Dir(path), 0o755))
	must(c, os.Chmod(c.dir, 0o755))
}

// command is one of cluster.sh. PostgreSQL does not run as root.
func (c *cluster) command(args ...string) *exec.Cmd {
	c.Helper()
	args = append([]string{"DIR=" + c.dir + "/run", "HOME=" + c.dir + "/run", "PATH=" + c.dir + "/bin:" + os.Getenv("PATH"), "sh", c.dir + "/files/cluster.sh"}, args...)
	if args[5] == "nodes" || args[5] == "front" {
		return exec.Command("env", args...)
	}
	cmd, err := pgtest.Command(c.dir+"/run", "env", args...)
	must(c, err)
	return cmd
}

// run runs a part of the cluster until it is closed.
func (c *cluster) run(args ...string) io.Closer {
	c.Helper()
	must(c, os.Mkdir(c.log(args), 0o755))
	part, err := pgtest.Run(c.log(args), c.command(args...))
	must(c, err)
	c.Cleanup(func() {
		if text := c.said(args); c.Failed() {
			c.Logf("cluster.sh %s:\n%s", strings.Join(args, " "), text[max(0, len(text)-4000):])
		}
		_ = part.Close()
	})
	return part
}

func (c *cluster) log(args []string) string {
	return filepath.Join(c.dir, "log-"+strings.Join(args, "-"))
}

// said is what a part that runs has said.
func (c *cluster) said(args []string) string {
	text, _ := os.ReadFile(filepath.Join(c.log(args), "log"))
	return string(text)
}

// says waits until a part has said something.
func (c *cluster) says(words string, args ...string) {
	c.Helper()
	within(c, "cluster.sh "+strings.Join(args, " ")+": "+words, func() bool { return strings.Contains(c.said(args), words) })
}

// done runs a command to its end.
func (c *cluster) done(args ...string) string {
	c.Helper()
	out, err := c.command(args...).CombinedOutput()
	if err != nil {
		c.Fatalf("cluster.sh %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// serve starts the nodes and HAProxy, and waits until all are well.
func (c *cluster) serve() {
	c.Helper()
	c.run("nodes")
	c.run("front")
	b := &browser{cluster: c}
	within(c, "all three nodes are well", func() bool {
		served := map[string]bool{}
		for range 3 {
			if b.open(); b.client == nil {
				return false
			}
			if got, err := b.client.Get(c.url("auth", "/_gatehouse/health")); err == nil {
				_ = got.Body.Close()
				served[got.Header.Get("Served-By")] = got.StatusCode == http.StatusOK
			}
		}
		return served["a"] && served["b"] && served["c"]
	})
}

func (c *cluster) url(site, path string) string {
	return "https://" + site + ".localhost:" + c.ports["8443"] + path
}

// browser is one person's. It believes the certificate of the example alone, and follows
// where it is led.
type browser struct {
	*cluster
	client *http.Client
}

func (c *cluster) browser() *browser {
	b := &browser{cluster: c}
	b.open()
	return b
}

func (b *browser) open() {
	certificate, err := os.ReadFile(filepath.Join(b.dir, "run/sites.crt"))
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(certificate) || b.client != nil {
		return
	}
	jar, _ := cookiejar.New(nil)
	b.client = &http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
}

// page is what a browser shows in the end.
type page struct {
	status   int
	at       *url.URL
	body     string
	servedBy string // the answer to the first request
}

// view opens a page, or sends a form.
func (b *browser) view(at string, form url.Values) page {
	b.Helper()
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	r, err := http.NewRequestWithContext(b.Context(), method, at, strings.NewReader(body))
	must(b, err)
	r.Header = http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"same-origin"}, "Accept": {"text/html"}}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	var first string
	client := *b.client
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if first == "" {
			first = next.Response.Header.Get("Served-By")
		}
		if len(via) > 9 {
			return http.ErrUseLastResponse
		}
		return nil
	}
	got, err := client.Do(r)
	must(b, err)
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	must(b, err)
	if first == "" {
		first = got.Header.Get("Served-By")
	}
	return page{got.StatusCode, got.Request.URL, string(text), first}
}

// begin asks for a code where a page of a site leads to.
func (b *browser) begin(at, email string) page {
	b.Helper()
	form := b.view(at, nil)
	if form.status != http.StatusOK || form.at.Path != "/_gatehouse/login" {
		b.Fatalf("%s leads to %d %s", at, form.status, form.at)
	}
	return b.view("https://"+form.at.Host+form.at.Path, url.Values{"email": {email}, "return_to": {form.at.Query().Get("return_to")}})
}

// answer types the code of the mail, where begin has led to.
func (b *browser) answer(form page, email string) page {
	b.Helper()
	return b.view("https://"+form.at.Host+"/_gatehouse/code", url.Values{"code": {b.mail.NextTo(b, email).Code(b)}})
}

// isIn tells whether a site knows the browser as email's.
func (b *browser) isIn(site, email string) bool {
	b.Helper()
	got := b.view(b.url(site, "/"), nil)
	if got.status != http.StatusOK {
		b.Logf("%s: %d %s, by %s", site, got.status, got.at, got.servedBy)
	}
	return got.status == http.StatusOK && got.at.String() == b.url(site, "/") && strings.Contains(got.body, email)
}

// try signs people in over TLS at several sites, by way of the sign-in host behind the same
// proxy, while the database fails over: stop takes its primary away, and heal, unless
// that does so itself, gives another one.
func (c *cluster) try(stop, heal func()) {
	c.Helper()
	const alice, bob = "alice@example.com", "bob@example.com"
	a := c.browser()
	form := a.begin(c.url("app", "/page"), alice)
	if form.at.Host != "auth.localhost:"+c.ports["8443"] {
		c.Errorf("the app leads to %s, not to the sign-in host", form.at)
	}
	in := a.answer(form, alice)
	if in.at.String() != c.url("app", "/page") || !strings.Contains(in.body, alice) {
		c.Fatalf("the code leads to %d %s", in.status, in.at)
	}
	if form.servedBy == in.servedBy || form.servedBy == "" {
		c.Errorf("it began at node %q and ended at %q", form.servedBy, in.servedBy)
	}
	if !a.isIn("wiki", alice) {
		c.Error("another site asks to sign in again")
	}
	for range 3 { // each node has met her
		if !a.isIn("app", alice) || !a.isIn("wiki", alice) {
			c.Fatal("who is signed in does not pass")
		}
	}
	b := c.browser()
	begun := b.begin(c.url("wiki", "/"), bob)

	stop()
	if heal != nil {
		within(c, "no node is well", func() bool {
			return c.browser().view(c.url("auth", "/_gatehouse/health"), nil).status == http.StatusServiceUnavailable
		})
		for range 3 {
			if !a.isIn("app", alice) || !a.isIn("wiki", alice) {
				c.Fatal("who is signed in does not pass while there is no primary")
			}
		}
		if got := c.browser().view(c.url("auth", "/_gatehouse/login"), url.Values{"email": {"carol@example.com"}}); got.status != http.StatusServiceUnavailable {
			c.Errorf("a start without a database: %d", got.status)
		}
		heal()
	}
	// The health of a node may be five seconds old.
	within(c, "people can start again at all nodes", func() bool {
		for range 3 {
			if c.browser().view(c.url("auth", "/_gatehouse/login"), url.Values{"email": {"carol@example.com"}}).status >= http.StatusInternalServerError {
				return false
			}
		}
		return c.browser().view(c.url("auth", "/_gatehouse/health"), nil).status == http.StatusOK
	})
	if got := b.answer(begun, bob); got.at.String() != c.url("wiki", "/") || !strings.Contains(got.body, bob) {
		c.Errorf("a code from before leads to %d %s", got.status, got.at)
	}
	if !a.isIn("app", alice) || !a.isIn("wiki", alice) {
		c.Error("who is signed in was signed out")
	}
	a.view(c.url("auth", "/_gatehouse/logout"), url.Values{})
	within(c, "a sign-out counts at all nodes", func() bool {
		for _, site := range []string{"app", "app", "app", "wiki"} {
			if a.isIn(site, alice) {
				return false
			}
		}
		return true
	})
}

func TestCluster(t *testing.T) {
	c := newCluster(t)
	first := c.run("first")
	c.says("ready to accept connections", "first")
	c.run("second")
	c.says("started streaming", "second")
	c.serve()
	c.try(func() { must(t, first.Close()) }, func() { c.done("failover") })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about: %s", what)
		}
	}
}
