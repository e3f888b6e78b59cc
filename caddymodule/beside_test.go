package caddymodule

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// besideApp shows what it received, and tries to set cookies of ours.
func besideApp(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Set-Cookie", "__Host-gatehouse=stolen; Secure; Path=/")
	w.Header().Add("Set-Cookie", "own=1")
	echo(w, r)
}

// besideSite is a site with these lines in it.
func besideSite(lines ...string) string {
	return "https://app.example.com:{port} {\n	bind 127.0.0.1\n	tls {tls}\n	" + strings.Join(lines, "\n	") + "\n}\n"
}

// checkCleaned sends what a stranger with somebody's cookie would, and looks at
// what the app sees of it.
func (c *gatedCaddy) checkCleaned(t *testing.T, name, path, cookie string, headers ...string) {
	t.Helper()
	lines := append([]string{"POST " + path + " HTTP/1.1", "Host: {host}", "Cookie: a=b; " + cookie, "Remote-User: root", "remote-email: root@evil.test",
		"X-Forwarded-User: root", "X-Rewrite-Url: /admin", "X-Hop: 1", "Upgrade: h2c", "Connection: close, Upgrade, X-Hop, Remote-Groups",
		"Transfer-Encoding: chunked", "Trailer: X-Sum, Remote-Name"}, headers...)
	resp := c.raw(append(lines, "", "2", "hi", "0", "X-Sum: 1", "Remote-Name: root", "Cookie: "+cookie, "", "")...)
	set := strings.Join(resp.Header["Set-Cookie"], "; ")
	e := readEcho(t, resp)
	if len(e.claims()) > 0 || e.Header.Get("Cookie") != "a=b" || e.Header.Get("Upgrade") != "" || e.Header.Get("X-Hop") != "" || len(e.Trailer) != 1 || e.Body != "hi" {
		t.Errorf("%s: the app saw %v, trailers %v", name, e.Header, e.Trailer)
	}
	if set != "own=1" {
		t.Errorf("%s: the app could set %q", name, set)
	}
}

// A named matcher says for which requests a gate stands. All others went to the
// app as strangers had made them, with any Remote-User and our cookies.
func TestRequestsBesideANamedMatcherAreCleaned(t *testing.T) {
	c := newGatedCaddy(t, http.HandlerFunc(besideApp))
	for name, test := range map[string]struct {
		matcher string
		headers []string // that lead beside the gate
	}{
		"not path":    {"not path /rest/*", nil},
		"not address": {"not remote_ip 127.0.0.0/8", nil},
		"header":      {"header X-Api *", nil},
		"no header":   {"not header X-Key *", []string{"X-Key: 1"}},
		"expression":  {"expression `!path('/rest/*')`", nil},
		"block":       {"{\n	path /admin/*\n	method GET\n	}", nil},
	} {
		c.run("", "", besideSite("@x "+test.matcher, "gatehouse @x *@example.com", "reverse_proxy {app}"))
		cookie := c.session("alice@example.com")
		c.checkCleaned(t, name, "/rest/x", cookie, test.headers...)
		login := c.fetch(c.client(false), "GET", "/_gatehouse/login", nil, page)
		if body, _ := io.ReadAll(login.Body); login.StatusCode != 200 || !strings.Contains(string(body), `name="email"`) {
			t.Errorf("%s: the form: %s", name, login.Status)
		}
		if resp := c.fetch(c.client(false), "GET", "/admin/x", nil, "X-Api: 1", page); name != "not address" && resp.StatusCode != 302 {
			t.Errorf("%s: a visitor at the gate: %s", name, resp.Status)
		}
	}
}

// Where a matcher can't tell, the gate asks.
func TestMatcherThatFailsIsGuarded(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("", "", besideSite("@x expression `int({header.X-N}) > 3`", "gatehouse @x *@example.com", "reverse_proxy {app}"))
	for n, want := range map[string]int{"9": 401, "1": 200, "x": 401, "": 401} {
		if resp := c.fetch(c.client(false), "GET", "/", nil, "X-N: "+n); resp.StatusCode != want {
			t.Errorf("X-N %q: %s, want %d", n, resp.Status, want)
		}
	}
}

// Gates with matchers share a site: each has its own hosts, and the pages, which
// the first of them serves, are there for the visitors of all.
func TestLimitedGatesShareTheirPages(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("", "", `https://*.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	@intern host intern.example.com
	@wiki host wiki.example.com
	gatehouse @intern alice@example.com {
		client_ip 192.0.2.0/24
	}
	gatehouse @wiki *@example.com
	gatehouse /admin/* alice@example.com {
		client_ip 192.0.2.0/24
	}
	reverse_proxy {app}
}`)
	client := c.client(false)
	for _, test := range []struct {
		host, path string
		want       int
	}{
		{"wiki", "/_gatehouse/login", 200}, {"wiki", "/", 302}, {"intern", "/", 403},
		{"wiki", "/admin/x", 302}, {"other", "/", 200},
	} {
		r, err := http.NewRequest("GET", c.origin(test.host+".example.com")+test.path, nil)
		must(t, err)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		resp, err := client.Do(r)
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%s%s: %s, want %d", test.host, test.path, resp.Status, test.want)
		}
	}
	in := c.signInAt("alice@example.com", "wiki.example.com")
	r, err := http.NewRequest("GET", c.origin("wiki.example.com")+"/", nil)
	must(t, err)
	r.Header.Set("Cookie", "__Host-gatehouse="+in.Token)
	resp, err := client.Do(r)
	must(t, err)
	defer resp.Body.Close()
	if got := readEcho(t, resp); got.Header.Get("Remote-User") != "alice@example.com" {
		t.Errorf("%v", got.Header)
	}
}
