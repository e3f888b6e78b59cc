package pgstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What jsonb can't hold comes back all the same.
func TestOddValues(t *testing.T) {
	dsn := pgtest.Database(t)
	s := openTest(t, dsn, pgstore.Options{})
	for _, value := range []string{
		`"\u0000"`, `{"a":"b\u0000c","d":[1]}`, `"\\u0000"`, `"\ud83d"`, `"\uDE00"`, `"\ud83d\ude00"`, `1e400000`, `[1E5,-2.5e-3]`,
		"\"\xff\"", `null`, `[true,false,null]`, `{"E":1,"e":"e"}`, `"1e5"`, `"\"1e5"`, `"\\"`,
	} {
		put(t, s, "k", value)
		got := get(t, s, "k")
		if strings.ReplaceAll(got, " ", "") != value {
			t.Errorf("%q came back as %q", value, got)
		}
		if items := scan(t, s, "k"); len(items) != 1 || strings.ReplaceAll(string(items[0].Value), " ", "") != value {
			t.Errorf("%q came back as %q", value, items)
		}
	}
	put(t, s, "k", `{"email":"alice@example.com","at":"2026-01-02T03:04:05Z"}`)
	if got := pgtest.Rows(t, dsn, "SELECT value->>'email' FROM gatehouse_record WHERE key = 'k'"); got[0] != "alice@example.com" {
		t.Errorf("asked for in SQL: %q", got)
	}
	err := s.Update(t.Context(), func(tx store.Tx) error { tx.Put("k", []byte(`{`), time.Time{}); return nil })
	if err == nil {
		t.Error("what is no JSON was taken")
	}
}

// Expiry goes by the database's clock, also where this machine's is off.
func TestDatabasesClock(t *testing.T) {
	s := openTest(t, pgtest.Database(t), pgstore.Options{})
	if off := time.Until(s.Now()).Abs(); off > time.Second {
		t.Errorf("the clocks of one machine are %v apart", off)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		tx.Put("soon", []byte(`1`), s.Now().Add(300*time.Millisecond))
		tx.Put("later", []byte(`1`), s.Now().Add(time.Hour))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool { return get(t, s, "soon") == "" })
	if get(t, s, "later") == "" {
		t.Error("what lives an hour is gone")
	}
}

func TestSweep(t *testing.T) {
	dsn := pgtest.Database(t)
	s := openTest(t, dsn, pgstore.Options{})
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range 1200 {
			tx.Put(fmt.Sprint("dead", i), []byte(`1`), s.Now().Add(-22*time.Minute))
		}
		tx.Put("dying", []byte(`1`), s.Now().Add(-20*time.Minute))
		tx.Put("live", []byte(`1`), s.Now().Add(time.Hour))
		tx.Put("always", []byte(`1`), time.Time{})
		_, err := tx.Get("absent")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, dsn, "UPDATE gatehouse_attempt SET at = at - interval '1 hour'")
	pgtest.Exec(t, dsn, "INSERT INTO gatehouse_attempt (id, at, done) VALUES (1, now() - interval '20 minutes', true)")
	put(t, s, "more", `1`)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := pgtest.Rows(t, dsn, "SELECT key FROM gatehouse_record WHERE key NOT LIKE 'probe/%' ORDER BY key"); fmt.Sprint(got) != "[absent always dying live more]" {
		t.Errorf("left are %q", got)
	}
	if got := pgtest.Rows(t, dsn, "SELECT count(*) FROM gatehouse_attempt WHERE at < now() - interval '21 minutes'"); got[0] != "0" {
		t.Errorf("%s old attempts are left", got[0])
	}
	if got := pgtest.Rows(t, dsn, "SELECT count(*) FROM gatehouse_attempt WHERE id = 1"); got[0] != "1" {
		t.Error("an attempt is gone that a node may still look for")
	}
}

// A call takes a round trip for what it reads at once, and one to commit.
func TestRoundTrips(t *testing.T) {
	counted := context.WithValue(t.Context(), countedCall{}, true)
	trips, dsn := 0, pgtest.Database(t)
	s := openTest(t, dsn, pgstore.Options{Trip: func(ctx context.Context) {
		if ctx.Value(countedCall{}) != nil {
			trips++
		}
	}})
	other := openTest(t, dsn, pgstore.Options{})
	put(t, s, "lead", `{"of":[{"ahead":["b","none"]}]}`)
	seen := func(tx store.Tx, keys ...string) error { _, err := tx.Get(keys...); return err }
	for _, c := range []struct {
		name string
		want int
		call func() error
	}{
		{"view of one", 1, func() error {
			return s.View(counted, func(tx store.Tx) error { return seen(tx, "a", "b") })
		}},
		{"view of what one names", 2, func() error {
			return s.View(counted, func(tx store.Tx) error { return errors.Join(seen(tx, "a"), seen(tx, "b", "a")) })
		}},
		{"view of what a record names as ahead", 1, func() error {
			return s.View(counted, func(tx store.Tx) error {
				return errors.Join(seen(tx, "lead"), seen(tx, "none"), seen(tx, "b"))
			})
		}},
		{"update", 2, func() error { return s.Update(counted, func(tx store.Tx) error { return count(tx, "a") }) }},
		{"update of what a record names", 2, func() error {
			return s.Update(counted, func(tx store.Tx) error { return errors.Join(seen(tx, "lead"), count(tx, "b"), count(tx, "none")) })
		}},
		{"blind update", 1, func() error {
			return s.Update(counted, func(tx store.Tx) error { tx.Put("a", []byte(`1`), time.Time{}); return nil })
		}},
		{"nothing", 0, func() error { return s.View(counted, func(tx store.Tx) error { return nil }) }},
		{"new session", 2, func() error { return s.Update(counted, func(tx store.Tx) error { return count(tx, "session/a") }) }},
		{"update of what was written a moment ago", 1, func() error {
			return s.Update(counted, func(tx store.Tx) error { return count(tx, "session/a") })
		}},
		{"of what another node has changed meanwhile", 2, func() error {
			put(t, other, "session/a", `10`)
			return s.Update(counted, func(tx store.Tx) error { return count(tx, "session/a") })
		}},
		{"that changes nothing", 1, func() error {
			return s.Update(counted, func(tx store.Tx) error { return seen(tx, "session/a") })
		}},
		{"of what was looked at a moment ago", 2, func() error {
			put(t, other, "session/a", `20`)
			err := s.View(counted, func(tx store.Tx) error { return seen(tx, "session/a") })
			return errors.Join(err, s.Update(counted, func(tx store.Tx) error { return count(tx, "session/a") }))
		}},
	} {
		trips = 0
		if err := c.call(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if trips != c.want {
			t.Errorf("%s: %d round trips, want %d", c.name, trips, c.want)
		}
	}
	if got := fmt.Sprint(number(t, s, "session/a"), number(t, s, "b"), number(t, s, "none")); got != "21 1 1" {
		t.Errorf("counted to %s", got)
	}
}

// countedCall marks calls whose round trips are counted.
type countedCall struct{}

// An update that decides by what was so a moment ago, and writes nothing, decides anew.
func TestNothingIsRefusedByMemory(t *testing.T) {
	dsn := pgtest.Database(t)
	one, two := openTest(t, dsn, pgstore.Options{}), openTest(t, dsn, pgstore.Options{})
	put(t, one, "session/a", `1`)
	put(t, two, "session/a", `2`)
	errOld := errors.New("old")
	for _, fails := range []error{nil, errOld} {
		var saw string
		if err := one.Update(t.Context(), func(tx store.Tx) error {
			values, err := tx.Get("session/a")
			if saw = string(values[0]); saw == "1" && err == nil {
				err = fails
			}
			return err
		}); err != nil || saw != "2" {
			t.Errorf("decided by %s: %v", saw, err)
		}
		put(t, one, "session/a", `1`)
		put(t, two, "session/a", `2`)
	}
	// What is gone is gone.
	if err := two.Update(t.Context(), func(tx store.Tx) error { tx.Delete("session/a"); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := one.Update(t.Context(), func(tx store.Tx) error { return count(tx, "session/a") }); err != nil {
		t.Fatal(err)
	}
	if got := number(t, two, "session/a"); got != 1 {
		t.Errorf("counted to %d, want 1", got)
	}
}

// Nodes see each other while they are alive.
func TestOtherNodes(t *testing.T) {
	dsn := pgtest.Database(t)
	one := openTest(t, dsn, pgstore.Options{Node: "one"})
	two := openTest(t, dsn, pgstore.Options{Node: "two"})
	if h := two.Health(); fmt.Sprint(h.Others) != "[one]" || h.SizeBytes == 0 || h.Err != nil {
		t.Errorf("two: %+v", h)
	}
	if h := one.Health(); len(h.Others) != 0 {
		t.Errorf("one: %+v", h)
	}
	two.Close()
	one.Close()
	if h := openTest(t, dsn, pgstore.Options{}).Health(); len(h.Others) != 0 {
		t.Errorf("who has left is still there: %+v", h)
	}
}

// What is logged has neither password nor record.
func TestWarnings(t *testing.T) {
	dsn := pgtest.Database(t)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	pgtest.Exec(t, dsn, "ALTER DATABASE "+dsn[strings.LastIndex(dsn, "/")+1:strings.Index(dsn, "?")]+" SET synchronous_commit = off")
	s := openTest(t, dsn, pgstore.Options{Logger: logger})
	put(t, s, "k", `1`)
	if !strings.Contains(log.String(), "synchronous_commit is off") || strings.Contains(log.String(), "secret") {
		t.Error(log.String())
	}
}

func put(t testing.TB, s *pgstore.Store, key, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx store.Tx) error { tx.Put(key, []byte(value), time.Time{}); return nil }); err != nil {
		t.Error(err)
	}
}

func get(t testing.TB, s *pgstore.Store, key string) (value string) {
	t.Helper()
	if err := s.View(t.Context(), func(tx store.Tx) error {
		values, err := tx.Get(key)
		if err == nil {
			value = string(values[0])
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	return value
}

func scan(t testing.TB, s *pgstore.Store, prefix string) (items []store.Item) {
	t.Helper()
	if err := s.View(t.Context(), func(tx store.Tx) (err error) {
		items, err = tx.Scan(prefix, "", 100)
		return err
	}); err != nil {
		t.Error(err)
	}
	return items
}

func number(t testing.TB, s *pgstore.Store, key string) int {
	t.Helper()
	n, _ := strconv.Atoi(get(t, s, key))
	return n
}

func count(tx store.Tx, key string) error {
	values, err := tx.Get(key)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(string(values[0]))
	tx.Put(key, strconv.AppendInt(nil, int64(n+1), 10), time.Time{})
	return nil
}

func waitUntil(t testing.TB, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

// A clock that is five minutes off is seen, told once, and changes nothing: what
// expires goes by the database's.
func TestClockIsOff(t *testing.T) {
	dsn := pgtest.Database(t)
	good := openTest(t, dsn, pgstore.Options{})
	for _, off := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		var log bytes.Buffer
		s := openTest(t, dsn, pgstore.Options{Clock: func() time.Time { return time.Now().Add(off) }, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if h := s.Health(); (h.Behind + off).Abs() > time.Second {
			t.Errorf("a clock %v ahead is said to be %v behind", off, h.Behind)
		}
		if apart := s.Now().Sub(good.Now()).Abs(); apart > time.Second {
			t.Errorf("nodes think %v apart", apart)
		}
		if n := strings.Count(log.String(), "clock is far off"); n != 1 {
			t.Errorf("warned %d times: %s", n, &log)
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error {
			tx.Put("live", []byte(`1`), s.Now().Add(time.Minute))
			tx.Put("dead", []byte(`1`), s.Now().Add(-time.Second))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, at := range []*pgstore.Store{s, good} {
			if get(t, at, "live") != "1" || get(t, at, "dead") != "" {
				t.Errorf("live %q, dead %q", get(t, at, "live"), get(t, at, "dead"))
			}
		}
	}
}

// A node that left is gone at once, a silent one once others had the time to be heard:
// after an outage of the database all have been silent.
func TestGone(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s, left, alive := openTest(t, dsn, pgstore.Options{}), openTest(t, dsn, pgstore.Options{}), openTest(t, dsn, pgstore.Options{Node: "alive"})
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(name, node string, want bool) {
		t.Helper()
		if gone, err := s.Gone(t.Context(), node); err != nil || gone != want {
			t.Errorf("%s: %v, %v", name, gone, err)
		}
	}
	check("this one", s.Node(), false)
	check("one that is alive", alive.Node(), false)
	check("one that left", left.Node(), true)
	check("nobody", "", true)
	check("no id", "not one", true)
	pgtest.Exec(t, dsn, "UPDATE gatehouse_node SET seen = seen - interval '1 hour' WHERE name = 'alive'")
	check("one that may have been kept from being heard", alive.Node(), false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Gone(t.Context(), alive.Node()); err == nil || gone {
		t.Errorf("where nobody can tell: %v, %v", gone, err)
	}
}
