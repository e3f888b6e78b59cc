package authcore

import (
	"context"
	"time"
)

// ending is one session that was ended in a transaction.
type ending struct {
	sid       string
	subject   string
	challenge string  // that it came from
	address   Address // whose it was; zero for somebody who is gone
	reason    string
	next      *Session // the same person's session in its place, nil for none
}

// endSession marks a session as ended. It returns nil if there was none to end.
func endSession(tx Tx, sid, reason string, next *Session, now time.Time) (*ending, error) {
	r, err := loadSession(tx, sid)
	if err != nil || r == nil || !r.EndedAt.IsZero() {
		return nil, err
	}
	r.EndedAt, r.Reason = now, reason
	if next != nil {
		r.Next = next.ID
	}
	e := &ending{sid: sid, subject: r.Subject, challenge: r.Challenge, reason: reason, next: next}
	p, err := loadPerson(tx, r.Subject)
	if err != nil {
		return nil, err
	}
	if p != nil {
		e.address = p.Address
	}
	return e, r.save(tx)
}

// End ends a session: it is refused from now on and its open streams are cut.
// It reports whether there was a session to end. reason is a stable word for
// the audit log, for example "signed_out".
func (c *Core) End(ctx context.Context, sid, reason string) (bool, error) {
	return c.endIf(ctx, sid, reason, func(string) bool { return true })
}

// EndOwn is End for a session that must be of the person with subject sub:
// another's is none.
func (c *Core) EndOwn(ctx context.Context, sub, sid, reason string) (bool, error) {
	return c.endIf(ctx, sid, reason, func(owner string) bool { return owner == sub })
}

func (c *Core) endIf(ctx context.Context, sid, reason string, may func(sub string) bool) (bool, error) {
	if !isKeyPart(sid) {
		return false, nil
	}
	var e *ending
	err := c.store.Update(ctx, func(tx Tx) (err error) {
		e = nil
		r, err := loadSession(tx, sid)
		if err != nil || r == nil || !may(r.Subject) {
			return err
		}
		e, err = endSession(tx, sid, reason, nil, c.now())
		return err
	})
	if err != nil || e == nil {
		return false, err
	}
	c.ended(*e)
	return true, nil
}

// EndPerson ends all sessions of the person with subject sub and returns how
// many there were.
func (c *Core) EndPerson(ctx context.Context, sub, reason string) (int, error) {
	return c.EndOthers(ctx, sub, "", reason)
}

// EndOthers is EndPerson but for the session keep.
func (c *Core) EndOthers(ctx context.Context, sub, keep, reason string) (int, error) {
	if !isKeyPart(sub) {
		return 0, nil
	}
	return c.endAll(ctx, &person{Subject: sub}, reason, keep)
}

// endAll ends the sessions of p, which may be gone from the store already, page
// by page.
func (c *Core) endAll(ctx context.Context, p *person, reason, keep string) (int, error) {
	prefix := keyPersonSession + p.Subject + "/"
	for after, count := "", 0; ; {
		var page []Item
		err := c.store.View(ctx, func(tx Tx) (err error) {
			page, err = tx.Scan(prefix, after, flushBatch)
			return err
		})
		if err != nil || len(page) == 0 {
			return count, err
		}
		after = page[len(page)-1].Key
		endings, err := c.endPage(ctx, page, prefix, reason, keep)
		if err != nil {
			return count, err
		}
		for _, e := range endings {
			if e.address.IsZero() {
				e.address = p.Address
			}
			c.ended(e)
		}
		if count += len(endings); len(page) < flushBatch {
			return count, nil
		}
	}
}

func (c *Core) endPage(ctx context.Context, page []Item, prefix, reason, keep string) (endings []ending, err error) {
	err = c.store.Update(ctx, func(tx Tx) error {
		endings = nil
		for _, item := range page {
			sid := item.Key[len(prefix):]
			if sid == keep {
				continue
			}
			e, err := endSession(tx, sid, reason, nil, c.now())
			if err != nil {
				return err
			}
			if e != nil {
				endings = append(endings, *e)
			}
		}
		return nil
	})
	return endings, err
}

// ended tells the cache and the streams of a session that has ended in the
// store.
func (c *Core) ended(e ending) {
	c.census.sessions.Add(-1)
	if live := c.cache.find(e.sid); live != nil {
		live.end(e.next)
	}
	c.streams.end(e)
	name := EventEnded
	if e.reason == SignedOut {
		name = EventSignedOut
	}
	c.observe(Event{Name: name, Address: e.address, Session: e.sid, Subject: e.subject, Challenge: e.challenge, Reason: e.reason})
}

// SignedOut is the reason of an ending that the person asked for.
const SignedOut = "signed_out"

func (l *liveSession) end(next *Session) {
	if next != nil {
		l.next.Store(next)
	}
	l.ended.Store(true)
}
