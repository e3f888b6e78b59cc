package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Who lost one record waits for nobody who lost another one.
func TestWhoLostDifferentRecordsDoNotWait(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s, other := openNode(t, dsn), openNode(t, dsn)
	slow, release := make(chan struct{}), make(chan struct{})
	// lose is an update of key to which another node comes first, and then again runs.
	lose := func(again func(), keys ...string) error {
		runs := 0
		return s.Update(t.Context(), func(tx store.Tx) error {
			for _, key := range keys {
				if err := add(tx, key); err != nil {
					return err
				}
			}
			if runs++; runs == 1 {
				return other.Update(t.Context(), func(tx store.Tx) error { return add(tx, keys[0]) })
			}
			again()
			return nil
		})
	}
	first := make(chan error, 1)
	go func() { first <- lose(func() { close(slow); <-release }, "a", "x") }()
	<-slow
	others := make(chan error)
	for _, keys := range [][]string{{"b"}, {"c", "d"}, {"d"}} {
		go func() { others <- lose(func() {}, keys...) }()
	}
	go func() { others <- s.Update(t.Context(), func(tx store.Tx) error { return add(tx, "e") }) }()
	for range 4 {
		select {
		case err := <-others:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience - time.Second):
			t.Error("who lost another record waits")
		}
	}
	if len(first) > 0 {
		t.Error("the first has not waited")
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if got := []int{sum(t, s, "a"), sum(t, s, "b"), sum(t, s, "c"), sum(t, s, "d"), sum(t, s, "e"), sum(t, s, "x")}; !slices.Equal(got, []int{2, 2, 2, 3, 1, 1}) {
		t.Errorf("counted to %v", got)
	}
	gone(t, s)
}

// All who want one record come through: at one node with little more than a read and a
// commit each.
func TestManyAtOneRecord(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			t.Parallel()
			const people = 300
			dsn := pgtest.Database(t)
			var trips atomic.Int64
			var all []*Store
			for range nodes {
				s := openNode(t, dsn)
				s.trips = func(ctx context.Context) {
					if ctx.Value(counted{}) != nil {
						trips.Add(1)
					}
				}
				all = append(all, s)
			}
			var started sync.WaitGroup
			for i := range people {
				started.Go(func() {
					ctx := context.WithValue(t.Context(), counted{}, true)
					if err := all[i%nodes].Update(ctx, func(tx store.Tx) error {
						return errors.Join(add(tx, "hot"), add(tx, fmt.Sprint("own", i)), add(tx, "warm"))
					}); err != nil {
						t.Error(err)
					}
				})
			}
			started.Wait()
			for _, key := range []string{"hot", "warm", "own0", "own299"} {
				if got, want := sum(t, all[0], key), map[string]int{"hot": people, "warm": people}[key]; got != max(want, 1) {
					t.Errorf("%s: counted to %d", key, got)
				}
			}
			for _, s := range all {
				gone(t, s)
			}
			// Three reads and a commit for each, and for those who lost before there was a
			// line one more.
			if most := int64(people*(3+1) + 50); nodes == 1 && trips.Load() > most {
				t.Errorf("%d trips, want at most %d", trips.Load(), most)
			}
		})
	}
}

type counted struct{}

// A record that somebody keeps is waited for five seconds, and whoever goes away leaves.
func TestALineThatDoesNotMove(t *testing.T) {
	t.Parallel()
	s := openNode(t, pgtest.Database(t))
	slow, release := make(chan struct{}), make(chan struct{})
	other := make(chan error, 1)
	go func() {
		runs := 0
		other <- s.Update(t.Context(), func(tx store.Tx) error {
			if runs++; runs == 1 {
				return errors.Join(add(tx, "k"), s.Update(t.Context(), func(tx store.Tx) error { return add(tx, "k") }))
			}
			close(slow)
			<-release
			return add(tx, "k")
		})
	}()
	<-slow
	ctx, cancel := context.WithCancel(t.Context())
	away := make(chan error, 1)
	go func() { away <- s.Update(ctx, func(tx store.Tx) error { return add(tx, "k") }) }()
	for len(standing(s, "k")) < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-away; !errors.Is(err, context.Canceled) {
		t.Errorf("whoever went away: %v", err)
	}
	began := time.Now()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return add(tx, "k") }); !errors.Is(err, errStill) || time.Since(began) < patience {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	close(release)
	if err := <-other; err != nil {
		t.Error(err)
	}
	if got := sum(t, s, "k"); got != 2 {
		t.Errorf("counted to %d", got)
	}
	gone(t, s)
}

// stands is somebody in lines.
func stands(t *testing.T, l *lines, in *turn, keys ...string) error {
	return l.stand(t.Context(), in, keys, time.Now().Add(longest))
}

// Those who stand in a line come through in order, as long as it moves, but wait half
// a minute at most.
func TestLinesMoveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lines{}
		var mu sync.Mutex
		var order []int
		var late int
		for i := range 100 {
			go func() {
				one := &turn{}
				err := stands(t, l, one, "k")
				if err == nil {
					time.Sleep(410 * time.Millisecond) // nobody is through at half a minute
				}
				mu.Lock()
				defer mu.Unlock()
				if l.leave(one, true); err == nil {
					order = append(order, i)
				} else if late++; !errors.Is(err, errLong) {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		time.Sleep(longest - time.Second)
		synctest.Wait()
		mu.Lock()
		if late != 0 {
			t.Errorf("%d were refused, though others came through", late)
		}
		mu.Unlock()
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(order) != 74 || late != 26 || !slices.IsSorted(order) || len(l.at) != 0 {
			t.Errorf("%d came through, %d were late, %d lines are left: %v", len(order), late, len(l.at), order)
		}
	})
}

// What is known of a record goes from one to the next.
func TestLinesTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lines{}
		l.note(map[string]row{"k": {version: 1}}) // nobody stands there
		one, two := &turn{}, &turn{}
		if err := stands(t, l, one, "k"); err != nil {
			t.Fatal(err)
		}
		told := func(of *turn) (row, bool) {
			rows := map[string]row{"k": {version: 1}, "free": {version: 1}, "other": {version: 1}}
			moved := l.tell(of, rows)
			if rows["free"].version != 1 || rows["other"].version != 1 {
				t.Errorf("told %v", rows)
			}
			return rows["k"], moved
		}
		if _, moved := told(one); moved {
			t.Error("told of what is not known")
		}
		l.note(map[string]row{"k": {version: 2}, "other": {version: 2}})
		go func() {
			if err := stands(t, l, two, "k", "free"); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		l.wrote(map[string]write{"k": {value: []byte(`1`)}}, 3)
		l.leave(one, true)
		synctest.Wait()
		if got, moved := told(two); !two.runs || !moved || got.version != 3 || string(got.value) != `1` {
			t.Errorf("told %v", got)
		}
		l.leave(two, true)
		if len(l.at) != 0 {
			t.Errorf("%d lines are left", len(l.at))
		}
	})
}

// However many records each wants, also as it goes on: no two wait for each other, at
// each record one runs at a time, and nothing is left.
func TestLinesNeverLock(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			l := &lines{}
			var mu sync.Mutex
			runs, done := map[string]bool{}, 0
			for range 30 {
				var wants [][]string
				for range 1 + random.IntN(3) {
					var keys []string
					for range 1 + random.IntN(3) {
						keys = append(keys, strconv.Itoa(random.IntN(6)))
					}
					wants = append(wants, keys)
				}
				go func() {
					one := &turn{}
					for _, keys := range wants {
						if err := l.stand(t.Context(), one, keys, time.Now().Add(time.Hour)); err != nil {
							t.Errorf("seed %d: %v", seed, err)
							break
						}
						mu.Lock()
						for _, key := range one.keys {
							if runs[key] {
								t.Errorf("seed %d: two run at %s", seed, key)
							}
							runs[key] = true
						}
						mu.Unlock()
						time.Sleep(time.Millisecond)
						mu.Lock()
						for _, key := range one.keys {
							runs[key] = false
						}
						mu.Unlock()
					}
					l.leave(one, true)
					mu.Lock()
					defer mu.Unlock()
					done++
				}()
			}
			time.Sleep(4 * time.Second)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if done != 30 || len(l.at) != 0 {
				t.Errorf("seed %d: %d are done, %d lines are left", seed, done, len(l.at))
			}
		})
	}
}

// gone checks that nobody stands in a line.
func gone(t *testing.T, s *Store) {
	t.Helper()
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	if len(s.lines.at) != 0 {
		t.Errorf("%d lines are left", len(s.lines.at))
	}
}

func standing(s *Store, key string) []*turn {
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	if in := s.lines.at[key]; in != nil {
		return slices.Clone(in.turns)
	}
	return nil
}

func openNode(t *testing.T, dsn string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func add(tx store.Tx, key string) error {
	values, err := tx.Get(key)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(string(values[0]))
	tx.Put(key, strconv.AppendInt(nil, int64(n+1), 10), time.Time{})
	return nil
}

func sum(t *testing.T, s *Store, key string) int {
	t.Helper()
	n, err := store.View(t.Context(), s, func(tx store.Tx) (int, error) {
		values, err := tx.Get(key)
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(string(values[0]))
	})
	if err != nil {
		t.Error(err)
	}
	return n
}
