package authcore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// queueSize bounds the mails that wait. A full queue refuses new sign-ins.
	queueSize = 1000
	// queueWorkers is how many mails are handed over at once.
	queueWorkers = 4
	// probeEvery is how often the oldest waiting mail is tried while mail is
	// down.
	probeEvery = 30 * time.Second
	// retryFirst is the wait after a failed round of all senders; it doubles
	// up to retryMost.
	retryFirst = 5 * time.Second
	retryMost  = time.Minute
	// freshMail is how long the challenge of a mail that was just queued is not
	// read again. Who says "this wasn't me" in that time may still get the mail,
	// as when it had left already; its code and link are dead.
	freshMail = time.Second
	// sendTimeout bounds one attempt of one sender, whatever it promises.
	sendTimeout = 30 * time.Second
)

// queue hands mails to the senders, off the request path. What waits is in the
// store and survives a restart.
type queue struct {
	core  *Core
	slots chan struct{} // one per worker
	ready chan struct{} // something may be due

	mu      sync.Mutex
	waiting []*mail         // the oldest first
	failed  map[string]bool // by sender: it was down at its last attempt
	health  senderHealth
	// probed is when a mail (false) or a text message (true) was last tried
	// while all senders of its kind were down.
	probed map[bool]time.Time
}

// mail is one mail that waits, or is being sent.
type mail struct {
	key       string
	challenge string
	kind      LetterKind // empty: LetterSignIn
	due       time.Time
	expires   time.Time
	decoy     bool // not sent, and never a reason to think that mail is down
	text      bool // a text message
	rounds    int  // failed rounds of all senders
	sending   bool
	fresh     *challenge // what was stored with it, for its first attempt
	queued    time.Time
	news      []Step // what happened to it and is not in its history yet
	history   string // key of the challenge's history, once there are news
}

func newQueue(c *Core) *queue {
	return &queue{core: c, slots: make(chan struct{}, queueWorkers), ready: make(chan struct{}, 1), failed: map[string]bool{}, probed: map[bool]time.Time{}}
}

// add has the mail of a challenge sent.
func (q *queue) add(c *challenge) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := mailKey(c)
	for _, m := range q.waiting {
		if m.key == key && !m.sending {
			return // it waits already, and will carry the same code
		}
	}
	q.waiting = append(q.waiting, &mail{key: key, challenge: c.ID, fresh: c, queued: q.core.now(), due: q.core.now(), expires: c.Expires, decoy: c.Decoy, text: c.text()})
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// down tells whether new mails are refused, and when to try again: the queue is
// full, or every sender was down at its last attempt and mail still waits.
func (q *queue) down() (retry time.Duration, down bool) { return q.downFor(false) }

// downFor is down for mails, or for text messages, which are also refused when
// this instance sends none.
func (q *queue) downFor(text bool) (retry time.Duration, down bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.core.current.Load()
	none := text && (s == nil || len(s.cfg.Texts) == 0)
	return probeEvery, none || len(q.waiting) >= queueSize || q.sendersDown(text)
}

func (q *queue) sendersDown(text bool) bool {
	s := q.core.current.Load()
	if s == nil || !slices.ContainsFunc(q.waiting, func(m *mail) bool { return m.text == text }) {
		return false
	}
	for _, courier := range s.couriersOf(text) {
		if !q.failed[courier.name] {
			return false
		}
	}
	return true
}

// Depth returns how many mails wait.
func (c *Core) MailWaiting() int {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	return len(c.queue.waiting)
}

// run sends until ctx ends, then waits for the attempts under way.
func (q *queue) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for m := q.next(); m != nil; m = q.next() {
			select {
			case q.slots <- struct{}{}:
				go q.work(ctx, m)
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
		}
		timer.Reset(q.pause())
		select {
		case <-q.ready:
		case <-timer.C:
		case <-ctx.Done():
			for range queueWorkers {
				q.slots <- struct{}{}
			}
			return
		}
	}
}

// pause is how long nothing will be due.
func (q *queue) pause() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, pause := q.core.now(), time.Hour
	down := map[bool]bool{false: q.sendersDown(false), true: q.sendersDown(true)}
	for _, m := range q.waiting {
		switch {
		case m.sending:
		case down[m.text]:
			pause = min(pause, max(probeEvery-now.Sub(q.probed[m.text]), time.Second))
		default:
			pause = min(pause, m.due.Sub(now), m.expires.Sub(now))
		}
	}
	return max(pause, 10*time.Millisecond)
}

// next picks a mail that is due: any, or while mail is down the oldest, every
// 30 seconds.
func (q *queue) next() *mail {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.core.now()
	if q.core.current.Load() == nil {
		return nil
	}
	// What has expired is gone from the store by itself.
	q.waiting = slices.DeleteFunc(q.waiting, func(m *mail) bool { return !m.sending && !now.Before(m.expires) })
	down := map[bool]bool{false: q.sendersDown(false), true: q.sendersDown(true)}
	for _, m := range q.waiting {
		if m.sending {
			continue
		}
		down := down[m.text]
		probe := down && now.Sub(q.probed[m.text]) >= probeEvery
		if m.due.After(now) && !probe || down && !probe && !m.decoy {
			continue
		}
		if down && !m.decoy {
			q.probed[m.text] = now
		}
		m.sending = true
		return m
	}
	return nil
}

func (q *queue) work(ctx context.Context, m *mail) {
	defer func() { <-q.slots; q.wake() }()
	err := q.deliver(ctx, m)
	if errors.Is(err, errLater) {
		if err := q.record(m); err != nil && ctx.Err() == nil {
			q.core.log.Warn("what became of a mail can't be written to its history", "error", err)
		}
		q.later(m)
		return
	}
	q.drop(m)
	if err := q.forget(m); err != nil && ctx.Err() == nil {
		q.core.log.Warn("a mail that was sent can't be taken off the queue; it may be sent once more after a restart", "error", err)
	}
}

func (q *queue) note(courier courier, down bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.sendersDown(courier.text)
	q.failed[courier.name] = down
	if was && !down { // back again: everything that waits is due
		for _, m := range q.waiting {
			m.due, m.rounds = q.core.now(), 0
		}
	}
	if !was && q.sendersDown(courier.text) {
		q.probed[courier.text] = q.core.now()
	}
}

func (q *queue) later(m *mail) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m.sending = false
	m.due = q.core.now().Add(min(retryFirst<<min(m.rounds, 8), retryMost))
	m.rounds++
}

func (q *queue) drop(m *mail) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if w == m {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return
		}
	}
}

// outcome is what came of one attempt of one sender.
func (q *queue) outcome(sender string, err error, fault SendFault, reason string) Step {
	now := q.core.now()
	if err == nil {
		q.health.took(sender, now)
		return Step{At: now, Outcome: OutcomeAccepted, Sender: sender}
	}
	q.health.failed(sender, now, fault, reason)
	if fault == Rejected {
		return Step{At: now, Outcome: OutcomeRejected, Sender: sender, Detail: reason}
	}
	return Step{At: now, Outcome: OutcomeDeferred, Sender: sender, Detail: reason}
}
