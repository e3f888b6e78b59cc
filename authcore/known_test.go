package authcore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// knows tells whether the browser is known for a: it then gets mail that strangers
// get none of.
func (b *tab) knows(a address.Address) bool {
	b.h.t.Helper()
	b.h.mailFails()
	defer b.h.mailWorks()
	fresh := session.Browser{Origin: b.Origin, Client: b.Client, Device: b.Device}
	out, err := b.h.service.Flows().Begin(b.h.t.Context(), fresh, authcore.Start{Address: a})
	if err != nil || out.Reference == "" {
		b.h.t.Fatal(out, err)
	}
	admitted, err := b.h.service.Flows().Admit(b.h.t.Context(), out.Reference, a, false)
	if err != nil || admitted.Challenge == nil {
		b.h.t.Fatal(admitted, err)
	}
	return admitted.Challenge.Known
}

// mailFails has mail go down, by a start of somebody else.
func (h *house) mailFails() {
	h.t.Helper()
	h.sender.failWith(&outbox.SendError{Fault: outbox.SenderDown, Reason: "gone"})
	if !h.core.Status().MailDown {
		h.browser().begin(mustAddress(fmt.Sprintf("weather%d@example.com", h.now().UnixMilli())))
		time.Sleep(time.Second)
	}
}

// A browser that has proved an address is known by that, until the person takes it
// back.
func TestKnownUntilTakenBack(t *testing.T) {
	endAll := func(h *house, sub string, keep session.Kept) {
		_, err := h.core.Sessions().EndOthers(h.t.Context(), sub, keep, "ended_by_owner")
		want(h.t, err, nil)
	}
	for name, c := range map[string]struct {
		act func(h *house, owner, other *tab, mail outbox.Message, sub string)
		// whether the browser is known that does it, and another, which signed in
		// before that mail, and a third, which did with it
		owner, other, third bool
	}{
		"nothing": {func(*house, *tab, *tab, outbox.Message, string) {}, true, true, true},
		"not me":  {func(h *house, owner, _ *tab, m outbox.Message, _ string) { h.notMe(owner, m, alice) }, true, true, false},
		"end others": {func(h *house, owner, _ *tab, _ outbox.Message, sub string) {
			endAll(h, sub, session.Kept{Session: owner.Session.ID, Device: owner.Device})
		}, true, false, false},
		"end all": {func(h *house, _, _ *tab, _ outbox.Message, sub string) { endAll(h, sub, session.Kept{}) }, false, false, false},
		"both": {func(h *house, owner, other *tab, m outbox.Message, sub string) {
			endAll(h, sub, session.Kept{Session: owner.Session.ID, Device: owner.Device})
			time.Sleep(time.Minute)
			h.notMe(other, m, alice)
		}, true, false, false},
		"deleted, and new": {func(h *house, _, other *tab, _ outbox.Message, sub string) {
			if v, err := h.deletePerson(person.Realm{}, sub); v != event.Accepted || err != nil {
				h.t.Fatal(v, err)
			}
			time.Sleep(time.Minute)
			h.browser().signIn(alice)
		}, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				owner, other, third := h.browser(), h.browser(), h.browser()
				other.signIn(alice)
				time.Sleep(time.Hour)
				sub := owner.signIn(alice).Session.Subject
				time.Sleep(time.Hour)
				third.begin(alice)
				mail := h.sender.last(t)
				time.Sleep(time.Minute)
				want(t, third.answer(mail.Code).Verdict, event.Accepted)
				time.Sleep(time.Hour)
				c.act(h, owner, other, mail, sub)
				time.Sleep(time.Minute)
				want(t, owner.knows(alice), c.owner)
				want(t, other.knows(alice), c.other)
				want(t, third.knows(alice), c.third)
				time.Sleep(25 * time.Hour)
				want(t, third.knows(alice), c.third)
				// Who proves it again is known again.
				h.mailWorks()
				third.signIn(alice)
				want(t, third.knows(alice), true)
			})
		})
	}
}

func (h *house) mailWorks() {
	h.t.Helper()
	h.sender.failWith(nil)
	time.Sleep(time.Minute)
	if h.core.Status().MailDown {
		h.t.Fatal("mail is still down")
	}
}

// A code by word of mouth proves no mailbox: its browser stays as unknown as any,
// and its sign-in is never fresh.
func TestAdmittedProvesNoMailbox(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.browser().signIn(alice)
		time.Sleep(time.Hour)
		h.mailFails()
		for _, device := range []bool{false, true} {
			b := h.browser()
			if device {
				h.mailWorks()
				b.signIn(mustAddress("mallory@example.com"))
				h.mailFails()
			}
			before := b.Device
			out, err := h.service.Flows().Begin(t.Context(), b.Browser, authcore.Start{Address: alice})
			want(t, err, nil)
			b.Flow = out.FlowCookie
			admitted, err := h.service.Flows().Admit(t.Context(), out.Reference, alice, true)
			if err != nil || admitted.Code == "" {
				t.Fatal(admitted, err)
			}
			in := b.answer(admitted.Code)
			want(t, in.Verdict, event.Accepted)
			want(t, in.SignIn.DeviceCookie, "")
			want(t, h.service.Sessions().IsFresh(in.SignIn.Session, time.Hour), false)
			b.Device = before
			want(t, b.knows(alice), false)
			_, _, no := h.makeToken(in.SignIn.Session, machineAt(t, "one", "app.example.com"), time.Hour)
			want(t, no, session.NotFresh)
		}
		h.mailWorks()
		b := h.browser()
		want(t, h.service.Sessions().IsFresh(b.signIn(alice).Session, time.Hour), true)
	})
}
