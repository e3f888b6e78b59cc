package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The portal lists the sites that a person may open, and no other.
func TestPortalListsSites(t *testing.T) {
	s := newPortal(t)
	v := s.visitor()
	v.get("/").must(t, http.StatusSeeOther).leadsTo(t, "/_gatehouse/login")
	v.signIn("somebody@elsewhere.test")
	page := v.get("/").must(t, http.StatusOK).shows(t, s.site("127.0.0.1")+"/", s.site("part.localhost")+"/", s.site("alone.localhost")+"/")
	for _, hidden := range []string{"staff.localhost", "a.localhost"} {
		if strings.Contains(page.body, hidden) {
			t.Errorf("%s is listed", hidden)
		}
	}
	boss := s.visitor()
	boss.signIn("boss@example.com")
	boss.get("/").must(t, http.StatusOK).shows(t, s.site("staff.localhost")+"/", s.site("a.localhost")+"/")
	v.get("/nothing").must(t, http.StatusNotFound)
	v.do(http.MethodPost, "/", nil).must(t, http.StatusMethodNotAllowed)
}

// Apps that people sign in to by the portal stand there, for whom they admit, and
// those that one signs in to more often first.
func TestPortalListsApps(t *testing.T) {
	app := func(id, allow, more string) string {
		return "app " + id + " {\n redirect_uri https://" + id + ".example/callback\n allow " + allow + "\n" + more + "\n}\n"
	}
	s := start(t, plan{site: "gatehouse_portal", global: app("alpha", "any", "initiate_login_uri https://alpha.example/login?by=gatehouse") +
		app("beta", "any", "name \"The Beta\"\n initiate_login_uri https://beta.example/login") +
		app("closed", "boss@example.com", "initiate_login_uri https://closed.example/") + app("unknown", "any", "")})
	v := s.visitor()
	v.signIn("somebody@elsewhere.test")
	issuer := url.QueryEscape(s.url)
	alpha, beta := `href="https://alpha.example/login?by=gatehouse&amp;iss=`+issuer+`"`, `href="https://beta.example/login?iss=`+issuer+`"`
	page := v.get("/").must(t, http.StatusOK).shows(t, alpha, beta, "The Beta")
	if strings.Index(page.body, beta) < strings.Index(page.body, alpha) || strings.Contains(page.body, "closed") || strings.Contains(page.body, "unknown.example") {
		t.Errorf("at first: %s", page.body)
	}
	v.get("/oauth2/authorize?response_type=code&scope=openid&client_id=beta&redirect_uri=https%3A%2F%2Fbeta.example%2Fcallback&code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
	if page = v.get("/"); strings.Index(page.body, beta) > strings.Index(page.body, alpha) {
		t.Errorf("what was used last stands last: %s", page.body)
	}
	boss := s.visitor()
	boss.signIn("boss@example.com")
	boss.get("/").must(t, http.StatusOK).shows(t, `href="https://closed.example/?iss=`+issuer+`"`)
}

// A site is not listed either where its network or another gate before this one
// would refuse the person its front page.
func TestPortalListsOnlyWhatOpens(t *testing.T) {
	gate := func(host, inside string) string {
		return "http://" + host + ":PORT {\n bind 127.0.0.1\n" + inside + "\n reverse_proxy APP\n}\n"
	}
	const portal = " {\n portal http://localhost:PORT\n"
	s := start(t, plan{site: "gatehouse_portal", sites: gate("far.localhost", "gatehouse any"+portal+"client_ip 192.0.2.0/24\n}") +
		gate("near.localhost", "gatehouse any"+portal+"client_ip 127.0.0.0/8\n}") +
		gate("both.localhost", "gatehouse boss@example.com"+portal+"}\n gatehouse /open/* any"+portal+"}") +
		gate("part.localhost", "gatehouse /admin/* any"+portal+"}\n gatehouse /boss/* boss@example.com"+portal+"}") +
		gate("denied.localhost", "gatehouse any"+portal+"deny somebody@elsewhere.test\n}")})
	v := s.visitor()
	v.signIn("somebody@elsewhere.test")
	page := v.get("/").must(t, http.StatusOK).shows(t, s.site("near.localhost")+"/", s.site("part.localhost")+"/")
	for _, hidden := range []string{"far.localhost", "both.localhost", "denied.localhost"} {
		if strings.Contains(page.body, hidden) {
			t.Errorf("%s is listed", hidden)
		}
	}
	boss := s.visitor()
	boss.signIn("boss@example.com")
	boss.get("/").must(t, http.StatusOK).shows(t, s.site("both.localhost")+"/", s.site("denied.localhost")+"/")
}
