package authcore_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// notMe says in browser b, with the token of mail m, that a did not ask for it.
func (h *house) notMe(b *tab, m outbox.Message, a address.Address) bool {
	h.t.Helper()
	said, err := h.service.Flows().NotMe(h.t.Context(), b.Browser, m.HTML[strings.LastIndexByte(m.HTML, '/')+1:], a)
	if err != nil {
		h.t.Fatal(err)
	}
	return said
}

func TestNotMe(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		owner := h.browser()
		owner.signIn(alice)
		time.Sleep(time.Minute)
		attacker, accomplice := h.browser(), h.browser()
		attacker.begin(alice)
		bad := h.sender.last(t)
		time.Sleep(time.Minute)
		accomplice.begin(alice)
		worse := h.sender.last(t)
		time.Sleep(time.Minute)
		owner.begin(alice)
		own := h.sender.last(t)
		time.Sleep(time.Second)

		want(t, h.notMe(owner, bad, mal), false) // another address changes nothing
		want(t, attacker.answer(wrong(bad.Code)).Verdict, event.Wrong)
		want(t, h.notMe(owner, bad, alice), true)
		want(t, len(h.reported(event.NotMe)), 1)

		want(t, attacker.answer(bad.Code).Verdict, event.Locked)
		want(t, attacker.link(tokenOf(bad)).Verdict, event.Locked)
		want(t, accomplice.answer(worse.Code).Verdict, event.Locked)
		want(t, owner.answer(own.Code).Verdict, event.Accepted) // said so here
	})
}

// During the pause no mail is sent that an unknown browser asks for, however it
// asks, and it sees no difference; then mail is sent again.
func TestPauseAfterNotMe(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.config.Limits.PerRecipient = []limit.Rate{{Count: 1, Per: time.Minute}}
		h.reopen()
		known := h.browser()
		known.signIn(alice)
		time.Sleep(time.Minute)
		attacker := h.browser()
		attacker.begin(alice)
		time.Sleep(time.Minute)
		sayer := h.browser() // the person's, but not known: a phone, say
		sayer.begin(alice)
		mail := h.sender.last(t)
		time.Sleep(time.Second)
		want(t, h.notMe(sayer, mail, alice), true)
		began := time.Now()
		sent := h.sender.count()
		quiet := func(what string, verdict event.Verdict) {
			t.Helper()
			want(t, verdict, event.Accepted)
			synctest.Wait()
			if n := h.sender.count(); n != sent {
				t.Fatalf("%s: %d mails in the pause", what, n-sent)
			}
			time.Sleep(2 * time.Minute)
		}
		time.Sleep(2 * time.Minute)
		quiet("the live challenge of who said so", sayer.resend().Verdict)
		begun := h.reported(event.Begin) // nothing is queued, or counted as a mail, that could only be given up
		want(t, begun[len(begun)-1].Reason, string(challenge.OutcomePaused))
		quiet("one that died by it", attacker.resend().Verdict)
		quiet("the decoy in its place", attacker.resend().Verdict)
		stranger := h.browser()
		quiet("a new start", stranger.begin(alice).Verdict)

		time.Sleep(time.Hour)
		want(t, known.begin(alice).Verdict, event.Accepted)
		if h.sender.last(t); h.sender.count() != sent+1 {
			t.Error("a known browser gets no mail in the pause")
		}
		sent++
		time.Sleep(time.Until(began.Add(24*time.Hour - time.Second)))
		quiet("a moment before it ends", h.browser().begin(alice).Verdict)
		later := h.browser()
		want(t, later.begin(alice).Verdict, event.Accepted)
		if h.sender.last(t); h.sender.count() != sent+1 {
			t.Error("the pause never ends")
		}
		want(t, later.answer(h.sender.code(t)).Verdict, event.Accepted)
	})
}

// The pause ends by its own time, not with its record: that stays longer when
// the account is deleted in the pause.
func TestPauseEndsBeforeItsRecord(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		owner := h.browser()
		account := owner.signIn(alice)
		time.Sleep(time.Minute)
		h.browser().begin(alice)
		bad := h.sender.last(t)
		want(t, h.notMe(owner, bad, alice), true)
		began := time.Now()
		time.Sleep(23 * time.Hour)
		h.delete(account.Session.Subject)
		time.Sleep(30 * time.Minute)
		sent := h.sender.count()
		want(t, h.browser().begin(alice).Verdict, event.Accepted)
		synctest.Wait()
		want(t, h.sender.count(), sent)
		time.Sleep(time.Until(began.Add(24 * time.Hour)))
		late := h.browser()
		want(t, late.begin(alice).Verdict, event.Accepted)
		want(t, late.answer(h.sender.code(t)).Verdict, event.Accepted)
		want(t, h.sender.count(), sent+1)
	})
}
