package authcore

import (
	"context"
	"time"
)

// ending is one session that was ended in a transaction.
type ending struct {
	sid     string
	subject string
	reason  string
	next    *Session // the same person's session in its place, nil for none
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
	return &ending{sid, r.Subject, reason, next}, r.save(tx)
}

// End ends a session: it is refused from now on and its open streams are cut.
// It reports whether there was a session to end. reason is a stable word for
// the audit log, for example "signed_out".
func (c *Core) End(ctx context.Context, sid, reason string) (bool, error) {
	var e *ending
	err := c.store.Update(ctx, func(tx Tx) (err error) {
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
	count := 0
	for after := ""; ; {
		prefix := keyPersonSession + sub + "/"
		var page []Item
		err := c.store.View(ctx, func(tx Tx) (err error) {
			page, err = tx.Scan(prefix, after, flushBatch)
			return err
		})
		if err != nil || len(page) == 0 {
			return count, err
		}
		after = page[len(page)-1].Key
		var endings []ending
		err = c.store.Update(ctx, func(tx Tx) error {
			endings = nil
			for _, item := range page {
				e, err := endSession(tx, item.Key[len(prefix):], reason, nil, c.now())
				if err != nil {
					return err
				}
				if e != nil {
					endings = append(endings, *e)
				}
			}
			return nil
		})
		if err != nil {
			return count, err
		}
		for _, e := range endings {
			c.ended(e)
		}
		count += len(endings)
	}
}

// ended tells the cache and the streams of a session that has ended in the
// store.
func (c *Core) ended(e ending) {
	if live := c.cache.find(e.sid); live != nil {
		live.end(e.next)
	}
	c.streams.end(e)
	name := EventEnded
	if e.reason == SignedOut {
		name = EventSignedOut
	}
	c.observe(Event{Name: name, Session: e.sid, Subject: e.subject, Reason: e.reason})
}

// SignedOut is the reason of an ending that the person asked for.
const SignedOut = "signed_out"

func (l *liveSession) end(next *Session) {
	if next != nil {
		l.next.Store(next)
	}
	l.ended.Store(true)
}
