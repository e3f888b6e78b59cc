package authcore_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

func (h *house) signInApp(a address.Address) *apps.Session {
	h.t.Helper()
	in := linkFor(a)
	in.Deliver = false
	out := h.prove(apps.Proof{Token: h.ask(in).Token, Session: week})
	if out.Session == nil {
		h.t.Fatalf("no session: %v", out.Verdict)
	}
	return out.Session
}

func TestAppSessionLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		live, test := h.caller(liveKey).Realm(), h.caller(testKey).Realm()
		s := h.signInApp(alice)
		byToken, bySID := apps.SessionRef{Token: s.Token}, apps.SessionRef{SID: s.ID}
		for _, ref := range []apps.SessionRef{byToken, bySID} {
			got, v, err := h.service.Apps().Session(t.Context(), live, ref)
			if err != nil || v != event.Accepted || got.ID != s.ID || got.Token != s.Token || got.Person.Address != alice {
				t.Fatalf("%+v %v %v", got, v, err)
			}
			if _, v, _ := h.service.Apps().Session(t.Context(), test, ref); v != event.Unknown {
				t.Errorf("a live session with a test key: %v", v)
			}
		}
		time.Sleep(24 * time.Hour)
		got, _, err := h.service.Apps().TouchSession(t.Context(), live, byToken, 14*24*time.Hour)
		if err != nil || got.Expires.Sub(got.LastActive) != 14*24*time.Hour || !got.Updated.After(s.Updated) {
			t.Fatalf("extended %+v %v", got, err)
		}
		time.Sleep(8 * 24 * time.Hour)
		if _, v, _ := h.service.Apps().Session(t.Context(), live, byToken); v != event.Accepted {
			t.Errorf("an extended session past its first end: %v", v)
		}
		// The operator's ways see and end it.
		if ended, err := h.core.Sessions().End(t.Context(), s.ID, "by_operator"); !ended || err != nil {
			t.Fatalf("End: %v %v", ended, err)
		}
		if _, v, _ := h.service.Apps().Session(t.Context(), live, byToken); v != event.Unknown {
			t.Errorf("an ended session: %v", v)
		}
		one, two := h.signInApp(alice), h.signInApp(alice)
		if list, err := h.service.Apps().Sessions(t.Context(), live, one.Person.Subject); err != nil || len(list) != 2 {
			t.Fatalf("%d sessions listed, %v", len(list), err)
		}
		if n, err := h.core.Sessions().EndPerson(t.Context(), one.Person.Subject, "by_operator"); n != 2 || err != nil {
			t.Errorf("EndPerson ended %d, %v", n, err)
		}
		_, v, _ := h.service.Apps().Session(t.Context(), live, apps.SessionRef{Token: two.Token})
		if v != event.Unknown {
			t.Errorf("after EndPerson: %v", v)
		}
		three := h.signInApp(alice)
		time.Sleep(week.Lifetime)
		if _, v, _ := h.service.Apps().Session(t.Context(), live, apps.SessionRef{Token: three.Token}); v != event.Expired {
			t.Errorf("at its end: %v", v)
		}
	})
}

func TestAppSessionEndsWithARevocationOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		s := h.signInApp(alice)
		if _, err := h.core.Keys().Rotate(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if _, v, _ := h.service.Apps().Session(t.Context(), h.caller(liveKey).Realm(), apps.SessionRef{Token: s.Token}); v != event.Unknown {
			t.Errorf("after everything was revoked: %v", v)
		}
	})
}

func TestAppSessionGainsAFactor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		s := h.signInApp(alice)
		asked := h.ask(CodeFor(alice))
		out := h.prove(apps.Proof{Slot: "code", Contact: asked.Contact.ID, Code: asked.Code, Extend: s.ID, Session: week})
		if out.Session == nil || out.Session.ID != s.ID || len(out.Session.Factors) != 2 {
			t.Fatalf("%+v", out.Session)
		}
		bob := h.signInApp(mustAddress("bob@example.com"))
		asked = h.askLater(CodeFor(alice), 11*time.Second)
		out = h.prove(apps.Proof{Slot: "code", Contact: asked.Contact.ID, Code: asked.Code, Extend: bob.ID, Session: week})
		if out.Session.ID == bob.ID || out.Session.Person.Address != alice {
			t.Fatal("another person's session gained the factor")
		}
	})
}

// TestEndingAPersonEndsWhatWouldBecomeASession: a link was followed, and nobody
// has asked for its session, when all of the person's are ended.
func TestEndingAPersonEndsWhatWouldBecomeASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		in := linkFor(alice)
		in.Poll = true
		poll := func(asked apps.Asked) event.Verdict {
			out, err := h.service.Apps().Poll(t.Context(), apps.Poll{Caller: h.caller(liveKey), Contact: asked.Contact.ID, Token: asked.PollToken, Session: *week, Origin: site})
			if err != nil {
				t.Fatal(err)
			}
			return out.Verdict
		}
		for name, end := range map[string]func(sub string) error{
			"all": func(sub string) error { _, err := h.core.Sessions().EndPerson(t.Context(), sub, "revoked"); return err },
			"all others": func(sub string) error {
				_, err := h.core.Sessions().EndOthers(t.Context(), sub, session.Kept{Session: strings.Repeat("A", 27)}, "ended_by_owner")
				return err
			},
			"all, then a restart": func(sub string) error {
				_, err := h.core.Sessions().EndPerson(t.Context(), sub, "revoked")
				h.reopen()
				return err
			},
		} {
			asked := h.askLater(in, time.Hour)
			open := h.askLater(in, 2*time.Minute)
			h.prove(apps.Proof{Token: asked.Token})
			if err := end(asked.Person.Subject); err != nil {
				t.Fatal(name, err)
			}
			if v := poll(asked); v != event.Expired {
				t.Errorf("%s: a link that was followed before: %v", name, v)
			}
			time.Sleep(time.Second)
			h.prove(apps.Proof{Token: open.Token})
			if v := poll(open); v != event.Accepted {
				t.Errorf("%s: a link that is followed after: %v", name, v)
			}
		}
	})
}

func TestAppPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		in := linkFor(alice)
		in.Poll = true
		asked := h.ask(in)
		poll := func(token string) apps.Proved {
			out, err := h.service.Apps().Poll(t.Context(), apps.Poll{Caller: h.caller(liveKey), Contact: asked.Contact.ID, Token: token, Session: *week, Origin: site})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		if v := poll(asked.PollToken).Verdict; v != event.NotYet || len(asked.PollToken) != 128 {
			t.Errorf("before the link is used: %v", v)
		}
		if v := poll(strings.Repeat("x", 128)).Verdict; v != event.Unknown {
			t.Errorf("a wrong token: %v", v)
		}
		h.prove(apps.Proof{Token: asked.Token})
		if out := poll(asked.PollToken); out.Verdict != event.Accepted || out.Session == nil {
			t.Errorf("after it was used: %+v", out)
		}
		if out := poll(asked.PollToken); out.Verdict != event.Used || out.Session != nil {
			t.Errorf("a second time: %+v", out)
		}
		revoked := h.askLater(in, 2*time.Minute)
		h.prove(apps.Proof{Token: revoked.Token})
		if _, err := h.core.Keys().Rotate(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		asked.Contact = revoked.Contact
		if out := poll(revoked.PollToken); out.Verdict != event.Expired || out.Session != nil {
			t.Errorf("after everything was revoked: %+v", out)
		}
		late := h.askLater(in, 2*time.Minute)
		time.Sleep(time.Hour)
		asked.Contact = late.Contact
		if v := poll(late.PollToken).Verdict; v != event.Expired {
			t.Errorf("after the link has expired: %v", v)
		}
	})
}

func TestJWTKindsAreNotMistakenForEachOther(t *testing.T) {
	h, _ := newAppHouse(t)
	defer h.close()
	kind := keyring.Kind{Alg: "RS256", Typ: "JWT", KeyPrefix: "jwk_"}
	token, err := h.core.Keys().Sign(t.Context(), kind, map[string]any{"sub": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if claims, ok, _ := h.core.Keys().Verify(kind, token); !ok || string(claims) != `{"sub":"x"}` {
		t.Errorf("%s %v", claims, ok)
	}
	for _, other := range []keyring.Kind{{Alg: "RS256", Typ: "other", KeyPrefix: "jwk_"}, {Alg: "RS256", Typ: "JWT"}, {Alg: "EdDSA", Typ: "JWT"}} {
		if _, ok, err := h.core.Keys().Verify(other, token); ok || err != nil {
			t.Errorf("verifies as %+v", other)
		}
	}
	keys, err := h.core.Keys().Public(t.Context(), kind)
	if err != nil || len(keys.Keys) != 1 || !strings.HasPrefix(keys.Keys[0].KeyID, "jwk_") || keys.Keys[0].Algorithm != "RS256" {
		t.Fatalf("%+v %v", keys, err)
	}
	h.reopen() // the key is the same after a restart
	if _, ok, _ := h.core.Keys().Verify(kind, token); !ok {
		t.Error("does not verify after a restart")
	}
}

// A browser's session ends a day after its last use; an app's lives as long as
// the app has said. Operators see it for as long, and can end it.
func TestOperatorsSeeAppSessionsUntilTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		synctest.Wait() // the first count has ended
		year := &apps.SessionTerms{Lifetime: 365 * 24 * time.Hour, Form: session.TokenAlnum}
		in := linkFor(alice)
		in.Deliver = false
		s := h.prove(apps.Proof{Token: h.ask(in).Token, Session: year}).Session
		h.setClock(200 * 24 * time.Hour)
		if _, v, err := h.service.Apps().Session(t.Context(), s.Person.Realm, apps.SessionRef{Token: s.Token}); v != event.Accepted || err != nil {
			t.Fatalf("%v %v", v, err)
		}
		all, _, err := h.core.Sessions().List(t.Context(), "", 10)
		if err != nil || len(all) != 1 || all[0].ID != s.ID || all[0].Address != alice || all[0].Audience != "app:shop/live" {
			t.Errorf("of everybody: %+v %v", all, err)
		}
		if of, err := h.core.Sessions().Of(t.Context(), s.Person.Subject); err != nil || len(of) != 1 {
			t.Errorf("of one: %+v %v", of, err)
		}
		if n := h.core.Status().Sessions; n != 1 {
			t.Errorf("%d sessions counted", n)
		}
		if ended, err := h.core.Sessions().End(t.Context(), s.ID, "by_operator"); !ended || err != nil {
			t.Errorf("%v %v", ended, err)
		}
		if n := h.core.Status().Sessions; n != 0 {
			t.Errorf("%d sessions counted after the end", n)
		}
	})
}
