package caddymodule

import (
	"net/url"
	"strings"
	"testing"
)

// One host under a wildcard may be a tenant's. Whoever has a publishable key or a
// session can't have a genuine mail lead there, whatever Host they say.
func TestLinksLeadToANamedHost(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run(strings.Replace(shopApp, "app shop {", `app shop {
			auto_verify on
			auto_create on
			organizations on
			callback https://shop.example.org/in`, 1), "", `https://*.example.com:{port}, https://api.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse_api
}`)
	named, tenant := c.origin("api.example.com")+"/", c.origin("app.example.com")+"/" // calls go to the latter
	linkOf := func(t *testing.T, to, want string, a apiAnswer) *url.URL {
		t.Helper()
		if a.StatusCode/100 != 2 {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
		text := c.mail.NextTo(c, to).Parse(c).Text
		_, link, found := strings.Cut(text, want)
		if !found || want != tenant && strings.Contains(text, tenant) {
			t.Fatalf("not at %s: %s", want, text)
		}
		link, _, _ = strings.Cut(link, "\n")
		u, err := url.Parse(want + strings.TrimSpace(link))
		must(t, err)
		return u
	}
	secret := "Authorization: Bearer " + apiLiveKey
	hosted := func(email string) string { return `{"email":"` + email + `","auto_verify":true}` }
	a := c.call("POST", "/v1/auth/magic_links/email/login_or_create", hosted("pub@example.com"), "Authorization: Bearer "+apiLivePub)
	linkOf(t, "pub@example.com", named, a)
	a = c.call("POST", "/v1/auth/magic_links/email/login_or_create", hosted("sec@example.com"), secret)
	linkOf(t, "sec@example.com", tenant, a)
	a = c.call("POST", "/v1/apps/shop/auth/magic-link", `{"email":"alice@example.com"}`, secret)
	link := linkOf(t, "alice@example.com", tenant, a)
	a = c.call("POST", "/v1/apps/shop/auth/verify", `{"token":"`+link.Query().Get("token")+`"}`, secret)
	session, _ := a.json["sessionToken"].(string)
	a = c.call("POST", "/v1/apps/shop/organizations", `{"name":"Acme"}`, "Authorization: Bearer "+session)
	org, _ := a.json["id"].(string)
	a = c.call("POST", "/v1/apps/shop/organizations/"+org+"/invites", `{"email":"bob@example.com","role":"member"}`, "Authorization: Bearer "+session)
	linkOf(t, "bob@example.com", named, a)
}

func TestAnAPIUnderAWildcardAloneIsRefused(t *testing.T) {
	c := newGatedCaddy(t, nil)
	site := func(block string) string {
		return "https://*.example.com:{port} {\n\tbind 127.0.0.1\n\ttls {tls}\n\tgatehouse_api" + block + "\n}"
	}
	if err := c.load(shopApp, "", site("")); err == nil || !strings.Contains(err.Error(), "gatehouse_api stands under *.example.com alone") {
		t.Errorf("%v", err)
	}
	must(t, c.load(shopApp, "", site(" {\n\t\torigin https://api.example.com\n\t}")))
}
