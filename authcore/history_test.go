package authcore_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// outcomes returns what became of the attempts of the last day, the newest
// first.
func (h *house) outcomes(a address.Address) []challenge.Outcome {
	h.t.Helper()
	var all []challenge.Outcome
	for _, attempt := range h.attempts(a) {
		all = append(all, attempt.Outcome)
	}
	return all
}

func (h *house) attempts(a address.Address) []challenge.Attempt {
	h.t.Helper()
	synctest.Wait()
	all, err := h.core.History().Of(h.t.Context(), a, h.service.Now().Add(-24*time.Hour), 100)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func steps(a challenge.Attempt) []challenge.Outcome {
	var all []challenge.Outcome
	for _, step := range a.Steps {
		all = append(all, step.Outcome)
	}
	return all
}

func wantAll[T comparable](t testing.TB, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestHistoryOfASignIn(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		mail := h.sender.last(t)
		b.answer(wrong(mail.Code))
		b.answer(wrong(mail.Code))
		time.Sleep(time.Second)
		for range 3 { // scanners open links again and again
			_, err := h.service.Flows().Link(t.Context(), h.browser().Browser, tokenOf(mail))
			want(t, err, nil)
		}
		time.Sleep(time.Second)
		out := b.answer(mail.Code)
		all := h.attempts(alice)
		want(t, len(all), 1)
		a := all[0]
		want(t, a.Outcome, challenge.OutcomeUsed)
		want(t, a.Sender, "recorder")
		want(t, a.Session, out.SignIn.Session.ID)
		want(t, a.Method, "code")
		want(t, a.Origin, site)
		want(t, a.Agent, "Test/1")
		want(t, a.Network, "192.0.2.0/24")
		wantAll(t, steps(a), challenge.OutcomeQueued, challenge.OutcomeAccepted, challenge.OutcomeWrongCode,
			challenge.OutcomeLinkOpened, challenge.OutcomeUsed)
		want(t, a.Steps[2].Count, 2)
	})
}

// What becomes of a mail is on disk when that it is sent is, whatever stops the
// process then, and a link costs one write however often scanners open it.
func TestHistoryIsOnDiskAtOnce(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		counted := &counting{Store: h.store}
		h.reopenOn(counted)
		written := func(what challenge.Outcome) int {
			synctest.Wait()
			n := 0
			for key, value := range h.contents() {
				if strings.HasPrefix(key, "history/") {
					n += strings.Count(value, `"`+string(what)+`"`)
				}
			}
			return n
		}
		b := h.browser()
		b.begin(alice)
		want(t, written(challenge.OutcomeAccepted), 1)
		mail := h.sender.last(t)
		counted.reset()
		for range 3 {
			_, err := h.service.Flows().Link(t.Context(), h.browser().Browser, tokenOf(mail))
			want(t, err, nil)
		}
		want(t, counted.updates, 1)
		want(t, written(challenge.OutcomeLinkOpened), 1)
		time.Sleep(time.Minute)
		b.resend()
		want(t, written(challenge.OutcomeAccepted), 2)
		wantAll(t, steps(h.attempts(alice)[0]), challenge.OutcomeQueued, challenge.OutcomeAccepted, challenge.OutcomeLinkOpened,
			challenge.OutcomeQueued, challenge.OutcomeAccepted)
		b.answer(h.sender.code(t))
		want(t, written(challenge.OutcomeUsed), 1)
	})
}

// The page of a link is shown also where nothing can be written.
func TestLinkIsShownWithoutItsHistory(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		full := &unwritable{Store: h.store}
		h.reopenOn(full)
		b := h.browser()
		b.begin(alice)
		mail := h.sender.last(t)
		full.is.Store(true)
		view, err := h.service.Flows().Link(t.Context(), b.Browser, tokenOf(mail))
		want(t, err, nil)
		want(t, view.Verdict, event.Accepted)
		full.is.Store(false)
	})
}

// unwritable is a store that takes no writes while is is set.
type unwritable struct {
	store.Store
	is atomic.Bool
}

func (u *unwritable) Update(ctx context.Context, fn func(store.Tx) error) error {
	if u.is.Load() {
		return store.ErrFull
	}
	return u.Store.Update(ctx, fn)
}

// Behind a Unix socket nobody knows a client's address.
func TestUnknownNetworkIsNotNamed(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.Client = netip.Addr{}
		b.signIn(alice)
		want(t, h.attempts(alice)[0].Network, "")
		for key, value := range h.contents() {
			if strings.Contains(value, "invalid") {
				t.Errorf("%s: %s", key, value)
			}
		}
	})
}

func TestHistoryOfWhatWasNotSent(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.browser().begin(mal)
		h.browser().begin(mal)
		wantAll(t, h.outcomes(mal), challenge.OutcomeLimited, challenge.OutcomeNotAllowed)
		h.sender.failWith(&outbox.SendError{Fault: outbox.Rejected, Reason: "550 no such user"})
		h.browser().begin(alice)
		wantAll(t, h.outcomes(alice), challenge.OutcomeRejected)
		want(t, h.attempts(alice)[0].Detail, "550 no such user")
	})
}

func TestHistoryOfAMailThatWaits(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.sender.failWith(&outbox.SendError{Fault: outbox.Deferred, Reason: "450 later"})
		b := h.browser()
		b.begin(alice)
		wantAll(t, h.outcomes(alice), challenge.OutcomeDeferred)
		time.Sleep(time.Minute)
		a := h.attempts(alice)[0]
		wantAll(t, steps(a), challenge.OutcomeQueued, challenge.OutcomeDeferred)
		if a.Steps[1].Count < 3 {
			t.Fatalf("deferred %d times in a minute", a.Steps[1].Count)
		}
		h.sender.failWith(nil)
		time.Sleep(time.Minute)
		wantAll(t, h.outcomes(alice), challenge.OutcomeAccepted)
		time.Sleep(10 * time.Minute)
		wantAll(t, h.outcomes(alice), challenge.OutcomeExpired)
	})
}

func TestHistoryOfMailDown(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.sender.failWith(&outbox.SendError{Fault: outbox.SenderDown, Reason: "connection refused"})
		h.browser().begin(alice)
		time.Sleep(time.Second)
		h.browser().begin(alice)
		wantAll(t, h.outcomes(alice), challenge.OutcomeMailDown, challenge.OutcomeDeferred)
		status := h.core.Status()
		want(t, status.MailDown, true)
		want(t, status.MailWaiting, 1)
		want(t, status.Senders[0].Down, true)
		want(t, status.Senders[0].Reason, "sender_down: connection refused")
	})
}

func TestHistoryOfTooManyWrongCodes(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		code := h.sender.code(t)
		for range 5 {
			b.answer(wrong(code))
		}
		wantAll(t, h.outcomes(alice), challenge.OutcomeLocked)
		// Guessing at an address that may not sign in never looks like a mail.
		b.begin(mal)
		b.answer(code)
		wantAll(t, h.outcomes(mal), challenge.OutcomeNotAllowed)
	})
}

// Whoever types addresses of others must not fill the store for a month.
func TestHistoryIsKeptLongerForPeople(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.browser().signIn(alice)
		bob := mustAddress("bob@example.com")
		h.browser().begin(bob)
		h.browser().begin(mal)
		time.Sleep(26 * time.Hour)
		since := h.service.Now().Add(-30 * 24 * time.Hour)
		for _, one := range []struct {
			address address.Address
			want    int
		}{{alice, 1}, {bob, 0}, {mal, 0}} {
			all, err := h.core.History().Of(t.Context(), one.address, since, 100)
			want(t, err, nil)
			want(t, len(all), one.want)
		}
		time.Sleep(30 * 24 * time.Hour)
		all, _ := h.core.History().Of(t.Context(), alice, since, 100)
		want(t, len(all), 0)
	})
}

func TestHistoryIsBounded(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		second := &recorder{name: "second"} // each failure differs from the one before it
		h.config.Senders = append(h.config.Senders, second)
		h.reopen()
		for _, sender := range []*recorder{h.sender, second} {
			sender.failWith(&outbox.SendError{Fault: outbox.Deferred, Reason: "450 later"})
		}
		b := h.browser()
		b.begin(alice)
		time.Sleep(9 * time.Minute)
		a := h.attempts(alice)[0]
		want(t, len(a.Steps), 16)
		want(t, a.Steps[0].Outcome, challenge.OutcomeQueued)
		want(t, a.Steps[15].Sender, "second")
	})
}

func TestEventsOfEndingsNameTheChallenge(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		signIn := h.browser().signIn(alice)
		h.core.Sessions().End(t.Context(), signIn.Session.ID, session.SignedOut)
		h.mu.Lock()
		defer h.mu.Unlock()
		var challenge string
		for _, e := range h.events {
			switch e.Name {
			case event.Begin:
				challenge = e.Challenge
			case event.MailSent, event.SignedIn, event.SignedOut:
				want(t, e.Challenge, challenge)
				want(t, e.Mark, h.secrets.Current.Mark(alice))
			}
		}
		if challenge == "" {
			t.Fatal("no event of the challenge")
		}
	})
}
