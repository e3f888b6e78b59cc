package caddymodule

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// An app that reads its user from a header of its own gets it, and nobody else
// can write it, in any spelling that the app may take for it.
func TestHeaderOfAnyName(t *testing.T) {
	b := newBothWays(t, nil, "", "*@example.com", []string{"X-Webauth-User", "X-Local", "X-Groups", "X-Sub", "X-Name"},
		"public /open", "header X-WEBAUTH-USER email", "header X-Local local", "header X-Groups groups", "header X-Sub sub", "header X-Name name")
	cookie := b.signedIn("alice@example.com")
	b.each(t, func(t *testing.T, host string) {
		for _, spelling := range []string{"X-Webauth-User", "x-webauth-user", "X_Webauth_User", "X.Webauth.User", "XWebauthUser", "X-Web-Auth-User"} {
			if host == "wiki.example.com" && spelling != "X-Webauth-User" {
				continue // the other spellings are the proxy's to take away
			}
			for _, path := range []string{"/", "/open"} {
				h := readEcho(t, b.at(host, "GET", path, cookie, spelling+": root@evil.test", "X-Local: root", "Connection: X-Webauth-User")).Header
				for name, want := range map[string]string{"X-Webauth-User": "alice@example.com", "X-Local": "alice", "X-Groups": "staff", "X-Name": "", "Remote-User": "alice@example.com"} {
					if got := strings.Join(h[name], "|"); got != want {
						t.Errorf("%s with %s: %s is %q, want %q", path, spelling, name, got, want)
					}
				}
				if len(h.Get("X-Sub")) < 16 || strings.Contains(strings.Join(h["X-Sub"], ""), "@") {
					t.Errorf("%s: X-Sub is %q", path, h["X-Sub"])
				}
			}
			h := readEcho(t, b.at(host, "GET", "/open", spelling+": root@evil.test")).Header
			for name, values := range h {
				if strings.Contains(strings.Join(values, ""), "root") {
					t.Errorf("nobody with %s: the app gets %s: %q", spelling, name, values)
				}
			}
		}
	})
}

// What one gate sets, no handler of the configuration lets through: the same app
// may stand behind several.
func TestHeaderOfAnyNameIsTakenAwayEverywhere(t *testing.T) {
	f := newFixture(t)
	f.gate(func(g *Gate) { g.Fields = []gate.Field{{Name: "X-WEBAUTH-USER", Value: "email"}} })
	other := f.gate(func(g *Gate) { g.Public = []string{"/public"}; g.Paths = []string{"/public", "/guarded"} })
	for _, path := range []string{"/public", "/beside"} {
		_, r := ask(other, "GET", testSite+path, "X_webauth-User: root")
		if r == nil || r.Header["X_webauth-User"] != nil {
			t.Errorf("%s: the app got %v", path, r)
		}
	}
	if _, r := ask(joined(f.app, new(Cleaner)), "GET", testSite+"/", "x.webauth.user: root"); r == nil || r.Header[strings.ToLower("X.Webauth.User")] != nil {
		t.Errorf("gatehouse_clean let %v through", r)
	}
	r := request("POST", testSite+"/public", "X-Other: 1")
	r.Body, r.Trailer = io.NopCloser(strings.NewReader("x")), http.Header{"X-Webauth-User": nil, "X-Sum": nil}
	handler(other, &recordingApp{}).ServeHTTP(newRecorder(), r)
	if _, ok := r.Trailer["X-Webauth-User"]; ok {
		t.Error("as a trailer it stays announced")
	}
}

// Of several gates on one request the last one's headers count.
func TestHeadersOfTheLastGate(t *testing.T) {
	f := newFixture(t)
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	outer := f.gate(func(g *Gate) { g.Fields = []gate.Field{{Name: "X-Outer", Value: "email"}} })
	inner := f.gate(func(g *Gate) {
		g.Fields = []gate.Field{{Name: "X-Inner", Value: "local"}}
		g.Headers = []string{"none"}
	})
	app := &recordingApp{}
	handler(outer, handlerFunc(func(w http.ResponseWriter, r *http.Request) error { return inner.ServeHTTP(w, r, app) })).
		ServeHTTP(newRecorder(), request("GET", testSite+"/", cookie))
	if h := app.last().Header; h.Get("X-Outer") != "" || h.Get("Remote-User") != "" || h.Get("X-Inner") != "alice" {
		t.Errorf("%v", h)
	}
}

type handlerFunc func(http.ResponseWriter, *http.Request) error

func (h handlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) error { return h(w, r) }

func TestHeadersThatCannotName(t *testing.T) {
	for _, name := range []string{
		"", "X Y", "X_User", "X.User", "X-Üser", "X:Y", strings.Repeat("x", 65), "-", "Cookie", "cookie", "Author-ization", "Host", "Content-Type", "Transfer-Encoding", "TE",
		"X-Forwarded-For", "XForwardedHost", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via", "Sec-Fetch-Site", "Sec-Anything", "If-Match", "Accept", "Access-Control-Allow-Origin",
		"Proxy-Authorization", "Connection", "Upgrade", "Remote-User", "RemoteUser", "X-Gatehouse-Token", "X-Rewrite-URL", "X-HTTP-Method-Override", "Set-Cookie", "User-Agent", "CF-Connecting-IP", "Last-Event-ID", "last-event-id", "Caddy-Templates-Include", "Caddy-Anything", "X-Sendfile-Type", "Origin", "Referer",
	} {
		if err := gate.CheckFields([]gate.Field{{Name: name, Value: "email"}}); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	for _, fields := range [][]gate.Field{
		{{Name: "X-User", Value: "address"}}, {{Name: "X-User", Value: ""}},
		{{Name: "X-User", Value: "email"}, {Name: "XUser", Value: "sub"}},
	} {
		if err := gate.CheckFields(fields); err == nil {
			t.Errorf("%v is taken", fields)
		}
	}
	if err := gate.CheckFields([]gate.Field{{Name: "X-WEBAUTH-USER", Value: "email"}, {Name: "X-User", Value: "local"}, {Name: "Iframe-User", Value: "sub"}}); err != nil {
		t.Error(err)
	}
}

// What another proxy must copy and take away has the site's own headers.
func TestProxySnippetHasHeadersOfAnyName(t *testing.T) {
	f := newFixture(t)
	f.authz(func(a *Authz) {
		a.Sites = []*AuthzSite{{Site: "wiki.example.com", Allow: []string{"any"}, Headers: []string{"none"}, Fields: []gate.Field{{Name: "X-WEBAUTH-USER", Value: "email"}}}}
	})
	for proxy, want := range map[string]string{
		"nginx": "proxy_set_header X-Webauth-User $is_x_webauth_user;", "haproxy": `local identity = { "x-webauth-user" }`,
		"traefik": "          - X-Webauth-User\n", "envoy": "- exact: x-webauth-user\n", "caddy": "copy_headers X-Webauth-User\n",
	} {
		text, err := f.app.snippet(proxy)
		must(t, err)
		if !strings.Contains(text, want) {
			t.Errorf("%s has no %q:\n%s", proxy, want, text)
		}
	}
}
