package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// startAuthz starts a server that answers other proxies, beside handlers that
// only answer 200, one of them with the same headers, and Caddys with forward_auth
// to each.
func startAuthz(b *testing.B) (m *measured, address map[string]string) {
	m = &measured{t: b, dir: b.TempDir()}
	app := m.upstream(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1024)) })
	address = map[string]string{}
	replace := []string{"STORE", filepath.Join(m.dir, "store"), "SECRET", strings.Repeat("s", 32), "APP", app}
	for _, name := range []string{"portal", "authz", "respond", "same", "forward-authz", "forward-respond", "forward-same"} {
		port := caddytest.FreePort(b)
		address[name] = "127.0.0.1:" + port
		replace = append(replace, strings.ToUpper(name)+"PORT", port)
	}
	config := strings.NewReplacer(replace...).Replace(`{
	admin off
	log {
		level ERROR
	}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	gatehouse {
		mail log
		store badger STORE
		secret SECRET
	}
}
http://localhost:PORTALPORT {
	gatehouse_portal
}
http://:AUTHZPORT {
	gatehouse_authz {
		login http://localhost:PORTALPORT
		site localhost any
	}
}
http://:RESPONDPORT {
	respond 200
}
http://:SAMEPORT {
	header {
		Cache-Control no-store
		Remote-User alice@example.com
		Remote-Email alice@example.com
	}
	respond 200
}
http://localhost:FORWARD-SAMEPORT {
	forward_auth 127.0.0.1:SAMEPORT {
		uri /api/authz/forward-auth
		copy_headers Remote-User Remote-Email Remote-Name Remote-Groups
	}
	reverse_proxy APP
}
http://localhost:FORWARD-AUTHZPORT {
	forward_auth 127.0.0.1:AUTHZPORT {
		uri /api/authz/forward-auth
		copy_headers Remote-User Remote-Email Remote-Name Remote-Groups
	}
	reverse_proxy APP
}
http://localhost:FORWARD-RESPONDPORT {
	forward_auth 127.0.0.1:RESPONDPORT {
		uri /api/authz/forward-auth
		copy_headers Remote-User Remote-Email Remote-Name Remote-Groups
	}
	reverse_proxy APP
}
`)
	path := filepath.Join(m.dir, "Caddyfile")
	must(b, os.WriteFile(path, []byte(config), 0o600))
	m.on = "http://localhost:" + strings.TrimPrefix(address["portal"], "127.0.0.1:")
	m.client = loopbackClient()
	m.start(path)
	return m, address
}

func loopbackClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// question is what a proxy asks, as nginx does for oauth2-proxy and Traefik for
// us. Both sides are asked with the same headers.
func askedOf(address, path, cookie string) func() *http.Request {
	return func() *http.Request {
		r, _ := http.NewRequest("GET", "http://"+address+path, nil)
		r.Host = "localhost"
		r.Header = http.Header{
			"Cookie": {cookie}, "Accept": {"text/html"}, "User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"},
			"X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"localhost"}, "X-Forwarded-Uri": {"/page?x=1"}, "X-Forwarded-Method": {"GET"},
		}
		return r
	}
}

// send sends n requests over 32 connections; every answer must be a 2xx.
func send(b *testing.B, client *http.Client, n int, request func() *http.Request) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for int(next.Add(1)) <= n {
				resp, err := client.Do(request())
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode/100 != 2 {
					b.Errorf("%s answered %d", resp.Request.URL, resp.StatusCode)
					return
				}
			}
		})
	}
	all.Wait()
}

// measure returns the child's CPU time per request.
func (m *measured) measure(b *testing.B, request func() *http.Request) func(int) time.Duration {
	return func(n int) time.Duration {
		before := m.number("cpu")
		send(b, m.client, n, request)
		return time.Duration(m.number("cpu")-before) / time.Duration(n)
	}
}

// BenchmarkAuthz compares an allowing answer with Caddy's respond without a
// body, and Caddy's forward_auth to us with forward_auth to that respond, and to
// one with the same headers: it copies them.
func BenchmarkAuthz(b *testing.B) {
	m, address := startAuthz(b)
	defer m.stop()
	cookie := m.signIn("alice@example.com")
	page := func(name string) func(int) time.Duration {
		host := "localhost:" + strings.TrimPrefix(address[name], "127.0.0.1:")
		return m.measure(b, func() *http.Request {
			r, _ := http.NewRequest("GET", "http://"+host+"/page?x=1", nil)
			r.Header.Set("Cookie", cookie)
			return r
		})
	}
	const rounds, n = 600, 300
	var answer, forward map[string][]float64
	for b.Loop() {
		answer = contest(rounds, n, "respond", map[string]func(int) time.Duration{
			"respond": m.measure(b, askedOf(address["respond"], "/api/authz/forward-auth", cookie)),
			"again":   m.measure(b, askedOf(address["respond"], "/api/authz/forward-auth", cookie)),
			"authz":   m.measure(b, askedOf(address["authz"], "/api/authz/forward-auth", cookie)),
		})
		forward = contest(rounds, n, "respond", map[string]func(int) time.Duration{
			"respond": page("forward-respond"), "authz": page("forward-authz"), "again": page("forward-respond"), "same": page("forward-same"),
		})
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(answer["authz"]), "x-respond")
	b.ReportMetric(median(answer["again"]), "x-respond/again")
	b.ReportMetric(median(forward["authz"]), "x-forward_auth")
	b.ReportMetric(median(forward["again"]), "x-forward_auth/again")
	b.ReportMetric(median(forward["same"]), "x-forward_auth/same-headers")
}

// oauth2ProxyEnv names a binary of oauth2-proxy to compare with. Nothing is
// downloaded for this.
const oauth2ProxyEnv = "GATEHOUSE_BENCH_OAUTH2_PROXY"

// BenchmarkOAuth2Proxy compares an allowing answer with oauth2-proxy's, each
// with its own session cookie. Without a binary it measures ours alone.
func BenchmarkOAuth2Proxy(b *testing.B) {
	m, address := startAuthz(b)
	defer m.stop()
	const rounds, n = 40, 2_000 // long, because its CPU is told in steps of 10 ms
	ours := m.measure(b, askedOf(address["authz"], "/oauth2/auth", m.signIn("alice@example.com")))
	binary := os.Getenv(oauth2ProxyEnv)
	if binary == "" {
		b.Logf("not compared with oauth2-proxy: name its binary in %s", oauth2ProxyEnv)
		for b.Loop() {
			b.ReportMetric(float64(ours(n).Nanoseconds()), "ns-cpu/answer")
		}
		b.ReportMetric(0, "ns/op")
		return
	}
	other := startOAuth2Proxy(b, binary)
	var ratios map[string][]float64
	for b.Loop() {
		ratios = contest(rounds, n, "oauth2-proxy", map[string]func(int) time.Duration{"oauth2-proxy": other, "authz": ours})
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ratios["authz"]), "x-oauth2-proxy")
}

// startOAuth2Proxy starts it and returns what measures it, signed in by its
// form for a user of a password file.
func startOAuth2Proxy(b *testing.B, binary string) func(int) time.Duration {
	dir, addr := b.TempDir(), "127.0.0.1:"+caddytest.FreePort(b)
	users := filepath.Join(dir, "users")
	must(b, os.WriteFile(users, []byte("alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"), 0o600)) // password
	cmd := exec.Command(binary, "--http-address="+addr, "--provider=github", "--client-id=x", "--client-secret=x", "--cookie-secret="+strings.Repeat("s", 32),
		"--cookie-secure=false", "--email-domain=*", "--upstream=static://200", "--htpasswd-file="+users, "--reverse-proxy=true", "--set-xauthrequest=true",
		"--request-logging=false", "--auth-logging=false", "--standard-logging=false")
	cmd.Stderr = os.Stderr
	must(b, cmd.Start())
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	client := loopbackClient()
	for range 500 {
		if resp, err := client.Get("http://" + addr + "/ping"); err == nil {
			resp.Body.Close()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	cookie := signInToOAuth2Proxy(b, client, addr)
	return func(n int) time.Duration {
		before := cpuOf(b, cmd.Process.Pid)
		send(b, client, n, askedOf(addr, "/oauth2/auth", cookie))
		return (cpuOf(b, cmd.Process.Pid) - before) / time.Duration(n)
	}
}

func signInToOAuth2Proxy(b *testing.B, client *http.Client, addr string) string {
	jar, _ := cookiejar.New(nil)
	form := &http.Client{Transport: client.Transport, Jar: jar, CheckRedirect: client.CheckRedirect}
	resp, err := form.PostForm("http://"+addr+"/oauth2/sign_in", url.Values{"username": {"alice"}, "password": {"password"}, "rd": {"/"}})
	must(b, err)
	resp.Body.Close()
	var all []string
	for _, c := range resp.Cookies() {
		all = append(all, c.Name+"="+c.Value)
	}
	if len(all) == 0 {
		b.Fatalf("oauth2-proxy gave no cookie: %s", resp.Status)
	}
	return strings.Join(all, "; ")
}

// cpuOf is the CPU time that a process has used, in steps of 10 ms.
func cpuOf(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var user, system int64
	_, err = fmt.Sscan(fields[11], &user)
	must(b, err)
	_, err = fmt.Sscan(fields[12], &system)
	must(b, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// BenchmarkAuthzAnswer is an allowing answer without Caddy and network around
// it.
func BenchmarkAuthzAnswer(b *testing.B) {
	f := newFixture(b, sharedCookie)
	a := f.authz()
	cookie := f.signIn("alice@example.com", "https://auth.example.com")
	_, target, headers := proxies["traefik"](append(navigation, "Cookie: "+cookie)...)
	r := withLocalPort(request("GET", target, headers...), 9091)
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, nil)
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, true)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		clear(w.Header())
		_ = a.ServeHTTP(w, r, nil)
	}
	if w.Code != 200 || w.Header().Get("Remote-User") == "" {
		b.Fatal(w.Code)
	}
}
