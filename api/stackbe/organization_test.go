package stackbe_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

const carol = "carol@example.com"

// organization makes one that owner owns.
func (w *world) organization(owner, name string) string {
	w.T.Helper()
	return want(w.T, w.post(orgs, object{"name": name, "ownerId": owner}), 201).String("id")
}

// list reads an array.
func list(t testing.TB, a apitest.Answer) []object {
	t.Helper()
	var out []object
	if err := json.Unmarshal([]byte(want(t, a, 200).Text), &out); err != nil {
		t.Fatalf("not an array of objects: %s", a.Text)
	}
	return out
}

// roles are the roles of members by address.
func (w *world) roles(t testing.TB, org string) map[string]any {
	out := map[string]any{}
	for _, m := range list(t, w.get(orgs+"/"+org+"/members")) {
		out[m["email"].(string)] = m["role"]
	}
	return out
}

func TestOrganizations(t *testing.T) {
	w := house(t, nil)
	a := w.signIn(alice)
	jwt, id := a.String("sessionToken"), a.String("customerId")
	t.Run("STACKBE-68", func(t *testing.T) {
		off := house(t, func(h *apitest.House) { h.App.Organizations = false })
		refused(t, off.post(orgs, object{"name": "Acme", "ownerId": off.customer(alice)}), 403, "FEATURE_NOT_AVAILABLE")
		refused(t, off.call("POST", auth+"switch-organization", object{"organizationId": "org_x"}, off.session(bob)), 403, "FEATURE_NOT_AVAILABLE")
	})
	var org string
	t.Run("STACKBE-76 STACKBE-79", func(t *testing.T) {
		o := want(t, w.call("POST", orgs, object{"name": "Acme, Inc."}, jwt), 201)
		org = o.String("id")
		if !regexp.MustCompile(`^org_[0-9A-Za-z]{27}$`).MatchString(org) || o.String("name") != "Acme, Inc." {
			t.Errorf("answer %s", o.Text)
		}
		if _, err := time.Parse(time.RFC3339, o.String("createdAt")); err != nil {
			t.Error(err)
		}
		if got := w.roles(t, org)[alice]; got != "owner" {
			t.Errorf("who made it is %v", got)
		}
	})
	t.Run("STACKBE-78", func(t *testing.T) {
		if got := w.get(orgs + "/" + org).String("slug"); !strings.HasPrefix(got, "acme-inc-") {
			t.Errorf("slug %q", got)
		}
		mine := object{"name": "Other", "slug": "my-slug", "ownerId": w.customer(alice)}
		if o := want(t, w.post(orgs, mine), 201); o.String("slug") != "my-slug" {
			t.Error(o.Text)
		}
		refused(t, w.post(orgs, mine), 400, "VALIDATION_ERROR")
		mine["slug"] = ""
		if o := want(t, w.post(orgs, mine), 201); o.String("slug") != "other" {
			t.Error(o.Text)
		}
		// To a customer all are alike, or they would tell what others are called.
		for _, taken := range []bool{true, false} {
			for _, field := range []string{"slug", "name"} {
				text := map[bool]string{true: "my-slug", false: "free-" + field}[taken]
				o := want(t, w.call("POST", orgs, object{"name": "X", field: text}, jwt), 201)
				if field == "name" {
					o = want(t, w.call("POST", orgs, object{"name": text}, jwt), 201)
				}
				if rest, ok := strings.CutPrefix(o.String("slug"), text+"-"); !ok || len(rest) != 8 {
					t.Errorf("slug %q", o.String("slug"))
				}
			}
		}
	})
	t.Run("STACKBE-77", func(t *testing.T) {
		bobs := w.organization(w.customer(bob), "Bob's")
		if got := w.roles(t, bobs)[bob]; got != "owner" {
			t.Errorf("the owner is %v", got)
		}
		refused(t, w.post(orgs, object{"name": "x", "ownerId": "cust_x"}), 404, "CUSTOMER_NOT_FOUND")
		refused(t, w.post(orgs, object{"name": "x"}), 400, "MISSING_REQUIRED_FIELD")
	})
	t.Run("STACKBE-69 STACKBE-71", func(t *testing.T) {
		w := house(t, nil)
		id := w.customer(alice)
		own := w.organization(id, "Own")
		w.Sleep(2 * time.Second) // they are listed by age
		other := w.organization(w.customer(bob), "Other")
		want(t, w.post(orgs+"/"+other+"/members", object{"customerId": id, "role": "member"}), 201)
		got := list(t, w.get(orgs+"?customerId="+id))
		if len(got) != 2 || got[0]["id"] != own || got[0]["role"] != "owner" || got[1]["id"] != other || got[1]["role"] != "member" {
			t.Errorf("organizations %v", got)
		}
		if mine := list(t, w.call("GET", orgs, nil, w.session(alice))); len(mine) != 2 {
			t.Errorf("with the session: %v", mine)
		}
		refused(t, w.get(orgs), 400, "MISSING_REQUIRED_FIELD")
	})
	t.Run("STACKBE-72", func(t *testing.T) {
		s := want(t, w.call("POST", auth+"switch-organization", object{"organizationId": org}, jwt), 200)
		inOrg := s.String("sessionToken")
		if inOrg == jwt || s.String("organizationId") != org || s.String("orgRole") != "owner" {
			t.Errorf("answer %s", s.Text)
		}
		if c := claimsOf(t, inOrg); c["organizationId"] != org || c["orgRole"] != "owner" || c["sub"] != id {
			t.Errorf("claims %v", c)
		}
		who := want(t, w.call("GET", auth+"session", nil, inOrg), 200)
		if who.String("organizationId") != org || who.String("orgRole") != "owner" {
			t.Errorf("session %s", who.Text)
		}
		verified := want(t, w.post(auth+"verify", object{"token": inOrg}), 200)
		if verified.String("organizationId") != org {
			t.Errorf("verified %s", verified.Text)
		}
	})
	t.Run("sessions of a sign-in end together", func(t *testing.T) {
		inOrg := func(token string) string {
			return want(t, w.call("POST", auth+"switch-organization", object{"organizationId": org}, token), 200).String("sessionToken")
		}
		ends := func(sid string) {
			if ok, err := w.Service.Apps().EndSession(t.Context(), person.Realm{App: "shop"}, apps.SessionRef{SID: sid}, "test"); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		for _, which := range []int{0, 1, 2} { // the first, one that came from it, and one that came from that
			first := w.session(alice)
			all := []string{first, inOrg(first)}
			all = append(all, inOrg(all[1]))
			ends(claimsOf(t, all[which])["jti"].(string))
			for _, token := range all {
				refused(t, w.call("GET", auth+"session", nil, token), 401, "SESSION_INVALID")
				refused(t, w.call("POST", auth+"switch-organization", object{"organizationId": org}, token), 401, "SESSION_INVALID")
			}
		}
		want(t, w.call("GET", auth+"session", nil, jwt), 200)
	})
	t.Run("and have one budget of calls", func(t *testing.T) {
		first := w.session(alice)
		child := want(t, w.call("POST", auth+"switch-organization", object{"organizationId": org}, first), 200).String("sessionToken")
		for range 60 {
			w.call("GET", auth+"session", nil, first)
		}
		for range 39 {
			want(t, w.call("GET", auth+"session", nil, child), 200)
		}
		if a := w.call("GET", auth+"session", nil, child); a.Status != 429 {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		w.Sleep(2 * time.Minute)
	})
	t.Run("STACKBE-73", func(t *testing.T) {
		stranger := w.session(carol)
		refused(t, w.call("POST", auth+"switch-organization", object{"organizationId": org}, stranger), 403, "UNAUTHORIZED")
		refused(t, w.call("POST", auth+"switch-organization", object{"organizationId": "org_x"}, stranger), 403, "UNAUTHORIZED")
		refused(t, w.call("POST", auth+"switch-organization", object{}, stranger), 400, "MISSING_REQUIRED_FIELD")
		refused(t, w.call("GET", orgs+"/"+org+"/members", nil, stranger), 404, "NOT_FOUND")
		refused(t, w.call("GET", orgs+"/"+org+"/members", nil, apitest.TestKey), 404, "NOT_FOUND")
	})
}

func TestMembers(t *testing.T) {
	w := house(t, nil)
	a, b, c := w.customer(alice), w.customer(bob), w.customer(carol)
	org := w.organization(a, "Acme")
	members := orgs + "/" + org + "/members"
	t.Run("STACKBE-85 STACKBE-88", func(t *testing.T) {
		before := len(w.Mail.Sent())
		m := want(t, w.post(members, object{"customerId": b, "role": "admin"}), 201)
		if m.String("customerId") != b || m.String("role") != "admin" {
			t.Error(m.Text)
		}
		want(t, w.post(members, object{"customerId": c, "role": "member"}), 201)
		if w.Quiet(); len(w.Mail.Sent()) != before {
			t.Error("a mail was sent")
		}
		if got := w.roles(t, org); got[alice] != "owner" || got[bob] != "admin" || got[carol] != "member" {
			t.Errorf("roles %v", got)
		}
	})
	t.Run("STACKBE-70", func(t *testing.T) {
		for _, bad := range []any{"root", "", "Owner", nil, 1} {
			if a := w.post(members, object{"customerId": b, "role": bad}); a.Status != 400 {
				t.Errorf("role %v: %s", bad, a.Text)
			}
		}
	})
	owner, admin, plain := w.session(alice), w.session(bob), w.session(carol)
	change := func(who, whom, role string) apitest.Answer {
		return w.call("PATCH", members+"/"+whom, object{"role": role}, who)
	}
	t.Run("STACKBE-86", func(t *testing.T) {
		refused(t, change(plain, c, "admin"), 403, "UNAUTHORIZED")
		refused(t, change(admin, a, "member"), 403, "UNAUTHORIZED")
		refused(t, change(admin, c, "owner"), 403, "UNAUTHORIZED")
		want(t, change(admin, c, "admin"), 200)
		refused(t, change(admin, c, "member"), 403, "UNAUTHORIZED") // an admin's role is the owners'
		want(t, change(owner, c, "member"), 200)
		want(t, change(owner, b, "member"), 200)
		want(t, change(owner, b, "admin"), 200)
	})
	t.Run("STACKBE-87", func(t *testing.T) {
		refused(t, change(owner, a, "member"), 403, "UNAUTHORIZED")
		refused(t, change(apitest.LiveKey, a, "member"), 400, "VALIDATION_ERROR")
		refused(t, w.call("DELETE", members+"/"+a, nil, apitest.LiveKey), 400, "VALIDATION_ERROR")
	})
	t.Run("leaving", func(t *testing.T) {
		refused(t, w.call("DELETE", members+"/"+b, nil, plain), 403, "UNAUTHORIZED")
		want(t, w.call("DELETE", members+"/"+c, nil, plain), 200)
		refused(t, w.call("GET", members, nil, plain), 404, "NOT_FOUND")
		refused(t, w.call("DELETE", members+"/"+c, nil, apitest.LiveKey), 404, "NOT_FOUND")
	})
	t.Run("what only the app may do", func(t *testing.T) {
		refused(t, w.call("POST", members, object{"customerId": c, "role": "member"}, owner), 403, "UNAUTHORIZED")
		refused(t, w.call("PATCH", orgs+"/"+org, object{"plan": "pro"}, owner), 403, "UNAUTHORIZED")
		if o := want(t, w.call("PATCH", orgs+"/"+org, object{"name": "Acme Ltd."}, owner), 200); o.String("name") != "Acme Ltd." {
			t.Error(o.Text)
		}
	})
	t.Run("who is no member any more", func(t *testing.T) {
		inOrg := want(t, w.call("POST", auth+"switch-organization", object{"organizationId": org}, admin), 200).String("sessionToken")
		want(t, w.call("DELETE", members+"/"+b, nil, owner), 200)
		if s := want(t, w.call("GET", auth+"session", nil, inOrg), 200); s.Get("organizationId") != nil {
			t.Errorf("still in the organization: %s", s.Text)
		}
	})
}

func TestInvites(t *testing.T) {
	w := house(t, nil)
	a, b := w.customer(alice), w.customer(bob)
	org := w.organization(a, "Acme")
	invites := orgs + "/" + org + "/invites"
	want(t, w.post(orgs+"/"+org+"/members", object{"customerId": b, "role": "member"}), 201)
	owner, plain := w.session(alice), w.session(bob)
	invite := func(t *testing.T, who, email string) string {
		t.Helper()
		w.Sleep(time.Minute)
		return want(t, w.call("POST", invites, object{"email": email, "role": "member"}, who), 201).String("id")
	}
	t.Run("STACKBE-80", func(t *testing.T) {
		refused(t, w.call("POST", invites, object{"email": carol, "role": "member"}, plain), 403, "UNAUTHORIZED")
		refused(t, w.call("GET", invites, nil, plain), 403, "UNAUTHORIZED")
		w.call("PATCH", orgs+"/"+org+"/members/"+b, object{"role": "admin"}, owner)
		invite(t, plain, "by.admin@example.com")
		refused(t, w.call("POST", invites, object{"email": carol, "role": "owner"}, plain), 403, "UNAUTHORIZED")
	})
	t.Run("a customer chooses no host for others", func(t *testing.T) {
		// Allowed by https://*.vercel.app/*, and anybody can have a host there.
		evil := object{"email": "victim@example.com", "role": "member", "redirectUrl": "https://evil.vercel.app/"}
		before := len(w.Mail.Sent())
		refused(t, w.call("POST", invites, evil, owner), 403, "UNAUTHORIZED")
		evil["redirectUrl"] = "http://localhost:3000/"
		refused(t, w.call("POST", invites, evil, owner), 403, "UNAUTHORIZED")
		if n := len(w.Mail.Sent()); n != before {
			t.Errorf("%d mails were sent", n-before)
		}
		if waiting := list(t, w.call("GET", invites, nil, owner)); slices.ContainsFunc(waiting, func(i object) bool { return i["email"] == "victim@example.com" }) {
			t.Error("a refused invitation waits")
		}
		w.Sleep(time.Minute)
		evil["redirectUrl"] = callback
		id := want(t, w.call("POST", invites, evil, owner), 201).String("id")
		w.Sleep(time.Minute)
		refused(t, w.call("POST", invites+"/"+id+"/resend", object{"redirectUrl": "https://evil.vercel.app/"}, owner), 403, "UNAUTHORIZED")
		w.Sleep(time.Minute)
		want(t, w.post(invites, object{"email": "preview@example.com", "role": "member", "redirectUrl": "https://preview.vercel.app/"}), 201)
	})
	t.Run("STACKBE-81 STACKBE-82 STACKBE-83", func(t *testing.T) {
		id := invite(t, owner, carol)
		m := w.LastMail()
		if m.To.String() != carol || !strings.Contains(m.Subject+m.Text, "Acme") {
			t.Errorf("mail to %s: %s", m.To, m.Text)
		}
		to := location(t, w.visit("GET", w.mailed(), "&redirect=true"))
		if to.Query().Get("org_invite") != id || !strings.HasPrefix(to.String(), callback) {
			t.Errorf("leads to %s", to)
		}
		if got := w.roles(t, org)[carol]; got != "member" {
			t.Errorf("carol is %v", got)
		}
		want(t, w.get("/v1/customers?email="+carol), 200)
		jwt := to.Query().Get("token")
		if again := want(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, jwt), 200); again.String("role") != "member" || again.String("organizationId") != org {
			t.Error(again.Text)
		}
	})
	t.Run("STACKBE-84", func(t *testing.T) {
		id := invite(t, owner, "dave@example.com")
		refused(t, w.Do("POST", orgs+"/invites/accept", object{"inviteId": id}), 401, "SESSION_INVALID")
		refused(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, owner), 403, "UNAUTHORIZED")
		w.Sleep(time.Minute)
		jwt := w.session("dave@example.com")
		m := want(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, jwt), 200)
		if m.String("organizationId") != org || m.String("role") != "member" {
			t.Error(m.Text)
		}
		refused(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, w.session("eve@example.com")), 400, "TOKEN_ALREADY_USED")
		refused(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": "inv_x"}, jwt), 404, "NOT_FOUND")
	})
	t.Run("STACKBE-89", func(t *testing.T) {
		id := invite(t, owner, "frank@example.com")
		var found bool
		for _, i := range list(t, w.call("GET", invites, nil, owner)) {
			found = found || i["id"] == id && i["email"] == "frank@example.com" && i["status"] == "pending"
			if i["email"] == carol {
				t.Error("an accepted invite is pending")
			}
		}
		if !found {
			t.Error("the pending invite is not listed")
		}
		w.Sleep(time.Minute)
		before := len(w.Mail.Sent())
		again := want(t, w.call("POST", invites+"/"+id+"/resend", object{}, owner), 200)
		if w.LastMail(); again.String("id") != id || len(w.Mail.Sent()) != before+1 {
			t.Errorf("%s, %d mails", again.Text, len(w.Mail.Sent())-before)
		}
		refused(t, w.call("POST", invites+"/inv_x/resend", object{}, owner), 404, "NOT_FOUND")
	})
	t.Run("an invite by the app", func(t *testing.T) {
		id := invite(t, apitest.LiveKey, "grace@example.com")
		w.LastMail()
		w.Sleep(8 * 24 * time.Hour)
		jwt := w.session("grace@example.com")
		refused(t, w.call("POST", orgs+"/invites/accept", object{"inviteId": id}, jwt), 400, "TOKEN_EXPIRED")
	})
	t.Run("an invite verified by the app itself", func(t *testing.T) {
		id := invite(t, apitest.LiveKey, "heidi@example.com")
		v := want(t, w.post(auth+"verify", object{"token": w.mailed().Query().Get("token")}), 200)
		if !strings.Contains(v.String("redirectUrl"), "org_invite="+id) || w.roles(t, org)["heidi@example.com"] != "member" {
			t.Error(v.Text)
		}
	})
}
