package session

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// An ending is two steps. EndIn marks the record, in the transaction of what the ending
// belongs to (an answer that makes another session, the deletion of a person), together
// with what apps and other nodes are to be told (tell). Once that is committed, Ended has
// this process follow: the cache, the answers under way, the audit log. Children
// (family.go) are over with their parent, whatever their records say; endedAll marks
// those too, for lists.

// Ending is one session that was ended in a transaction.
type Ending struct {
	sid       string
	subject   string
	challenge string          // that it came from
	address   address.Address // whose it was; zero for somebody who is gone
	reason    string
	next      *Session // the same person's session in its place, nil for none
	parent    bool     // other sessions hang on it
	over      bool     // it was over before; that it was ended changes nothing
}

// EndIn marks a session as ended. It returns nil for one that was.
func (c *Core) EndIn(tx store.Tx, sid, reason string, next *Session) (*Ending, error) {
	r, err := Load(tx, sid)
	if err != nil || r == nil || !r.EndedAt.IsZero() {
		return nil, err
	}
	now := c.now()
	e := &Ending{sid: sid, subject: r.Subject, challenge: r.Challenge, reason: reason, next: next, parent: r.Children}
	e.over = c.standing(r.life(), Rule{}, now) != Live
	r.EndedAt, r.Reason = now, reason
	if next != nil {
		r.Next = next.ID
	}
	p, err := person.Load(tx, r.Subject)
	if err != nil {
		return nil, err
	}
	if p != nil {
		e.address = r.Address(p)
	}
	if c.tell != nil {
		if err := c.tell(tx, sid, next != nil); err != nil {
			return nil, err
		}
	}
	return e, r.Save(tx)
}

// EndAgain ends a session in s that had been ended before s lost that.
func (c *Core) EndAgain(ctx context.Context, s store.Store, sid string) error {
	return s.Update(ctx, func(tx store.Tx) error {
		_, err := c.EndIn(tx, sid, "ended_before", nil)
		return err
	})
}

// HasEnded takes down that a session has ended at another node. Where another one
// took its place, those that hang on it go over to that one, which their records
// tell.
func (c *Core) HasEnded(sid string, replaced bool) {
	if !replaced {
		c.cache.end(Ending{sid: sid})
		c.streams.end(Ending{sid: sid})
		return
	}
	c.cache.replaced(sid)
	c.streams.eachStored(func(st *Stream) {
		if st.Session.ID == sid && st.Session.live.next.Load() == nil {
			st.Session.live.end(nil)
			st.stop()
		}
	})
}

func (c *cache) replaced(sid string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if live := c.bySID[sid]; live != nil && live.next.Load() == nil {
		live.end(nil)
	}
	for _, child := range c.children[sid] {
		child.readAt.Store(0)
	}
}

// Recheck has every session read again before it counts, and reads those of answers
// under way now: their endings may have been missed.
func (c *Core) Recheck(ctx context.Context) error {
	c.cache.mu.RLock()
	for _, live := range c.cache.bySID {
		live.readAt.Store(0)
	}
	c.cache.mu.RUnlock()
	var err error
	for _, live := range c.streams.sessions() {
		if failed := c.reread(ctx, live, c.now()); failed != nil {
			err = failed
		}
	}
	c.sweep()
	return err
}

// CutAll cuts all answers under way whose sessions are in the store: whether those
// have ended can't be told.
func (c *Core) CutAll() {
	c.streams.eachStored((*Stream).stop)
}

// End ends a session with all that belong to the same sign-in: the portal's,
// from which the browser would otherwise get a new one without being asked, and
// those of other sites. They are refused from now on and their open streams are
// cut. It reports whether there was a session to end. reason is a stable word
// for the audit log, for example "signed_out".
func (c *Core) End(ctx context.Context, sid, reason string) (bool, error) {
	return c.endIf(ctx, sid, reason, func(string) bool { return true })
}

// EndOwn is End for a session that must be of the person with subject sub:
// another's is none.
func (c *Core) EndOwn(ctx context.Context, sub, sid, reason string) (bool, error) {
	return c.endIf(ctx, sid, reason, func(owner string) bool { return owner == sub })
}

func (c *Core) endIf(ctx context.Context, sid, reason string, may func(sub string) bool) (bool, error) {
	return c.endOne(ctx, sid, reason, func(tx store.Tx, r *Record) (string, error) {
		if !may(r.Subject) {
			return "", nil
		}
		return c.rootID(tx, r)
	})
}

// Kept is the browser that stays when a person's others are signed out.
type Kept struct {
	Session string // its sid, "" for none
	Device  string // the value of its device cookie, "" for none
}

// EndPerson ends all sessions of the person with subject sub, machine tokens
// too, and returns how many there were. No browser is known for them any more.
func (c *Core) EndPerson(ctx context.Context, sub, reason string) (int, error) {
	return c.EndOthers(ctx, sub, Kept{}, reason)
}

// EndOthers is EndPerson but for the browser keep, the sites signed in with its
// session, and machine tokens.
func (c *Core) EndOthers(ctx context.Context, sub string, keep Kept, reason string) (int, error) {
	if !store.IsKeyPart(sub) {
		return 0, nil
	}
	return c.EndAll(ctx, &person.Record{Subject: sub}, reason, keep)
}

// EndAll ends the sessions of p, which may be gone from the store already, page
// by page. What would still become one dies first: a link that was followed, and
// whose session nobody has fetched.
func (c *Core) EndAll(ctx context.Context, p *person.Record, reason string, keep Kept) (int, error) {
	err := c.store.Update(ctx, func(tx store.Tx) error {
		known, err := person.Load(tx, p.Subject)
		if err != nil || known == nil {
			return err
		}
		known.Ended = c.now()
		if known.IsAccount() {
			if err := challenge.Distrust(tx, known.Address, time.Time{}, keep.Device, known.Ended); err != nil {
				return err
			}
		}
		return store.Save(tx, store.KeyPerson+known.Subject, known, time.Time{})
	})
	if err != nil {
		return 0, err
	}
	return c.endWhere(ctx, p, reason, func(tx store.Tx, r *Record) (bool, error) { return c.isBeside(tx, r, keep.Session) })
}

// endWhere ends the sessions of p that which says.
func (c *Core) endWhere(ctx context.Context, p *person.Record, reason string, which func(store.Tx, *Record) (bool, error)) (int, error) {
	prefix := store.KeyPersonSession + p.Subject + "/"
	for after, count := "", 0; ; {
		page, err := store.View(ctx, c.store, func(tx store.Tx) ([]store.Item, error) { return tx.Scan(prefix, after, flushBatch) })
		if err != nil || len(page) == 0 {
			return count, err
		}
		after = page[len(page)-1].Key
		endings, err := c.endPage(ctx, page, prefix, reason, which)
		if err != nil {
			return count, err
		}
		for _, e := range endings {
			if e.address.IsZero() {
				e.address = p.Address
			}
			c.Ended(e)
			if !e.over {
				count++
			}
		}
		if len(page) < flushBatch {
			return count, nil
		}
	}
}

func (c *Core) endPage(ctx context.Context, page []store.Item, prefix, reason string, which func(store.Tx, *Record) (bool, error)) ([]Ending, error) {
	keys := make([]string, len(page))
	for i, item := range page {
		keys[i] = store.KeySession + item.Key[len(prefix):]
	}
	return store.Update(ctx, c.store, func(tx store.Tx) (endings []Ending, err error) {
		if tx, err = store.ReadAhead(tx, keys...); err != nil {
			return nil, err
		}
		for _, item := range page {
			r, err := Load(tx, item.Key[len(prefix):])
			if err != nil {
				return nil, err
			}
			if r == nil {
				continue
			}
			yes, err := which(tx, r)
			if err != nil {
				return nil, err
			}
			if !yes {
				continue
			}
			e, err := c.EndIn(tx, r.ID, reason, nil)
			if err != nil {
				return nil, err
			}
			if e != nil {
				endings = append(endings, *e)
			}
		}
		return endings, nil
	})
}

// Ended tells the cache and the streams of a session that has ended in the
// store.
func (c *Core) Ended(e Ending) {
	c.cache.end(e)
	c.streams.end(e)
	if e.over {
		return
	}
	c.count(-1)
	name := event.Ended
	if e.reason == SignedOut {
		name = event.SignedOut
	}
	c.observe(event.Event{Name: name, Address: e.address, Session: e.sid, Subject: e.subject, Challenge: e.challenge, Reason: e.reason})
}

// Why sessions end: SignedOut because the person asked for it there, EndedByOwner
// from their account, RevokedByOperator because an operator did.
const (
	SignedOut         = "signed_out"
	EndedByOwner      = "ended_by_owner"
	RevokedByOperator = "revoked"
)

func (l *liveSession) end(next *Session) {
	if next != nil {
		l.next.Store(next)
	}
	l.ended.Store(true)
}

// EndUnfounded ends the sessions of p that rest on no contact any more, now that
// gone is not p's, which is what they are reported with.
func (c *Core) EndUnfounded(ctx context.Context, p *person.Record, gone address.Address, reason string) error {
	_, err := c.endWhere(ctx, &person.Record{Subject: p.Subject, Address: gone}, reason, func(_ store.Tx, r *Record) (bool, error) {
		return r.API != nil && !r.restsOn(p), nil
	})
	return err
}
