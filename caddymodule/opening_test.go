package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A start says in one line what it has put into use, for people, and no secret.
func TestOpening(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		global, sites string
		want          []string
	}{
		"a site, to try": {
			"mail log", "http://localhost:8099 {\n gatehouse any\n respond ok\n}",
			[]string{"guarded: localhost:8099; mail: shown on this terminal, not sent; store: " + dir + "; open http://localhost:8099"},
		},
		"paths, and a fallback": {
			"mail smtp mail.example.com:587 {\n username mailer\n password Verysecret\n}\n mail dir " + dir + "/mails\n from Example <login@example.com>",
			"https://shop.example.com {\n gatehouse /admin/* *@example.com\n respond ok\n}",
			[]string{"guarded: shop.example.com /admin/*; mail: smtp mail.example.com:587, else written to " + dir + "/mails, not sent; ", "; open https://shop.example.com"},
		},
		"a sign-in host": {
			"mail log", "https://app.example.com, https://b.example.com, https://c.example.com {\n gatehouse any {\n portal https://auth.example.com\n }\n respond ok\n}\nhttps://auth.example.com {\n gatehouse_portal\n}",
			[]string{"; open https://auth.example.com"},
		},
		"many sites": {
			"mail log", strings.Join([]string{site("a"), site("b"), site("c"), site("d"), site("e"), site("f"), site("g")}, "\n"),
			[]string{"guarded: a.example.com, b.example.com, c.example.com, d.example.com and 3 more; "},
		},
		"nothing": {"mail log", "https://example.com {\n respond ok\n}", []string{"nothing is guarded: no site has a line such as gatehouse *@example.com; mail: "}},
	} {
		t.Run(name, func(t *testing.T) {
			app, err := provisioned(fmt.Sprintf("{\n admin off\n gatehouse {\n store badger %s\n secret %s\n %s\n }\n}\n%s", dir, strings.Repeat("s", 32), c.global, c.sites))
			must(t, err)
			core, logs := observer.New(zap.InfoLevel)
			app.log = zap.New(core)
			must(t, app.Start())
			defer func() { must(t, app.Stop()); must(t, app.Cleanup()) }()
			lines := logs.Filter(func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, "guarded") }).All()
			if len(lines) != 1 {
				t.Fatalf("%d lines", len(lines))
			}
			got := lines[0].Message
			for _, part := range c.want {
				if !strings.Contains(got, part) {
					t.Errorf("%q\ndoes not say %q", got, part)
				}
			}
			if strings.ContainsAny(got, "\n\"") || strings.Contains(got, "Verysecret") {
				t.Errorf("%q", got)
			}
		})
	}
}

func site(name string) string {
	return "https://" + name + ".example.com {\n gatehouse any\n respond ok\n}"
}
