package authcore_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

func TestRecipientLimit(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		accepted := 0
		for range 30 {
			b := h.browser()
			if b.begin(alice).Verdict == event.Accepted {
				accepted++
			}
			time.Sleep(time.Minute)
		}
		want(t, accepted, 5) // an hour
		for range 48 {
			time.Sleep(30 * time.Minute)
			if h.browser().begin(alice).Verdict == event.Accepted {
				accepted++
			}
		}
		if accepted < 10 || accepted > 15 {
			t.Fatalf("%d mails in a day and a half", accepted)
		}
	})
}

func TestClientLimit(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		for i := range 301 {
			b := h.browser()
			b.Client = netip.MustParseAddr("2001:db8::1")
			got := b.begin(mustAddress("u" + strings.Repeat("x", i%50) + string(rune('a'+i/50)) + "@example.com")).Verdict
			if (got == event.Limited) != (i == 300) {
				t.Fatalf("start %d: %v", i, got)
			}
		}
		// Another address of the same /64 is the same client, another /64 is not.
		b := h.browser()
		b.Client = netip.MustParseAddr("2001:db8::ffff")
		want(t, b.begin(alice).Verdict, event.Limited)
		b.Client = netip.MustParseAddr("2001:db8:0:1::1")
		want(t, b.begin(alice).Verdict, event.Accepted)
	})
}

func TestMailDown(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.sender.failWith(&outbox.SendError{Fault: outbox.SenderDown, Reason: "connection refused"})
		b := h.browser()
		want(t, b.begin(alice).Verdict, event.Accepted) // the start that met the failure
		synctest.Wait()
		want(t, h.browser().begin(alice).Verdict, event.MailDown)
		want(t, h.browser().begin(mal).Verdict, event.MailDown)
		flow, _ := h.service.Flows().Flow(t.Context(), b.Browser, "")
		want(t, flow.MailDown, true)
		h.sender.failWith(nil)
		time.Sleep(31 * time.Second)
		want(t, h.sender.count(), 1)
		want(t, b.answer(h.sender.code(t)).Verdict, event.Accepted)
		want(t, h.browser().begin(mal).Verdict, event.Accepted)
	})
}

func TestRefusedRecipientIsNotMailDown(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.sender.failWith(&outbox.SendError{Fault: outbox.Rejected, Reason: "550 no such user"})
		h.browser().begin(alice)
		synctest.Wait()
		want(t, h.browser().begin(mustAddress("bob@example.com")).Verdict, event.Accepted)
		want(t, h.core.Status().MailWaiting <= 1, true)
	})
}

func TestMailSurvivesARestart(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.sender.failWith(&outbox.SendError{Fault: outbox.Deferred, Reason: "450 later"})
		b := h.browser()
		b.begin(alice)
		synctest.Wait()
		h.sender.failWith(nil)
		h.reopen()
		want(t, b.answer(h.sender.code(t)).Verdict, event.Accepted)
		want(t, h.sender.count(), 1)
		h.reopen()
		synctest.Wait()
		want(t, h.sender.count(), 1)
	})
}
