package oidc_test

import (
	"html"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// TestOracle runs the tests that any good provider passes against another one,
// which is certified: a test that it fails is a wrong test.
func TestOracle(t *testing.T) {
	port := caddytest.FreePort(t)
	p := &op{TB: t, issuer: "http://localhost:" + port, oracle: true, seen: &secrets{}}
	p.interact = p.asOracleHasIt
	party{name: "oidc-provider", start: script("oracle")}.run(t, p.issuer, port)
	p.discover()
	standard := slices.DeleteFunc(slices.Clone(rpInitiatedPlan), func(m module) bool { return !strings.HasPrefix(m.name, "oidcc-") })
	runAll(t, p, slices.Concat(basicPlan, configPlan, ownList, standard))
}

var formAction = regexp.MustCompile(`<form[^>]*action="([^"]*)"`)

// asOracleHasIt fills the forms of oidc-provider.
func (p *op) asOracleHasIt(b *browser, page *page) *http.Response {
	form := page.fields()
	m := formAction.FindStringSubmatch(page.text)
	if m == nil {
		return nil
	}
	switch prompt := form.Get("prompt"); {
	case prompt == "login":
		form.Set("login", b.email)
		form.Set("password", "any")
	case form.Get("xsrf") != "":
		form.Set("logout", "yes")
	case prompt == "":
		return nil
	}
	action := html.UnescapeString(m[1])
	if strings.HasPrefix(action, "/") {
		action = p.issuer + action
	}
	return b.post(action, form)
}

// What docs/oidc.md writes for apps is a configuration.
func TestDocumentedApps(t *testing.T) {
	text, err := os.ReadFile("../docs/oidc.md")
	must(t, err)
	blocks := regexp.MustCompile(`(?ms)^    app (\w+) \{\n.*?^    \}`).FindAllString(string(text), -1)
	if len(blocks) < 7 {
		t.Fatalf("docs/oidc.md has %d apps", len(blocks))
	}
	config := "{\n\tgatehouse {\n\t\tmail log\n" + strings.Join(blocks, "\n") + "\n\t}\n}\nauth.example.com {\n\tgatehouse_portal\n}\n"
	if _, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), map[string]any{"filename": "Caddyfile"}); err != nil {
		t.Errorf("%v\n%s", err, config)
	}
}

// docs/oidc.md has a row for every module, and none else.
func TestDocumentedModules(t *testing.T) {
	text, err := os.ReadFile("../docs/oidc.md")
	must(t, err)
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| [^|]* OP \\| `(oidcc-[^`]+)` \\| passes").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	for _, m := range slices.Concat(basicPlan, configPlan, rpInitiatedPlan, backchannelPlan(nil)) {
		if strings.HasPrefix(m.name, "oidcc-") && !documented[m.name] {
			t.Errorf("there is no row for %s", m.name)
		}
		delete(documented, m.name)
	}
	delete(documented, "oidcc-codereuse-30seconds") // by TestCodeReuse
	if len(documented) > 0 {
		t.Errorf("rows for what is not tested: %v", documented)
	}
}
