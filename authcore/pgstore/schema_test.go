package pgstore_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
)

// Nodes that start at once on an empty database make one schema, and all work.
func TestNodesStartAtOnce(t *testing.T) {
	for range 3 {
		dsn := pgtest.Database(t)
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				s, err := pgstore.Open(t.Context(), dsn, pgstore.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				put(t, s, "k"+string(rune('0'+i)), `1`)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := pgtest.Rows(t, dsn, "SELECT count(*) FROM gatehouse_record WHERE key NOT LIKE 'probe/%'"); got[0] != "6" {
			t.Errorf("%s records, want 6", got[0])
		}
		if got := pgtest.Rows(t, dsn, "SELECT version, oldest_program FROM gatehouse_schema"); len(got) != 1 || got[0] != "1 1" {
			t.Errorf("the schema is %q", got)
		}
	}
}

// The program before goes on on the tables of the one after it, unless those say
// that it can't.
func TestOlderProgramAndNewerTables(t *testing.T) {
	dsn := pgtest.Database(t)
	put(t, openTest(t, dsn, pgstore.Options{}), "k", `1`)
	pgtest.Exec(t, dsn, "UPDATE gatehouse_schema SET version = 2, oldest_program = 1")
	pgtest.Exec(t, dsn, "ALTER TABLE gatehouse_record ADD more text")
	if s := openTest(t, dsn, pgstore.Options{}); get(t, s, "k") != `1` {
		t.Error("the record is gone")
	}
	pgtest.Exec(t, dsn, "UPDATE gatehouse_schema SET version = 3, oldest_program = 2")
	refused(t, dsn, "made by a newer Gatehouse", "version 3", "run the newer one")
}

// Steps do no harm when they are done twice: not everywhere is DDL part of a
// transaction.
func TestStepsTwice(t *testing.T) {
	dsn := pgtest.Database(t)
	put(t, openTest(t, dsn, pgstore.Options{}), "k", `1`)
	pgtest.Exec(t, dsn, "UPDATE gatehouse_schema SET version = 0, oldest_program = 0")
	if s := openTest(t, dsn, pgstore.Options{}); get(t, s, "k") != `1` {
		t.Error("the record is gone")
	}
}

func TestTablesOfSomebodyElse(t *testing.T) {
	for _, table := range []string{
		"CREATE TABLE gatehouse_record (id int)",
		"CREATE TABLE gatehouse_schema (version text)",
		"CREATE TABLE gatehouse_node (id text, name text)",
		"CREATE TABLE gatehouse_attempt (id bigint, at timestamptz, done text)",
	} {
		dsn := pgtest.Database(t)
		pgtest.Exec(t, dsn, table)
		before := pgtest.Rows(t, dsn, tables)
		refused(t, dsn, strings.Fields(table)[2], "is not Gatehouse's", "use a database of its own")
		if after := pgtest.Rows(t, dsn, tables); len(after) != len(before) {
			t.Errorf("%s: something was made beside it: %q", table, after)
		}
	}
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, "CREATE SEQUENCE gatehouse_record")
	refused(t, dsn, "use a database of its own")
}

const tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"

func TestRoleWithoutRights(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, "DROP ROLE IF EXISTS guest")
	pgtest.Exec(t, dsn, "CREATE ROLE guest LOGIN PASSWORD '"+pgtest.Password+"'")
	t.Cleanup(func() { pgtest.Exec(t, pgtest.Shared(t).DSN("postgres"), "DROP ROLE guest") })
	guest := strings.Replace(dsn, "owner:", "guest:", 1)
	refused(t, guest, `role "guest" may not make or use tables in schema "public"`, "GRANT USAGE, CREATE ON SCHEMA public TO guest")
	openTest(t, dsn, pgstore.Options{})
	refused(t, guest, "guest") // tables that are another's
	t.Cleanup(func() { pgtest.Exec(t, dsn, "DROP OWNED BY guest") })
}

// A role may have a schema of its own, where others can't look.
func TestSchemaOfItsOwn(t *testing.T) {
	dsn := pgtest.Database(t)
	for _, sql := range []string{
		"DROP ROLE IF EXISTS own", "CREATE ROLE own LOGIN PASSWORD '" + pgtest.Password + "'",
		"CREATE SCHEMA own AUTHORIZATION own", "ALTER ROLE own SET search_path = own",
	} {
		pgtest.Exec(t, dsn, sql)
	}
	t.Cleanup(func() { pgtest.Exec(t, pgtest.Shared(t).DSN("postgres"), "DROP ROLE own") })
	t.Cleanup(func() { pgtest.Exec(t, dsn, "DROP OWNED BY own") })
	put(t, openTest(t, strings.Replace(dsn, "owner:", "own:", 1), pgstore.Options{}), "k", `1`)
	if in := pgtest.Rows(t, dsn, "SELECT DISTINCT table_schema FROM information_schema.tables WHERE table_name LIKE 'gatehouse%'"); len(in) != 1 || in[0] != "own" {
		t.Errorf("the tables are in %q", in)
	}
}

func TestDatabaseOfAnotherEncoding(t *testing.T) {
	server := pgtest.Shared(t).DSN("postgres")
	pgtest.Exec(t, server, "CREATE DATABASE latin ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	t.Cleanup(func() { pgtest.Exec(t, server, "DROP DATABASE latin WITH (FORCE)") })
	refused(t, pgtest.Shared(t).DSN("latin"), "encoding SQL_ASCII", "ENCODING 'UTF8'")
}

// refused fails unless the store does not open, with these words and no password.
func refused(t *testing.T, dsn string, words ...string) {
	t.Helper()
	s, err := pgstore.Open(context.Background(), dsn, pgstore.Options{})
	if err == nil {
		s.Close()
		t.Errorf("it opened, want %q", words)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
	for _, secret := range []string{pgtest.Password, "not%40secret", "hunter", "s3cr3t"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the password is in: %v", err)
		}
	}
}
