package pgstore_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, engine(pgtest.Database(t), ""))
}

// The same where each transaction may be on another connection, and nothing is left
// in one.
func TestStoreBehindPgBouncer(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	storetest.Run(t, engine(dsn, pgtest.Pooled(t, dsn)))
}

// engine is a database, emptied for each test, and where it is asked at.
func engine(dsn, pooled string) storetest.Engine {
	if pooled == "" {
		pooled = dsn
	}
	open := func(t testing.TB, _ store.Store, now func() time.Time) store.Store {
		return openTest(t, pooled, pgstore.Options{Now: now})
	}
	return storetest.Engine{
		New: func(t testing.TB, now func() time.Time) store.Store {
			s := open(t, nil, now)
			pgtest.Exec(t, dsn, "TRUNCATE gatehouse_record")
			return s
		},
		Reopen: open,
	}
}

func openTest(t testing.TB, dsn string, o pgstore.Options) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}
