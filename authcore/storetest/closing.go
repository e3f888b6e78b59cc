package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

var closingPromises = []promise{
	{name: "a closed store refuses", test: closedRefuses},
	{name: "Close waits for the update under way", test: closeWaits},
	{name: "calls during Close succeed or are refused", test: callsDuringClose},
}

func closedRefuses(s *subject) {
	s.put("k", `1`, never)
	for range 2 {
		if err := s.store.Close(); err != nil {
			s.Errorf("Close: %v", err)
		}
		ran := false
		fn := func(store.Tx) error {
			ran = true
			return nil
		}
		if err := s.store.View(background, fn); !errors.Is(err, store.ErrClosed) {
			s.Errorf("View after Close: %v, want ErrClosed", err)
		}
		if err := s.store.Update(background, fn); !errors.Is(err, store.ErrClosed) {
			s.Errorf("Update after Close: %v, want ErrClosed", err)
		}
		if ran {
			s.Errorf("fn ran after Close")
		}
	}
}

func closeWaits(s *subject) {
	var fnDone atomic.Bool
	inside, closed, updated := make(chan struct{}, 1), make(chan error, 1), make(chan error, 1)
	go func() {
		updated <- s.store.Update(background, func(tx store.Tx) error {
			inside <- struct{}{}
			time.Sleep(20 * time.Millisecond) // long enough for a Close that does not wait
			tx.Put("k", []byte(`1`), never)
			fnDone.Store(true)
			return nil
		})
	}()
	<-inside
	go func() {
		err := s.store.Close()
		if !fnDone.Load() {
			s.Errorf("Close returned while an update was running")
		}
		closed <- err
	}()
	if err := <-updated; err != nil {
		s.Errorf("the update under way returned %v", err)
	}
	if err := <-closed; err != nil {
		s.Errorf("Close: %v", err)
	}
}

func callsDuringClose(s *subject) {
	together(40, func(i int) {
		if i == 20 {
			if err := s.store.Close(); err != nil {
				s.Errorf("Close: %v", err)
			}
		}
		for j := range 5 {
			err := s.store.Update(background, func(tx store.Tx) error {
				tx.Put(fmt.Sprintf("%d/%d", i, j), []byte(`1`), never)
				return nil
			})
			if err != nil && !errors.Is(err, store.ErrClosed) {
				s.Errorf("Update: %v", err)
			}
			err = s.store.View(background, func(tx store.Tx) error {
				_, err := tx.Get(fmt.Sprintf("%d/%d", i, j))
				return err
			})
			if err != nil && !errors.Is(err, store.ErrClosed) {
				s.Errorf("View: %v", err)
			}
		}
	})
}

var reopenPromises = []promise{
	{name: "everything is there after reopening", test: reopenKeeps, remembers: true},
	{name: "what was acknowledged before Close is there", test: acknowledgedIsThere, remembers: true},
	{name: "expiry goes on over reopening", test: expiryGoesOn, remembers: true},
}

func reopenKeeps(s *subject) {
	const n = 500
	for round := range 3 {
		for i := range n {
			key := fmt.Sprintf("k%03d", i)
			switch {
			case i%7 == round:
				s.remove(key)
			case i%3 == round:
				s.put(key, fmt.Sprintf(`{"round":%d}`, round), never)
			}
		}
		s.put("last", fmt.Sprint(round), never)
		before := s.scan("", "", 2*n)
		s.reopen()
		after := s.scan("", "", 2*n)
		if len(before) != len(after) {
			s.Fatalf("%d records before, %d after reopening", len(before), len(after))
		}
		for i := range before {
			if before[i].Key != after[i].Key || string(before[i].Value) != string(after[i].Value) {
				s.Fatalf("%q: %s before, %q: %s after reopening", before[i].Key, before[i].Value, after[i].Key, after[i].Value)
			}
		}
	}
}

// acknowledgedIsThere closes under load: each Update that returned nil has to
// be found, and none that was refused.
func acknowledgedIsThere(s *subject) {
	const n = 60
	var acknowledged [n]atomic.Bool
	together(n, func(i int) {
		if i == n/2 {
			if err := s.store.Close(); err != nil {
				s.Errorf("Close: %v", err)
			}
			return
		}
		err := s.store.Update(background, func(tx store.Tx) error {
			tx.Put(fmt.Sprint(i), []byte(`1`), never)
			return nil
		})
		acknowledged[i].Store(err == nil)
	})
	s.store = s.engine.Reopen(s, s.store, s.clock.Now)
	for i := range n {
		if there := s.get(fmt.Sprint(i)) != ""; there != acknowledged[i].Load() {
			s.Errorf("update %d: acknowledged %v, found %v", i, acknowledged[i].Load(), there)
		}
	}
}

func expiryGoesOn(s *subject) {
	s.put("soon", `1`, s.clock.Now().Add(time.Minute))
	s.put("later", `1`, s.clock.Now().Add(time.Hour))
	s.reopen()
	s.want("soon", `1`)
	s.clock.move(time.Minute)
	s.reopen()
	s.want("soon", "")
	s.want("later", `1`)
}
