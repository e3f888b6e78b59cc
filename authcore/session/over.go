package session

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Whether a session is over is decided by Core.standing and nowhere else: for
// requests, streams, lists, hand-overs, apps, machine tokens, export and import,
// by what memory or the store knows of it. Whose person is gone is none: what
// reads a session reads its person with it.

// Standing is how a session stands.
type Standing uint8

const (
	Live    Standing = iota
	Ended            // by somebody, with what it hangs on, or with all others
	Expired          // its time is up or, on a clock set back, has not come
)

// life is all that decides how a session stands.
type life struct {
	ended   bool // also by the session or the contacts that it hangs on
	began   time.Time
	expires time.Time
	used    int64 // last, in unix milliseconds
	bearer  bearer
	app     string // whose it is; its sessions are over while it is not configured
}

// bearer is what a session is used by.
type bearer uint8

const (
	byBrowser       bearer = iota
	byProgram              // who asked for it said how long it lives
	byConfiguration        // a token that lives as long as it is configured
)

// standing decides. rule limits sessions of browsers; the zero rule does not.
func (c *Core) standing(l life, rule Rule, now time.Time) Standing {
	if _, ok := c.app(l.app); l.ended || !ok {
		return Ended
	}
	if l.bearer == byConfiguration {
		if !l.expires.IsZero() && !now.Before(l.expires) {
			return Expired
		}
		return Live
	}
	switch {
	case c.Revoked(l.began):
		return Ended
	case l.began.After(now.Add(keyring.ClockSkew)), !now.Before(l.expires):
		return Expired
	case l.bearer == byBrowser && rule.passed(l.began, time.UnixMilli(l.used), now) != 0:
		return Expired
	}
	return Live
}

// passed returns the limit of r that a session has passed at now, which began
// and was last used then; 0 for none. A limit of 0 does not limit.
func (r Rule) passed(began, used, now time.Time) time.Duration {
	switch {
	case r.Max > 0 && now.Sub(began) >= r.Max:
		return r.Max
	case r.Idle > 0 && now.Sub(used) >= r.Idle:
		return r.Idle
	}
	return 0
}

// atRest is the rule for what lasts while its session is not used.
func (r Rule) atRest() Rule { return Rule{Max: r.Max} }

// rule is that of the configuration in use.
func (c *Core) rule() Rule {
	if s := c.current.Load(); s != nil {
		return s.cfg.Session
	}
	return Rule{}
}

// lives tells whether a session in memory is live by this configuration.
func (s *View) lives(session *Session, now time.Time) bool {
	return s.core.standing(s.life(session), s.cfg.Session, now) == Live
}

func (s *View) life(session *Session) life {
	if !session.isConfigured() {
		return session.life()
	}
	known := s.machines[session.live.token]
	if known == nil || known.ID != session.ID {
		return life{ended: true}
	}
	return life{expires: known.Expires, bearer: byConfiguration}
}

// life is what memory knows of a session that has a record.
func (s *Session) life() life {
	l := life{ended: s.live.ended.Load(), began: s.AuthTime, expires: s.Expires, used: s.live.seen.Load()}
	if s.Machine != nil {
		l.bearer = byProgram
	}
	return l
}

// isConfigured tells whether the session is that of a token of the
// configuration.
func (s *Session) isConfigured() bool { return s.Machine != nil && s.Address.IsZero() }

// Stands tells how a session of the store stands; nil has ended. It brings r up
// to date with what it hangs on and with what this process knows of its use, so
// that r is not meant to be saved after it.
func (c *Core) Stands(tx store.Tx, r *Record) (Standing, error) { return c.stands(tx, r, c.rule()) }

// Lasting reads the session with id sid of the person sub or, after they have
// signed in again, the one in its place, and tells how it stands. With atRest the
// time without use does not count.
func (c *Core) Lasting(tx store.Tx, sub, sid string, atRest bool) (*Record, Standing, error) {
	r, err := (&Record{Subject: sub, Parent: sid}).loadRoot(tx)
	if err != nil {
		return nil, Ended, err
	}
	rule := c.rule()
	if atRest {
		rule = rule.atRest()
	}
	stands, err := c.stands(tx, r, rule)
	return r, stands, err
}

// IsHeir tells whether a session is the one with id sid, has taken its place, or
// hangs on one that has.
func (c *Core) IsHeir(ctx context.Context, s *Session, sid string) (bool, error) {
	if !store.IsKeyPart(sid) {
		return false, nil
	}
	return store.View(ctx, c.store, func(tx store.Tx) (bool, error) {
		r, err := (&Record{Subject: s.Subject, Parent: sid}).loadRoot(tx)
		return r != nil && (r.ID == s.ID || r.Root() == s.root()), err
	})
}

func (c *Core) stands(tx store.Tx, r *Record, rule Rule) (Standing, error) {
	if r == nil {
		return Ended, nil
	}
	if err := r.inherit(tx); err != nil {
		return Ended, err
	}
	if r.API != nil && r.EndedAt.IsZero() {
		p, err := person.LoadIn(tx, r.API.Realm, r.Subject)
		if err != nil {
			return Ended, err
		}
		if p == nil || !r.restsOn(p) {
			r.EndedAt, r.Reason = r.API.Updated, "contact_gone"
		}
	}
	c.cache.recall(r)
	c.Bound(r)
	return c.standing(r.life(), rule, c.now()), nil
}

// life is what a record says of its session.
func (r *Record) life() life {
	l := life{ended: !r.EndedAt.IsZero(), began: r.AuthTime, expires: r.Expires, used: r.LastSeen.UnixMilli()}
	if r.API != nil || r.Machine != nil {
		l.bearer = byProgram
	}
	l.app = r.Realm().App
	return l
}

// app tells whether the configuration in use has an app, and how long its
// sessions live at most; empty: the gates.
func (c *Core) app(id string) (most time.Duration, ok bool) {
	s := c.current.Load()
	if id == "" || s == nil || s.cfg.App == nil {
		return 0, true
	}
	return s.cfg.App(id)
}

// IsOverHere tells whether a record from elsewhere is of a session that is over
// here, whatever the record says of its end.
func (c *Core) IsOverHere(r *Record) bool {
	l := r.life()
	l.ended = false
	return c.standing(l, Rule{}, c.now()) != Live
}

// Bound shortens a session to what its app allows in all, counted from its
// beginning: whatever made it, or moved its end, and whenever the app's rule was
// written.
func (c *Core) Bound(r *Record) *Record {
	if r == nil || r.API == nil {
		return r
	}
	if most, _ := c.app(r.API.Realm.App); most > 0 {
		r.Expires = earlier(r.Expires, r.AuthTime.Add(most))
	}
	return r
}

// recall brings a record up to date with what memory knows of the session's
// use.
func (c *cache) recall(r *Record) {
	root := r.Root()
	c.mu.RLock()
	defer c.mu.RUnlock()
	if live := c.bySID[r.ID]; live != nil {
		r.Sites = live.sites.names(r.Sites)
		r.LastSeen = Later(r.LastSeen, time.UnixMilli(live.seen.Load()))
	}
	if relative := c.relative(root); relative != nil {
		r.LastSeen = Later(r.LastSeen, time.UnixMilli(relative.seen.Load()))
	}
	r.LastSeen = Later(r.LastSeen, c.unwritten[root])
}

// relative is a session of the sign-in that root is the first of, nil if none is
// held.
func (c *cache) relative(root string) *liveSession {
	if live := c.bySID[root]; live != nil {
		return live
	}
	if siblings := c.children[root]; len(siblings) > 0 {
		return siblings[0]
	}
	return nil
}

// Root is the sid of the session that this one hangs on, or its own.
func (r *Record) Root() string {
	if r.Parent != "" {
		return r.Parent
	}
	return r.ID
}
