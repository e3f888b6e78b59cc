package caddymodule

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/examples"
)

func TestProxySnippets(t *testing.T) {
	f := newFixture(t)
	if _, err := f.app.snippet("nginx"); err == nil || !strings.Contains(err.Error(), "gatehouse_authz {") || !strings.Contains(err.Error(), "servers 127.0.0.1:9091 {\n        trusted_proxies static") {
		t.Errorf("without gatehouse_authz: %v", err)
	}
	f.authz(func(a *Authz) { a.Sites[len(a.Sites)-1].Site = "http://app.localhost" }).address = "10.1.2.3:9099"
	for proxy, want := range map[string][]string{
		"nginx": {
			"server_name wiki.example.com;\n    set $site https://wiki.example.com;", "server_name *.apps.example.com;\n    set $site https://$host;", "set $site https://fresh.apps.example.com;",
			"\nserver {\n    listen 443 ssl;\n    ssl_certificate /etc/ssl/certs/wiki.example.com.pem;", "\nserver {\n    listen 80;\n    server_name app.localhost;\n    set $site http://app.localhost;",
			"listen 443 ssl;\n    ssl_certificate /etc/ssl/certs/auth.example.com.pem;\n    ssl_certificate_key /etc/ssl/private/auth.example.com.key;\n    server_name auth.example.com;\n",
			"proxy_pass http://10.1.2.3:8099;", "proxy_set_header Host auth.example.com;", "proxy_pass http://127.0.0.1:3000;", "proxy_pass http://127.0.0.1:3004;", "server 10.1.2.3:9099;", "/api/authz/auth-request",
		},
		"haproxy": {
			"acl site1 req.fhdr(Host) -i wiki.example.com wiki.example.com:443\n", "set-var(txn.site) str(wiki.example.com) if site1 { ssl_fc }\n", "set-var(txn.site) str(app.localhost) if site5 !{ ssl_fc }\n",
			"acl site2 req.fhdr(Host) -m reg -i ^[a-z0-9_-]+[.]apps[.]example[.]com(:443)?$\n    http-request set-var(txn.site) req.fhdr(Host),lower if site2 { ssl_fc }\n    acl site1",
			"use_backend site3 if site3 { ssl_fc }\n", "backend site3\n    server site3 127.0.0.1:3002\n", "bind :443 ssl crt", "bind :80\n", "acl signin req.fhdr(Host) -i auth.example.com auth.example.com:443\n    http-request set-var(txn.site) str(auth.example.com) if signin { ssl_fc }\n",
			"unless own || signin { ssl_fc }\n", "use_backend signin if signin { ssl_fc }\n    use_backend gatehouse if own\n", "server signin 10.1.2.3:8099\n", "http://10.1.2.3:9099/api/authz/forward-auth", "-- ---- gatehouse.lua ----",
		},
		"traefik": {
			"rule: Host(`auth.example.com`)\n      entryPoints: [port443]\n", "url: http://10.1.2.3:8099\n", "tls:\n  certificates:",
			"  port443:\n    address: :443\n    http:\n      tls: {}\n      aliasHeadersStrategy: delete\n", "  port80:\n    address: :80\n    http:\n      aliasHeadersStrategy: delete\n\nproviders",
			"    site1:\n      rule: Host(`wiki.example.com`)\n      entryPoints: [port443]\n      middlewares: [unclaimed, stays, site1-asks, spent]\n      service: site1\n",
			"    site2:\n      rule: HostRegexp(`^[^.]+\\.apps\\.example\\.com$`)\n      entryPoints: [port443]\n      middlewares",
			"    site2-socket:\n      rule: HostRegexp(`^[^.]+\\.apps\\.example\\.com$`) && HeaderRegexp(`Upgrade`, `(?i)^websocket$`)\n      entryPoints: [port443]\n      middlewares: [unclaimed, switches, site2-asks, spent]\n",
			"      rule: Host(`fresh.apps.example.com`)\n      entryPoints: [port443]\n      priority: 500000 # above the star's\n", "      entryPoints: [port443]\n      priority: 500001\n      middlewares: [unclaimed, switches",
			"http://10.1.2.3:9099/api/authz/forward-auth?site=https://*.apps.example.com\n", "forward-auth?site=http://app.localhost\n", "    site2:\n      loadBalancer:\n        servers:\n          - url: http://127.0.0.1:3001\n",
		},
		"envoy": {`domains: ["wiki.example.com", "wiki.example.com:443", "*.apps.example.com"`, `domains: ["auth.example.com", "auth.example.com:443"]`, "address: 10.1.2.3, port_value: 8099", "address: 0.0.0.0, port_value: 443", "DownstreamTlsContext", "path_prefix: /api/authz/ext-authz"},
		"caddy": {"auth.example.com {\n\tlog_skip /_gatehouse/handover\n\treverse_proxy 10.1.2.3:8099\n}", "wiki.example.com {\n", "*.apps.example.com {\n", "http://app.localhost {\n", "reverse_proxy 127.0.0.1:3004\n", "forward_auth 10.1.2.3:9099 {"},
	} {
		text, err := f.app.snippet(proxy)
		must(t, err)
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %q", proxy, part)
			}
		}
		if left := withoutComments(text); strings.Contains(left, "wiki.localhost") || strings.Contains(left, "auth.localhost") || strings.Contains(left, "9091") || strings.Contains(left, "808") {
			t.Errorf("%s speaks of the example's own names:\n%s", proxy, left)
		}
		if proxy == "nginx" && (strings.Contains(text, "http {") || strings.Contains(text, "default_server") || strings.Count(text, "\nserver {") != 6) {
			t.Errorf("nginx is not told a block for each site and one for the sign-in host:\n%s", text)
		}
	}
	// A sign-in host that browsers reach by themselves is nothing to the proxy.
	asks := f.app.asks()
	if asks.Portal != "" {
		t.Errorf("there is no portal, and it listens at %s", asks.Portal)
	}
	for _, proxy := range examples.Proxies {
		text, err := operate.New(operate.Config{Asks: asks}).Snippet(proxy)
		must(t, err)
		if left := withoutComments(text); strings.Contains(left, "signin") || strings.Contains(left, "auth.localhost") || strings.Contains(left, "auth.example") || strings.Contains(left, "808") {
			t.Errorf("%s speaks of the sign-in host:\n%s", proxy, left)
		}
	}
	// Sites that are asked about elsewhere are named, not left out in silence.
	f.authz(func(a *Authz) {}).address = "10.1.2.3:9100"
	text, err := f.app.snippet("nginx")
	if first, _, _ := strings.Cut(text, "\n"); err != nil || !strings.HasPrefix(first, "# Not in here, ") || !strings.Contains(first, "wiki.example.com") {
		t.Errorf("%v: %s", err, first)
	}
	for _, proxy := range []string{"apache", "", "../nginx", "kubernetes"} {
		if _, err := f.app.snippet(proxy); err == nil || !strings.Contains(err.Error(), "nginx, haproxy") {
			t.Errorf("%q: %v", proxy, err)
		}
	}
}

// What the sites' presets set is what the proxy hands to the app, and what they
// do not set it takes from its clients.
func TestProxySnippetHeaders(t *testing.T) {
	f := newFixture(t)
	a := f.authz(func(a *Authz) {
		a.Sites = []*AuthzSite{{Site: "wiki.example.com", Allow: []string{"any"}, Headers: []string{"auth_request", "assertion"}}}
	})
	a.address = examples.Address
	for proxy, want := range map[string][]string{
		"nginx": {
			"auth_request_set $is_x_auth_request_email $upstream_http_x_auth_request_email;", "proxy_set_header X-Auth-Request-Email $is_x_auth_request_email;",
			"proxy_set_header X-Gatehouse-Assertion $is_x_gatehouse_assertion;", `proxy_set_header Remote-User "";`, `proxy_set_header X-Forwarded-Email "";`, `proxy_set_header X-Gatehouse-Token "";`,
		},
		"haproxy": {`local identity = { "x-auth-request-user", "x-auth-request-email", "x-auth-request-preferred-username", "x-auth-request-groups", "x-gatehouse-assertion" }`},
		"traefik": {"          - X-Auth-Request-User\n", "          - X-Gatehouse-Assertion\n", `Remote-User: ""`},
		"envoy":   {"- exact: x-auth-request-user\n", "- exact: x-gatehouse-assertion\n", "- remove: remote-user\n", "- remove: x-auth-request-user\n"},
		"caddy":   {"copy_headers X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Preferred-Username X-Auth-Request-Groups X-Gatehouse-Assertion\n", "request_header -Remote*"},
	} {
		text, err := f.app.snippet(proxy)
		must(t, err)
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %q:\n%s", proxy, part, text)
			}
		}
		for _, part := range []string{"$is_remote_user", "- Remote-User\n", "exact: remote-user", "copy_headers Remote", `X-Auth-Request-User "";`} {
			if strings.Contains(text, part) {
				t.Errorf("%s has %q", proxy, part)
			}
		}
	}
}

// snippet is what the doctor prints for another proxy.
func (a *App) snippet(proxy string) (string, error) {
	asks := a.asks()
	if asks != nil {
		asks.Portal = "10.1.2.3:8099"
	}
	return operate.New(operate.Config{Asks: asks}).Snippet(proxy)
}

// The programs themselves accept what is printed for them, whatever presets are
// used.
func TestProxiesAcceptTheirSnippets(t *testing.T) {
	for _, headers := range [][]string{nil, {"none"}, {"forwarded", "auth_request", "cloudflare", "assertion"}} {
		f := newFixture(t)
		f.authz(func(a *Authz) { a.Sites = a.Sites[:2]; a.Sites[0].Headers, a.Sites[1].Headers = headers, headers }).address = "127.0.0.1:9099"
		for proxy, command := range map[string]string{"nginx": "nginx -t -p . -c nginx.conf", "haproxy": "haproxy -c -f haproxy.cfg"} {
			dir := writeSnippet(t, f.app, proxy)
			must(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte("pid nginx.pid;\nevents {}\nhttp {\n    access_log off;\n    include gatehouse-sites.conf;\n}\n"), 0o600))
			giveCertificates(t, dir)
			cmd := exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin; exec "+command)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s, %v: %v\n%s", proxy, headers, err, out)
			}
		}
		text, err := os.ReadFile(filepath.Join(writeSnippet(t, f.app, "caddy"), "Caddyfile"))
		must(t, err)
		if result, text := adapt(string(text)); result != ".json" {
			t.Errorf("caddy, %v: %s", headers, text)
		}
	}
}

// writeSnippet takes the printed files apart again.
func writeSnippet(t *testing.T, app *App, proxy string) (dir string) {
	text, err := app.snippet(proxy)
	must(t, err)
	dir = t.TempDir()
	parts := regexp.MustCompile(`(?m)^(?:#|--) ---- (\S+) ----\n`)
	names, bodies := parts.FindAllStringSubmatch(text, -1), parts.Split(text, -1)[1:]
	for i, name := range names {
		must(t, os.WriteFile(filepath.Join(dir, name[1]), []byte(bodies[i]), 0o600))
	}
	return dir
}

// giveCertificates writes what the files in dir name as certificates.
func giveCertificates(t *testing.T, dir string) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(t, err)
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	certificate := filepath.Join(dir, "both.pem")
	must(t, os.WriteFile(certificate, both, 0o600))
	names := regexp.MustCompile(`/etc/(ssl/certs|ssl/private|haproxy/certs)/[^;\s]*`)
	for _, name := range []string{"gatehouse-sites.conf", "haproxy.cfg"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			must(t, os.WriteFile(filepath.Join(dir, name), names.ReplaceAll(text, []byte(certificate)), 0o600))
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

// routeClaims are the names by which apps are told that the request is another one.
func routeClaims(t *testing.T) []string {
	t.Helper()
	names := []string{"X-Original-Url", "X-Original-Uri", "X-Original-Path", "X-Original-Method", "X-Rewrite-Url", "X-Rewrite-Uri", "X-Override-Url", "X-Replaced-Path",
		"X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Method",
		"X-Script-Name", "X-Forwarded-Script-Name", "X-Rewrite-Path", "X-Envoy-Original-Path", "X-Waws-Unencoded-Url", "X-Original-Host", "X-Host", "X-Http-Host-Override", "X-Sendfile-Type", "X-Accel-Mapping"}
	for _, name := range names {
		if header.ClaimOf(name) != header.RouteClaim {
			t.Errorf("%s is no route claim", name)
		}
	}
	return names
}

// Every example takes from clients what says that the request is another one, by
// all names that the gate itself takes away.
func TestExamplesTakeRoutesAway(t *testing.T) {
	names := routeClaims(t)
	for _, example := range []string{"nginx", "haproxy", "traefik", "envoy", "caddy", "kubernetes"} {
		text, err := examples.Read(example)
		must(t, err)
		text = strings.ToLower(text)
		for _, name := range append(names, "Forwarded") {
			name = strings.ToLower(name)
			group, _, _ := strings.Cut(strings.TrimPrefix(name, "x-"), "-")
			var found bool
			switch example {
			case "nginx":
				found = strings.Contains(text, "proxy_set_header "+name+` "";`)
			case "haproxy":
				for _, pattern := range regexp.MustCompile(`del-header (\S+) -m reg`).FindAllStringSubmatch(text, -1) {
					found = found || regexp.MustCompile(pattern[1]).MatchString(name)
				}
			case "envoy":
				found = strings.Contains(text, "- remove: "+name+"\n")
			case "caddy":
				found = strings.Contains(text, "request_header -*"+group+"*\n") || strings.Contains(text, "request_header -"+name+"\n")
			case "kubernetes": // both controllers
				found = strings.Count(text, "  "+name+`: ""`) == 2
			default:
				found = strings.Contains(text, "  "+name+`: ""`)
			}
			if !found {
				t.Errorf("%s lets %s through", example, name)
			}
		}
	}
}

// Where a proxy passes underscores or dots on, which apps read as hyphens, every
// header of every preset is taken away in each such spelling.
func TestExamplesTakeAliasesAway(t *testing.T) {
	all := gate.HeaderNames(gate.Presets, nil)
	has := func(text, header string) bool {
		return strings.Contains(text, "  "+header+`: ""`) || strings.Contains(text, "- remove: "+strings.ToLower(header)+"\n")
	}
	for example, separators := range map[string]string{"traefik": "_.", "kubernetes": "_.", "envoy": "."} { // Envoy drops what has an underscore
		text, err := examples.Read(example)
		must(t, err)
		for _, name := range all {
			for _, separator := range separators {
				if alias := strings.ReplaceAll(name, "-", string(separator)); !has(text, alias) {
					t.Errorf("%s lets %s through", example, alias)
				}
			}
		}
	}
	f := newFixture(t)
	f.authz(func(a *Authz) {
		a.Sites = []*AuthzSite{{Site: "wiki.example.com", Allow: []string{"any"}, Headers: []string{"auth_request", "assertion"}}}
	})
	for _, proxy := range []string{"traefik", "envoy"} {
		text, err := f.app.snippet(proxy)
		must(t, err)
		for _, alias := range []string{"X_Auth_Request_User", "X.Auth.Request.User", "X_Auth-Request-User", "X-Auth_Request.User", "X-Auth-Request_Preferred-Username", "X_Gatehouse-Assertion", "X.Forwarded.User"} {
			if proxy == "envoy" && !strings.Contains(alias, ".") && !strings.Contains(alias, "-") {
				continue
			}
			if !has(text, alias) {
				t.Errorf("%s lets %s through", proxy, alias)
			}
		}
		seen := map[string]bool{} // a name that stands twice is no YAML
		for line := range strings.Lines(text) {
			if name := strings.TrimSpace(line); strings.HasSuffix(name, `: ""`) && seen[name] && !strings.HasPrefix(name, "HTTP2") {
				t.Errorf("%s has %s twice", proxy, name)
			} else {
				seen[name] = true
			}
		}
	}
}

// Envoy Gateway takes away what no client may say, in every spelling, and nothing else.
func TestEnvoyGatewayTakesAway(t *testing.T) {
	text, err := examples.Read("kubernetes")
	must(t, err)
	var patterns []*regexp.Regexp // Envoy matches the whole name
	for _, m := range regexp.MustCompile(`type: RegularExpression, value: "(.*)" \}`).FindAllStringSubmatch(text, -1) {
		patterns = append(patterns, regexp.MustCompile("^(?:"+m[1]+")$"))
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(strings.ToLower(name)) })
	}
	for _, name := range append(routeClaims(t), append(gate.HeaderNames(gate.Presets, nil), "Forwarded", "X-Forwarded-Host")...) {
		for _, spelled := range []string{name, strings.ReplaceAll(name, "-", "."), strings.ReplaceAll(name, "-", "+"), strings.ReplaceAll(name, "-", "--"), strings.ToUpper(name)} {
			if !taken(spelled) {
				t.Errorf("%s passes", spelled)
			}
		}
	}
	for _, name := range []string{"Host", "Cookie", "Authorization", "X-Forwarded-For", "X-Forwarded-Proto", "Accept", "Sec-Fetch-Mode", "Upgrade", "X-Gatehouse-Token", "X-Requested-With", "Origin", "User-Agent"} {
		if taken(name) {
			t.Errorf("%s is taken away", name)
		}
	}
}

// A header of a site's own choosing is taken from clients as those of presets are,
// in each spelling that apps read so.
func TestProxiesTakeOwnHeadersAway(t *testing.T) {
	f := newFixture(t)
	f.authz(func(a *Authz) {
		a.Sites = []*AuthzSite{{Site: "wiki.example.com", Allow: []string{"any"}, Fields: []gate.Field{{Name: "X-Webauth-User", Value: "local"}, {Name: "Grafana", Value: "email"}}}}
	}).address = "127.0.0.1:9099"
	for _, proxy := range []string{"haproxy", "traefik", "envoy", "caddy", "nginx"} {
		text, err := f.app.snippet(proxy)
		must(t, err)
		for _, name := range []string{"X-Webauth-User", "X_Webauth_User", "X.Webauth.User", "X-Webauth_User", "X_Webauth.User", "Grafana"} {
			var found bool
			switch proxy {
			case "haproxy":
				for _, pattern := range regexp.MustCompile(`del-header (\S+) -m reg`).FindAllStringSubmatch(text, -1) {
					found = found || regexp.MustCompile(pattern[1]).MatchString(strings.ToLower(name))
				}
			case "traefik":
				found = strings.Count(text, "  "+name+`: ""`) == 1
			case "envoy":
				found = strings.Count(text, "- remove: "+strings.ToLower(name)+"\n") == 1
			case "caddy":
				found = strings.Contains(text, "request_header -"+name+"\n")
			case "nginx": // which drops names with other separators
				found = strings.ContainsAny(name, "_.") || strings.Contains(text, "proxy_set_header "+name+" $is_")
			}
			if !found {
				t.Errorf("%s lets %s through:\n%s", proxy, name, text)
			}
		}
	}
}

// An app behind FastCGI is told the same as one behind HTTP.
func TestNginxTellsFastCGITheSame(t *testing.T) {
	f := newFixture(t)
	f.authz(func(a *Authz) {
		a.Sites = []*AuthzSite{{Site: "wiki.example.com", Allow: []string{"any"}, Headers: []string{"auth_request"}, Fields: []gate.Field{{Name: "X-Webauth-User", Value: "local"}}}}
	}).address = examples.Address
	dir := writeSnippet(t, f.app, "nginx")
	headers, err := os.ReadFile(filepath.Join(dir, "gatehouse-headers.conf"))
	must(t, err)
	parameters, err := os.ReadFile(filepath.Join(dir, "gatehouse-fastcgi.conf"))
	must(t, err)
	var want []string
	for _, line := range regexp.MustCompile(`(?m)^proxy_set_header (\S+) (.*);$`).FindAllStringSubmatch(string(headers), -1) {
		want = append(want, "fastcgi_param HTTP_"+strings.ToUpper(strings.ReplaceAll(line[1], "-", "_"))+" "+line[2]+";")
	}
	got := regexp.MustCompile(`(?m)^fastcgi_param .*$`).FindAllString(string(parameters), -1)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) || len(got) < 40 || !slices.Contains(got, "fastcgi_param HTTP_X_WEBAUTH_USER $is_x_webauth_user;") {
		t.Errorf("headers\n%s\nparameters\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

// What a client names in Connection, an app's server may take away.
func TestHAProxyWritesConnectionAnew(t *testing.T) {
	text, err := examples.Read("haproxy")
	must(t, err)
	_, rest, ok := strings.Cut(text, "http-request del-header Connection\n")
	if !ok || !strings.Contains(rest, "http-request set-header Connection Upgrade if websocket\n") {
		t.Error("the client's Connection reaches the app")
	}
}

// HAProxy can't write the Host of "GET http:/// HTTP/1.1", and answered 500.
func TestHAProxyTakesTargetsWithAPath(t *testing.T) {
	text, err := examples.Read("haproxy")
	must(t, err)
	pattern := regexp.MustCompile(`deny_status 400 unless \{ url -m reg '(\S+)' \}`).FindStringSubmatch(text)
	if pattern == nil {
		t.Fatal("any target is taken")
	}
	takes := regexp.MustCompile(pattern[1])
	for target, want := range map[string]bool{
		"/": true, "//x/admin": true, "*": true, "http://wiki.localhost:8080/x": true, "https://wiki.localhost:8080": true,
		"http:///": false, "https:///admin": false, "http:admin/": false, "x:http://a/admin/": false, "": false,
	} {
		if takes.MatchString(target) != want {
			t.Errorf("%q: taken %v", target, !want)
		}
	}
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
	if !strings.Contains(text, "admin unix//run/gatehouse/admin.sock\n") || !strings.Contains(text, "- { name: run, mountPath: /run/gatehouse }\n") || !strings.Contains(text, "- name: run\n          emptyDir: {}\n") {
		t.Error("the commands reach no admin endpoint in the pod")
	}
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
