package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Behind a proxy that takes /wiki away, visitors go back to where they were, and
// public paths are written as visitors see them. Clients can't choose the prefix.
func TestPrefix(t *testing.T) {
	b := newBothWays(t, nil, "", "*@example.com", nil, "prefix /wiki", "public pwa /wiki/open/*")
	b.each(t, func(t *testing.T, host string) {
		for path, want := range map[string]string{"/page?x=1": "/wiki/page?x=1", "/": "/wiki/", "/wiki/page": "/wiki/wiki/page", "/%C3%A9%20x": "/wiki/%C3%A9%20x"} {
			resp := b.at(host, "GET", path, append(slices.Clone(navigation), "X-Forwarded-Prefix: /evil")...)
			to, err := url.Parse(resp.Header.Get("Location"))
			must(t, err)
			got := strings.TrimPrefix(to.Query().Get("return_to"), b.origin(host))
			if resp.StatusCode != 302 || got != want {
				t.Errorf("%s: %s leads back to %q, want %q", path, resp.Status, got, want)
			}
		}
		for path, want := range map[string]int{
			"/open/x": 200, "/manifest.json": 200, "/apple-touch-icon-120x120.png": 200,
			"/wiki/open/x": 401, "/open/../x": 401, "/x": 401, "/open//x": 401, "//open/x": 401, "/wiki/manifest.json": 401,
		} {
			if got := b.at(host, "GET", path, "X-Forwarded-Prefix: /wiki/open").StatusCode; got != want {
				t.Errorf("%s: %d, want %d", path, got, want)
			}
		}
	})
}

// A gate's own path is written with the prefix, as public paths are.
func TestPrefixAndTheGatesOwnPath(t *testing.T) {
	for _, written := range []string{"/wiki/admin/*", "/wiki/admin", "/wiki/*/secret", "*.php"} {
		f := newFixture(t)
		g := f.gate(func(g *Gate) { g.Prefix, g.Paths = "/wiki", []string{written} })
		for path, guarded := range map[string]bool{"/admin/x": strings.Contains(written, "admin"), "/x/secret": strings.Contains(written, "secret"), "/x.php": written == "*.php", "/open": false} {
			if _, r := ask(g, "GET", testSite+path); (r == nil) != guarded {
				t.Errorf("%s: %s is guarded: %v", written, path, !guarded)
			}
		}
	}
	for pattern, want := range map[string]string{"/admin/*": "gatehouse /wiki/admin/*", "/wikis/x": "gatehouse /wiki/wikis/x"} {
		if err := (&Gate{Allow: []string{"any"}, Prefix: "/wiki", Paths: []string{pattern}}).parse(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	f := newFixture(t)
	if _, r := ask(f.gate(func(g *Gate) { g.Prefix, g.Paths = "/wiki", []string{"/wiki/*"} }), "GET", testSite+"/x"); r != nil {
		t.Error("all of the app is open")
	}
}

// What browsers fetch of an app that can be installed, and nothing else.
func TestPublicPWA(t *testing.T) {
	b := newBothWays(t, nil, "", "*@example.com", nil, "public pwa")
	open := []string{"/manifest.json", "/manifest.webmanifest", "/site.webmanifest", "/favicon.ico", "/apple-touch-icon.png", "/apple-touch-icon-precomposed.png", "/apple-touch-icon-180x180.png", "/manifest.json?v=2"}
	shut := []string{
		"/", "/sw.js", "/index.html", "/manifest.json/", "/manifest.json/x", "/x/manifest.json", "/MANIFEST.json", "/favicon.ico.bak", "/favicon.icon", "/apple-touch-icon.svg",
		"/apple-touch-icon/x.png", "/apple-touch-icon-/../admin.png", "/apple-touch-icon%2f..%2fadmin.png", "/apple-touch-icon;x.png", "/apple-touch-icon%3fadmin.png", "/apple-touch-icon-.x.png",
		"/apple-touch-icon%00.png", "/Apple-Touch-Icon.png", "/apple-touch-icon-x.png/admin", "/apple-touch-icon*.png", "//favicon.ico", "/pwa", "/manifest",
	}
	b.each(t, func(t *testing.T, host string) {
		for want, paths := range map[int][]string{200: open, 401: shut} {
			for _, path := range paths {
				if got := b.at(host, "GET", path).StatusCode; got != want {
					t.Errorf("%s: %d, want %d", path, got, want)
				}
			}
		}
	})
}

// shyApp counts the preflight requests that it gets and sees nothing else.
type shyApp struct {
	mu         sync.Mutex
	preflights int
}

func (a *shyApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		a.mu.Lock()
		a.preflights++
		a.mu.Unlock()
	}
	echo(w, r)
}

// Preflight requests bear no cookies. The gate answers those of the pages that may
// call, also on public paths, and the app never runs for one.
func TestPreflightsAreAnsweredByTheGate(t *testing.T) {
	app := &shyApp{}
	c := newGatedCaddy(t, app)
	c.runGate("*@example.com", "public /open", "cors https://board.example.com http://localhost:5173")
	client := c.client(false)
	preflight := func(from, path string, more ...string) *http.Response {
		return c.fetch(client, "OPTIONS", path, nil, append(more, "Origin: "+from, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: content-type,x-a")...)
	}
	for _, from := range []string{"https://board.example.com", "http://localhost:5173"} {
		for _, path := range []string{"/", "/open", "/x?y=1"} {
			h := preflight(from, path)
			if h.StatusCode != 204 || h.Header.Get("Access-Control-Allow-Origin") != from || h.Header.Get("Access-Control-Allow-Credentials") != "true" ||
				h.Header.Get("Access-Control-Allow-Methods") != "PUT" || h.Header.Get("Access-Control-Allow-Headers") != "content-type,x-a" || !strings.Contains(h.Header.Get("Vary"), "Origin") {
				t.Errorf("%s %s: %s %v", from, path, h.Status, h.Header)
			}
		}
	}
	if app.preflights != 0 {
		t.Errorf("the app got %d", app.preflights)
	}
	for _, from := range []string{"https://evil.test", "null", "https://board.example.com.evil.test", "http://board.example.com", "https://board.example.com:8443", "https://board.example.com/", "*"} {
		if h := preflight(from, "/"); h.StatusCode != 401 || h.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %s %v", from, h.Status, h.Header)
		}
	}
	if h := preflight("https://board.example.com", "/", "Origin: https://evil.test"); h.StatusCode != 401 {
		t.Errorf("two origins: %s", h.Status)
	}
	if h := c.fetch(client, "OPTIONS", "/", nil, "Origin: https://board.example.com"); h.StatusCode != 401 {
		t.Errorf("an OPTIONS that is no preflight: %s", h.Status)
	}
	// The script can read that a sign-in is needed, and that of no other page can.
	for from, want := range map[string]string{"https://board.example.com": "https://board.example.com", "https://evil.test": ""} {
		h := c.fetch(client, "GET", "/data", nil, "Origin: "+from, "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-site")
		if h.StatusCode != 401 || h.Header.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("%s: %s %v", from, h.Status, h.Header)
		}
	}
}

// A script of another site's page here leads back to that page, of any other to
// this one's front page.
func TestSignInLeadsBackToThePageOfAnotherSite(t *testing.T) {
	b := newBothWays(t, nil, "", "*@example.com", nil)
	b.each(t, func(t *testing.T, host string) {
		other := b.origin(map[string]string{"app.example.com": "wiki.example.com", "wiki.example.com": "app.example.com"}[host])
		for header, want := range map[string]string{
			"Referer: " + other + "/board?x=1": other + "/board?x=1", "Origin: " + other: other + "/",
			"Origin: https://evil.test": b.origin(host) + "/", "Referer: https://evil.test/a": b.origin(host) + "/", "Origin: null": b.origin(host) + "/", "Origin: " + b.origin(host): b.origin(host) + "/",
		} {
			resp := b.at(host, "GET", "/data", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Sec-Fetch-Site: same-site", header)
			_, form, _ := strings.Cut(resp.Header.Get("Www-Authenticate"), `login_url="`)
			login, err := url.Parse(strings.TrimSuffix(form, `"`))
			must(t, err)
			got := login.Query().Get("return_to")
			if strings.HasPrefix(got, "/") {
				got = b.origin(host) + got
			}
			if resp.StatusCode != 401 || got != want {
				t.Errorf("%s: %s leads back to %q, want %q", header, resp.Status, got, want)
			}
		}
	})
}

func TestPrefixesThatAreNone(t *testing.T) {
	for prefix, good := range map[string]bool{
		"/wiki": true, "/a/b-c_d.e~f": true, "wiki": false, "/wiki/": false, "/": false, "//wiki": false, "/wi ki": false, "/wiki/..": false, "/..": false, "/.": false, "/wiki%2f": false, "/_gatehouse": false, "/_gatehouse/x": false, "/wiki;x": false, "/wiki?x": false,
	} {
		if err := checkPrefix(prefix); (err == nil) != good {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
