package session

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// A portal's session and those that were handed over from it to other sites
// are one sign-in: they end together, and use at one is use at all. The
// portal's is the root, the others are its children; there are no
// grandchildren. So are a session of an app and those for organizations that came
// from it.

// lastUse is when a sign-in was last used, in unix milliseconds.
type lastUse struct{ atomic.Int64 }

// later moves the last use forward, never back.
func (u *lastUse) later(at int64) {
	for {
		old := u.Load()
		if at <= old || u.CompareAndSwap(old, at) {
			return
		}
	}
}

// root is the sid of the session that this one hangs on, or its own.
func (s *Session) root() string {
	if s.Parent != "" {
		return s.Parent
	}
	return s.ID
}

// maxSuccessors bounds how often in a session's life its parent may have been
// replaced by signing in again.
const maxSuccessors = 64

// loadRoot reads the session that r hangs on: its parent or, after the same
// person signed in again at the portal, the one in its place. It is nil if that
// is gone.
func (r *Record) loadRoot(tx store.Tx) (*Record, error) {
	sid := r.Parent
	for range maxSuccessors {
		root, err := Load(tx, sid)
		if err != nil || root == nil || root.Subject != r.Subject {
			return nil, err
		}
		if root.Next == "" {
			return root, nil
		}
		sid = root.Next
	}
	return nil, nil
}

// inherit shows a child as its parent's state has it: ended with it, and used
// when it was. What is inherited is not meant to be saved.
func (r *Record) inherit(tx store.Tx) error {
	if r.Parent == "" || !r.EndedAt.IsZero() {
		return nil
	}
	root, err := r.loadRoot(tx)
	switch {
	case err != nil:
		return err
	case root == nil:
		r.EndedAt, r.Reason = r.AuthTime, "parent_gone"
	case !root.EndedAt.IsZero():
		r.EndedAt, r.Reason = root.EndedAt, root.Reason
	default:
		r.Parent, r.LastSeen, r.Expires = root.ID, root.LastSeen, earlier(r.Expires, root.Expires)
	}
	return nil
}

// adopt notes that others hang on the session with id sid.
func adopt(tx store.Tx, sid string) error {
	r, err := Load(tx, sid)
	if err != nil || r == nil || r.Children {
		return err
	}
	r.Children = true
	return r.Save(tx)
}

// Another is a session of the sign-in that r belongs to, with another id.
func (r *Record) Another(tx store.Tx, now time.Time) (*Record, error) {
	out := *r
	out.ID, out.Parent, out.Children, out.LastSeen = keyring.NewID(now), r.Root(), false, now
	return &out, adopt(tx, out.Parent)
}

// rootID is the session that ends when r does: r's parent while that lives.
func (c *Core) rootID(tx store.Tx, r *Record) (string, error) {
	if r.Parent == "" {
		return r.ID, nil
	}
	root, err := r.loadRoot(tx)
	if err != nil {
		return "", err
	}
	stands, err := c.Stands(tx, root)
	if err != nil || stands == Ended {
		return r.ID, err
	}
	return root.ID, nil
}

// isBeside tells whether r is neither of the sign-in that keep belongs to nor,
// where something is kept, a machine token: who signs out elsewhere does not
// mean the backup that runs at night.
func (c *Core) isBeside(tx store.Tx, r *Record, keep string) (bool, error) {
	if keep == "" {
		return true, nil
	}
	if r.ID == keep || r.Machine != nil {
		return false, nil
	}
	kept, err := Load(tx, keep)
	if err != nil || kept == nil {
		return err == nil, err
	}
	mine, err := c.rootID(tx, r)
	if err != nil {
		return false, err
	}
	its, err := c.rootID(tx, kept)
	return mine != its, err
}

// EndHere ends one session alone. The portal's goes on, and with it the sites
// that were signed in through it.
func (c *Core) EndHere(ctx context.Context, sid, reason string) (bool, error) {
	return c.endOne(ctx, sid, reason, func(store.Tx, *Record) (string, error) { return sid, nil })
}

// endOne ends the session that which says (empty: none), for the live one with
// id sid.
func (c *Core) endOne(ctx context.Context, sid, reason string, which func(store.Tx, *Record) (string, error)) (bool, error) {
	if !store.IsKeyPart(sid) {
		return false, nil
	}
	e, err := store.Update(ctx, c.store, func(tx store.Tx) (*Ending, error) {
		r, err := Load(tx, sid)
		if err != nil || r == nil || !r.EndedAt.IsZero() {
			return nil, err
		}
		target, err := which(tx, r)
		if err != nil || target == "" {
			return nil, err
		}
		// What was not used for too long ends, too: apps may hold on to it.
		stands, err := c.stands(tx, r, c.rule().atRest())
		if err != nil {
			return nil, err
		}
		if stands != Live {
			target = sid // it takes no other along any more
		}
		e, err := c.EndIn(tx, target, reason, nil)
		if e != nil {
			e.over = stands != Live
		}
		return e, err
	})
	if err != nil || e == nil {
		return false, err
	}
	c.endedAll(ctx, []Ending{*e})
	return !e.over, nil
}

// endedAll tells of sessions that have ended in the store, and ends in the
// store what hung on them. Their ending holds without that: whoever reads a
// child reads its parent. It is for the lists and the audit log.
func (c *Core) endedAll(ctx context.Context, all []Ending) {
	for _, e := range all {
		c.Ended(e)
		if !e.parent || e.next != nil {
			continue
		}
		belongs := func(tx store.Tx, r *Record) (bool, error) {
			root, err := r.loadRoot(tx)
			return root != nil && root.ID == e.sid, err
		}
		if _, err := c.endWhere(context.WithoutCancel(ctx), &person.Record{Subject: e.subject, Address: e.address}, e.reason, belongs); err != nil {
			c.log.Warn("sessions of other sites have ended with the portal's, but are still listed", "sid", e.sid, "error", err)
		}
	}
}

// SignIns returns the live sessions of the sign-in that s belongs to, the
// portal's first; s alone if it has no relatives.
func (s *View) SignIns(ctx context.Context, session *Session) ([]*Session, error) {
	prefix := store.KeyPersonSession + session.Subject + "/"
	found, err := store.View(ctx, s.core.store, func(tx store.Tx) (found []*Session, err error) {
		for after := ""; ; {
			page, err := tx.Scan(prefix, after, flushBatch)
			if err != nil || len(page) == 0 {
				return found, err
			}
			after = page[len(page)-1].Key
			for _, item := range page {
				r, err := Load(tx, item.Key[len(prefix):])
				if err != nil {
					return nil, err
				}
				stands, err := s.core.Stands(tx, r)
				if err != nil {
					return nil, err
				}
				if stands == Live && r.Root() == session.root() {
					found = append(found, newSession(r, &person.Record{Subject: r.Subject, Address: session.Address, Name: session.Name}, ""))
				}
			}
		}
	})
	slices.SortStableFunc(found, func(a, b *Session) int { return len(a.Parent) - len(b.Parent) })
	return found, err
}

// join lets s share its last use with the sessions of its sign-in.
func (c *cache) join(s *Session) {
	if relative := c.relative(s.root()); relative != nil {
		relative.seen.later(s.live.seen.Load())
		s.live.seen = relative.seen
	}
	c.hang(s.live, s.Parent)
}

// hang notes that l hangs on the session parent, and on no other any more;
// empty for none.
func (c *cache) hang(l *liveSession, parent string) {
	if l.hangsOn == parent {
		return
	}
	if old := l.hangsOn; old != "" {
		left := slices.DeleteFunc(c.children[old], func(o *liveSession) bool { return o == l })
		if c.children[old] = left; len(left) == 0 {
			delete(c.children, old)
		}
	}
	if l.hangsOn = parent; parent != "" {
		c.children[parent] = append(c.children[parent], l)
	}
}

// moved notes that the parent of l is now another, if l is still held.
func (c *cache) moved(l *liveSession, parent string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byToken[l.token] == l {
		c.hang(l, parent)
	}
}

// end tells the sessions in memory of an ending. Children of a session that
// another one takes the place of go over to that.
func (c *cache) end(e Ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if live := c.bySID[e.sid]; live != nil {
		live.end(e.next)
	}
	for _, child := range slices.Clone(c.children[e.sid]) {
		if e.next == nil {
			child.end(nil)
			continue
		}
		moved := *child.snapshot.Load()
		moved.Parent, moved.Expires = e.next.ID, earlier(moved.Expires, e.next.Expires)
		child.snapshot.Store(&moved)
		c.hang(child, e.next.ID)
	}
}
