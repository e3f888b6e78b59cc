package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// overTLS writes sites with a gate, and with one certificate for all of them:
// Caddy's own CA, asked for several at once, has raced.
func overTLS(t *testing.T, port string, hosts ...string) (sites string) {
	dir := t.TempDir()
	caddytest.WriteCertificate(t, dir, hosts...)
	for _, host := range hosts {
		sites += "https://" + host + ":" + port + " {\n\tbind 127.0.0.1\n\ttls " + dir + "/cert.pem " + dir + "/key.pem\n\tlog\n\tgatehouse any\n\treverse_proxy APP\n}\n"
	}
	return sites
}

// Over https the cookies have names that only this very host can set.
func TestOverHTTPS(t *testing.T) {
	tlsPort := caddytest.FreePort(t)
	s := start(t, plan{
		caddy: "auto_https off",
		sites: overTLS(t, tlsPort, "app.localhost"),
	})
	alice := person("alice")
	b := s.browser()
	b.base = "https://app.localhost:" + tlsPort
	b.signIn(alice)
	names := slices.Sorted(maps.Keys(b.cookies()))
	if want := []string{"__Host-gatehouse", "__Host-gatehouse-device", "__Host-gatehouse-flow"}; !slices.Equal(names, want) {
		t.Errorf("the browser holds the cookies %v, want %v", names, want)
	}
	if b.open("/again"); b.path() != "/again" {
		t.Errorf("the next page led to %s", b.path())
	}
}

// With a domain one sign-in is good for all hosts under it, and for no other.
func TestSharedDomain(t *testing.T) {
	tlsPort := caddytest.FreePort(t)
	s := start(t, plan{
		caddy:  "auto_https off",
		global: "domain example.test",
		sites:  overTLS(t, tlsPort, "one.example.test", "two.example.test", "elsewhere.test"),
	})
	alice := person("alice")
	b := s.browser()
	b.base = "https://one.example.test:" + tlsPort
	b.signIn(alice)
	b.base = "https://two.example.test:" + tlsPort
	b.open("/two")
	if b.sees(alice); b.path() != "/two" {
		t.Errorf("the second site led to %s", b.path())
	}
	b.base = "https://elsewhere.test:" + tlsPort
	if b.open("/"); b.path() != "/_gatehouse/login?return_to=%2F" {
		t.Errorf("a host outside the domain is open, at %s", b.path())
	}
	b.base = "https://two.example.test:" + tlsPort
	b.open("/_gatehouse/logout")
	b.click("main form button")
	b.base = "https://one.example.test:" + tlsPort
	if b.open("/"); b.path() != "/_gatehouse/login?return_to=%2F" {
		t.Errorf("signed out at the one site, and in at the other, at %s", b.path())
	}
}
