package storetest

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

var concurrencyPromises = []promise{
	{name: "100 concurrent counts lose nothing", test: countsLoseNothing},
	{name: "200 concurrent tries: five are let through", test: triesAreLimited},
	{name: "200 concurrent answers: one consumes", test: oneConsumes},
	{name: "200 concurrent firsts: one creates", test: oneCreates},
	{name: "two that read both and write one do not both pass", test: noWriteSkew},
	{name: "failing neighbours leave no trace", test: failingNeighbours},
	{name: "View is a snapshot", test: viewIsSnapshot},
	{name: "View sees whole updates", test: viewSeesWhole},
}

// together runs n calls of fn at once and waits for them.
func together(n int, fn func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	all.Wait()
}

// number reads a counter, 0 when it is absent.
func number(tx store.Tx, key string) (int, error) {
	values, err := tx.Get(key)
	if err != nil || values[0] == nil {
		return 0, err
	}
	return strconv.Atoi(string(values[0]))
}

func add(key string) func(store.Tx) error {
	return func(tx store.Tx) error {
		n, err := number(tx, key)
		tx.Put(key, strconv.AppendInt(nil, int64(n+1), 10), never)
		return err
	}
}

func countsLoseNothing(s *subject) {
	together(100, func(int) {
		if err := s.store.Update(background, add("count")); err != nil {
			s.Errorf("Update: %v", err)
		}
	})
	s.want("count", "100")
}

// triesAreLimited is the limit on guesses: compare and count in one step.
func triesAreLimited(s *subject) {
	var passed atomic.Int32
	together(200, func(int) {
		let := false
		err := s.store.Update(background, func(tx store.Tx) error {
			n, err := number(tx, "tries")
			if let = err == nil && n < 5; let {
				tx.Put("tries", strconv.AppendInt(nil, int64(n+1), 10), s.clock.Now().Add(time.Hour))
			}
			return err
		})
		if err != nil {
			s.Errorf("Update: %v", err)
		}
		if let {
			passed.Add(1)
		}
	})
	if passed.Load() != 5 {
		s.Errorf("%d tries passed, want 5", passed.Load())
	}
}

func oneConsumes(s *subject) {
	s.put("code", `"fresh"`, s.clock.Now().Add(time.Minute))
	s.wantOneWinner(func(tx store.Tx) (bool, error) {
		values, err := tx.Get("code")
		if err != nil || !sameJSON(string(values[0]), `"fresh"`) {
			return false, err
		}
		tx.Put("code", []byte(`"used"`), s.clock.Now().Add(time.Hour))
		return true, nil
	})
	s.want("code", `"used"`)
}

// oneCreates contends for a key that does not exist yet, where an engine has
// no row to lock.
func oneCreates(s *subject) {
	s.wantOneWinner(func(tx store.Tx) (bool, error) {
		values, err := tx.Get("used/nonce")
		if err != nil || values[0] != nil {
			return false, err
		}
		tx.Put("used/nonce", []byte(`{}`), s.clock.Now().Add(time.Hour))
		return true, nil
	})
}

func (s *subject) wantOneWinner(try func(store.Tx) (bool, error)) {
	s.Helper()
	var winners atomic.Int32
	together(200, func(int) {
		won := false
		err := s.store.Update(background, func(tx store.Tx) (err error) {
			won, err = try(tx)
			return err
		})
		if err != nil {
			s.Errorf("Update: %v", err)
		}
		if won {
			winners.Add(1)
		}
	})
	if winners.Load() != 1 {
		s.Errorf("%d of 200 won, want 1", winners.Load())
	}
}

func noWriteSkew(s *subject) {
	for round := range 20 {
		left, right := fmt.Sprint("left", round), fmt.Sprint("right", round)
		together(2, func(i int) {
			err := s.store.Update(background, func(tx store.Tx) error {
				values, err := tx.Get(left, right)
				if err == nil && values[0] == nil && values[1] == nil {
					tx.Put([]string{left, right}[i], []byte(`1`), never)
				}
				return err
			})
			if err != nil {
				s.Errorf("Update: %v", err)
			}
		})
		if s.get(left) != "" && s.get(right) != "" {
			s.Fatalf("round %d: both found nothing and both wrote", round)
		}
	}
}

// failingNeighbours mixes updates that fail with updates that do not: an
// engine that commits several as one must part them.
func failingNeighbours(s *subject) {
	together(120, func(i int) {
		defer func() { _ = recover() }()
		err := s.store.Update(background, func(tx store.Tx) error {
			n, err := number(tx, "count")
			if err != nil {
				return err
			}
			tx.Put("count", strconv.AppendInt(nil, int64(n+1), 10), never)
			tx.Put(fmt.Sprintf("kept/%03d", i), []byte(`1`), never)
			switch i % 3 {
			case 1:
				return fmt.Errorf("refused on purpose")
			case 2:
				panic("on purpose")
			}
			return nil
		})
		if (err == nil) != (i%3 == 0) {
			s.Errorf("update %d returned %v", i, err)
		}
	})
	s.want("count", "40")
	if n := len(s.scan("kept/", "", 200)); n != 40 {
		s.Errorf("%d updates left a trace, want 40", n)
	}
}

// viewIsSnapshot lets an update finish in the middle of a View. An engine
// whose updates wait for views runs it afterwards, which is as good.
func viewIsSnapshot(s *subject) {
	s.put("a", `1`, never)
	s.put("b", `1`, never)
	updated := make(chan error, 1)
	s.view(func(tx store.Tx) error {
		before, err := tx.Get("a")
		if err != nil {
			return err
		}
		go func() {
			updated <- s.store.Update(background, func(tx store.Tx) error {
				tx.Put("a", []byte(`2`), never)
				tx.Put("b", []byte(`2`), never)
				return nil
			})
		}()
		select {
		case err = <-updated:
			updated <- err
		case <-time.After(20 * time.Millisecond):
		}
		after, err := tx.Get("b", "a")
		if err != nil {
			return err
		}
		for _, value := range [][]byte{before[0], after[0], after[1]} {
			if string(value) != `1` {
				s.Errorf("a View saw a=%s, then b=%s a=%s", before[0], after[0], after[1])
			}
		}
		items, err := tx.Scan("b", "", 1)
		for _, item := range items {
			if string(item.Value) != `1` {
				s.Errorf("a View saw a=%s, then by Scan b=%s", before[0], item.Value)
			}
		}
		return err
	})
	if err := <-updated; err != nil {
		s.Errorf("Update: %v", err)
	}
	s.want("a", `2`)
}

func viewSeesWhole(s *subject) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 {
			err := s.store.Update(background, func(tx store.Tx) error {
				tx.Put("a", strconv.AppendInt(nil, int64(i), 10), never)
				tx.Put("b", strconv.AppendInt(nil, int64(i), 10), never)
				return nil
			})
			if err != nil {
				s.Errorf("Update: %v", err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s.view(func(tx store.Tx) error {
			values, err := tx.Get("a", "b")
			if string(values[0]) != string(values[1]) {
				s.Errorf("half an Update: a=%s b=%s", values[0], values[1])
			}
			return err
		})
	}
}
