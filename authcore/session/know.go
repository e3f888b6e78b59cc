package session

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What is known of a session is what its records said when they were last read, and
// what this process and other nodes have told of endings since. The records are read
// again every half minute. While that fails the session goes on for a minute after the
// last time; behind it nobody can tell, and whoever asks gets an error, never a "no".
//
// The minute is judged behind all waiting (know): else a node that is cut off from its
// database lets those in for as long as they are patient whose sessions have ended.
// Nobody waits long either. A page has twenty requests, and a node a thousand people:
// within the minute a read that takes its time goes on without whoever wanted it, and
// once one has failed or was slow, one at a time finds out whether the store is back,
// while all others are judged by what is known, at once.

const (
	// recordFresh is how long a session's records are trusted without reading them
	// again. Endings on this node don't wait for it: they are pushed.
	recordFresh = 30 * time.Second
	// recordStale is how long a session goes on after its last successful read
	// when the store can't be read.
	recordStale = time.Minute
	// rereadPatience is how long a request waits for a read of what is known.
	rereadPatience = time.Second
)

var (
	errSlow  = errors.New("the records of a session are not read within a second")
	errStale = errors.New("the records of a session were last read too long ago")
)

// rereads are the looks that are taken again at the records of sessions.
type rereads struct {
	failed atomic.Pointer[error] // why the last one came to nothing in time; nil: it did not
	trying atomic.Bool           // one is under way to find out whether the store is back
}

// reread is one of them.
type reread struct {
	done  chan struct{} // closed once it is over
	err   error         // from then on
	tries bool          // see rereads.trying
}

// know has a session's records read again when it is time, and returns the time
// behind that. An error means that nobody may pass by what is known. There is no other
// place where that is decided.
func (c *Core) know(ctx context.Context, live *liveSession, now time.Time) (time.Time, error) {
	if live.age(now) <= recordFresh || live.ended.Load() {
		return now, nil
	}
	err := c.reread(ctx, live, now)
	now = c.now()
	if !live.isStale(now) {
		return now, nil
	}
	if err == nil {
		err = errStale
	}
	return now, err
}

// lookUp finds a session in memory or has read bring it there, and sees to it that it
// is known. It is nil where there is none.
func (c *Core) lookUp(ctx context.Context, token string, read func(context.Context, string) (*liveSession, error)) (*liveSession, time.Time, error) {
	now := c.now()
	live := c.cache.get(token)
	if live == nil {
		var err error
		if live, err = read(ctx, token); live == nil || err != nil {
			return nil, now, err
		}
		now = c.now()
	}
	now, err := c.know(ctx, live, now)
	return live, now, err
}

// age is how long ago the records were read, or by how much the clock was set
// back since.
func (l *liveSession) age(now time.Time) time.Duration {
	return (time.Duration(now.UnixMilli()-l.readAt.Load()) * time.Millisecond).Abs()
}

func (l *liveSession) isStale(now time.Time) bool { return l.age(now) > recordStale }

// reread has a session's records read again, for all who want it together, and waits
// for that, but not for long. What it returns is for those who need to know more than
// is known already.
func (c *Core) reread(ctx context.Context, live *liveSession, now time.Time) error {
	one, err := c.startReread(ctx, live, now)
	if one == nil {
		return err
	}
	patience := time.NewTimer(rereadPatience)
	defer patience.Stop()
	for {
		select {
		case <-one.done:
			return one.err
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			c.rereads.failed.CompareAndSwap(nil, &errSlow)
			if one.tries || !live.isStale(c.now()) {
				return errSlow
			}
		}
	}
}

// startReread starts one or joins the one under way. It is nil when there is nothing to
// wait for: another request has read, or the store did not answer the last time and
// somebody else finds out whether it does again.
func (c *Core) startReread(ctx context.Context, live *liveSession, now time.Time) (*reread, error) {
	live.mu.Lock()
	defer live.mu.Unlock()
	if live.age(now) <= recordFresh {
		return nil, nil
	}
	failed := c.rereads.failed.Load()
	switch {
	case failed != nil && (live.reading != nil || !c.rereads.trying.CompareAndSwap(false, true)):
		return nil, *failed
	case live.reading != nil:
		return live.reading, nil
	}
	one := &reread{done: make(chan struct{}), tries: failed != nil}
	live.reading = one
	go c.readAgain(context.WithoutCancel(ctx), live, one)
	return one, nil
}

func (c *Core) readAgain(ctx context.Context, live *liveSession, one *reread) {
	defer close(one.done)
	one.err = c.readRecords(ctx, live)
	if one.err != nil {
		c.rereads.failed.Store(&one.err)
	} else {
		c.rereads.failed.Store(nil)
	}
	if one.tries {
		c.rereads.trying.Store(false)
	}
	live.mu.Lock()
	defer live.mu.Unlock()
	live.reading = nil
}

// readRecords brings a session up to date with its records. They are known as they were
// when the read began: who knows what has become of them since.
func (c *Core) readRecords(ctx context.Context, live *liveSession) error {
	s, began := live.snapshot.Load(), c.now()
	with := []string{store.KeyPerson + s.Subject}
	if s.Parent != "" {
		with = append(with, store.KeySession+s.Parent)
	}
	r, p, err := c.ReadSession(ctx, s.ID, with...)
	if err != nil {
		return err
	}
	c.apply(live, r, p)
	live.readAt.Store(began.UnixMilli())
	return nil
}

// readAt notes when the records of a new session were read.
func (s *Session) readAt(at time.Time) *Session {
	s.live.readAt.Store(at.UnixMilli())
	return s
}

// apply brings a session up to date with what was read; r is nil if it has
// ended.
func (c *Core) apply(live *liveSession, r *Record, p *person.Record) {
	if r == nil {
		live.ended.Store(true)
		return
	}
	live.seen.later(r.LastSeen.UnixMilli())
	if old := live.snapshot.Load(); p.Address != old.Address || p.Name != old.Name || r.Parent != old.Parent || !r.Expires.Equal(old.Expires) {
		updated := *old
		updated.Address, updated.Name, updated.Parent, updated.Expires = p.Address, p.Name, r.Parent, r.Expires
		live.memos.Store(nil) // what was derived from the old name
		live.snapshot.Store(&updated)
		c.cache.moved(live, updated.Parent)
	}
}
