package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

var atomicityPromises = []promise{
	{name: "an error keeps nothing", test: errorKeepsNothing},
	{name: "a panic keeps nothing", test: panicKeepsNothing},
	{name: "a goroutine that ends inside Update keeps nothing", test: goexitKeepsNothing},
	{name: "a context that has ended runs nothing", test: endedContext},
	{name: "an Update may write nothing", test: func(s *subject) {
		s.put("k", `1`, never)
		s.update(func(tx store.Tx) error {
			_, err := tx.Get("k")
			return err
		})
		s.want("k", `1`)
	}},
}

// overwrite is the start of an Update that will not be kept.
func overwrite(tx store.Tx) {
	tx.Put("k", []byte(`"changed"`), never)
	tx.Put("new", []byte(`1`), never)
	tx.Delete("dropped")
}

func (s *subject) beforeOverwrite() {
	s.put("k", `"kept"`, never)
	s.put("dropped", `1`, never)
}

func (s *subject) wantNothingOverwritten() {
	s.Helper()
	s.want("k", `"kept"`)
	s.want("new", "")
	s.want("dropped", `1`)
	s.put("again", `1`, never)
	s.want("again", `1`)
	s.want("new", "")
}

func errorKeepsNothing(s *subject) {
	s.beforeOverwrite()
	mine := fmt.Errorf("mine: %w", errors.New("cause"))
	err := s.store.Update(background, func(tx store.Tx) error {
		overwrite(tx)
		return mine
	})
	if err != mine {
		s.Errorf("Update returned %v, want fn's error itself", err)
	}
	s.wantNothingOverwritten()
}

func panicKeepsNothing(s *subject) {
	s.beforeOverwrite()
	type mine struct{ n int }
	func() {
		defer func() {
			if got := recover(); got != (mine{7}) {
				s.Errorf("the panic came out as %v, want it unchanged", got)
			}
		}()
		_ = s.store.Update(background, func(tx store.Tx) error {
			overwrite(tx)
			panic(mine{7})
		})
	}()
	s.wantNothingOverwritten()
}

// goexitKeepsNothing: t.FailNow inside fn ends the goroutine, and must not
// take the store with it.
func goexitKeepsNothing(s *subject) {
	s.beforeOverwrite()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.store.Update(background, func(tx store.Tx) error {
			overwrite(tx)
			runtime.Goexit()
			return nil
		})
	}()
	<-ended
	s.wantNothingOverwritten()
}

func endedContext(s *subject) {
	ctx, cancel := context.WithCancel(background)
	cancel()
	ran := false
	fn := func(store.Tx) error {
		ran = true
		return nil
	}
	if err := s.store.Update(ctx, fn); !errors.Is(err, context.Canceled) {
		s.Errorf("Update returned %v, want context.Canceled", err)
	}
	if err := s.store.View(ctx, fn); !errors.Is(err, context.Canceled) {
		s.Errorf("View returned %v, want context.Canceled", err)
	}
	if ran {
		s.Errorf("fn ran although its context had ended")
	}
}
