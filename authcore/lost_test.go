package authcore_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
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

// Who revoked the keys is gone when an older copy of the database comes: whoever is
// left has heard of it, and a node that starts afterwards knows it, too.
func TestRevokedStaysRevoked(t *testing.T) {
	for _, kind := range []string{"revoked", "revoked, seen before it is told", "revoked, then started again", "rotated", "rotated, then revoked"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Database(t)
			left := newNode(t, dsn)
			engine, err := pgstore.Open(t.Context(), dsn, pgstore.Options{})
			want(t, err, nil)
			dies := newHouse(t)
			dies.mu.Lock()
			dies.clock = engine.Now
			dies.mu.Unlock()
			dies.reopenOn(engine)
			before := left.signIn("before")
			_, stolen := left.core.Keys().Private()
			old := pgtest.Copy(t, dsn)

			rotate := func(revoke bool) string {
				t.Helper()
				out, err := dies.core.Keys().Rotate(t.Context(), revoke)
				want(t, err, nil)
				if kind == "revoked, seen before it is told" { // as by a token with the new key
					want(t, left.core.Keys().Reload(t.Context()), nil)
				}
				soon(t, "the other hears of the key", func() bool { _, id := left.core.Keys().Private(); return id == out.Key })
				return out.Key
			}
			var next string
			if strings.HasPrefix(kind, "rotated") {
				next = rotate(false)
			}
			revokes := kind != "rotated"
			if revokes {
				next = rotate(true)
				soon(t, "the other hears of the end of all sessions", func() bool { return !left.live(before, site) })
			}
			if kind == "revoked, then started again" { // by an upgrade, say
				left.close()
				want(t, left.store.Close(), nil)
				left = newNode(t, dsn)
			}
			after := left.signIn("after")
			dies.close()
			want(t, engine.Close(), nil)
			old.PutBack(t)

			within(t, 40*time.Second, "the keys are put back", func() bool {
				keys, err := store.View(t.Context(), left.store, func(tx store.Tx) (map[string]bool, error) {
					items, err := tx.Scan(store.KeySigning, "", 100)
					keys := map[string]bool{}
					for _, item := range items {
						var r keyring.KeyRecord
						if _, err := store.Decode(item.Key, item.Value, &r); err != nil {
							return nil, err
						}
						keys[r.ID] = !r.IsRevoked()
					}
					return keys, err
				})
				return err == nil && keys[next] && keys[stolen] != revokes
			})
			again := newNode(t, dsn)
			for name, h := range map[string]*house{"the one that is left": left, "a new one": again} {
				if h.live(before, site) == revokes || !h.live(after, site) {
					t.Errorf("%s: from before %v, from after %v", name, h.live(before, site), h.live(after, site))
				}
				if _, id := h.core.Keys().Private(); id != next || h.core.Keys().Has(keyring.KeyRecord{ID: stolen, Alg: "EdDSA"}) == revokes {
					t.Errorf("%s signs with %s and has %+v; wanted %s without %s", name, id, h.core.Keys().Status(), next, stolen)
				}
			}
			if token := again.signIn("last"); !left.live(token, site) {
				t.Error("nobody can sign in any more")
			}
		})
	}
}

// signIn signs somebody in by a code.
func (h *house) signIn(name string) (token string) {
	h.t.Helper()
	b, mails := h.browser(), h.sender.count()
	want(h.t, b.begin(mustAddress(name+"@example.com")).Verdict, event.Accepted)
	out := b.answer(h.waitMail(mails + 1).Code)
	want(h.t, out.Verdict, event.Accepted)
	return out.SignIn.Token
}

// A new secret wraps the keys anew; a node that did so, or has read it, does so again
// when that is lost, so that the old secret can go.
func TestKeysStayWrappedAnew(t *testing.T) {
	dsn := pgtest.Database(t)
	former := newNode(t, dsn)
	old := pgtest.Copy(t, dsn)
	both := keyring.Secrets{Current: secretOf(t, 'b'), Old: []keyring.Secret{secretOf(t, 'a')}}
	next := newNodeWith(t, dsn, pgstore.Options{}, func(h *house) { h.secrets = both })
	wraps := func() string {
		items, err := store.View(t.Context(), next.store, func(tx store.Tx) ([]store.Item, error) { return tx.Scan(store.KeySigning, "", 100) })
		if err != nil || len(items) != 1 {
			return fmt.Sprint(err, len(items))
		}
		var r keyring.KeyRecord
		if _, err := store.Decode(items[0].Key, items[0].Value, &r); err != nil {
			t.Fatal(err)
		}
		return r.Secret
	}
	want(t, wraps(), both.Current.ID())
	next.signIn("somebody")
	former.close()
	old.PutBack(t)
	within(t, 40*time.Second, "the key is wrapped with the new secret", func() bool { return wraps() == both.Current.ID() })
	newNodeWith(t, dsn, pgstore.Options{}, func(h *house) { h.secrets = keyring.Secrets{Current: secretOf(t, 'b')} })
}
