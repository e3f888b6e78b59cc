package authcore_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/badgerstore"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// The targets: a page of a million sessions within 50 ms, ending all sessions
// of one person among five million within 10 ms. Filling the store takes
// minutes:
//
//	go test -run - -bench Registry -benchtime 200x ./authcore
const (
	manySessions = 1_000_000
	mostSessions = 5_000_000
	perPerson    = 5
)

// crowd is an instance on disk with n sessions.
func crowd(b *testing.B, n int) *authcore.Core {
	b.Helper()
	dir := b.TempDir()
	fill(b, dir, n)
	core, _ := openAt(b, dir)
	for core.Status().CountedAt.IsZero() { // it reads all of them, beside what is measured
		time.Sleep(time.Second)
	}
	for range 120 { // compaction, which is not what is measured
		before := cpuTime()
		time.Sleep(time.Second)
		if cpuTime()-before < 20*time.Millisecond {
			break
		}
	}
	return core
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fill fills a store where syncing is free, if there is such a place, and puts
// it into dir.
func fill(b *testing.B, dir string, n int) {
	b.Helper()
	fast, err := os.MkdirTemp("/dev/shm", "gatehouse-bench-*") //nolint:usetesting // in memory
	if err != nil {
		fast = b.TempDir()
	}
	defer os.RemoveAll(fast)
	core, engine := openAt(b, fast)
	const batch = 60 // people
	for first := 0; first < n/perPerson; first += batch {
		err := engine.Update(b.Context(), func(tx store.Tx) error {
			for i := first; i < min(first+batch, n/perPerson); i++ {
				if err := authcore.PutPerson(tx, fmt.Sprintf("person%07d", i), perPerson, time.Now()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	core.Close()
	if err := engine.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(fast)); err != nil {
		b.Fatal(err)
	}
}

func openAt(b *testing.B, dir string) (*authcore.Core, store.Store) {
	b.Helper()
	store, err := badgerstore.Open(dir, badgerstore.Options{MaxBytes: 16 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	core, err := authcore.Open(b.Context(), store, keyring.Secrets{Current: secretOf(b, 'a')}, authcore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(core.Close)
	return core, store
}

// times are how long each run took.
type times []time.Duration

func (t *times) add(began time.Time) { *t = append(*t, time.Since(began)) }

// report adds what a mean hides.
func (t times) report(b *testing.B) {
	slices.Sort(t)
	for name, at := range map[string]int{"ms/median": len(t) / 2, "ms/p99": len(t) * 99 / 100, "ms/slowest": len(t) - 1} {
		b.ReportMetric(float64(t[at].Microseconds())/1000, name)
	}
}

func BenchmarkRegistryPage(b *testing.B) {
	core := crowd(b, manySessions)
	for _, limit := range []int{100, session.MaxPage} {
		b.Run(fmt.Sprintf("of=1M/limit=%d", limit), func(b *testing.B) { benchmarkPage(b, core, limit) })
	}
}

func benchmarkPage(b *testing.B, core *authcore.Core, limit int) {
	var took times
	for range b.N {
		began := time.Now()
		page, next, err := core.Sessions().List(b.Context(), fmt.Sprintf("%x", rand.Uint32()), limit)
		if err != nil || len(page) != limit && next != "" {
			b.Fatal(len(page), err)
		}
		took.add(began)
	}
	took.report(b)
}

func BenchmarkRegistryEndPerson(b *testing.B) {
	core := crowd(b, mostSessions)
	b.Run("of=5M", func(b *testing.B) { benchmarkEndPerson(b, core) })
}

func benchmarkEndPerson(b *testing.B, core *authcore.Core) {
	var took times
	for range b.N {
		sub := fmt.Sprintf("person%07d", rand.IntN(mostSessions/perPerson))
		began := time.Now()
		if _, err := core.Sessions().EndPerson(b.Context(), sub, "revoked"); err != nil {
			b.Fatal(err)
		}
		took.add(began)
	}
	took.report(b)
}

// BenchmarkRegistryCheck: the check of a session in the cache, and reading one
// that is not, must not get slower with the number of sessions in the store.
func BenchmarkRegistryCheck(b *testing.B) {
	for _, n := range []int{1_000, mostSessions} {
		core := crowd(b, n)
		b.Run(fmt.Sprintf("cached/of=%d", n), func(b *testing.B) { benchmarkCached(b, core) })
		b.Run(fmt.Sprintf("stored/of=%d", n), func(b *testing.B) { benchmarkStored(b, core) })
	}
}

func benchmarkCached(b *testing.B, core *authcore.Core) {
	h := &house{t: b, core: core, sender: &recorder{}, secrets: keyring.Secrets{Current: secretOf(b, 'a')}}
	h.config = newHouse(b).config
	h.config.Limits, h.config.Senders = limit.Limits{}, []outbox.Sender{h.sender}
	h.service = core.Use(h.config)
	defer h.service.Close()
	token := h.makeSession(b)
	b.ReportAllocs()
	for b.Loop() {
		if s, err := h.service.Sessions().Check(b.Context(), token, site); s == nil || err != nil {
			b.Fatal(s, err)
		}
	}
}

// benchmarkStored reads sessions all over the store.
func benchmarkStored(b *testing.B, core *authcore.Core) {
	var ids []string
	for range 50 {
		page, _, err := core.Sessions().List(b.Context(), fmt.Sprintf("%x", rand.Uint32()), 100)
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range page {
			ids = append(ids, s.ID)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := core.ReadSession(b.Context(), ids[rand.IntN(len(ids))]); err != nil {
			b.Fatal(err)
		}
	}
}
