package authcore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// texts keeps text messages, or fails as told.
type texts struct {
	name string
	mu   sync.Mutex
	sent []outbox.Text
	fail error
}

func (s *texts) Name() string { return s.name }

func (s *texts) SendText(_ context.Context, t outbox.Text) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.sent = append(s.sent, t)
	return nil
}

func TestAppTextAndItsFallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &texts{name: "one", fail: &outbox.SendError{Fault: outbox.SenderDown}}, &texts{name: "two"}
		h, app := newAppHouse(t, first, second)
		defer h.close()
		number, err := address.ParsePhone("+15005550006")
		if err != nil {
			t.Fatal(err)
		}
		_, v, err := h.service.Apps().CreatePerson(t.Context(), app, h.caller(liveKey).Realm(), person.Draft{Emails: []address.Address{alice}})
		if err != nil || v != event.Accepted {
			t.Fatal(v, err)
		}
		own := linkFor(alice)
		own.Deliver = false
		h.prove(apps.Proof{Token: h.ask(own).Token})
		time.Sleep(time.Second)
		if _, v, err := h.service.Apps().UpdatePerson(t.Context(), h.caller(liveKey).Realm(), person.Whom{Email: alice}, person.Draft{Phones: []address.Phone{number}}); err != nil || v != event.Accepted {
			t.Fatal(v, err)
		}
		in := CodeFor(alice)
		in.PreferText = true
		asked := h.ask(in)
		synctest.Wait()
		if len(second.sent) != 1 || second.sent[0].To != number || second.sent[0].Code != asked.Code || h.sender.count() != 0 {
			t.Fatalf("the second sender got %d texts, mail %d", len(second.sent), h.sender.count())
		}
		if v := h.prove(apps.Proof{Slot: "code", Contact: asked.Contact.ID, Code: asked.Code}).Verdict; v != event.Accepted {
			t.Errorf("the code of a text: %v", v)
		}
		if all := h.core.Status().Texts; len(all) != 2 || !all[0].Down || all[1].Down || all[1].SentAt.IsZero() || all[0].Name != "one" {
			t.Errorf("the senders of texts are shown as %+v", all)
		}
		// Both down: new texts are refused, mail goes on.
		second.mu.Lock()
		second.fail = first.fail
		second.mu.Unlock()
		h.askLater(in, 11*time.Second)
		synctest.Wait()
		if out := h.askLater(in, 11*time.Second); out.Verdict != event.MailDown {
			t.Errorf("with all senders of texts down: %v", out.Verdict)
		}
		if out := h.ask(linkFor(mustAddress("bob@example.com"))); out.Verdict != event.Accepted {
			t.Errorf("mail while texts are down: %v", out.Verdict)
		}
		if m := h.sender.last(t); m.Link == "" {
			t.Error("no mail was sent")
		}
	})
}

func TestAppTextsSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &texts{name: "one", fail: errors.New("down")}
		h, _ := newAppHouse(t, s)
		defer func() { h.close() }()
		number, _ := address.ParsePhone("+15005550006")
		in := CodeFor(alice)
		in.Whom = person.Whom{Phone: number}
		asked := h.ask(in)
		synctest.Wait()
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		h.reopen()
		synctest.Wait()
		if len(s.sent) != 1 || s.sent[0].Code != asked.Code {
			t.Fatalf("after a restart %d texts were sent", len(s.sent))
		}
	})
}
