// Package badgerstore keeps a Gatehouse store on the local disk, with Badger.
//
//	store, err := badgerstore.Open(dir, badgerstore.Options{})
//
// Updates that wait at the same time are committed as one group, with one sync
// of the disk (group.go): each runs in its caller's goroutine, one after
// another, and sees what those before it wrote. So there are no conflicts to
// retry, and every acknowledged write is on disk.
//
// Records carry their expiry with them (record.go), judged by Options.Now;
// Badger's own expiry only collects garbage, and Collect makes it do so
// (collect.go).
//
// Badger writes through memory maps, where a full disk is not an error but a
// signal that ends the process. So files get their disk blocks before they are
// written (guard_linux.go), and updates are refused with store.ErrFull well
// before the disk is full (room.go).
//
// A directory that is in use, foreign, damaged or from a newer version is
// refused with what to do about it (home.go, tables.go); a store never starts
// empty where one has been. State of the process: the directory that it holds.
package badgerstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Options are what Open may be told; the zero value is safe.
type Options struct {
	// Logger gets Badger's warnings and what the store has to tell about its
	// disk; nil discards them. No key and no value is logged.
	Logger *slog.Logger

	// Now judges expiry; nil is time.Now.
	Now func() time.Time

	// ReserveBytes of the disk are left free for everyone else and for the
	// store's own compaction: with less, updates are refused with ErrFull.
	// 0 is DefaultReserve, or a tenth of a small disk.
	ReserveBytes int64

	// MaxBytes is the most that the directory may take on disk; above it,
	// updates are refused with ErrFull. It includes about 31 MB that an empty
	// store takes, most of it reserved ahead of writing. 0 is DefaultMax.
	MaxBytes int64
}

const (
	DefaultReserve = 64 << 20 // bytes; a round of compaction fits in
	DefaultMax     = 8 << 30  // bytes; about three million people who have just signed in
)

// Store is a store.Store in a directory. Make it with Open.
type Store struct {
	dir  string
	now  func() time.Time
	log  *slog.Logger
	db   *badger.DB
	home *home
	room *room

	turns  chan *group           // given out one at a time, see group.go
	stop   chan struct{}         // closed by Close, once no call is under way
	idle   sync.WaitGroup        // the store's own goroutines
	failed atomic.Pointer[error] // why updates are refused

	calls     store.Calls
	closeOnce sync.Once
	closeErr  error
}

// Open opens the store in dir, or makes one if dir is absent or empty. Only
// one process can have it open. dir becomes 0700 and its files 0600.
// A damaged store is refused, for which all of it is read.
func Open(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	h, err := openHome(dir)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: %w", err)
	}
	r := newRoom(h.dir, opts)
	db, err := openDB(h, r, opts.Logger)
	if err != nil {
		h.release()
		return nil, fmt.Errorf("badgerstore: %w", err)
	}
	s := &Store{
		dir: h.dir, now: opts.Now, log: opts.Logger, db: db, home: h, room: r,
		turns: make(chan *group), stop: make(chan struct{}),
	}
	s.idle.Go(s.giveTurns)
	s.idle.Go(s.collectSometimes)
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMax
	}
	return o
}

// View runs fn over a snapshot.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.End()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	return fn(&tx{reader: reader{txn: txn, now: s.now()}})
}

// Update runs fn in its turn and returns when what it wrote is on disk. A
// context that ends while Update waits for its turn ends the waiting; after
// that Update waits for the outcome. An fn may write about 500 KB; more is an
// error. After an I/O error, when nobody can tell what is on disk, every
// update is refused until the store is opened anew.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.End()
	select {
	case g := <-s.turns:
		err := g.run(ctx, fn)
		<-g.done
		return cmp.Or(err, g.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits for the calls under way and closes the directory. On a disk so
// full that Badger cannot tidy up, or one that takes no files any more, it gives
// up after a few seconds with an error: nothing acknowledged is lost that the
// disk still has, but the directory stays in use until the process ends.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.calls.Close()
		close(s.stop)
		s.idle.Wait()
		s.closeErr = s.closeDB()
	})
	return s.closeErr
}

func (s *Store) closeDB() error {
	s.room.dropBallast()
	s.room.unwritten.Store(false) // what failed once may have been written since
	done := make(chan error, 1)
	go func() { done <- s.db.Close() }()
	stuck := 0
	for {
		select {
		case err := <-done:
			s.room.close()
			s.home.release()
			if err != nil {
				return fmt.Errorf("badgerstore: closing %s: %w", s.dir, cause(err))
			}
			return nil
		case <-time.After(100 * time.Millisecond):
			full := s.room.stuck()
			if !full && !s.room.unwritten.Load() {
				stuck = 0
			} else if stuck++; stuck < 30 {
				continue
			} else if full {
				return fmt.Errorf("badgerstore: closing %s: %w: free some, then restart", s.dir, store.ErrFull)
			} else {
				return fmt.Errorf("badgerstore: closing %s: its last tables can't be written there: see to the disk, then restart", s.dir)
			}
		}
	}
}

// Health is what an operator wants to know of a store.
type Health struct {
	FreeBytes int64 // on the disk, for ordinary users
	SizeBytes int64 // that the directory takes on disk
	Err       error // why updates are refused; nil if they are not
}

// Health looks at the disk and tells how the store is.
func (s *Store) Health() Health {
	h := s.room.look()
	if err := s.failed.Load(); err != nil {
		h.Err = *err
	}
	return h
}

// cause strips what Badger wraps around an error: its text repeats keys, which
// may hold addresses.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
