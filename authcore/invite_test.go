package authcore_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
)

// inviting is an app whose organizations invite.
type inviting struct {
	*house
	app  *authcore.App
	live authcore.Realm
}

func runInviting(t *testing.T, test func(t *testing.T, w *inviting)) {
	synctest.Test(t, func(t *testing.T) {
		h, app := newAppHouse(t)
		defer func() { h.close() }()
		test(t, &inviting{h, app, authcore.Realm{App: "shop"}})
	})
}

// org is an organization of a new owner.
func (w *inviting) org(owner address.Address) (*authcore.AppSession, string) {
	w.t.Helper()
	boss := w.signInApp(owner)
	o, v, err := w.service.CreateOrganization(w.t.Context(), w.app, w.live, boss.Person.Subject, "Acme", "")
	if v != event.Accepted || err != nil {
		w.t.Fatal(v, err)
	}
	return boss, o.ID
}

func (w *inviting) send(org, by, client string, to address.Address) (authcore.Invite, authcore.Asked) {
	w.t.Helper()
	in := linkFor(to)
	in.Caller, in.Origin, in.Client = w.caller(liveKey), site, netip.MustParseAddr(client)
	i, asked, err := w.service.SendInvite(w.t.Context(), in, org, by, authcore.Member)
	if err != nil {
		w.t.Fatal(err)
	}
	return i, asked
}

// waits tells how many invitations of org do.
func (w *inviting) waits(org string) int {
	w.t.Helper()
	list, err := w.service.Invites(w.t.Context(), w.live, org)
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
	if !authcore.IsStopToken(token) {
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
		var last authcore.Asked
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
				o, _, err := w.service.CreateOrganization(w.t.Context(), w.app, w.live, boss.Person.Subject, "Acme", "")
				want(w.t, err, nil)
				return o.ID, boss.Person.Subject, fmt.Sprintf("10.0.%d.1", i)
			}
		}, 20},
		"organization of many admins": {func(w *inviting) func(int) (string, string, string) {
			_, org := w.org(alice)
			return func(i int) (string, string, string) {
				admin := w.signInApp(someone("admin%d", i)).Person.Subject
				v, err := w.service.SetRole(w.t.Context(), authcore.RoleChange{Realm: w.live, Org: org, Subject: admin, Role: authcore.Admin, Add: true})
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
				p, err := w.service.Person(t.Context(), w.live, authcore.Whom{Email: mustAddress("onemore@evil.test")})
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
			_, err := w.service.SetRole(w.t.Context(), authcore.RoleChange{Realm: w.live, Org: org, Subject: by, Role: authcore.Member})
			return err
		},
		"removed": func(w *inviting, org, by string) error {
			_, err := w.service.SetRole(w.t.Context(), authcore.RoleChange{Realm: w.live, Org: org, Subject: by})
			return err
		},
		"deleted": func(w *inviting, org, by string) error {
			_, err := w.service.DeletePerson(w.t.Context(), w.live, by)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			runInviting(t, func(t *testing.T, w *inviting) {
				ctx, bob := t.Context(), mustAddress("bob@example.com")
				boss, org := w.org(alice)
				admin := w.signInApp(mustAddress("admin@example.com")).Person.Subject
				_, err := w.service.SetRole(ctx, authcore.RoleChange{Realm: w.live, Org: org, Subject: admin, Role: authcore.Admin, Add: true})
				want(t, err, nil)
				invite, asked := w.send(org, admin, "10.0.0.1", bob)
				want(t, asked.Verdict, event.Accepted)
				want(t, w.waits(org), 1)
				want(t, end(w, org, admin), nil)
				want(t, w.waits(org), 0)
				want(t, w.prove(authcore.Proof{Token: asked.Token, Session: week}).Verdict, event.Expired)
				session := w.signInApp(bob)
				_, v, _ := w.service.AcceptInvite(ctx, w.live, invite.ID, session.Person.Subject)
				want(t, v, event.Unknown)
				// By somebody else it is another one, with a link of its own.
				time.Sleep(time.Minute)
				again, asked2 := w.send(org, boss.Person.Subject, "10.0.0.1", bob)
				want(t, asked2.Verdict, event.Accepted)
				want(t, again.ID != invite.ID, true)
				want(t, w.prove(authcore.Proof{Token: asked.Token}).Verdict, event.Expired)
				proved := w.prove(authcore.Proof{Token: asked2.Token, Session: week})
				want(t, proved.Verdict, event.Accepted)
				want(t, proved.Invite, again.ID)
				if _, asked := w.send(org, admin, "10.0.0.1", mustAddress("eve@example.com")); asked.Verdict != event.Forbidden {
					t.Errorf("who may not invite: %v", asked.Verdict)
				}
			})
		})
	}
}

// Who may invite may take back; what was taken back stays so, over an import
// too, and inviting again makes another.
func TestWithdrawnInvitations(t *testing.T) {
	runInviting(t, func(t *testing.T, w *inviting) {
		ctx, bob := t.Context(), mustAddress("bob@example.com")
		boss, org := w.org(alice)
		_, elsewhere := w.org(mustAddress("rival@example.com"))
		member := w.signInApp(mustAddress("member@example.com")).Person.Subject
		_, err := w.service.SetRole(ctx, authcore.RoleChange{Realm: w.live, Org: org, Subject: member, Role: authcore.Member, Add: true})
		want(t, err, nil)
		invite, asked := w.send(org, boss.Person.Subject, "10.0.0.1", bob)
		before := w.export(false)
		for _, refused := range []struct {
			org, by string
			realm   authcore.Realm
			want    event.Verdict
		}{
			{org, member, w.live, event.Forbidden}, {elsewhere, "", w.live, event.Unknown},
			{org, "", authcore.Realm{App: "shop", Test: true}, event.Unknown},
		} {
			v, err := w.service.WithdrawInvite(ctx, refused.realm, refused.org, invite.ID, refused.by)
			want(t, err, nil)
			want(t, v, refused.want)
		}
		want(t, w.waits(org), 1)
		for _, expect := range []event.Verdict{event.Accepted, event.Unknown} {
			v, err := w.service.WithdrawInvite(ctx, w.live, org, invite.ID, boss.Person.Subject)
			want(t, err, nil)
			want(t, v, expect)
		}
		dead := func(h *house) {
			t.Helper()
			want(t, h.prove(authcore.Proof{Token: asked.Token}).Verdict, event.Expired)
			_, v, _ := h.service.AcceptInvite(ctx, w.live, invite.ID, w.signInApp(bob).Person.Subject)
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
			list, err := twin.service.Invites(ctx, w.live, org)
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
		before := fmt.Sprint(w.contents())
		for _, wrong := range []struct {
			app   *authcore.App
			token string
			to    address.Address
		}{
			{w.app, token, mustAddress("forwarded@example.com")}, {w.app, token + "x", bob}, {w.app, "stop-", bob},
			{w.app, asked.Token, bob}, {w.service.Apps().Find("other"), token, bob},
		} {
			ok, err := w.service.StopInvites(ctx, wrong.app, wrong.token, wrong.to)
			want(t, err, nil)
			want(t, ok, false)
		}
		want(t, fmt.Sprint(w.contents()), before)
		want(t, w.prove(authcore.Proof{Token: token}).Verdict, event.Unknown) // it is no link
		ok, err := w.service.StopInvites(ctx, w.app, token, bob)
		want(t, err, nil)
		want(t, ok, true)
		want(t, w.waits(org), 0)
		want(t, w.prove(authcore.Proof{Token: asked.Token}).Verdict, event.Expired)
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

func TestOrganizationNames(t *testing.T) {
	runInviting(t, func(t *testing.T, w *inviting) {
		boss := w.signInApp(alice)
		for name, good := range map[string]bool{
			"Acme, Inc.": true, "St. John's & Sons": true, "Müller GmbH": true, "株式会社 例": true, "شركة المثال": true,
			"A.B. Smith": true, "Version 2.0": true, "👩\u200d🚀 Club": true, strings.Repeat("ü", 64): true, "U.S. Dept.": true,
			"": false, "  ": false, strings.Repeat("ü", 65): false, "a\nb": false, "a\tb": false, "a\x00b": false, "a\u202eb": false,
			"a\u2028b": false, "a\u200bb": false, "\xff": false, "Pay at evil.com": false, "https://localhost/x": false,
			"www.evil": false, "evil.co.uk/pay": false, "EVIL.COM": false, "evil。com": false, "ｅｖｉｌ．ｃｏｍ": false,
			"evil.com:8080": false, "(evil.com)": false, "bücher.de": false, "evil\u200d.com": false, "10.0.0.1/x": false, "me@localhost": false, "evil.com.": false,
			"hxxp evil.com!": false,
		} {
			_, v, err := w.service.CreateOrganization(t.Context(), w.app, w.live, boss.Person.Subject, name, "")
			want(t, err, nil)
			if (v == event.Accepted) != good {
				t.Errorf("%q: %v", name, v)
			}
		}
		_, org := w.org(mustAddress("rival@example.com"))
		evil := "Pay at evil.com"
		_, v, err := w.service.UpdateOrganization(t.Context(), w.live, org, &evil, nil)
		want(t, err, nil)
		want(t, v, event.Malformed)
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
			want(t, h.prove(authcore.Proof{Token: asked.Token, Slot: slot}).Verdict, event.Unknown)
			looked, err := h.service.Look(t.Context(), h.caller(liveKey), slot, asked.Token)
			want(t, err, nil)
			want(t, looked.Verdict, event.Unknown)
		}
		want(t, h.prove(authcore.Proof{Token: asked.Token}).Verdict, event.Accepted)
	})
}
