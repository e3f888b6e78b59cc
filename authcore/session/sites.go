package session

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// MaxSites bounds how many sites are remembered for one session.
const MaxSites = 32

// siteSet is the sites at which a session was used. It is read at every
// request and grows a few times in its life.
type siteSet struct {
	p atomic.Pointer[[]*siteUse]
}

// siteUse is one site, and how much it was used: once a minute counts.
type siteUse struct {
	at      origin.Origin
	minute  atomic.Int64 // the last that was counted
	pending atomic.Int64 // how many are not in the store yet
}

func (s *siteSet) list() []*siteUse {
	if p := s.p.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *siteSet) add(o origin.Origin, now time.Time) {
	for {
		old := s.p.Load()
		list := s.list()
		for _, u := range list {
			if u.at == o {
				u.count(now)
				return
			}
		}
		if len(list) >= MaxSites {
			return
		}
		u := &siteUse{at: o}
		u.count(now)
		longer := append(slices.Clone(list), u)
		if s.p.CompareAndSwap(old, &longer) {
			return
		}
	}
}

func (u *siteUse) count(now time.Time) {
	minute := now.Unix() / 60
	if last := u.minute.Load(); last != minute && u.minute.CompareAndSwap(last, minute) {
		u.pending.Add(1)
	}
}

// names adds the sites to those of a record.
func (s *siteSet) names(recorded []string) []string {
	for _, u := range s.list() {
		if name := u.at.String(); len(recorded) < MaxSites && !slices.Contains(recorded, name) {
			recorded = append(recorded, name)
		}
	}
	return recorded
}

// pending are the uses that are not in the store yet; nil for none.
func (s *siteSet) pending() (uses map[string]int) {
	for _, u := range s.list() {
		if n := u.pending.Load(); n > 0 {
			if uses == nil {
				uses = map[string]int{}
			}
			uses[u.at.String()] = int(n)
		}
	}
	return uses
}

// stored notes that uses are in the store.
func (s *siteSet) stored(uses map[string]int) {
	for _, u := range s.list() {
		u.pending.Add(-int64(uses[u.at.String()]))
	}
}

// use adds uses of sites to a record, of those that it names.
func (r *Record) use(uses map[string]int) {
	for site, n := range uses {
		if !slices.Contains(r.Sites, site) {
			continue
		}
		if r.Uses == nil {
			r.Uses = map[string]int{}
		}
		r.Uses[site] += n
	}
}

// Opened is Used at a site, which the session's owner is shown as one they
// opened. A gate calls it once it has admitted the request.
func (s *View) Opened(session *Session, at origin.Origin) {
	now := s.core.now()
	session.live.sites.add(at, now)
	session.live.touch(now)
}

// Uses tells how much a person has used sites in browsers: in how many minutes, by
// the site's origin, as long as the records of their sessions are kept, of ended
// ones too.
func (c *Core) Uses(ctx context.Context, sub string) (map[string]int, error) {
	if !store.IsKeyPart(sub) {
		return nil, nil
	}
	prefix := store.KeyPersonSession + sub + "/"
	return store.View(ctx, c.store, func(tx store.Tx) (map[string]int, error) {
		index, err := tx.Scan(prefix, "", MaxPage)
		if err != nil {
			return nil, err
		}
		items, err := sessionsAt(tx, prefix, index)
		if err != nil {
			return nil, err
		}
		all := map[string]int{}
		for _, item := range items {
			r := &Record{}
			if _, err := store.Decode(item.Key, item.Value, r); err != nil {
				return nil, err
			}
			if r.Machine != nil || r.API != nil {
				continue
			}
			for _, uses := range []map[string]int{r.Uses, c.cache.pending(r.ID)} {
				for site, n := range uses {
					all[site] += n
				}
			}
		}
		return all, nil
	})
}

// pending are the uses of a session in memory that are not in the store yet.
func (c *cache) pending(sid string) map[string]int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if live := c.bySID[sid]; live != nil {
		return live.sites.pending()
	}
	return nil
}
