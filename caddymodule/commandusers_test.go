package caddymodule

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// appSessions makes sessions of an app for alice, whom the gates know by another
// subject, and for carol, whom they don't: commands find and end them by address
// and subject.
func (o *operated) appSessions(gateSubject string) {
	o.Helper()
	service := runningApp(o.gatedCaddy).house.Running().Service
	made := map[string]*apps.Session{}
	for _, name := range []string{"alice@example.com", "carol@example.com"} {
		made[name] = o.appSession(name)
	}
	alice, carol := made["alice@example.com"], made["carol@example.com"]
	wantText(o, o.done("sessions"), alice.ID, carol.ID, "app:shop/live")
	var all operate.SessionPage
	o.document(&all, "sessions", "alice@example.com")
	subs := map[string]bool{}
	for _, s := range all.Sessions {
		subs[s.Subject] = true
	}
	if len(subs) != 2 || !subs[gateSubject] || !subs[alice.Person.Subject] {
		o.Errorf("alice's sessions: %+v", all)
	}
	wantText(o, o.done("sessions", carol.Person.Subject), carol.ID)
	wantText(o, o.done("revoke", "alice@example.com"), "all sessions of this person")
	wantText(o, o.done("revoke", carol.ID), "the session has ended")
	list := o.done("sessions")
	for _, s := range made {
		if _, v, err := service.Apps().Session(o.Context(), s.Person.Realm, apps.SessionRef{Token: s.Token}); v != event.Unknown || err != nil || strings.Contains(list, s.ID) {
			o.Errorf("a session that was ended: %v %v\n%s", v, err, list)
		}
	}
}

// appSession signs somebody in at the app.
func (o *operated) appSession(name string) *apps.Session {
	o.Helper()
	service := runningApp(o.gatedCaddy).house.Running().Service
	caller, _ := service.Apps().Configured().Caller(apiLiveKey)
	address, err := address.Parse(name)
	must(o, err)
	asked, err := service.Apps().Ask(o.Context(), apps.Ask{Caller: caller, Whom: person.Whom{Email: address}, Create: true, Known: apps.Terms{Lifetime: time.Minute}, Slot: "test"})
	must(o, err)
	proved, err := service.Apps().Prove(o.Context(), apps.Proof{Caller: caller, Token: asked.Token, Slot: "test", Session: &apps.SessionTerms{Lifetime: time.Hour, Form: session.TokenAlnum}})
	must(o, err)
	return proved.Session
}

// deletesPeople: alice is two people, at the gates and of the app, who are
// deleted one by one; carol is of the app alone.
func (o *operated) deletesPeople(gateSubject string) {
	o.Helper()
	var users operate.UserPage
	o.document(&users, "users", "--all")
	apps := map[string]string{}
	for _, u := range users.Users {
		if u.App != "" {
			apps[u.Email] = u.App + " " + u.Subject
		}
	}
	alice, found := strings.CutPrefix(apps["alice@example.com"], "shop/live ")
	if !found || len(users.Users) != 3 || len(apps) != 2 {
		o.Fatalf("%+v", users)
	}
	wantText(o, o.done("users"), "shop/live", "staff")
	wantText(o, o.done("users", "alice@example.com"), gateSubject, alice, "app       shop/live", "groups    staff")
	var user operate.User
	o.document(&user, "users", "alice@example.com")
	if user.Subject != gateSubject || len(user.Others) != 1 || user.Others[0].Subject != alice {
		o.Errorf("%+v", user)
	}
	o.fails(cli.ExitNo, []string{"2 people have this address", gateSubject, alice}, "users", "alice@example.com", "--delete")
	if status, answer := o.call("DELETE", "/gatehouse/users/alice@example.com", ""); status != 409 || !strings.Contains(answer, gateSubject+" (gates), "+alice+" (shop/live)") {
		o.Errorf("%d %s", status, answer)
	}
	carol := strings.TrimPrefix(apps["carol@example.com"], "shop/live ")
	org := o.organization(alice, carol)
	if out, errs, code := o.command("users", alice, "--delete"); code != cli.ExitDone || !strings.Contains(out, "deleted") || !strings.Contains(errs, "the organization "+org+" has no owner any more") {
		o.Errorf("%d %s%s", code, out, errs)
	}
	wantText(o, o.done("users", "carol@example.com", "--delete"), "deleted")
	wantText(o, o.done("users", "alice@example.com", "--delete"), "deleted")
	for _, who := range []string{"alice@example.com", "carol@example.com", alice} {
		o.fails(cli.ExitNo, nil, "users", who)
	}
	deleted := map[string]bool{}
	for _, e := range o.audited(event.Deleted) {
		app, _ := e["app"].(string)
		deleted[e["sub"].(string)] = app == "shop"
	}
	if len(deleted) != 3 || deleted[gateSubject] || !deleted[alice] {
		o.Errorf("audited %v", deleted)
	}
}

// organization makes one of the app's, and returns its id.
func (o *operated) organization(owner, member string) string {
	o.Helper()
	service := runningApp(o.gatedCaddy).house.Running().Service
	live := person.Realm{App: "shop"}
	org, _, err := service.Organizations().Create(o.Context(), organization.Wish{Realm: live, Owner: owner, Name: "Acme", Plan: service.Apps().Configured().Find("shop").FirstPlan()})
	must(o, err)
	_, v, err := service.Organizations().SetRole(o.Context(), organization.RoleChange{Realm: live, Org: org.ID, Subject: member, Role: organization.Member, Add: true})
	must(o, err)
	if v != event.Accepted {
		o.Fatal(v)
	}
	return org.ID
}

// A token that a person made is among the sessions, by its name.
func TestSessionsNameTokens(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	alice := o.signIn("alice@example.com")
	site, err := origin.ParseSitePattern("app.example.com:" + o.port())
	must(t, err)
	service := runningApp(t).house.Running().Service
	secret, made, no, err := service.Sessions().MakeToken(t.Context(), alice.Session, origin.Origin{}, session.Machine{Name: "backup", Sites: []origin.SitePattern{site}}, time.Now().Add(time.Hour))
	must(t, err)
	if no != "" {
		t.Fatal(no)
	}
	for _, args := range [][]string{{"sessions"}, {"sessions", "alice@example.com"}, {"users", "alice@example.com"}} {
		answer := o.done(args...)
		wantText(t, answer, alice.Session.ID, made.ID, "token backup")
		if strings.Contains(answer, secret) {
			t.Errorf("%v shows the token", args)
		}
	}
	wantText(t, o.done("revoke", made.ID), "the session has ended")
	if answer := o.done("sessions"); strings.Contains(answer, "backup") || !strings.Contains(answer, alice.Session.ID) {
		t.Errorf("after its end: %s", answer)
	}
}
