package authcore_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Nothing of a deleted account's attempts is left: stored ones, more than fit a
// page, and those that were refused in memory.
func TestAttemptsOfADeletedAccount(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		wide := []limit.Rate{{Count: 1000, Per: time.Hour}}
		h.config.Limits.PerRecipient, h.config.Limits.PerClient, h.config.Limits.Global = wide, wide, wide
		h.reopen()
		sub := h.browser().signIn(alice).Session.Subject
		bob := mustAddress("bob@example.com")
		h.browser().begin(bob)
		for range 450 {
			h.browser().begin(alice)
		}
		_, err := h.service.Flows().Link(t.Context(), h.browser().Browser, tokenOf(h.sender.last(t)))
		want(t, err, nil)
		h.config.Limits.PerClient = []limit.Rate{{Count: 1, Per: time.Hour}}
		h.reload()
		for range 3 { // turned away
			h.browser().begin(alice)
		}
		attempts := func(a address.Address) []challenge.Attempt {
			all, err := h.core.History().Of(t.Context(), a, time.Time{}, 1000)
			want(t, err, nil)
			return all
		}
		want(t, len(attempts(alice)) > 450, true)
		gone, err := h.core.Apps().Delete(t.Context(), apps.Deletion{Subject: sub, Reason: "deleted_by_owner"})
		want(t, err, nil)
		want(t, gone.Verdict, event.Accepted)
		for range 2 {
			if left := attempts(alice); len(left) != 0 {
				t.Errorf("%d attempts are left, such as %+v", len(left), left[0])
			}
			want(t, len(attempts(bob)), 1)
			time.Sleep(65 * time.Second)
			h.reopen()
		}
	})
}

// failsAt is a store whose n-th Update from now fails.
type failsAt struct {
	store.Store
	n atomic.Int64
}

func (f *failsAt) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.n.Add(-1) == 0 {
		return errors.New("no room")
	}
	return f.Store.Update(ctx, fn)
}

// Wherever a deletion is cut short, the same call ends what it has left: streams
// too, which ask the store for nothing.
func TestDeletionThatIsCutShort(t *testing.T) {
	for n := range int64(3) {
		synctest.Test(t, func(t *testing.T) {
			all := newManyHeld(t)
			defer func() { all.close() }()
			store := &failsAt{Store: all.store}
			all.reopenOn(store)
			defer all.watch(allKinds...)()
			sub := all.portal.Session.Subject
			synctest.Wait()
			store.n.Store(n + 1)
			_, err := all.core.Apps().Delete(t.Context(), apps.Deletion{Subject: sub, Reason: "deleted_by_owner"})
			want(t, err != nil, true)
			store.n.Store(0)
			gone, err := all.core.Apps().Delete(t.Context(), apps.Deletion{Subject: sub, Reason: "deleted_by_owner"})
			want(t, err, nil)
			want(t, gone.Verdict, event.Accepted)
			time.Sleep(2 * time.Second)
			for _, kind := range []string{portalKind, siteKind, besideKind, machineKind} {
				want(t, all.request(kind), false)
				want(t, all.wasCut(kind), true)
				want(t, len(all.listed(kind)), 0)
			}
			attempts, err := all.core.History().Of(t.Context(), alice, time.Time{}, 100)
			want(t, err, nil)
			want(t, len(attempts), 0)
		})
	}
}

// The same for a person of an app, whose membership and sessions go together.
func TestDeletionOfAnAppsPersonThatIsCutShort(t *testing.T) {
	for n := range int64(3) {
		synctest.Test(t, func(t *testing.T) {
			w := newAppWorld(t)
			defer func() { w.close() }()
			store := &failsAt{Store: w.store}
			w.reopenOn(store)
			synctest.Wait()
			in := apps.Deletion{Realm: w.live, Subject: w.bob.Person.Subject, Reason: "person_deleted"}
			store.n.Store(n + 1)
			_, err := w.core.Apps().Delete(t.Context(), in)
			want(t, err != nil, true)
			store.n.Store(0)
			gone, err := w.core.Apps().Delete(t.Context(), in)
			want(t, err, nil)
			want(t, gone.Verdict, event.Accepted)
			w.noTrace(in.Subject)
			members, err := w.service.Organizations().Members(t.Context(), w.live, w.org.ID)
			want(t, err, nil)
			want(t, len(members), 1)
		})
	}
}

// Of two who delete an account at once one has deleted it.
func TestDeletingAnAccountTwiceAtOnce(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		between := &interrupted{Store: h.store}
		h.reopenOn(between)
		sub := h.browser().signIn(alice).Session.Subject
		synctest.Wait()
		in := apps.Deletion{Subject: sub, Reason: "deleted"}
		var first apps.Deleted
		between.once = func() { first, _ = h.core.Apps().Delete(t.Context(), in) }
		second, err := h.core.Apps().Delete(t.Context(), in)
		want(t, err, nil)
		want(t, second.Verdict, event.Unknown)
		want(t, first.Verdict, event.Accepted)
		want(t, len(h.reported(event.Deleted)), 1)
	})
}

// interrupted is a store on which something else happens once before an update.
type interrupted struct {
	store.Store
	once func()
}

func (i *interrupted) Update(ctx context.Context, fn func(store.Tx) error) error {
	if once := i.once; once != nil {
		i.once = nil
		once()
	}
	return i.Store.Update(ctx, fn)
}
