package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// Behind another proxy, the site that is judged is the site that is routed to:
// with what doctor prints for sites with apps of their own, on two addresses.

func TestNginxJudgesWhatItRoutes(t *testing.T) {
	w := newRoutes(t)
	w.write("nginx")
	w.processIn("nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;")
	w.try(t)
}

func TestHAProxyJudgesWhatItRoutes(t *testing.T) {
	w := newRoutes(t)
	w.write("haproxy")
	w.processIn("haproxy", "-db", "-f", "haproxy.cfg")
	w.try(t)
}

// A header of a site's own choosing is taken from its clients in every spelling.
func TestOwnHeadersBehindHAProxyAndNginx(t *testing.T) {
	for proxy, command := range map[string][]string{
		"haproxy": {"haproxy", "-db", "-f", "haproxy.cfg"}, "nginx": {"nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;"},
	} {
		t.Run(proxy, func(t *testing.T) {
			w := newRoutes(t)
			w.run(strings.ReplaceAll(w.config, "\t\t\tpublic /public/*\n", "\t\t\tpublic /public/*\n\t\t\theader X-Webauth-User local\n"))
			w.write(proxy)
			w.processIn(command...)
			names := []string{"X-Webauth-User", "X_Webauth_User", "X.Webauth.User", "X_Webauth-User"}
			if proxy == "haproxy" { // which can match a pattern
				names = append(names, "X+Webauth+User", "X--Webauth--User", "XWebauthUser")
			}
			headers := []string{"Accept: application/json"}
			for _, name := range names {
				headers = append(headers, name+": root")
			}
			s := w.raw("GET /public/x", "blog.localhost:"+w.port, headers...).must(t, http.StatusOK).seen(t)
			for _, name := range names {
				if got := s.header(name); len(got) > 0 {
					t.Errorf("the app sees %s: %q", name, got)
				}
			}
		})
	}
}

func TestCaddyJudgesWhatItRoutes(t *testing.T) {
	w := newRoutes(t)
	text := w.doctor("caddy")
	w.run(strings.Replace(w.config, "gatehouse {\n\t\tmail log", "default_bind 127.0.0.1\n\tgatehouse {\n\t\tmail log", 1) + text)
	w.listening("127.0.0.1:" + w.second)
	w.try(t)
}

// ingress-nginx does not run here: nginx does, with those lines of its template
// that say what is asked, and with the annotation of the example. They ask about
// the Host header; that this leads astray is shown without the annotation's query.
func TestIngressNginxIsNotBelieved(t *testing.T) {
	w := newRoutes(t)
	annotation := regexp.MustCompile(`auth-url: (http://\S+?)(\?site=)wiki\.example\.com\n`).FindStringSubmatch(w.example("kubernetes/ingress-nginx.yaml"))
	if annotation == nil {
		t.Fatal("the example has changed its form")
	}
	asksAt := strings.Replace(annotation[1], "gatehouse.gatehouse.svc.cluster.local", "127.0.0.1", 1)
	asked := regexp.MustCompile(`(?s)auth-proxy-set-headers: ingress-nginx/asked\n.*name: asked\n.*\ndata:\n  (\S+): (\S+)\n---`).FindStringSubmatch(w.example("kubernetes/ingress-nginx.yaml"))
	if asked == nil {
		t.Fatal("the example has changed its form")
	}
	set := fmt.Sprintf("proxy_set_header '%v' '%v';", asked[1], asked[2]) // buildAuthProxySetHeaders
	insecure := caddytest.FreePort(t)
	servers := ""
	for _, s := range w.sites[:2] {
		name, port, _ := net.SplitHostPort(s.host)
		for port, query := range map[string]string{port: annotation[2] + s.host, insecure: ""} {
			servers += fmt.Sprintf(`
	server {
		listen 127.0.0.1:%s;
		server_name %s;
		location = /_external-auth {
			internal;
			proxy_pass_request_body off;
			proxy_set_header Content-Length "";
			proxy_set_header X-Forwarded-Proto "";
			proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
			proxy_set_header X-Original-Method $request_method;
			%s
			set $target %s;
			proxy_pass $target;
		}
		location / {
			auth_request /_external-auth;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
			proxy_pass http://%s;
		}
	}`, port, name, set, asksAt+query, s.app.addr)
		}
	}
	global, _, _ := strings.Cut(w.example("nginx/nginx.conf"), "    # Whatever names no site")
	if err := os.WriteFile(filepath.Join(w.dir, "nginx.conf"), []byte(global+servers+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.processIn("nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;")
	wiki, blog := w.sites[0], w.sites[1]
	astray := 0
	for _, s := range waysToName(blog.host, wiki.host) {
		w.send(insecure, s, "/public/x")
		astray += len(wiki.app.requests())
		w.send(w.port, s, "/public/x")
		if reached := wiki.app.requests(); len(reached) > 0 {
			t.Fatalf("%q, Host %q, HTTP/%s arrives at the wiki", s.line, s.hosts, s.http)
		}
	}
	if astray == 0 {
		t.Error("no spelling leads this proxy astray, so nothing is shown")
	}
	blog.app.requests()
	w.send(w.port, spelled{"", []string{blog.host}, "1.1"}, "/public/x")
	if len(blog.app.requests()) != 1 {
		t.Error("the blog's public page is not reached")
	}
	for _, protocols := range [][]string{{"h2c"}, {"h2c", "websocket"}, {"websocket, h2c"}, {"websocket", "h2c"}, {"websocket"}} {
		header := []string{"Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"}
		for _, p := range protocols {
			header = append(header, "Upgrade: "+p)
		}
		wire := w.wire()
		wire.request("GET /public/socket", blog.host, header...)
		status, _ := readHeader(t, wire.r)
		_ = wire.Close()
		reached := blog.app.requests()
		for _, s := range reached {
			if got := s.Header["Upgrade"]; !slices.Equal(got, []string{"websocket"}) {
				t.Errorf("%q: the app is asked for %q", protocols, got)
			}
		}
		if len(protocols) == 1 && (len(reached) > 0) != (protocols[0] == "websocket") {
			t.Errorf("%q: %s, and %d requests reach the app", protocols, status, len(reached))
		}
	}
}

// routes is a proxy in front of several sites, each with an app of its own.
type routes struct {
	*topology
	second string // port of the other address
	sites  []*routed

	tidies bool // as Traefik does: paths, but not the Host that the client wrote
}

// routed is a site: host is its name and port, of some name below for a star.
type routed struct {
	pattern, host string
	app           *upstream
}

func newRoutes(t *testing.T) *routes {
	t.Helper()
	w := &routes{topology: newTopology(t), second: caddytest.FreePort(t)}
	w.admin = "127.0.0.1:" + caddytest.FreePort(t)
	name := func(host, port, people string) string {
		s := &routed{pattern: "http://" + host + ":" + port, host: strings.Replace(host, "*", "any", 1) + ":" + port, app: newUpstream(t)}
		w.sites = append(w.sites, s)
		return "\t\tsite " + s.pattern + " " + people + " {\n\t\t\tpublic /public/*\n\t\t}\n"
	}
	closed := strings.NewReplacer("{\n\t\t\tpublic /public/*\n\t\t}\n", "\n")
	lines := closed.Replace(name("wiki.localhost", w.port, "wikist@example.com")) +
		name("blog.localhost", w.port, "*@example.com") +
		name("blog.localhost", w.second, "*@example.com") +
		closed.Replace(name("*.apps.localhost", w.second, "appist@example.com"))
	site := regexp.MustCompile(`(?s)\t\tsite wiki\.localhost.*?\n\t\t\}\n`)
	w.config = site.ReplaceAllLiteralString(w.config, lines)
	w.run(w.config)
	return w
}

// doctor is what the command prints, with only addresses changed.
func (w *routes) doctor(proxy string) string {
	w.Helper()
	text := strings.NewReplacer("listen ", "listen 127.0.0.1:", "bind :", "bind 127.0.0.1:").Replace(w.printed(proxy))
	for i, s := range w.sites {
		text = strings.ReplaceAll(text, fmt.Sprint("127.0.0.1:", 3000+i), s.app.addr)
	}
	return text
}

// printed is what doctor prints.
func (w *routes) printed(proxy string) string {
	w.Helper()
	response, err := http.Get("http://" + w.admin + "/gatehouse/status?proxy=" + proxy)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	var status struct{ Snippet string }
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil || status.Snippet == "" {
		w.Fatalf("doctor --proxy %s: %s, %v", proxy, response.Status, err)
	}
	return status.Snippet
}

// parts are the heads of files in what is printed.
var parts = regexp.MustCompile(`(?m)^(?:#|--) ---- (\S+) ----\n`)

// write takes the printed files apart.
func (w *routes) write(proxy string) {
	w.Helper()
	text := w.doctor(proxy)
	if proxy == "nginx" { // what is printed is to be included
		text += "# ---- nginx.conf ----\n" + w.example("nginx/nginx.conf")
	}
	names, bodies := parts.FindAllStringSubmatch(text, -1), parts.Split(text, -1)[1:]
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(w.dir, name[1]), []byte(bodies[i]), 0o600); err != nil {
			w.Fatal(err)
		}
	}
}

// spelled is one way to name hosts in a request.
type spelled struct {
	line  string   // before the path: nothing, or what makes it a whole URL
	hosts []string // Host headers
	http  string   // 1.1 or 1.0
}

// waysToName name victim where own is meant, or the other way round, in all ways
// that proxies have been led astray with.
func waysToName(own, victim string) []spelled {
	bare := func(host string) string { name, _, _ := net.SplitHostPort(host); return name }
	dot := func(host string) string { name, port, _ := net.SplitHostPort(host); return name + ".:" + port }
	names := func(host string) []string {
		return []string{host, bare(host), dot(host), bare(host) + ".", strings.ToUpper(host), bare(host) + ":80", bare(host) + ":", "x@" + host}
	}
	var all []spelled
	add := func(line string, hosts ...string) {
		all = append(all, spelled{line, hosts, "1.1"}, spelled{line, hosts, "1.0"})
	}
	for _, host := range append(names(own), names(victim)...) {
		add("", host)
	}
	add("")
	add("", "")
	for _, pair := range [][2]string{{own, victim}, {victim, own}} {
		for _, first := range names(pair[0]) {
			add("http://"+first, pair[1])
			add("HTTP://"+first, bare(pair[1]))
		}
		add("http://"+pair[0], pair[0])
		add("http://" + pair[0])
		add("https://"+pair[0], pair[1])
		add("http://"+pair[0]+"@"+pair[1], pair[0])
		add("http://"+pair[0]+"@"+pair[1], pair[1])
		for _, end := range []string{"?", "?a=b&", "#", "\\", ";", "%3f", "%23", "%5c"} { // where a host ends, for one server and not for another
			add("http://"+pair[0]+end+"@"+pair[1], pair[0])
			add("http://"+pair[0]+end+"@"+pair[1], pair[1])
		}
		add("http:"+pair[0], pair[1])
		add("//"+pair[0], pair[1])
		for _, list := range []string{", ", ",", " ", "; ", "\t", "@", "/", "#", "\x00", "%2c"} {
			add("", pair[0]+list+pair[1])
			add("", bare(pair[0])+list+bare(pair[1]))
			add("http://"+pair[0], pair[0]+list+pair[1])
			add("http://"+pair[0], pair[1]+list+pair[0])
		}
		add("", pair[0], pair[1])
		add("", pair[0], "")
		add("", "", pair[0])
		add("http://"+pair[0], pair[0], pair[1])
		add("http://"+pair[0], pair[1], pair[1])
	}
	return all
}

// try asks for what a visitor may not see, in all spellings and at both
// addresses, and looks where it arrives.
func (w *routes) try(t *testing.T) {
	wiki, blog, second, apps := w.sites[0], w.sites[1], w.sites[2], w.sites[3]
	blogger, wikist, appist := w.visitor(), w.visitor(), w.visitor()
	w.signInTo(blogger, blog, "blogger@example.com")
	w.signInTo(blogger, second, "blogger@example.com")
	w.signInTo(wikist, wiki, "wikist@example.com")
	w.signInTo(appist, apps, "appist@example.com")
	for _, s := range w.sites {
		s.app.requests()
	}

	// Nobody, and who may see the blogs alone, gets at these alone.
	tried := 0
	for _, victim := range []*routed{wiki, apps} {
		for _, own := range []*routed{blog, second} {
			cookies := blogger.at("http://" + own.host).cookies()
			for _, s := range waysToName(own.host, victim.host) {
				for _, path := range []string{"/secret", "/public/x"} {
					for _, port := range []string{w.port, w.second} {
						for _, cookie := range []string{"Accept: */*", cookies} {
							w.send(port, s, path, cookie)
							tried++
							w.check(t, s, path, cookie)
						}
					}
				}
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d requests were tried", tried)
	}

	// Who may, does: with what the site is called, whatever the request said.
	for _, c := range []struct {
		v    *visitor
		site *routed
		also []string // further headers
	}{{blogger, blog, nil}, {blogger, second, nil}, {wikist, wiki, nil}, {appist, apps, nil}, {wikist, wiki, routeClaims}, {appist, apps, routeClaims}} {
		_, port, _ := net.SplitHostPort(c.site.host)
		for _, path := range []string{"/secret?x=1", "/a%2fb//c?y"} {
			for _, line := range []string{"", "http://" + c.site.host} {
				w.send(port, spelled{line, []string{c.site.host}, "1.1"}, path, append([]string{c.v.at("http://" + c.site.host).cookies()}, c.also...)...)
				reached := c.site.app.requests()
				want := path
				if w.tidies {
					want = strings.NewReplacer("%2f", "%2F", "//", "/").Replace(path)
				}
				if len(reached) != 1 || reached[0].URI != want || reached[0].Host != c.site.host {
					t.Fatalf("%s%s arrives as %+v", c.site.host, path, reached)
				}
				checkRoute(t, reached[0], c.site.host)
			}
		}
	}
	w.send(w.port, spelled{"http://" + blog.host, []string{blog.host}, "1.1"}, "", blogger.at("http://"+blog.host).cookies())
	if reached := blog.app.requests(); len(reached) != 1 || reached[0].URI != "/" {
		t.Errorf("a URL without a path arrives as %+v", reached)
	}
	w.send(w.port, spelled{"", []string{blog.host}, "1.1"}, "/public/x")
	if reached := blog.app.requests(); len(reached) != 1 || len(reached[0].header("Remote-User")) > 0 {
		t.Errorf("the public page arrives as %+v", reached)
	}
}

// check looks at where a request of somebody who may see the blogs alone went.
func (w *routes) check(t *testing.T, s spelled, path, cookie string) {
	t.Helper()
	for i, site := range w.sites {
		for _, got := range site.app.requests() {
			switch {
			case i == 0 || i == 3:
				t.Fatalf("%q, Host %q, HTTP/%s, %s, %.20s: arrives at %s", s.line, s.hosts, s.http, path, cookie, site.pattern)
			case !strings.HasPrefix(got.URI, "/"):
				t.Fatalf("%q, Host %q, HTTP/%s: the app of %s is told of %q, whose host it may believe", s.line, s.hosts, s.http, site.pattern, got.URI)
			case got.Host != site.host && !(w.tidies && sameHost(got.Host, site.host)):
				t.Fatalf("%q, Host %q, HTTP/%s: the app of %s is told %q", s.line, s.hosts, s.http, site.host, got.Host)
			case strings.Contains(got.URI, "secret") && len(got.header("Remote-User")) == 0:
				t.Fatalf("%q, Host %q, HTTP/%s, %s: nobody is let in", s.line, s.hosts, s.http, path)
			}
			checkRoute(t, got, got.Host)
		}
	}
}

// sameHost tells whether one is the other in capitals, or with the dot of the root.
func sameHost(one, other string) bool {
	return strings.EqualFold(strings.Replace(one, ".:", ":", 1), other)
}

// send writes one request to the proxy's address with this port, and waits for
// the answer or the end.
func (w *routes) send(port string, s spelled, path string, header ...string) {
	w.Helper()
	text := "GET " + s.line + path + " HTTP/" + s.http + "\r\n"
	for _, host := range s.hosts {
		text += "Host: " + host + "\r\n"
	}
	c := (&server{TB: w.TB, port: port}).wire()
	defer c.Close()
	fmt.Fprint(c, text+strings.Join(append(header, "Connection: close"), "\r\n")+"\r\n\r\n")
	_, _ = c.r.ReadString(0) // all of it
}

// signInTo signs in at a site, through the portal.
func (w *routes) signInTo(v *visitor, s *routed, address string) {
	w.Helper()
	at := v.at("http://" + s.host)
	if got, _ := at.follow("/"); got.StatusCode == http.StatusOK && strings.Contains(got.body, address) {
		return // the portal knows
	}
	w.signInAt(at, "/", address).must(w, http.StatusOK).shows(w, address)
}

// routeClaims are what a client says of which request this is, by every name
// that some framework or server believes, and in the spellings that they fold.
var routeClaims = func() (all []string) {
	for _, name := range []string{
		"X-Original-URL", "X-Original-URI", "X-Original-Path", "X-Original-Host", "X-Rewrite-URL", "X-Rewrite-URI", "X-Override-URL", "X-Replaced-Path",
		"X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Method", "X-Original-Method", "X-Host", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server",
	} {
		for _, name := range []string{name, strings.ReplaceAll(name, "-", "_"), strings.ToLower(strings.ReplaceAll(name, "-", "."))} {
			all = append(all, name+": /forged")
		}
	}
	return append(all, "Forwarded: host=forged;proto=https")
}()

// checkRoute: the app is told of the request that was judged.
func checkRoute(t *testing.T, s seen, host string) {
	t.Helper()
	for name, values := range s.Header {
		if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "forged") }) {
			t.Errorf("the app sees %s: %q", name, values)
		}
	}
	if got := s.header("X-Forwarded-Host"); !slices.Equal(got, []string{host}) {
		t.Errorf("the app of %s sees X-Forwarded-Host: %q", host, got)
	}
	if got := s.header("X-Forwarded-Proto"); !slices.Equal(got, []string{"http"}) {
		t.Errorf("the app of %s sees X-Forwarded-Proto: %q", host, got)
	}
}
