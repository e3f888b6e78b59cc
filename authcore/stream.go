package authcore

import (
	"context"
	"math/rand/v2" //nolint:depguard // spreads locks, makes nothing secret
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Stream is an answer under way: a download, server-sent events, a WebSocket.
// Whoever opens one fills in the exported fields. A Stream is in use from Watch
// to Unwatch and may be used again afterwards.
type Stream struct {
	Session *Session
	Gate    string // which gate let it pass, for Config.Rules
	Target  Target
	Cutter  Cutter // ends the answer

	cut        bool
	shard      *streamShard
	prev, next *Stream
}

// Cutter ends an answer under way.
type Cutter interface {
	// Cut is called at most once, and must not block.
	Cut()
}

// streams are the answers under way in this process. They outlive the
// configuration that let them begin.
type streams struct {
	shards  [streamShards]streamShard
	turn    sync.Mutex  // one sweep at a time
	resting atomic.Bool // no stream is open, so nobody sweeps
	wake    chan struct{}
}

func newStreams() *streams { return &streams{wake: make(chan struct{}, 1)} }

// streamShards are so many that requests at the same time seldom meet in one.
const streamShards = 64

type streamShard struct {
	mu   sync.Mutex
	head *Stream
	_    [48]byte // a cache line each
}

// Watch has st watched until Unwatch: it is cut within two seconds when its
// session ends or is no longer allowed where it was opened. An open stream
// counts as use of its session.
func (c *Core) Watch(st *Stream) {
	sh := &c.streams.shards[rand.Uint32()%streamShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st.shard, st.cut, st.prev, st.next = sh, false, nil, sh.head
	if sh.head != nil {
		sh.head.prev = st
	}
	sh.head = st
	if c.streams.resting.Load() && c.streams.resting.CompareAndSwap(true, false) {
		select {
		case c.streams.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}

// Unwatch ends the watch over st. After it Cut is not called any more.
func (c *Core) Unwatch(st *Stream) {
	sh := st.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if st.prev != nil {
		st.prev.next = st.next
	} else {
		sh.head = st.next
	}
	if st.next != nil {
		st.next.prev = st.prev
	}
	st.prev, st.next, st.shard = nil, nil, nil
}

// sweepEvery is half of the two seconds within which a stream is cut.
const sweepEvery = time.Second

func (c *Core) sweepStreams(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.sweep()
		}
		c.streams.resting.Store(true)
		if c.Streams() > 0 {
			c.streams.resting.Store(false)
			continue
		}
		tick.Stop()
		select {
		case <-ctx.Done():
			return
		case <-c.streams.wake:
			tick.Reset(sweepEvery)
		}
	}
}

// sweep cuts every stream that may not go on.
func (c *Core) sweep() {
	s := c.current.Load()
	if s == nil {
		return
	}
	c.streams.turn.Lock()
	defer c.streams.turn.Unlock()
	now := c.now()
	for i := range c.streams.shards {
		c.streams.shards[i].each(func(st *Stream) {
			if !s.streamMayGoOn(st, now) {
				st.stop()
			}
		})
	}
}

func (sh *streamShard) each(do func(*Stream)) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for st := sh.head; st != nil; st = st.next {
		if !st.cut {
			do(st)
		}
	}
}

func (st *Stream) stop() {
	st.cut = true
	st.Cutter.Cut()
}

// Allows tells whether the configuration now in use would let st go on. It is
// for requests that come in by a configuration that no longer is.
func (c *Core) Allows(st *Stream) bool {
	s := c.current.Load()
	return s == nil || s.streamMayGoOn(st, c.now())
}

// streamMayGoOn follows the session to the one that took its place.
func (s *Service) streamMayGoOn(st *Stream, now time.Time) bool {
	live := st.Session.live
	for live.ended.Load() {
		next := live.next.Load()
		if next == nil {
			return false
		}
		st.Session, live = next, next.live
	}
	live.touch(now)
	session := live.snapshot.Load()
	if !s.isLive(session, now) {
		return false
	}
	if session.isConfigured() { // what it may is asked of the configuration in use
		session = s.machines[live.token]
	}
	var rules []*SiteRule
	if s.cfg.Rules != nil {
		rules = s.cfg.Rules(st)
	}
	if len(rules) == 0 { // no site asks anything of it any more
		return session.Machine == nil || session.Machine.Allows(st.Target)
	}
	v := Visitor{Session: session, UnderWay: true}
	return slices.ContainsFunc(rules, func(r *SiteRule) bool { return s.Judge(r, &v, st.Target).Decision == Allowed })
}

// end tells the streams of a session that it has ended, and cuts them at once.
func (ss *streams) end(e ending) {
	ss.turn.Lock()
	defer ss.turn.Unlock()
	for i := range ss.shards {
		ss.shards[i].each(func(st *Stream) {
			if e.next == nil && st.Session.live.snapshot.Load().Parent == e.sid {
				st.Session.live.end(nil)
				st.stop()
				return
			}
			if st.Session.ID != e.sid {
				return
			}
			st.Session.live.end(e.next)
			if e.next == nil {
				st.stop()
				return
			}
			st.Session = e.next
		})
	}
}

// Streams returns how many answers are under way.
func (c *Core) Streams() int {
	n := 0
	for i := range c.streams.shards {
		c.streams.shards[i].each(func(*Stream) { n++ })
	}
	return n
}
