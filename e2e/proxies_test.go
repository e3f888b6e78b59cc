package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/fcgi"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The ready configurations of examples/, each with everything that must hold
// behind another proxy.

func TestNginx(t *testing.T) {
	top := newTopology(t)
	top.process("nginx", "nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;")
	top.tour(t)
}

func TestHAProxy(t *testing.T) {
	top := newTopology(t)
	top.process("haproxy", "haproxy", "-db", "-f", "haproxy.cfg")
	top.tour(t)
}

// What can match a pattern takes names away whatever stands between their words.
func TestOddSeparatorsBehindHAProxyAndCaddy(t *testing.T) {
	odd := []string{"Accept: application/json"}
	for _, name := range []string{"Remote+User", "Remote--User", "RemoteUser", "Remote-_User", "Remote~Email", "X+Forwarded+User", "X--Forwarded--User", "X-Forwarded!Groups", "Cf+Access+Jwt+Assertion", "Cf-Access+Authenticated--User-Email", "X+Gatehouse+Assertion"} {
		odd = append(odd, name+": root@evil.test")
	}
	routes := []string{"X+Original+URL", "X--Original--URI", "XOriginalPath", "X!Rewrite!URL", "X+Override+URL", "X~Replaced~Path", "X+Script+Name", "X+Envoy+Original+Path", "X+Waws+Unencoded+URL", "X+Forwarded+Prefix"}
	for _, name := range routes {
		odd = append(odd, name+": /admin")
	}
	checkClaims := func(t *testing.T, s seen, address string) {
		t.Helper()
		checkClaims(t, s, address)
		for _, name := range routes {
			if got := s.header(name); len(got) > 0 {
				t.Errorf("the app sees %s: %q", name, got)
			}
		}
	}
	t.Run("haproxy", func(t *testing.T) {
		top := newTopology(t)
		top.process("haproxy", "haproxy", "-db", "-f", "haproxy.cfg")
		checkClaims(t, top.raw("GET /public/x", top.host(), append(odd, "X+Auth+Request+User: root@evil.test", "XAuthRequestEmail: root@evil.test")...).must(t, http.StatusOK).seen(t), "")
	})
	t.Run("caddy", func(t *testing.T) {
		top := newTopology(t, "caddy/Caddyfile")
		checkClaims(t, top.raw("GET /public/x", top.host(), odd...).must(t, http.StatusOK).seen(t), "")
	})
}

func TestCaddyForwardAuth(t *testing.T) {
	top := newTopology(t, "caddy/Caddyfile")
	top.tour(t)
}

// nginx hands the headers of its clients on to FastCGI as parameters, whatever
// proxy_set_header says.
func TestNginxFastCGI(t *testing.T) {
	top := newTopology(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		_ = fcgi.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for name, values := range r.Header {
				fmt.Fprintf(w, "%s: %s\n", name, strings.Join(values, ","))
			}
			fmt.Fprintf(w, "Host: %s\n", r.Host)
		}))
	}()
	top.change("nginx/gatehouse.conf")
	top.change("nginx/gatehouse-headers.conf")
	top.change("nginx/gatehouse-fastcgi.conf")
	top.change("nginx/nginx.conf")
	pass := "include gatehouse-headers.conf;\n        proxy_pass http://127.0.0.1:3000;"
	top.change("nginx/gatehouse-sites.conf", pass, `fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
            include gatehouse-fastcgi.conf;
            fastcgi_pass `+listener.Addr().String()+";")
	top.processIn("nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;")
	spoofed := []string{"Remote-User: evil", "Remote-Email: evil", "X-Forwarded-User: evil", "X-Original-URL: /evil", "X-Forwarded-Host: evil.test", "Forwarded: host=evil.test", "Accept: text/html"}
	if body := top.raw("GET /public/x", top.host(), spoofed...).must(t, http.StatusOK).body; strings.Contains(body, "evil") || !strings.Contains(body, "Host: "+top.host()) {
		t.Errorf("the app sees\n%s", body)
	}
	top.raw("GET /page", top.host(), spoofed...).must(t, http.StatusSeeOther)
	v := top.visitor()
	alice := person("alice")
	top.signInAt(v, "/page", alice)
	if body := top.raw("GET /page", top.host(), append(spoofed, v.cookies())...).must(t, http.StatusOK).body; strings.Contains(body, "evil") || !strings.Contains(body, "Remote-User: "+alice) {
		t.Errorf("the app sees\n%s", body)
	}
}

// HAProxy makes a GET of the CONNECT by which browsers open a WebSocket over
// HTTP/2 (RFC 8441), and asks about it without a Sec-WebSocket-Key. It does so
// without TLS, too, for who begins in HTTP/2.
func TestHAProxyWebSocketsOverHTTP2(t *testing.T) {
	top := newTopology(t)
	top.process("haproxy", "haproxy", "-db", "-f", "haproxy.cfg")
	v := top.visitor()
	alice := person("alice")
	top.signInAt(v, "/", alice)
	top.app.requests()
	for _, c := range []struct {
		origin, path string
		sign         []string
		status, user string
	}{
		{top.url, "/socket", []string{"sec-websocket-version", "13"}, "200", alice},
		{"https://evil.test", "/socket", []string{"sec-websocket-version", "13"}, "403", ""},
		{"https://evil.test", "/socket", []string{"sec-fetch-mode", "websocket"}, "403", ""},
		{"https://evil.test", "/socket", []string{"sec-websocket-extensions", "permessage-deflate"}, "403", ""},
		{"null", "/socket", []string{"sec-websocket-version", "13", "sec-fetch-mode", "websocket", "sec-fetch-dest", "websocket"}, "403", ""},
		{"https://evil.test", "/public/socket", []string{"sec-websocket-version", "13"}, "200", ""},
	} {
		status := top.connects(t, append([]string{"origin", c.origin, "cookie", strings.TrimPrefix(v.cookies(), "Cookie: ")}, c.sign...), c.path)
		if status != c.status {
			t.Errorf("%+v: %s", c, status)
		}
		for _, s := range top.app.requests() {
			if got := strings.Join(s.header("Remote-User"), "|"); c.status != "200" || got != c.user {
				t.Errorf("%+v: the app sees %q", c, got)
			}
		}
	}
}

// connects asks in HTTP/2 for a WebSocket, and returns the status.
func (top *topology) connects(t *testing.T, header []string, path string) (status string) {
	t.Helper()
	w := top.wire()
	defer w.Close()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	header = append([]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", path, ":authority", top.host()}, header...)
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
			t.Fatalf("%q: %v", header, err)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			t.Fatalf("%q: %v", header, frame)
		}
	}
}
