package authcore_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// A domain that lets every mail wait for six minutes gets codes that live six
// minutes longer, once several people have shown it; for an address of it that may
// not sign in, too, and for nobody else.
func TestUsualDelay(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.config.MayReceive = func(a address.Address) bool { return a.Local() != "nobody" }
		h.reload()
		lives := func(name string) time.Duration {
			t.Helper()
			b := h.browser()
			begun := b.begin(mustAddress(name))
			f, err := h.service.Flows().Flow(t.Context(), b.Browser, begun.Flow)
			if err != nil || f == nil {
				t.Fatal(f, err)
			}
			want(t, f.Expires.Sub(f.AskedAt), 10*time.Minute+f.Delay)
			return f.Delay
		}
		for i := range 6 {
			want(t, h.core.Delivery().Delay(mustAddress("x@slow.example")), 0)
			h.sender.failWith(&outbox.SendError{Fault: outbox.Deferred, Reason: "450 greylisted", Recipient: true})
			b := h.browser()
			b.begin(mustAddress(fmt.Sprintf("person%d@slow.example", i)))
			time.Sleep(6*time.Minute + time.Second)
			h.sender.failWith(nil)
			time.Sleep(time.Minute)
			want(t, b.answer(h.sender.code(t)).Verdict, event.Accepted)
			time.Sleep(time.Hour)
		}
		time.Sleep(24 * time.Hour)
		d := h.core.Delivery().Domains(10)
		if len(d) == 0 || d[0].Name != "slow.example" || !d[0].Known || d[0].Wait < 6*time.Minute || d[0].Wait > 8*time.Minute || d[0].Deferred < 6 || d[0].SignedIn != 6 {
			t.Fatalf("%+v", d)
		}
		want(t, lives("somebody@slow.example"), d[0].Wait.Truncate(time.Minute))
		want(t, lives("nobody@slow.example"), d[0].Wait.Truncate(time.Minute))
		want(t, lives("alice@example.com"), 0)
		h.reopen()
		want(t, lives("another@slow.example"), d[0].Wait.Truncate(time.Minute))
	})
}

// One person alone makes nothing usual: who has an account can't be told by it.
func TestNobodyAloneIsUsual(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		for range 8 {
			b := h.browser()
			b.begin(alice)
			time.Sleep(9 * time.Minute)
			want(t, b.answer(h.sender.code(t)).Verdict, event.Accepted)
			time.Sleep(3 * time.Hour)
		}
		want(t, h.core.Delivery().Delay(alice), 0)
	})
}

// Whoever asks for codes sees in their life nothing of what was sent: neither at once,
// nor the day after. Only who signs in with a mail is counted.
func TestDelayTellsNothingOfAStart(t *testing.T) {
	for _, admitted := range []bool{true, false} {
		run(t, func(t *testing.T, h *house) {
			h.config.MayReceive = func(a address.Address) bool { return a.Local() != "neverthere" && (admitted || a.Local() != "x") }
			h.reload()
			for i := range 4 { // one short of what makes a delay usual
				h.sender.failWith(&outbox.SendError{Fault: outbox.Deferred, Reason: "450 greylisted", Recipient: true})
				b := h.browser()
				b.begin(mustAddress(fmt.Sprintf("person%d@slow.example", i)))
				time.Sleep(6 * time.Minute)
				h.sender.failWith(nil)
				time.Sleep(time.Minute)
				want(t, b.answer(h.sender.code(t)).Verdict, event.Accepted)
			}
			delay := func() time.Duration { return h.core.Delivery().Delay(mustAddress("neverthere@slow.example")) }
			for range 3 {
				time.Sleep(24 * time.Hour)
				want(t, delay(), 0)
				h.sender.failWith(&outbox.SendError{Fault: outbox.Deferred, Reason: "450 greylisted", Recipient: true})
				h.browser().begin(mustAddress("x@slow.example"))
				time.Sleep(6 * time.Minute)
				h.sender.failWith(nil)
				time.Sleep(10 * time.Minute)
				want(t, delay(), 0)
			}
		})
	}
}

// A bounce holds what unknown browsers ask for at gates. Apps get their mails out: a
// client of an API shows no browser by which its person is known again.
func TestABounceHoldsNoMailOfApps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		h.browser().begin(alice)
		synctest.Wait()
		sent := h.sender.last(t)
		time.Sleep(2 * time.Minute)
		taken, err := h.core.Delivery().Take(t.Context(), delivery.Report{From: "mailgun", Token: "one", MessageID: sent.MessageID, Recipient: alice, Outcome: challenge.OutcomeBounced, Hard: true})
		want(t, err, nil)
		want(t, taken, delivery.Noted)
		h.browser().begin(alice)
		synctest.Wait()
		want(t, h.attempts(alice)[0].Outcome, challenge.OutcomeHeld)
		want(t, h.sender.count(), 1)
		for i, in := range []apps.Ask{CodeFor(alice), linkFor(alice)} {
			want(t, h.askLater(in, 2*time.Minute).Verdict, event.Accepted)
			synctest.Wait()
			want(t, h.sender.count(), 2+i)
		}
	})
}
