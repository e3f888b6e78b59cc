package pgstore

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Options are what Open may be told; the zero value is safe.
type Options struct {
	// Logger gets what the store has to tell of its database; nil discards it. No
	// key and no value is logged.
	Logger *slog.Logger

	// Now judges expiry in the place of the database's clock, for tests.
	Now func() time.Time

	// Trip hears of each round trip to the database, with the context of the call that
	// waits for it; nil: nobody does.
	Trip func(context.Context)

	// Clock is this machine's, nil for time.Now. For tests of clocks that are off.
	Clock func() time.Time

	// Node names this process to those who ask which are alive.
	Node string
}

// Store is a store.Store in a database. Make it with Open.
type Store struct {
	dsn    *DSN
	pool   *pgxpool.Pool
	places *places
	log    *slog.Logger
	now    func() time.Time // nil: the database's clock
	here   func() time.Time // this machine's clock
	node   node

	trips   func(context.Context)
	behind  atomic.Int64 // nanoseconds that this machine's clock is behind the database's
	health  atomic.Pointer[Health]
	reads   together[*reading]
	commits together[*commitment]
	lines   lines
	recent  recent
	history history
	contact contact
	refused atomic.Pointer[refusal] // of a call, not long ago

	calls      store.Calls
	stop       context.CancelFunc
	background context.Context // until Close
	idle       sync.WaitGroup  // the store's own goroutines
	once       sync.Once
}

// Open opens the store in the database at dsn, and makes or migrates its tables.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Trip == nil {
		o.Trip = func(context.Context) {}
	}
	d, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	d.config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // a trip for nothing
	pool, err := pgxpool.NewWithConfig(ctx, d.config)
	if err != nil {
		return nil, err
	}
	s := &Store{dsn: d, pool: pool, places: newPlaces(d.config.MaxConns), log: o.Logger, trips: o.Trip, now: o.Now, here: o.Clock, node: newNode(o.Node)}
	s.reads.take, s.reads.run = takeReads, s.readAll
	s.commits.take, s.commits.run = takeCommits, s.commitAll
	s.background, s.stop = context.WithCancel(context.Background())
	if d.Clear {
		s.log.Warn("what is said to the database is not encrypted on its way: write sslmode=verify-full in its DSN", "database", d.Name)
	}
	within, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err = s.prepare(within); err == nil {
		err = s.probe(within)
	}
	if err != nil {
		s.stop()
		pool.Close()
		return nil, fmt.Errorf("the database at %s: %w", d.Name, explain(err))
	}
	s.idle.Go(func() { s.keepProbing(s.background) })
	s.idle.Go(func() { s.keepSweeping(s.background) })
	return s, nil
}

// Now is the time by the database's clock, which all nodes share.
func (s *Store) Now() time.Time {
	if s.now != nil {
		return s.now()
	}
	return s.here().Add(time.Duration(s.behind.Load()))
}

// at is what statements judge expiry by, nil for the database's clock.
func (s *Store) at() *time.Time {
	if s.now == nil {
		return nil
	}
	t := s.now().Truncate(time.Microsecond)
	return &t
}

// View runs fn over a snapshot.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	return s.run(ctx, viewing, func(t *tx) error { return fn(readOnly{t}) })
}

// Update runs fn over a snapshot and commits what it wrote if nothing that it read
// has changed since; else fn runs again. A context that ends while Update waits
// for a connection ends the waiting; a commit's outcome is always waited for.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.run(ctx, updating, func(t *tx) error { return fn(t) })
}

// kind is what a call is.
type kind int

const (
	viewing  kind = iota
	updating      // its first run may see what was read a moment ago, which its commit proves
	besideIt      // while all others wait for something lost to be put back
)

// run runs fn until it is done, the context ends, or patience does.
func (s *Store) run(ctx context.Context, as kind, fn func(*tx) error) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.End()
	turn := &turn{}
	defer func() { s.lines.leave(turn, !s.contact.isFailing()) }()
	began := time.Now()
	t := &tx{turn: turn, as: as, called: began, until: began.Add(longest), mayGuess: as == updating}
	for n := 0; ; {
		if as != besideIt {
			if s.contact.isSilent() {
				return errAway
			}
			if err := s.history.wait(ctx); err != nil {
				return err
			}
		}
		again, err := s.runOnce(ctx, t, fn)
		next := &tx{turn: turn, as: as, called: began, until: t.until, apart: t.apart}
		switch {
		case !again && t.guessed && (err != nil || len(t.writes) == 0):
			next.apart = true // to know what it decides by
		case !again:
			return err
		case !time.Now().Before(t.until):
			return err
		case t.moved:
			next.known = t.read
		default:
			s.lines.leave(turn, false)
			if n++; s.contact.isAway() || n >= 3 && time.Since(began) >= patience {
				return err
			}
			if err := pause(ctx, n); err != nil {
				return err
			}
		}
		t = next
	}
}

// pause waits for a moment before the n-th try after the first.
func pause(ctx context.Context, n int) error {
	if n == 1 {
		return nil
	}
	timer := time.NewTimer(jitter(time.Millisecond << min(n, 8)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runOnce runs fn once and commits. again: it is to be run again.
func (s *Store) runOnce(ctx context.Context, t *tx, fn func(*tx) error) (again bool, err error) {
	s.begin(ctx, t)
	defer t.end()
	err = fn(t)
	switch {
	case t.err != nil:
		s.refuse(t.err)
		return ctx.Err() == nil && (isLost(t.err) || isConflict(t.err)), explain(t.err)
	case err != nil:
		return false, err
	case t.refused != nil:
		return false, t.refused
	case len(t.writes) == 0:
		return false, nil
	}
	return s.commit(ctx, t)
}

// Close waits for the calls under way and closes the connections.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.calls.Close()
		s.stop()
		s.idle.Wait()
		s.leave()
		s.pool.Close()
	})
	return nil
}
