package pgstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What one node wrote into what is lost is there for whoever asks another one first,
// by whatever call: a node that has something to put back waits for the others.
func TestNodesPutBackTogether(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	two := openTest(t, dsn, pgstore.Options{}) // which began alone
	one := openTest(t, dsn, pgstore.Options{})
	began := pgtest.Rows(t, dsn, "SELECT now()::text")[0]
	waitUntil(t, func() bool { // and has heard of the other one since
		return pgtest.Rows(t, dsn, "SELECT count(*) FROM gatehouse_node WHERE seen > $1::text::timestamptz", began)[0] == "2"
	})
	empty := func(tx store.Tx) (is bool, err error) {
		values, err := tx.Get("there")
		return err == nil && values[0] == nil, err
	}
	for name, asks := range map[string]func() (bool, error){
		"View": func() (bool, error) { return store.View(t.Context(), two, empty) },
		"View, once it has listed something": func() (bool, error) {
			return store.View(t.Context(), two, func(tx store.Tx) (bool, error) {
				if _, err := tx.Scan("none/", "", 1); err != nil {
					return false, err
				}
				return empty(tx)
			})
		},
		"Update that writes nothing": func() (bool, error) { return store.Update(t.Context(), two, empty) },
		"Update": func() (bool, error) {
			return store.Update(t.Context(), two, func(tx store.Tx) (bool, error) {
				tx.Put("seen", []byte(`1`), time.Time{})
				return empty(tx)
			})
		},
	} {
		for _, disconnect := range []bool{false, true} {
			what := fmt.Sprintf("%s, disconnected %v", name, disconnect)
			if err := one.Update(t.Context(), func(tx store.Tx) error { tx.Delete("there"); return nil }); err != nil {
				t.Fatal(err)
			}
			old := pgtest.Copy(t, dsn)
			put(t, one, "there", `1`)
			put(t, two, "other", `1`)
			old.PutBack(t)
			if disconnect {
				pgtest.Disconnect(t, dsn)
			}
			if missing, err := asks(); err != nil || missing {
				t.Errorf("%s: %v, %v: what another node wrote is not there", what, missing, err)
			}
		}
	}
}

// A node that was alive and is gone keeps nobody waiting for good.
func TestNobodyWaitsForTheDead(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	openTest(t, dsn, pgstore.Options{}) // makes the tables
	pgtest.Exec(t, dsn, "INSERT INTO gatehouse_node (id, name, began, seen) VALUES (1, 'dead', now(), now())")
	s := openTest(t, dsn, pgstore.Options{})
	old := pgtest.Copy(t, dsn)
	put(t, s, "k", `1`)
	old.PutBack(t)
	if err := s.View(t.Context(), func(tx store.Tx) error { _, err := tx.Get("k"); return err }); err == nil {
		t.Error("nobody waits for a node that may have something to put back")
	}
	waitUntil(t, func() bool { return s.Ping(t.Context()) == nil })
	if got := get(t, s, "k"); got != `1` {
		t.Errorf("k is %q", got)
	}
}

// Of several nodes that wrote the same record the last one is put back, whoever notices
// first that it is lost.
func TestTheLastWriterIsPutBack(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	var nodes []*pgstore.Store
	for range 3 {
		nodes = append(nodes, openTest(t, dsn, pgstore.Options{}))
	}
	began := pgtest.Rows(t, dsn, "SELECT now()::text")[0]
	waitUntil(t, func() bool {
		return pgtest.Rows(t, dsn, "SELECT count(*) FROM gatehouse_node WHERE seen > $1::text::timestamptz", began)[0] == "3"
	})
	for what, c := range map[string]struct {
		before string   // "": absent
		then   []string // by one node after another; "": deleted
		read   bool     // by the writers
	}{
		"changed, read":                 {`"a"`, []string{`"b"`, `"c"`, `"d"`}, true},
		"changed, not read":             {`"a"`, []string{`"b"`, `"c"`, `"d"`}, false},
		"written by two":                {`"a"`, []string{`"b"`, `"c"`}, true},
		"written once, not read":        {`"a"`, []string{`"b"`}, false},
		"made, changed, deleted":        {"", []string{`"a"`, `"b"`, ""}, true},
		"made and deleted, not read":    {"", []string{`"a"`, ""}, false},
		"deleted and made anew":         {`"a"`, []string{"", `"b"`}, true},
		"deleted, made anew, deleted":   {`"a"`, []string{"", `"b"`, ""}, false},
		"four times, by one node twice": {`"a"`, []string{`"b"`, `"c"`, `"d"`, `"e"`}, true},
	} {
		for first := range nodes {
			write := func(i int, value string) {
				t.Helper()
				err := nodes[(first+i)%len(nodes)].Update(t.Context(), func(tx store.Tx) error {
					if c.read {
						if _, err := tx.Get("k"); err != nil {
							return err
						}
					}
					if value == "" {
						tx.Delete("k")
					} else {
						tx.Put("k", []byte(value), time.Time{})
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			write(first, c.before)
			old := pgtest.Copy(t, dsn)
			for i, value := range c.then {
				write(i, value)
			}
			for _, s := range nodes { // which each misses afterwards
				put(t, s, "own/"+s.Node(), `1`)
			}
			old.PutBack(t)
			want := c.then[len(c.then)-1]
			for i, s := range nodes {
				waitUntil(t, func() bool { return s.Ping(t.Context()) == nil })
				if got := get(t, s, "k"); got != want {
					t.Errorf("%s, from node %d on: node %d reads %q, want %q", what, first, i, got, want)
				}
			}
		}
	}
}
