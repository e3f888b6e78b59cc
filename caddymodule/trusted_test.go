package caddymodule

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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
		if got := examineServer("srv0", server); !strings.Contains(got.Found, want) || got.Level != levelOK && got.Do == "" {
			t.Errorf("%q: %+v, want %q", options, got, want)
		}
	}
}
