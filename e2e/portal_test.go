package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// house is a portal on localhost and sites on hosts whose cookies no browser
// shares.
func newPortal(t testing.TB) *server {
	return start(t, plan{
		site: "gatehouse_portal",
		sites: `http://a.localhost:PORT {
	bind 127.0.0.1
	gatehouse *@example.com {
		portal http://localhost:PORT
	}
	reverse_proxy APP
}
http://127.0.0.1:PORT {
	bind 127.0.0.1
	gatehouse any {
		portal http://localhost:PORT
	}
	reverse_proxy APP
}
http://part.localhost:PORT {
	bind 127.0.0.1
	handle /_gatehouse/* {
		gatehouse_pages
	}
	handle /admin/* {
		gatehouse any {
			portal http://localhost:PORT
		}
		reverse_proxy APP
	}
	handle {
		gatehouse_clean
		reverse_proxy APP
	}
}
http://staff.localhost:PORT {
	bind 127.0.0.1
	gatehouse boss@example.com {
		portal http://localhost:PORT
	}
	reverse_proxy APP
}
http://alone.localhost:PORT {
	bind 127.0.0.1
	gatehouse any
	reverse_proxy APP
}`,
	})
}

func (s *server) site(host string) string { return "http://" + host + ":" + s.port }

// through signs in at the portal on the way to a page of a site.
func (s *server) through(v *visitor, page, address string) *answer {
	s.Helper()
	_, hops := v.follow(page)
	form := mustURL(hops[len(hops)-1].url)
	portal := v.at(s.url)
	portal.post("/_gatehouse/login", "email", address, "return_to", form.Query().Get("return_to")).must(s, http.StatusSeeOther)
	done := portal.post("/_gatehouse/code", "code", mails.NextTo(s, address).Code(s)).must(s, http.StatusSeeOther)
	back, _ := v.follow(done.Header.Get("Location"))
	return back
}

// ticketFor follows the way to a page up to the ticket, and does not use it.
func (s *server) ticketFor(v *visitor, page string) string {
	s.Helper()
	at := page
	for range 6 {
		to := v.get(at).Header.Get("Location")
		here := mustURL(at)
		next, err := here.Parse(to)
		if err != nil || to == "" {
			break
		}
		if _, ticket, ok := strings.Cut(next.Path, "/_gatehouse/handover/"); ok {
			keepSecret("ticket", ticket)
			return next.String()
		}
		at = next.String()
	}
	s.Fatalf("no ticket on the way to %s", page)
	return ""
}

// One sign-in opens every site, each with a cookie of its own; a second browser
// has none of it.
func TestOneSignInForManySites(t *testing.T) {
	s := newPortal(t)
	alice := person("alice")
	v, other := s.visitor(), s.visitor()
	s.through(v, s.site("a.localhost")+"/deep?x=1", alice).must(t, http.StatusOK).shows(t, alice, "/deep?x=1")
	for _, site := range []string{s.site("127.0.0.1"), s.site("part.localhost") + "/admin/x"} {
		got, hops := v.follow(site)
		got.must(t, http.StatusOK).shows(t, alice)
		if len(hops) > 6 {
			t.Errorf("%d steps to %s: %v", len(hops), site, hops)
		}
	}
	values := map[string]bool{}
	for _, host := range []string{"localhost", "a.localhost", "127.0.0.1", "part.localhost"} {
		values[v.at(s.site(host)).cookie("gatehouse")] = true
	}
	if len(values) != 4 || values[""] {
		t.Errorf("%d cookies at 4 hosts", len(values))
	}
	// What is no part of it stays so.
	alone, _ := v.follow(s.site("alone.localhost") + "/")
	alone.shows(t, `name="email"`)
	v.at(s.site("part.localhost")).get("/free", "Accept", "application/json").must(t, http.StatusOK)
	form, _ := other.follow(s.site("a.localhost") + "/")
	form.shows(t, `name="email"`)
	// Signed in, and not admitted.
	refused, _ := v.follow(s.site("staff.localhost") + "/")
	refused.must(t, http.StatusForbidden)
}

// A ticket is for one browser, one site and one use, whoever gets hold of it.
func TestTicketsCannotBeReplayed(t *testing.T) {
	s := newPortal(t)
	site := s.site("a.localhost")
	alice, mallory := s.visitor(), s.visitor()
	s.through(alice, s.site("127.0.0.1")+"/", person("alice"))
	s.through(mallory, s.site("127.0.0.1")+"/", person("mallory"))
	taken := func(v *visitor, ticket string) *answer { return v.get(ticket) }
	refused := func(name string, got *answer, status int) {
		t.Helper()
		got.must(t, status)
		for _, c := range got.Cookies() {
			if c.Name == "gatehouse" && c.Value != "" {
				t.Errorf("%s: a session", name)
			}
		}
		if got.Header.Get("Location") != "" {
			t.Errorf("%s: leads to %s", name, got.Header.Get("Location"))
		}
	}

	// Mallory's ticket in alice's browser would sign her in as mallory.
	gift := s.ticketFor(mallory, site+"/")
	alice.get(site + "/_gatehouse/login") // so that her browser has a mark of its own
	refused("another's browser", taken(alice, gift), http.StatusForbidden)
	refused("back in its own, spent", taken(mallory, gift), http.StatusGone)

	refused("a browser without a mark", taken(s.visitor(), s.ticketFor(alice, site+"/")), http.StatusBadRequest)

	ticket := s.ticketFor(alice, site+"/page?x=1")
	elsewhere := strings.Replace(ticket, "a.localhost", "127.0.0.1", 1)
	if got := alice.get(elsewhere); got.StatusCode == http.StatusSeeOther && strings.Contains(got.Header.Get("Location"), "page") {
		t.Error("a ticket is good at another site")
	}
	refused("spent at another site", taken(alice, ticket), http.StatusGone)

	ticket = s.ticketFor(alice, site+"/page?x=1")
	if got := alice.do(http.MethodHead, ticket, nil); got.StatusCode != http.StatusOK || len(got.Cookies()) > 0 {
		t.Errorf("HEAD: %s", got.Status)
	}
	alice.do(http.MethodPost, ticket, nil).must(t, http.StatusMethodNotAllowed)
	got := taken(alice, ticket).must(t, http.StatusSeeOther).leadsTo(t, "/page?x=1")
	if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers of the hand-over: %v", got.Header)
	}
	taken(alice, ticket).must(t, http.StatusSeeOther).leadsTo(t, "/") // loaded again, with a session
	alice.at(site).post("/_gatehouse/logout", "only", "here").must(t, http.StatusSeeOther)
	refused("twice", taken(alice, ticket), http.StatusGone)

	// The portal itself asks nobody to go to a stranger, or with a stranger's mark.
	for _, q := range []string{"", "site=https%3A%2F%2Fevil.test&state=" + strings.Repeat("A", 43), "site=" + url.QueryEscape(site) + "&state=x", "site=" + url.QueryEscape(s.url) + "&state=" + strings.Repeat("A", 43)} {
		refused(q, alice.get(s.url+"/_gatehouse/handover?"+q), http.StatusBadRequest)
	}
	// A site hands nothing over.
	got = alice.get(s.site("127.0.0.1") + "/_gatehouse/handover?site=" + url.QueryEscape(site) + "&state=" + strings.Repeat("A", 43))
	refused("from a site", got, http.StatusBadRequest)
}

func TestTicketsLiveSeconds(t *testing.T) {
	s := newPortal(t)
	v := s.visitor()
	s.through(v, s.site("127.0.0.1")+"/", person("alice"))
	ticket := s.ticketFor(v, s.site("a.localhost")+"/")
	s.pass(31 * time.Second)
	v.get(ticket).must(t, http.StatusGone)
}

// Ending one session ends all of the sign-in, streams included, within 2 s.
func TestSigningOutEverywhere(t *testing.T) {
	s := newPortal(t)
	for _, from := range []string{"localhost", "a.localhost"} {
		v := s.visitor()
		leaver := person("leaver")
		s.through(v, s.site("a.localhost")+"/", leaver)
		v.follow(s.site("127.0.0.1") + "/")
		v.follow(s.site("part.localhost") + "/admin/")
		streams := []*stream{v.stream(s.site("127.0.0.1") + "/events"), v.stream(s.site("a.localhost") + "/events"), v.stream(s.site("part.localhost") + "/admin/events")}
		socket := v.at(s.site("127.0.0.1")).socket()
		page := v.at(s.site(from)).get("/_gatehouse/logout").must(t, http.StatusOK)
		if from == "a.localhost" { // the app's scripts can read it, and don't learn where
			if page.shows(t, "every other site", "Only sign out of"); strings.Contains(page.body, "127.0.0.1") {
				t.Errorf("the page tells an app about another site:\n%s", page.body)
			}
		} else {
			page.shows(t, "127.0.0.1:"+s.port, "a.localhost:"+s.port)
		}
		v.at(s.site(from)).post("/_gatehouse/logout").must(t, http.StatusSeeOther)
		began := time.Now()
		for _, stream := range streams {
			stream.ends(t)
		}
		socket.closed()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the last stream was cut after %v", took)
		}
		for _, host := range []string{"a.localhost", "127.0.0.1"} {
			v.get(s.site(host)+"/", scripts...).must(t, http.StatusUnauthorized)
		}
		form, _ := v.follow(s.site("a.localhost") + "/")
		form.shows(t, `name="email"`)
	}
}

// Signing out of one site leaves the others, and the page says so.
func TestSigningOutHere(t *testing.T) {
	s := newPortal(t)
	v := s.visitor()
	s.through(v, s.site("a.localhost")+"/", person("alice"))
	v.follow(s.site("127.0.0.1") + "/")
	a := v.at(s.site("a.localhost"))
	a.post("/_gatehouse/logout", "only", "here").must(t, http.StatusSeeOther).leadsTo(t, "/_gatehouse/logout?left")
	a.get("/_gatehouse/logout?left").must(t, http.StatusOK).shows(t, "signed out of", " alone", s.url+"/_gatehouse/logout")
	a.get("/", scripts...).must(t, http.StatusUnauthorized)
	v.at(s.site("127.0.0.1")).app("/")
	again, _ := v.follow(s.site("a.localhost") + "/")
	again.must(t, http.StatusOK).shows(t, "App")
}

func TestPortalHealth(t *testing.T) {
	s := newPortal(t)
	got := s.visitor().get("/_gatehouse/health").must(t, http.StatusOK)
	var health struct{ Status, Store, Mail string }
	if err := json.Unmarshal([]byte(got.body), &health); err != nil || health.Status != "ok" || health.Store != "ok" || health.Mail != "ok" {
		t.Errorf("%s %v", got.body, err)
	}
	s.visitor().get(s.site("a.localhost")+"/_gatehouse/health").must(t, http.StatusNotFound)
}

// Under one domain the cookie does it: the site leads to the portal's form, and
// from there the browser comes straight back.
func TestPortalUnderOneDomain(t *testing.T) {
	s := start(t, plan{
		global: "domain example.com\ninsecure_http on",
		sites: `http://auth.example.com:PORT {
	bind 127.0.0.1
	gatehouse_portal
}
http://wiki.example.com:PORT {
	bind 127.0.0.1
	gatehouse any {
		portal http://auth.example.com:PORT
	}
	reverse_proxy APP
}`,
	})
	v := s.visitor()
	_, hops := v.follow(s.site("wiki.example.com") + "/page")
	if len(hops) != 3 || !strings.HasPrefix(hops[2].url, s.site("auth.example.com")+"/_gatehouse/login?return_to=") {
		t.Fatalf("%v", hops)
	}
	auth := v.at(s.site("auth.example.com"))
	alice := person("alice")
	auth.post("/_gatehouse/login", "email", alice, "return_to", s.site("wiki.example.com")+"/page").must(t, http.StatusSeeOther)
	auth.post("/_gatehouse/code", "code", mails.NextTo(t, alice).Code(t)).must(t, http.StatusSeeOther).leadsTo(t, s.site("wiki.example.com")+"/page")
	v.at(s.site("wiki.example.com")).get("/page").must(t, http.StatusOK).shows(t, alice)
	auth.post("/_gatehouse/logout").must(t, http.StatusSeeOther)
	v.get(s.site("wiki.example.com")+"/", scripts...).must(t, http.StatusUnauthorized)
}

// A site that wants a fresh sign-in gets one through the portal, and its stream
// goes on.
func TestFreshThroughThePortal(t *testing.T) {
	s := start(t, plan{
		site: "gatehouse_portal",
		sites: `http://a.localhost:PORT {
	bind 127.0.0.1
	handle /_gatehouse/* {
		gatehouse_pages
	}
	handle /pay {
		gatehouse any {
			portal http://localhost:PORT
			fresh 5m
		}
		reverse_proxy APP
	}
	handle {
		gatehouse any {
			portal http://localhost:PORT
		}
		reverse_proxy APP
	}
}`,
	})
	v := s.visitor()
	alice := person("alice")
	s.through(v, s.site("a.localhost")+"/pay", alice).must(t, http.StatusOK)
	s.pass(6 * time.Minute)
	stream := v.stream(s.site("a.localhost") + "/events")
	form, hops := v.follow(s.site("a.localhost") + "/pay")
	form.must(t, http.StatusOK).shows(t, alice, `name="email"`)
	if !strings.Contains(hops[len(hops)-1].url, "max_age=300") {
		t.Errorf("%v", hops)
	}
	s.through(v, s.site("a.localhost")+"/pay", alice).must(t, http.StatusOK).shows(t, alice)
	v.at(s.url).post("/_gatehouse/logout").must(t, http.StatusSeeOther)
	stream.ends(t)
}

// Some handlers must not stand where Caddy would answer in their place.
func TestPlacesThatAreRefused(t *testing.T) {
	s := start(t, plan{})
	for name, c := range map[string]struct{ caddy, sites, want string }{
		"authz under a host":     {"", "http://authz.localhost:PORT {\n bind 127.0.0.1\n gatehouse_authz {\n login http://localhost:PORT\n site wiki.localhost any\n }\n}", "every other host"},
		"everybody is trusted":   {"servers {\n trusted_proxies static 0.0.0.0/1 128.0.0.0/1\n}", "http://:PORT {\n bind 127.0.0.1\n gatehouse_authz {\n login http://localhost:PORT\n site wiki.localhost any\n }\n}", "holds everybody"},
		"everybody over IPv6":    {"servers {\n trusted_proxies static ::/0\n}", "http://:PORT {\n bind 127.0.0.1\n gatehouse_authz {\n login http://localhost:PORT\n site wiki.localhost any\n }\n}", "holds everybody"},
		"portal without a host":  {"", "http://:PORT {\n bind 127.0.0.1\n gatehouse_portal\n}", "under no host name"},
		"portal over plain http": {"", "http://b.localhost:PORT {\n bind 127.0.0.1\n gatehouse any {\n portal http://auth.example.com\n }\n}", "needs https"},
	} {
		if err := s.tryLoad(plan{caddy: c.caddy, sites: c.sites}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
