package delivery

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Config is what a Book needs for as long as the process runs.
type Config struct {
	Store   store.Store
	Now     func() time.Time
	Sent    func(ctx context.Context, messageID string) (*outbox.Sent, error)
	Observe func(event.Event)
}

// Book has how mail fares. It is safe for concurrent use.
type Book struct {
	cfg Config

	mu      sync.Mutex
	domains map[string]*figures
	unsaved map[string]*figures // what has come since they were written
	taken   map[string]taken    // mails to sign in with, by challenge

	day   int64                    // since 1970, of
	shown map[string]time.Duration // what codes live longer, by domain; nil: not known yet
}

// New returns the book that is kept in a store, once Load has read it.
func New(c Config) *Book {
	return &Book{cfg: c, domains: map[string]*figures{}, unsaved: map[string]*figures{}, taken: map[string]taken{}}
}

// Report is what a mail system says of a mail that it was given.
type Report struct {
	From      string // who says so, such as "mailgun"
	Token     string // of the report, which counts once
	MessageID string
	Recipient address.Address
	At        time.Time
	Outcome   challenge.Outcome // OutcomeDelivered, OutcomeDeferred, OutcomeBounced or OutcomeComplained
	Hard      bool              // with OutcomeBounced: the mailbox fails, not this mail
	Detail    string            // the mail system's own words
}

// Taken is what came of a Report.
type Taken int

// What can come of one.
const (
	Noted   Taken = iota
	Again         // its token was used before, or the same was told of the mail
	Foreign       // there is no such mail of ours to that recipient
)

const (
	// tokenKept is how long a used token is remembered: longer than who reports may
	// show one.
	tokenKept = 15 * time.Minute
	// problemsKept is how long it is remembered what came back from an address, and
	// mostProblems how much of it.
	problemsKept = 30 * 24 * time.Hour
	mostProblems = 8
)

// Problem is one mail that came back, or that was complained about.
type Problem struct {
	At      time.Time         `json:"at"`
	Outcome challenge.Outcome `json:"outcome"`
	Detail  string            `json:"detail,omitempty"`
}

type problems struct {
	Address string    `json:"address"` // its hash
	List    []Problem `json:"list"`    // the newest last
}

func problemsKey(a address.Address) string { return store.KeyBounce + keyring.Hash(a.String()) }

// Take takes a report down. Who can sign one is the caller's to check; that it
// is about a mail of ours, to that recipient, and was not shown before, is
// checked here.
func (b *Book) Take(ctx context.Context, r Report) (Taken, error) {
	sent, err := b.sent(ctx, r.MessageID)
	if err != nil {
		return Noted, err
	}
	now := b.cfg.Now()
	if r.At.After(now) || r.At.IsZero() {
		r.At = now
	}
	r.Detail = quiet(r.Detail)
	out, err := store.Update(ctx, b.cfg.Store, func(tx store.Tx) (Taken, error) {
		var until time.Time
		key := store.KeyHook + keyring.Hash(r.From+" "+r.Token)
		if used, err := store.Load(tx, key, &until); err != nil || used && now.Before(until) {
			return Again, err
		}
		until = now.Add(tokenKept)
		if err := store.Save(tx, key, until, until); err != nil {
			return Noted, err
		}
		if sent == nil || sent.To != keyring.Hash(r.Recipient.String()) {
			return Foreign, nil
		}
		if r.isProblem() { // one mail comes back once, however often that is told
			told := store.KeyHook + keyring.Hash(fmt.Sprintf("%s %s %v %s", r.From, r.Outcome, r.Hard, sent.MessageID))
			if again, err := store.Load(tx, told, &until); err != nil || again && now.Before(until) {
				return Again, err
			}
			until = now.Add(problemsKept)
			if err := store.Save(tx, told, until, until); err != nil {
				return Noted, err
			}
		}
		return Noted, b.take(tx, r, sent, now)
	})
	if err != nil || out != Noted {
		return out, err
	}
	b.noted(r, sent)
	return out, nil
}

// A report may come before it is written down that the mail was taken: sent looks
// again for so long.
const (
	settleTime  = 3 * time.Second
	settleEvery = 100 * time.Millisecond
)

// sent returns what a Message-ID stands for; nil: for no mail of ours.
func (b *Book) sent(ctx context.Context, messageID string) (*outbox.Sent, error) {
	first, _, _ := strings.Cut(messageID, "@")
	for until := time.Now().Add(settleTime); ; {
		sent, err := b.cfg.Sent(ctx, messageID)
		if err != nil || sent != nil || !keyring.LikeMessageID(first) || !time.Now().Before(until) {
			return sent, err
		}
		select {
		case <-time.After(settleEvery):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *Book) take(tx store.Tx, r Report, sent *outbox.Sent, now time.Time) error {
	step := challenge.Step{At: r.At, Outcome: r.Outcome, Sender: r.From, Detail: r.Detail, MessageID: r.MessageID}
	if err := challenge.NoteAt(tx, sent.Log, sent.Ref, step); err != nil || !r.isProblem() {
		return err
	}
	if r.Hard || r.Outcome == challenge.OutcomeComplained {
		// Who has read the mail has the mailbox.
		if read, err := challenge.WasRead(tx, sent.Log, sent.Ref); err != nil {
			return err
		} else if !read {
			if err := challenge.Hold(tx, r.Recipient, sent.At, now); err != nil {
				return err
			}
		}
	}
	key, p := problemsKey(r.Recipient), &problems{}
	if _, err := store.Load(tx, key, p); err != nil {
		return err
	}
	p.Address, p.List = keyring.Hash(r.Recipient.String()), append(p.recent(now), Problem{r.At, r.Outcome, r.Detail})
	p.List = p.List[max(0, len(p.List)-mostProblems):]
	return store.Save(tx, key, p, now.Add(problemsKept))
}

func (r *Report) isProblem() bool {
	return r.Outcome == challenge.OutcomeBounced || r.Outcome == challenge.OutcomeComplained
}

func (p *problems) recent(now time.Time) []Problem {
	return slices.DeleteFunc(p.List, func(p Problem) bool { return !now.Before(p.At.Add(problemsKept)) })
}

// noted tells what was reported, once it is on disk.
func (b *Book) noted(r Report, sent *outbox.Sent) {
	b.cfg.Observe(event.Event{
		Name: event.MailReport, At: r.At, Address: r.Recipient, Challenge: sent.Ref, Message: r.MessageID,
		Sender: r.From, Letter: string(sent.Kind), Reason: string(r.Outcome), Detail: r.Detail,
	})
}

// Problems returns what came back from a, the newest first, and until when mail
// to it is held that unknown browsers ask for; zero: it is not.
func (b *Book) Problems(ctx context.Context, a address.Address) (list []Problem, heldUntil time.Time, err error) {
	type found struct {
		p    problems
		held time.Time
	}
	now := b.cfg.Now()
	got, err := store.View(ctx, b.cfg.Store, func(tx store.Tx) (got found, err error) {
		if _, err := store.Load(tx, problemsKey(a), &got.p); err != nil {
			return got, err
		}
		got.held, err = challenge.HeldUntil(tx, a, now)
		return got, err
	})
	list = got.p.recent(now)
	slices.Reverse(list)
	return list, got.held, err
}

// PausedUntil is how long unknown browsers cause no mail to a, whose owner said "this
// wasn't me"; zero: they do.
func (b *Book) PausedUntil(ctx context.Context, a address.Address) (time.Time, error) {
	return store.View(ctx, b.cfg.Store, func(tx store.Tx) (time.Time, error) { return challenge.PausedUntil(tx, a, b.cfg.Now()) })
}

// Forget takes away what came back from a, whose account is gone.
func (b *Book) Forget(ctx context.Context, a address.Address) error {
	return b.cfg.Store.Update(ctx, func(tx store.Tx) error {
		tx.Delete(problemsKey(a))
		return challenge.Forgive(tx, a, b.cfg.Now())
	})
}

// Unlocked is what Unlock has lifted, and what it leaves.
type Unlocked struct {
	Limited bool // mails had counted for limit.Limits.PerRecipient
	Held    bool // a bounce or complaint had held mail back
	// PausedUntil is how long mail stays held that unknown browsers ask for: its
	// owner said "this wasn't me". Zero: it is not.
	PausedUntil time.Time
}

// Unlock forgets the mails that a has got so far and lifts the hold after a
// bounce, so that it gets new ones at once. Wrong codes stay counted, or an
// operator who is talked into this opens the way to guess on; and its owner's
// "this wasn't me" stays in force.
func (b *Book) Unlock(ctx context.Context, a address.Address) (Unlocked, error) {
	return store.Update(ctx, b.cfg.Store, func(tx store.Tx) (out Unlocked, err error) {
		if out.Limited, err = limit.ForgetMails(tx, a.String()); err != nil {
			return out, err
		}
		if out.Held, err = challenge.Release(tx, a, b.cfg.Now()); err != nil {
			return out, err
		}
		out.PausedUntil, err = challenge.PausedUntil(tx, a, b.cfg.Now())
		return out, err
	})
}

// What a mail system repeats of a mail is not known here, so all is blanked that
// can be a part of one: codes, links, tokens, addresses.
var repeated = regexp.MustCompile(`(?i)https?://\S+|\S*@\S*|[0-9]{3}[ -][0-9]{3}|[0-9]{4,}|[A-Z0-9_-]{30,}`)

func quiet(text string) string {
	return repeated.ReplaceAllLiteralString(outbox.Message{}.Said(strings.TrimSpace(text)), "[...]")
}

// Load reads the figures.
func (b *Book) Load(ctx context.Context) error {
	items, err := store.View(ctx, b.cfg.Store, func(tx store.Tx) ([]store.Item, error) {
		return tx.Scan(store.KeyDomain, "", mostDomains)
	})
	if err != nil {
		return errors.Join(errors.New("reading how mail fares"), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, item := range items {
		f := &figures{}
		if _, err := store.Decode(item.Key, item.Value, f); err != nil {
			return err
		}
		if b.unsaved[f.Domain] == nil {
			b.domains[f.Domain] = f
		}
	}
	return nil
}

// Run writes the figures every minute, and reads what other nodes have written, until
// ctx ends. Flush must follow.
func (b *Book) Run(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.Flush(ctx)
			if _, shared := b.cfg.Store.(store.Shared); shared {
				_ = b.Load(ctx) // if not, in a minute
			}
		}
	}
}

// Flush writes what has come since the last time. What can't be written is kept
// for the next.
func (b *Book) Flush(ctx context.Context) {
	b.mu.Lock()
	unsaved, now := b.unsaved, b.cfg.Now()
	b.unsaved = map[string]*figures{}
	for id, t := range b.taken {
		if now.Sub(t.Queued) > takenKept {
			delete(b.taken, id)
		}
	}
	b.mu.Unlock()
	for domain, news := range unsaved {
		whole, err := store.Update(ctx, b.cfg.Store, func(tx store.Tx) (*figures, error) {
			f := &figures{Domain: domain}
			if _, err := store.Load(tx, store.KeyDomain+domain, f); err != nil {
				return nil, err
			}
			f.add(news, now)
			return f, store.Save(tx, store.KeyDomain+domain, f, now.Add(figuresKept))
		})
		b.mu.Lock()
		if since := b.unsaved[domain]; err != nil {
			b.at(b.unsaved, domain).add(news, now)
		} else if since == nil {
			b.domains[domain] = whole
		}
		b.mu.Unlock()
	}
}
