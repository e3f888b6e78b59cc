package caddymodule

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// bothWays is one app behind a gate and behind another proxy that asks
// gatehouse_authz, with the same options, in a real Caddy: app.example.com is
// inline, wiki.example.com asks. People sign in at auth.example.com, with one
// session for all three.
type bothWays struct {
	*gatedCaddy
	asked  string // port that gatehouse_authz listens on
	behind string // the app at wiki.example.com
}

// hosts of both ways, as the names of subtests.
var bothHosts = map[string]string{"inline": "app.example.com", "forward-auth": "wiki.example.com"}

// newBothWays runs it. server stands in the options of the servers that browsers
// reach, copied are headers for forward_auth to copy.
func newBothWays(t testing.TB, app http.Handler, server, who string, copied []string, lines ...string) *bothWays {
	return newBothWaysWith(t, newGatedCaddy(t, app), server, "", who, copied, lines...)
}

// newBothWaysWith has global in the gatehouse block, too.
func newBothWaysWith(t testing.TB, c *gatedCaddy, server, global, who string, copied []string, lines ...string) *bothWays {
	b := &bothWays{gatedCaddy: c, asked: caddytest.FreePort(t)}
	wiki := httptest.NewServer(b.app.Config.Handler)
	t.Cleanup(wiki.Close)
	b.behind = strings.TrimPrefix(wiki.URL, "http://")
	b.run("domain example.com\n\t\tgroup staff alice@example.com\n\t\t"+global, server+b.trustingAuthz(), b.sites(who, copied, lines...))
	return b
}

func (b *bothWays) sites(who string, copied []string, lines ...string) string {
	options := strings.Join(lines, "\n\t\t")
	return fmt.Sprintf(`https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse %[1]s {
		%[2]s
	}
	reverse_proxy {app}
}
https://auth.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse_portal
}
https://wiki.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	route {
		request_header -Remote*
		request_header -Connection
		forward_auth 127.0.0.1:%[3]s {
			uri /api/authz/forward-auth
			copy_headers Remote-User Remote-Email Remote-Groups %[4]s
		}
		reverse_proxy %[5]s
	}
}
http://:%[3]s {
	bind 127.0.0.1
	gatehouse_authz {
		login https://auth.example.com:{port}
		site wiki.example.com:{port} %[1]s {
			%[2]s
		}
	}
}`, who, options, b.asked, strings.Join(copied, " "), b.behind)
}

// trustingAuthz has gatehouse_authz believe Caddy, and nobody anywhere else.
func (b *bothWays) trustingAuthz() string {
	return fmt.Sprintf("}\n\tservers 127.0.0.1:%s {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t\ttrusted_proxies_strict", b.asked)
}

// signedIn is the cookie of somebody who is signed in everywhere.
func (b *bothWays) signedIn(email string) string {
	b.Helper()
	return "Cookie: __Secure-gatehouse=" + b.signInAt(email, "auth.example.com").Token
}

// at asks one of the hosts.
func (b *bothWays) at(host, method, path string, headers ...string) *http.Response {
	b.Helper()
	r, err := http.NewRequest(method, b.origin(host)+path, nil)
	must(b, err)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	resp, err := b.client(false).Do(r)
	must(b, err)
	b.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// each runs a test for the app as it is reached both ways.
func (b *bothWays) each(t *testing.T, test func(t *testing.T, host string)) {
	for _, way := range slices.Sorted(maps.Keys(bothHosts)) {
		t.Run(way, func(t *testing.T) { test(t, bothHosts[way]) })
	}
}

// post sends a form as the page at host would.
func (b *bothWays) post(host, path string, form url.Values) *http.Response {
	b.Helper()
	r, err := http.NewRequest("POST", b.origin(host)+path, strings.NewReader(form.Encode()))
	must(b, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := b.client(false).Do(r)
	must(b, err)
	b.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func read(t testing.TB, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(body)
}
