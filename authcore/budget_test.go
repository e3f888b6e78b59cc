package authcore_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// from is a browser at an address.
func (h *house) from(addr string) *tab {
	b := h.browser()
	b.Client = netip.MustParseAddr(addr)
	return b
}

func someone(format string, i int) address.Address {
	return mustAddress(fmt.Sprintf(format+"@example.com", i))
}

// globalOf sets the limit on all mails, and widens the others.
func (h *house) globalOf(n int) {
	h.service.Close()
	wide := []limit.Rate{{Count: 100_000, Per: time.Minute}}
	h.config.Limits.PerClient, h.config.Limits.PerRecipient = wide, wide
	h.config.Limits.Global = []limit.Rate{{Count: n, Per: time.Minute}}
	h.service = h.core.Use(h.config)
}

// 700 starts from one /48 used up what all people together may have sent.
func TestOneNetworkDoesNotStopAll(t *testing.T) {
	for name, client := range map[string]func(i int) string{
		"IPv6": func(i int) string { return fmt.Sprintf("2001:db8:1:%x::1", i) },
		"IPv4": func(i int) string { return fmt.Sprintf("192.0.2.%d", i%256) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				h.globalOf(100)
				for i := range 300 {
					want(t, h.from(client(i)).begin(someone("flood%d", i)).Verdict, event.Accepted)
				}
				synctest.Wait()
				want(t, h.sender.count(), 10)
				want(t, h.from("198.51.100.7").begin(alice).Verdict, event.Accepted)
				synctest.Wait()
				want(t, h.sender.count(), 11)
				want(t, h.sender.last(t).To, alice)
				want(t, h.core.Status().MailWaiting <= 100, true)
				// It goes on at its own pace, and what is too old is given up.
				time.Sleep(time.Minute)
				synctest.Wait()
				want(t, h.sender.count(), 21)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				want(t, h.core.Status().MailWaiting, 0)
				want(t, h.sender.count(), 11+4*10)
			})
		})
	}
}

// Many networks together leave a fifth to browsers that have proved an address.
func TestKnownBrowsersKeepAFifth(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		known := h.browser()
		known.signIn(alice)
		h.globalOf(100)
		time.Sleep(2 * time.Minute)
		before := h.sender.count()
		for i := range 200 {
			want(t, h.from(fmt.Sprintf("10.0.%d.1", i)).begin(someone("flood%d", i)).Verdict, event.Accepted)
		}
		synctest.Wait()
		want(t, h.sender.count()-before, 80)
		want(t, known.begin(alice).Verdict, event.Accepted)
		synctest.Wait()
		want(t, h.sender.count()-before, 81)
		want(t, h.sender.last(t).To, alice)
	})
}

// A limit that is nearly used up, or quite, looks the same for whoever may sign
// in and whoever may not.
func TestGlobalTellsNothing(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.globalOf(2)
		for i := range 6 {
			for _, who := range []address.Address{someone("real%d", i), mustAddress(fmt.Sprintf("real%d@evil.test", i))} {
				b := h.from(fmt.Sprintf("10.0.%d.1", i))
				want(t, b.begin(who).Verdict, event.Accepted)
				time.Sleep(time.Second)
				want(t, b.resend().Verdict, event.Limited) // a minute must pass
			}
		}
		synctest.Wait()
		want(t, h.sender.count(), 2)
	})
}

// A mail that is held outlives a restart, is sent in its turn, and carries the
// code that is asked for.
func TestHeldMailSurvivesARestart(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.globalOf(1)
		h.from("10.0.0.1").begin(someone("first%d", 0))
		synctest.Wait()
		b := h.from("10.1.0.1")
		b.begin(alice)
		synctest.Wait()
		want(t, h.sender.count(), 1)
		h.reopen()
		synctest.Wait()
		want(t, h.sender.count(), 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		want(t, h.sender.count(), 2)
		want(t, b.answer(h.sender.code(t)).Verdict, event.Accepted)
	})
}

// A queue full of held mails refuses nobody.
func TestHeldMailsDoNotFillTheQueue(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.globalOf(5)
		for i := range 1500 {
			want(t, h.from(fmt.Sprintf("10.%d.%d.1", i/250, i%250)).begin(someone("flood%d", i)).Verdict, event.Accepted)
		}
		synctest.Wait()
		want(t, h.core.Status().MailWaiting <= 1000, true)
		known := h.from("198.51.100.7")
		want(t, known.begin(alice).Verdict, event.Accepted)
		want(t, h.from("198.51.100.8").begin(mal).Verdict, event.Accepted)
	})
}

// node is a store that several houses share.
type node struct {
	store.Store
	name string
	all  *atomic.Int32 // updates that wrote the counter of all mails
}

func (n node) Node() string                                                { return n.name }
func (n node) Gone(context.Context, string) (bool, error)                  { return false, nil }
func (n node) OnLost(func(context.Context, store.Store, store.Lost) error) {}

var _ store.Shared = node{}

func (n node) Update(ctx context.Context, fn func(store.Tx) error) error {
	tx := &globalTx{}
	err := n.Store.Update(ctx, func(inner store.Tx) error {
		*tx = globalTx{Tx: inner}
		return fn(tx)
	})
	if tx.wrote {
		n.all.Add(1)
	}
	return err
}

type globalTx struct {
	store.Tx
	wrote bool
}

func (t *globalTx) Put(key string, value []byte, expires time.Time) {
	t.wrote = t.wrote || key == store.KeyLimit+"global"
	t.Tx.Put(key, value, expires)
}

// Nodes that share a store give no more mails than one, but for a block of each; and
// they do not all write one record for each mail.
func TestNodesShareGlobal(t *testing.T) {
	for _, test := range []struct{ global, block, writes int }{
		{1000, 16, 250},
		{60, 0, 48}, // too few for blocks: exact
	} {
		synctest.Test(t, func(t *testing.T) {
			engine, writes := memstore.New(), &atomic.Int32{}
			var nodes [3]*house
			for i := range nodes {
				h := newHouse(t)
				h.reopenOn(node{engine, fmt.Sprint(i), writes})
				h.globalOf(test.global)
				nodes[i] = h
			}
			sent := func() (n int) {
				synctest.Wait()
				for _, h := range nodes {
					n += h.sender.count()
				}
				return n
			}
			for i := range test.global {
				b := nodes[i%3].browser()
				b.Client = netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
				want(t, b.begin(someone("p%d", i)).Verdict, event.Accepted)
				synctest.Wait()
			}
			most := test.global * 4 / 5
			if n := sent(); n > most+3*test.block || n < most-3*test.block {
				t.Errorf("of %d: %d sent", most, n)
			}
			if n := int(writes.Load()); n > test.writes {
				t.Errorf("of %d: the counter of all was written %d times", most, n)
			}
			time.Sleep(2 * time.Minute) // what was held follows
			if n := sent(); n != test.global {
				t.Errorf("of %d: %d sent in the end", test.global, n)
			}
			for _, h := range nodes {
				h.close()
			}
		})
	}
}
