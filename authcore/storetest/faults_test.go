package storetest

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// faults are the mistakes an engine may make, each with a test of the suite
// that has to fail for it.
var faults = []struct {
	name   string
	store  func(*kept) store.Store
	caught string
}{
	{"reads and writes are not one step", func(k *kept) store.Store { return splitUpdate{k} }, "100 concurrent counts lose nothing"},
	{"consuming is not atomic", func(k *kept) store.Store { return splitUpdate{k} }, "200 concurrent answers: one consumes"},
	{"firsts are not atomic", func(k *kept) store.Store { return splitUpdate{k} }, "200 concurrent firsts: one creates"},
	{"only written keys conflict", func(k *kept) store.Store { return splitUpdate{k} }, "two that read both and write one do not both pass"},
	{"a lost race reports an error", func(k *kept) store.Store { return &noRetry{kept: k} }, "200 concurrent tries: five are let through"},
	{"expiry is the engine's, by the second", func(k *kept) store.Store { return lateExpiry{k} }, "a record lives until its time and no longer"},
	{"writes are kept although fn failed", func(k *kept) store.Store { return keepsFailed{k} }, "an error keeps nothing"},
	{"failed updates spoil their group", func(k *kept) store.Store { return keepsFailed{k} }, "failing neighbours leave no trace"},
	{"a panic keeps its writes", func(k *kept) store.Store { return keepsFailed{k} }, "a panic keeps nothing"},
	{"errors are wrapped", func(k *kept) store.Store { return wrapsErrors{k} }, "an error keeps nothing"},
	{"Scan is unsorted", func(k *kept) store.Store { return txFault{k, unsorted} }, "Scan goes by key order and prefix"},
	{"Scan includes after", func(k *kept) store.Store { return txFault{k, scanIncludesAfter} }, "Scan pages"},
	{"Scan counts the dead", func(k *kept) store.Store { return txFault{k, scanCountsDead} }, "Scan passes over the dead"},
	{"Scan forgets the expiry", func(k *kept) store.Store { return txFault{k, scanForgetsExpiry} }, "Scan returns what was put"},
	{"own writes are not seen", func(k *kept) store.Store { return txFault{k, blindToOwn} }, "an Update sees its own writes"},
	{"long keys are cut", func(k *kept) store.Store { return txFault{k, cutsKeys} }, "keys of every kind are told apart"},
	{"keys are folded", func(k *kept) store.Store { return txFault{k, foldsKeys} }, "keys of every kind are told apart"},
	{"the limits are not checked", func(k *kept) store.Store { return txFault{k, dropsBad} }, "what breaks the limits is refused whole"},
	{"View is no snapshot", func(k *kept) store.Store { return liveView{k} }, "View is a snapshot"},
	{"the context is ignored", func(k *kept) store.Store { return deafStore{k} }, "a context that has ended runs nothing"},
	{"calls go on after Close", func(k *kept) store.Store { return &undead{kept: k} }, "a closed store refuses"},
	{"Close does not wait", func(k *kept) store.Store { return &hastyClose{kept: k} }, "Close waits for the update under way"},
	{"the last write is lost on reopening", func(k *kept) store.Store { k.losesLast = true; return k }, "everything is there after reopening"},
	{"expiry is lost on reopening", func(k *kept) store.Store { k.losesExpiry = true; return k }, "expiry goes on over reopening"},
}

func TestSuiteNoticesFaults(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			i := slices.IndexFunc(promises(), func(p promise) bool { return p.name == fault.caught })
			if i < 0 || passes(t, promises()[i], fault.store) {
				t.Errorf("%q does not notice", fault.caught)
			}
		})
	}
}

func TestSuitePassesWithoutFault(t *testing.T) {
	for _, p := range promises() {
		if !passes(t, p, func(k *kept) store.Store { return k }) {
			t.Errorf("%q fails without a fault", p.name)
		}
	}
}

// passes runs one test of the suite over a store with a fault.
func passes(t *testing.T, p promise, faulty func(*kept) store.Store) bool {
	engine := Engine{
		New: func(_ testing.TB, now func() time.Time) store.Store { return faulty(newKept(now, nil)) },
		Reopen: func(_ testing.TB, closed store.Store, now func() time.Time) store.Store {
			return faulty(newKept(now, diskOf(closed)))
		},
	}
	r := &recorder{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.test(newSubject(r, engine))
	}()
	<-ended
	return !r.Failed()
}

// recorder takes a test's failures without failing the real one.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed bool
}

func (r *recorder) Errorf(string, ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// kept is a memory store that can be reopened: Close takes a copy.
type kept struct {
	*memstore.Store
	now                    func() time.Time
	closing                sync.RWMutex
	disk                   *[]store.Item
	losesLast, losesExpiry bool
}

func (k *kept) itself() *kept { return k }

func diskOf(s store.Store) *[]store.Item { return s.(interface{ itself() *kept }).itself().disk }

func newKept(now func() time.Time, disk *[]store.Item) *kept {
	k := &kept{Store: memstore.New(memstore.WithNow(now)), now: now, disk: &[]store.Item{}}
	if disk == nil {
		return k
	}
	_ = k.Store.Update(background, func(tx store.Tx) error {
		for _, item := range *disk {
			tx.Put(item.Key, item.Value, item.Expires)
		}
		return nil
	})
	return k
}

func (k *kept) Update(ctx context.Context, fn func(store.Tx) error) error {
	k.closing.RLock()
	defer k.closing.RUnlock()
	return k.Store.Update(ctx, fn)
}

func (k *kept) Close() error {
	k.closing.Lock()
	defer k.closing.Unlock()
	_ = k.Store.View(background, func(tx store.Tx) error {
		items, err := tx.Scan("", "", 1e6)
		if k.losesLast && len(items) > 0 {
			items = items[:len(items)-1]
		}
		for i := range items {
			if k.losesExpiry {
				items[i].Expires = never
			}
		}
		*k.disk = items
		return err
	})
	return k.Store.Close()
}
