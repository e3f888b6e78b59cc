package caddymodule

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
)

// Behind a proxy that is not listed all people count as one client, and the log
// must say what to do when they meet the limit.
func TestLimitBehindAnUnknownProxy(t *testing.T) {
	for _, test := range []struct {
		name, peer, forwarded string
		trusted, warns        bool
	}{
		{"private peer", "10.0.0.1:99", "203.0.113.7", false, true},
		{"this machine", "127.0.0.1:99", "203.0.113.7", false, true},
		{"listed", "10.0.0.1:99", "203.0.113.7", true, false},
		{"no proxy", "10.0.0.1:99", "", false, false},
		{"from the internet", "203.0.113.9:99", "198.51.100.1", false, false},
	} {
		f := newFixture(t, func(_ *fixture, c *authcore.Config) {
			c.Limits.PerClient = []limit.Rate{{Count: 2, Per: time.Hour}}
		})
		g := f.gate(nil)
		for i := range 4 {
			r := httptest.NewRequest("POST", testSite+"/_gatehouse/login", strings.NewReader(fmt.Sprintf("email=a%d@example.com", i)))
			r.RemoteAddr = test.peer
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if test.forwarded != "" {
				r.Header.Set("X-Forwarded-For", test.forwarded)
			}
			w := newRecorder()
			handler(g, &recordingApp{}, func(vars map[string]any) { vars[caddyhttp.TrustedProxyVarKey] = test.trusted }).ServeHTTP(w, r)
			if want := map[bool]int{true: 303, false: 429}[i < 2]; w.Code != want {
				t.Errorf("%s: start %d: %d, want %d", test.name, i, w.Code, want)
			}
		}
		if lines := f.logs.FilterMessageSnippet("trusted_proxies").Len(); lines != map[bool]int{true: 1}[test.warns] {
			t.Errorf("%s: %d lines about trusted_proxies", test.name, lines)
		}
	}
}

// Whoever writes another address each time, in the header that the proxy does not set,
// is one client for limits, and in no network of client_ip.
func TestDisputedClientsCountAsOne(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		one     bool
	}{
		"no other header":      {nil, false},
		"X-Real-IP of a proxy": {[]string{"X-Real-Ip: 203.0.113.9"}, true},
		"Forwarded of a proxy": {[]string{"Forwarded: for=203.0.113.9;proto=https"}, true},
	} {
		f := newFixture(t, func(_ *fixture, c *authcore.Config) {
			c.Limits.PerClient = []limit.Rate{{Count: 2, Per: time.Hour}}
		})
		g := f.gate(nil)
		narrow := f.gate(func(g *Gate) { g.ClientIP, g.Public = []string{"198.51.100.0/24", "10.0.0.0/8"}, []string{"/public"} })
		for i := range 4 {
			client := func(vars map[string]any) {
				vars[caddyhttp.TrustedProxyVarKey], vars[caddyhttp.ClientIPVarKey] = true, fmt.Sprintf("198.51.100.%d", i)
			}
			r := request("POST", testSite+"/_gatehouse/login", append(c.headers, "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin")...)
			r.Body = io.NopCloser(strings.NewReader(fmt.Sprintf("email=a%d@example.com", i)))
			r = withLocalPort(r, 443)
			r.RemoteAddr = "10.0.0.1:99"
			w := newRecorder()
			handler(g, &recordingApp{}, client).ServeHTTP(w, r)
			if want := map[bool]int{true: 429, false: 303}[c.one && i >= 2]; w.Code != want {
				t.Errorf("%s: start %d: %d, want %d", name, i, w.Code, want)
			}
			app := &recordingApp{}
			r = withLocalPort(request("GET", testSite+"/public", c.headers...), 443)
			r.RemoteAddr = "10.0.0.1:99"
			handler(narrow, app, client).ServeHTTP(newRecorder(), r)
			if got := app.last() != nil; got == c.one {
				t.Errorf("%s: client_ip lets it pass: %v", name, got)
			}
		}
	}
}

// IPv4 networks in the form of IPv6 are the same networks.
func TestNetworksInIPv6(t *testing.T) {
	for text, want := range map[string]string{
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:127.0.0.1/128": "127.0.0.1/32", "::ffff:127.0.0.1": "127.0.0.1/32", "2001:db8::/32": "2001:db8::/32", "::/0": "::/0",
	} {
		if got, err := parseCIDR("client_ip", text); err != nil || got.String() != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"::ffff:10.0.0.1/104", "::ffff:10.0.0.0/95", "10.0.0.1/8"} {
		if got, err := parseCIDR("trust", text); err == nil {
			t.Errorf("%s is taken as %v", text, got)
		}
	}
	f := newFixture(t)
	for _, network := range []string{"::ffff:192.0.2.0/120", "192.0.2.0/24"} {
		g := f.gate(func(g *Gate) { g.ClientIP = []string{network} })
		if w, _ := ask(g, "GET", testSite+"/", "Cookie: "+f.signIn("alice@example.com", testSite)); w.Code != 200 {
			t.Errorf("client_ip %s: %d", network, w.Code)
		}
	}
}
