package authcore_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

var livePeople = person.Realm{App: "shop"}

// Mail that still waits is not sent to an address that was removed.
func TestNoMailToARemovedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		h.sender.failWith(&outbox.SendError{Fault: outbox.SenderDown, Reason: "down"})
		asked := h.ask(linkFor(alice))
		want(t, asked.Verdict, event.Accepted)
		synctest.Wait()
		_, v, err := h.service.Apps().RemoveContact(t.Context(), livePeople, asked.Contact.ID)
		want(t, err, nil)
		want(t, v, event.Accepted)
		h.sender.failWith(nil)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		want(t, h.sender.count(), 0)
		want(t, h.core.Status().MailWaiting, 0)
	})
}

// A session ends with the last contact that it rests on, at once and for
// operators to see, and what was proved is what is reported.
func TestSessionEndsWithItsContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, app := newAppHouse(t)
		defer h.close()
		second := mustAddress("second@example.com")
		p := h.person(app, person.Draft{Emails: []address.Address{alice, second}})
		asked := h.ask(linkFor(second))
		proved := h.prove(apps.Proof{Token: asked.Token, Session: week})
		want(t, proved.Verdict, event.Accepted)
		want(t, proved.Contact.Address(), second)
		want(t, proved.Session.Address, second)
		for _, e := range append(h.reported(event.Begin), h.reported(event.SignedIn)...) {
			want(t, e.Address, second)
		}
		listed, err := h.core.Sessions().Of(t.Context(), p.Subject)
		want(t, err, nil)
		want(t, listed[0].Address, second)
		asked = h.ask(linkFor(alice))
		both := h.prove(apps.Proof{Token: asked.Token, Extend: proved.Session.ID})
		want(t, both.Session.ID, proved.Session.ID)
		moved := mustAddress("moved@example.com") // in the place of second, which was proved first
		q, v, err := h.service.Apps().UpdatePerson(t.Context(), livePeople, person.Whom{Subject: p.Subject}, person.Draft{Address: &moved})
		want(t, err, nil)
		want(t, v, event.Accepted)
		want(t, q.Address, moved)
		want(t, len(q.Emails), 2)
		if _, v, _ := h.service.Apps().Session(t.Context(), livePeople, apps.SessionRef{SID: proved.Session.ID}); v != event.Accepted {
			t.Errorf("it ends with an address that it does not rest on: %v", v)
		}
		if _, v, _ := h.service.Apps().UpdatePerson(t.Context(), livePeople, person.Whom{Subject: p.Subject}, person.Draft{Address: &alice}); v != event.Accepted {
			t.Error(v)
		}
		got, _, _ := h.service.Apps().Session(t.Context(), livePeople, apps.SessionRef{SID: proved.Session.ID})
		if got == nil || got.Address != alice || !got.Person.Emails[0].Verified {
			t.Errorf("an address that becomes the person's own is not what it was: %+v", got)
		}
		_, v, err = h.service.Apps().RemoveContact(t.Context(), livePeople, both.Contact.ID)
		want(t, err, nil)
		want(t, v, event.Accepted)
		if _, v, _ := h.service.Apps().Session(t.Context(), livePeople, apps.SessionRef{SID: proved.Session.ID}); v != event.Unknown {
			t.Errorf("the session goes on: %v", v)
		}
		ended := h.reported(event.Ended)
		want(t, len(ended), 1)
		want(t, ended[0].Reason, "contact_removed")
		want(t, ended[0].Session, proved.Session.ID)
		want(t, ended[0].Address, alice)
	})
}

// Who deletes an account ends what is under way to its address: codes and links
// of every browser, asked for before there was an account too.
func TestChallengesDieWithTheAccount(t *testing.T) {
	for name, answer := range map[string]func(b *tab, m outbox.Message) authcore.Answer{
		"code": func(b *tab, m outbox.Message) authcore.Answer { return b.answer(m.Code) },
		"link": func(b *tab, m outbox.Message) authcore.Answer { return b.link(tokenOf(m)) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				early := h.browser()
				early.begin(alice)
				before := h.sender.last(t)
				time.Sleep(time.Minute)
				who := h.browser()
				account := who.signIn(alice)
				time.Sleep(time.Minute)
				late := h.browser()
				late.Device = who.Device
				late.begin(alice)
				after := h.sender.last(t)
				gone, err := h.core.Apps().Delete(t.Context(), apps.Deletion{Subject: account.Session.Subject, Reason: "by_operator"})
				want(t, err, nil)
				want(t, gone.Verdict, event.Accepted)
				want(t, answer(early, before).Verdict, event.Locked)
				want(t, answer(late, after).Verdict, event.Locked)
				for key, value := range h.contents() {
					if strings.HasPrefix(key, "pause/") && strings.Contains(key+value, "alice") {
						t.Errorf("%s names who is gone: %s", key, value)
					}
				}
				// The browser asks again, and is somebody new.
				time.Sleep(time.Minute)
				want(t, late.resend().Verdict, event.Accepted)
				again := answer(late, h.sender.last(t))
				want(t, again.Verdict, event.Accepted)
				if again.SignIn.Session.Subject == account.Session.Subject {
					t.Error("the account that was deleted is back")
				}
			})
		})
	}
}

// "Not me" and a deletion forget nothing of each other, and a mail that waits is
// not sent for an account that was deleted meanwhile.
func TestDeletionAndNotMeTogether(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		owner := h.browser()
		account := owner.signIn(alice)
		time.Sleep(time.Minute)
		stranger := h.browser()
		stranger.begin(alice)
		bad := h.sender.last(t)
		time.Sleep(time.Second)
		want(t, h.notMe(owner, bad, alice), true)
		h.delete(account.Session.Subject)
		time.Sleep(2 * time.Minute)
		n := h.sender.count()
		want(t, h.browser().begin(alice).Verdict, event.Accepted)
		synctest.Wait()
		want(t, h.sender.count(), n) // the pause goes on
		want(t, stranger.answer(bad.Code).Verdict, event.Locked)
	})
	run(t, func(t *testing.T, h *house) {
		account := h.browser().signIn(alice)
		time.Sleep(time.Minute)
		late := h.browser()
		late.begin(alice)
		mail := h.sender.last(t)
		time.Sleep(time.Second)
		h.delete(account.Session.Subject)
		time.Sleep(time.Second)
		want(t, h.notMe(late, mail, alice), true) // spares this browser's own
		want(t, late.answer(mail.Code).Verdict, event.Locked)
	})
	run(t, func(t *testing.T, h *house) {
		account := h.browser().signIn(alice)
		time.Sleep(time.Minute)
		n := h.sender.count()
		h.sender.failWith(&outbox.SendError{Fault: outbox.SenderDown, Reason: "down"})
		want(t, h.browser().begin(alice).Verdict, event.Accepted)
		synctest.Wait()
		time.Sleep(time.Second)
		h.delete(account.Session.Subject)
		h.sender.failWith(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		want(t, h.sender.count(), n)
		want(t, h.core.Status().MailWaiting, 0)
	})
}

func (h *house) delete(sub string) {
	h.t.Helper()
	if gone, err := h.core.Apps().Delete(h.t.Context(), apps.Deletion{Subject: sub, Reason: "by_operator"}); err != nil || gone.Verdict != event.Accepted {
		h.t.Fatal(gone, err)
	}
}

// Nothing tells any more what somebody whose account was deleted did, nor what
// was done to them: not what was stored, nor what this process remembers.
func TestAttemptsGoWithTheAccount(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		account := h.browser().signIn(alice)
		other := h.browser()
		want(t, other.begin(alice).Verdict, event.Limited) // stored nothing
		time.Sleep(time.Minute)
		want(t, other.begin(alice).Verdict, event.Accepted)
		h.sender.last(t)
		want(t, other.answer("000000").Verdict, event.Wrong)
		since := time.Now().Add(-time.Hour)
		attempts, err := h.core.History().Of(t.Context(), alice, since, 10)
		want(t, err, nil)
		want(t, len(attempts), 3)
		h.delete(account.Session.Subject)
		want(t, other.answer("000000").Verdict, event.Locked)
		for _, reopen := range []bool{false, true} {
			if reopen {
				h.reopen()
			}
			attempts, err = h.core.History().Of(t.Context(), alice, since, 10)
			want(t, err, nil)
			want(t, len(attempts), 0)
		}
	})
}
