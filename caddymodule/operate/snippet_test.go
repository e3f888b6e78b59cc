package operate

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/examples"
)

// With the headers that the examples have, the examples stay as they are.
func TestSnippetKeepsTheExamplesHeaders(t *testing.T) {
	asks := &Asks{Headers: []string{"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups"}}
	asks.Claims = slices.Concat(asks.Headers, []string{
		"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Forwarded-Groups",
		"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username", "X-Auth-Request-Groups",
		"Cf-Access-Authenticated-User-Email", "Cf-Access-Jwt-Assertion", "X-Gatehouse-Assertion",
	})
	for _, proxy := range examples.Proxies {
		text, err := examples.Read(proxy)
		if err != nil {
			t.Fatal(err)
		}
		if got := asks.nameHeaders(text); sorted(got) != sorted(text) {
			t.Errorf("%s changes:\n%s", proxy, got)
		}
	}
}

// sorted is text with its lines in order: which header comes first says nothing.
func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// What the examples say of running them as they stand holds for no other configuration.
func TestSnippetsSayNothingOfTheExample(t *testing.T) {
	site, err := origin.ParseSitePattern("wiki.example.com")
	if err != nil {
		t.Fatal(err)
	}
	i := new(Instance)
	i.Asks = &Asks{Address: examples.Address, Scheme: "https", Sites: []origin.SitePattern{site}}
	for _, proxy := range examples.Proxies {
		text, err := i.Snippet(proxy)
		if err != nil {
			t.Fatal(err)
		}
		for _, said := range []string{"../Caddyfile", "gatehouse run", "then open"} {
			if strings.Contains(text, said) {
				t.Errorf("%s says %q:\n%.600s", proxy, said, text)
			}
		}
		if !strings.Contains(text, " before each request") && proxy != "traefik" {
			t.Errorf("%s: the head is lost:\n%.600s", proxy, text)
		}
	}
}

// What listens here may stand at the example's address of the other.
func TestSnippetsOfSwappedAddresses(t *testing.T) {
	for _, c := range []struct{ address, portal string }{
		{"127.0.0.1:8081", ""}, {"127.0.0.1:8081", "127.0.0.1:9091"}, {"127.0.0.1:8081", "127.0.0.1:8080"}, {"127.0.0.1:7000", "127.0.0.1:9091"},
	} {
		asks := &Asks{Address: c.address, Portal: c.portal}
		text := asks.addressed("ask " + examples.Address + " and " + examples.Portal + "; address: 127.0.0.1, port_value: 9091")
		_, port, _ := strings.Cut(c.address, ":")
		if want := "ask " + c.address + " and " + c.portal + "; address: 127.0.0.1, port_value: " + port; text != want {
			t.Errorf("%+v: %q, want %q", c, text, want)
		}
	}
}

// TestSnippetOfASocket: no proxy takes the path of a socket for a host and a port.
func TestSnippetOfASocket(t *testing.T) {
	for _, asks := range []*Asks{{Address: "unix//run/ask.sock"}, {Address: "127.0.0.1:9091", Portal: "unix//run/portal.sock; server 192.0.2.1:80"}, {Address: "unix/@abstract", Portal: "127.0.0.1:8081"}} {
		for _, proxy := range examples.Proxies {
			if text, err := New(Config{Asks: asks}).Snippet(proxy); err == nil || !strings.Contains(err.Error(), "bind 127.0.0.1") {
				t.Errorf("%+v, %s: %v\n%s", asks, proxy, err, text)
			}
		}
	}
}
