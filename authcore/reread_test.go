package authcore_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// counted counts the Gets of Views, and fails one when it is told to.
type counted struct {
	store.Store
	gets atomic.Int64
	fail atomic.Int64 // how many Gets until one fails; 0 for none
}

type countedTx struct {
	store.Tx
	of *counted
}

func (c *counted) View(ctx context.Context, fn func(store.Tx) error) error {
	return c.Store.View(ctx, func(tx store.Tx) error { return fn(countedTx{tx, c}) })
}

func (t countedTx) Get(keys ...string) ([][]byte, error) {
	t.of.gets.Add(1)
	if t.of.fail.Load() > 0 && t.of.fail.Add(-1) == 0 {
		return nil, errors.New("gone for a moment")
	}
	return t.Tx.Get(keys...)
}

// rereads is a house with one session, and with a store that counts.
type rereads struct {
	*house
	counted *counted
	b       *tab
	signIn  *authcore.SignIn
}

func newRereads(h *house) *rereads {
	r := &rereads{house: h, counted: &counted{Store: h.store}}
	h.reopenOn(r.counted)
	r.b = h.browser()
	r.signIn = r.b.signIn(alice)
	return r
}

// use uses the session every second for a while, and returns it as it is then.
func (r *rereads) use(d time.Duration) (sess *session.Session) {
	r.t.Helper()
	for end := r.service.Now().Add(d); r.service.Now().Before(end); time.Sleep(time.Second) {
		var err error
		sess, err = r.service.Sessions().Check(r.t.Context(), r.signIn.Token, site)
		want(r.t, err, nil)
	}
	return sess
}

// change changes a record behind the core's back.
func (r *rereads) change(key, old, changed string) {
	r.t.Helper()
	err := r.store.Update(r.t.Context(), func(tx store.Tx) error {
		values, err := tx.Get(key)
		tx.Put(key, []byte(strings.Replace(string(values[0]), old, changed, 1)), time.Time{})
		return err
	})
	want(r.t, err, nil)
}

func (r *rereads) endRecord() {
	r.t.Helper()
	r.change("session/"+r.signIn.Session.ID, `"sub"`, `"ended_at":"2026-01-01T00:00:00Z","sub"`)
}

// A session's records are looked at again every half minute, whoever changed
// them, and whenever its own last use was written.
func TestRecordsAreReadAgain(t *testing.T) {
	for wait := 10 * time.Second; wait < 2*time.Minute; wait += 5 * time.Second {
		run(t, func(t *testing.T, h *house) {
			r := newRereads(h)
			r.use(wait)
			r.endRecord()
			want(t, r.use(31*time.Second), nil)
			r.signIn = r.b.signIn(alice)
			r.use(wait)
			r.change("person/"+r.signIn.Session.Subject, `"email"`, `"name":"Alice","email"`)
			want(t, r.use(31*time.Second).Name, "Alice")
		})
	}
}

// Records are read again every half minute and not more often.
func TestRecordsAreReadSeldom(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		r := newRereads(h)
		r.use(40 * time.Second)
		before := r.counted.gets.Load()
		r.use(10 * time.Minute)
		if n := r.counted.gets.Load() - before; n < 15 || n > 20 {
			t.Errorf("%d gets in ten minutes, want one every half minute, of session and person", n)
		}
	})
}

// A record that could not be read to its end is read again.
func TestFailedRereadIsMadeUpFor(t *testing.T) {
	for fails := range int64(4) {
		run(t, func(t *testing.T, h *house) {
			r := newRereads(h)
			r.use(40 * time.Second)
			r.endRecord()
			r.counted.fail.Store(fails)
			want(t, r.use(61*time.Second), nil)
		})
	}
}

// What other nodes tell of endings meets answers under way of every kind, and cuts
// those alone whose sessions are in the store: somebody of a trusted network has none.
func TestEndingsElsewhereMeetEveryAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		tell func(context.Context, *session.Core, *session.Session) error
		cuts bool
	}{
		"ended": {func(_ context.Context, all *session.Core, s *session.Session) error {
			all.HasEnded(s.ID, false)
			return nil
		}, true},
		"replaced": {func(_ context.Context, all *session.Core, s *session.Session) error {
			all.HasEnded(s.ID, true)
			return nil
		}, true},
		"nothing missed": {func(ctx context.Context, all *session.Core, _ *session.Session) error { return all.Recheck(ctx) }, false},
		"cannot tell":    {func(_ context.Context, all *session.Core, _ *session.Session) error { all.CutAll(); return nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				cut := map[string]int{}
				watch := func(kind string, s *session.Session) {
					st := &session.Stream{Session: s, Client: netip.MustParseAddr("192.168.1.7"), Target: session.Target{Origin: site}, Cutter: cutFunc(func() { cut[kind]++ })}
					h.core.Sessions().Watch(st)
				}
				signedIn := h.browser().signIn(alice).Session
				watch("trusted network", nil)
				watch("session", signedIn)
				watch("trusted network, the last", nil)
				want(t, c.tell(t.Context(), h.core.Sessions(), signedIn), nil)
				want(t, cut["session"], map[bool]int{true: 1}[c.cuts])
				want(t, cut["trusted network"]+cut["trusted network, the last"], 0)
			})
		})
	}
}
