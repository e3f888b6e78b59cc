package authcore_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// inviting is an app whose organizations invite.
type inviting struct {
	*house
	app  *apps.App
	live person.Realm
}

func runInviting(t *testing.T, test func(t *testing.T, w *inviting)) {
	synctest.Test(t, func(t *testing.T) {
		h, app := newAppHouse(t)
		defer func() { h.close() }()
		test(t, &inviting{h, app, person.Realm{App: "shop"}})
	})
}

// org is an organization of a new owner.
func (w *inviting) org(owner address.Address) (*apps.Session, string) {
	w.t.Helper()
	boss := w.signInApp(owner)
	o, v, err := w.service.Organizations().Create(w.t.Context(), organization.Wish{Realm: w.live, Owner: boss.Person.Subject, Name: "Acme", Plan: w.app.FirstPlan()})
	if v != event.Accepted || err != nil {
		w.t.Fatal(v, err)
	}
	return boss, o.ID
}

func (w *inviting) send(org, by, client string, to address.Address) (organization.Invite, apps.Asked) {
	w.t.Helper()
	in := linkFor(to)
	in.Caller, in.Origin, in.Client = w.caller(liveKey), site, netip.MustParseAddr(client)
	i, asked, err := w.service.Apps().SendInvite(w.t.Context(), in, org, by, organization.Member)
	if err != nil {
		w.t.Fatal(err)
	}
	return i, asked
}

// waits tells how many invitations of org do.
func (w *inviting) waits(org string) int {
	w.t.Helper()
	list, _, err := w.service.Organizations().Invites(w.t.Context(), w.live, org, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

// stop takes the token to stop with out of the newest mail.
func (w *inviting) stop() string {
	w.t.Helper()
	link := w.sender.last(w.t).HTML
	token := strings.TrimSuffix(strings.TrimPrefix(link, "https://app.example.com/in?token="), "&appId=shop")
	if !apps.IsStopToken(token) {
		w.t.Fatalf("the mail has %q", link)
	}
	return token
}

// Eight customers who invited from many networks stopped every sign-in.
func TestInvitationsDoNotStopSignIns(t *testing.T) {
	runInviting(t, func(t *testing.T, w *inviting) {
		w.globalOf(100)
		for c := range 8 {
			boss, org := w.org(someone("customer%d", c))
			for i := range 20 {
				_, asked := w.send(org, boss.Person.Subject, fmt.Sprintf("10.%d.%d.1", c, i), mustAddress(fmt.Sprintf("v%d-%d@evil.test", c, i)))
				want(t, asked.Verdict == event.Accepted || asked.Verdict == event.Limited, true)
			}
		}
		synctest.Wait()
		want(t, w.sender.count(), 10) // a tenth of all
		want(t, w.from("198.51.100.7").begin(alice).Verdict, event.Accepted)
		synctest.Wait()
		want(t, w.sender.last(t).To, alice)
		want(t, w.ask(linkFor(mustAddress("bob@example.com"))).Verdict, event.Accepted)
		synctest.Wait()
		want(t, w.sender.count(), 12)
		// The rest goes out in its turn.
		time.Sleep(time.Minute)
		synctest.Wait()
		want(t, w.sender.count(), 22)
	})
}

// Invitations do not use up the sign-in mails of whom they go to.
func TestInvitationsDoNotUseUpTheRecipient(t *testing.T) {
	runInviting(t, func(t *testing.T, w *inviting) {
		victim := mustAddress("victim@example.com")
		var last apps.Asked
		for c := range 6 {
			boss, org := w.org(someone("customer%d", c))
			_, last = w.send(org, boss.Person.Subject, "10.0.0.1", victim)
			time.Sleep(time.Minute)
		}
		want(t, last.Verdict, event.Limited)
		want(t, w.from("198.51.100.7").begin(victim).Verdict, event.Accepted)
		synctest.Wait()
		want(t, w.sender.last(t).Code != "", true)
	})
}

// Each of inviter, organization and client has a limit of its own.
func TestLimitsOfInvitations(t *testing.T) {
	for name, test := range map[string]struct {
		of    func(w *inviting) func(i int) (org, by, client string)
		count int
	}{
		"inviter in many organizations": {func(w *inviting) func(int) (string, string, string) {
			boss := w.signInApp(alice)
			return func(i int) (string, string, string) {
				o, _, err := w.service.Organizations().Create(w.t.Context(), organization.Wish{Realm: w.live, Owner: boss.Person.Subject, Name: "Acme", Plan: w.app.FirstPlan()})
				want(w.t, err, nil)
				return o.ID, boss.Person.Subject, fmt.Sprintf("10.0.%d.1", i)
			}
		}, 20},
		"organization of many admins": {func(w *inviting) func(int) (string, string, string) {
			_, org := w.org(alice)
			return func(i int) (string, string, string) {
				admin := w.signInApp(someone("admin%d", i)).Person.Subject
				_, v, err := w.service.Organizations().SetRole(w.t.Context(), organization.RoleChange{Realm: w.live, Org: org, Subject: admin, Role: organization.Admin, Add: true})
				want(w.t, v, event.Accepted)
				want(w.t, err, nil)
				return org, admin, fmt.Sprintf("10.0.%d.1", i)
			}
		}, 50},
		"client of many customers": {func(w *inviting) func(int) (string, string, string) {
			return func(i int) (string, string, string) {
				boss, org := w.org(someone("owner%d", i))
				return org, boss.Person.Subject, "2001:db8::" + fmt.Sprint(i+1)
			}
		}, 50},
	} {
		t.Run(name, func(t *testing.T) {
			runInviting(t, func(t *testing.T, w *inviting) {
				next := test.of(w)
				for i := range test.count {
					org, by, client := next(i)
					_, asked := w.send(org, by, client, mustAddress(fmt.Sprintf("v%d@evil.test", i)))
					want(t, asked.Verdict, event.Accepted)
				}
				org, by, client := next(test.count)
				before := w.waits(org)
				_, asked := w.send(org, by, client, mustAddress("onemore@evil.test"))
				want(t, asked.Verdict, event.Limited)
				want(t, asked.RetryAfter > time.Minute, true)
				want(t, w.waits(org), before) // nothing is stored
				p, err := w.service.Apps().Person(t.Context(), w.live, person.Whom{Email: mustAddress("onemore@evil.test")})
				want(t, err, nil)
				want(t, p, nil)
				_, asked = w.send(org, "", client, mustAddress("byapp@evil.test"))
				want(t, asked.Verdict, event.Accepted)
			})
		})
	}
}

// An invitation and its link die with the right of who made it.
func TestInvitationsDieWithTheirInviter(t *testing.T) {
	for name, end := range map[string]func(w *inviting, org, by string) error{
		"demoted": func(w *inviting, org, by string) error {
			_, _, err := w.service.Organizations().SetRole(w.t.Context(), organization.RoleChange{Realm: w.live, Org: org, Subject: by, Role: organization.Member})
			return err
		},
		"removed": func(w *inviting, org, by string) error {
			_, _, err := w.service.Organizations().SetRole(w.t.Context(), organization.RoleChange{Realm: w.live, Org: org, Subject: by})
			return err
		},
		"deleted": func(w *inviting, org, by string) error {
			_, err := w.deletePerson(w.live, by)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			runInviting(t, func(t *testing.T, w *inviting) {
				ctx, bob := t.Context(), mustAddress("bob@example.com")
				boss, org := w.org(alice)
				admin := w.signInApp(mustAddress("admin@example.com")).Person.Subject
				_, _, err := w.service.Organizations().SetRole(ctx, organization.RoleChange{Realm: w.live, Org: org, Subject: admin, Role: organization.Admin, Add: true})
				want(t, err, nil)
				invite, asked := w.send(org, admin, "10.0.0.1", bob)
				want(t, asked.Verdict, event.Accepted)
				want(t, w.waits(org), 1)
				want(t, end(w, org, admin), nil)
				want(t, w.waits(org), 0)
				want(t, w.prove(apps.Proof{Token: asked.Token, Session: week}).Verdict, event.Expired)
				session := w.signInApp(bob)
				_, v, _ := w.service.Organizations().Accept(ctx, w.live, invite.ID, session.Person.Subject)
				want(t, v, event.Unknown)
				// By somebody else it is another one, with a link of its own.
				time.Sleep(time.Minute)
				again, asked2 := w.send(org, boss.Person.Subject, "10.0.0.1", bob)
				want(t, asked2.Verdict, event.Accepted)
				want(t, again.ID != invite.ID, true)
				want(t, w.prove(apps.Proof{Token: asked.Token}).Verdict, event.Expired)
				proved := w.prove(apps.Proof{Token: asked2.Token, Session: week})
				want(t, proved.Verdict, event.Accepted)
				want(t, proved.Invite, again.ID)
				refused := event.Unknown // who is out of it sees no organization
				if name == "demoted" {
					refused = event.Forbidden
				}
				_, asked = w.send(org, admin, "10.0.0.1", mustAddress("eve@example.com"))
				want(t, asked.Verdict, refused)
			})
		})
	}
}

// For who is not in an organization there is none; members see it, but neither
// whom others invite nor may they do what admins do.
func TestWhoIsNotInAnOrganization(t *testing.T) {
	runInviting(t, func(t *testing.T, w *inviting) {
		ctx, view := t.Context(), w.service.Organizations()
		boss, org := w.org(alice)
		stranger, _ := w.org(mustAddress("rival@example.com"))
		member := w.signInApp(mustAddress("member@example.com")).Person.Subject
		m, _, err := view.SetRole(ctx, organization.RoleChange{Realm: w.live, Org: org, Subject: member, Role: organization.Member, Add: true})
		want(t, err, nil)
		want(t, m.Role, organization.Member)
		invite, _ := w.send(org, boss.Person.Subject, "10.0.0.1", mustAddress("bob@example.com"))
		name := "Renamed"
		for by, expect := range map[string]struct {
			role organization.Role
			v    event.Verdict
		}{
			"":                      {organization.Owner, event.Accepted},
			boss.Person.Subject:     {organization.Owner, event.Accepted},
			member:                  {organization.Member, event.Forbidden},
			stranger.Person.Subject: {"", event.Unknown},
			"nobody":                {"", event.Unknown},
		} {
			found, role, err := view.Find(ctx, w.live, org, by)
			want(t, err, nil)
			want(t, found != nil, expect.role != "")
			want(t, role, expect.role)
			_, v, _ := view.Update(ctx, w.live, org, by, &name, nil)
			want(t, v, expect.v)
			list, v, _ := view.Invites(ctx, w.live, org, by)
			want(t, v, expect.v)
			want(t, len(list) == 1, v == event.Accepted)
			_, v, _ = view.SetRole(ctx, organization.RoleChange{Realm: w.live, Org: org, Subject: member, Role: organization.Member, By: by})
			want(t, v, expect.v)
			in := linkFor(mustAddress("bob@example.com"))
			in.Caller, in.Origin, in.Client = w.caller(liveKey), site, netip.MustParseAddr("10.0.0.1")
			for _, id := range []string{invite.ID, "none"} { // a member does not learn which wait
				_, asked, err := w.service.Apps().ResendInvite(ctx, in, org, id, by)
				want(t, err, nil)
				if expect.v != event.Accepted || id == invite.ID && by == "" {
					want(t, asked.Verdict, expect.v)
				}
			}
		}
	})
}

// Who became a member by the link in the mail is told so by the invitation, and
// nobody else is.
func TestAnAcceptedInvitationTellsWhoAcceptedIt(t *testing.T) {
	runInviting(t, func(t *testing.T, w *inviting) {
		boss, org := w.org(alice)
		bob := mustAddress("bob@example.com")
		invite, asked := w.send(org, boss.Person.Subject, "10.0.0.1", bob)
		want(t, w.prove(apps.Proof{Token: asked.Token, Session: week}).Verdict, event.Accepted)
		for sub, role := range map[string]organization.Role{
			w.signInApp(bob).Person.Subject:                            organization.Member,
			boss.Person.Subject:                                        "", // in it, but otherwise
			w.signInApp(mustAddress("eve@example.com")).Person.Subject: "",
		} {
			m, v, err := w.service.Organizations().Accept(t.Context(), w.live, invite.ID, sub)
			want(t, err, nil)
			want(t, v, event.Used)
			want(t, m.Role, role)
		}
	})
}

// Who may invite may take back; what was taken back stays so, over an import
// too, and inviting again makes another.
func TestWithdrawnInvitations(t *testing.T) {
	runInviting(t, func(t *testing.T, w *inviting) {
		ctx, bob := t.Context(), mustAddress("bob@example.com")
		boss, org := w.org(alice)
		_, elsewhere := w.org(mustAddress("rival@example.com"))
		member := w.signInApp(mustAddress("member@example.com")).Person.Subject
		_, _, err := w.service.Organizations().SetRole(ctx, organization.RoleChange{Realm: w.live, Org: org, Subject: member, Role: organization.Member, Add: true})
		want(t, err, nil)
		invite, asked := w.send(org, boss.Person.Subject, "10.0.0.1", bob)
		before := w.export(false)
		for _, refused := range []struct {
			org, by string
			realm   person.Realm
			want    event.Verdict
		}{
			{org, member, w.live, event.Forbidden}, {elsewhere, "", w.live, event.Unknown},
			{org, "", person.Realm{App: "shop", Test: true}, event.Unknown},
		} {
			v, err := w.service.Organizations().Withdraw(ctx, refused.realm, refused.org, invite.ID, refused.by)
			want(t, err, nil)
			want(t, v, refused.want)
		}
		want(t, w.waits(org), 1)
		for _, expect := range []event.Verdict{event.Accepted, event.Unknown} {
			v, err := w.service.Organizations().Withdraw(ctx, w.live, org, invite.ID, boss.Person.Subject)
			want(t, err, nil)
			want(t, v, expect)
		}
		dead := func(h *house) {
			t.Helper()
			want(t, h.prove(apps.Proof{Token: asked.Token}).Verdict, event.Expired)
			_, v, _ := h.service.Organizations().Accept(ctx, w.live, invite.ID, w.signInApp(bob).Person.Subject)
			want(t, v, event.Unknown)
		}
		dead(w.house)
		want(t, w.waits(org), 0)
		w.wholly(before) // does not bring it back
		dead(w.house)
		want(t, w.waits(org), 0)
		text := w.export(false)
		want(t, strings.Contains(text, `"withdrawn":`), true)
		for _, texts := range [][]string{{text, before}, {before, text}} {
			twin := w.twin()
			for _, text := range texts {
				twin.wholly(text)
			}
			list, _, err := twin.service.Organizations().Invites(ctx, w.live, org, "")
			want(t, err, nil)
			want(t, len(list), 0)
			twin.close()
		}
		time.Sleep(time.Minute)
		again, asked2 := w.send(org, boss.Person.Subject, "10.0.0.1", bob)
		want(t, asked2.Verdict, event.Accepted)
		want(t, again.ID != invite.ID, true)
		dead(w.house)
		want(t, w.waits(org), 1)
		w.mu.Lock()
		defer w.mu.Unlock()
		n := 0
		for _, e := range w.events {
			if e.Reason == "invite_withdrawn" && e.Subject == boss.Person.Subject && e.App == "shop" {
				n++
			}
		}
		want(t, n, 1)
	})
}

// Lines that know of a longer life of an invitation than this instance revive
// none that was answered here.
func TestImportRevivesNoInvitation(t *testing.T) {
	for name, answer := range map[string]func(w *inviting, twin *house, org string, i organization.Invite){
		"withdrawn": func(w *inviting, twin *house, org string, i organization.Invite) {
			v, err := twin.service.Organizations().Withdraw(w.t.Context(), w.live, org, i.ID, "")
			want(w.t, v, event.Accepted)
			want(w.t, err, nil)
		},
		"accepted": func(w *inviting, twin *house, _ string, i organization.Invite) {
			bob := twin.signInApp(mustAddress("bob@example.com")).Person.Subject
			_, v, err := twin.service.Organizations().Accept(w.t.Context(), w.live, i.ID, bob)
			want(w.t, v, event.Accepted)
			want(w.t, err, nil)
		},
		"another one made": func(w *inviting, twin *house, org string, i organization.Invite) {
			for range 2 {
				v, err := twin.service.Organizations().Withdraw(w.t.Context(), w.live, org, i.ID, "")
				want(w.t, v, event.Accepted)
				want(w.t, err, nil)
				i, v, err = twin.service.Organizations().Invite(w.t.Context(), w.live, org, "", i.Email, organization.Member)
				want(w.t, v, event.Accepted)
				want(w.t, err, nil)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			runInviting(t, func(t *testing.T, w *inviting) {
				boss, org := w.org(alice)
				i, _ := w.send(org, boss.Person.Subject, "10.0.0.1", mustAddress("bob@example.com"))
				twin := w.twin()
				defer twin.close()
				twin.wholly(w.export(false))
				time.Sleep(time.Hour)
				answer(w, twin, org, i)
				before, _, err := twin.service.Organizations().Invites(t.Context(), w.live, org, "")
				want(t, err, nil)
				again, _ := w.send(org, boss.Person.Subject, "10.0.0.1", i.Email)
				want(t, again.ID, i.ID)
				twin.wholly(w.export(false))
				after, _, err := twin.service.Organizations().Invites(t.Context(), w.live, org, "")
				want(t, err, nil)
				want(t, fmt.Sprint(after), fmt.Sprint(before))
			})
		})
	}
}

// "Stop these mails" takes the address, ends the invitation, and holds for every
// inviter of the app for a day.
func TestStopInvitations(t *testing.T) {
	runInviting(t, func(t *testing.T, w *inviting) {
		ctx, bob := t.Context(), mustAddress("bob@example.com")
		boss, org := w.org(alice)
		rival, other := w.org(mustAddress("rival@example.com"))
		_, asked := w.send(org, boss.Person.Subject, "10.0.0.1", bob)
		synctest.Wait()
		token := w.stop()
		before := without(w.contents(), "limit/stop/")
		for _, wrong := range []struct {
			app   *apps.App
			token string
			to    address.Address
		}{
			{w.app, token, mustAddress("forwarded@example.com")}, {w.app, token + "x", bob}, {w.app, "stop-", bob},
			{w.app, asked.Token, bob}, {w.service.Apps().Configured().Find("other"), token, bob},
		} {
			ok, _, err := w.service.Apps().StopInvites(ctx, wrong.app, wrong.token, wrong.to)
			want(t, err, nil)
			want(t, ok, event.Unknown)
		}
		want(t, without(w.contents(), "limit/stop/"), before)
		want(t, w.prove(apps.Proof{Token: token}).Verdict, event.Unknown) // it is no link
		v, _, err := w.service.Apps().StopInvites(ctx, w.app, token, bob)
		want(t, err, nil)
		want(t, v, event.Accepted)
		want(t, w.waits(org), 0)
		want(t, w.prove(apps.Proof{Token: asked.Token}).Verdict, event.Expired)
		n := w.sender.count()
		for _, by := range []struct{ org, by string }{{org, boss.Person.Subject}, {other, rival.Person.Subject}, {org, ""}} {
			time.Sleep(time.Minute)
			_, asked := w.send(by.org, by.by, "10.0.0.1", bob)
			want(t, asked.Verdict, event.Accepted) // nobody is told
		}
		synctest.Wait()
		want(t, w.sender.count(), n)
		time.Sleep(time.Minute)
		want(t, w.ask(linkFor(bob)).Verdict, event.Accepted) // what bob asks for is sent
		synctest.Wait()
		want(t, w.sender.count(), n+1)
		time.Sleep(24 * time.Hour)
		w.send(org, boss.Person.Subject, "10.0.0.1", bob)
		synctest.Wait()
		want(t, w.sender.count(), n+2)
	})
}

// A mail that waits for its part of all mails is not sent once it would be dead
// or unwanted: whoever took its right away saw no mail of it leave.
func TestMailsThatWaitAreAskedAgain(t *testing.T) {
	bob := mustAddress("bob@example.com")
	role := func(w *waiting, sub string, role organization.Role) {
		w.t.Helper()
		_, v, err := w.service.Organizations().SetRole(w.t.Context(), organization.RoleChange{Realm: w.live, Org: w.org, Subject: sub, Role: role, Add: true})
		want(w.t, v, event.Accepted)
		want(w.t, err, nil)
	}
	invitation := func(end func(w *waiting, i organization.Invite)) func(w *waiting) func() {
		return func(w *waiting) func() {
			i, asked := w.send(w.org, w.admin, "10.0.0.1", bob)
			want(w.t, asked.Verdict, event.Accepted)
			return func() { end(w, i) }
		}
	}
	link := func(end func(w *waiting)) func(w *waiting) func() {
		return func(w *waiting) func() {
			want(w.t, w.ask(linkFor(bob)).Verdict, event.Accepted)
			return func() { end(w) }
		}
	}
	for name, test := range map[string]func(w *waiting) (end func()){
		"invitation withdrawn": invitation(func(w *waiting, i organization.Invite) {
			v, err := w.service.Organizations().Withdraw(w.t.Context(), w.live, w.org, i.ID, "")
			want(w.t, v, event.Accepted)
			want(w.t, err, nil)
		}),
		"inviter demoted": invitation(func(w *waiting, _ organization.Invite) { role(w, w.admin, organization.Member) }),
		"inviter removed": invitation(func(w *waiting, _ organization.Invite) { role(w, w.admin, "") }),
		"inviter demoted and promoted": invitation(func(w *waiting, _ organization.Invite) {
			role(w, w.admin, organization.Member)
			role(w, w.admin, organization.Admin)
		}),
		"invited made a member": invitation(func(w *waiting, _ organization.Invite) {
			p, _, err := w.service.Apps().CreatePerson(w.t.Context(), w.app, w.live, person.Draft{Emails: []address.Address{bob}})
			want(w.t, err, nil)
			role(w, p.Subject, organization.Member)
		}),
		"invitations stopped": func(w *waiting) func() {
			_, asked := w.send(w.org, w.admin, "10.0.0.1", bob)
			want(w.t, asked.Verdict, event.Accepted)
			return func() { // by the mail of another organization, before it was held up
				v, _, err := w.service.Apps().StopInvites(w.t.Context(), w.app, w.earlier, bob)
				want(w.t, err, nil)
				want(w.t, v, event.Accepted)
			}
		},
		"person deleted": link(func(w *waiting) {
			p, err := w.service.Apps().Person(w.t.Context(), w.live, person.Whom{Email: bob})
			want(w.t, err, nil)
			v, err := w.deletePerson(w.live, p.Subject)
			want(w.t, v, event.Accepted)
			want(w.t, err, nil)
		}),
		"contact removed": link(func(w *waiting) {
			p, err := w.service.Apps().Person(w.t.Context(), w.live, person.Whom{Email: bob})
			want(w.t, err, nil)
			_, _, err = w.service.Apps().RemoveContact(w.t.Context(), w.live, p.Emails[0].ID)
			want(w.t, err, nil)
		}),
		"answered otherwise": func(w *waiting) func() {
			asked := w.ask(linkFor(bob))
			return func() { want(w.t, w.prove(apps.Proof{Token: asked.Token}).Verdict, event.Accepted) }
		},
		"not me at a gate": func(w *waiting) func() {
			want(w.t, w.gate.begin(bob).Verdict, event.Accepted)
			return func() {
				time.Sleep(time.Second) // what is asked for in the same moment is another's
				want(w.t, w.notMe(w.from("203.0.113.9"), w.gateMail, bob), true)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			runInviting(t, func(t *testing.T, w *inviting) {
				boss, org := w.org(alice)
				rival, other := w.org(mustAddress("rival@example.com"))
				ww := &waiting{inviting: w, org: org, admin: w.signInApp(mustAddress("admin@example.com")).Person.Subject}
				role(ww, ww.admin, organization.Admin)
				w.send(other, rival.Person.Subject, "10.0.0.1", bob)
				synctest.Wait()
				ww.earlier = w.stop()
				ww.gate = w.from("203.0.113.7")
				want(t, ww.gate.begin(bob).Verdict, event.Accepted)
				ww.gateMail = w.sender.last(t)
				time.Sleep(time.Hour)
				w.globalOf(10)
				control := mustAddress("control@example.com")
				for i := range 12 {
					w.ask(linkFor(someone("filler%d", i)))
				}
				w.send(org, boss.Person.Subject, "10.0.0.1", mustAddress("first@example.com"))
				synctest.Wait()
				n := w.mailsTo(bob)
				end := test(ww)
				w.ask(linkFor(control))
				synctest.Wait()
				want(t, w.mailsTo(control), 0)
				want(t, w.mailsTo(bob), n)
				end()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				want(t, w.mailsTo(control), 1)
				want(t, w.mailsTo(bob), n)
			})
		})
	}
}

// What an organization is called stands in the mail as it is when the mail leaves,
// and without what would end its quotes there.
func TestInvitationsNameTheOrganization(t *testing.T) {
	bob := mustAddress("bob@example.com")
	for name, want := range map[string]string{
		"Acme GmbH": "Acme GmbH", "Acme\u201d at Shop. Pay \u201cnow": "Acme at Shop. Pay now", `Acme" at "Shop`: "Acme at Shop", "Acme\u201f at \u201eShop\u201c": "Acme at Shop",
		"ООО «Ромашка»": "ООО Ромашка", "「例」社": "例社", "《例》": "例", "L\u2019Oréal": "L\u2019Oréal", "St. Mary's": "St. Mary's", "Acme'' now": "Acme now", "Acme\u02bc\u02bc now": "Acme now",
		"\u02bbIolani Hawai\u02bbi": "\u02bbIolani Hawai\u02bbi", "צה\u05f4ל": "צה\u05f4ל", "Acme\u2033 \u3003 now": "Acme now", "Acme\uff02 now": "Acme now", "Acme\u275e now": "Acme now",
	} {
		runInviting(t, func(t *testing.T, w *inviting) {
			boss, org := w.org(alice)
			w.globalOf(10)
			for i := range 12 {
				w.ask(linkFor(someone("filler%d", i)))
			}
			w.send(org, boss.Person.Subject, "10.0.0.1", mustAddress("first@example.com"))
			w.send(org, boss.Person.Subject, "10.0.0.1", bob)
			synctest.Wait()
			if n := w.mailsTo(bob); n != 0 {
				t.Fatal("the mail does not wait")
			}
			_, v, err := w.service.Organizations().Update(t.Context(), w.live, org, "", &name, nil)
			if v != event.Accepted || err != nil {
				t.Fatalf("%q: %v, %v", name, v, err)
			}
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			w.sender.mu.Lock()
			defer w.sender.mu.Unlock()
			for _, m := range w.sender.sent {
				if m.To == bob && m.FromName != want {
					t.Errorf("%q is called %q, want %q", name, m.FromName, want)
				}
			}
			if !slices.ContainsFunc(w.sender.sent, func(m outbox.Message) bool { return m.To == bob }) {
				t.Error("no mail was sent")
			}
		})
	}
}

// waiting is an instance whose mails wait.
type waiting struct {
	*inviting
	org, admin string
	earlier    string // stops what bob is sent
	gate       *tab
	gateMail   outbox.Message
}

func (w *inviting) mailsTo(a address.Address) (n int) {
	w.sender.mu.Lock()
	defer w.sender.mu.Unlock()
	for _, m := range w.sender.sent {
		if m.To == a {
			n++
		}
	}
	return n
}

// An organization's name stands in mails to strangers, and whoever has an
// account chooses it.
func TestOrganizationNames(t *testing.T) {
	good := []string{
		"Acme Inc.", "Acme, Inc.", "Müller & Söhne GmbH", "St. Mary's", "St. John's & Sons", "Dr. No", "A.B. Smith", "J.R.R. Tolkien Society",
		"Version 2.0", "1.2.3", "U.S. Dept.", "Verein e.V.", "Società S.p.A.", "AC/DC", "Ernst & Young A/S", "8:30 Club", "Team: Blue",
		"日本語株式会社", "株式会社 例。", "ファミリー・マート", "Col·lectiu", "شركة المثال", "می\u200cخواهم", "Việt Nam", "Vie\u0323\u0302t Nam", "हिन्दी", "ไทย", "Łódź № 5",
		"👩\u200d🚀 Club", "❤\ufe0f\u200d🔥", "I ❤\ufe0f Rust", "Studio 54", "Route 66 (West)", "[Draft]", "C++ / C# Group", "Dot Com Ventures",
		strings.Repeat("ü", 64), "Barnes \u2022 Noble", "Acme \u00b7 Berlin", "\u0f56\u0f7c\u0f51\u0f0b\u0f61\u0f74\u0f63", "\u12a2\u1275\u12ee\u1361\u1335\u12eb", "شرکت \u06f0\u06f2", "٢٠٢٠", "Who?What", "Yahoo!Club", "ООО «Ромашка»",
		"Verein e.V. (Berlin)", "Class of 1999 & 2000", "I❤NY", "Rock 'n' Roll", "Black & White ● Club", "“Acme”", "甲，乙", "90° Nord", "The Dot",
	}
	bad := []string{
		"", "  ", "\u3000", strings.Repeat("ü", 65), "a\nb", "a\tb", "a\x00b", "a\x85b", "\xff", "a\u2028b", "\ue000", "\U000e0041bc",
		// What is not seen, and what turns or piles up.
		"a\u202eb", "a\u200bb", "a\u2060b", "a\u2065b", "a\u206fb", "a\u00adb", "a\u034fb", "a\u061cb", "a\u17b4b", "a\u17b5b", "a\u180bb", "a\u180eb", "a\u180fb", "a\ufeffb",
		"a\ufe00b", "a\ufe0fb", "a\U000e0100b", "a\U000e01efb", "\u115f", "\u1160", "\u3164", "\uffa0", "a\u3164b", "\u2800", "\u200d", "a\u200db", "❤\ufe0f\ufe0f",
		"\u0301", " \u0301", "\u0301abc", "a" + strings.Repeat("\u0301", 5), "...", "--",
		// Addresses on the web, of any script and with any dot.
		"Pay at evil.com", "EVIL.COM", "(evil.com)", "evil.com.", "evil.com:8080", "evil.co.uk/pay", "www.evil", "t.me", "evil.zip", "evil.unknowntld", "node.js", ".NET",
		"bücher.de", "пример.рф", "例え.テスト", "evil.c\u043em", "evil.с\u043eм", "evil.co\u0301m", "evil.com\u0307", "evil\u200d.com", "evil.\u200dcom", "evil.\ufe0fcom", "evil.xn--p1ai", "xn--e1afmkfd.xn--p1ai",
		"evil .com", "evil [.] com", "evil[.]com", "evil(.)com", "evil(dot)com", "evil[dot]com", "evil (dot) com", "evil{DOT}com",
		"evil\u3002com", "evil\uff0ecom", "evil\uff61com", "evil\ufe52com", "evil\u2024com", "evil\u0589com", "evil\u06d4com", "evil\u0701com", "evil\ua4f8com", "ｅｖｉｌ．ｃｏｍ", "ⓔⓥⓘⓛ.ⓒⓞⓜ",
		"evil\u0660com", "evil\u06f0com", "evil\ua60ecom", "evil\u1362com", "evil\u2e31com", "evil\u16ebcom", "evil\u00b7com", "evil\u2022com", "evil\u30fbcom", "evil\uff65com", "evil\u2219com", "evil\u22c5com", "evil\u0387com",
		"evil\u1427com", "evil\u318dcom", "evil\ua78fcom", "evil\U00010a50com", "evil\U0001d16dcom", "evil\u2e33com", "evil\u2027com", "evil\u0f0bcom", "evil\u0964com", "shop24\u2e31com", "evil\u1803com", "злой\u2e31рф",
		"10.0.0.1/x", "1.2.3.4", "hxxp evil.com!",
		// Whatever a mail program may make a link of besides.
		"https://localhost/x", "//evil", "http:16843009", "https:\\\\evil", "hxxp:evil", "HXXP:evil", "mailto:x", "tel:123", "tel：123", "javascript:alert", "localhost:80/x",
		"me@localhost", "me＠localhost", "call +1 900 555 1234", "0900-123-456", "0900–123–456", "0900_123_456",
		// What an address becomes without the quotation marks that no mail has, and
		// without the brackets that people pass over.
		"evil.“com/login", "evil.‘com", "“evil”.“com", "evil.'com", "evil.’com", "evil“.com", "evil”.”com", "x /“/evil", "1234“567", "https:“/“/evil", "evil.«com", "evil.❝com",
		"evil.`com", "evil.´com", "evil.〝com", "evil.＂com", "evil.″com", "evil.'“'com", "evil.(com)", "evil.[com]", "(evil).com", "evil.⟨com⟩", "ev“il.c”om", "x “\u0301",
		"evil [d0t] com", "evil ⟨dot⟩ com", "evil “dot” com", "evil *dot* com", "evil -dot- com", "evil (d\u03bft) com", "evil，com", "evil﹐com", "evil●com", "evil○com", "evil▪com", "evil⚫com", "evil\u00b0com", "evil🔴com",
	}
	runInviting(t, func(t *testing.T, w *inviting) {
		boss, org := w.org(mustAddress("rival@example.com"))
		check := func(name string, good bool) {
			t.Helper()
			_, v, err := w.service.Organizations().Create(t.Context(), organization.Wish{Realm: w.live, Owner: boss.Person.Subject, Name: name, Plan: w.app.FirstPlan()})
			want(t, err, nil)
			_, renamed, err := w.service.Organizations().Update(t.Context(), w.live, org, "", &name, nil)
			want(t, err, nil)
			if (v == event.Accepted) != good || renamed != v {
				t.Errorf("%q (%+q): %v, renamed %v", name, name, v, renamed)
			}
		}
		for _, name := range good {
			check(name, true)
		}
		for _, name := range bad {
			check(name, false)
		}
	})
}

// A link counts only where it was asked for: another wire format has other
// rules for it.
func TestLinksOfAnotherSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		asked := h.ask(linkFor(alice))
		for _, slot := range []string{"other", "lin", "linkx"} {
			want(t, h.prove(apps.Proof{Token: asked.Token, Slot: slot}).Verdict, event.Unknown)
			looked, err := h.service.Apps().Look(t.Context(), h.caller(liveKey), slot, asked.Token)
			want(t, err, nil)
			want(t, looked.Verdict, event.Unknown)
		}
		want(t, h.prove(apps.Proof{Token: asked.Token}).Verdict, event.Accepted)
	})
}

// without prints what the store holds but for keys that begin with prefix.
func without(contents map[string]string, prefix string) string {
	maps.DeleteFunc(contents, func(key, _ string) bool { return strings.HasPrefix(key, prefix) })
	return fmt.Sprint(contents)
}
