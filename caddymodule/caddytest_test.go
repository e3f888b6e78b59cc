package caddymodule

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

// gatedCaddy is a real Caddy on a machine of its own, with a real proxy to an
// app. Its sites are app.example.com and what a test adds, over TLS with one
// self-signed certificate; every host name leads to it.
type gatedCaddy struct {
	*machine
	addr string
	app  *httptest.Server
}

// newGatedCaddy proxies to app; nil is one that shows what it received.
func newGatedCaddy(t testing.TB, app http.Handler) *gatedCaddy {
	if app == nil {
		app = http.HandlerFunc(echo)
	}
	m := newMachine(t)
	u, err := url.Parse(m.url)
	must(t, err)
	caddytest.WriteCertificate(t, m.dir, "*.example.com")
	c := &gatedCaddy{machine: m, addr: "127.0.0.1:" + u.Port(), app: httptest.NewServer(app)}
	t.Cleanup(c.app.Close)
	t.Cleanup(c.app.CloseClientConnections)
	return c
}

// run loads a configuration: global stands in the gatehouse block, server in the
// global one, and sites are whole site blocks. {port}, {tls} and {app} are
// replaced.
func (c *gatedCaddy) run(global, server, sites string) {
	c.Helper()
	must(c, c.load(global, server, sites))
}

// load is run for what may be refused.
func (c *gatedCaddy) load(global, server, sites string) error {
	c.Helper()
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	grace_period 5s
	auto_https off
	storage file_system %[1]s/caddy
	log {
		%[6]s
	}
	servers {
		%[5]s
	}
	gatehouse {
		store badger %[1]s/store
		mail smtp %[2]s {
			tls off
		}
		from "Example" <login@example.com>
		limits {
			per_recipient 1000 1m
		}
		%[3]s
	}
}
%[4]s`, c.dir, c.mail.Addr, global, sites, server, c.logOutput())
	text = strings.NewReplacer("{port}", c.port(), "{tls}", c.dir+"/cert.pem "+c.dir+"/key.pem", "{app}", strings.TrimPrefix(c.app.URL, "http://")).Replace(text)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	must(c, err)
	return caddytest.Load(config)
}

// runGate is run with one site, whose gate has these lines.
func (c *gatedCaddy) runGate(who string, lines ...string) {
	c.Helper()
	c.run("", "", fmt.Sprintf(`https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse %s {
		%s
	}
	reverse_proxy {app} {
		flush_interval -1
	}
}`, who, strings.Join(lines, "\n\t\t")))
}

func (c *gatedCaddy) port() string { return c.addr[strings.LastIndexByte(c.addr, ':')+1:] }

// origin is where host is reached.
func (c *gatedCaddy) origin(host string) string { return "https://" + host + ":" + c.port() }

// session signs somebody in at app.example.com and returns the cookie.
func (c *gatedCaddy) session(email string) string {
	c.Helper()
	return "__Host-gatehouse=" + c.signInAt(email, "app.example.com").Token
}

func (c *gatedCaddy) signInAt(email, host string) *authcore.SignIn {
	c.Helper()
	address, err := address.Parse(email)
	must(c, err)
	service := runningApp(c).house.Running().Service
	in := signIn(c, service, address, mustOrigin(c, c.origin(host)), func() string { return c.code(email) })
	c.seen.add(in.Token, in.DeviceCookie)
	return in
}

// code waits for the next code sent to email. Notices of new browsers go to the
// same address.
func (c *gatedCaddy) code(email string) string {
	c.Helper()
	for {
		m := c.mail.NextTo(c, email)
		if strings.Contains(m.Parse(c).Text, "/_gatehouse/link/") {
			return m.Code(c)
		}
	}
}

func (c *gatedCaddy) core() *authcore.Core { return runningApp(c).house.Running().Core }

// client speaks HTTP/1.1 or HTTP/2 to Caddy, whatever the host's name, and does
// not follow redirects.
func (c *gatedCaddy) client(http2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dialTCP(ctx) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Protocols:       &protocols, MaxIdleConnsPerHost: 100,
	}
	caddytest.Keep(c, transport)
	return &http.Client{Transport: watched{transport, &c.seen}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (c *gatedCaddy) dialTCP(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", c.addr)
}

// fetch asks app.example.com for path with headers ("Name: value").
func (c *gatedCaddy) fetch(client *http.Client, method, path string, body io.Reader, headers ...string) *http.Response {
	c.Helper()
	if strings.HasPrefix(path, "/") {
		path = c.origin("app.example.com") + path
	}
	r, err := http.NewRequest(method, path, body)
	must(c, err)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	resp, err := client.Do(r)
	must(c, err)
	c.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// wire is a connection on which a test writes what no client library would.
type wire struct {
	net.Conn
	r *bufio.Reader
}

// dial opens a connection for raw HTTP/1.1.
func (c *gatedCaddy) dial() *wire {
	c.Helper()
	conn, err := c.dialTCP(context.Background())
	must(c, err)
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "app.example.com", NextProtos: []string{"http/1.1"}})
	must(c, secure.SetDeadline(time.Now().Add(20*time.Second)))
	c.Cleanup(func() { _ = secure.Close() })
	return &wire{secure, bufio.NewReader(secure)}
}

// send writes lines, with {host} replaced and line ends as HTTP has them.
func (c *gatedCaddy) send(w *wire, lines ...string) {
	c.Helper()
	text := strings.ReplaceAll(strings.Join(lines, "\r\n"), "{host}", "app.example.com:"+c.port())
	_, err := io.WriteString(w, text+"\r\n")
	must(c, err)
}

// raw sends one request as it stands and reads the answer.
func (c *gatedCaddy) raw(lines ...string) *http.Response {
	c.Helper()
	w := c.dial()
	c.send(w, lines...)
	resp, err := http.ReadResponse(w.r, nil)
	must(c, err)
	return resp
}

// echoed is what the app received.
type echoed struct {
	Method, URI, Host string
	Header, Trailer   http.Header
	Body              string
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(echoed{r.Method, r.RequestURI, r.Host, r.Header, r.Trailer, string(body)})
}

// readEcho reads an answer of echo; the test fails if the app did not answer.
func readEcho(t testing.TB, resp *http.Response) echoed {
	t.Helper()
	var e echoed
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if err := json.Unmarshal(body, &e); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	return e
}

// claims returns what e says about its visitor, by header.
func (e echoed) claims() map[string][]string {
	found := map[string][]string{}
	for _, h := range []http.Header{e.Header, e.Trailer} {
		for name, values := range h {
			switch header.ClaimOf(name) {
			case header.IdentityClaim, header.RouteClaim:
				found[name] = append(found[name], values...)
			}
		}
	}
	return found
}

// gatherer lets an app hand things to a test.
type gatherer[T any] struct {
	once sync.Once
	c    chan T
}

func (g *gatherer[T]) channel() chan T {
	g.once.Do(func() { g.c = make(chan T, 100) })
	return g.c
}

// wait returns the next thing; the test fails when none comes.
func (g *gatherer[T]) wait(t testing.TB, what string) T {
	t.Helper()
	select {
	case v := <-g.channel():
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s", what)
		panic("not reached")
	}
}
