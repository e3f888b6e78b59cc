package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// TestAccountScope: where the whole account page is offered, what leads there,
// and what the start and the doctor say.
func TestAccountScope(t *testing.T) {
	const (
		wiki  = "wiki.example.com {\n gatehouse any {\n  portal https://auth.example.com\n }\n reverse_proxy localhost:1\n}\n"
		plain = "wiki.example.com {\n gatehouse any\n reverse_proxy localhost:1\n}\n"
		auth  = "auth.example.com {\n gatehouse_portal\n}\n"
	)
	beside := func(lines string) string { return "auth.example.com {\n gatehouse_portal\n" + lines + "\n}\n" }
	for name, c := range map[string]struct {
		global, sites string
		whole         string // origins with the whole page, of auth, wiki, shop
		home          string // where wiki's page leads
		levels        string // of what start and doctor say
		says          string
	}{
		"one site":                   {"", plain, "wiki", "", "", ""},
		"two sites":                  {"", plain + "shop.example.com {\n gatehouse any\n reverse_proxy localhost:1\n}\n", "wiki shop", "", "", ""},
		"a domain":                   {"domain example.com", plain, "", "", "warning", "no site offers"},
		"a portal":                   {"", auth + wiki, "auth", "auth", "", ""},
		"without a line":             {"", auth + plain, "auth", "auth", "", ""},
		"a portal and a domain":      {"domain example.com", auth + plain, "auth", "auth", "", ""},
		"an ordinary site":           {"", "auth.example.com {\n gatehouse any\n reverse_proxy localhost:1\n}\n" + wiki, "", "", "error", "portal https://auth.example.com names"},
		"another instance's":         {"", wiki, "", "auth", "", ""},
		"a proxy":                    {"", beside("reverse_proxy localhost:1") + wiki, "", "", "error", "reverse_proxy"},
		"not named":                  {"", beside("reverse_proxy localhost:1") + plain, "", "", "warning", "reverse_proxy"},
		"in a handle":                {"", "auth.example.com {\n handle /files/* {\n  root /srv\n  file_server\n }\n handle {\n  gatehouse_portal\n }\n}\n" + wiki, "", "", "error", "file_server"},
		"in an error page":           {"", beside("handle_errors {\n  reverse_proxy localhost:2\n }") + wiki, "", "", "error", "reverse_proxy"},
		"behind a matcher":           {"", beside("@api header X-Api *\n reverse_proxy @api localhost:1") + wiki, "", "", "error", "reverse_proxy"},
		"in a named route":           {"", "&(apps) {\n reverse_proxy localhost:1\n}\n" + beside("invoke apps") + wiki, "", "", "error", "reverse_proxy"},
		"on another port":            {"", auth + "auth.example.com:8443 {\n reverse_proxy localhost:2\n}\n" + wiki, "", "", "error", "reverse_proxy"},
		"on plain http":              {"", auth + "http://auth.example.com {\n reverse_proxy localhost:2\n}\n" + wiki, "", "", "error", "reverse_proxy"},
		"another site under a star":  {"", auth + "*.example.com {\n reverse_proxy localhost:2\n}\n" + wiki, "auth", "auth", "", ""},
		"a site for all other hosts": {"", auth + "https:// {\n file_server\n}\n" + wiki, "auth", "auth", "", ""},
		"on a port for all hosts":    {"", auth + ":8443 {\n reverse_proxy localhost:2\n}\n" + wiki, "", "", "error", "reverse_proxy"},
		"the portal under a star":    {"", "*.example.com {\n gatehouse_portal\n}\n" + plain, "", "", "warning", "no site offers"},
		"two portals":                {"", beside("reverse_proxy localhost:1") + "shop.example.com {\n gatehouse_portal\n}\n" + wiki, "shop", "shop", "error", "reverse_proxy"},
		"harmless handlers":          {"", beside("header X-A b\n encode gzip\n redir /old /new\n respond /robots.txt \"User-agent: *\"\n gatehouse_api") + wiki, "auth", "auth", "", ""},
		"a page with markup":         {"", beside("respond /about \"<script src=//x.test></script>\"") + wiki, "", "", "error", "static_response"},
		"a page of the request's":    {"", beside("respond /about \"{query.x}\"") + wiki, "", "", "error", "static_response"},
		"another proxy's login":      {"", auth + "http://:9091 {\n gatehouse_authz {\n  login https://auth.example.com\n  site wiki.example.com any\n }\n}\n", "auth", "auth", "", ""},
		"login at an ordinary site":  {"", "auth.example.com {\n gatehouse any\n reverse_proxy localhost:1\n}\nhttp://:9091 {\n gatehouse_authz {\n  login https://auth.example.com\n  site wiki.example.com any\n }\n}\n", "", "", "error", "login https://auth.example.com names"},
	} {
		t.Run(name, func(t *testing.T) {
			app, err := provisioned(fmt.Sprintf("{\n admin off\n gatehouse {\n  mail log\n  %s\n }\n}\n%s", c.global, c.sites))
			must(t, err)
			core, logs := observer.New(zap.WarnLevel)
			app.log = zap.New(core)
			must(t, app.placeGates())
			for _, host := range []string{"auth", "wiki", "shop"} {
				got := app.accountAt(mustOrigin(t, "https://"+host+".example.com"))
				if strings.Contains(c.sites, host+".example.com") && got.Whole != strings.Contains(c.whole, host) {
					t.Errorf("%s: whole %v", host, got.Whole)
				}
				if !got.At.IsZero() && got.Whole {
					t.Errorf("%s: whole here and at %s", host, got.At)
				}
			}
			home := ""
			if c.home != "" {
				home = "https://" + c.home + ".example.com"
			}
			o := mustOrigin(t, "https://wiki.example.com")
			if got := app.accountAt(o).At; got.String() != home {
				t.Errorf("leads to %q, want %q", got, home)
			}
			if got := app.accountLink(o); home != "" && got.String() != home || home == "" && got != o {
				t.Errorf("mails lead to %s", got)
			}
			var found []string
			said := ""
			for _, f := range app.accountFindings("account") {
				found, said = append(found, f.Level), said+f.Found+"; "+f.Do+"\n"
				if logs.FilterMessage(f.Found+"; "+f.Do).Len() != 1 {
					t.Errorf("the start does not say %q", f.Found)
				}
			}
			if got := strings.Join(found, " "); got != c.levels || !strings.Contains(said, c.says) {
				t.Errorf("%q, want %q with %q:\n%s", got, c.levels, c.says, said)
			}
			if got := app.examineAccount(); len(found) == 0 && c.home != "auth" && c.global == "" && got[0].Level != operate.LevelOK {
				t.Errorf("the doctor: %v", got)
			}
		})
	}
}
