package session

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// Who has passed a gate may go on reading for hours. An answer under way is a Stream: it
// stands in a list of this process from Watch to Unwatch, and is cut when it may not go
// on, in one of two ways. What ends a session here tells its streams at once (end). All
// else is found by sweep, every second: a time that has run out, a policy or list that
// has changed, a trusted network that is none any more, a configuration without the
// site, an ending on another node once the record was read again.
//
// Both ask what a new request would be asked (Judge), with the rules of the gate that let
// the stream pass, as the configuration now in use has them. A session that another one
// has replaced (a new sign-in, a renewed cookie) is followed to that one. Cut is called
// with the list locked, and so must not block.

// Stream is an answer under way: a download, server-sent events, a WebSocket.
// Whoever opens one fills in the exported fields. A Stream is in use from Watch
// to Unwatch and may be used again afterwards.
type Stream struct {
	Session *Session
	// Without a Session: who passed because of the client's network, see
	// SiteRule.Trusts.
	Client netip.Addr
	As     address.Address

	Gate   string // which gate let it pass, for Terms.Rules
	Target Target
	Cutter Cutter // ends the answer

	watched    bool // from here on guarded by the mu of streams
	cut        bool
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
	mu   sync.Mutex
	head *Stream
	open int
	more chan struct{} // of one place: a stream was opened
}

// Watch has st watched until Unwatch: it is cut within two seconds when its
// session ends or is no longer allowed where it was opened. An open stream
// counts as use of its session.
func (c *Core) Watch(st *Stream) {
	ss := &c.streams
	ss.mu.Lock()
	defer ss.mu.Unlock()
	st.watched, st.cut, st.prev, st.next = true, false, nil, ss.head
	if ss.head != nil {
		ss.head.prev = st
	}
	ss.head = st
	if ss.open++; ss.open > 1 {
		return
	}
	select {
	case ss.more <- struct{}{}:
	default:
	}
}

// Unwatch ends the watch over st. After it Cut is not called any more.
func (c *Core) Unwatch(st *Stream) {
	ss := &c.streams
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if st.prev != nil {
		st.prev.next = st.next
	} else {
		ss.head = st.next
	}
	if st.next != nil {
		st.next.prev = st.prev
	}
	st.watched, st.prev, st.next = false, nil, nil
	ss.open--
}

// sweepEvery is half of the two seconds within which a stream is cut.
const sweepEvery = time.Second

// any tells whether a stream is open.
func (ss *streams) any() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.open > 0
}

// sweep cuts every stream that may not go on.
func (c *Core) sweep() {
	s := c.current.Load()
	if s == nil {
		return
	}
	now := c.now()
	c.streams.each(func(st *Stream) {
		if !s.streamMayGoOn(st, now) {
			st.stop()
		}
	})
}

// each calls do for every stream that is not cut. Between two of them requests
// may begin and end.
func (ss *streams) each(do func(*Stream)) {
	ss.mu.Lock()
	all := make([]*Stream, 0, ss.open)
	for st := ss.head; st != nil; st = st.next {
		all = append(all, st)
	}
	ss.mu.Unlock()
	for _, st := range all {
		ss.mu.Lock()
		if st.watched && !st.cut {
			do(st)
		}
		ss.mu.Unlock()
	}
}

// eachStored leaves out who passed without a session, and machines of the
// configuration: nothing that is stored ends them.
func (ss *streams) eachStored(do func(*Stream)) {
	ss.each(func(st *Stream) {
		if st.Session != nil && !st.Session.isConfigured() {
			do(st)
		}
	})
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
func (s *View) streamMayGoOn(st *Stream, now time.Time) bool {
	var rules []*SiteRule
	if s.cfg.Rules != nil {
		rules = s.cfg.Rules(st)
	}
	if st.Session == nil {
		return len(rules) == 0 || slices.ContainsFunc(rules, func(r *SiteRule) bool { return r.Trusts != nil && r.Trusts(st.Client, st.As) })
	}
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
	if !s.lives(session, now) || !session.isConfigured() && live.isStale(now) && s.core.blind() {
		return false
	}
	if session.isConfigured() { // what it may is asked of the configuration in use
		session = s.machines[live.token]
	}
	if len(rules) == 0 { // no site asks anything of it any more
		return session.Machine == nil || session.Machine.Beyond(st.Target) == ""
	}
	v := Visitor{Session: session, UnderWay: true}
	return slices.ContainsFunc(rules, func(r *SiteRule) bool { return s.Judge(r, &v, st.Target).Decision == Allowed })
}

// end tells the streams of a session that it has ended, and cuts them at once.
func (ss *streams) end(e Ending) {
	ss.eachStored(func(st *Stream) {
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

// sessions are those of all answers under way that stand in the store.
func (ss *streams) sessions() (all []*liveSession) {
	ss.eachStored(func(st *Stream) { all = append(all, st.Session.live) })
	return all
}

// Streams returns how many answers are under way.
func (c *Core) Streams() int {
	c.streams.mu.Lock()
	defer c.streams.mu.Unlock()
	return c.streams.open
}
