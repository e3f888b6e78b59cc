package authcore_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

func TestAppWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		in := apps.Ask{
			Whom: person.Whom{Email: alice}, Create: true, Slot: "window", Supersede: true, EndUser: true,
			Known:  apps.Terms{Digits: 8, Hex: true, Lifetime: 30 * time.Minute},
			Window: &apps.Window{Count: 5, Per: 30 * time.Minute},
		}
		from := func(i int) apps.Asked {
			in.Client = netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i))
			return h.ask(in)
		}
		var last apps.Asked
		for i := range 5 {
			if last = from(1); last.Verdict != event.Accepted || last.Attempts != i+1 {
				t.Fatalf("request %d: %v, %d attempts", i+1, last.Verdict, last.Attempts)
			}
		}
		if out := from(1); out.Verdict != event.Limited || !out.ByClient {
			t.Errorf("the sixth from one client: %+v", out)
		}
		if out := from(2); out.Verdict != event.Limited || out.ByClient || out.Challenge != last.Challenge || out.Attempts != 5 || out.RetryAfter <= 0 {
			t.Errorf("the sixth from another client: %+v", out)
		}
		if v := h.prove(apps.Proof{Slot: "window", Contact: alice.String(), Code: last.Code, Forget: true}).Verdict; v != event.Accepted {
			t.Fatalf("the newest code: %v", v)
		}
		if out := from(1); out.Verdict != event.Accepted || out.Attempts != 1 {
			t.Errorf("after a sign-in the counts begin anew: %+v", out)
		}
		time.Sleep(31 * time.Minute)
		if out := from(1); out.Verdict != event.Accepted || out.Attempts != 1 {
			t.Errorf("after the window: %+v", out)
		}
	})
}

func TestAppMailLimitsHoldWhateverTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		for i := range 5 {
			if out := h.askLater(CodeFor(alice), 11*time.Second); out.Verdict != event.Accepted {
				t.Fatalf("mail %d: %v", i+1, out.Verdict)
			}
		}
		if out := h.askLater(CodeFor(alice), 11*time.Second); out.Verdict != event.Limited {
			t.Errorf("the sixth mail in an hour: %v", out.Verdict)
		}
		own := CodeFor(alice)
		own.Deliver = false
		if out := h.ask(own); out.Verdict != event.Accepted {
			t.Errorf("what the caller delivers itself counts for no mail limit: %v", out.Verdict)
		}
		if begun, err := h.service.Flows().Begin(t.Context(), h.browser().Browser, authcore.Start{Address: alice}); err != nil || begun.Verdict != event.Limited {
			t.Errorf("mails of apps and gates count together: %v %v", begun.Verdict, err)
		}
	})
}

func TestAppCodesAreOffOnceTheFailuresAreUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		h.service.Close()
		h.config.Limits.Failures = []limit.Rate{{Count: 5, Per: 24 * time.Hour}}
		h.service = h.core.Use(h.config)
		one := h.ask(CodeFor(alice))
		in := CodeFor(alice)
		in.Slot = "another"
		two := h.askLater(in, 11*time.Second)
		for range 5 {
			h.prove(apps.Proof{Slot: "code", Contact: one.Contact.ID, Code: wrongFor(one.Code)})
		}
		if v := h.prove(apps.Proof{Slot: "another", Contact: two.Contact.ID, Code: two.Code}).Verdict; v != event.CodesOff {
			t.Errorf("the right code of another challenge: %v", v)
		}
		link := linkFor(alice)
		link.Deliver = false
		if v := h.prove(apps.Proof{Token: h.ask(link).Token}).Verdict; v != event.Accepted {
			t.Errorf("a link, which nobody can guess: %v", v)
		}
	})
}

// Over the limit on all mails an app is told nothing, as nobody is: the mail
// waits, and a code that has got old in its place is not sent.
func TestAppMailsCountForAllMails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		h.service.Close()
		h.config.Limits.Global = []limit.Rate{{Count: 1, Per: time.Minute}}
		h.service = h.core.Use(h.config)
		h.ask(linkFor(alice))
		two, three := h.ask(linkFor(mustAddress("bob@example.com"))), h.ask(CodeFor(mustAddress("carol@example.com")))
		want(t, two.Verdict, event.Accepted)
		want(t, three.Verdict, event.Accepted)
		synctest.Wait()
		want(t, h.sender.count(), 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		want(t, h.sender.count(), 2)
		time.Sleep(time.Minute)
		synctest.Wait()
		want(t, h.sender.count(), 3)
		want(t, h.prove(apps.Proof{Token: two.Token}).Verdict, event.Accepted)
		time.Sleep(time.Minute)
		h.ask(linkFor(alice))
		for i := range 10 { // half of the ten minutes is enough for five
			want(t, h.ask(CodeFor(someone("code%d", i))).Verdict, event.Accepted)
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		want(t, h.core.Status().MailWaiting, 0)
		if n := h.sender.count(); n < 8 || n > 9 {
			t.Errorf("%d mails", n)
		}
	})
}

// An app's server may use all of the limit but what is kept for known browsers;
// an end user whom it names, or who calls without a secret key, is one network
// like any other.
func TestAppMailsHaveTheShareOfTheEndUser(t *testing.T) {
	for _, test := range []struct {
		endUser bool
		caller  func(h *house) apps.Caller
		sent    int
	}{
		{false, func(h *house) apps.Caller { return h.caller(liveKey) }, 80},
		{true, func(h *house) apps.Caller { return h.caller(liveKey) }, 10},
		{false, func(h *house) apps.Caller { return h.caller(pubKey) }, 10},
		{false, func(h *house) apps.Caller { return apps.Caller{App: h.caller(liveKey).App} }, 10},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, _ := newAppHouse(t)
			defer func() { h.close() }()
			h.globalOf(100)
			for i := range 90 {
				in := linkFor(someone("a%d", i))
				in.Caller = test.caller(h)
				in.Client, in.EndUser = netip.MustParseAddr("203.0.113.9"), test.endUser
				want(t, h.ask(in).Verdict, event.Accepted)
			}
			synctest.Wait()
			want(t, h.sender.count(), test.sent)
		})
	}
}

// Who can only be given up in the end gets the same answer, and no mail.
func TestAppMailsOverAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer func() { h.close() }()
		h.globalOf(1)
		var last apps.Asked
		for i := range 1010 {
			in := CodeFor(someone("a%d", i))
			in.Poll = true
			last = h.ask(in)
			if last.Verdict != event.Accepted || last.Challenge == "" || last.PollToken == "" {
				t.Fatalf("%d: %+v", i, last)
			}
		}
		synctest.Wait()
		want(t, h.core.Status().MailWaiting <= 1000, true)
		h.mu.Lock()
		defer h.mu.Unlock()
		e := h.events[len(h.events)-1]
		want(t, e.Reason, "limited")
		want(t, e.Challenge, last.Challenge)
	})
}
