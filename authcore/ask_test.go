package authcore_test

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

const (
	liveKey = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef"
	testKey = "sk_test_0123456789abcdef0123456789abcdef0123456789abcdef"
	pubKey  = "pk_live_0123456789abcdef0123456789abcdef0123456789abcdef"
)

func appKey(t testing.TB, key string) apps.Key {
	t.Helper()
	k, err := apps.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newAppHouse is a house with the app shop, and text messages.
func newAppHouse(t testing.TB, senders ...outbox.TextSender) (*house, *apps.App) {
	t.Helper()
	app := &apps.App{
		AutoCreate: true,
		ID:         "shop", Keys: []apps.Key{appKey(t, liveKey), appKey(t, testKey), appKey(t, pubKey)},
		Callbacks: mustCallbacks(t, "https://app.example.com/*"),
		Plans:     []apps.Plan{{ID: "free"}, {ID: "pro"}},

		Organizations: true, AutoVerify: true,
	}
	apps, err := apps.NewList(app, &apps.App{ID: "other", Keys: []apps.Key{appKey(t, strings.Replace(liveKey, "0123", "9999", 1))}})
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	h.service.Close()
	h.config.Apps, h.config.Texts = apps, senders
	h.service = h.core.Use(h.config)
	return h, app
}

func (h *house) caller(key string) apps.Caller {
	h.t.Helper()
	c, ok := h.service.Apps().Configured().Caller(key)
	if !ok {
		h.t.Fatal("unknown key")
	}
	return c
}

func (h *house) ask(in apps.Ask) apps.Asked {
	h.t.Helper()
	if in.Caller.App == nil {
		in.Caller = h.caller(liveKey)
	}
	in.Origin = site
	out, err := h.service.Apps().Ask(h.t.Context(), in)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *house) prove(in apps.Proof) apps.Proved {
	h.t.Helper()
	if in.Caller.App == nil {
		in.Caller = h.caller(liveKey)
	}
	if in.Token != "" && in.Slot == "" {
		in.Slot = "link"
	}
	in.Origin = site
	out, err := h.service.Apps().Prove(h.t.Context(), in)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func linkFor(a address.Address) apps.Ask {
	return apps.Ask{
		Whom: person.Whom{Email: a}, Create: true, Slot: "link", Deliver: true,
		Known: apps.Terms{Lifetime: 15 * time.Minute, Before: "https://app.example.com/in?token=", After: "&appId=shop", Letter: outbox.LetterLink, Redirect: "https://app.example.com/done", Use: origin.RedirectCallback},
	}
}

func CodeFor(a address.Address) apps.Ask {
	return apps.Ask{
		Whom: person.Whom{Email: a}, Create: true, Slot: "code", Deliver: true, Repeat: []limit.Rate{{Count: 1, Per: 10 * time.Second}},
		Known: apps.Terms{Digits: 6, Lifetime: 10 * time.Minute, Letter: outbox.LetterCode},
	}
}

var week = &apps.SessionTerms{Lifetime: 7 * 24 * time.Hour, Form: session.TokenAlnum}

func TestAppLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		asked := h.ask(linkFor(alice))
		if asked.Verdict != event.Accepted || !asked.Created || asked.Person.Address != alice || asked.Person.Plan != "free" || len(asked.Token) != 48 {
			t.Fatalf("asked %+v", asked)
		}
		m := h.sender.last(t)
		if want := "https://app.example.com/in?token=" + asked.Token + "&appId=shop"; m.Link != want || m.Code != "" {
			t.Fatalf("the mail has link %q and code %q", m.Link, m.Code)
		}
		looked, err := h.service.Apps().Look(t.Context(), h.caller(liveKey), "link", asked.Token)
		if err != nil || looked.Verdict != event.Accepted || looked.Redirect != "https://app.example.com/done" {
			t.Fatalf("looked %+v %v", looked, err)
		}
		if v := h.prove(apps.Proof{Token: asked.Token, Caller: h.caller(testKey)}).Verdict; v != event.Unknown {
			t.Errorf("a live token with a test key: %v", v)
		}
		proved := h.prove(apps.Proof{Token: asked.Token, Session: week})
		if proved.Verdict != event.Accepted || proved.Session == nil || len(proved.Session.Token) != 64 || !proved.Contact.Verified {
			t.Fatalf("proved %+v", proved)
		}
		if v := h.prove(apps.Proof{Token: asked.Token}).Verdict; v != event.Used {
			t.Errorf("a second use: %v", v)
		}
		for _, odd := range []string{asked.Token[1:], asked.Token + "x", strings.ToLower(asked.Token), ""} {
			if v := h.prove(apps.Proof{Token: odd}).Verdict; v != event.Unknown {
				t.Errorf("token %q: %v", odd, v)
			}
		}
		old := h.askLater(linkFor(alice), 2*time.Minute)
		time.Sleep(16 * time.Minute)
		if v := h.prove(apps.Proof{Token: old.Token}).Verdict; v != event.Expired {
			t.Errorf("after its lifetime: %v", v)
		}
	})
}

func (h *house) askLater(in apps.Ask, d time.Duration) apps.Asked {
	time.Sleep(d)
	return h.ask(in)
}

func TestAppLinkIsNoGateLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		asked := h.ask(linkFor(alice))
		b := h.browser()
		b.begin(alice)
		answer, err := h.service.Flows().AnswerLink(t.Context(), b.Browser, asked.Token)
		if err != nil || answer.Verdict != event.Unknown {
			t.Fatalf("an app's token as a gate's link: %v %v", answer.Verdict, err)
		}
		proved := h.prove(apps.Proof{Token: asked.Token, Session: week})
		for _, token := range []string{proved.Session.Token, proved.Session.ID} {
			if s, err := h.service.Sessions().Check(t.Context(), token, site); s != nil || err != nil {
				t.Fatalf("an app's session passes a gate: %v %v", s, err)
			}
		}
	})
}

func TestAppCodeTriesAndFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		asked := h.ask(CodeFor(alice))
		if code := h.sender.code(t); code != asked.Code || len(code) != 6 {
			t.Fatalf("the mail has code %q", code)
		}
		wrong := "000000"
		if asked.Code == wrong {
			wrong = "000001"
		}
		answer := func(code string) apps.Proved {
			return h.prove(apps.Proof{Slot: "code", Contact: asked.Contact.ID, Code: code})
		}
		if v := answer("12345").Verdict; v != event.Malformed {
			t.Errorf("five digits: %v", v)
		}
		if v := h.prove(apps.Proof{Slot: "else", Contact: asked.Contact.ID, Code: asked.Code}).Verdict; v != event.Unknown {
			t.Errorf("the code of another slot: %v", v)
		}
		for left := 4; left > 0; left-- {
			if p := answer(wrong); p.Verdict != event.Wrong || p.TriesLeft != left {
				t.Fatalf("wrong code: %v, %d left, want %d", p.Verdict, p.TriesLeft, left)
			}
		}
		if v := answer(wrong).Verdict; v != event.Locked {
			t.Errorf("the fifth: %v", v)
		}
		if v := answer(asked.Code).Verdict; v != event.Locked {
			t.Errorf("the right code after the fifth: %v", v)
		}
		// A new code gives no new budget: ten wrong ones a day and no more.
		again := h.askLater(CodeFor(alice), 11*time.Second)
		for range 5 {
			answer(wrongFor(again.Code))
		}
		third := h.askLater(CodeFor(alice), 11*time.Second)
		if third.Verdict != event.Limited || third.RetryAfter < 23*time.Hour {
			t.Errorf("after ten wrong codes a new one is sent: %v, wait %v", third.Verdict, third.RetryAfter)
		}
	})
}

func wrongFor(code string) string {
	if code == "111111" {
		return "111112"
	}
	return "111111"
}

func TestAppCodeIsAcceptedOnce(t *testing.T) {
	h, _ := newAppHouse(t)
	defer h.close()
	asked := h.ask(CodeFor(alice))
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := 0
	for range 20 {
		wg.Go(func() {
			out, err := h.service.Apps().Prove(t.Context(), apps.Proof{Caller: h.caller(liveKey), Slot: "code", Contact: asked.Contact.ID, Code: asked.Code, Session: week})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if out.Verdict == event.Accepted {
				accepted++
			}
		})
	}
	wg.Wait()
	if accepted != 1 {
		t.Fatalf("%d of 20 answers at once were accepted", accepted)
	}
}

func TestAppNewerCodeSupersedes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		first := h.ask(CodeFor(alice))
		if v := h.ask(CodeFor(alice)).Verdict; v != event.Limited {
			t.Errorf("at once again: %v", v)
		}
		second := h.askLater(CodeFor(alice), 11*time.Second)
		if v := h.prove(apps.Proof{Slot: "code", Contact: alice.String(), Code: first.Code}).Verdict; v != event.Wrong {
			t.Errorf("the older code: %v", v)
		}
		if v := h.prove(apps.Proof{Slot: "code", Contact: alice.String(), Code: second.Code}).Verdict; v != event.Accepted {
			t.Errorf("the newer code: %v", v)
		}
		in := linkFor(alice)
		in.Supersede = true
		old := h.askLater(in, 2*time.Minute)
		h.askLater(in, 2*time.Minute)
		if v := h.prove(apps.Proof{Token: old.Token}).Verdict; v != event.Expired {
			t.Errorf("a superseded link: %v", v)
		}
	})
}

func TestAppHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		realm := h.caller(liveKey).Realm()
		handle := h.service.Apps().Handle(realm, alice)
		open := func(a address.Address, handle string) event.Verdict {
			_, v := h.service.Apps().OpenHandle(a, handle)
			return v
		}
		for what, v := range map[string]event.Verdict{
			"another address": open(mal, handle), "garbage": open(alice, handle[1:]), "nothing": open(alice, ""),
		} {
			if v != event.Unknown {
				t.Errorf("%s: %v", what, v)
			}
		}
		if c, v := h.service.Apps().OpenHandle(alice, handle); v != event.Accepted || c.Realm() != realm {
			t.Errorf("%v %v", c.Realm(), v)
		}
		if v := h.prove(apps.Proof{Handle: handle, Code: "123456"}).Verdict; v != event.Unknown {
			t.Errorf("a code before one was asked for: %v", v)
		}
		in := CodeFor(alice)
		in.Handle = handle
		asked := h.ask(in)
		for range 5 {
			h.prove(apps.Proof{Handle: handle, Code: wrongFor(asked.Code)})
		}
		time.Sleep(11 * time.Second)
		if v := h.ask(in).Verdict; v != event.Locked {
			t.Errorf("a locked handle asks again: %v", v)
		}
		time.Sleep(apps.HandleLifetime)
		if v := open(alice, handle); v != event.Expired {
			t.Errorf("an old handle: %v", v)
		}
	})
}

func TestAppFingerprint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		in := linkFor(alice)
		in.Client, in.Agent = netip.MustParseAddr("192.0.2.7"), "Browser/1"
		asked := h.ask(in)
		match := apps.FingerprintUse{IP: true, UserAgent: true}
		for _, f := range []*session.Fingerprint{nil, {IP: "192.0.2.8", UserAgent: "Browser/1"}, {IP: "192.0.2.7", UserAgent: "Browser/2"}} {
			if v := h.prove(apps.Proof{Token: asked.Token, Match: match, Fingerprint: f}).Verdict; v != event.Mismatch {
				t.Errorf("fingerprint %v: %v", f, v)
			}
		}
		good := &session.Fingerprint{IP: "192.0.2.7", UserAgent: "Browser/1"}
		if v := h.prove(apps.Proof{Token: asked.Token, Match: match, Fingerprint: good}).Verdict; v != event.Accepted {
			t.Errorf("the same device: %v", v)
		}
	})
}

func TestAppRedirectIsCheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, app := newAppHouse(t)
		defer h.close()
		asked := h.ask(linkFor(alice))
		synctest.Wait() // the mail is written
		app.Callbacks = origin.Callbacks{}
		if p := h.prove(apps.Proof{Token: asked.Token}); p.Redirect != "" || !p.Gone {
			t.Errorf("a callback that was removed meanwhile: %+v", p)
		}
	})
}
