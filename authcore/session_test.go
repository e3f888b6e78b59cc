package authcore_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

func TestSessionSurvivesARestartAndASecretRotation(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		signIn := b.signIn(alice)
		b.begin(mustAddress("bob@example.com"))
		mail := h.sender.last(t)
		h.secrets = keyring.Secrets{Current: secretOf(t, 'b'), Old: []keyring.Secret{h.secrets.Current}}
		h.reopen()
		sess, err := h.service.Sessions().Check(t.Context(), signIn.Token, site)
		want(t, err, nil)
		want(t, sess.Address, alice)
		bob := b.answer(mail.Code)
		want(t, bob.Verdict, event.Accepted)
		h.close()
		_, err = authcore.Open(t.Context(), h.store, keyring.Secrets{Current: secretOf(t, 'a')}, authcore.Options{})
		want(t, errors.Is(err, keyring.ErrWrongSecret), true)
		h.secrets.Old = nil // keys were wrapped anew
		h.open()
		sess, _ = h.service.Sessions().Check(t.Context(), bob.SignIn.Token, site)
		want(t, sess != nil, true)
	})
}

func TestEndedSessionIsRefusedAndCut(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		signIn := b.signIn(alice)
		var cut atomic.Bool
		stream := &session.Stream{Session: b.Session, Cutter: cutFunc(func() { cut.Store(true) })}
		h.core.Sessions().Watch(stream)
		defer h.core.Sessions().Unwatch(stream)
		ended, err := h.core.Sessions().End(t.Context(), b.Session.ID, session.SignedOut)
		want(t, err, nil)
		want(t, ended, true)
		want(t, cut.Load(), true)
		sess, _ := h.service.Sessions().Check(t.Context(), signIn.Token, site)
		want(t, sess, nil)
		h.reopen()
		sess, _ = h.service.Sessions().Check(t.Context(), signIn.Token, site)
		want(t, sess, nil)
	})
}

func TestStreamGoesOnUnderTheNextSession(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.signIn(alice)
		var cut atomic.Bool
		stream := &session.Stream{Session: b.Session, Cutter: cutFunc(func() { cut.Store(true) })}
		h.core.Sessions().Watch(stream)
		defer h.core.Sessions().Unwatch(stream)
		time.Sleep(2 * time.Minute)
		next := b.signIn(alice)
		time.Sleep(3 * time.Second)
		want(t, cut.Load(), false)
		h.core.Sessions().End(t.Context(), next.Session.ID, "revoked")
		want(t, cut.Load(), true)
	})
}

func TestIdleAndAbsoluteLimits(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		token := b.signIn(alice).Token
		check := func() bool {
			t.Helper()
			s, err := h.service.Sessions().Check(t.Context(), token, site)
			want(t, err, nil)
			return s != nil
		}
		for range 7 {
			time.Sleep(23*time.Hour + 50*time.Minute)
			want(t, check(), true)
			h.reopen() // the last use is in the store
		}
		time.Sleep(71 * time.Minute)
		want(t, check(), false) // a week is over, although it was in use
		b = h.browser()
		token = b.signIn(alice).Token
		time.Sleep(24*time.Hour + time.Second)
		want(t, check(), false)
	})
}

// With the store out of reach, a session goes on for a minute after its last
// successful read; after that nobody can tell.
func TestStoreUnreachable(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		broken := &breakable{Store: h.store}
		h.reopenOn(broken)
		b := h.browser()
		token := b.signIn(alice).Token
		broken.broken.Store(true)
		time.Sleep(59 * time.Second)
		s, err := h.service.Sessions().Check(t.Context(), token, site)
		want(t, err, nil)
		want(t, s != nil, true)
		time.Sleep(2 * time.Second)
		s, err = h.service.Sessions().Check(t.Context(), token, site)
		want(t, s, nil)
		want(t, err != nil, true)
		broken.broken.Store(false)
		s, err = h.service.Sessions().Check(t.Context(), token, site)
		want(t, err, nil)
		want(t, s != nil, true)
	})
}

type breakable struct {
	store.Store
	broken atomic.Bool
}

var errBroken = errors.New("disk on fire")

func (b *breakable) View(ctx context.Context, fn func(store.Tx) error) error {
	if b.broken.Load() {
		return errBroken
	}
	return b.Store.View(ctx, fn)
}

func (b *breakable) Update(ctx context.Context, fn func(store.Tx) error) error {
	if b.broken.Load() {
		return errBroken
	}
	return b.Store.Update(ctx, fn)
}

func TestKeysRotate(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		want(t, len(h.core.Keys().AllPublic().Keys), 1)
		first := h.core.Keys().AllPublic().Keys[0].KeyID
		time.Sleep(91 * 24 * time.Hour)
		want(t, len(h.core.Keys().AllPublic().Keys), 2)
		b := h.browser()
		token := b.signIn(alice).Token
		if strings.Contains(token, first) {
			t.Fatal("signed with the key that should rest")
		}
		h.reopen()
		s, err := h.service.Sessions().Check(t.Context(), token, site)
		want(t, err, nil)
		want(t, s != nil, true)
		time.Sleep(34 * 24 * time.Hour)
		want(t, len(h.core.Keys().AllPublic().Keys), 1)
		want(t, h.core.Keys().AllPublic().Keys[0].KeyID != first, true)
	})
}

func benchHouse(b *testing.B) *house {
	h := newHouse(b)
	h.config.Limits = limit.Limits{} // no rate at all: only the work is measured
	h.reopen()
	b.Cleanup(h.close)
	return h
}

// makeSession signs somebody in and returns the token.
func (h *house) makeSession(b *testing.B) string {
	t := h.browser()
	t.begin(alice)
	flow, err := h.service.Flows().Flow(b.Context(), t.Browser, "")
	if err != nil {
		b.Fatal(err)
	}
	out := t.answer(h.secrets.Current.CodeFor(flow.Challenge, 6))
	if out.SignIn == nil {
		b.Fatal(out.Verdict)
	}
	return out.SignIn.Token
}

type cutFunc func()

func (f cutFunc) Cut() { f() }
