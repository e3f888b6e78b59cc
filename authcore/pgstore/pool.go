package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// stuck is how long one statement may take.
const stuck = 10 * time.Second

// errBusy: no connection was free.
var errBusy = errors.New("no connection to the database became free within 5 seconds")

// acquire takes a connection, in time.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := s.pool.Acquire(within)
	if err != nil && ctx.Err() == nil && within.Err() != nil && s.pool.Stat().AcquiredConns() >= s.pool.Stat().MaxConns() {
		return nil, errBusy
	}
	return conn, err
}

// onConn has do use a connection of its own.
func (s *Store) onConn(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return do(conn.Conn())
}

// trip is one round trip: statements that are sent together, of which the last is
// read by take. A caller who goes away does not end it, because a statement can be
// stopped only together with its connection, and whoever can make connections end
// makes a storm of new ones.
func (s *Store) trip(ctx context.Context, conn *pgx.Conn, take func(pgx.Rows) error, sql string, args []any, before ...string) (err error) {
	s.trips(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stuck)
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
		if isAway(err) {
			s.pool.Reset()
		}
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

// exec is a round trip of one statement that answers nothing, and how many rows it
// touched.
func (s *Store) exec(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		s.trips(ctx)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stuck)
		defer cancel()
		tag, err := conn.Exec(ctx, sql, args...)
		n = tag.RowsAffected()
		if isAway(err) {
			s.pool.Reset()
		}
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
	if err == nil || errors.Is(err, errBusy) {
		return false
	}
	pg := new(pgconn.PgError)
	return !errors.As(err, &pg) || strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08")
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
