package e2e

import (
	"net/http"
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
