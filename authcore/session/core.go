package session

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Core is all sessions of a store, whatever the configuration: their cache
// and the answers under way in this process. It is safe for concurrent use.
type Core struct {
	store   store.Store
	keys    *keyring.Keys
	now     func() time.Time
	log     *slog.Logger
	observe func(event.Event)
	count   func(int)
	tell    func(tx store.Tx, sid string, replaced bool) error
	blind   func() bool

	cache     *cache
	rereads   rereads
	streams   streams
	revokedAt atomic.Int64 // unix nanoseconds; sessions from before don't count

	mu      sync.Mutex
	views   []*View              // in use, the newest last
	current atomic.Pointer[View] // the newest, nil for none
}

// Config is what the sessions need of the house.
type Config struct {
	Store   store.Store
	Keys    *keyring.Keys
	Now     func() time.Time
	Log     *slog.Logger
	Observe func(event.Event)
	// Count hears by how much there are more live sessions now.
	Count func(int)
	// Tell tells other nodes that a session has ended, in the transaction that ends
	// it; replaced: another one took its place. nil: there are none.
	Tell func(tx store.Tx, sid string, replaced bool) error
	// Blind tells whether nothing was heard of other nodes for so long that a session
	// which was not read itself may have ended.
	Blind func() bool
}

// New returns the sessions of a store. Load reads what must be known
// before the first request.
func New(c Config) *Core {
	return &Core{store: c.Store, keys: c.Keys, now: c.Now, log: c.Log, observe: c.Observe, count: c.Count, tell: c.Tell, blind: c.Blind, cache: newCache(cacheSize), streams: streams{more: make(chan struct{}, 1)}}
}

// Load reads when all sessions were ended last, here or at another node.
func (c *Core) Load(ctx context.Context) error {
	r, err := store.View(ctx, c.store, func(tx store.Tx) (r revokedRecord, err error) {
		_, err = store.Load(tx, store.KeyRevoked, &r)
		return r, err
	})
	if err == nil && !r.At.IsZero() && r.At.UnixNano() > c.revokedAt.Load() {
		c.revokeBefore(r.At)
	}
	return err
}

// Run cuts streams that may not go on, and writes the last use of sessions, until
// ctx ends. A store that lets writing wait keeps no stream from being cut.
func (c *Core) Run(ctx context.Context) {
	var writing sync.WaitGroup
	writing.Go(func() { c.keepWriting(ctx) })
	defer writing.Wait()
	sweep := time.NewTicker(sweepEvery)
	sweep.Stop() // it runs while streams are open
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.streams.more:
			sweep.Reset(sweepEvery)
		case <-sweep.C:
			if c.sweep(); !c.streams.any() {
				sweep.Stop()
			}
		}
	}
}

func (c *Core) keepWriting(ctx context.Context) {
	write := time.NewTicker(useWritten)
	defer write.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-write.C:
			c.Flush(ctx)
		}
	}
}

// View is one configuration's view of the sessions. It is safe for concurrent use
// and stays usable for requests that outlive it.
type View struct {
	core     *Core
	cfg      Terms
	machines machines
}

// Terms are what one configuration says of sessions.
type Terms struct {
	Session  Rule   // of all sites
	Domain   string // one session for all hosts under it; empty: one a host
	Protects func(origin.Origin) bool
	Rules    func(*Stream) []*SiteRule // see Stream
	Machines []ConfiguredMachine
	// App tells whether an app is configured, and how long its sessions live at
	// most, counted from their beginning; 0: no limit.
	App func(id string) (most time.Duration, ok bool)
}

// Use puts a configuration into use. The newest decides what goes on beside
// requests; when it is closed the one before it does again.
func (c *Core) Use(t Terms) *View {
	v := &View{core: c, cfg: t, machines: newMachines(t.Machines, c.now())}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.views = append(c.views, v)
	c.current.Store(v)
	return v
}

// Close takes the configuration out of use.
func (s *View) Close() {
	c := s.core
	c.mu.Lock()
	defer c.mu.Unlock()
	c.views = slices.DeleteFunc(c.views, func(o *View) bool { return o == s })
	if n := len(c.views); n > 0 {
		c.current.Store(c.views[n-1])
	} else {
		c.current.Store(nil)
	}
}

// revokedRecord says that no session from before a time counts. It makes ending
// everything one write, however many sessions there are.
type revokedRecord struct {
	At time.Time `json:"at"`
}

// Revoke ends all sessions of everybody, with their streams, in the transaction
// in which the keys go that they were signed with. What it returns is called once
// that is stored.
func (c *Core) Revoke(tx store.Tx) (stored func(), err error) {
	at := c.now() // later than all that is in the store by now
	return func() { c.revokeBefore(at) }, store.Save(tx, store.KeyRevoked, revokedRecord{at}, time.Time{})
}

// RevokeAgain has a store that has lost what was written to it last say again when all
// sessions were ended, and tells whether it did not.
func (c *Core) RevokeAgain(tx store.Tx) (again bool, err error) {
	at := c.revokedAt.Load()
	var r revokedRecord
	if _, err := store.Load(tx, store.KeyRevoked, &r); err != nil || at == 0 || !r.At.IsZero() && r.At.UnixNano() >= at {
		return false, err
	}
	return true, store.Save(tx, store.KeyRevoked, revokedRecord{time.Unix(0, at).UTC()}, time.Time{})
}

// Revoked tells whether what began at a time was ended with all others.
func (c *Core) Revoked(began time.Time) bool {
	at := c.revokedAt.Load()
	return at != 0 && began.UnixNano() <= at
}

// revokeBefore ends what began before at. Tokens of the configuration go on, but
// what was signed for them is not handed out again.
func (c *Core) revokeBefore(at time.Time) {
	c.revokedAt.Store(at.UnixNano())
	c.mu.Lock()
	for _, s := range c.views {
		for _, m := range s.machines {
			m.live.memos.Store(nil)
		}
	}
	c.mu.Unlock()
	c.sweep()
}
