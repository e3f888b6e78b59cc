package caddymodule

import (
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
)

// A site's title stands on its pages, in its mails and at the portal, and never
// without the host.
func TestTitleOfASite(t *testing.T) {
	b := newBothWays(t, nil, "", "*@example.com", nil, `name "Team <wiki>"`)
	shows := func(host, path, want string, headers ...string) {
		t.Helper()
		resp := b.at(host, "GET", path, headers...)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		if !strings.Contains(string(body), want) {
			t.Errorf("%s%s has no %q:\n%s", host, path, want, body)
		}
	}
	shows("app.example.com", "/_gatehouse/login", "<bdi>Team &lt;wiki&gt; (app.example.com:"+b.port()+")</bdi>")
	wiki := b.origin("wiki.example.com")
	shows("auth.example.com", "/_gatehouse/login?return_to="+url.QueryEscape(wiki+"/page"), "<bdi>Team &lt;wiki&gt; (wiki.example.com:"+b.port()+")</bdi>")
	shows("auth.example.com", "/_gatehouse/login", "<bdi>auth.example.com:"+b.port()+"</bdi>")
	shows("auth.example.com", "/_gatehouse/login?return_to="+url.QueryEscape("https://evil.test/"), "<bdi>auth.example.com:"+b.port()+"</bdi>")

	for host, to := range map[string]string{"app.example.com": "/", "auth.example.com": wiki + "/page"} {
		named := "Team <wiki> (" + map[string]string{"app.example.com": "app", "auth.example.com": "wiki"}[host] + ".example.com:" + b.port() + ")"
		email := strings.ReplaceAll(host, ".", "-") + "@example.com"
		begun := b.post(host, "/_gatehouse/login", url.Values{"email": {email}, "return_to": {to}})
		mail := b.mail.NextTo(b, email)
		if m := mail.Parse(b); !strings.Contains(m.Header.Get("Subject"), named) || !strings.Contains(m.Text, named) {
			t.Errorf("the mail from %s is called %q and says\n%s", host, m.Header.Get("Subject"), m.Text)
		}
		var cookies []string
		for _, c := range begun.Cookies() {
			cookies = append(cookies, c.Name+"="+c.Value)
		}
		cookie := "Cookie: " + strings.Join(cookies, "; ")
		shows(host, "/_gatehouse/code", "Team &lt;wiki&gt; (", cookie)
		shows(host, mail.Link(b)[strings.Index(mail.Link(b), "/_gatehouse/"):], "Team &lt;wiki&gt; (", cookie)
	}
	shows("auth.example.com", "/", `<bdi>Team &lt;wiki&gt;</bdi><small dir="ltr">app.example.com:`+b.port()+"</small>", b.signedIn("alice@example.com"))
	shows("auth.example.com", "/", `<bdi>Team &lt;wiki&gt;</bdi><small dir="ltr">wiki.example.com:`+b.port()+"</small>", b.signedIn("bob@example.com"))
}

func TestTitlesThatMislead(t *testing.T) {
	for title, good := range map[string]bool{
		"Team wiki": true, "Wiki.js": true, "Größe 2.1": true, strings.Repeat("ü", 64): true, strings.Repeat("ü", 65): false, "a/b": false, "a@b": false, "https://x": false,
		"a\x00b": false, "a\u202eb": false, "a\u200bb": false, " a": false, "a\nb": false, "a\u2028b": false, "a／b": false,
	} {
		if err := checkTitle(title); (err == nil) != good {
			t.Errorf("%q: %v", title, err)
		}
	}
	for title, good := range map[string]bool{
		"app.example.com": true, "APP.Example.com.": true, "Wiki app.example.com": true, "Wiki.js": true, "Version 2.1": true,
		"bank.com": false, "Sign in to bank.com": false, "Bank (bank.com)": false, "bank。com": false, "bank.com.": false, "192.0.2.1": false, "localhost": false, "x.example.com": false, "bank.com:443": false,
		"münchen.de": false, "xn--mnchen-3ya.de": false, "intern.corp": false, "[::1]": false,
	} {
		g := &Gate{Name: title, guard: routes.Gate{Place: &routes.Place{Place: gate.Place{Hosts: []string{"app.example.com"}}}}}
		if err := g.checkHostsInTitle(); (err == nil) != good {
			t.Errorf("%q: %v", title, err)
		}
	}
	for name, good := range map[string]bool{
		"": true, "The shop": true, "Wiki.js": true, "shop.example.com": true, "Shop (Login.example.com)": true, "bank.com": false, "https://bank.com/x": false, "auth.localhost": false,
		"a\nb": false, "   ": false, "\u200b": false, strings.Repeat("x", 65): false, "a\u2028b": false,
	} {
		c := &AppClient{ID: "shop", Name: name, RedirectURIs: []string{"https://shop.example.com/back"}, InitiateLoginURI: "https://login.example.com/"}
		if err := c.checkName(nil); (err == nil) != good {
			t.Errorf("an app called %q: %v", name, err)
		}
	}
}

// TestLauncherKnowsThePlace: where a sign-in begins at an app is a place that the
// launcher can show, or an error.
func TestLauncherKnowsThePlace(t *testing.T) {
	for uri, want := range map[string]string{
		"https://shop.example.com/x?a=b": "https://shop.example.com/x?a=b&iss=", "https://bücher.example:8443/": "https://xn--bcher-kva.example:8443/?iss=", "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example/?iss=",
		"http://[::1]:8080/": "http://[::1]:8080/?iss=", "https://[::1%25eth0]/x": "", "https://*.example.com/": "", "https://vip.example.com:99999/": "", "https://a..b/": "", "https:///x": "",
		"https://shop.example.com/a/../b": "", "https://shop.example.com/%2e%2e/": "", "https://shop.example.com/a/.%2E": "", "https://shop.example.com/a/%252e%252E/b": "", "https://shop.example.com/./a": "",
		`https://shop.example.com/a/..%5Cb`: "", "https://shop.example.com//evil.example/": "", "https://shop.example.com/_gatehouse/logout": "",
		"https://shop.example.com": "https://shop.example.com?iss=", "https://shop.example.com/a..b/.well-known/...?x=/../": "https://shop.example.com/a..b/.well-known/...?x=/../&iss=", "https://shop.example.com/ü/x": "https://shop.example.com/%C3%BC/x?iss=", "https://shop.example.com/a%2Fx": "https://shop.example.com/a%2Fx?iss=",
	} {
		c := &AppClient{ID: "shop", Allow: []string{"any"}, RedirectURIs: []string{"https://shop.example.com/back"}, InitiateLoginURI: uri}
		client, err := c.client(asWritten)
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), "initiate_login_uri https://wiki")):
			t.Errorf("%s: %v", uri, err)
		case want != "":
			must(t, err)
			if to, at := client.Begins(mustOrigin(t, "https://auth.example.com")); !strings.HasPrefix(to, want) || at.IsZero() {
				t.Errorf("%s: leads to %s at %s", uri, to, at)
			}
		}
	}
}
