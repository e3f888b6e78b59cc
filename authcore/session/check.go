package session

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// MaxTokens is how many tokens of one request are looked at.
const MaxTokens = 4

// Check returns the live session that token stands for at origin, nil if it
// stands for none, and counts as a use of it. An error means that it cannot be
// told: the store failed, and the session was not read in the last minute.
//
// It is the hot path: for a session in the cache it takes no store call, no
// signature and no allocation.
func (s *View) Check(ctx context.Context, token string, at origin.Origin) (*Session, error) {
	session, err := s.find(ctx, token, at)
	if session != nil {
		s.Used(session)
	}
	return session, err
}

// Find is Check for a request with several session cookies: exactly one that is live
// counts, since of two nobody knows whose the request is. It does not count as a
// use: a site whose own limits are stricter looks at Session.LastSeen first, and calls
// Used if the session is within them.
func (s *View) Find(ctx context.Context, tokens []string, at origin.Origin) (*Session, error) {
	if len(tokens) == 1 {
		return s.find(ctx, tokens[0], at)
	}
	var found *Session
	for _, token := range tokens[:min(len(tokens), MaxTokens)] {
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
	if found != nil && found.live.isStale(s.core.now()) { // by now: each may have been waited for
		return nil, errStale
	}
	return found, nil
}

// Still is Find for a session that was found before something else was waited for.
func (s *View) Still(ctx context.Context, session *Session) (*Session, error) {
	if session == nil || session.isConfigured() {
		return session, nil
	}
	now, err := s.core.know(ctx, session.live, s.core.now())
	if newest := session.live.snapshot.Load(); err == nil && s.lives(newest, now) {
		return newest, nil
	}
	return nil, err
}

// Used notes a use of session.
func (s *View) Used(session *Session) { session.live.touch(s.core.now()) }

func (s *View) find(ctx context.Context, token string, at origin.Origin) (*Session, error) {
	c := s.core
	live, now, err := c.lookUp(ctx, token, c.readToken)
	if live == nil || err != nil {
		return nil, err
	}
	return s.admit(live, at, now), nil
}

// EndedBy tells by which word the session ended that a browser still shows a token
// of; empty for none, and for one that another took the place of.
func (c *Core) EndedBy(ctx context.Context, tokens []string) (reason string, err error) {
	for _, token := range tokens {
		claims, err := c.verifySession(token)
		if err != nil {
			return "", err
		}
		if claims == nil {
			continue
		}
		reason, err := store.View(ctx, c.store, func(tx store.Tx) (string, error) {
			r, err := Load(tx, claims.Session)
			if err != nil || r == nil || r.Next != "" {
				return "", err
			}
			if err := r.inherit(tx); err != nil {
				return "", err
			}
			if r.EndedAt.IsZero() && c.Revoked(r.AuthTime) {
				return RevokedByOperator, nil
			}
			return r.Reason, nil
		})
		if err != nil || reason != "" {
			return reason, err
		}
	}
	return "", nil
}

// Held are the sessions that tokens stand for, at whichever site, and that nobody
// has ended: those that were not used for too long are among them.
func (c *Core) Held(ctx context.Context, tokens []string) (held []*Session, err error) {
	for _, token := range tokens {
		live, err := c.readToken(ctx, token)
		if err != nil {
			return nil, err
		}
		if live != nil {
			held = append(held, live.snapshot.Load())
		}
	}
	return held, nil
}

// admit applies what can be told without the store.
func (s *View) admit(live *liveSession, at origin.Origin, now time.Time) *Session {
	session := live.snapshot.Load()
	if session.Machine != nil || !s.lives(session, now) || !s.isGoodAt(session.Audience, at) {
		return nil
	}
	return session
}

// isGoodAt tells whether a session for audience counts at a site. Cookies have no
// port: sites at several ports of one host see each other's, and if these did not
// count, signing in at one would sign out at the other.
func (s *View) isGoodAt(audience string, at origin.Origin) bool {
	if at.HasAudience(audience, s.cfg.Domain) {
		return true
	}
	from, err := origin.Parse(audience)
	return err == nil && from.Scheme() == at.Scheme() && from.Hostname() == at.Hostname() && s.cfg.Protects(from)
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
	if err != nil || claims == nil {
		return nil, err
	}
	began := c.now()
	r, p, err := c.ReadSession(ctx, claims.Session, store.KeyPerson+claims.Subject)
	if err != nil || r == nil {
		return nil, err
	}
	if r.Subject != claims.Subject || r.Audience != claims.Audience || r.Issuer != claims.Issuer {
		return nil, nil
	}
	return c.cache.put(newSession(r, p, token).readAt(began)), nil
}

// sessionOf is a session's record with the person it is of.
type sessionOf struct {
	r *Record
	p *person.Record
}

// ReadSession reads a session and its person; both nil if either is gone or the
// session has ended. One that hangs on another is shown as that one has it. What is at
// with is read in the same round trip.
func (c *Core) ReadSession(ctx context.Context, sid string, with ...string) (*Record, *person.Record, error) {
	read, err := store.View(ctx, c.store, func(tx store.Tx) (none sessionOf, err error) {
		if tx, err = store.ReadAhead(tx, append(with, store.KeySession+sid)...); err != nil {
			return none, err
		}
		r, err := Load(tx, sid)
		if err != nil {
			return none, err
		}
		if stands, err := c.Stands(tx, r); err != nil || stands == Ended {
			return none, err
		}
		p, err := person.Load(tx, r.Subject)
		if err != nil || p == nil {
			return none, err
		}
		return sessionOf{r, p}, nil
	})
	return read.r, read.p, err
}
