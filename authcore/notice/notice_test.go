package notice_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/notice"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// node is one of those that share a store, which may be out of its reach.
type node struct {
	store.Store
	name string
	away atomic.Bool

	board         *notice.Board
	mu            sync.Mutex
	heard         []string
	missed, blind atomic.Int32
}

func (n *node) Node() string                                                { return n.name }
func (n *node) OnLost(func(context.Context, store.Store, store.Lost) error) {}

func (n *node) Gone(context.Context, string) (bool, error) { return false, nil }

func (n *node) View(ctx context.Context, fn func(store.Tx) error) error {
	if n.away.Load() {
		return errors.New("away")
	}
	return n.Store.View(ctx, fn)
}

func newNode(s store.Store, name string) *node {
	n := &node{Store: s, name: name}
	n.board = notice.New(notice.Config{
		Store: n, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Hear: func(_ context.Context, h notice.Notice) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.heard = append(n.heard, string(h.Kind)+" "+h.ID)
			return nil
		},
		Missed: func(context.Context) error { n.missed.Add(1); return nil },
		Blind:  func() { n.blind.Add(1) },
	})
	return n
}

func (n *node) tell(t *testing.T, kind notice.Kind, id string, commitAfter time.Duration) {
	t.Helper()
	var pending func(store.Tx) error
	if err := n.Store.View(t.Context(), func(store.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	rec := &recording{}
	if err := n.board.Tell(rec, kind, id); err != nil {
		t.Fatal(err)
	}
	pending = rec.replay
	time.Sleep(commitAfter)
	if err := n.Store.Update(t.Context(), pending); err != nil {
		t.Fatal(err)
	}
}

// recording keeps what is put, to be committed later.
type recording struct {
	store.Tx
	puts []func(store.Tx)
}

func (r *recording) Put(key string, value []byte, expires time.Time) {
	value = append([]byte(nil), value...)
	r.puts = append(r.puts, func(tx store.Tx) { tx.Put(key, value, expires) })
}

func (r *recording) replay(tx store.Tx) error {
	for _, put := range r.puts {
		put(tx)
	}
	return nil
}

func TestBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		one, two := newNode(shared, "one"), newNode(shared, "two")
		ctx, stop := context.WithCancel(t.Context())
		go one.board.Run(ctx)
		go two.board.Run(ctx)
		count := func(what string) (n int) {
			synctest.Wait()
			two.mu.Lock()
			defer two.mu.Unlock()
			for _, h := range two.heard {
				if h == what {
					n++
				}
			}
			return n
		}
		one.tell(t, notice.Ended, "a", 0)
		one.tell(t, notice.Keys, "", 0)
		time.Sleep(2 * time.Second)
		if count("ended a") == 0 || count("keys ") != 1 || len(one.heard) != 0 {
			t.Errorf("two heard %q, one %q", two.heard, one.heard)
		}
		// A session may come into memory just after the notice: endings are passed on again.
		time.Sleep(10 * time.Second)
		if count("ended a") < 5 || count("keys ") != 1 {
			t.Errorf("heard %d and %d times", count("ended a"), count("keys "))
		}
		// A transaction that takes long commits behind the back of later ones.
		one.tell(t, notice.Ended, "late", 15*time.Second)
		time.Sleep(2 * time.Second)
		if count("ended late") == 0 {
			t.Error("a late one is passed over")
		}
		// While the store is away nothing is heard, after a minute the node is blind.
		two.away.Store(true)
		one.tell(t, notice.Ended, "away", 0)
		time.Sleep(50 * time.Second)
		if synctest.Wait(); two.blind.Load() != 0 {
			t.Error("blind too early")
		}
		time.Sleep(15 * time.Second)
		if synctest.Wait(); two.blind.Load() != 1 {
			t.Errorf("blind %d times", two.blind.Load())
		}
		two.away.Store(false)
		time.Sleep(2 * time.Second)
		if count("ended away") == 0 || two.missed.Load() != 0 {
			t.Errorf("after a minute: %q, missed %d", two.heard, two.missed.Load())
		}
		two.away.Store(true)
		time.Sleep(11 * time.Minute)
		two.away.Store(false)
		time.Sleep(2 * time.Second)
		if synctest.Wait(); two.missed.Load() != 1 {
			t.Errorf("after eleven minutes: missed %d", two.missed.Load())
		}
		stop()
		synctest.Wait()
	})
}

// With a store of one's own nothing is told.
func TestAlone(t *testing.T) {
	s := memstore.New()
	b := notice.New(notice.Config{Store: s, Now: time.Now})
	rec := &recording{}
	if err := b.Tell(rec, notice.Ended, "a"); err != nil || len(rec.puts) != 0 {
		t.Errorf("told %d, %v", len(rec.puts), err)
	}
	b.Run(t.Context()) // returns
}
