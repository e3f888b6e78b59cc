package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

var tokenInPage = regexp.MustCompile(`ght_[A-Za-z0-9_-]{43}`)

// appSite is a site with an app, and lines for its gate.
func appSite(host, gate string) string {
	return "http://" + host + ":PORT {\n bind 127.0.0.1\n gatehouse any {\n " + gate + "\n }\n reverse_proxy APP\n}\n"
}

const portalSite = "http://auth.example.com:PORT {\n bind 127.0.0.1\n gatehouse_portal\n}\n"

// A script of one app has the origin of our pages at its site: whatever it sends
// there in a visitor's browser, it gets nothing that is good at another site, and
// nothing about the visitor but this browser's session.
func TestScriptOfAnAppStaysOnItsSite(t *testing.T) {
	const evil, wiki, toPortal = "evil.example.com", "wiki.example.com", "portal http://auth.example.com:PORT"
	shared := "domain example.com\ninsecure_http on"
	for name, c := range map[string]struct {
		global, sites string
		whole         string // host where the whole account page is
		at            string // host of the script; default: evil
	}{
		"domain and portal":              {shared, portalSite + appSite(evil, toPortal) + appSite(wiki, toPortal), "auth.example.com", ""},
		"a gate without a portal line":   {shared, portalSite + appSite(evil, "") + appSite(wiki, toPortal), "auth.example.com", ""},
		"a domain and no portal":         {shared, appSite(evil, "") + appSite(wiki, ""), "", ""},
		"no domain":                      {"insecure_http on", portalSite + appSite(evil, toPortal) + appSite(wiki, toPortal), "auth.example.com", ""},
		"no domain and no portal line":   {"insecure_http on", portalSite + appSite(evil, "") + appSite(wiki, ""), "auth.example.com", ""},
		"the portal is an ordinary site": {"insecure_http on", appSite(evil, "") + appSite(wiki, "portal http://evil.example.com:PORT"), "", ""},
		"the portal shares its host": {shared, strings.Replace(portalSite, "gatehouse_portal", "gatehouse_portal\n reverse_proxy APP", 1) +
			appSite(wiki, toPortal), "", "auth.example.com"},
		"another handle on the portal's host": {shared, strings.Replace(portalSite, "gatehouse_portal", "handle /docs/* {\n file_server\n }\n handle {\n gatehouse_portal\n }", 1) +
			appSite(wiki, toPortal), "", "auth.example.com"},
		"an error page on the portal's host": {shared, strings.Replace(portalSite, "gatehouse_portal", "gatehouse_portal\n handle_errors {\n gatehouse_clean\n reverse_proxy APP\n }", 1) +
			appSite(wiki, toPortal), "", "auth.example.com"},
		"the portal under a star": {shared, strings.Replace(portalSite, "auth.", "*.", 1) + appSite(evil, "") + appSite(wiki, ""), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, plan{global: c.global, sites: c.sites})
			at := s.site(evil)
			if c.at != "" {
				at = s.site(c.at)
			}
			alice := person("alice")
			v := s.visitor().at(s.site(wiki))
			v.reach(t, alice)
			v.at(at).reach(t, alice)
			script := v.at(at)
			script.attack(t, s.site(wiki))
			script.get("/_gatehouse/session", scripts...).must(t, http.StatusOK)

			// What is its own: a token for this very site, for thirty days, and its end.
			if c.at != "" {
				return // a portal guards nothing itself
			}
			made := script.post("/_gatehouse/account/tokens", "name", "mine", "site", at, "days", "30").must(t, http.StatusOK)
			token := tokenInPage.FindString(made.body)
			keepSecret("token", token)
			program := func(site string) int {
				return s.visitor().get(site+"/x", "Accept", "application/json", "X-Gatehouse-Token", token).StatusCode
			}
			if here, there := program(at), program(s.site(wiki)); here != http.StatusOK || there == http.StatusOK {
				t.Errorf("a token for this site: %d here, %d at another", here, there)
			}
			script.post(regexp.MustCompile(`/_gatehouse/account/tokens/[^"/]+/end`).FindString(made.body)).must(t, http.StatusSeeOther)
			if here := program(at); here == http.StatusOK {
				t.Error("the token is good after its end")
			}
			// Its link leads to where the rest is.
			page := script.get("/_gatehouse/account").must(t, http.StatusOK)
			if link := s.site(c.whole) + "/_gatehouse/account"; (c.whole != "") != strings.Contains(page.body, `href="`+link+`"`) {
				t.Errorf("the way to the whole page: want %q in\n%s", c.whole, page.body)
			}
			if c.whole != "" {
				portal := v.at(s.site(c.whole))
				portal.reach(t, alice)
				portal.whole(t, s.site(wiki))
			}
			script.post("/_gatehouse/account/sessions/"+script.sid(t)+"/end").must(t, http.StatusSeeOther)
			script.get("/_gatehouse/session", scripts...).must(t, http.StatusUnauthorized)
		})
	}
}

// reach opens the visitor's site, signing in where that is asked for.
func (v *visitor) reach(t testing.TB, address string) {
	t.Helper()
	last, hops := v.follow(v.base + "/")
	if !strings.Contains(last.body, `name="email"`) {
		return
	}
	form := mustURL(hops[len(hops)-1].url)
	there := v.at(form.Scheme + "://" + form.Host)
	there.post("/_gatehouse/login", "email", address, "return_to", form.Query().Get("return_to")).must(t, http.StatusSeeOther)
	done := there.post("/_gatehouse/code", "code", codeMail(t, address).Code(t)).must(t, http.StatusSeeOther)
	back, err := mustURL(there.base).Parse(done.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	v.follow(back.String())
}

// codeMail is the next mail with a code: one about a new browser may come first.
func codeMail(t testing.TB, address string) smtptest.Message {
	t.Helper()
	for {
		if m := mails.NextTo(t, address); !strings.Contains(m.Parse(t).Subject, "New sign-in") {
			return m
		}
	}
}

// sid is that of the visitor's session here.
func (v *visitor) sid(t testing.TB) string {
	t.Helper()
	who := v.get("/_gatehouse/session", scripts...).must(t, http.StatusOK)
	return regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(who.body)[1]
}

// attack sends all that a script at the visitor's site might, and fails the test
// when something of it gets through.
func (v *visitor) attack(t *testing.T, other string) {
	t.Helper()
	for _, path := range []string{"/_gatehouse/account", "/_gatehouse/account/tokens", "/_gatehouse/logout"} {
		page := v.get(path)
		if page.StatusCode >= 500 {
			t.Errorf("%s: %s", path, page.Status)
		}
		for what, found := range map[string]bool{
			"another site": strings.Contains(page.body, mustURL(other).Host),
			"sign-ins":     strings.Contains(page.body, "Recent sign-ins"),
			"the rest":     strings.Contains(page.body, "/account/export") || strings.Contains(page.body, "/account/delete") || strings.Contains(page.body, "/account/name"),
			"two sessions": strings.Count(page.body, "/account/sessions/") > 1,
		} {
			if found {
				t.Errorf("%s shows %s:\n%s", path, what, page.body)
			}
		}
	}
	for name, c := range map[string]struct {
		path   string
		fields []string
	}{
		"a token for another site":      {"tokens", []string{"name", "a", "site", other, "days", "30"}},
		"one in capitals":               {"tokens", []string{"name", "b", "site", strings.ToUpper(other), "days", "30"}},
		"one for all":                   {"tokens", []string{"name", "c", "site", "*.example.com", "days", "30"}},
		"one that lives longer":         {"tokens", []string{"name", "d", "site", v.base, "days", "31"}},
		"one for a year":                {"tokens", []string{"name", "e", "site", v.base, "days", "365"}},
		"two sites":                     {"tokens", []string{"name", "f", "site", other, "site", v.base, "days", "30"}},
		"export":                        {"export", nil},
		"delete":                        {"delete", []string{"sure", "on"}},
		"name":                          {"name", []string{"name", "Mallory"}},
		"end all":                       {"sessions/end-all", nil},
		"end the others":                {"sessions/end-all", []string{"keep", "on"}},
		"end one that is not this":      {"sessions/AAAAAAAAAAAAAAAAAAAAAA/end", nil},
		"end a token that is elsewhere": {"tokens/AAAAAAAAAAAAAAAAAAAAAA/end", nil},
	} {
		got := v.post("/_gatehouse/account/"+c.path, c.fields...)
		switch location := got.Header.Get("Location"); {
		case tokenInPage.MatchString(got.body), strings.Contains(got.body, `"recent_sign_ins"`), strings.Contains(location, "?saved"), strings.Contains(location, "?ended_others"), strings.HasSuffix(location, "/logout"):
			t.Errorf("%s: %s, leads to %q", name, got.Status, location)
		case got.StatusCode >= 500:
			t.Errorf("%s: %s", name, got.Status)
		}
	}
}

// whole is what the page at a portal of its own goes on offering.
func (v *visitor) whole(t *testing.T, other string) {
	t.Helper()
	v.get("/").must(t, http.StatusOK).shows(t, `href="/_gatehouse/account"`)
	v.get("/_gatehouse/account").must(t, http.StatusOK).shows(t, "Recent sign-ins", "Download my data", mustURL(other).Host, "Sign out everywhere")
	made := v.post("/_gatehouse/account/tokens", "name", "year", "site", other, "days", "365").must(t, http.StatusOK)
	keepSecret("token", tokenInPage.FindString(made.body))
	if !tokenInPage.MatchString(made.body) {
		t.Errorf("no token:\n%s", made.body)
	}
	v.post("/_gatehouse/account/name", "name", "Alice").must(t, http.StatusSeeOther).leadsTo(t, "/_gatehouse/account?saved")
}

// Without a portal and without a domain the whole account page stays.
func TestWholeAccountOnAnOnlySite(t *testing.T) {
	s := start(t, plan{})
	v := s.visitor()
	v.signIn(person("alice"))
	v.get("/_gatehouse/account").must(t, http.StatusOK).shows(t, "Recent sign-ins", "Download my data", "Sign out everywhere")
	made := v.post("/_gatehouse/account/tokens", "name", "year", "site", s.url, "days", "365").must(t, http.StatusOK)
	keepSecret("token", tokenInPage.FindString(made.body))
	v.post("/_gatehouse/account/name", "name", "Alice").must(t, http.StatusSeeOther).leadsTo(t, "/_gatehouse/account?saved")
}

// A site that sends people to a portal leads back to its own account page, and
// the mail about a new browser leads to the whole one.
func TestWaysToTheAccountPage(t *testing.T) {
	s := start(t, plan{global: "domain example.com\ninsecure_http on", sites: portalSite + appSite("wiki.example.com", "")})
	wiki := s.site("wiki.example.com")
	alice := person("alice")
	s.visitor().at(wiki).signIn(alice)
	v := s.visitor().at(wiki)
	v.get("/_gatehouse/account").must(t, http.StatusSeeOther).leadsTo(t, "/_gatehouse/login?return_to="+url.QueryEscape("/_gatehouse/account"))
	v.signIn(alice)
	if notice := mails.NextTo(t, alice).Parse(t).Text; !strings.Contains(notice, s.site("auth.example.com")+"/_gatehouse/account") {
		t.Errorf("the mail leads elsewhere:\n%s", notice)
	}
}

// TestScriptInABrowserStaysOnItsSite: what a page of one app tries in a real
// browser, whose person is signed in everywhere, at its own site, at the portal
// and at another site.
func TestScriptInABrowserStaysOnItsSite(t *testing.T) {
	s := start(t, plan{global: "domain house.localhost", sites: strings.ReplaceAll(portalSite+appSite("evil.example.com", "")+appSite("wiki.example.com", "portal http://auth.example.com:PORT"), ".example.com", ".house.localhost")})
	evil, wiki, portal := s.site("evil.house.localhost"), s.site("wiki.house.localhost"), s.site("auth.house.localhost")
	alice := person("alice")
	page := s.browser()
	page.base = evil
	page.open(portal + "/")
	s.signInTab(page, alice)
	if page.open("/"); page.eval("document.querySelector('#who').textContent") != alice {
		t.Fatalf("at %s", page.path())
	}
	page.eval(`void (async () => {
		const [portal, wiki] = ["` + portal + `", "` + wiki + `"]
		const form = (fields) => ({method: 'POST', credentials: 'include', body: new URLSearchParams(fields)})
		const out = []
		const attempt = async (name, call) => {
			try { out.push(name + ': ' + await call()) } catch (e) { out.push(name + ': threw') }
		}
		const text = async (r) => { r = await r; return r.status + ' ' + await r.text() }
		const token = {name: 'stolen', site: wiki, days: '365'}
		for (const at of ['', portal, wiki]) {
			const root = at + '/_gatehouse/'
			await attempt('read', () => text(fetch(root + 'account', {credentials: 'include'})))
			await attempt('read tokens', () => text(fetch(root + 'account/tokens', {credentials: 'include'})))
			await attempt('read sign-out', () => text(fetch(root + 'logout', {credentials: 'include'})))
			for (const [path, fields] of [['tokens', token], ['name', {name: 'Mallory'}], ['export', {}], ['sessions/end-all', {keep: 'on'}], ['delete', {sure: 'on'}]]) {
				await attempt('send ' + path, () => text(fetch(root + 'account/' + path, form(fields))))
				await attempt('send blindly ' + path, () => fetch(root + 'account/' + path, {...form(fields), mode: 'no-cors'}).then(r => r.type))
				await attempt('with headers ' + path, () => text(fetch(root + 'account/' + path, {...form(fields), headers: {'X-Forwarded-Host': new URL(portal).host, 'X-Original-URL': portal + '/', 'X-Forwarded-Proto': 'http', 'Forwarded': 'host=' + new URL(portal).host}})))
				await attempt('frame ' + path, () => new Promise((done, fail) => {
					const frame = document.createElement('iframe')
					frame.name = 'f' + Math.random()
					frame.onload = () => { try { done(frame.contentDocument.documentElement.outerHTML) } catch (e) { fail(e) } }
					document.body.append(frame)
					const f = Object.assign(document.createElement('form'), {method: 'POST', action: root + 'account/' + path, target: frame.name})
					for (const [k, v] of Object.entries(fields)) f.append(Object.assign(document.createElement('input'), {name: k, value: v}))
					document.body.append(f)
					f.submit()
					setTimeout(() => fail('nothing'), 1000)
				}))
			}
			await attempt('frame', () => new Promise((done, fail) => {
				const frame = document.createElement('iframe')
				frame.src = root + 'account'
				frame.onload = () => { try { done(frame.contentDocument.documentElement.outerHTML) } catch (e) { fail(e) } }
				document.body.append(frame)
				setTimeout(() => fail('nothing'), 1000)
			}))
		}
		window.out = out.join('\n')
	})()`)
	within(t, patience, "the script is through", func() bool { return page.eval(`window.out || ''`) != "" })
	out := page.eval(`window.out`)
	for _, bad := range []string{"ght_", "recent_sign_ins", "Recent sign-ins", "wiki.house.localhost:" + s.port + "</bdi>", "Download my data"} {
		if strings.Contains(out, bad) {
			t.Errorf("a script got %q:\n%s", bad, out)
		}
	}
	page.open(portal + "/_gatehouse/account/tokens")
	page.sees("You have no tokens.")
	page.open(portal + "/_gatehouse/account")
	page.sees("Recent sign-ins")
	if name := page.eval(`document.querySelector('#name').value`); name != "" {
		t.Errorf("the name is %q", name)
	}
}
