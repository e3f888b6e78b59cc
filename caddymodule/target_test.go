package caddymodule

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// noPaths are request targets without a path that Go's server takes.
var noPaths = []string{
	"x:http://a/admin/", "x:http://app.example.com/pub/x", "x:admin/", "x:%2fadmin/", "http:admin/", "x:*", "x:pub/x", "x:pub/../admin/", "x:_gatehouse/login",
	"x:?/pub/x", "x:", "http://app.example.com:1", "https://app.example.com?x=/pub/x", "localhost:8080/admin/", "*",
}

// A path gate saw an empty path in "GET x:http://a/admin/", and the app got the
// target as it stood, which most servers read as /admin/. With one app behind two
// sites it could name the other one.
func TestTargetsWithoutAPath(t *testing.T) {
	c := newGatedCaddy(t, nil)
	cookie := ""
	for name, lines := range map[string][]string{
		"a gate for the site":  {"gatehouse *@example.com {\n public /pub/*\n }"},
		"a gate for paths":     {"gatehouse /admin/* *@example.com {\n public /admin/pub/*\n }"},
		"a gate's own matcher": {"@x not path /rest/*", "gatehouse @x *@example.com"},
		"report_only":          {"gatehouse *@example.com {\n report_only\n }"},
		"a cleaner":            {"handle /admin/* {\n gatehouse *@example.com\n reverse_proxy {app}\n }", "handle /_gatehouse/* {\n gatehouse_pages\n }", "gatehouse_clean"},
		"a portal":             {"gatehouse_portal", "gatehouse /admin/* *@example.com"},
		"behind a rewrite":     {"gatehouse /admin/* *@example.com", "rewrite /x* /y"},
	} {
		c.run("", "", besideSite(append(lines, "reverse_proxy {app}")...))
		if cookie == "" {
			cookie = c.session("alice@example.com")
		}
		for _, target := range noPaths {
			resp := c.raw("GET "+target+" HTTP/1.1", "Host: {host}", "Cookie: "+cookie, page, "Connection: close", "", "")
			if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || len(body) == 0 {
				t.Errorf("%s: %s: %s %s", name, target, resp.Status, body)
			}
		}
		for _, target := range []string{"x:http://a/admin/", "x:pub/x", "http://app.example.com:" + c.port()} {
			if status := c.raw2("GET", target); status != "400" && status != "reset" {
				t.Errorf("%s: %s over HTTP/2: %s", name, target, status)
			}
		}
	}
}

// Whole URLs name the host themselves: what is judged is what the app gets.
func TestWholeURLsAsTargets(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("", "", besideSite("gatehouse /admin/* *@example.com", "reverse_proxy {app}"))
	here, other := "app.example.com:"+c.port(), "wiki.example.com:"+c.port()
	for target, want := range map[string]int{
		"https://" + here + "/x": 200, "http://" + here + "/x?y": 200, "x://" + here + "/x": 200, "https://u:p@" + here + "/x": 200, "x:/x": 200,
		"https://" + here + "/admin/x": 401, "http://" + here + "//admin/x": 401, "x://" + here + "/admin/x": 401, "x:/admin/x": 401,
	} {
		for _, host := range []string{here, other} {
			if strings.HasPrefix(target, "x:/x") || strings.HasPrefix(target, "x:/admin") {
				host = here // the target names none
			}
			resp := c.raw("GET "+target+" HTTP/1.1", "Host: "+host, "Connection: close", "", "")
			if resp.StatusCode != want {
				t.Errorf("%s, Host: %s: %s, want %d", target, host, resp.Status, want)
			} else if want == 200 {
				if e := readEcho(t, resp); e.Host != here || !strings.HasPrefix(e.URI, "/x") || e.Header.Get("Authorization") != "" {
					t.Errorf("%s, Host: %s: the app got %s at %s, %v", target, host, e.URI, e.Host, e.Header)
				}
			}
		}
	}
	for method, want := range map[string]int{"OPTIONS": 200, "GET": 400} {
		if resp := c.raw(method+" * HTTP/1.1", "Host: {host}", "Connection: close", "", ""); resp.StatusCode != want {
			t.Errorf("%s *: %s, want %d", method, resp.Status, want)
		}
	}
	if resp := c.raw("CONNECT "+here+" HTTP/1.1", "Host: {host}", "Connection: close", "", ""); resp.StatusCode != 405 {
		t.Errorf("CONNECT: %s", resp.Status)
	}
}

// All handlers refuse them, in whatever protocol they came.
func TestEveryHandlerNeedsAPath(t *testing.T) {
	f := newFixture(t)
	api := joined(f.app, new(API))
	for name, h := range map[string]caddyhttp.MiddlewareHandler{
		"gatehouse": f.gate(nil), "gatehouse_clean": joined(f.app, new(Cleaner)), "gatehouse_pages": joined(f.app, new(PagesHandler)),
		"gatehouse_portal": joined(f.app, new(Portal)), "gatehouse_api": api, "gatehouse_authz": &Authz{asked: gate.ForwardAuth{House: &f.app.house}},
	} {
		for _, u := range []url.URL{{Scheme: "x", Opaque: "http://a/admin/"}, {Opaque: "/x", Path: "/x"}, {}, {Path: "*"}, {Path: "admin"}} {
			for _, change := range []func(*http.Request){
				func(*http.Request) {},
				func(r *http.Request) { r.ProtoMajor, r.Proto = 3, "HTTP/3.0" },
				func(r *http.Request) { r.Method, r.ProtoMajor, r.Proto = "CONNECT", 3, "websocket" },
				func(r *http.Request) {
					r.Method, r.ProtoMajor, r.Header[":protocol"] = "CONNECT", 2, []string{"websocket"}
				},
			} {
				r, w, app := request("GET", testSite+"/"), newRecorder(), &recordingApp{}
				target := u
				r.URL = &target
				change(r)
				handler(h, app).ServeHTTP(w, r)
				if w.Code != 400 || app.last() != nil || !strings.Contains(w.Body.String(), "begins with /") {
					t.Errorf("%s: %s %#v: %d %s, passed %v", name, r.Method, u, w.Code, w.Body, app.last() != nil)
				}
			}
		}
	}
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Method, r.URL = "OPTIONS", &url.URL{Path: "*"} },
		func(r *http.Request) { r.Method, r.ProtoMajor, r.Proto = "CONNECT", 3, "websocket" },
	} {
		r, w, app := request("GET", testSite+"/"), newRecorder(), &recordingApp{}
		change(r)
		if handler(joined(f.app, new(Cleaner)), app).ServeHTTP(w, r); app.last() == nil {
			t.Errorf("%s %s: %d", r.Method, r.URL, w.Code)
		}
	}
}

// raw2 sends one request over HTTP/2 as it stands, and returns the status.
func (c *gatedCaddy) raw2(method, path string) (status string) {
	c.Helper()
	conn, err := tls.Dial("tcp", c.addr, &tls.Config{InsecureSkipVerify: true, ServerName: "app.example.com", NextProtos: []string{"h2"}})
	must(c, err)
	defer conn.Close()
	must(c, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	must(c, err)
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	must(c, framer.WriteSettings())
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "app.example.com:" + c.port()}, {":path", path}} {
		must(c, encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}))
	}
	must(c, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}))
	for {
		frame, err := framer.ReadFrame()
		must(c, err)
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return "reset"
		}
	}
}
