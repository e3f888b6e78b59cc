package authcore

import (
	"context"
	"slices"
	"sync"
	"time"
)

// openings remembers which links were opened until that is written to the
// history. Opening a link must change nothing and cost no write, however often
// a mail scanner does it.
type openings struct {
	mu   sync.Mutex
	seen map[string]opening // by challenge, until it is written
}

type opening struct {
	c  *challenge
	at time.Time
}

const openingsSize = 1000

func (o *openings) add(c *challenge, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == nil {
		o.seen = map[string]opening{}
	}
	if _, known := o.seen[c.ID]; !known && len(o.seen) < openingsSize {
		o.seen[c.ID] = opening{c, at}
	}
}

// flush writes them in small transactions. What can't be written is kept for
// the next time.
func (o *openings) flush(ctx context.Context, core *Core) {
	o.mu.Lock()
	var all []opening
	for _, one := range o.seen {
		all = append(all, one)
	}
	o.seen = nil
	o.mu.Unlock()
	for batch := range slices.Chunk(all, flushBatch) {
		err := core.store.Update(ctx, func(tx Tx) error {
			for _, one := range batch {
				if err := one.c.noteOpened(tx, one.at); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			core.log.Warn("which links were opened can't be written; it stays in memory", "links", len(batch), "error", err)
			for _, one := range batch {
				o.add(one.c, one.at)
			}
		}
	}
}

// noteOpened notes the first time only: scanners open links again and again.
func (c *challenge) noteOpened(tx Tx, at time.Time) error {
	return c.changeHistory(tx, func(r *attemptRecord) {
		opened := func(s Step) bool { return s.Outcome == OutcomeLinkOpened }
		if slices.ContainsFunc(r.Steps, opened) {
			return
		}
		// It may have been used since it was opened: steps stay in order.
		r.add(Step{At: at, Outcome: OutcomeLinkOpened})
		slices.SortStableFunc(r.Steps[1:], func(a, b Step) int { return a.At.Compare(b.At) })
	})
}

func newestFirst(all []Attempt, limit int) []Attempt {
	slices.SortStableFunc(all, func(a, b Attempt) int { return b.At.Compare(a.At) })
	return all[:min(len(all), limit)]
}
