package pgstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A statement costs the database more to plan than to carry out, and a commit a write to
// its disk. So what waits at the same moment goes there together, one statement for all:
// first reads in one, commits in another. Who comes alone goes at once and alone.

const (
	// underWay is how many statements of a kind are at once: what comes meanwhile waits
	// for the next.
	underWay = 2
	// mostTogether, and mostBytes of what is written, bound one statement.
	mostTogether = 64
	mostBytes    = 1 << 20

	// patience is how long a call waits where nothing moves, and goes on trying after a
	// connection was lost.
	patience = 5 * time.Second
	// longest is how long it waits where others come through.
	longest = 30 * time.Second
)

var (
	errStill = fmt.Errorf("the database: nobody who waits for the same came through within %v", patience)
	errLong  = fmt.Errorf("the database: too many wait: not done within %v", longest)
)

// together is what waits for one kind of statement. take parts what goes next, at least
// one, from what goes on waiting.
type together[T any] struct {
	take func(waiting []*waiting[T]) (next, rest []*waiting[T])
	run  func(next []T) (answered bool)

	mu       sync.Mutex
	waiting  []*waiting[T]
	underWay int
	moved    time.Time // when a statement was answered
}

type waiting[T any] struct {
	what T
	done chan struct{}
}

// do has what run and waits for it. With an error it was not.
func (b *together[T]) do(ctx context.Context, what T, until time.Time) error {
	w := &waiting[T]{what, make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	if b.underWay < underWay {
		b.underWay++
		go b.runAll()
	}
	b.mu.Unlock()
	err := await(ctx, w.done, until, func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.moved
	})
	if err != nil && !b.remove(w) {
		<-w.done // it is on its way
		return nil
	}
	return err
}

func (b *together[T]) runAll() {
	for {
		b.mu.Lock()
		if len(b.waiting) == 0 {
			b.underWay--
			b.mu.Unlock()
			return
		}
		var next []*waiting[T]
		next, b.waiting = b.take(b.waiting)
		b.mu.Unlock()
		all := make([]T, len(next))
		for i, w := range next {
			all[i] = w.what
		}
		if b.run(all) {
			b.mu.Lock()
			b.moved = time.Now()
			b.mu.Unlock()
		}
		for _, w := range next {
			close(w.done)
		}
	}
}

// remove takes w out of those that wait, if it still does.
func (b *together[T]) remove(w *waiting[T]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, w)
	if i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	}
	return i >= 0
}

// await waits for done. It gives up with ctx, at until, and where nothing has moved for
// longer than a call is patient.
func await(ctx context.Context, done <-chan struct{}, until time.Time, moved func() time.Time) error {
	for began := time.Now(); ; {
		last := began
		if at := moved(); at.After(last) {
			last = at
		}
		timer := time.NewTimer(min(time.Until(last.Add(patience)), time.Until(until)))
		select {
		case <-done:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		switch {
		case !time.Now().Before(until):
			return errLong
		case !moved().After(last):
			return errStill
		}
	}
}
