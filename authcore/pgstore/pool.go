package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const (
	// silence is how long the answer to a statement is waited for: patience leaves time for
	// another connection, since one whose other end is gone says nothing.
	silence = patience / 2
	// stuck is how long a statement may take for which nobody waits.
	stuck = 10 * time.Second
	// slow is a failure that others are not made to wait for.
	slow = time.Second
)

// errBusy: no connection was free.
var errBusy = errors.New("no connection to the database became free within 5 seconds")

// errAway: what others have waited for in vain nobody is made to wait for again.
var errAway = errors.New("the database has said nothing for some seconds; it is asked every second")

// contact is what is known of the way to the database. While nothing could be written
// for longer than a call is patient, calls try once; and not at all where a try takes its
// time, as behind a network that swallows packets or before a locked table, until the
// probe finds that it is over.
type contact struct {
	mu     sync.Mutex
	heard  time.Time // when an answer came last
	failed time.Time // since when tries have failed and nothing was written; zero: something was
	slow   bool      // the last failure took its time
}

// failedSince notes a try that failed for the way's sake or because the server can't be
// written to, and tells whether other connections are no better: nothing has been heard
// on any since the try began.
func (c *contact) failedSince(began time.Time) (silent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	silent = c.heard.Before(began)
	if c.failed.IsZero() {
		if c.failed = c.heard; silent {
			c.failed = began
		}
	}
	c.slow = time.Since(began) > slow
	return silent
}

func (c *contact) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = time.Now()
}

func (c *contact) written() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = time.Time{}
}

// isFailing tells whether a try has failed and nothing was written since.
func (c *contact) isFailing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.failed.IsZero()
}

// isAway: who has tried once tries no more.
func (c *contact) isAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.failed.IsZero() && time.Since(c.failed) > patience
}

// isSilent: nor does anybody else.
func (c *contact) isSilent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slow && !c.failed.IsZero() && time.Since(c.failed) > patience
}

// met notes what came of a round trip. Connections that are no better than the one that
// failed are given up.
func (s *Store) met(err error, began time.Time) {
	switch {
	case !isLost(err) && !isAway(err):
		s.contact.answered()
	case s.contact.failedSince(began) || isAway(err):
		s.pool.Reset()
	}
}

// places are the connections that may be taken, in the order in which they are wanted.
type places struct {
	free  chan struct{}
	moved atomic.Int64 // when one was given back, by the clock of the machine
}

func newPlaces(n int32) *places {
	p := &places{free: make(chan struct{}, n)}
	for range n {
		p.free <- struct{}{}
	}
	return p
}

func (p *places) lastMoved() time.Time { return time.Unix(0, p.moved.Load()) }

// acquire takes a connection, as long as others come through.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	switch err := await(ctx, s.places.free, time.Now().Add(longest), s.places.lastMoved); {
	case errors.Is(err, errStill):
		return nil, errBusy
	case err != nil:
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	conn, err := s.pool.Acquire(within)
	if err != nil {
		s.places.free <- struct{}{}
		if ctx.Err() == nil {
			s.met(err, began)
		}
	}
	return conn, err
}

// release gives a connection back. One that has ended in the middle of something takes
// no place in the pool while it says so to a server that may not hear it.
func (s *Store) release(conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() {
		conn.Hijack()
	} else {
		conn.Release()
	}
	if !s.contact.isFailing() {
		s.places.moved.Store(time.Now().UnixNano())
	}
	s.places.free <- struct{}{}
}

// onConn has do use a connection of its own.
func (s *Store) onConn(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer s.release(conn)
	return do(conn.Conn())
}

// trip is one round trip: statements that are sent together, of which the last is
// read by take. A caller who goes away does not end it, because a statement can be
// stopped only together with its connection, and whoever can make connections end
// makes a storm of new ones.
func (s *Store) trip(ctx context.Context, conn *pgx.Conn, take func(pgx.Rows) error, sql string, args []any, before ...string) (err error) {
	s.trips(ctx)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), silence)
	defer cancel()
	batch := &pgx.Batch{}
	for _, statement := range before {
		batch.Queue(statement)
	}
	batch.Queue(sql, args...)
	results := conn.SendBatch(ctx, batch)
	defer func() {
		if closed := results.Close(); err == nil {
			err = closed
		}
		s.met(err, began)
	}()
	for range before {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// exec is a statement that answers nothing and that nobody waits for, and how many rows
// it touched.
func (s *Store) exec(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		s.trips(ctx)
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stuck)
		defer cancel()
		tag, err := conn.Exec(ctx, sql, args...)
		n = tag.RowsAffected()
		s.met(err, began)
		return err
	})
	return n, err
}

// codeOf is the SQLSTATE of an error, empty for none.
func codeOf(err error) string {
	if pg := new(pgconn.PgError); errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// isAway tells whether the server is none that can be written to any more: it was
// demoted or is shutting down. Other connections to it are no better, though they
// would go on answering.
func isAway(err error) bool {
	switch codeOf(err) {
	case "25006", "57P01", "57P02", "57P03":
		return true
	}
	return false
}

// isLost tells whether a connection was lost, so that nobody knows whether a
// statement was done. An answer of the server's is none, unless it is its last.
func isLost(err error) bool {
	if err == nil || errors.Is(err, errBusy) || errors.Is(err, errStill) || errors.Is(err, errLong) {
		return false
	}
	pg := new(pgconn.PgError)
	return !errors.As(err, &pg) || strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08")
}

// isRefused tells whether the server can be reached and does not do what it should: its
// disk is full, a right or a table is missing, its patience is too short.
func isRefused(err error) bool {
	code := codeOf(err)
	return code == "57014" || strings.HasPrefix(code, "53") || strings.HasPrefix(code, "58") || strings.HasPrefix(code, "42")
}

// isConflict tells whether somebody else was first: the same once more may do.
func isConflict(err error) bool {
	switch codeOf(err) {
	case "40001", "40P01", "22012", "23505", "55P03":
		return true
	}
	return false
}

// explain says what an error of the database means here and what to do about it.
// Neither a key nor a value is in it: of the server's words those are left out that
// repeat data.
func explain(err error) error {
	pg := new(pgconn.PgError)
	if !errors.As(err, &pg) {
		return err
	}
	var says string
	switch pg.Code {
	case "53100":
		return fmt.Errorf("the disk of the database: %w (%s)", store.ErrFull, pg.Message)
	case "28P01", "28000":
		says = "look at user and password in the DSN, and at pg_hba.conf"
	case "3D000":
		says = "make it: CREATE DATABASE … OWNER …"
	case "42501":
		says = "the role lacks a right on the tables of Gatehouse; make it their owner"
	case "42P01":
		says = "the tables of Gatehouse are gone or not in the search path; a restart makes them anew"
	case "53300":
		says = fmt.Sprintf("a node takes at most %d connections; raise max_connections, or put PgBouncer in transaction mode in front", maxConns)
	case "25006":
		says = "the server is a standby or set to read only"
	default:
		if strings.HasPrefix(pg.Code, "22") { // its message repeats data
			return fmt.Errorf("the database: data exception (SQLSTATE %s)", pg.Code)
		}
		return fmt.Errorf("the database: %s (SQLSTATE %s)", pg.Message, pg.Code)
	}
	return fmt.Errorf("the database: %s (SQLSTATE %s): %s", pg.Message, pg.Code, says)
}
