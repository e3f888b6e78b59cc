package authcore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/move"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// appWorld has every kind of record that an export carries.
type appWorld struct {
	*house
	live, test person.Realm
	gate       *authcore.SignIn
	boss       *apps.Session // owner of org, acting for it
	bob        *apps.Session // admin, of two addresses and a number
	over       *apps.Session // ended
	org        organization.Organization
	invite     organization.Invite // waits
	accepted   organization.Invite
}

func newAppWorld(t *testing.T) *appWorld {
	h, app := newAppHouse(t)
	ctx := t.Context()
	w := &appWorld{house: h, live: person.Realm{App: "shop"}, test: person.Realm{App: "shop", Test: true}}
	w.gate = h.browser().signIn(alice)
	boss := h.signInApp(alice)
	bobs := mustAddress("bob@example.com")
	w.bob = h.signInApp(bobs)
	number, _ := address.ParsePhone("+15005550006")
	name, external, plan := "Bob <&>", "crm-1", "pro"
	_, v, err := h.service.Apps().UpdatePerson(ctx, w.live, person.Whom{Subject: w.bob.Person.Subject}, person.Draft{
		Name: &name, Names: &person.Names{First: "Bob", Last: "Brown"}, External: &external, Plan: &plan,
		Emails: []address.Address{mustAddress("bob@example.net")}, Phones: []address.Phone{number}, Metadata: json.RawMessage(`{"a":["bb",1]}`),
	})
	w.must(v, err)
	_, v, err = h.service.Apps().CreatePerson(ctx, app, w.test, person.Draft{Emails: []address.Address{alice}})
	w.must(v, err)
	w.org, v, err = h.service.Organizations().Create(ctx, organization.Wish{Realm: w.live, Owner: boss.Person.Subject, Name: "Acme & Sons", Plan: app.FirstPlan()})
	w.must(v, err)
	w.boss, v, err = h.service.Apps().SwitchOrg(ctx, w.live, apps.SessionRef{SID: boss.ID}, w.org.ID)
	w.must(v, err)
	w.accepted, v, err = h.service.Organizations().Invite(ctx, w.live, w.org.ID, boss.Person.Subject, bobs, organization.Admin)
	w.must(v, err)
	_, v, err = h.service.Organizations().Accept(ctx, w.live, w.accepted.ID, w.bob.Person.Subject)
	w.must(v, err)
	w.invite, v, err = h.service.Organizations().Invite(ctx, w.live, w.org.ID, "", mustAddress("carol@example.com"), organization.Member)
	w.must(v, err)
	w.over = h.signInApp(mustAddress("dan@example.com"))
	if ended, err := h.service.Apps().EndSession(ctx, w.live, apps.SessionRef{SID: w.over.ID}, "signed_out"); !ended || err != nil {
		t.Fatal(ended, err)
	}
	return w
}

func (w *appWorld) must(v event.Verdict, err error) {
	w.t.Helper()
	if v != event.Accepted || err != nil {
		w.t.Fatal(v, err)
	}
}

// wholly imports text and returns what that changed.
func (h *house) wholly(text string) move.Imported {
	h.t.Helper()
	done, err := h.core.Move().Import(h.t.Context(), strings.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	return done
}

var allOfWorld = move.Imported{Exported: move.Exported{People: 1, Sessions: 1, AppPeople: 4, AppSessions: 4, Organizations: 1, Memberships: 2, Invites: 2, Keys: 1}}

func TestExportAndImportOfApps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		text := w.export(true)
		for _, s := range []*apps.Session{w.boss, w.bob, w.over} {
			if strings.Contains(text, s.Token) {
				t.Fatal("the export holds a token")
			}
		}
		twin := w.twin()
		defer twin.close()
		want(t, twin.wholly(text), allOfWorld)
		want(t, body(twin.export(false)), body(w.export(false)))
		for key, value := range twin.contents() {
			if again := w.contents()[key]; again != value && strings.Contains("realm session person-session api-session org-person person-org org-invite invited", key[:strings.Index(key+"/", "/")]) {
				t.Errorf("%s is %q, was %q", key, value, again)
			}
		}
		want(t, twin.wholly(text), move.Imported{Unchanged: 16})
		w.lives(t, twin)
	})
}

// lives looks at what apps see of the world at another instance.
func (w *appWorld) lives(t *testing.T, twin *house) {
	t.Helper()
	ctx := t.Context()
	got, v, err := twin.service.Apps().Session(ctx, w.live, apps.SessionRef{Token: w.boss.Token})
	w.must(v, err)
	want(t, got.OrgRole, organization.Owner)
	want(t, got.Token, w.boss.Token)
	_, v, err = twin.service.Apps().TouchSession(ctx, w.live, apps.SessionRef{Token: w.bob.Token}, 24*time.Hour)
	w.must(v, err)
	if _, v, _ := twin.service.Apps().Session(ctx, w.live, apps.SessionRef{Token: w.over.Token}); v != event.Unknown {
		t.Errorf("an ended session: %v", v)
	}
	for _, whom := range []person.Whom{{External: "crm-1"}, {Email: mustAddress("bob@example.com")}} {
		p, err := twin.service.Apps().Person(ctx, w.live, whom)
		if err != nil || p == nil || p.Subject != w.bob.Person.Subject || p.Plan != "pro" || p.Names.Last != "Brown" || !p.Emails[0].Verified || p.Emails[1].Verified {
			t.Errorf("%+v: %+v %v", whom, p, err)
		}
	}
	if p, _ := twin.service.Apps().Person(ctx, w.test, person.Whom{Email: alice}); p == nil {
		t.Error("test data is not there")
	}
	org, _, err := twin.service.Organizations().Find(ctx, w.live, w.org.ID, "")
	want(t, err, nil)
	if len(org.Owners) != 1 || org.Owners[0] != w.boss.Person.Subject || org.Slug != "acme-sons" {
		t.Errorf("%+v", org)
	}
	members, _ := twin.service.Organizations().Members(ctx, w.live, w.org.ID)
	want(t, len(members), 2)
	list, _, _ := twin.service.Organizations().Invites(ctx, w.live, w.org.ID, "")
	want(t, len(list), 1)
	if _, v, _ := twin.service.Organizations().Accept(ctx, w.live, w.accepted.ID, w.bob.Person.Subject); v != event.Used {
		t.Errorf("an invitation that was accepted: %v", v)
	}
}

// The lines may come in any order.
func TestImportInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		lines := strings.Split(strings.TrimSpace(body(w.export(true))), "\n")
		lines = lines[:len(lines)-1] // the end
		slices.Reverse(lines)
		twin := w.twin()
		defer twin.close()
		want(t, twin.wholly(strings.Join(lines, "\n")), allOfWorld)
		want(t, body(twin.export(false)), body(w.export(false)))
	})
}

// An import that stops between the lines and those of members goes on there.
func TestImportOfAppsIsResumable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		text := w.export(false)
		for stop := range 2 {
			twin := w.twin()
			twin.close()
			broken := &failing{Store: memstore.New(), after: 1 << 30}
			twin.store = broken
			twin.open()
			synctest.Wait()
			broken.after = stop
			if _, err := twin.core.Move().Import(t.Context(), strings.NewReader(text)); !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
			broken.after = 1 << 30
			want(t, twin.wholly(text).Memberships, 2)
			want(t, body(twin.export(false)), body(text))
			twin.close()
		}
	})
}

// Tokens are derived from the secret: they are good where it is known, also as
// an old one, and as soon as it is.
func TestTokensOfAppsMoveWithTheSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		text := w.export(false)
		twin := w.twin()
		defer func() { twin.close() }()
		old := w.secrets.Current
		twin.close()
		twin.store, twin.secrets = memstore.New(), keyring.Secrets{Current: secretOf(t, 'z')}
		twin.open()
		good := func() bool {
			_, v, err := twin.service.Apps().Session(t.Context(), w.live, apps.SessionRef{Token: w.bob.Token})
			return v == event.Accepted && err == nil
		}
		twin.wholly(text)
		want(t, good(), false)
		list, _ := twin.service.Apps().Sessions(t.Context(), w.live, w.bob.Person.Subject)
		want(t, len(list), 1)
		twin.close()
		twin.secrets.Old = []keyring.Secret{old}
		twin.open()
		want(t, good(), false)
		want(t, twin.wholly(text), move.Imported{Exported: move.Exported{AppSessions: 3}, Unchanged: 12})
		want(t, good(), true)
		want(t, twin.wholly(text), move.Imported{Unchanged: 15})
	})
}

// What has changed since the first import comes with the second.
func TestImportTakesWhatIsNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		twin := w.twin()
		defer twin.close()
		first := w.export(true)
		twin.wholly(first)
		time.Sleep(time.Hour)
		ctx, whom, name := t.Context(), person.Whom{Subject: w.bob.Person.Subject}, "Robert"
		_, v, err := w.service.Apps().UpdatePerson(ctx, w.live, whom, person.Draft{Name: &name})
		w.must(v, err)
		_, v, err = w.service.Apps().RemoveContact(ctx, w.live, w.bob.Person.Emails[0].ID)
		w.must(v, err)
		if _, err := w.core.Sessions().End(ctx, w.bob.ID, "revoked"); err != nil {
			t.Fatal(err)
		}
		for _, sid := range []string{w.boss.SignIn, w.boss.ID} { // none outlives what it came from
			_, v, err = w.service.Apps().TouchSession(ctx, w.live, apps.SessionRef{SID: sid}, 14*24*time.Hour)
			w.must(v, err)
		}
		again, v, err := w.service.Organizations().Invite(ctx, w.live, w.org.ID, "", w.invite.Email, organization.Admin)
		w.must(v, err)
		second := w.export(true)
		want(t, twin.wholly(second), move.Imported{Exported: move.Exported{AppPeople: 1, AppSessions: 3, Invites: 1}, Unchanged: 11})
		want(t, twin.wholly(first), move.Imported{Unchanged: 16}) // nothing goes back
		p, _ := twin.service.Apps().Person(ctx, w.live, whom)
		want(t, p.Name, "Robert")
		p, _ = twin.service.Apps().Person(ctx, w.live, person.Whom{Email: mustAddress("bob@example.com")})
		want(t, p, nil)
		if _, v, _ := twin.service.Apps().Session(ctx, w.live, apps.SessionRef{Token: w.bob.Token}); v != event.Unknown {
			t.Errorf("a session that was ended before the second export: %v", v)
		}
		s, _, _ := twin.service.Apps().Session(ctx, w.live, apps.SessionRef{Token: w.boss.Token})
		want(t, s.Expires.Sub(w.service.Now()), 14*24*time.Hour)
		list, _, _ := twin.service.Organizations().Invites(ctx, w.live, w.org.ID, "")
		want(t, list[0].Expires.Equal(again.Expires), true)
	})
}

func TestImportRefusesBrokenLinesOfApps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		twin := w.twin()
		defer twin.close()
		lines := strings.Split(strings.TrimSpace(w.export(true)), "\n")
		line := func(kind, with string) int {
			return slices.IndexFunc(lines, func(l string) bool {
				return strings.HasPrefix(l, `{"type":"`+kind+`"`) && strings.Contains(l, with)
			})
		}
		before := twin.contents()
		bob := w.bob.Person
		factors := regexp.MustCompile(`"factors":\[.*?\]`).FindString(lines[line("app_session", w.bob.ID)])
		for what, test := range map[string]struct{ kind, with, old, new string }{
			"a person of no app":                {"app_person", "crm-1", `"shop/live"`, `""`},
			"a realm that is none":              {"app_person", "crm-1", `"shop/live"`, `"shop/else"`},
			"a path in a realm":                 {"app_person", "crm-1", `"shop/live"`, `"../x/live"`},
			"a subject of another form":         {"app_person", "crm-1", bob.Subject, "x"},
			"an address of another form":        {"app_person", "crm-1", `"bob@example.net"`, `"Bob@EXAMPLE.net"`},
			"a number of another form":          {"app_person", "crm-1", `"+15005550006"`, `"0015005550006"`},
			"metadata that is no object":        {"app_person", "crm-1", `{"a":["bb",1]}`, `[1]`},
			"metadata without end":              {"app_person", "crm-1", `"bb"`, `"` + strings.Repeat("x", 65000) + `"`},
			"a field that is none":              {"app_person", "crm-1", `"external"`, `"evil":1,"external"`},
			"a name of 300 bytes":               {"app_person", "crm-1", `"Brown"`, `"` + strings.Repeat("x", 300) + `"`},
			"somebody else's address":           {"app_person", "dan@", `"dan@example.com"`, `"bob@example.net"`},
			"a session of nobody":               {"app_session", w.bob.ID, `"sub":"` + bob.Subject, `"sub":"` + strings.Repeat("9", 27)},
			"a session of another app's person": {"app_session", w.bob.ID, `shop/live`, `other/live`},
			"an app's session as a gate's":      {"app_session", w.bob.ID, `"type":"app_session"`, `"type":"session"`},
			"a gate's session as an app's":      {"session", w.gate.Session.ID, `"type":"session"`, `"type":"app_session"`},
			"a token of no form":                {"app_session", w.bob.ID, `"alnum"`, `"rot13"`},
			"an organization without a name":    {"organization", "", `"Acme & Sons"`, `""`},
			"a slug with a slash":               {"organization", "", `"acme-sons"`, `"acme/sons"`},
			"a member of no organization":       {"membership", bob.Subject, w.org.ID, strings.Repeat("9", 27)},
			"a member who is nobody":            {"membership", bob.Subject, bob.Subject, strings.Repeat("9", 27)},
			"a member of another app":           {"membership", bob.Subject, "shop/live", "shop/test"},
			"a role that is none":               {"membership", bob.Subject, `"admin"`, `"king"`},
			"an invitation to nobody":           {"invite", w.invite.ID, w.invite.Email.String(), ""},
			"a session without proof":           {"app_session", w.bob.ID, factors, `"factors":[]`},
			"an invitation without end":         {"invite", w.invite.ID, w.invite.Expires.Format(time.RFC3339), "2999-01-01T00:00:00Z"},
			"an invitation to nothing":          {"invite", w.invite.ID, w.org.ID, strings.Repeat("9", 27)},
		} {
			n := line(test.kind, test.with)
			if n < 0 || !strings.Contains(lines[n], test.old) {
				t.Fatalf("%s: no such line", what)
			}
			broken := slices.Clone(lines)
			broken[n] = strings.ReplaceAll(lines[n], test.old, test.new)
			_, err := twin.core.Move().Import(t.Context(), strings.NewReader(strings.Join(broken, "\n")))
			refused := new(move.LineError)
			// What a broken line leaves without its person or organization is
			// refused only after the line itself.
			if !errors.As(err, &refused) || refused.Line != n+1 && !strings.Contains(refused.Problem, "another line gives") {
				t.Errorf("%s: line %d: %v", what, n+1, err)
			} else if said := err.Error(); strings.Contains(said, "@") {
				t.Errorf("%s: the error repeats an address: %v", what, err)
			}
		}
		after := twin.contents()
		want(t, len(after), len(before))
		for key, value := range before {
			want(t, after[key], value)
		}
	})
}

// The id of a contact is never another address: what was sent and what was
// proved hangs on it.
func TestImportGivesNoContactAnotherValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		text := w.export(true)
		time.Sleep(time.Hour)
		for _, other := range []string{"bob@example.org", "dan@example.com"} {
			changed := strings.ReplaceAll(text, "bob@example.net", other)
			if _, err := w.core.Move().Import(t.Context(), strings.NewReader(changed)); err == nil {
				t.Errorf("an address becomes %s under its id", other)
			}
		}
		p, _ := w.service.Apps().Person(t.Context(), w.live, person.Whom{Subject: w.bob.Person.Subject})
		want(t, p.Emails[1].Value, "bob@example.net")
	})
}

// What somebody else has here is not overwritten.
func TestImportOfAppsRespectsWhatIsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		twin := w.twin()
		defer twin.close()
		app := twin.service.Apps().Configured().Find("shop")
		here := twin.person(app, person.Draft{Emails: []address.Address{mustAddress("bob@example.net")}})
		_, err := twin.core.Move().Import(t.Context(), strings.NewReader(w.export(true)))
		if err == nil || !strings.Contains(err.Error(), "users "+here.Subject+" --delete") {
			t.Fatal(err)
		}
		if gone, _, err := twin.deleteHolder(apps.Holder{Subject: here.Subject, Realm: w.live}, "by_operator"); !gone || err != nil {
			t.Fatal(gone, err)
		}
		eve := twin.person(app, person.Draft{Emails: []address.Address{mustAddress("eve@example.com")}})
		if _, v, _ := twin.service.Organizations().Create(t.Context(), organization.Wish{Realm: w.live, Owner: eve.Subject, Name: "Acme", Slug: "acme-sons", Plan: app.FirstPlan()}); v != event.Accepted {
			t.Fatal(v)
		}
		if _, err := twin.core.Move().Import(t.Context(), strings.NewReader(w.export(true))); err == nil || !strings.Contains(err.Error(), "slug") {
			t.Fatal(err)
		}
	})
}

// What was deleted or taken out stays so, whatever an export from before says:
// where it was made, and where it was imported before.
func TestImportRevivesNothingThatWasDeleted(t *testing.T) {
	delete := func(w *appWorld, realm person.Realm, sub string) {
		gone, err := w.core.Apps().Delete(w.t.Context(), apps.Deletion{Realm: realm, Subject: sub, Reason: "person_deleted"})
		w.must(gone.Verdict, err)
	}
	takeOut := func(w *appWorld) {
		_, v, err := w.service.Organizations().SetRole(w.t.Context(), organization.RoleChange{Realm: w.live, Org: w.org.ID, Subject: w.bob.Person.Subject})
		w.must(v, err)
	}
	for what, do := range map[string]func(w *appWorld){
		"a membership":                 takeOut,
		"a person of an app":           func(w *appWorld) { delete(w, w.live, w.bob.Person.Subject) },
		"a person of the gates":        func(w *appWorld) { delete(w, person.Realm{}, w.gate.Session.Subject) },
		"the person, and they are new": func(w *appWorld) { delete(w, w.live, w.bob.Person.Subject); w.signInApp(w.bob.Address) },
		"an organization":              func(w *appWorld) { takeOut(w); delete(w, w.live, w.boss.Person.Subject) },
		"an organization, and its slug is another's": func(w *appWorld) {
			takeOut(w)
			delete(w, w.live, w.boss.Person.Subject)
			_, v, err := w.service.Organizations().Create(w.t.Context(), organization.Wish{Realm: w.live, Owner: w.bob.Person.Subject, Name: "Acme", Slug: "acme-sons", Plan: w.service.Apps().Configured().Find("shop").FirstPlan()})
			w.must(v, err)
		},
	} {
		for _, moved := range []bool{false, true} {
			t.Run(fmt.Sprint(what, " moved ", moved), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newAppWorld(t)
					defer w.close()
					old := w.export(false)
					if moved {
						twin := w.twin()
						defer twin.close()
						twin.wholly(old)
						w = &appWorld{house: twin, live: w.live, gate: w.gate, boss: w.boss, bob: w.bob, org: w.org}
					}
					time.Sleep(time.Hour)
					do(w)
					for range 2 {
						before := body(w.export(false))
						done := w.wholly(old)
						want(t, done, move.Imported{Unchanged: done.Unchanged})
						want(t, body(w.export(false)), before)
					}
				})
			})
		}
	}
}

// What was sent to a deleted person is not good again.
func TestImportRevivesNoLinkOfTheDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		in := linkFor(w.bob.Address)
		in.Deliver = false
		sent, old := w.ask(in), w.export(true)
		gone, err := w.core.Apps().Delete(t.Context(), apps.Deletion{Realm: w.live, Subject: w.bob.Person.Subject, Reason: "person_deleted"})
		w.must(gone.Verdict, err)
		w.wholly(old)
		if out := w.prove(apps.Proof{Token: sent.Token, Session: week}); out.Verdict == event.Accepted || out.Session != nil {
			t.Errorf("the link is %v", out.Verdict)
		}
	})
}

// Who was taken out here and is a member elsewhere since then comes back with
// that: it is newer.
func TestImportTakesANewerMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		twin := w.twin()
		defer twin.close()
		first := w.export(true)
		twin.wholly(first)
		role := func(h *house, role organization.Role) {
			time.Sleep(time.Hour)
			_, v, err := h.service.Organizations().SetRole(t.Context(), organization.RoleChange{Realm: w.live, Org: w.org.ID, Subject: w.bob.Person.Subject, Role: role, Add: true})
			w.must(v, err)
		}
		role(w.house, "")
		role(twin, "")
		want(t, twin.wholly(first).Memberships, 0)
		role(w.house, organization.Member)
		want(t, twin.wholly(w.export(true)).Memberships, 1)
		want(t, twin.wholly(first).Memberships, 0)
		members, err := twin.service.Organizations().Members(t.Context(), w.live, w.org.ID)
		want(t, err, nil)
		want(t, len(members), 2)
	})
}
