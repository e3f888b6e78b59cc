package smtp

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// DefaultConnections to one server at a time: below what providers allow one
// client, 10 to 20.
const DefaultConnections = 4

const (
	// crowded is how long fewer connections are made after the server turned one
	// away beside others.
	crowded = time.Minute

	// parted is how long a server may count a connection that we have ended, and turn
	// its successor away. That is tried again after partedPause.
	parted      = time.Second
	partedPause = 50 * time.Millisecond

	// maxReuse is how many mails go over one connection; servers end it after
	// some hundred.
	maxReuse = 100
)

// idleFor is how long a connection waits for another mail. It serves a burst;
// longer would only take a place that the server may want to give to others.
var idleFor = 2 * time.Second

// pool keeps the connections of a Sender to the number that the server bears,
// and uses one that is open before it makes another.
type pool struct {
	mu       sync.Mutex
	most     int // connections, as configured
	fewer    int // while crowded: as many as the server bore
	until    time.Time
	closed   bool          // nothing is kept any more
	open     int           // in use or idle
	idle     []*kept       // the one used last at the end
	partedAt time.Time     // when one of ours ended that the server had taken
	changed  chan struct{} // closed, and replaced, when a connection comes back or ends
	late     []net.Conn    // those that owe an answer to a mail, beside open; the oldest first
}

// kept is a connection that waits for another mail.
type kept struct {
	*dialogue
	used int
	end  *time.Timer
}

func newPool(most int) *pool {
	return &pool{most: most, changed: make(chan struct{})}
}

// use gives do a connection that waited, or none where it may make one, and
// keeps the one that it returns. A server that turns a new connection away while
// it has others of ours is not down: do gets one of the others when it is free.
func (p *pool) use(ctx context.Context, patience time.Duration, do func(*dialogue) (*dialogue, error)) error {
	for {
		within, cancel := context.WithTimeout(ctx, patience)
		k, err := p.take(within)
		cancel()
		if err != nil {
			return &outbox.SendError{Fault: outbox.Deferred, Reason: "every connection to the server was in use", Err: err}
		}
		var d *dialogue
		if k != nil {
			d = k.dialogue
		}
		next, err := do(d)
		for turnedAway(err) && p.mayBeCounted() {
			select {
			case <-time.After(partedPause):
				next, err = do(nil)
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if next != nil {
			p.keep(k, next)
			return nil
		}
		if !p.ended(turnedAway(err)) {
			return err
		}
	}
}

// turnedAway tells whether the server said before MAIL FROM that it takes no
// further connection for now.
func turnedAway(err error) bool {
	var failed *outbox.SendError
	reply := answer(err)
	return errors.As(err, &failed) && failed.Fault == outbox.SenderDown && reply != nil && reply.Code/100 == 4
}

// take returns a connection that waits, or nil once a new one may be made.
func (p *pool) take(ctx context.Context) (*kept, error) {
	for {
		p.mu.Lock()
		if n := len(p.idle); n > 0 {
			k := p.idle[n-1]
			p.idle = p.idle[:n-1]
			p.mu.Unlock()
			k.end.Stop()
			return k, nil
		}
		if p.open < p.limit() {
			p.open++
			p.mu.Unlock()
			return nil, nil
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// limit is how many connections there may be now.
func (p *pool) limit() int {
	if time.Now().Before(p.until) {
		return p.fewer
	}
	return p.most
}

// keep has a connection wait for the next mail, unless it has served enough. Where the
// server wants fewer, those that it has are the ones that it bears.
func (p *pool) keep(before *kept, d *dialogue) {
	k := &kept{dialogue: d, used: 1}
	if before != nil && before.dialogue == d {
		k.used += before.used
	}
	p.mu.Lock()
	enough := k.used >= maxReuse || p.closed
	if !enough {
		k.end = time.AfterFunc(idleFor, func() { p.expire(k) })
		p.idle = append(p.idle, k)
	}
	p.tell()
	p.mu.Unlock()
	if enough {
		p.part(d)
	}
}

// ended counts a connection that is closed. Of one that the server turned away it
// tells whether there is another to wait for.
func (p *pool) ended(away bool) (others bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	p.tell()
	if !away || p.open == 0 {
		return false
	}
	p.fewer, p.until = p.open, time.Now().Add(crowded)
	return true
}

// part ends a connection that the server has taken.
func (p *pool) part(d *dialogue) {
	d.quit()
	p.mu.Lock()
	p.partedAt = time.Now()
	p.mu.Unlock()
	p.ended(false)
}

// mayBeCounted tells whether the server that turned the only connection away may
// still count one that has ended.
func (p *pool) mayBeCounted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open == 1 && time.Since(p.partedAt) < parted
}

// unanswered takes in a connection that owes an answer, in the place of the oldest
// where there are as many as others may be.
func (p *pool) unanswered(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.late) >= p.most {
		_ = p.late[0].Close()
		p.late = p.late[1:]
	}
	p.late = append(p.late, conn)
}

// answered is told when the answer has come, or is not waited for any more.
func (p *pool) answered(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = slices.DeleteFunc(p.late, func(c net.Conn) bool { return c == conn })
}

// tell wakes who waits in take.
func (p *pool) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// close ends the connections that wait, and those in use after their mail.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, k := range idle {
		k.end.Stop()
		p.part(k.dialogue)
	}
}

// expire ends a connection that nobody wanted.
func (p *pool) expire(k *kept) {
	p.mu.Lock()
	i := slices.Index(p.idle, k)
	if i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		p.part(k.dialogue)
	}
}
