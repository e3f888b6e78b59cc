//go:build prove

package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// Traefik itself, which takes minutes to build, in front of all that the others are
// tried with. TestTraefikStandIn takes its place in make test.

func TestTraefik(t *testing.T) {
	top := newTopology(t)
	top.process("traefik", traefikItself(t)...)
	top.isReady()
	top.tour(t)
}

func TestTraefikJudgesWhatItRoutes(t *testing.T) {
	w := newRoutes(t)
	w.traefik()
	w.listening("127.0.0.1:" + w.second)
	w.tidies = true
	w.try(t)
}

func TestTraefikOverTLS(t *testing.T) {
	w := newOverTLS(t)
	w.write("traefik")
	plain := caddytest.FreePort(t)
	w.certify("dynamic.yml", "/etc/traefik/certs/sites.pem", "cert.pem", "/etc/traefik/certs/sites.key", "key.pem")
	w.certify("traefik.yml", "address: :"+w.port, "address: 127.0.0.1:"+w.port,
		"entryPoints:\n", "entryPoints:\n  plain:\n    address: 127.0.0.1:"+plain+"\n    http:\n      redirections:\n        entryPoint:\n          to: port"+w.port+"\n")
	w.processIn(traefikItself(t)...)
	w.isReady()
	w.try(t)
	if got := w.visitor().get("https://blog.localhost:" + w.port + "/"); got.StatusCode != http.StatusNotFound {
		t.Errorf("a name of no site gets %s", got.Status)
	}
	for _, site := range []string{"wiki.localhost", "auth.localhost"} {
		got := w.visitor().get("http://" + site + ":" + plain + "/page?x=1")
		if to := got.Header.Get("Location"); got.StatusCode != http.StatusMovedPermanently || to != "https://"+site+":"+w.port+"/page?x=1" {
			t.Errorf("http gets %s to %q", got.Status, to)
		}
	}
	w.tryTwo(t)
	w.trySocket(t)
	w.tryTunnel(t)
}

// Behind another proxy that ends TLS, Traefik believes what that says of scheme and
// client. What clients say through it of host, path and method moves nothing.
func TestTraefikBehindAnotherProxy(t *testing.T) {
	w := newOverTLS(t)
	w.write("traefik")
	w.certify("traefik.yml", "address: :"+w.port+"\n", "address: 127.0.0.1:"+w.port+"\n    forwardedHeaders:\n      trustedIPs: [127.0.0.1/32]\n", "      tls: {}\n", "")
	w.certify("dynamic.yml", "trustForwardHeader: false", "trustForwardHeader: true", "tls:\n  certificates: # or a certResolver\n    - certFile: /etc/traefik/certs/sites.pem\n      keyFile: /etc/traefik/certs/sites.key\n", "")
	w.processIn(traefikItself(t)...)
	within(t, patience, "the sites are there", func() bool {
		return w.raw("GET /", w.host(), "X-Forwarded-Proto: https").StatusCode != http.StatusNotFound
	})
	wiki := w.sites[1]
	through := []string{"X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.7", "Accept: text/html"}
	got := w.raw("GET /page", w.host(), through...).must(t, http.StatusFound)
	if to := got.Header.Get("Location"); !strings.HasPrefix(to, w.url+"/_gatehouse/login?") {
		t.Errorf("a page view leads to %q", to)
	}
	w.raw("GET /public/x", w.host(), through...).must(t, http.StatusOK)
	wiki.app.requests()
	for _, forged := range [][]string{
		{"X-Forwarded-Uri: /public/x"}, {"X-Forwarded-Method: OPTIONS"}, {"X-Forwarded-Prefix: /public"}, {"X-Forwarded-Host: notes.localhost:" + w.port},
		{"X-Forwarded-Host: " + w.host(), "X-Forwarded-Host: evil.test"}, {"X-Forwarded-Host: evil.test"}, {"X_Forwarded_Uri: /public/x"}, {"X-Forwarded-Proto: http"},
	} {
		if got := w.raw("GET /secret", w.host(), append(forged, through...)...); got.StatusCode < 300 || got.StatusCode >= 500 || strings.Contains(got.Header.Get("Location"), "evil") {
			t.Errorf("%q: %s to %q", forged, got.Status, got.Header.Get("Location"))
		}
	}
	if reached := wiki.app.requests(); len(reached) > 0 {
		t.Errorf("%d requests reached the app, the first %+v", len(reached), reached[0])
	}
}

// tryTwo asks by HTTP/2, as browsers do behind TLS.
func (w *tlsTopology) tryTwo(t *testing.T) {
	v := w.visitor()
	alice := person("alice")
	w.signInAt(v, "/", alice)
	two := *v
	transport := v.client.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}
	t.Cleanup(transport.CloseIdleConnections)
	client := *v.client
	client.Transport = transport
	two.client = &client
	got := two.get("/page", append([]string{"Accept", "application/json"}, pairs(claimed)...)...).must(t, http.StatusOK)
	if got.ProtoMajor != 2 {
		t.Fatalf("the answer is %s", got.Proto)
	}
	checkClaims(t, got.seen(t), alice)
	body := strings.Repeat("a long body ", 250_000)
	s := two.do(http.MethodPost, "/save", strings.NewReader(body), "Accept", "application/json", "Content-Type", "text/plain").must(t, http.StatusOK).seen(t)
	if s.Body != body || s.Header.Get("Remote-User") != alice {
		t.Errorf("the app got %d bytes of %s", len(s.Body), s.Header.Get("Remote-User"))
	}
	if got := s.header("X-Forwarded-Proto"); !slices.Equal(got, []string{"https"}) {
		t.Errorf("the app sees X-Forwarded-Proto: %q", got)
	}
	stranger := two
	stranger.client = &http.Client{Transport: transport, CheckRedirect: v.client.CheckRedirect}
	stranger.get("/page", scripts...).must(t, http.StatusUnauthorized)
	form, _ := stranger.follow("/page", "Accept", "text/html", "Accept-Encoding", "gzip, br")
	if form.StatusCode != http.StatusOK || !strings.Contains(form.text(t), `name="email"`) {
		t.Errorf("a page view ends in %s", form.Status)
	}
}

// tryTunnel: CONNECT, which Traefik hands on from HTTP/2, is no way around.
func (w *tlsTopology) tryTunnel(t *testing.T) {
	v := w.visitor()
	w.signInAt(v, "/", person("alice"))
	site := w.sites[1] // the wiki
	site.app.requests()
	for _, header := range [][]string{nil, {":protocol", "websocket"}} {
		conn := w.dialTLS("h2")
		status := connect(t, conn, append(header, ":authority", "wiki.localhost:"+w.port, "cookie", strings.TrimPrefix(v.cookies(), "Cookie: ")))
		if strings.HasPrefix(status, "2") {
			t.Errorf("%q: %s", header, status)
		}
		_ = conn.Close()
	}
	conn := w.dialTLS("http/1.1")
	fmt.Fprintf(conn, "CONNECT wiki.localhost:%s HTTP/1.1\r\nHost: wiki.localhost:%[1]s\r\n%s\r\n\r\n", w.port, v.cookies())
	if got := conn.answer(); got.StatusCode/100 == 2 {
		t.Errorf("CONNECT: %s", got.Status)
	}
	if got := site.app.requests(); len(got) > 0 {
		t.Errorf("the app is reached by %+v", got[0])
	}
}

// connect asks for a tunnel by HTTP/2, and returns the status, or how that ends.
func connect(t *testing.T, w *wire, header []string) string {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	_ = encoder.WriteField(hpack.HeaderField{Name: ":method", Value: "CONNECT"})
	if header[0] == ":protocol" {
		header = append([]string{":scheme", "https", ":path", "/socket"}, header...)
	}
	for i := 0; i < len(header); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: header[i], Value: header[i+1]})
	}
	_, _ = w.Write([]byte(http2.ClientPreface))
	framer := http2.NewFramer(w, w.r)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = framer.WriteSettings()
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return frame.ErrCode.String()
		case *http2.GoAwayFrame:
			return frame.ErrCode.String()
		}
	}
}

// dialTLS is a connection to the proxy.
func (w *tlsTopology) dialTLS(protocol string) *wire {
	plain := w.wire()
	conn := tls.Client(plain.Conn, &tls.Config{InsecureSkipVerify: true, ServerName: "wiki.localhost", NextProtos: []string{protocol}})
	return &wire{w, conn, bufio.NewReader(conn)}
}

func pairs(lines []string) (all []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		all = append(all, name, value)
	}
	return all
}

// trySocket opens a WebSocket behind TLS.
func (w *tlsTopology) trySocket(t *testing.T) {
	v := w.visitor()
	w.signInAt(v, "/", person("alice"))
	for _, c := range []struct{ cookie, origin, status string }{{v.cookies(), w.url, " 101"}, {v.cookies(), "https://evil.test", " 403"}, {"A: b", w.url, " 401"}} {
		over := w.dialTLS("http/1.1")
		over.request("GET /socket", "wiki.localhost:"+w.port, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", c.cookie, "Origin: "+c.origin)
		status, _ := readHeader(t, over.r)
		if !strings.Contains(status, c.status) {
			t.Errorf("%s: %s, want%s", c.origin, status, c.status)
		}
		if c.status == " 101" {
			fmt.Fprint(over, "hello\n")
			if line, err := over.r.ReadString('\n'); line != "echo hello\n" {
				t.Errorf("the socket says %q, %v", line, err)
			}
		}
		_ = over.Close()
	}
}

// No name with anything but letters, digits and hyphens passes, and no header is its
// clients' that a site chose, or that it does without.
func TestTraefikPassesNoAliases(t *testing.T) {
	for _, line := range []string{"header X-Webauth-User local", "headers none"} {
		t.Run(line, func(t *testing.T) {
			w := newRoutes(t)
			w.run(strings.ReplaceAll(w.config, "\t\t\tpublic /public/*\n", "\t\t\tpublic /public/*\n\t\t\t"+line+"\n"))
			w.traefik()
			headers := []string{"Accept: application/json"}
			for _, name := range []string{"X-Auth-Request-User", "X_Webauth_User", "X.Webauth.User", "X_Webauth-User", "X+Webauth+User", "X!Webauth~User", "Remote-User", "Remote+User", "Remote_User", "X+Original+URL", "X+Forwarded+Prefix", "X_Forwarded_Host"} {
				headers = append(headers, name+": forged")
			}
			if line != "headers none" {
				headers = append(headers, "X-Webauth-User: forged")
			}
			s := w.raw("GET /public/x", "blog.localhost:"+w.port, headers...).must(t, http.StatusOK).seen(t)
			checkRoute(t, s, "blog.localhost:"+w.port)
		})
	}
}

// The middlewares and routes of the example for Kubernetes, whose documents have the
// options of a file, do the same.
func TestTraefikAsInKubernetes(t *testing.T) {
	top := newTopology(t)
	example := strings.NewReplacer("gatehouse.gatehouse.svc.cluster.local", "127.0.0.1", "https://wiki.example.com", top.url, "wiki.example.com", "wiki.localhost").Replace(top.example("kubernetes/traefik.yaml"))
	config := top.example("traefik/dynamic.yml")
	start, end := strings.Index(config, "    # A site:"), strings.Index(config, "  services:\n")
	routers, middlewares := "", "  middlewares:\n"
	for _, document := range strings.Split(example, "\n---\n") {
		name := regexp.MustCompile(`(?m)^  name: (\S+)$`).FindStringSubmatch(document)
		_, spec, _ := strings.Cut(document, "\nspec:\n")
		if strings.Contains(document, "kind: Middleware\n") {
			middlewares += "    " + name[1] + ":\n" + regexp.MustCompile(`(?m)^`).ReplaceAllString(strings.TrimRight(spec, "\n"), "    ") + "\n"
			continue
		}
		for i, route := range strings.Split(spec, "- kind: Rule\n")[1:] {
			rule := regexp.MustCompile(`match: (.*)\n`).FindStringSubmatch(route)
			var names []string
			for _, m := range regexp.MustCompile(`- name: (\S+)\n`).FindAllStringSubmatch(route, -1) {
				names = append(names, m[1])
			}
			routers += fmt.Sprintf("    route%d:\n      rule: %s\n      middlewares: [%s]\n      service: wiki\n", i, rule[1], strings.Join(names, ", "))
		}
	}
	if strings.Count(routers, "rule:") != 2 || strings.Count(middlewares, "forwardAuth:") != 1 {
		t.Fatalf("the example has changed its form:\n%s%s", routers, middlewares)
	}
	for name, text := range map[string]string{"dynamic.yml": config[:start] + routers + "\n" + middlewares + "\n" + config[end:], "traefik.yml": top.example("traefik/traefik.yml")} {
		if err := os.WriteFile(filepath.Join(top.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	top.processIn(traefikItself(t)...)
	top.isReady()
	top.tour(t)
}

// traefik runs it with what doctor prints.
func (w *routes) traefik() {
	w.Helper()
	w.write("traefik")
	path := filepath.Join(w.dir, "traefik.yml")
	text, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(path, regexp.MustCompile(`address: :`).ReplaceAll(text, []byte("address: 127.0.0.1:")), 0o600); err != nil {
		w.Fatal(err)
	}
	w.processIn(traefikItself(w)...)
	w.isReady()
}

// isReady waits until Traefik has read its dynamic configuration: it listens before.
func (top *topology) isReady() {
	top.Helper()
	v := top.visitor()
	within(top, patience, "the sign-in host is there", func() bool {
		answer, err := v.client.Get(top.portal + "/")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode != http.StatusNotFound
	})
}

// traefikItself is the command that runs the Traefik that .ci/traefik builds.
func traefikItself(t testing.TB) []string {
	t.Helper()
	module, err := os.ReadFile("testdata/traefik/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`traefik/traefik/v3 (v\S+)`).FindSubmatch(module)
	path, err := filepath.Abs("../.tools/traefik-" + string(version[1]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: .ci/tools prove builds it", err)
	}
	return []string{path, "--configFile=traefik.yml"}
}
