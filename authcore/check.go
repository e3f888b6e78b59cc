package authcore

import (
	"context"
	"hash/maphash"
	"time"
)

const (
	// recordFresh is how long a session's record is trusted without reading it
	// again. Endings on this node don't wait for it: they are pushed.
	recordFresh = 30 * time.Second
	// recordStale is how long a session goes on after its last successful read
	// when the store can't be read.
	recordStale = time.Minute
	// MaxSessionTokens is how many tokens of one request are looked at.
	MaxSessionTokens = 4
)

// Check returns the live session that token stands for at origin, nil if it
// stands for none, and counts as a use of it. An error means that it cannot be
// told: the store failed, and the session was not read in the last minute.
//
// It is the hot path: for a session in the cache it takes no store call, no
// signature and no allocation.
func (s *Service) Check(ctx context.Context, token string, at Origin) (*Session, error) {
	session, err := s.find(ctx, token, at)
	if session != nil {
		s.Used(session)
	}
	return session, err
}

// CheckAll is Check for a request with several session cookies: exactly one
// that is live counts, since of two nobody knows whose the request is.
func (s *Service) CheckAll(ctx context.Context, tokens []string, at Origin) (*Session, error) {
	session, err := s.Find(ctx, tokens, at)
	if session != nil {
		s.Used(session)
	}
	return session, err
}

// Find is CheckAll without counting as a use: a site whose own limits are
// stricter looks at Session.LastSeen first, and calls Used if the session is
// within them.
func (s *Service) Find(ctx context.Context, tokens []string, at Origin) (*Session, error) {
	if len(tokens) == 1 {
		return s.find(ctx, tokens[0], at)
	}
	var found *Session
	for _, token := range tokens[:min(len(tokens), MaxSessionTokens)] {
		session, err := s.find(ctx, token, at)
		if err != nil {
			return nil, err
		}
		if session == nil || session == found {
			continue
		}
		if found != nil {
			return nil, nil
		}
		found = session
	}
	return found, nil
}

// Used notes a use of session.
func (s *Service) Used(session *Session) { session.live.touch(s.core.now()) }

func (s *Service) find(ctx context.Context, token string, at Origin) (*Session, error) {
	c, now := s.core, s.core.now()
	live := c.cache.get(token)
	if live == nil {
		var err error
		if live, err = c.readToken(ctx, token); live == nil {
			return nil, err
		}
	} else if err := c.refresh(ctx, live, now); err != nil {
		return nil, err
	}
	return s.admit(live, at, now), nil
}

// refresh reads a session's record again when it is time. An error means that
// it could not be read for too long.
func (c *Core) refresh(ctx context.Context, live *liveSession, now time.Time) error {
	age := now.UnixMilli() - live.readAt.Load()
	if age <= recordFresh.Milliseconds() {
		return nil
	}
	if err := c.reread(ctx, live); err != nil && age > recordStale.Milliseconds() {
		return err
	}
	return nil
}

// admit applies what can be told without the store.
func (s *Service) admit(live *liveSession, at Origin, now time.Time) *Session {
	session := live.snapshot.Load()
	if live.ended.Load() || session.Machine != nil || s.core.revoked(session.AuthTime) || !s.withinLimits(session, now) || !at.hasAudience(session.Audience, s.cfg.Domain) {
		return nil
	}
	return session
}

// withinLimits tells whether the session has neither reached its end nor been
// idle too long, by the configuration now in use.
func (s *Service) withinLimits(session *Session, now time.Time) bool {
	return session.Within(s.cfg.Session, now) && now.Before(session.Expires) && !session.AuthTime.After(now.Add(clockSkew))
}

// Within tells whether the session is inside rule at now. A site's rule may be
// stricter than the instance's.
func (s *Session) Within(rule SessionRule, now time.Time) bool {
	idle := now.UnixMilli() - s.live.seen.Load()
	return now.Sub(s.AuthTime) < rule.Max && idle < rule.Idle.Milliseconds()
}

// touch notes a use; to the second is enough.
func (l *liveSession) touch(now time.Time) {
	if at := now.UnixMilli(); at-l.seen.Load() >= 1000 {
		l.seen.Store(at)
	}
}

// readToken verifies a token that is not in the cache and reads its record. It
// returns nil for a token that is not ours or stands for no live session.
func (c *Core) readToken(ctx context.Context, token string) (*liveSession, error) {
	claims, err := c.verifySession(token)
	if err != nil {
		return nil, nil
	}
	r, p, err := c.readSession(ctx, claims.Session)
	if err != nil || r == nil {
		return nil, err
	}
	if !r.EndedAt.IsZero() || r.Subject != claims.Subject || r.Audience != claims.Audience || r.Issuer != claims.Issuer {
		return nil, nil
	}
	session := newSession(r, p, token)
	session.live.readAt.Store(c.now().UnixMilli())
	return c.cache.put(session), nil
}

// readSession reads a session and its person; both nil if either is gone. A
// session that hangs on another is shown as that one has it.
func (c *Core) readSession(ctx context.Context, sid string) (r *sessionRecord, p *person, err error) {
	err = c.store.View(ctx, func(tx Tx) error {
		r, p, err = loadWithPerson(tx, sid)
		return err
	})
	return r, p, err
}

func loadWithPerson(tx Tx, sid string) (r *sessionRecord, p *person, err error) {
	if r, err = loadSession(tx, sid); err != nil || r == nil {
		return nil, nil, err
	}
	if err := r.inherit(tx); err != nil {
		return nil, nil, err
	}
	if p, err = loadPerson(tx, r.Subject); p == nil {
		return nil, nil, err
	}
	return r, p, err
}

// reread brings a session up to date with its record.
func (c *Core) reread(ctx context.Context, live *liveSession) error {
	old := live.snapshot.Load()
	var r *sessionRecord
	var p *person
	same := false
	err := c.store.View(ctx, func(tx Tx) error {
		values, err := tx.Get(keySession+old.ID, keyPerson+old.Subject)
		if err != nil {
			return err
		}
		if same = live.isSame(old, values); !same {
			r, p, err = loadWithPerson(tx, old.ID)
		}
		return err
	})
	if err != nil {
		return err
	}
	live.readAt.Store(c.now().UnixMilli())
	if same {
		return nil
	}
	if r == nil || !r.EndedAt.IsZero() {
		live.ended.Store(true)
		return nil
	}
	live.seen.later(r.LastSeen.UnixMilli())
	if p.Address != old.Address || p.Name != old.Name || r.Parent != old.Parent {
		updated := *old
		updated.Address, updated.Name, updated.Parent = p.Address, p.Name, r.Parent
		live.memos.Store(nil) // what was derived from the old name
		live.snapshot.Store(&updated)
		c.cache.moved(live, updated.Parent)
	}
	return nil
}

// isSame tells whether the records of a session and its person are as they were
// the last time, byte by byte: making sense of them takes longer than all the
// rest. Of a session that hangs on another it cannot be told.
func (l *liveSession) isSame(s *Session, records [][]byte) bool {
	if s.Parent != "" {
		l.record.Store(0)
		return false
	}
	record, person := recordDigest(records[0]), recordDigest(records[1])
	sameRecord, samePerson := l.record.Swap(record) == record, l.person.Swap(person) == person
	return sameRecord && samePerson
}

// recordDigest is the same for the same bytes, in this process, and never 0.
func recordDigest(record []byte) uint64 { return maphash.Bytes(digestSeed, record) | 1 }

var digestSeed = maphash.MakeSeed()
