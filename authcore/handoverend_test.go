package authcore_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

func TestEndingOneEndsAll(t *testing.T) {
	for name, end := range map[string]func(h *house, portal, child *session.Session) (bool, error){
		"the portal's": func(h *house, portal, _ *session.Session) (bool, error) {
			return h.core.Sessions().End(h.t.Context(), portal.ID, session.SignedOut)
		},
		"a site's": func(h *house, _, child *session.Session) (bool, error) {
			return h.core.Sessions().End(h.t.Context(), child.ID, "revoked")
		},
		"the person's": func(h *house, portal, _ *session.Session) (bool, error) {
			n, err := h.core.Sessions().EndPerson(h.t.Context(), portal.Subject, "revoked")
			return n == 3, err
		},
	} {
		for _, where := range []string{"in memory", "in the store"} {
			t.Run(name+" "+where, func(t *testing.T) {
				run(t, func(t *testing.T, h *house) {
					third := mustOrigin("https://third.test")
					h.config.Protects = func(origin.Origin) bool { return true }
					h.reopen()
					b, stranger := h.browser(), h.browser()
					portal := b.signIn(alice)
					_, one := b.handOver(other)
					_, two := b.handOver(third)
					bob := stranger.signIn(mustAddress("bob@example.com"))
					_, bobs := stranger.handOver(other)
					if where == "in the store" {
						h.reopen()
					}
					cut := make(chan string, 8)
					for name, s := range map[string]struct {
						*authcore.SignIn
						at origin.Origin
					}{"portal": {portal, site}, "one": {one, other}, "two": {two, third}, "bob": {bob, site}, "bobs": {bobs, other}} {
						sess, err := h.service.Sessions().Check(t.Context(), s.Token, s.at)
						want(t, err, nil)
						st := &session.Stream{Session: sess, Target: session.Target{Origin: s.at}, Cutter: cutFunc(func() { cut <- name })}
						h.core.Sessions().Watch(st)
						defer h.core.Sessions().Unwatch(st)
					}
					ended, err := end(h, portal.Session, one.Session)
					want(t, err, nil)
					want(t, ended, true)
					for token, at := range map[string]origin.Origin{portal.Token: site, one.Token: other, two.Token: third} {
						want(t, h.live(token, at), false)
					}
					want(t, h.live(bob.Token, site), true)
					want(t, h.live(bobs.Token, other), true)
					time.Sleep(2 * time.Second)
					synctest.Wait()
					want(t, len(cut), 3)
					ended, err = end(h, portal.Session, one.Session)
					want(t, err, nil)
					want(t, ended, false)
					h.reopen()
					want(t, h.live(two.Token, third), false)
				})
			})
		}
	}
}

func TestEndingHereLeavesTheRest(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		portal := b.signIn(alice)
		_, one := b.handOver(other)
		all, err := h.service.Sessions().SignIns(t.Context(), one.Session)
		want(t, err, nil)
		want(t, len(all), 2)
		want(t, all[0].ID, portal.Session.ID)
		want(t, all[1].Audience, other.String())
		ended, err := h.core.Sessions().EndHere(t.Context(), one.Session.ID, session.SignedOut)
		want(t, err, nil)
		want(t, ended, true)
		want(t, h.live(one.Token, other), false)
		want(t, h.live(portal.Token, site), true)
		all, _ = h.service.Sessions().SignIns(t.Context(), portal.Session)
		want(t, len(all), 1)
		// What has ended alone does not take the others along when it is ended again.
		ended, _ = h.core.Sessions().End(t.Context(), one.Session.ID, session.SignedOut)
		want(t, ended, false)
		want(t, h.live(portal.Token, site), true)
	})
}

// deafStore can be made to fail its reads.
type deafStore struct {
	store.Store
	deaf atomic.Bool
}

func (s *deafStore) View(ctx context.Context, fn func(store.Tx) error) error {
	if s.deaf.Load() {
		return store.ErrClosed
	}
	return s.Store.View(ctx, fn)
}

// What hangs on a session ends with it at once, also when the list of what does
// can't be read.
func TestEndingNeedsNoList(t *testing.T) {
	for _, streams := range []bool{false, true} {
		run(t, func(t *testing.T, h *house) {
			store := &deafStore{Store: h.store}
			h.reopenOn(store)
			b := h.browser()
			portal := b.signIn(alice)
			_, one := b.handOver(other)
			cut := make(chan bool, 1)
			if streams {
				st := &session.Stream{Session: one.Session, Target: session.Target{Origin: other}, Cutter: cutFunc(func() { cut <- true })}
				h.core.Sessions().Watch(st)
				defer h.core.Sessions().Unwatch(st)
			}
			store.deaf.Store(true)
			ended, err := h.core.Sessions().End(t.Context(), portal.Session.ID, session.SignedOut)
			want(t, err, nil)
			want(t, ended, true)
			if streams {
				<-cut
			}
			s, err := h.service.Sessions().Check(t.Context(), one.Token, other)
			want(t, err, nil)
			want(t, s, nil)
			store.deaf.Store(false)
			h.reopen()
			want(t, h.live(one.Token, other), false)
		})
	}
}
