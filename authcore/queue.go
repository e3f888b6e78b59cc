package authcore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// queueSize bounds the mails that wait. A full queue refuses new sign-ins.
	queueSize = 1000
	// queueWorkers is how many mails are handed over at once.
	queueWorkers = 4
	// probeEvery is how often the senders are tried while mail is down.
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
	waiting []*mail // the oldest first
	health  senderHealth
	outages map[bool]*outage // of mail (false) and of text messages (true)
}

// outage is what is known while all senders of a kind are down.
type outage struct {
	probed time.Time // when they were last tried
	last   string    // to whom the message that failed last was
	// open: starts are accepted until a message to somebody else fails. No other
	// message waits, or the senders work when they are tried without one.
	open bool
}

// mail is one mail that waits, or is being sent.
type mail struct {
	key       string
	challenge string
	to        string     // address or number; empty until its challenge was read
	kind      LetterKind // empty: LetterSignIn
	due       time.Time
	expires   time.Time
	decoy     bool // not sent, and never a reason to think that mail is down
	text      bool // a text message
	held      *hold
	rounds    int // failed rounds of all senders
	sending   bool
	fresh     *challenge // what was stored with it, for its first attempt
	queued    time.Time
	news      []Step // what happened to it and is not in its history yet
	history   string // key of the challenge's history, once there are news

	// refused says which senders of the configuration refusedIn refused it for
	// good. Those of another are all asked.
	refused   map[int]bool
	refusedIn *Service
}

func newQueue(c *Core) *queue {
	return &queue{core: c, slots: make(chan struct{}, queueWorkers), ready: make(chan struct{}, 1), outages: map[bool]*outage{false: {}, true: {}}}
}

// add has the mail of a challenge sent.
func (q *queue) add(c *challenge) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := mailKey(c)
	for _, m := range q.waiting {
		if m.key == key && !m.sending {
			if m.held != nil && c.held == nil {
				m.held, m.due, m.expires = nil, q.core.now(), c.Expires
				q.wake()
			}
			return // it waits already, and will carry the same code
		}
	}
	if c.held != nil {
		now := q.core.now()
		q.waiting = append(q.waiting, &mail{key: key, challenge: c.ID, to: c.recipient(), queued: now, due: now.Add(c.held.wait), expires: c.held.until, text: c.text(), held: c.held})
		q.wake()
		return
	}
	q.waiting = append(q.waiting, &mail{key: key, challenge: c.ID, to: c.recipient(), fresh: c, queued: q.core.now(), due: q.core.now(), expires: c.Expires, decoy: c.Decoy, text: c.text()})
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
	return probeEvery, none || q.isFull() || q.sendersDown(text)
}

// isFull tells whether too many mails wait for a sender. Those that are held have
// a bound of their own.
func (q *queue) isFull() bool {
	if len(q.waiting) < queueSize {
		return false
	}
	n := 0
	for _, m := range q.waiting {
		if m.held == nil {
			n++
		}
	}
	return n >= queueSize
}

func (q *queue) sendersDown(text bool) bool {
	s := q.core.current.Load()
	if s == nil || q.outages[text].open || !slices.ContainsFunc(q.waiting, func(m *mail) bool { return m.text == text }) {
		return false
	}
	return !slices.ContainsFunc(s.couriersOf(text), func(c courier) bool { return !q.health.of(c.name).Down })
}

// delayed tells whether mails are late that people are told are sent: no sender
// is fit, though starts are accepted.
func (q *queue) delayed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.core.current.Load()
	if s == nil || q.sendersDown(false) {
		return false
	}
	late := q.outages[false].open
	for _, c := range s.couriersOf(false) {
		health := q.health.of(c.name)
		if !health.Down && !health.Unfit {
			return false
		}
		late = late || health.Unfit
	}
	return late
}

// MailWaiting returns how many mails wait.
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
		for do := q.next(); do != nil; do = q.next() {
			select {
			case q.slots <- struct{}{}:
				go func() {
					defer func() { <-q.slots; q.wake() }()
					do(ctx)
				}()
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
	under := q.underWay(nil)
	for _, m := range q.waiting {
		switch {
		case m.sending:
		case down[m.text]:
			pause = min(pause, max(probeEvery-now.Sub(q.outages[m.text].probed), time.Second))
		case under.holds(m): // the end of what it waits for wakes us
			pause = min(pause, max(m.expires.Sub(now), time.Second))
		default:
			pause = min(pause, m.due.Sub(now), m.expires.Sub(now))
		}
	}
	return max(pause, 10*time.Millisecond)
}

// underWay is what is being sent.
type underWay struct {
	to      []string
	domains map[string]int
	retries int
}

// underWay looks at what is being sent, but for m; nil: at all.
func (q *queue) underWay(but *mail) underWay {
	all := underWay{domains: map[string]int{}}
	for _, m := range q.waiting {
		if !m.sending || m == but {
			continue
		}
		all.to = append(all.to, m.to)
		all.domains[m.domain()]++
		if m.rounds > 0 {
			all.retries++
		}
	}
	return all
}

// holds tells whether m waits for what is under way: a recipient whose server
// makes ours think for half a minute gets one worker, a domain half of them, and
// so do all that failed before together, so that nobody keeps the mail of others.
func (u underWay) holds(m *mail) bool {
	return m.to != "" && (slices.Contains(u.to, m.to) || u.domains[m.domain()] >= queueWorkers/2) ||
		m.rounds > 0 && u.retries >= queueWorkers/2
}

// domain is that of the recipient; a number is its own, and empty is unknown.
func (m *mail) domain() string { return m.to[strings.LastIndexByte(m.to, '@')+1:] }

// learn notes to whom m goes, and tells whether it has to wait for others: one
// that an earlier process left began without that being known.
func (q *queue) learn(m *mail, to string) (waits bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := m.to == ""
	m.to = to
	return first && q.underWay(m).holds(m)
}

// next picks what is to be done now, nil for nothing: a mail that is due, or
// while mail is down a look at the senders, every 30 seconds.
func (q *queue) next() func(context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.core.now()
	if q.core.current.Load() == nil {
		return nil
	}
	// What has expired is gone from the store by itself.
	q.waiting = slices.DeleteFunc(q.waiting, func(m *mail) bool { return !m.sending && !now.Before(m.expires) })
	down := map[bool]bool{}
	for _, text := range []bool{false, true} {
		down[text] = q.sendersDown(text)
		if outage := q.outages[text]; down[text] && now.Sub(outage.probed) >= probeEvery {
			outage.probed = now
			return func(ctx context.Context) { q.probe(ctx, text) }
		}
	}
	under := q.underWay(nil)
	var next *mail
	for _, m := range q.waiting {
		if m.sending || m.due.After(now) || down[m.text] && !m.decoy || under.holds(m) {
			continue
		}
		if next == nil || next.rounds > 0 && m.rounds == 0 { // what was never tried goes first
			next = m
		}
	}
	if next == nil {
		return nil
	}
	next.sending = true
	return func(ctx context.Context) { q.work(ctx, next) }
}

// probe tries the senders of a kind that are all down, by a connection and a
// sign-in where they can be tried so, else by a message to another recipient
// than the one that failed last: its server may be what fails. Where none waits,
// starts are accepted again until another one fails.
func (q *queue) probe(ctx context.Context, text bool) {
	s := q.core.current.Load()
	if s == nil {
		return
	}
	mute := false
	for _, c := range s.couriersOf(text) {
		if c.check == nil {
			mute = true
		} else if q.check(ctx, c) || ctx.Err() != nil {
			return
		}
	}
	if !mute {
		return
	}
	if m := q.another(text); m != nil {
		q.work(ctx, m)
	}
}

// check tries a sender without a mail.
func (q *queue) check(ctx context.Context, c courier) (works bool) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	failed := sendError(c.check(ctx))
	if failed != nil && errors.Is(ctx.Err(), context.Canceled) {
		return false // we are stopping: that says nothing about the sender
	}
	q.note(c, nil, failed)
	return failed == nil
}

// another picks the oldest message to another recipient than the one that
// failed last. If there is none, mail is open.
func (q *queue) another(text bool) *mail {
	q.mu.Lock()
	defer q.mu.Unlock()
	outage := q.outages[text]
	for _, m := range q.waiting {
		if m.text == text && !m.sending && !m.decoy && m.held == nil && (m.to == "" || m.to != outage.last) {
			m.sending = true
			return m
		}
	}
	outage.open = true
	q.allDue(text)
	return nil
}

func (q *queue) allDue(text bool) {
	for _, m := range q.waiting {
		if m.text == text {
			m.due, m.rounds = q.core.now(), 0
		}
	}
}

func (q *queue) work(ctx context.Context, m *mail) {
	err := q.deliver(ctx, m)
	if errors.Is(err, errHeld) {
		q.mu.Lock()
		m.sending = false
		q.mu.Unlock()
		return
	}
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

// note takes down how a sender fared: with m, or if that is nil at a check.
func (q *queue) note(c courier, m *mail, failed *SendError) {
	q.mu.Lock()
	defer q.mu.Unlock()
	was, outage, now := q.sendersDown(c.text), q.outages[c.text], q.core.now()
	switch {
	case failed == nil && m == nil:
		q.health.answers(c.name)
	case failed == nil:
		q.health.took(c.name, now)
	case m == nil || m.text:
		q.health.failed(c.name, now, failed, "")
	default:
		q.health.failed(c.name, now, failed, m.domain())
	}
	switch {
	case failed == nil && m == nil:
		outage.open = true // the one that failed last fails by itself, if it does so again
	case failed == nil || failed.Fault != SenderDown:
		outage.last, outage.open = "", false
	case m != nil && m.to != outage.last:
		outage.last, outage.open = m.to, false
	}
	is := q.sendersDown(c.text)
	if was && !is { // back again: everything that waits is due
		q.allDue(c.text)
	}
	if !was && is {
		outage.probed = now
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

// outcome is what came of one attempt of one sender. A refusal is final when
// there is no other sender left.
func (q *queue) outcome(sender string, failed *SendError, final bool) Step {
	step := Step{At: q.core.now(), Outcome: OutcomeAccepted, Sender: sender}
	if failed != nil {
		step.Outcome, step.Detail = OutcomeDeferred, failed.Reason
	}
	if final {
		step.Outcome = OutcomeRejected
	}
	return step
}
