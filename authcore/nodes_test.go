package authcore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// newNode is a house that shares its store, in a database, with others.
func newNode(t testing.TB, dsn string) *house { return newNodeWith(t, dsn, pgstore.Options{}) }

func newNodeWith(t testing.TB, dsn string, o pgstore.Options, senders ...outbox.Sender) *house {
	engine, err := pgstore.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	h.mu.Lock()
	h.clock = engine.Now
	h.mu.Unlock()
	if len(senders) > 0 {
		h.config.Senders = senders
	}
	h.reopenOn(engine)
	t.Cleanup(func() {
		h.close()
		engine.Close()
	})
	return h
}

// soon waits for what other nodes bring about within two seconds; a busy machine is
// given more.
func soon(t testing.TB, what string, is func() bool) {
	t.Helper()
	within(t, 10*time.Second, what, is)
}

func within(t testing.TB, d time.Duration, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// waitMail waits for the n-th mail of a node and returns it.
func (h *house) waitMail(n int) outbox.Message {
	h.t.Helper()
	within(h.t, 20*time.Second, "a mail", func() bool { return h.sender.count() >= n })
	h.sender.mu.Lock()
	defer h.sender.mu.Unlock()
	return h.sender.sent[n-1]
}

// at is the same browser at another node.
func (b *tab) atNode(h *house) *tab { return &tab{h, b.Browser} }

// A sign-in begins at one node and ends at another; what ends at one has ended at all.
func TestTwoNodes(t *testing.T) {
	dsn := pgtest.Database(t)
	one, two := newNode(t, dsn), newNode(t, dsn)
	live := func(h *house, token string) bool {
		found, err := h.service.Sessions().Check(t.Context(), token, site)
		if err != nil {
			t.Error(err)
		}
		return found != nil
	}
	b := one.browser()
	want(t, b.begin(alice).Verdict, event.Accepted)
	mail := one.waitMail(1)
	if again := two.browser().begin(alice); again.Verdict != event.Limited {
		t.Errorf("a second start for the address at the other node: %v", again.Verdict)
	}
	c := b.atNode(two)
	want(t, c.answer(wrong(mail.Code)).Verdict, event.Wrong)
	want(t, b.answer(wrong(mail.Code)).TriesLeft, 3)
	in := c.answer(mail.Code)
	want(t, in.Verdict, event.Accepted)
	want(t, b.answer(mail.Code).Verdict, event.Used)
	token := in.SignIn.Token
	soon(t, "the session counts at both nodes", func() bool { return live(one, token) && live(two, token) })

	found, err := one.service.Sessions().Check(t.Context(), token, site)
	if err != nil || found == nil {
		t.Fatal(err)
	}
	cut := make(chan bool, 1)
	st := &session.Stream{Session: found, Target: session.Target{Origin: site}, Cutter: cutFunc(func() { cut <- true })}
	one.core.Sessions().Watch(st)
	defer one.core.Sessions().Unwatch(st)
	// Who passed without a session is met by each ending that is heard of, and goes on.
	trusted := &session.Stream{Client: b.Client, Target: session.Target{Origin: site}, Cutter: cutFunc(func() { t.Error("an ending cut who has no session") })}
	one.core.Sessions().Watch(trusted)
	defer one.core.Sessions().Unwatch(trusted)
	began := time.Now()
	if ended, err := two.core.Sessions().End(t.Context(), in.SignIn.Session.ID, session.SignedOut); err != nil || !ended {
		t.Fatal(ended, err)
	}
	soon(t, "an ending at one node is one at the other", func() bool { return !live(one, token) })
	select {
	case <-cut:
	case <-time.After(5 * time.Second):
		t.Error("the answer under way at the other node is not cut")
	}
	t.Logf("the ending took %v", time.Since(began))

	// Who signs in again at one node leaves nothing at the other.
	device := c.Device
	d := &tab{one, session.Browser{Origin: site, Client: b.Client, Device: device}}
	want(t, d.begin(alice).Verdict, event.Accepted)
	again := d.answer(one.waitMail(2).Code)
	want(t, again.Verdict, event.Accepted)
	soon(t, "the new session counts at the other node", func() bool { return live(two, again.SignIn.Token) })

	// New keys are known everywhere, and old ones that were revoked nowhere.
	if _, err := two.core.Keys().Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	soon(t, "the new key is known", func() bool { return len(one.core.Keys().Status()) == len(two.core.Keys().Status()) })
	if _, err := two.core.Keys().Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	soon(t, "revoked keys verify nothing", func() bool { return !live(one, again.SignIn.Token) })
}

// What a database is asked for, in round trips: a check of a session none, a start and
// an answer two, an ending one.
func TestRoundTripsToADatabase(t *testing.T) {
	var trips atomic.Int64
	h := newNodeWith(t, pgtest.Database(t), pgstore.Options{Trip: func(ctx context.Context) {
		if ctx.Value(countedCall{}) != nil {
			trips.Add(1)
		}
	}})
	h.config.Limits.PerRecipient = nil
	h.reload()
	ctx := context.WithValue(t.Context(), countedCall{}, true)
	takes := func(name string, want int64, call func() error) {
		t.Helper()
		trips.Store(0)
		if err := call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := trips.Load(); got != want {
			t.Errorf("%s takes %d round trips, want %d", name, got, want)
		}
	}
	is := func(v, want event.Verdict, err error) error {
		if err == nil && v != want {
			err = fmt.Errorf("%v, want %v", v, want)
		}
		return err
	}
	mails := 0
	begin := func(name string, b *tab, a address.Address) (mail outbox.Message) {
		t.Helper()
		takes(name, 2, func() error {
			out, err := h.service.Flows().Begin(ctx, b.Browser, authcore.Start{Address: a})
			b.Flow = out.FlowCookie
			return is(out.Verdict, event.Accepted, err)
		})
		mails++
		return h.waitMail(mails)
	}
	answer := func(name string, b *tab, code string, want event.Verdict) (out authcore.Answer) {
		t.Helper()
		takes(name, 2, func() (err error) {
			out, err = h.service.Flows().AnswerCode(ctx, b.Browser, "", code)
			return is(b.took(out, err).Verdict, want, err)
		})
		return out
	}
	b := h.browser()
	mail := begin("a start", b, alice)
	takes("the page for the code", 1, func() error { _, err := h.service.Flows().Flow(ctx, b.Browser, ""); return err })
	answer("a wrong code", b, wrong(mail.Code), event.Wrong)
	in := answer("a code", b, mail.Code, event.Accepted)
	check := func(name string, want int64, token string) {
		t.Helper()
		takes(name, want, func() error {
			found, err := h.service.Sessions().Check(ctx, token, site)
			if err == nil && found == nil {
				err = errors.New("refused")
			}
			return err
		})
	}
	check("a check", 0, in.SignIn.Token)
	h.reopen()
	check("the first check of a process", 1, in.SignIn.Token)
	check("the second", 0, in.SignIn.Token)
	mail = begin("a start of a known browser", b, alice)
	in = answer("a code, in place of a session", b, mail.Code, event.Accepted)
	begin("a start beside others", b, mustAddress("carol@example.com"))
	mail = begin("one more", b, alice)
	takes("a link", 2, func() error {
		out, err := h.service.Flows().AnswerLink(ctx, b.Browser, tokenOf(mail))
		in = b.took(out, err)
		return is(out.Verdict, event.Accepted, err)
	})
	takes("an ending", 1, func() error {
		ended, err := h.core.Sessions().End(ctx, in.SignIn.Session.ID, session.SignedOut)
		if err == nil && !ended {
			err = errors.New("there was none")
		}
		return err
	})
	takes("another wish for the mail", 2, func() error {
		out, err := h.service.Flows().Resend(ctx, b.Browser, "")
		return is(out.Verdict, event.Accepted, err)
	})
}

// Nodes that start at once on an empty database know each other's keys.
func TestNodesKnowTheirKeys(t *testing.T) {
	dsn := pgtest.Database(t)
	var all [3]*house
	var starting sync.WaitGroup
	for i := range all {
		starting.Go(func() { all[i] = newNode(t, dsn) })
	}
	starting.Wait()
	if t.Failed() {
		return
	}
	stored := func() int { return len(pgtest.Rows(t, dsn, "SELECT key FROM gatehouse_record WHERE key LIKE 'key/%'")) }
	soon(t, "all keys are known to all", func() bool {
		n := stored()
		return len(all[0].core.Keys().Status()) == n && len(all[1].core.Keys().Status()) == n && len(all[2].core.Keys().Status()) == n
	})
}
