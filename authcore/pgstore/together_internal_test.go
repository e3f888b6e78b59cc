package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// gather has statements of one kind wait until open, and notes for how many calls each
// is. calls are those that have come.
func gather[T any](t *testing.T, of *together[T]) (calls func() int, open func() []int) {
	gate := make(chan struct{})
	var mu sync.Mutex
	var once sync.Once
	var sizes []int
	run := of.run
	of.run = func(next []T) bool {
		mu.Lock()
		sizes = append(sizes, len(next))
		mu.Unlock()
		<-gate
		return run(next)
	}
	calls = func() int {
		mu.Lock()
		defer mu.Unlock()
		of.mu.Lock()
		defer of.mu.Unlock()
		n := len(of.waiting)
		for _, size := range sizes {
			n += size
		}
		return n
	}
	open = func() []int {
		mu.Lock()
		defer mu.Unlock()
		once.Do(func() { close(gate) })
		return slices.Clone(sizes)
	}
	t.Cleanup(func() { open() })
	return calls, open
}

// What waits at the same moment goes in one statement, of which each call is judged by
// itself: who lost, who is refused and who has gone away change nothing for the others.
func TestTogether(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s, other := openNode(t, dsn), openNode(t, dsn)
	pgtest.Exec(t, dsn, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF NEW.key = 'refused' THEN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END IF; RETURN NEW; END $$`)
	pgtest.Exec(t, dsn, "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON gatehouse_record FOR EACH ROW EXECUTE FUNCTION refuse()")
	until := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it does not come: " + what)
			}
		}
	}
	const people = 40
	readers, read := gather(t, &s.reads)
	writers, write := gather(t, &s.commits)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make([]error, people+2)
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			failed[i] = s.Update(t.Context(), func(tx store.Tx) error { return add(tx, fmt.Sprint("own", i)) })
		})
	}
	all.Go(func() {
		failed[people] = s.Update(t.Context(), func(tx store.Tx) error { return add(tx, "refused") })
	})
	all.Go(func() {
		failed[people+1] = s.Update(ctx, func(tx store.Tx) error { return add(tx, "left") })
	})
	until("all read", func() bool { return readers() == people+2 })
	first := read()
	until("all write", func() bool { return writers() == people+2 })
	for _, key := range []string{"own0", "own7", "own39"} {
		if err := other.Update(t.Context(), func(tx store.Tx) error { return add(tx, key) }); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	time.Sleep(10 * time.Millisecond)
	second := write()
	all.Wait()
	for i, err := range failed {
		switch {
		case i == people && codeOf(err) == "" && err == nil, i < people && err != nil:
			t.Errorf("call %d: %v", i, err)
		case i == people+1 && err != nil && !errors.Is(err, context.Canceled):
			t.Errorf("whoever went away: %v", err)
		}
	}
	for i := range people {
		want := 1
		if i == 0 || i == 7 || i == 39 {
			want = 2
		}
		if got := sum(t, s, fmt.Sprint("own", i)); got != want {
			t.Errorf("own%d: counted to %d, want %d", i, got, want)
		}
	}
	if len(first) > 4 || len(second) > 4 {
		t.Errorf("read in statements for %v calls, written in %v", read(), write())
	}
	gone(t, s)
}

// Of what is more than one statement may have the rest goes in the next.
func TestTogetherIsBounded(t *testing.T) {
	many := make([]*waiting[*commitment], 3*mostTogether)
	for i := range many {
		many[i] = &waiting[*commitment]{what: &commitment{t: &tx{writes: map[string]write{fmt.Sprint(i): {}}}}}
	}
	if next, rest := takeCommits(many); len(next) != mostTogether || len(rest) != 2*mostTogether || next[0] != many[0] || rest[0] != many[mostTogether] {
		t.Errorf("%d go, %d wait", len(next), len(rest))
	}
	for _, w := range many {
		w.what.t.writes["large"] = write{value: make([]byte, 64<<10)}
	}
	if next, rest := takeCommits(many); len(next) != 16 || len(next)+len(rest) != len(many) {
		t.Errorf("%d go, %d wait", len(next), len(rest))
	}
	if next, rest := takeReads(make([]*waiting[*reading], 100)); len(next) != mostTogether || len(rest) != 100-mostTogether {
		t.Errorf("%d go, %d wait", len(next), len(rest))
	}
}
