package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The schema is made and changed under a lock on the one row of gatehouse_schema,
// one step a transaction, so that any number of nodes may start at once. A step may
// run twice, for engines on which DDL is no part of a transaction. A step adds; what
// it makes superfluous goes a release later, so that the release before runs beside.

// schemaVersion is what this program makes and knows; oldest is the oldest program,
// by its schemaVersion, that can work on it.
const (
	schemaVersion = 1
	oldestProgram = 1
)

const (
	makeSchemaTable = `
CREATE TABLE IF NOT EXISTS gatehouse_schema (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  version integer NOT NULL,
  oldest_program integer NOT NULL
)`
	makeSchemaRow = `INSERT INTO gatehouse_schema (version, oldest_program) VALUES (0, 0) ON CONFLICT (one) DO NOTHING`
	readSchema    = `SELECT version, oldest_program FROM gatehouse_schema`
	lockSchema    = `SELECT version, oldest_program FROM gatehouse_schema FOR UPDATE`
	writeSchema   = `UPDATE gatehouse_schema SET version = $1::integer, oldest_program = $2::integer`

	readColumns = `
SELECT table_name, string_agg(column_name || ' ' || data_type, ', ' ORDER BY column_name)
FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name LIKE 'gatehouse\_%' GROUP BY table_name`
	readPlace = `SELECT current_user, coalesce(current_schema(), ''), current_setting('server_encoding'), current_setting('synchronous_commit')`
)

// steps[n] leads from version n to n+1.
var steps = [][]string{{
	`CREATE TABLE IF NOT EXISTS gatehouse_record (
  key text COLLATE "C" PRIMARY KEY,
  value jsonb,
  raw bytea,
  expires timestamptz,
  ahead text[],
  version bigint NOT NULL
)`,
	`CREATE INDEX IF NOT EXISTS gatehouse_record_expires ON gatehouse_record (expires) WHERE expires IS NOT NULL`,
	`CREATE TABLE IF NOT EXISTS gatehouse_attempt (id bigint PRIMARY KEY, at timestamptz NOT NULL, done boolean NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS gatehouse_attempt_at ON gatehouse_attempt (at)`,
	`CREATE TABLE IF NOT EXISTS gatehouse_node (
  id bigint PRIMARY KEY,
  name text NOT NULL,
  began timestamptz NOT NULL,
  seen timestamptz NOT NULL
)`,
}}

// columns are what must be there, at least, for a table to be ours.
var columns = map[string][]string{
	"gatehouse_schema":  {"one boolean", "oldest_program integer", "version integer"},
	"gatehouse_record":  {"ahead ARRAY", "expires timestamp with time zone", "key text", "raw bytea", "value jsonb", "version bigint"},
	"gatehouse_attempt": {"at timestamp with time zone", "done boolean", "id bigint"},
	"gatehouse_node":    {"began timestamp with time zone", "id bigint", "name text", "seen timestamp with time zone"},
}

// place is where in the database the tables are.
type place struct{ user, schema string }

// prepare makes or migrates the tables, and looks whether they are ours.
func (s *Store) prepare(ctx context.Context) error {
	return s.onConn(ctx, func(conn *pgx.Conn) error {
		at, err := s.readPlace(ctx, conn)
		if err != nil {
			return err
		}
		if err := checkTables(ctx, conn, at, false); err != nil {
			return at.explain(err)
		}
		if err := migrate(ctx, conn); err != nil {
			return at.explain(err)
		}
		return checkTables(ctx, conn, at, true)
	})
}

func (s *Store) readPlace(ctx context.Context, conn *pgx.Conn) (at place, err error) {
	var encoding, sync string
	if err := conn.QueryRow(ctx, readPlace).Scan(&at.user, &at.schema, &encoding, &sync); err != nil {
		return at, err
	}
	if at.schema == "" {
		return at, fmt.Errorf("no schema of the database is in the search path of role %q: ALTER ROLE %s SET search_path = public, or name one in the DSN: ?search_path=…", at.user, at.user)
	}
	if encoding != "UTF8" {
		return at, fmt.Errorf("the database has the encoding %s: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	if sync == "off" {
		s.log.Warn("synchronous_commit is off in the database: a used code can be good again after a crash of its server; set it to on", "role", at.user)
	}
	return at, nil
}

// explain says what to do about the rights that a new role has not.
func (at place) explain(err error) error {
	switch codeOf(err) {
	case "42501":
		return fmt.Errorf("role %q may not make or use tables in schema %q (%v): GRANT USAGE, CREATE ON SCHEMA %s TO %s, or make it the owner of the database", at.user, at.schema, err, at.schema, at.user) //nolint:errorlint // explained once
	case "42P07", "42710", "42703", "42809":
		return fmt.Errorf("schema %q has something of another program under a name of ours (%v): use a database of its own for Gatehouse", at.schema, err) //nolint:errorlint // explained once
	}
	return err
}

// checkTables refuses tables under our names that are somebody else's. all: every
// one must be there.
func checkTables(ctx context.Context, conn *pgx.Conn, at place, all bool) error {
	rows, err := conn.Query(ctx, readColumns)
	if err != nil {
		return err
	}
	found := map[string][]string{}
	var table, has string
	if _, err := pgx.ForEachRow(rows, []any{&table, &has}, func() error {
		found[table] = strings.Split(has, ", ")
		return nil
	}); err != nil {
		return err
	}
	for table, want := range columns {
		has, is := found[table]
		if !is && !all {
			continue
		}
		for _, column := range want {
			if !slices.Contains(has, column) {
				return fmt.Errorf("table %s in schema %q is not Gatehouse's, or damaged (it has no column %s): use a database of its own for Gatehouse", table, at.schema, column)
			}
		}
	}
	return nil
}

// migrate brings the tables up to schemaVersion.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	version, oldest, err := known(ctx, conn)
	for err == nil && version < schemaVersion {
		version, oldest, err = step(ctx, conn)
	}
	if err == nil && oldest > schemaVersion {
		err = fmt.Errorf("the tables have version %d, made by a newer Gatehouse, and this one knows %d: run the newer one here (every node), or restore a backup from before the upgrade", version, schemaVersion)
	}
	return err
}

// known reads the version of the tables, and makes the table that says so.
func known(ctx context.Context, conn *pgx.Conn) (version, oldest int, err error) {
	for range 20 { // nodes that start at once get in each other's way here, and only here
		err = conn.QueryRow(ctx, readSchema).Scan(&version, &oldest)
		if err == nil {
			return version, oldest, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) && codeOf(err) != "42P01" {
			return 0, 0, err
		}
		if _, err = conn.Exec(ctx, makeSchemaTable); err == nil {
			_, err = conn.Exec(ctx, makeSchemaRow)
		}
		if err != nil && !slices.Contains([]string{"23505", "42P07", "42710", "40001"}, codeOf(err)) {
			return 0, 0, err
		}
	}
	return 0, 0, err
}

// step takes one step under the lock, unless another node has taken it meanwhile.
func step(ctx context.Context, conn *pgx.Conn) (version, oldest int, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, lockSchema).Scan(&version, &oldest); err != nil || version >= schemaVersion {
			return err
		}
		for _, statement := range steps[version] {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		version, oldest = version+1, oldestProgram
		_, err := tx.Exec(ctx, writeSchema, version, oldest)
		return err
	})
	return version, oldest, err
}
