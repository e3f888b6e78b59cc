package stackbe_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// inviting is an organization of alice, of which bob is an admin.
type inviting struct {
	*world
	owner, admin, bob, org, invites string
}

func newInviting(t *testing.T, change func(*apitest.House)) *inviting {
	w := house(t, change)
	a, b := w.customer(alice), w.customer(bob)
	org := w.organization(a, "Acme")
	want(t, w.post(orgs+"/"+org+"/members", object{"customerId": b, "role": "admin"}), 201)
	return &inviting{w, w.session(alice), w.session(bob), b, org, orgs + "/" + org + "/invites"}
}

// invite has a new invitation sent, and returns its id and its link.
func (w *inviting) invite(who, email string) (id string, link *url.URL) {
	w.T.Helper()
	w.Sleep(time.Minute)
	id = want(w.T, w.call("POST", w.invites, object{"email": email, "role": "member"}, who), 201).String("id")
	return id, w.mailed()
}

// dead fails the test unless neither link nor id of an invitation count.
func (w *inviting) dead(t *testing.T, id string, link *url.URL, email string) {
	t.Helper()
	for _, i := range list(t, w.call("GET", w.invites, nil, w.owner)) {
		if i["id"] == id {
			t.Error("it is listed")
		}
	}
	refused(t, w.call("POST", w.invites+"/"+id+"/resend", object{}, w.owner), 404, "NOT_FOUND")
	isPage(t, w.visit("GET", link, ""), 410, "too old")
	if to := location(t, w.visit("POST", link, "")); to.Query().Get("error") == "" || to.Query().Get("token") != "" {
		t.Errorf("pressed: %s", to)
	}
	refused(t, w.post(auth+"verify", object{"token": link.Query().Get("token")}), 401, "TOKEN_EXPIRED")
	w.Sleep(time.Minute)
	refused(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, w.session(email)), 404, "NOT_FOUND")
	if got := w.roles(t, w.org)[email]; got != nil {
		t.Errorf("%s is %v", email, got)
	}
}

func TestInvitesDieWithTheirInviter(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, w *inviting){
		"demoted": func(t *testing.T, w *inviting) {
			want(t, w.call("PATCH", orgs+"/"+w.org+"/members/"+w.bob, object{"role": "member"}, w.owner), 200)
		},
		"removed": func(t *testing.T, w *inviting) {
			want(t, w.call("DELETE", orgs+"/"+w.org+"/members/"+w.bob, nil, w.owner), 200)
		},
		"left": func(t *testing.T, w *inviting) {
			want(t, w.call("DELETE", orgs+"/"+w.org+"/members/"+w.bob, nil, w.admin), 200)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInviting(t, nil)
			id, link := w.invite(w.admin, carol)
			end(t, w)
			w.dead(t, id, link, carol)
			again, link := w.invite(w.owner, carol)
			to := location(t, w.visit("POST", link, ""))
			if to.Query().Get("org_invite") != again || again == id || w.roles(t, w.org)[carol] != "member" {
				t.Errorf("invited again: %s", to)
			}
		})
	}
}

// An invitation that is dead lives no more, whatever right its inviter gets
// back: no list shows what could live again, and nobody could withdraw it.
func TestDeadInvitesStayDead(t *testing.T) {
	role := func(t *testing.T, w *inviting, role string) {
		want(t, w.call("PATCH", orgs+"/"+w.org+"/members/"+w.bob, object{"role": role}, w.owner), 200)
	}
	for name, revive := range map[string]func(t *testing.T, w *inviting){
		"lowered and raised": func(t *testing.T, w *inviting) {
			role(t, w, "member")
			role(t, w, "admin")
		},
		"lowered and raised to more": func(t *testing.T, w *inviting) {
			role(t, w, "member")
			role(t, w, "owner")
		},
		"removed and added": func(t *testing.T, w *inviting) {
			want(t, w.call("DELETE", orgs+"/"+w.org+"/members/"+w.bob, nil, w.owner), 200)
			want(t, w.post(orgs+"/"+w.org+"/members", object{"customerId": w.bob, "role": "admin"}), 201)
		},
		"deleted and made": func(t *testing.T, w *inviting) {
			if gone, err := w.Service.Core().Apps().Delete(t.Context(), apps.Deletion{Realm: person.Realm{App: "shop"}, Subject: strings.TrimPrefix(w.bob, "cust_")}); gone.Verdict != event.Accepted || err != nil {
				t.Fatal(gone, err)
			}
			want(t, w.post(orgs+"/"+w.org+"/members", object{"customerId": w.customer(bob), "role": "admin"}), 201)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInviting(t, nil)
			id, link := w.invite(w.admin, carol)
			revive(t, w)
			refused(t, w.call("DELETE", w.invites+"/"+id, nil, w.owner), 404, "NOT_FOUND")
			w.dead(t, id, link, carol)
			if again, _ := w.invite(w.session(bob), carol); again == id {
				t.Error("the new invitation is the old one")
			}
		})
	}
	t.Run("raised", func(t *testing.T) { // loses nothing
		w := newInviting(t, nil)
		id, link := w.invite(w.admin, carol)
		role(t, w, "owner")
		if to := location(t, w.visit("POST", link, "")); to.Query().Get("org_invite") != id {
			t.Errorf("leads to %s", to)
		}
	})
}

// What an admin may not withdraw, no invitation of an admin replaces.
func TestAdminsReplaceNoOwnersInvite(t *testing.T) {
	w := newInviting(t, nil)
	w.Sleep(time.Minute)
	id := want(t, w.call("POST", w.invites, object{"email": carol, "role": "owner"}, w.owner), 201).String("id")
	link := w.mailed()
	w.Sleep(time.Minute)
	for _, role := range []string{"member", "admin", "owner"} {
		refused(t, w.call("POST", w.invites, object{"email": carol, "role": role}, w.admin), 403, "UNAUTHORIZED")
	}
	refused(t, w.call("DELETE", w.invites+"/"+id, nil, w.admin), 403, "UNAUTHORIZED")
	refused(t, w.call("POST", w.invites+"/"+id+"/resend", object{}, w.admin), 403, "UNAUTHORIZED")
	t.Run("another address of the same person", func(t *testing.T) {
		sub := strings.TrimPrefix(w.customer(carol), "cust_")
		second, _ := address.Parse("carol.second@example.com")
		if _, v, err := w.Service.Apps().UpdatePerson(t.Context(), person.Realm{App: "shop"}, person.Whom{Subject: sub}, person.Draft{Emails: []address.Address{second}}); v != event.Accepted || err != nil {
			t.Fatal(v, err)
		}
		refused(t, w.call("POST", w.invites, object{"email": second.String(), "role": "member"}, w.admin), 403, "UNAUTHORIZED")
	})
	if waiting := list(t, w.call("GET", w.invites, nil, w.owner)); len(waiting) != 1 || waiting[0]["role"] != "owner" || waiting[0]["id"] != id {
		t.Errorf("waiting: %v", waiting)
	}
	if to := location(t, w.visit("POST", link, "")); to.Query().Get("org_invite") != id || w.roles(t, w.org)[carol] != "owner" {
		t.Errorf("leads to %s, carol is %v", to, w.roles(t, w.org)[carol])
	}
	t.Run("once it was withdrawn", func(t *testing.T) {
		id := want(t, w.call("POST", w.invites, object{"email": "dave@example.com", "role": "owner"}, w.owner), 201).String("id")
		want(t, w.call("DELETE", w.invites+"/"+id, nil, w.owner), 200)
		w.invite(w.admin, "dave@example.com")
	})
	t.Run("what an admin may withdraw", func(t *testing.T) {
		first, _ := w.invite(w.owner, "erin@example.com")
		if again, _ := w.invite(w.admin, "erin@example.com"); again != first {
			t.Error("it is another one")
		}
	})
}

// However an invitation was answered, none of its links signs in any more.
func TestInvitesCountOnce(t *testing.T) {
	members := func(w *inviting) string { return orgs + "/" + w.org + "/members" }
	accept := func(t *testing.T, w *inviting, id string) {
		want(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, w.session(carol)), 200)
	}
	for name, test := range map[string]struct {
		answer func(t *testing.T, w *inviting, id string)
		role   any
		code   string
	}{
		"accepted with a session": {accept, "member", "TOKEN_ALREADY_USED"},
		"accepted by a newer link": {func(t *testing.T, w *inviting, id string) {
			want(t, w.call("POST", w.invites+"/"+id+"/resend", object{}, w.owner), 200)
			location(t, w.visit("POST", w.mailed(), ""))
		}, "member", "TOKEN_ALREADY_USED"},
		"made a member by the app": {func(t *testing.T, w *inviting, id string) {
			want(t, w.post(members(w), object{"customerId": w.customer(carol), "role": "admin"}), 201)
			if again := want(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, w.session(carol)), 200); again.String("role") != "admin" {
				t.Error(again.Text)
			}
		}, "admin", "TOKEN_ALREADY_USED"},
		"accepted, and taken out": {func(t *testing.T, w *inviting, id string) {
			accept(t, w, id)
			want(t, w.call("DELETE", members(w)+"/"+w.customer(carol), nil, w.owner), 200)
		}, nil, "TOKEN_ALREADY_USED"},
		"made a member, and taken out": {func(t *testing.T, w *inviting, id string) {
			want(t, w.post(members(w), object{"customerId": w.customer(carol), "role": "member"}), 201)
			want(t, w.call("DELETE", members(w)+"/"+w.customer(carol), nil, w.owner), 200)
			refused(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, w.session(carol)), 400, "TOKEN_ALREADY_USED")
		}, nil, "TOKEN_ALREADY_USED"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInviting(t, nil)
			id, link := w.invite(w.owner, carol)
			w.Sleep(time.Minute)
			test.answer(t, w, id)
			refused(t, w.post(auth+"verify", object{"token": link.Query().Get("token")}), 401, test.code)
			isPage(t, w.visit("GET", link, ""), 410, "used already")
			if to := location(t, w.visit("GET", link, "&redirect=true")); to.Query().Get("token") != "" || to.Query().Get("error") == "" {
				t.Errorf("leads to %s", to)
			}
			if got := w.roles(t, w.org)[carol]; got != test.role {
				t.Errorf("carol is %v", got)
			}
			for _, i := range list(t, w.call("GET", w.invites, nil, w.owner)) {
				t.Errorf("it waits: %v", i)
			}
		})
	}
	t.Run("taken out while invited to more", func(t *testing.T) {
		w := newInviting(t, nil)
		c := w.customer(carol)
		want(t, w.post(members(w), object{"customerId": c, "role": "member"}), 201)
		w.Sleep(time.Minute)
		id := want(t, w.call("POST", w.invites, object{"email": carol, "role": "admin"}, w.owner), 201).String("id")
		link := w.mailed()
		want(t, w.call("DELETE", members(w)+"/"+c, nil, w.owner), 200)
		w.dead(t, id, link, carol)
	})
}

func TestWithdrawInvite(t *testing.T) {
	w := newInviting(t, nil)
	for name, who := range map[string]string{"by its inviter": w.owner, "by an admin": w.admin, "by the app": apitest.LiveKey} {
		t.Run(name, func(t *testing.T) {
			email := strings.ReplaceAll(name, " ", ".") + "@example.com"
			id, link := w.invite(w.owner, email)
			path := w.invites + "/" + id
			refused(t, w.call("DELETE", path, nil, w.session("stranger."+email)), 404, "NOT_FOUND")
			refused(t, w.call("DELETE", path, nil, apitest.TestKey), 404, "NOT_FOUND")
			refused(t, w.call("DELETE", w.invites+"/inv_x", nil, who), 404, "NOT_FOUND")
			refused(t, w.call("DELETE", orgs+"/"+w.organization(w.customer(carol), "Other")+"/invites/"+id, nil, apitest.LiveKey), 404, "NOT_FOUND")
			if a := want(t, w.call("DELETE", path, nil, who), 200); a.Get("success") != true {
				t.Error(a.Text)
			}
			refused(t, w.call("DELETE", path, nil, who), 404, "NOT_FOUND")
			w.dead(t, id, link, email)
			if again, _ := w.invite(w.owner, email); again == id {
				t.Error("the new invitation is the old one")
			}
		})
	}
	t.Run("by a member", func(t *testing.T) {
		id, _ := w.invite(w.owner, "dave@example.com")
		want(t, w.call("PATCH", orgs+"/"+w.org+"/members/"+w.bob, object{"role": "member"}, w.owner), 200)
		refused(t, w.call("DELETE", w.invites+"/"+id, nil, w.admin), 403, "UNAUTHORIZED")
		want(t, w.call("POST", w.invites+"/"+id+"/resend", object{}, w.owner), 200)
	})
}

// stopLink is the link to stop with in the newest mail, which has it in text
// and HTML.
func (w *inviting) stopLink() *url.URL {
	w.T.Helper()
	m := w.LastMail()
	_, text, _ := strings.Cut(m.Text, "no such mails: ")
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || !strings.HasPrefix(u.Query().Get("token"), "stop-") || !strings.Contains(m.HTML, u.Query().Get("token")) {
		w.T.Fatalf("no link to stop with: %s", m.Text)
	}
	return u
}

func (w *inviting) press(link *url.URL, address string, headers ...string) apitest.Answer {
	w.T.Helper()
	return w.Do("POST", link.Path+"?"+link.RawQuery, url.Values{"email": {address}}, append([]string{"Accept", "text/html", "User-Agent", "Mozilla/5.0 Firefox/140.0"}, headers...)...)
}

// TestStopDiesWithTheAddress: whoever had an address stops no mails of who has it
// now.
func TestStopDiesWithTheAddress(t *testing.T) {
	for name, end := range map[string]func(w *inviting, customer string) apitest.Answer{
		"replaced": func(w *inviting, customer string) apitest.Answer {
			return w.call("PATCH", "/v1/customers/"+customer, object{"email": "dora@example.com"}, apitest.LiveKey)
		},
		"replaced, and somebody else's": func(w *inviting, customer string) apitest.Answer {
			w.call("PATCH", "/v1/customers/"+customer, object{"email": "dora@example.com"}, apitest.LiveKey)
			w.session(carol)
			return w.get("/v1/customers?email=" + carol)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInviting(t, nil)
			customer := w.signIn(carol).String("customerId")
			w.invite(w.owner, carol)
			stop := w.stopLink()
			want(t, end(w, customer), 200)
			isPage(t, w.press(stop, carol), 422, "was not sent to this address")
			w.Sleep(time.Hour)
			n := len(w.Mail.Sent())
			want(t, w.post(w.invites, object{"email": carol, "role": "member"}), 201)
			if got := len(w.Mail.Sent()); got != n+1 {
				t.Errorf("%d mails were sent", got-n)
			}
		})
	}
}

// TestOrganizationsOff: what was sent while there were organizations counts no more.
func TestOrganizationsOff(t *testing.T) {
	w := newInviting(t, nil)
	want(t, w.call("PATCH", orgs+"/"+w.org, object{"plan": "pro"}, apitest.LiveKey), 200)
	inOrg := want(t, w.call("POST", auth+"switch-organization", object{"organizationId": w.org}, w.owner), 200).String("sessionToken")
	id, link := w.invite(w.owner, carol)
	w.App.Organizations = false
	isPage(t, w.visit("GET", link, ""), 410, "too old")
	if to := location(t, w.visit("POST", link, "")); to.Query().Get("error") == "" || to.Query().Get("token") != "" {
		t.Errorf("pressed: %s", to)
	}
	refused(t, w.post(auth+"verify", object{"token": link.Query().Get("token")}), 401, "TOKEN_EXPIRED")
	refused(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, w.session(carol)), 403, "FEATURE_NOT_AVAILABLE")
	if s := want(t, w.call("GET", auth+"session", nil, inOrg), 200); s.Get("organizationId") != nil || s.Get("orgRole") != nil || s.String("entitlements.planName") != "Free" {
		t.Errorf("a session acts for an organization: %s", s.Text)
	}
	refused(t, w.get("/v1/entitlements?customerId="+w.customer(bob)+"&organizationId="+w.org), 403, "FEATURE_NOT_AVAILABLE")
	w.App.Organizations = true
	if got := w.roles(t, w.org)[carol]; got != nil {
		t.Errorf("joined as %v", got)
	}
}

func TestStopInvites(t *testing.T) {
	w := newInviting(t, nil)
	id, link := w.invite(w.owner, carol)
	if m := w.LastMail(); !strings.Contains(m.Text, "Acme") || !strings.Contains(m.Text, "Shop") {
		t.Errorf("it does not say whose mail it is: %s", m.Text)
	}
	stop := w.stopLink()
	before := w.Dump()
	for _, query := range []string{"", "&redirect=true"} { // a scanner opens it, too
		isPage(t, w.visit("GET", stop, query), 200, "Type your address")
		isPage(t, w.visit("GET", stop, query, "User-Agent", "scanbot"), 200, "Type your address")
	}
	for _, wrong := range []string{"", "bob@example.com", "no address", carol + ", " + bob, "<script>@example.com"} {
		isPage(t, w.press(stop, wrong), 422, "was not sent to this address")
	}
	refused(t, w.post(auth+"verify", object{"token": stop.Query().Get("token")}), 401, "TOKEN_INVALID")
	// What clients are counted by is all that changed.
	if keep := func(dump string) string {
		var out []string
		for line := range strings.Lines(dump) {
			if !strings.HasPrefix(line, "limit/") {
				out = append(out, line)
			}
		}
		return strings.Join(out, "")
	}; keep(w.Dump()) != keep(before) {
		t.Error("something changed")
	}
	isPage(t, w.press(stop, " Carol@Example.com "), 200, "no more invitations from <bdi>Shop</bdi>")
	w.dead(t, id, link, carol)
	n := len(w.Mail.Sent())
	w.Sleep(time.Minute)
	want(t, w.call("POST", w.invites, object{"email": carol, "role": "member"}, w.owner), 201)
	w.Sleep(time.Minute)
	want(t, w.post(w.invites, object{"email": carol, "role": "member"}), 201)
	if got := len(w.Mail.Sent()); got != n {
		t.Errorf("%d mails were sent", got-n)
	}
	w.Sleep(24 * time.Hour)
	want(t, w.post(w.invites, object{"email": carol, "role": "member"}), 201)
	if got := len(w.Mail.Sent()); got != n+1 {
		t.Errorf("%d mails a day later", got-n)
	}
}

// No other site's page stops anybody's invitations, as no other site's page
// presses any button of ours.
func TestNoOtherSiteStopsInvites(t *testing.T) {
	w := newInviting(t, nil)
	_, link := w.invite(w.owner, carol)
	stop := w.stopLink()
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, {"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.test"}, {"Origin", "null"}, {"Referer", "https://evil.test/"}, {"Origin", ""},
	} {
		want(t, w.press(stop, carol, headers...), 403)
		want(t, w.press(link, carol, headers...), 403)
	}
	if n := len(list(t, w.call("GET", w.invites, nil, w.owner))); n != 1 {
		t.Errorf("%d invitations wait", n)
	}
	isPage(t, w.press(stop, carol, "Sec-Fetch-Site", "same-origin"), 200, "no more invitations")
}

// Whom a mail was handed on to may not try all addresses.
func TestAddressesAtAStopPageAreLimited(t *testing.T) {
	w := newInviting(t, nil)
	w.invite(w.owner, carol)
	stop := w.stopLink()
	for i := range 5 {
		isPage(t, w.press(stop, "guess"+string(rune('0'+i))+"@example.com"), 422, "was not sent to this address")
	}
	for range 2 {
		if a := w.press(stop, carol); a.Status != 429 || a.Header.Get("Retry-After") == "" {
			t.Fatalf("status %d: %s", a.Status, a.Text)
		}
	}
	if n := len(list(t, w.call("GET", w.invites, nil, w.owner))); n != 1 {
		t.Errorf("%d invitations wait", n)
	}
	w.Sleep(time.Minute)
	w.invite(w.owner, "dave@example.com")
	isPage(t, w.press(w.stopLink(), "dave@example.com"), 200, "no more invitations") // each mail by itself
	w.Sleep(time.Hour)
	isPage(t, w.press(stop, carol), 200, "no more invitations")
}

// With a verification URL of the app's own the link to stop with stands there
// as well, and comes the same way.
func TestStopInvitesAtAVerificationURL(t *testing.T) {
	w := newInviting(t, func(h *apitest.House) { h.App.VerificationURL = "https://app.example.com/verify" })
	w.invite(w.owner, carol)
	stop := w.stopLink()
	if stop.Host != "app.example.com" || stop.Query().Get("appId") != "shop" {
		t.Fatalf("stops at %s", stop)
	}
	there := &url.URL{Path: auth + "verify", RawQuery: "token=" + stop.Query().Get("token")}
	isPage(t, w.visit("GET", there, "&redirect=true"), 200, "Type your address")
	isPage(t, w.press(there, carol), 200, "no more invitations")
	if n := len(list(t, w.call("GET", w.invites, nil, w.owner))); n != 0 {
		t.Errorf("%d invitations wait", n)
	}
}

// Eight customers, each within all limits of their own, stop nobody's sign-in.
func TestInvitesDoNotStopSignIns(t *testing.T) {
	w := newInviting(t, nil)
	var customers []object
	for c := range 8 { // before anything waits
		email := "owner" + string(rune('0'+c)) + "@example.com"
		customers = append(customers, object{"email": email, "org": w.organization(w.customer(email), "Org"), "jwt": w.session(email)})
	}
	for c, customer := range customers {
		w.From("198.51." + string(rune('0'+c)) + ".1")
		email, org, jwt := customer["email"].(string), customer["org"].(string), customer["jwt"].(string)
		for i := range 21 {
			a := w.Do("POST", orgs+"/"+org+"/invites", object{"email": "v" + strings.Repeat("x", i) + "." + email, "role": "member"}, bearer(jwt)...)
			if i < 20 && a.Status != 201 || i == 20 && (a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "") {
				t.Fatalf("invitation %d of customer %d: %d %s", i, c, a.Status, a.Text)
			}
		}
	}
	n := 0
	for _, m := range w.Mail.Sent() {
		if strings.HasPrefix(m.Subject, "You are invited") {
			n++
		}
	}
	if n > 60 { // a tenth of 600
		t.Errorf("%d invitations went out in a minute", n)
	}
	want(t, w.Do("POST", auth+"magic-link", object{"email": "dave@example.com"}, bearer(apitest.LiveKey)...), 200)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		sent := w.Mail.Sent()
		if sent[len(sent)-1].To.String() == "dave@example.com" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no mail to sign in with")
		}
	}
}

// Of two addresses of a member, whichever comes first, answers name the one that
// was proved.
func TestMembersAreNamedByWhatTheyProved(t *testing.T) {
	const unproved, proved = "unproved@example.com", "proved@example.com"
	for name, emails := range map[string][]string{"the second": {unproved, proved}, "the first": {proved, unproved}} {
		t.Run(name, func(t *testing.T) {
			w := newInviting(t, nil)
			id := w.customer(emails[0])
			second, err := address.Parse(emails[1])
			if err != nil {
				t.Fatal(err)
			}
			sub := strings.TrimPrefix(id, "cust_")
			_, v, err := w.Service.Apps().UpdatePerson(t.Context(), person.Realm{App: w.App.ID}, person.Whom{Subject: sub}, person.Draft{Emails: []address.Address{second}})
			if err != nil || v != event.Accepted {
				t.Fatal(v, err)
			}
			jwt := w.session(proved)
			named := func(what string, a apitest.Answer, email string) {
				t.Helper()
				if got := a.String("email"); got != email || a.Get("customerId") != id && a.Get("id") != id {
					t.Errorf("%s: %s", what, a.Text)
				}
			}
			invited, _ := w.invite(w.owner, proved)
			for _, what := range []string{"accepted", "accepted before"} {
				named(what, want(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": invited}, jwt), 200), proved)
			}
			if got := w.roles(t, w.org); got[proved] != "member" || got[unproved] != nil {
				t.Errorf("members are %v", got)
			}
			members := orgs + "/" + w.org + "/members"
			named("changed", want(t, w.call("PATCH", members+"/"+id, object{"role": "admin"}, w.owner), 200), proved)
			named("added", want(t, w.post(members, object{"customerId": id, "role": "member"}), 201), proved)
			named("asked for", want(t, w.get("/v1/customers?email="+proved), 200), proved)
			named("made again", want(t, w.post("/v1/customers", object{"email": proved}), 200), proved)
			want(t, w.get("/v1/customers?email="+unproved), 404)
			if a := want(t, w.post("/v1/customers", object{"email": unproved}), 201); a.Get("id") == id {
				t.Errorf("by the other one: %s", a.Text)
			}
		})
	}
}

// TestResendRevivesNoInvite: a resend under way, as of a double click, made an
// invitation anew that was withdrawn, accepted or whose address was replaced
// meanwhile.
func TestResendRevivesNoInvite(t *testing.T) {
	w := house(t, nil)
	org := w.organization(w.customer(alice), "Acme")
	pending := func(email string) bool {
		return strings.Contains(want(t, w.get(orgs+"/"+org+"/invites"), 200).Text, email)
	}
	key := append(bearer(apitest.LiveKey), "Content-Type", "application/json")
	for name, end := range map[string]func(id, email, customer, session string) apitest.Answer{
		"withdrawn": func(id, _, _, _ string) apitest.Answer {
			return w.Do("DELETE", orgs+"/"+org+"/invites/"+id, nil, key...)
		},
		"its address replaced": func(_, email, customer, _ string) apitest.Answer {
			return w.Do("PATCH", "/v1/customers/"+customer, object{"email": "new-" + email}, key...)
		},
		"accepted": func(id, _, _, session string) apitest.Answer {
			return w.Do("POST", orgs+"/invites/accept", object{"inviteId": id}, bearer(session)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 30 {
				w.Sleep(3 * time.Hour) // past the limits of mails
				email := fmt.Sprintf("%s%d@example.com", strings.Fields(name)[0], round)
				signed := w.signIn(email)
				customer, session := signed.String("customerId"), signed.String("sessionToken")
				id := want(t, w.post(orgs+"/"+org+"/invites", object{"email": email, "role": "admin"}), 201).String("id")
				w.LastMail()
				var all sync.WaitGroup
				var ended apitest.Answer
				for n := range 4 {
					all.Go(func() {
						if n == 2 {
							ended = end(id, email, customer, session)
							return
						}
						w.Do("POST", orgs+"/"+org+"/invites/"+id+"/resend", object{}, key...)
					})
				}
				all.Wait()
				want(t, ended, 200)
				if pending(email) {
					t.Fatalf("round %d: an invitation that was %s waits", round, name)
				}
				w.Quiet()
			}
		})
	}
}
