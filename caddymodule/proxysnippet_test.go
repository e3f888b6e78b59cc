package caddymodule

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/examples"
)

func TestProxySnippets(t *testing.T) {
	f := newFixture(t)
	if _, err := f.app.proxySnippet("nginx"); err == nil || !strings.Contains(err.Error(), "gatehouse_authz {") {
		t.Errorf("without gatehouse_authz: %v", err)
	}
	f.authz().address = "10.1.2.3:9099"
	for proxy, want := range map[string][]string{
		"nginx":   {"server_name wiki.example.com *.apps.example.com fresh.apps.example.com", "server 10.1.2.3:9099;", "/api/authz/auth-request"},
		"haproxy": {"http://10.1.2.3:9099/api/authz/forward-auth", "-- ---- gatehouse.lua ----"},
		"traefik": {"http://10.1.2.3:9099/api/authz/forward-auth", "(Host(`wiki.example.com`) || HostRegexp(`^[^.]+\\.apps\\.example\\.com$`)"},
		"envoy":   {`domains: ["wiki.example.com", "*.apps.example.com"`, "path_prefix: /api/authz/ext-authz"},
		"caddy":   {"wiki.example.com, *.apps.example.com, fresh.apps.example.com", "forward_auth 10.1.2.3:9099 {"},
	} {
		text, err := f.app.proxySnippet(proxy)
		must(t, err)
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %q", proxy, part)
			}
		}
		if left := withoutComments(text); strings.Contains(left, examples.Host) || strings.Contains(left, "9091") {
			t.Errorf("%s speaks of the example's own names:\n%s", proxy, left)
		}
	}
	for _, proxy := range []string{"apache", "", "../nginx", "kubernetes"} {
		if _, err := f.app.proxySnippet(proxy); err == nil || !strings.Contains(err.Error(), "nginx, haproxy") {
			t.Errorf("%q: %v", proxy, err)
		}
	}
}

func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// No example lets a request pass when Gatehouse does not answer.
func TestExamplesFailClosed(t *testing.T) {
	for _, proxy := range append(examples.Proxies, "kubernetes") {
		text, err := examples.Read(proxy)
		must(t, err)
		for _, open := range []string{"failure_mode_allow:", "=200", "trustForwardHeader: true", "0.0.0.0/0"} {
			if strings.Contains(text, open) {
				t.Errorf("%s has %q", proxy, open)
			}
		}
	}
}

// The Caddyfile in the Kubernetes example is one.
func TestKubernetesCaddyfile(t *testing.T) {
	text, err := examples.Read("kubernetes")
	must(t, err)
	_, rest, _ := strings.Cut(text, "  Caddyfile: |\n")
	var caddyfile strings.Builder
	for line := range strings.Lines(rest) {
		inner, ok := strings.CutPrefix(line, "    ")
		if !ok {
			break
		}
		caddyfile.WriteString(inner)
	}
	if result, text := adapt(caddyfile.String()); result != ".json" {
		t.Errorf("%s\n%s", text, caddyfile.String())
	}
}
