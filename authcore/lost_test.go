package authcore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// An older copy of the database comes under the same name, as after a failover to a
// replica that was behind: what nodes that are left have answered stays so.
func TestAnOlderCopyOfTheDatabase(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	one, two := newNode(t, dsn), newNode(t, dsn)
	for _, h := range []*house{one, two} {
		h.config.Limits.PerRecipient = nil
		h.config.Limits.Failures = []limit.Rate{{Count: 7, Per: 24 * time.Hour}}
		h.reload()
	}
	mailTo := func(name string, n int) string { // who answers late gets another mail
		t.Helper()
		var codes []string
		within(t, 20*time.Second, "a mail to "+name, func() bool {
			one.sender.mu.Lock()
			defer one.sender.mu.Unlock()
			codes = nil
			for _, m := range one.sender.sent {
				if m.To == mustAddress(name+"@example.com") {
					codes = append(codes, m.Code)
				}
			}
			return len(codes) >= n
		})
		return codes[n-1]
	}
	times := map[string]int{}
	begin := func(name string) (*tab, string) {
		t.Helper()
		b := one.browser()
		want(t, b.begin(mustAddress(name+"@example.com")).Verdict, event.Accepted)
		times[name]++
		return b, mailTo(name, times[name])
	}
	signIn := func(name string) string {
		t.Helper()
		b, code := begin(name)
		out := b.answer(code)
		want(t, out.Verdict, event.Accepted)
		return out.SignIn.Token
	}
	live := func(h *house, token string) bool {
		t.Helper()
		found, err := h.service.Sessions().Check(t.Context(), token, site)
		if err != nil {
			t.Error(err)
		}
		return found != nil
	}
	used, code := begin("used")
	waiting, waitingCode := begin("waiting")
	guessed, guessedCode := begin("guessed")
	stays, ends, endsThere := signIn("stays"), signIn("ends"), signIn("there")
	old := pgtest.Copy(t, dsn)

	want(t, used.answer(code).Verdict, event.Accepted)
	for range 4 {
		want(t, guessed.answer(wrong(guessedCode)).Verdict, event.Wrong)
	}
	late := signIn("late")
	for h, token := range map[*house]string{one: ends, two: endsThere} {
		found, err := h.service.Sessions().Check(t.Context(), token, site)
		if err != nil || found == nil {
			t.Fatal(found, err)
		}
		if ended, err := h.core.Sessions().End(t.Context(), found.ID, session.SignedOut); err != nil || !ended {
			t.Fatal(ended, err)
		}
	}
	soon(t, "both hear of the endings", func() bool { return !live(one, endsThere) && !live(two, ends) })
	old.PutBack(t)
	pgtest.Disconnect(t, dsn)

	// Whoever comes first, wherever, meets what was.
	var coming sync.WaitGroup
	verdicts := make([]event.Verdict, 6)
	for i := range verdicts {
		coming.Go(func() { verdicts[i] = used.atNode([]*house{one, two}[i%2]).answer(code).Verdict })
	}
	coming.Wait()
	for _, v := range verdicts {
		if v == event.Accepted {
			t.Errorf("a used code is good again: %v", verdicts)
		}
	}
	if v := waiting.answer(waitingCode).Verdict; v != event.Expired {
		t.Errorf("a code from before the gap: %v", v)
	}
	want(t, waiting.answer(mailTo("waiting", 2)).Verdict, event.Accepted)
	again := newNode(t, dsn) // that remembers nothing
	for _, h := range []*house{one, two, again} {
		if !live(h, stays) || !live(h, late) || live(h, ends) || live(h, endsThere) {
			t.Errorf("signed in before %v, in the gap %v, signed out in it %v %v", live(h, stays), live(h, late), live(h, ends), live(h, endsThere))
		}
	}
	next, nextCode := begin("guessed")
	for i := range 3 {
		if v := next.atNode(again).answer(wrong(nextCode)).Verdict; (v == event.Wrong) != (i < 2) {
			t.Errorf("wrong code %d after 4 of 7: %v", i+1, v)
		}
	}
	// And all goes on.
	for i := range 3 {
		if !live(again, signIn(fmt.Sprint("next", i))) {
			t.Error("nobody can sign in any more")
		}
	}
	want(t, one.core.Ping(t.Context()), nil)
}
