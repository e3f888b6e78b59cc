package outbox

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// A message comes in twice: Put stores its entry in the transaction that makes what it
// is about, and Add, once that is committed, puts it in line. So no mail goes out for
// something that was rolled back, and after a crash the start reads what Add had not
// been told of (Load).
//
// Run gives each message that is due to the senders, in their order, beside each other
// as far as they bear (queue.go, deliver.go). Its letter is built then, from what its
// entry leads to; that is gone, used or expired? Then nothing is sent. A sender that
// fails by its own fault is Down and comes last for a minute, one that refuses several
// domains is Unfit; with all of them down, starts are refused (Down), so that people
// hear at once that no mail will come. What came of a message is written down in the
// transaction that takes it off the store (Tell). Decoys take the same way as far as it
// can be seen from outside, and no sender hears of them.

// Config is what an outbox needs for as long as the process runs.
type Config struct {
	Store   store.Store
	Secrets keyring.Secrets
	Now     func() time.Time
	Log     *slog.Logger
	Observe func(event.Event)
	// Tell takes down what came of an Item, in the transaction that takes it off
	// the queue or leaves it there.
	Tell func(tx store.Tx, of Item, tries []Try) error
}

// Means are how the configuration in charge sends. It must not change once it
// is in use.
type Means struct {
	Mail     []Sender     // in the order in which they are tried
	Texts    []TextSender // the same for text messages; may be empty
	Letters  Letters
	Composer Composer
	Limits   limit.Limits
}

// Letters knows what the entries of the outbox have to say. It is asked before
// each attempt to send.
type Letters interface {
	// Letter rebuilds the letter of an entry, nil if it is not to be sent any
	// more. An error means "cannot tell": it is asked again later.
	Letter(tx store.Tx, e Entry) (*Item, error)
}

// Item is a letter to be sent now.
type Item struct {
	Letter  Letter
	Problem error       // why there can't be one: it is given up, and that is reported
	About   event.Event // what reports say of it: address, challenge, origin, app

	Log string // where Tell writes, empty for nowhere

	Ref string // of its Entry, once it is to be sent
	id  string // see Entry.messageID
}

// Try is what came of handing a message to one sender.
type Try struct {
	At     time.Time
	Sender string
	Failed *SendError // nil: it took responsibility
	Final  bool       // nobody is left to be asked

	MessageID string // empty for a text message
	Renamed   string // what the sender put in its place, empty for nothing
}

// Outbox hands messages to the senders, off the request path. What waits is in
// the store and survives a restart. It is safe for concurrent use.
type Outbox struct {
	cfg      Config
	shared   store.Shared          // nil: this process has the store for itself
	means    atomic.Pointer[route] // nil: nothing is sent
	ready    chan struct{}         // something may be due
	under    sync.WaitGroup        // what Run began
	settlers chan struct{}         // one for each that tells what came of its message

	mu       sync.Mutex
	queues   map[bool]*queue // of mails (false) and of text messages (true)
	added    int64           // messages so far
	decoys   []*mail
	dropping int            // decoys that are taken off the store
	ahead    map[bool]int   // messages that were counted ahead, by Entry.Known
	short    chan bool      // of which few may be left
	heldAll  int            // messages that are held back
	heldBy   map[string]int // the same, by share
	senders  map[string]*senderRecord
}

// New returns an outbox that is empty until it is loaded.
func New(c Config) *Outbox {
	shared, _ := c.Store.(store.Shared)
	return &Outbox{
		cfg: c, shared: shared, ready: make(chan struct{}, 1), settlers: make(chan struct{}, settlers),
		queues: map[bool]*queue{false: newQueue(), true: newQueue()},
		ahead:  map[bool]int{}, short: make(chan bool, 4), heldBy: map[string]int{}, senders: map[string]*senderRecord{},
	}
}

// Use has messages sent by these means from now on, by none with nil. Senders that
// are down are tried at once: what kept them down may be mended.
func (o *Outbox) Use(m *Means) {
	o.means.Store(newRoute(m))
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, q := range o.queues {
		q.probed = time.Time{}
		for _, w := range q.waiting {
			w.idle = false // there may be a sender for it now
		}
		q.refill()
	}
	for _, health := range o.senders {
		health.last = time.Time{}
	}
	o.wake()
}

// Put stores e, as part of the transaction that makes or repeats what it is
// about. Add must follow once that is committed.
func (o *Outbox) Put(tx store.Tx, e *Entry) error {
	e.Queued, e.Secret, e.Node = o.cfg.Now(), o.cfg.Secrets.Current.ID(), o.node()
	e.Handed = o.shared != nil && e.Held == nil
	return e.save(tx)
}

// Add has e sent.
func (o *Outbox) Add(e *Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.ahead {
		o.ahead[e.Known]--
	}
	o.wakeCounter(e.Known)
	o.add(e)
}

func (o *Outbox) add(e *Entry) {
	defer o.wake()
	o.added++
	m := newMail(e, o.cfg.Now(), o.added)
	if m.Unsent != "" {
		o.decoys = append(o.decoys, m)
		return
	}
	q := o.of(m.Text)
	if w := q.waiting[m.name]; w != nil { // it will carry the same code
		if w.Held != nil && e.Held == nil || w.idle {
			o.hold(w, e.Held)
			w.due, w.Expires, w.idle = m.due, e.Expires, false
			defer q.refill()
		}
		w.Queued, w.Secret, w.Maybe, w.unsaved = e.Queued, e.Secret, nil, false
		w.Node, w.Handed = e.Node, e.Handed
		return
	}
	m.Held = nil
	o.hold(m, e.Held)
	q.add(m)
}

// hold has m wait for its part of Limits.Global, or with nil no longer.
func (o *Outbox) hold(m *mail, h *Hold) {
	n := 0
	if m.Held != nil {
		n--
	}
	if h != nil {
		n++
	}
	m.Held = h
	o.heldAll += n
	if o.heldBy[m.Share] += n; o.heldBy[m.Share] == 0 {
		delete(o.heldBy, m.Share)
	}
}

// Down tells whether new messages are refused, and when to try again: the queue
// is full, every sender was down at its last attempt and messages still wait, or
// it is a text message and this instance sends none.
func (o *Outbox) Down(text bool) (retry time.Duration, down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.means.Load()
	none := text && (r == nil || len(r.Texts) == 0)
	return probeEvery, none || o.isFull() || o.sendersDown(text)
}

// Delayed tells whether mails are late that people are told are sent: no sender
// is fit, though starts are accepted.
func (o *Outbox) Delayed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.means.Load()
	if r == nil || o.sendersDown(false) {
		return false
	}
	late := o.of(false).open
	for _, c := range r.couriers(false) {
		health := o.health(c.name)
		if !health.Down && !health.Unfit {
			return false
		}
		late = late || health.Unfit
	}
	return late
}

// Waiting returns how many messages wait.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of(false).size() + o.of(true).size() + len(o.decoys)
}

// Maybe returns how many messages may have gone out: no answer has come yet.
func (o *Outbox) Maybe() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, q := range o.queues {
		for _, m := range q.waiting {
			if len(m.Maybe) > 0 {
				n++
			}
		}
	}
	return n
}

// Senders returns how the senders of mails or of text messages have fared.
func (o *Outbox) Senders(text bool) (all []SenderStatus) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.means.Load(); r != nil {
		for _, c := range r.couriers(text) {
			status := o.health(c.name).SenderStatus
			status.Name = c.shown
			all = append(all, status)
		}
	}
	return all
}

func (o *Outbox) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// route is Means made ready.
type route struct {
	*Means
	mail, texts []courier
}

// width is how many messages of a kind are handed over at once: as many as the sender
// bears that bears most.
func (r *route) width(text bool) int {
	most := 0
	for _, c := range r.couriers(text) {
		most = max(most, cap(c.places))
	}
	return most
}

// courier hands messages to one sender, of mail or of text.
type courier struct {
	name  string
	shown string // as its sender says it; a text sender's may be a mail sender's too
	text  bool
	send  func(context.Context, *Item, Message) error
	check func(context.Context) error // nil: it can be tried by sending alone

	places chan struct{} // one for each message that it is given at once
}

// placesOf makes as many as a sender bears.
func placesOf(sender any) chan struct{} {
	if wide, says := sender.(Wide); says {
		return make(chan struct{}, max(1, wide.AtOnce()))
	}
	return make(chan struct{}, defaultWidth)
}

func newRoute(m *Means) *route {
	if m == nil {
		return nil
	}
	r := &route{Means: m}
	for _, sender := range m.Mail {
		c := courier{name: sender.Name(), shown: sender.Name(), places: placesOf(sender), send: func(ctx context.Context, _ *Item, m Message) error {
			return sender.Send(ctx, m)
		}}
		if checker, can := sender.(Checker); can {
			c.check = checker.Check
		}
		r.mail = append(r.mail, c)
	}
	for _, sender := range m.Texts {
		r.texts = append(r.texts, courier{name: "sms " + sender.Name(), shown: sender.Name(), text: true, places: placesOf(sender), send: func(ctx context.Context, of *Item, m Message) error {
			return sender.SendText(ctx, Text{ID: of.id, To: of.Letter.Phone, Body: m.Text, Code: m.Code, Link: m.Link})
		}})
	}
	return r
}

func (r *route) couriers(text bool) []courier {
	if text {
		return r.texts
	}
	return r.mail
}

// unfitAfter is how many recipient domains in a row a sender must refuse,
// without naming the recipient as the reason, to be unfit. One of them can be
// somebody's own server that wants to look like our failure.
const unfitAfter = 3

// SenderStatus is how a way to send has fared in this process.
type SenderStatus struct {
	Name   string
	Down   bool      // it failed, by its own fault, at its last attempt
	Unfit  bool      // it refused several domains in a row, and named no recipient as the reason
	SentAt time.Time // when it last took a mail; zero: never
	Failed time.Time // when it last refused or failed; zero: never
	Reason string    // of that
}

type senderRecord struct {
	SenderStatus
	refused []string // the recipient domains that it refused since it last took a mail, at most unfitAfter
	// last: until then others are asked before it, because it failed. Then one mail
	// tries it, and meanwhile it is last for the others.
	last time.Time
}

// health is how the courier with this name has fared; o.mu is held.
func (o *Outbox) health(name string) *senderRecord {
	if o.senders[name] == nil {
		o.senders[name] = &senderRecord{}
	}
	return o.senders[name]
}

// took notes that the sender took a mail.
func (r *senderRecord) took(at time.Time) {
	r.Down, r.Unfit, r.SentAt, r.refused, r.last = false, false, at, nil, time.Time{}
}

// answers notes that the sender can be reached and signed in to. Whether it
// takes mail is not known by that.
func (r *senderRecord) answers() {
	if r.Down {
		r.Down, r.last = false, time.Time{}
	}
}

// failed notes what became of a mail to somebody at domain; empty for a text
// message, and where no mail was tried.
func (r *senderRecord) failed(at time.Time, e *SendError, domain string) {
	r.Down, r.Failed, r.Reason = e.Fault == SenderDown, at, e.Error()
	if r.last = (time.Time{}); r.Down || e.Maybe {
		r.last = at.Add(lastFor)
	}
	if r.Down || e.Recipient || domain == "" {
		return
	}
	if len(r.refused) < unfitAfter && !slices.Contains(r.refused, domain) {
		r.refused = append(r.refused, domain)
	}
	r.Unfit = len(r.refused) >= unfitAfter
}

// sendError is err as a SendError, nil for nil.
func sendError(err error) *SendError {
	if err == nil {
		return nil
	}
	if failed := new(SendError); errors.As(err, &failed) {
		return failed
	}
	return &SendError{Fault: SenderDown, Reason: "the sender failed", Err: err}
}
