package session

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// cacheSize is how many sessions are held in memory, about 1.5 KiB each.
const cacheSize = 10_000

// cache holds the sessions in use, found by their token (at every request) and
// by their id (to end them). A session has exactly one token.
type cache struct {
	mu      sync.RWMutex
	size    int
	byToken map[string]*liveSession
	bySID   map[string]*liveSession
	// children are the sessions that hang on another, by that one's id.
	children map[string][]*liveSession
	// unwritten keeps the last use of sessions that were dropped before it was
	// written.
	unwritten map[string]time.Time
}

func newCache(size int) *cache {
	return &cache{size: size, byToken: map[string]*liveSession{}, bySID: map[string]*liveSession{}, children: map[string][]*liveSession{}, unwritten: map[string]time.Time{}}
}

// get returns the session with token, nil if it is not held.
func (c *cache) get(token string) *liveSession {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byToken[token]
}

// put holds s, or returns the one that another request has put meanwhile.
func (c *cache) put(s *Session) *liveSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.byToken[s.live.token]; held != nil {
		return held
	}
	if len(c.byToken) >= c.size {
		c.evict()
	}
	c.join(s)
	c.byToken[s.live.token] = s.live
	c.bySID[s.ID] = s.live
	return s.live
}

// evict drops the least recently used of a few sessions picked at random (the
// order in which a map is walked is).
func (c *cache) evict() {
	var victim *liveSession
	seen := 0
	for _, l := range c.byToken {
		if victim == nil || l.seen.Load() < victim.seen.Load() {
			victim = l
		}
		if seen++; seen == 8 {
			break
		}
	}
	c.drop(victim)
}

func (c *cache) drop(l *liveSession) {
	s := l.snapshot.Load()
	c.forget(l, s)
	if l.seen.Load() > l.written.Load() && len(c.unwritten) < c.size {
		c.unwritten[s.root()] = time.UnixMilli(l.seen.Load())
	}
}

func (c *cache) forget(l *liveSession, s *Session) {
	delete(c.byToken, l.token)
	delete(c.bySID, s.ID)
	c.hang(l, "")
}

// use is a session's last use, to be written.
type use struct {
	sid   string
	at    time.Time
	live  *liveSession   // nil if it has left the cache
	sites map[string]int // how much sites were used
}

// used returns the uses that are not written yet, and forgets sessions that are
// over.
func (c *cache) used(core *Core) []use {
	now := core.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var uses []use
	for _, l := range c.byToken {
		s := l.snapshot.Load()
		if core.standing(s.life(), core.rule(), now) != Live {
			c.forget(l, s)
			continue
		}
		if l.seen.Load() > l.written.Load() {
			uses = append(uses, use{sid: s.root(), at: time.UnixMilli(l.seen.Load()), live: l, sites: l.sites.pending()})
		}
	}
	for sid, at := range c.unwritten {
		uses = append(uses, use{sid: sid, at: at})
	}
	return uses
}

// useWritten is how often the last use of sessions is written: at most once a
// minute each.
const useWritten = time.Minute

// flushBatch bounds one transaction.
const flushBatch = 200

// Flush writes the last uses. A store that can't be written keeps them in
// memory; the next Flush tries again.
func (c *Core) Flush(ctx context.Context) {
	uses := c.cache.used(c)
	for len(uses) > 0 {
		batch := uses[:min(len(uses), flushBatch)]
		uses = uses[len(batch):]
		if err := c.writeUses(ctx, batch); err != nil {
			c.log.Warn("the last use of sessions can't be written; it stays in memory", "sessions", len(batch)+len(uses), "error", err)
			return
		}
		c.cache.written(batch)
	}
}

// written notes that these uses are in the store.
func (c *cache) written(uses []use) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range uses {
		if u.live != nil {
			u.live.written.Store(u.at.UnixMilli())
			u.live.sites.stored(u.sites)
		} else if c.unwritten[u.sid].Equal(u.at) {
			delete(c.unwritten, u.sid)
		}
	}
}

func (c *Core) writeUses(ctx context.Context, batch []use) error {
	keys := make([]string, len(batch))
	for i := range batch {
		keys[i] = store.KeySession + batch[i].sid
	}
	return c.store.Update(ctx, func(tx store.Tx) error {
		tx, err := store.ReadAhead(tx, keys...)
		if err != nil {
			return err
		}
		for i := range batch {
			if err := batch[i].write(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

func (u *use) write(tx store.Tx) error {
	r, err := Load(tx, u.sid)
	if err != nil || r == nil || !r.EndedAt.IsZero() || !u.at.After(r.LastSeen) && len(u.sites) == 0 {
		return err
	}
	r.LastSeen = Later(r.LastSeen, u.at)
	if u.live != nil {
		r.Sites = u.live.sites.names(r.Sites)
	}
	r.use(u.sites)
	return r.Save(tx)
}

// Rename shows the sessions of a person in memory under their new name.
func (c *Core) Rename(sub, name string) {
	c.cache.mu.RLock()
	defer c.cache.mu.RUnlock()
	for _, live := range c.cache.bySID {
		if old := live.snapshot.Load(); old.Subject == sub {
			renamed := *old
			renamed.Name = name
			live.memos.Store(nil) // what was derived from the old name
			live.snapshot.Store(&renamed)
		}
	}
}
