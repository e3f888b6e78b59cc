package stackbe_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
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

func (w *inviting) press(link *url.URL, address string) apitest.Answer {
	w.T.Helper()
	return w.Do("POST", link.Path+"?"+link.RawQuery, url.Values{"email": {address}}, "Accept", "text/html", "User-Agent", "Mozilla/5.0 Firefox/140.0")
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
	isPage(t, w.press(stop, " Carol@Example.com "), 200, "no more invitations from Shop")
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
