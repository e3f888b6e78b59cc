package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// maxGroup bounds how long the first of a group waits for the last.
const maxGroup = 512

// group is updates that are committed together. One goroutine gives out turns
// in it, and whoever holds the turn has the group for itself.
type group struct {
	store *Store
	txn   *badger.Txn   // nil until the first turn
	bytes int64         // upper bound of what txn holds
	back  chan struct{} // the turn comes back
	done  chan struct{} // closed when err is final
	err   error         // of the commit, for all in the group
	parts int           // commits so far
}

// giveTurns lets the updates that wait run one after another, commits, and
// begins anew, until the store closes.
func (s *Store) giveTurns() {
	for {
		g := &group{store: s, back: make(chan struct{}), done: make(chan struct{})}
		select {
		case s.turns <- g:
			<-g.back
		case <-s.stop:
			return
		}
		for n := 1; n < maxGroup && g.parts == 0 && g.giveTurn(); n++ {
		}
		g.commit()
		g.end()
		close(g.done)
	}
}

// giveTurn gives the turn to an update that waits, if there is one. Those that
// the last commit woke are about to come back: it lets them get there.
func (g *group) giveTurn() bool {
	for range 2 {
		select {
		case g.store.turns <- g:
			<-g.back
			return true
		default:
			runtime.Gosched()
		}
	}
	return false
}

// run is one update's turn. It runs in the caller's goroutine, so that a panic
// or the end of that goroutine is the caller's, and only drops its own writes.
func (g *group) run(ctx context.Context, fn func(store.Tx) error) error {
	defer func() { g.back <- struct{}{} }()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := g.begin(); err != nil {
		return err
	}
	tx := &tx{reader: reader{txn: g.txn, now: g.store.now()}, writes: map[string]*write{}}
	if err := fn(tx); err != nil {
		return err
	}
	if tx.err != nil {
		return tx.err
	}
	return g.take(tx)
}

// begin opens the transaction, unless there is no room for what it may write
// or an earlier commit failed.
func (g *group) begin() error {
	if g.err != nil {
		return g.err
	}
	if g.txn != nil {
		return nil
	}
	if err := g.store.failed.Load(); err != nil {
		return *err
	}
	if err := g.store.room.ready(); err != nil {
		return err
	}
	g.txn = g.store.db.NewTransaction(true)
	return nil
}

// take adds one update's writes to the transaction, which Badger bounds. If
// they do not fit, those before go to disk first.
func (g *group) take(tx *tx) error {
	db := g.store.db
	most := db.MaxBatchSize() * 9 / 10
	size := tx.size()
	if size > most {
		return fmt.Errorf("badgerstore: an update of %d bytes: at most %d are possible", size, most)
	}
	if g.bytes+size > most {
		if g.commit(); g.err != nil {
			return g.err
		}
		g.txn = db.NewTransaction(true)
	}
	g.bytes += size
	for key, w := range tx.writes {
		if err := g.apply(key, w); err != nil {
			g.fail(err)
			return g.err
		}
	}
	return nil
}

func (g *group) apply(key string, w *write) error {
	if w.value == nil {
		return g.txn.Delete(dbKey(key))
	}
	e := badger.NewEntry(dbKey(key), w.value)
	e.ExpiresAt = garbageTime(w.expires, g.store.now())
	return g.txn.SetEntry(e)
}

// commit puts the transaction on disk.
func (g *group) commit() {
	if g.txn == nil || g.err != nil {
		return
	}
	err := g.txn.Commit()
	if err == nil {
		err = g.store.home.syncNames()
	}
	if err != nil {
		g.fail(err)
	}
	g.parts++
	g.bytes = 0
	g.end()
}

// end gives up the transaction if it is still open.
func (g *group) end() {
	if g.txn != nil {
		g.txn.Discard()
		g.txn = nil
	}
}

// fail ends the group with an error. After a failed sync the kernel may forget
// what it could not write and report the next sync as good, while the log has
// a hole that ends its replay: so no update is taken any more.
func (g *group) fail(err error) {
	g.err = fmt.Errorf("badgerstore: writing to %s failed: %w: see to the disk, then restart", g.store.dir, cause(err))
	if errors.Is(err, badger.ErrTxnTooBig) {
		return
	}
	if g.store.failed.CompareAndSwap(nil, &g.err) {
		g.store.log.Error("store refuses updates", "error", g.err)
	}
}
