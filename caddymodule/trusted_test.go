package caddymodule

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// Caddy forgets the text of trusted_proxies once it has read it; the doctor
// looked at the text and said of every server that it believes nobody.
func TestExamineServer(t *testing.T) {
	for options, want := range map[string]string{
		"":                                  "believes nobody",
		"trusted_proxies static 10.0.0.0/8": "the first address",
		"trusted_proxies static 10.0.0.0/8\n\t\ttrusted_proxies_strict":     "the proxies that are listed",
		"trusted_proxies static 0.0.0.0/0\n\t\ttrusted_proxies_strict":      "believes everybody",
		"trusted_proxies static 0.0.0.0/1 128.0.0.0/1":                      "believes everybody",
		"trusted_proxies static private_ranges\n\t\ttrusted_proxies_strict": "the proxies that are listed",
	} {
		app, err := provisioned("{\n\tadmin off\n\tservers {\n\t\t" + options + "\n\t}\n\tgatehouse {\n\t\tmail log\n\t}\n}\nhttp://app.example.com:8080 {\n\tgatehouse any\n}\n")
		must(t, err)
		web, err := app.httpApp()
		must(t, err)
		var server *caddyhttp.Server
		for _, server = range web.Servers {
		}
		if got := examineServer("srv0", server, false); !strings.Contains(got.Found, want) || got.Level != operate.LevelOK && got.Do == "" {
			t.Errorf("%q: %+v, want %q", options, got, want)
		}
	}
}

// Without trusted_proxies gatehouse_authz refuses every question: whoever wrote
// it was told so by nobody.
func TestAuthzThatBelievesNobody(t *testing.T) {
	for options, level := range map[string]string{
		"": operate.LevelError,
		"servers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t\ttrusted_proxies_strict\n\t}":                operate.LevelOK,
		"servers 127.0.0.1:9091 {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t\ttrusted_proxies_strict\n\t}": operate.LevelOK,
		"servers 127.0.0.1:9092 {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}":                             operate.LevelError,
		"servers {\n\t\ttrusted_proxies_unix\n\t\ttrusted_proxies_strict\n\t}":                               operate.LevelOK,
	} {
		app, err := provisioned("{\n\tadmin off\n\t" + options + "\n\tgatehouse {\n\t\tmail log\n\t}\n}\n" +
			"http://auth.localhost:8081 {\n\tgatehouse_portal\n}\nhttp://:9091 {\n\tbind 127.0.0.1\n\tgatehouse_authz {\n\t\tlogin http://auth.localhost:8081\n\t\tsite wiki.localhost:8080 any\n\t}\n}\n")
		must(t, err)
		core, logs := observer.New(zap.WarnLevel)
		app.log = zap.New(core)
		must(t, app.placeGates())
		const block = "servers 127.0.0.1:9091 {\n        trusted_proxies static"
		if warned := logs.FilterMessageSnippet(block).Len(); warned != map[bool]int{true: 1}[level == operate.LevelError] {
			t.Errorf("%q: %d warnings in %v", options, warned, logs.All())
		}
		var got operate.Finding
		for _, f := range app.examineProxies() {
			if strings.Contains(f.Found, "127.0.0.1:9091") {
				got = f
			}
		}
		if got.Level != level || level == operate.LevelError && !strings.Contains(got.Do, block) {
			t.Errorf("%q: %+v", options, got)
		}
	}
}
