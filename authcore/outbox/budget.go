package outbox

import (
	"container/heap"
	"context"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// The mails of all people together are bounded by Limits.Global. Who would go
// over it is not told: the mail waits, as long as it may, so that neither one
// network stops all others nor a nearly used-up limit tells who may sign in.

// Several nodes count their mails ahead, in blocks of one part in blockShare: all would
// wait for each other at a record that every mail of theirs changes. So Global may be
// exceeded by one block for each node. A block is for browsers that have proved the
// address, or for others. Where Global is too low for blocks each mail is counted.

// blockShare makes a block of Limits.Global, one part in so many.
const blockShare = 50

// Hold is that a message waits for its part of Limits.Global.
type Hold struct {
	Until time.Time     `json:"until"` // when it is given up
	wait  time.Duration // for the next try
}

// Count counts e as one of all messages, or holds it. false: so many are held
// that it could only be given up in the end.
func (o *Outbox) Count(tx store.Tx, l limit.Limits, e *Entry) (bool, error) {
	e.Held, e.ahead = nil, o.isAhead(e.Known)
	now, all := o.cfg.Now(), l.Mails(e.Share, e.Known)
	counted := all
	if e.ahead {
		counted = all[1:]
	}
	if err := counted.Load(tx); err != nil {
		return false, err
	}
	wait := counted.Wait(now)
	if wait <= 0 {
		counted.Count(tx, now)
		return true, nil
	}
	e.ahead = false
	until := now.Add(e.Expires.Sub(e.At) / 2)
	if until.After(e.Expires) {
		until = e.Expires
	}
	e.Held = &Hold{Until: until, wait: wait}
	return !o.isOverheld(e.Share, all, until.Sub(now)), nil
}

// spend counts a mail that was held as one to be sent now, if it still is to be,
// or holds it and those that wait for the same on.
func (o *Outbox) spend(ctx context.Context, r *route, m *mail) (*Item, error) {
	now := o.cfg.Now()
	if !now.Before(m.Held.Until) {
		return nil, nil
	}
	type spent struct {
		item  *Item
		as    Entry
		wait  time.Duration
		byAll bool // it waits for no share of its own
	}
	c, err := store.Update(ctx, o.cfg.Store, func(tx store.Tx) (c spent, err error) {
		if c.as, err = o.claim(tx, m); err != nil {
			return c, err
		}
		if c.item, err = r.Letters.Letter(tx, m.Entry); err != nil || c.item == nil {
			return c, err
		}
		all := r.Limits.Mails(m.Share, m.Known)
		if err := all.Load(tx); err != nil {
			return c, err
		}
		if c.wait = all.Wait(now); c.wait > 0 {
			c.byAll = all[:1].Wait(now) >= c.wait
			return c, nil
		}
		all.Count(tx, now)
		return c, c.as.save(tx)
	})
	if errors.Is(err, errElsewhere) {
		return nil, err
	} else if err != nil {
		c.wait = time.Second
	} else if c.wait <= 0 && c.item != nil {
		o.claimed(m, c.as)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.wait <= 0 {
		o.hold(m, nil)
		return c.item, nil
	}
	m.due = now.Add(c.wait)
	for _, q := range o.queues {
		for _, w := range q.held {
			if w.Known == m.Known && (c.byAll || w.Share == m.Share) {
				w.due = m.due
			}
		}
		heap.Init(&q.held)
	}
	return nil, errHeld
}

// isOverheld tells whether one more message of the share would not be held: so many
// are that it could only be given up in the end. all is what it would wait for,
// for so long.
func (o *Outbox) isOverheld(share string, all limit.Counters, wait time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.heldAll >= min(queueSize, all[0].Within(wait)) || len(all) > 1 && o.heldBy[share] >= all[1].Within(wait)
}

// Keys are what Count reads for a message of that share.
func (o *Outbox) Keys(l limit.Limits, share string, known bool) []string {
	all := l.Mails(share, known)
	if o.isAhead(known) {
		all = all[1:]
	}
	return all.Keys()
}

// isAhead tells whether a message is counted already.
func (o *Outbox) isAhead(known bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ahead[known] > 0
}

func (o *Outbox) wakeCounter(known bool) {
	select {
	case o.short <- known:
	default: // the next message does so
	}
}

// keepAhead counts messages ahead where few are left of the block before, until ctx
// ends.
func (o *Outbox) keepAhead(ctx context.Context) {
	for o.shared != nil {
		var known bool
		select {
		case <-ctx.Done():
			return
		case known = <-o.short:
		}
		if r := o.means.Load(); r != nil {
			if err := o.countAhead(ctx, r.Limits, known); err != nil && ctx.Err() == nil {
				o.cfg.Log.Warn("mails can't be counted ahead; each is counted by itself meanwhile", "error", err)
			}
		}
	}
}

func (o *Outbox) countAhead(ctx context.Context, l limit.Limits, known bool) error {
	all := l.Mails("", known)
	block := all[0].Part(blockShare)
	o.mu.Lock()
	left := o.ahead[known]
	o.mu.Unlock()
	if block < 2 || left > block/2 {
		return nil
	}
	n, err := store.Update(ctx, o.cfg.Store, func(tx store.Tx) (int, error) {
		if err := all.Load(tx); err != nil {
			return 0, err
		}
		return all[0].CountAhead(tx, o.cfg.Now(), left, block), nil
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ahead[known] += n
	return err
}
