package authcore_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

func (h *house) person(app *apps.App, d person.Draft) person.Person {
	h.t.Helper()
	p, v, err := h.service.Apps().CreatePerson(h.t.Context(), app, person.Realm{App: app.ID}, d)
	if err != nil || v != event.Accepted {
		h.t.Fatal(v, err)
	}
	return p
}

func TestPeopleOfAnApp(t *testing.T) {
	h, app := newAppHouse(t)
	defer h.close()
	live, test := person.Realm{App: "shop"}, person.Realm{App: "shop", Test: true}
	number, _ := address.ParsePhone("+15005550006")
	name, ext := "Alice", "crm-1"
	p := h.person(app, person.Draft{Name: &name, External: &ext, Emails: []address.Address{alice}, Phones: []address.Phone{number}, Metadata: json.RawMessage(`{"a":1}`)})
	for what, whom := range map[string]person.Whom{
		"subject": {Subject: p.Subject}, "address": {Email: alice}, "number": {Phone: number},
		"contact": {Contact: p.Emails[0].ID}, "external id": {External: ext},
	} {
		got, err := h.service.Apps().Person(t.Context(), live, whom)
		if err != nil || got == nil || got.Subject != p.Subject || got.Name != name || string(got.Metadata) != `{"a":1}` {
			t.Errorf("by %s: %+v %v", what, got, err)
		}
		for _, realm := range []person.Realm{test, {App: "other"}, {}} {
			if got, _ := h.service.Apps().Person(t.Context(), realm, whom); got != nil {
				t.Errorf("by %s in realm %q", what, realm)
			}
		}
	}
	_, v, err := h.service.Apps().CreatePerson(t.Context(), app, live, person.Draft{Emails: []address.Address{mal, alice}})
	if err != nil || v != event.Taken {
		t.Errorf("an address that is taken: %v %v", v, err)
	}
	if got, _ := h.service.Apps().Person(t.Context(), live, person.Whom{Email: mal}); got != nil {
		t.Error("a refused call left something behind")
	}
	if _, v, _ := h.service.Apps().CreatePerson(t.Context(), app, test, person.Draft{Emails: []address.Address{alice}}); v != event.Accepted {
		t.Errorf("the same address in test data: %v", v)
	}
	long := strings.Repeat("x", 300)
	if _, v, _ := h.service.Apps().UpdatePerson(t.Context(), live, person.Whom{Email: alice}, person.Draft{Name: &long}); v != event.Malformed {
		t.Errorf("a name of 300 bytes: %v", v)
	}
	got, v, _ := h.service.Apps().RemoveContact(t.Context(), live, p.Emails[0].ID)
	if v != event.Accepted || !got.Address.IsZero() {
		t.Errorf("removed %+v %v", got, v)
	}
	if _, v, _ := h.service.Apps().UpdatePerson(t.Context(), live, person.Whom{Phone: number}, person.Draft{Emails: []address.Address{mal}}); v != event.Accepted {
		t.Errorf("another address: %v", v)
	}
}

func TestDeletingAPersonEndsTheSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		s := h.signInApp(alice)
		live := person.Realm{App: "shop"}
		if v, err := h.deletePerson(person.Realm{App: "other"}, s.Person.Subject); v != event.Unknown || err != nil {
			t.Errorf("another app deletes: %v %v", v, err)
		}
		if v, err := h.deletePerson(live, s.Person.Subject); v != event.Accepted || err != nil {
			t.Fatal(v, err)
		}
		if _, v, _ := h.service.Apps().Session(t.Context(), live, apps.SessionRef{Token: s.Token}); v != event.Unknown {
			t.Errorf("the session of somebody who is gone: %v", v)
		}
		if p, _ := h.service.Apps().Person(t.Context(), live, person.Whom{Email: alice}); p != nil {
			t.Error("still found by address")
		}
		if again := h.signInApp(alice); again.Person.Subject == s.Person.Subject {
			t.Error("the same subject for a new person")
		}
	})
}

func TestEachPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, app := newAppHouse(t)
		defer h.close()
		for i := range 250 {
			h.person(app, person.Draft{Emails: []address.Address{mustAddress(fmt.Sprintf("p%d@example.com", i))}})
			time.Sleep(time.Second)
		}
		var seen []string
		err := h.service.Apps().EachPerson(t.Context(), person.Realm{App: "shop"}, "", func(p person.Person) bool {
			seen = append(seen, p.Address.String())
			return true
		})
		if err != nil || len(seen) != 250 || seen[0] != "p0@example.com" || seen[249] != "p249@example.com" {
			t.Fatalf("%d people, %v", len(seen), err)
		}
	})
}

func TestOrganizations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, app := newAppHouse(t)
		defer h.close()
		ctx, live := t.Context(), person.Realm{App: "shop"}
		boss := h.signInApp(alice)
		bob := h.person(app, person.Draft{Emails: []address.Address{mustAddress("bob@example.com")}})
		eve := h.person(app, person.Draft{Emails: []address.Address{mustAddress("eve@example.com")}})
		org, v, err := h.service.Organizations().Create(ctx, organization.Wish{Realm: live, Owner: boss.Person.Subject, Name: "Acme & Sons", Plan: app.FirstPlan()})
		if err != nil || v != event.Accepted || org.Slug != "acme-sons" || org.Plan != "free" {
			t.Fatalf("%+v %v %v", org, v, err)
		}
		if _, v, _ := h.service.Organizations().Create(ctx, organization.Wish{Realm: live, Owner: bob.Subject, Name: "Other", Slug: "acme-sons", Plan: app.FirstPlan()}); v != event.Taken {
			t.Errorf("a slug twice: %v", v)
		}
		if second, v, _ := h.service.Organizations().Create(ctx, organization.Wish{Realm: live, Owner: bob.Subject, Name: "Acme Sons", Plan: app.FirstPlan()}); v != event.Accepted || second.Slug == "acme-sons" {
			t.Errorf("%+v %v", second, v)
		}
		role := func(by, of string, r organization.Role, add bool) event.Verdict {
			_, v, err := h.service.Organizations().SetRole(ctx, organization.RoleChange{Realm: live, Org: org.ID, Subject: of, Role: r, By: by, Add: add})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for _, step := range []struct {
			by, of string
			role   organization.Role
			add    bool
			want   event.Verdict
		}{
			{"", bob.Subject, organization.Admin, false, event.Unknown}, // not a member yet
			{"", bob.Subject, organization.Admin, true, event.Accepted},
			{bob.Subject, eve.Subject, organization.Member, true, event.Accepted},
			{eve.Subject, bob.Subject, organization.Member, false, event.Forbidden},
			{bob.Subject, boss.Person.Subject, organization.Member, false, event.Forbidden},
			{bob.Subject, eve.Subject, organization.Owner, false, event.Forbidden},
			{bob.Subject, eve.Subject, organization.Admin, false, event.Accepted},
			{bob.Subject, eve.Subject, organization.Member, false, event.Forbidden}, // only owners change admins
			{boss.Person.Subject, eve.Subject, organization.Member, false, event.Accepted},
			{"", boss.Person.Subject, "", false, event.Forbidden}, // the last owner
			{boss.Person.Subject, bob.Subject, organization.Owner, false, event.Accepted},
			{boss.Person.Subject, boss.Person.Subject, "", false, event.Accepted},
		} {
			if got := role(step.by, step.of, step.role, step.add); got != step.want {
				t.Errorf("%+v: %v", step, got)
			}
		}
		members, err := h.service.Organizations().Members(ctx, live, org.ID)
		if err != nil || len(members) != 2 {
			t.Errorf("%d members, %v", len(members), err)
		}
		if orgs, _ := h.service.Organizations().Of(ctx, live, bob.Subject); len(orgs) != 2 || orgs[0].Role != organization.Owner {
			t.Errorf("%+v", orgs)
		}
		if _, v, _ := h.service.Apps().SwitchOrg(ctx, live, apps.SessionRef{SID: boss.ID}, org.ID); v != event.Forbidden {
			t.Errorf("who has left switches to it: %v", v)
		}
	})
}

func TestInvitesAndSwitching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, app := newAppHouse(t)
		defer h.close()
		ctx, live := t.Context(), person.Realm{App: "shop"}
		boss := h.signInApp(alice)
		bob := mustAddress("bob@example.com")
		org, _, err := h.service.Organizations().Create(ctx, organization.Wish{Realm: live, Owner: boss.Person.Subject, Name: "Acme", Plan: app.FirstPlan()})
		if err != nil {
			t.Fatal(err)
		}
		invite, v, err := h.service.Organizations().Invite(ctx, live, org.ID, boss.Person.Subject, bob, organization.Admin)
		if err != nil || v != event.Accepted {
			t.Fatal(v, err)
		}
		again, _, _ := h.service.Organizations().Invite(ctx, live, org.ID, "", bob, organization.Member)
		if again.ID != invite.ID || again.Role != organization.Member {
			t.Errorf("a second invitation of the same address: %+v", again)
		}
		if list, _, _ := h.service.Organizations().Invites(ctx, live, org.ID, ""); len(list) != 1 {
			t.Errorf("%d invitations wait", len(list))
		}
		eve := h.signInApp(mustAddress("eve@example.com"))
		if _, v, _ := h.service.Organizations().Accept(ctx, live, invite.ID, eve.Person.Subject); v != event.Forbidden {
			t.Errorf("somebody else accepts: %v", v)
		}
		unproved, v, err := h.service.Apps().CreatePerson(ctx, app, live, person.Draft{Emails: []address.Address{bob}})
		if err != nil || v != event.Accepted {
			t.Fatal(v, err)
		}
		if _, v, _ := h.service.Organizations().Accept(ctx, live, invite.ID, unproved.Subject); v != event.Forbidden {
			t.Errorf("who has not proved the address accepts: %v", v)
		}
		session := h.signInApp(bob)
		m, v, err := h.service.Organizations().Accept(ctx, live, invite.ID, session.Person.Subject)
		if err != nil || v != event.Accepted || m.Role != organization.Member || m.Org.ID != org.ID {
			t.Fatalf("%+v %v %v", m, v, err)
		}
		if _, v, _ := h.service.Organizations().Accept(ctx, live, invite.ID, session.Person.Subject); v != event.Used {
			t.Errorf("twice: %v", v)
		}
		switched, v, err := h.service.Apps().SwitchOrg(ctx, live, apps.SessionRef{Token: session.Token}, org.ID)
		if err != nil || v != event.Accepted || switched.Token == session.Token || switched.OrgRole != organization.Member || !switched.Expires.Equal(session.Expires) {
			t.Fatalf("%+v %v %v", switched, v, err)
		}
		if _, _, err := h.service.Organizations().SetRole(ctx, organization.RoleChange{Realm: live, Org: org.ID, Subject: session.Person.Subject}); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := h.service.Apps().Session(ctx, live, apps.SessionRef{Token: switched.Token}); got.Org != "" || got.OrgRole != "" {
			t.Errorf("who was taken out still acts for it: %+v", got)
		}
		late, _, _ := h.service.Organizations().Invite(ctx, live, org.ID, "", mal, organization.Member)
		time.Sleep(organization.InviteLifetime)
		if _, v, _ := h.service.Organizations().Accept(ctx, live, late.ID, boss.Person.Subject); v != event.Expired {
			t.Errorf("after its time: %v", v)
		}
	})
}

func TestPhone(t *testing.T) {
	for text, want := range map[string]bool{
		"+14155550123": true, "+390123456789": true, "+12345678": true,
		"14155550123": false, "+0123456789": false, "+1 415 555": false, "+1415555a": false, "+1234567": false,
		"+1234567890123456": false, "": false, "+": false, "+１４１５５５５０１２３": false,
	} {
		p, err := address.ParsePhone(text)
		if (err == nil) != want {
			t.Errorf("ParsePhone(%q): %v", text, err)
		}
		if err == nil && p.String() != text {
			t.Errorf("%q came back as %q", text, p)
		}
	}
	p, _ := address.ParsePhone("+390123456790")
	if p.Redacted() != "+3*********90" {
		t.Errorf("redacted %q", p.Redacted())
	}
}

func TestAppKeys(t *testing.T) {
	for key, ok := range map[string]bool{
		liveKey: true, testKey: true, pubKey: true, "sbk_live_" + strings.Repeat("a", 32): true,
		"": false, "sk_live_short": false, "sk_prod_" + strings.Repeat("a", 32): false, "live_" + strings.Repeat("a", 32): false,
		"sk_live_" + strings.Repeat("a", 31) + " ": false, "sk_live_" + strings.Repeat("é", 20): false,
	} {
		if _, err := apps.ParseKey(key); (err == nil) != ok {
			t.Errorf("ParseAppKey(%q): %v", key, err)
		}
	}
	k := appKey(t, liveKey)
	for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %s", k, k, k)} {
		if strings.Contains(shown, "0123456789abcdef") || strings.Contains(shown, "hash") {
			t.Errorf("a key shows itself: %s", shown)
		}
	}
	all, err := apps.NewList(&apps.App{ID: "shop", Keys: []apps.Key{k}})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", liveKey[1:], liveKey[:len(liveKey)-1], liveKey + "0", strings.ToUpper(liveKey), " " + liveKey} {
		if _, ok := all.Caller(wrong); ok {
			t.Errorf("%q is taken for the key", wrong)
		}
	}
	if _, err := apps.NewList(&apps.App{ID: "a", Keys: []apps.Key{k}}, &apps.App{ID: "b", Keys: []apps.Key{k}}); err == nil {
		t.Error("one key of two apps")
	}
	if _, err := apps.NewList(&apps.App{ID: "a b"}); err == nil {
		t.Error("an id with a space")
	}
}

func TestCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		defer h.close()
		rate := limit.Rate{Count: 3, Per: time.Minute}
		for left := 2; left >= 0; left-- {
			if q := h.core.Count("key", rate); q.Over || q.Remaining != left || q.Limit != 3 || time.Until(q.Reset) > time.Minute {
				t.Fatalf("%+v", q)
			}
		}
		if q := h.core.Count("key", rate); !q.Over || q.Remaining != 0 {
			t.Errorf("%+v", q)
		}
		if q := h.core.Count("another", rate); q.Over {
			t.Errorf("%+v", q)
		}
		time.Sleep(time.Minute)
		if q := h.core.Count("key", rate); q.Over {
			t.Errorf("after a minute %+v", q)
		}
	})
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	early := keyring.NewID(time.Unix(1_700_000_000, 0))
	late := keyring.NewID(time.Unix(1_700_000_001, 0))
	if early >= late {
		t.Error("ids do not sort by time")
	}
	for range 1000 {
		id := keyring.NewID(time.Unix(1_700_000_000, 0))
		if len(id) != 27 || seen[id] {
			t.Fatalf("%q", id)
		}
		seen[id] = true
	}
}

// What is within the limit is kept, whatever it is made of: < takes six bytes
// where JSON is made for HTML.
func TestMetadataOfBrackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, app := newAppHouse(t)
		defer h.close()
		metadata := `{"a":"` + strings.Repeat("<", person.MaxMetadata-8) + `"}`
		p := h.person(app, person.Draft{Emails: []address.Address{alice}, Metadata: json.RawMessage(metadata)})
		if string(p.Metadata) != metadata {
			t.Errorf("%d bytes became %d", len(metadata), len(p.Metadata))
		}
	})
}
