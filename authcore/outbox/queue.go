package outbox

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// The queue of one kind, mails or text messages. A message that waits is in one
// place: in the heap of those never tried, of those that failed before, or of those
// that wait for their part of Limits.Global; or parked behind the recipient or
// domain that is being served; or, tried as often as it may be, idle until an answer
// comes. So the next one is found without a look at the rest, of which there may
// be 100,000.
//
// One recipient is sent one message at a time, one domain gets half the workers, and
// so do all together that failed before: a server that makes ours think for half a
// minute keeps nobody else's mail.

const (
	// queueSize bounds the messages that wait, by the memory that they take: about
	// 600 bytes each. A full queue refuses new sign-ins.
	queueSize = 100_000
	// defaultWidth is how many messages a sender that does not say is given at once.
	defaultWidth = 4
	// settlers is how many messages may be sent and not be taken off the store yet: as many
	// may be sent once more after a crash.
	settlers = 64
	// probeEvery is how often the senders are tried while mail is down.
	probeEvery = 30 * time.Second
	// lastFor is how long a sender that failed comes last.
	lastFor = time.Minute
	// retryFirst is the wait after a failed round of all senders; it doubles
	// up to retryMost.
	retryFirst = 5 * time.Second
	retryMost  = time.Minute
	// sendTimeout bounds one attempt of one sender, whatever it promises.
	sendTimeout = time.Minute
	// sweepCost is for one message, of looking which have expired.
	sweepCost = 10 * time.Microsecond
)

// outage is what is known while all senders of a kind are down.
type outage struct {
	probed time.Time // when they were last tried
	last   string    // to whom the message that failed last was
	// open: starts are accepted until a message to somebody else fails. No other
	// message waits, or the senders work when they are tried without one.
	open bool
	// decoyed: until then the decoys that met it would wait, were they mails.
	decoyed time.Time
}

// line is a heap: who is due first, and of these who came first.
type line []*mail

func (l line) Len() int { return len(l) }
func (l line) Less(i, j int) bool {
	if l[i].due.Equal(l[j].due) {
		return l[i].place < l[j].place
	}
	return l[i].due.Before(l[j].due)
}
func (l line) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *line) Push(m any)   { *l = append(*l, m.(*mail)) }
func (l *line) Pop() any {
	last := len(*l) - 1
	m := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return m
}

// queue is what is in the outbox of one kind.
type queue struct {
	outage
	waiting            map[string]*mail // by key, all but those that are being sent
	fresh, again, held line
	parked             map[string]*parked
	sending            map[*mail]bool
	busy               map[string]int // what is being sent, by recipient and by domain
	retries            int            // of what is being sent, what failed before
	expires            time.Time      // none of what waits does so sooner
	swept              time.Time
}

// parked is who waits for one recipient or domain, the oldest first.
type parked struct{ fresh, again []*mail }

func newQueue() *queue {
	return &queue{waiting: map[string]*mail{}, parked: map[string]*parked{}, sending: map[*mail]bool{}, busy: map[string]int{}}
}

func (q *queue) size() int { return len(q.waiting) + len(q.sending) }

// add takes m in.
func (q *queue) add(m *mail) {
	q.waiting[m.name] = m
	if until := m.until(); q.expires.IsZero() || until.Before(q.expires) {
		q.expires = until
	}
	if !m.idle {
		q.push(m)
	}
}

func (q *queue) push(m *mail) {
	switch {
	case m.Held != nil:
		heap.Push(&q.held, m)
	case m.rounds > 0:
		heap.Push(&q.again, m)
	default:
		heap.Push(&q.fresh, m)
	}
}

// pick takes out what is to be sent now by one of so many workers, nil for nothing.
func (q *queue) pick(now time.Time, workers int) *mail {
	part := max(1, workers/2)
	for len(q.sending) < workers {
		from := q.first(now, part)
		if from == nil {
			return nil
		}
		m := heap.Pop(from).(*mail)
		by := q.waitsFor(m, part)
		if by == "" {
			q.start(m)
			return m
		}
		q.park(m, by)
		if by == m.To { // its place in its domain is for the next
			q.release(m.domain())
		}
	}
	return nil
}

// first is the heap that has the next one: who was never tried goes before the rest.
func (q *queue) first(now time.Time, part int) *line {
	for _, l := range q.lines(part) {
		if len(*l) > 0 && !(*l)[0].due.After(now) {
			return l
		}
	}
	return nil
}

func (q *queue) lines(part int) []*line {
	lines := []*line{&q.fresh, &q.held, &q.again}
	if q.retries >= part {
		lines = lines[:2]
	}
	return lines
}

func (q *queue) park(m *mail, by string) {
	p := q.parked[by]
	if p == nil {
		p = &parked{}
		q.parked[by] = p
	}
	if m.rounds > 0 {
		p.again = append(p.again, m)
	} else {
		p.fresh = append(p.fresh, m)
	}
}

// waitsFor is the domain or recipient that is served enough already, empty for
// none. A recipient that is not known yet waits for nobody.
func (q *queue) waitsFor(m *mail, part int) string {
	switch {
	case m.To == "":
		return ""
	case q.busy[m.domain()] >= part:
		return m.domain()
	case q.busy[m.To] > 0:
		return m.To
	}
	return ""
}

func (q *queue) start(m *mail) {
	delete(q.waiting, m.name)
	q.sending[m], m.retried = true, m.rounds > 0
	if m.retried {
		q.retries++
	}
	q.serve(m, 1)
}

func (q *queue) serve(m *mail, n int) {
	for _, key := range []string{m.To, m.domain()} {
		if key == "" {
			continue
		}
		if q.busy[key] += n; q.busy[key] == 0 {
			delete(q.busy, key)
		}
	}
}

// finish has m's worker do something else.
func (q *queue) finish(m *mail) {
	delete(q.sending, m)
	if m.retried {
		q.retries--
	}
	q.serve(m, -1)
	q.release(m.domain())
	for q.release(m.To) {
	}
}

// release lets the next go that are parked behind key: of those never tried, and of the others.
func (q *queue) release(key string) (more bool) {
	p := q.parked[key]
	if p == nil {
		return false
	}
	for _, list := range []*[]*mail{&p.fresh, &p.again} {
		if len(*list) > 0 {
			q.push((*list)[0])
			*list = (*list)[1:]
		}
	}
	if len(p.fresh)+len(p.again) == 0 {
		delete(q.parked, key)
	}
	return true
}

// refill has all that wait find their places anew.
func (q *queue) refill() {
	q.fresh, q.again, q.held, q.parked = nil, nil, nil, map[string]*parked{}
	q.expires = time.Time{}
	for _, m := range q.waiting {
		if until := m.until(); q.expires.IsZero() || until.Before(q.expires) {
			q.expires = until
		}
		if !m.idle {
			q.push(m)
		}
	}
}

// sweepAfter is how long nothing need be looked at that has expired, zero where it is time.
func (q *queue) sweepAfter(now time.Time) time.Duration {
	if len(q.waiting) == 0 {
		return time.Hour
	}
	return max(q.expires.Sub(now), time.Duration(len(q.waiting))*sweepCost-now.Sub(q.swept), 0)
}

// claimProbe tells whether the senders were not tried of late, and leaves that to who asks.
func (q *queue) claimProbe(now time.Time) bool {
	if now.Sub(q.probed) < probeEvery {
		return false
	}
	q.probed = now
	return true
}

// another is the oldest message that can be tried and goes to another recipient than the one that
// failed last.
func (q *queue) another() *mail {
	var oldest *mail
	for _, m := range q.waiting {
		if !m.idle && m.Held == nil && (m.To == "" || m.To != q.last) && (oldest == nil || m.place < oldest.place) {
			oldest = m
		}
	}
	if oldest != nil {
		q.start(oldest)
		q.refill()
	}
	return oldest
}

// mail is an entry, and how it fares in this process.
type mail struct {
	Entry
	name    string // its key
	place   int64  // in which it came
	due     time.Time
	rounds  int    // failed rounds of all senders
	retried bool   // it is being sent, and rounds was not zero at the start
	idle    bool   // nothing can be done but wait for answers
	late    int    // answers that may still come
	gone    bool   // an answer came while it was being sent once more: it is taken
	log     string // of its Item
	news    []Try  // what came of it and was not told yet
	unsaved bool   // Entry.Maybe, or Entry.Handed, is not yet in the store

	// refused says which senders of the route refusedIn refused it for good. Those
	// of another are all asked.
	refused   map[int]bool
	refusedIn *route

	telling sync.Mutex // held by who tells its news
}

func newMail(e *Entry, due time.Time, place int64) *mail {
	m := &mail{Entry: *e, name: e.key(), due: due, place: place}
	if e.Held != nil {
		m.due = m.due.Add(e.Held.wait)
	}
	return m
}

// domain is that of the recipient, with its @; empty is unknown, or a number's.
func (m *mail) domain() string {
	if at := strings.LastIndexByte(m.To, '@'); at >= 0 {
		return m.To[at:]
	}
	return ""
}

// expire takes out what is too old: it is gone from the store by itself.
func (o *Outbox) expire(q *queue, now time.Time) {
	if q.sweepAfter(now) > 0 {
		return
	}
	for name, m := range q.waiting {
		if !now.Before(m.until()) {
			delete(q.waiting, name)
			o.hold(m, nil)
		}
	}
	q.swept = now
	q.refill()
}

// of is the queue of mails, or of text messages.
func (o *Outbox) of(text bool) *queue { return o.queues[text] }

// isFull tells whether too many messages wait for a sender. Those that are held have
// a bound of their own.
func (o *Outbox) isFull() bool {
	return o.of(false).size()+o.of(true).size()-o.heldAll >= queueSize
}

func (o *Outbox) sendersDown(text bool) bool {
	r, q := o.means.Load(), o.of(text)
	if r == nil || q.open || q.size() == 0 && !o.cfg.Now().Before(q.decoyed) {
		return false
	}
	return o.allFailed(r.couriers(text))
}

// allFailed tells whether the last try of each failed by its own fault.
func (o *Outbox) allFailed(all []courier) bool {
	return !slices.ContainsFunc(all, func(c courier) bool { return !o.health(c.name).Down })
}

// Run sends until ctx ends, then waits for the attempts under way.
func (o *Outbox) Run(ctx context.Context) {
	o.under.Go(func() { o.keepLooking(ctx) })
	o.under.Go(func() { o.keepAhead(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for do := o.next(); do != nil && ctx.Err() == nil; do = o.next() {
			o.under.Go(func() {
				defer o.wake()
				do(ctx)
			})
		}
		timer.Reset(o.pause())
		select {
		case <-o.ready:
		case <-timer.C:
		case <-ctx.Done():
			o.under.Wait()
			return
		}
	}
}

// next picks what is to be done now, nil for nothing: a message that is due, or
// while mail is down a look at the senders, every 30 seconds.
func (o *Outbox) next() func(context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, r := o.cfg.Now(), o.means.Load()
	if r == nil {
		return nil
	}
	if n := len(o.decoys); n > 0 && o.dropping < settlers {
		m := o.decoys[0]
		o.decoys = o.decoys[1:]
		o.dropping++
		return func(ctx context.Context) { o.discard(ctx, m) }
	}
	for _, text := range []bool{false, true} {
		q := o.of(text)
		o.expire(q, now)
		if o.sendersDown(text) {
			if q.claimProbe(now) {
				return func(ctx context.Context) { o.probe(ctx, text) }
			}
			continue
		}
		if m := q.pick(now, r.width(text)); m != nil {
			return func(ctx context.Context) { o.work(ctx, m) }
		}
	}
	return nil
}

// pause is how long nothing will be due.
func (o *Outbox) pause() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, pause := o.cfg.Now(), time.Hour
	r := o.means.Load()
	if r == nil {
		return pause
	}
	for _, text := range []bool{false, true} {
		q, width := o.of(text), r.width(text)
		pause = min(pause, max(q.sweepAfter(now), time.Millisecond))
		if o.sendersDown(text) {
			pause = min(pause, max(probeEvery-now.Sub(q.probed), time.Second))
			continue
		}
		if len(q.sending) >= width {
			continue // the end of one wakes us
		}
		for _, l := range q.lines(max(1, width/2)) {
			if len(*l) > 0 {
				pause = min(pause, (*l)[0].due.Sub(now))
			}
		}
	}
	return max(pause, time.Millisecond)
}

// learn notes to whom m goes, and tells whether it has to wait for others: one
// that an earlier process left began without that being known.
func (o *Outbox) learn(m *mail, to string, width int) (waits bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := m.To == ""
	if !first {
		return false
	}
	q := o.of(m.Text)
	m.To = to
	waits = q.waitsFor(m, max(1, width/2)) != ""
	q.serve(m, 1)
	return waits
}

// probe tries the senders of a kind that are all down, by a connection and a
// sign-in where they can be tried so, else by a message to another recipient
// than the one that failed last: its server may be what fails. Where none waits,
// starts are accepted again until another one fails.
func (o *Outbox) probe(ctx context.Context, text bool) {
	r := o.means.Load()
	if r == nil {
		return
	}
	mute := false
	for _, c := range r.couriers(text) {
		if c.check == nil {
			mute = true
		} else if o.check(ctx, c) || ctx.Err() != nil {
			return
		}
	}
	if !mute {
		return
	}
	if m := o.another(text); m != nil {
		o.work(ctx, m)
	}
}

// check tries a sender without a mail.
func (o *Outbox) check(ctx context.Context, c courier) (works bool) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	failed := sendError(c.check(ctx))
	if failed != nil && errors.Is(ctx.Err(), context.Canceled) {
		return false // we are stopping: that says nothing about the sender
	}
	o.note(c, nil, failed)
	return failed == nil
}

// another picks the oldest message to another recipient than the one that
// failed last. If there is none, mail is open.
func (o *Outbox) another(text bool) *mail {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.of(text)
	m := q.another()
	if m == nil {
		q.open = true
		o.allDue(q)
	}
	return m
}

// allDue has all that failed before tried at once.
func (o *Outbox) allDue(q *queue) {
	now := o.cfg.Now()
	for _, m := range q.waiting {
		if m.Held == nil {
			m.due, m.rounds = now, 0
		}
	}
	q.refill()
}

// work sends m, and finds it its next place.
func (o *Outbox) work(ctx context.Context, m *mail) {
	err := o.deliver(ctx, m)
	o.settlers <- struct{}{}
	defer func() { <-o.settlers }()
	done := o.place(m, err)
	o.wake()
	if errors.Is(err, errHeld) {
		return
	}
	if err := o.settle(m, done); err != nil && ctx.Err() == nil {
		o.cfg.Log.Warn("what became of a mail can't be written; one that was sent may be sent once more after a restart", "error", err)
	}
}

// place has m leave its worker for where it waits next, and tells whether it is done.
func (o *Outbox) place(m *mail, err error) (done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.of(m.Text)
	q.finish(m)
	if errors.Is(err, errElsewhere) {
		o.hold(m, nil)
		return false
	}
	if err != nil && !errors.Is(err, errHeld) { // an answer may have come meanwhile
		err = o.left(o.means.Load(), m)
	}
	if err == nil {
		o.hold(m, nil)
		return true
	}
	if q.waiting[m.name] != nil { // it was asked for again meanwhile
		o.hold(m, nil)
		return false
	}
	if errors.Is(err, errLater) {
		m.due = o.cfg.Now().Add(min(retryFirst<<min(m.rounds, 8), retryMost))
		m.rounds++
	}
	m.idle = errors.Is(err, errUnanswered)
	q.add(m)
	return false
}

// discard takes a decoy off the store.
func (o *Outbox) discard(ctx context.Context, m *mail) {
	if err := o.settle(m, true); err != nil && ctx.Err() == nil {
		o.cfg.Log.Warn("an entry can't be taken off the mail queue", "error", err)
	}
	o.standIn(ctx, m)
	o.tell(m)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropping--
}

// tell says why the decoy m is not sent, where the first sender shows that.
func (o *Outbox) tell(m *mail) {
	r := o.means.Load()
	if r == nil || m.Text || len(r.Mail) == 0 {
		return
	}
	if witness, shows := r.Mail[0].(Witness); shows {
		witness.Unsent(m.To, m.Unsent)
	}
}

// standIn finds out what a mail in the place of the decoy m would have: that no sender
// works. Else the next start tells whether there was a mail. It takes senders that can
// all be tried without one, and tries them no more often than while mail is down.
func (o *Outbox) standIn(ctx context.Context, m *mail) {
	r := o.means.Load()
	if r == nil || slices.ContainsFunc(r.couriers(m.Text), func(c courier) bool { return c.check == nil }) {
		return
	}
	q := o.of(m.Text)
	o.mu.Lock()
	due := q.claimProbe(o.cfg.Now())
	o.mu.Unlock()
	if due {
		o.probe(ctx, m.Text)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.allFailed(r.couriers(m.Text)) && m.until().After(q.decoyed) {
		q.decoyed = m.until()
	}
}

// note takes down how a sender fared: with m, or if that is nil at a check.
func (o *Outbox) note(c courier, m *mail, failed *SendError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was, q, now := o.sendersDown(c.text), o.of(c.text), o.cfg.Now()
	switch {
	case failed == nil && m == nil:
		o.health(c.name).answers()
	case failed == nil:
		o.health(c.name).took(now)
		q.probed = now
	case m == nil || m.Text:
		o.health(c.name).failed(now, failed, "")
	default:
		o.health(c.name).failed(now, failed, m.domain())
	}
	switch {
	case failed == nil && m == nil:
		q.open = true // the one that failed last fails by itself, if it does so again
	case failed == nil || failed.Fault != SenderDown:
		q.last, q.open = "", false
	case m == nil:
		q.open = false
	case m.To != q.last:
		q.last, q.open = m.To, false
	}
	is := o.sendersDown(c.text)
	if was && !is { // back again: everything that waits is due
		o.allDue(q)
	}
	if !was && is {
		q.probed = now
	}
}

// Tried notes how a mail sender fared with a message to somebody that was in no
// queue, as when an operator sends one by hand, and returns err as a SendError.
// An answer that may still come is not waited for.
func (o *Outbox) Tried(sender string, to address.Address, err error) *SendError {
	failed := sendError(err)
	failed.giveUp()
	if errors.Is(err, context.Canceled) {
		return failed // whoever sent it is gone: that says nothing about the sender
	}
	if r := o.means.Load(); r != nil {
		if i := slices.IndexFunc(r.mail, func(c courier) bool { return c.name == sender }); i >= 0 {
			o.note(r.mail[i], &mail{Entry: Entry{To: to.String()}}, failed)
			o.wake()
		}
	}
	return failed
}
