package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const (
	firstCollect = time.Hour      // after Open
	collectEvery = 24 * time.Hour // it rewrites the store
	collectAgain = 10 * time.Minute
)

// Badger drops dead records only while it merges tables. It merges a table
// when another on top of it overlaps with it, which may take for ever in a
// store that is not written to much. So Collect puts a table on top of all
// others, from a key before all records to a key behind them.
var (
	collectFirst = []byte{recordKey - 2}
	collectDrop  = []byte{recordKey - 1}
	collectLast  = []byte{recordKey + 1}
)

// Collect frees the space of records that have been replaced, deleted, or
// expired for an hour. It rewrites the tables, while updates wait at its
// beginning for some tenths of a second. The store does it by itself once a
// day, and when it is above Options.MaxBytes.
func (s *Store) Collect(ctx context.Context) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.End()
	h := s.room.look()
	if s.room.stuck() || h.FreeBytes < s.room.reserve+h.SizeBytes {
		return fmt.Errorf("badgerstore: collecting in %s: %w: it takes %d MB beside the reserve", s.dir, store.ErrFull, h.SizeBytes>>20)
	}
	select {
	case g := <-s.turns:
		err := g.cover()
		<-g.done
		if err != nil {
			return fmt.Errorf("badgerstore: collecting in %s: %w", s.dir, cause(err))
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.db.Flatten(1); err != nil {
		return fmt.Errorf("badgerstore: collecting in %s: %w", s.dir, cause(err))
	}
	return nil
}

// cover writes the table on top. DropPrefix flushes it to disk; the one key
// that it drops is there because it does nothing without one.
func (g *group) cover() error {
	defer func() { g.back <- struct{}{} }()
	if g.commit(); g.err != nil {
		return g.err
	}
	if err := g.begin(); err != nil {
		return err
	}
	g.end()
	txn := g.store.db.NewTransaction(true)
	defer txn.Discard()
	if err := txn.Delete(collectFirst); err != nil {
		return err
	}
	if err := txn.Set(collectDrop, nil); err != nil {
		return err
	}
	if err := txn.Delete(collectLast); err != nil {
		return err
	}
	if err := txn.Commit(); err != nil {
		return err
	}
	if err := g.store.db.DropPrefix(collectDrop); err != nil {
		return err
	}
	return g.store.home.syncNames()
}

// collectSometimes collects when it is time, until the store closes.
func (s *Store) collectSometimes() {
	timer := time.NewTimer(firstCollect)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-s.stop:
			return
		case <-timer.C:
		case <-s.room.bulky:
			if time.Since(last) < collectAgain {
				continue
			}
		}
		last = time.Now()
		timer.Reset(collectEvery)
		if err := s.Collect(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
			s.log.Warn("store could not collect garbage", "error", err)
		}
	}
}
