package authcore

import (
	"context"
	"slices"
	"sync"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// lateSteps holds steps of attempts that need not be on disk at once, until the
// attempt's history is written anyway or a minute has passed: that a sender took
// the mail, and that a link was opened, which must cost no write however often
// a mail scanner does it.
type lateSteps struct {
	mu   sync.Mutex
	held map[string]*late // by challenge
}

// late are the steps of one attempt, the oldest first.
type late struct {
	history string // its key
	steps   []Step
}

// lateSize bounds the attempts that steps are held for. Half of them are left for
// openings, which nobody else would write.
const lateSize = 2000

// add reports whether it holds step. Of the openings of a link it holds the
// first.
func (l *lateSteps) add(challenge, history string, step Step) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.held[challenge]
	switch {
	case of == nil && len(l.held) >= lateRoom(step.Outcome):
		return false
	case of == nil:
		if l.held == nil {
			l.held = map[string]*late{}
		}
		of = &late{history: history}
		l.held[challenge] = of
	case step.isIn(of.steps):
		return true
	}
	of.steps = append(of.steps, step)
	return true
}

func lateRoom(o Outcome) int {
	if o == OutcomeLinkOpened {
		return lateSize
	}
	return lateSize / 2
}

// of returns the steps held for a challenge.
func (l *lateSteps) of(challenge string) []Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of := l.held[challenge]; of != nil {
		return slices.Clone(of.steps)
	}
	return nil
}

// written lets steps of a challenge go.
func (l *lateSteps) written(challenge string, steps []Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.held[challenge]
	if of == nil {
		return
	}
	of.steps = slices.DeleteFunc(of.steps, func(s Step) bool { return s.isIn(steps) })
	if len(of.steps) == 0 {
		delete(l.held, challenge)
	}
}

// flush writes them all in small transactions. What can't be written is kept
// for the next time.
func (l *lateSteps) flush(ctx context.Context, core *Core) {
	type one struct {
		challenge string
		late
	}
	var all []one
	l.mu.Lock()
	for id, of := range l.held {
		all = append(all, one{id, late{of.history, slices.Clone(of.steps)}})
	}
	l.mu.Unlock()
	for batch := range slices.Chunk(all, flushBatch) {
		err := core.store.Update(ctx, func(tx store.Tx) error {
			for _, one := range batch {
				if err := core.changeHistory(tx, one.history, one.challenge, func(*attemptRecord) {}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			core.log.Warn("what became of mails and links can't be written to their history; it stays in memory", "attempts", len(batch), "error", err)
			continue
		}
		for _, one := range batch {
			l.written(one.challenge, one.steps)
		}
	}
}

// insert adds steps that may be older than the last ones, and may be there
// already.
func (r *attemptRecord) insert(steps []Step) {
	if len(steps) == 0 {
		return
	}
	for _, step := range steps {
		if !step.isIn(r.Steps) {
			r.add(step)
		}
	}
	slices.SortStableFunc(r.Steps[1:], func(a, b Step) int { return a.At.Compare(b.At) })
}

// isIn tells whether steps have s, perhaps counted with later ones. Scanners open
// links again and again: the first time says it all.
func (s Step) isIn(steps []Step) bool {
	return slices.ContainsFunc(steps, func(other Step) bool {
		switch {
		case other.Outcome != s.Outcome:
			return false
		case s.Outcome == OutcomeLinkOpened:
			return true
		}
		return other.Sender == s.Sender && !s.At.After(other.At)
	})
}
