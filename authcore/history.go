package authcore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Outcome is what became of one wish to sign in. The words are stable.
type Outcome string

// The outcomes, in the order in which they can follow each other.
const (
	OutcomeNotAllowed Outcome = "not_allowed" // no gate admits the address: nothing was sent
	OutcomePaused     Outcome = "paused"      // its owner said "this wasn't me": nothing was sent
	OutcomeLimited    Outcome = "limited"     // over a limit: nothing was sent
	OutcomeMailDown   Outcome = "mail_down"   // no sender took mail: nothing was sent
	OutcomeQueued     Outcome = "queued"      // the mail waits to be sent
	OutcomeDeferred   Outcome = "deferred"    // a sender did not take it; the next one or this one is tried again
	OutcomeRejected   Outcome = "refused"     // the last sender that was left refused it for good
	OutcomeAccepted   Outcome = "accepted"    // a sender took responsibility for it
	OutcomeLinkOpened Outcome = "link_opened" // the link's page was shown, to anybody
	OutcomeWrongCode  Outcome = "wrong_code"
	OutcomeLocked     Outcome = "locked" // too many wrong codes
	OutcomeUsed       Outcome = "used"   // signed in
	OutcomeExpired    Outcome = "expired"
)

// Attempt is one wish to sign in with an address, and what became of it.
type Attempt struct {
	At        time.Time
	Challenge string // its id; empty if there was none
	Outcome   Outcome
	Sender    string // who took, deferred or refused the mail
	Detail    string // what that sender said
	Origin    origin.Origin
	Agent     string
	Network   string
	Session   string // sid, once used
	Method    string // "code" or "link", once used
	Steps     []Step // all that happened, the oldest first
}

// Step is one thing that happened to an Attempt.
type Step struct {
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	Sender  string    `json:"sender,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Count   int       `json:"count,omitempty"` // how often in a row, if more than once
}

// Attempts are remembered for people who have signed in for as long as they may
// want to look back, and for any other address only as long as an operator may
// be asked about it: whoever types addresses of others must not fill the store.
const (
	HistoryOfPeople = 30 * 24 * time.Hour
	HistoryOfOthers = 25 * time.Hour
)

// maxSteps bounds what one attempt can make the store keep.
const maxSteps = 16

// attemptRecord is an Attempt in the store. It is written in the transactions
// that happen anyway: those of its challenge's record, which goes sooner, and
// those of its mail. Only the first opening of the link has one of its own.
type attemptRecord struct {
	Challenge string        `json:"challenge"`
	At        time.Time     `json:"at"`
	Expires   time.Time     `json:"expires"` // of code and link
	Kept      time.Time     `json:"kept"`
	Origin    origin.Origin `json:"origin"`
	Agent     string        `json:"agent,omitempty"`
	Network   string        `json:"network,omitempty"`
	Session   string        `json:"session,omitempty"`
	Method    string        `json:"method,omitempty"`
	Steps     []Step        `json:"steps"`
}

// historyKey sorts the attempts for an address with the newest first.
func historyKey(c *challenge) string {
	return fmt.Sprintf("%s%016x-%s", historyPrefix(c.Address), math.MaxInt64-c.AskedAt.UnixMilli(), c.ID)
}

func historyPrefix(a address.Address) string {
	return store.KeyHistory + keyring.Hash(a.String()) + "/"
}

// remember begins the history of a new challenge.
func (s *Service) remember(tx store.Tx, c *challenge) error {
	life := HistoryOfOthers
	var sub string
	if known, err := store.Load(tx, store.KeyAddress+c.Address.String(), &sub); err != nil {
		return err
	} else if known {
		life = HistoryOfPeople
	}
	r := &attemptRecord{
		Challenge: c.ID, At: c.AskedAt, Expires: c.Expires, Kept: c.AskedAt.Add(life),
		Origin: c.Origin, Agent: c.Agent, Network: c.Network,
		Steps: []Step{{At: c.AskedAt, Outcome: OutcomeQueued}},
	}
	if c.Decoy {
		r.Steps[0].Outcome = s.decoyOutcome(c)
	}
	return store.Save(tx, historyKey(c), r, r.Kept)
}

// decoyOutcome is why nothing is sent for c.
func (s *Service) decoyOutcome(c *challenge) Outcome {
	if c.Over {
		return OutcomeLimited
	}
	if s.cfg.MayReceive(c.Address) {
		return OutcomePaused
	}
	return OutcomeNotAllowed
}

// note adds a step to the history of a challenge, if that is still kept.
func (c *Core) note(tx store.Tx, of *challenge, step Step) error {
	return c.changeHistory(tx, historyKey(of), of.ID, func(r *attemptRecord) { r.add(step) })
}

// noteOpened notes that the link of a challenge was opened, once.
func (c *Core) noteOpened(ctx context.Context, of *challenge) error {
	r := &attemptRecord{}
	err := c.store.View(ctx, func(tx store.Tx) error {
		_, err := store.Load(tx, historyKey(of), r)
		return err
	})
	if err != nil || r.has(OutcomeLinkOpened) {
		return err
	}
	return c.store.Update(ctx, func(tx store.Tx) error {
		return c.changeHistory(tx, historyKey(of), of.ID, func(r *attemptRecord) {
			if !r.has(OutcomeLinkOpened) {
				r.add(Step{At: c.now(), Outcome: OutcomeLinkOpened})
			}
		})
	})
}

// noteUsed closes the history of a challenge with the session it was used for.
func (c *Core) noteUsed(tx store.Tx, of *challenge, at time.Time, method string) error {
	return c.changeHistory(tx, historyKey(of), of.ID, func(r *attemptRecord) {
		r.add(Step{At: at, Outcome: OutcomeUsed})
		r.Session, r.Method = of.Session, method
		r.Kept = r.At.Add(HistoryOfPeople) // now the address is a person's
	})
}

// changeHistory changes the history at key of the challenge with id, if it is
// still kept.
func (c *Core) changeHistory(tx store.Tx, key, id string, change func(*attemptRecord)) error {
	r := &attemptRecord{}
	ok, err := store.Load(tx, key, r)
	if err != nil || !ok || r.Challenge != id {
		return err
	}
	change(r)
	return store.Save(tx, key, r, r.Kept)
}

// add puts a step in its place in time; one that repeats the last is counted with
// it. Of too many the first, which says how it began, and the newest stay.
func (r *attemptRecord) add(step Step) {
	if last := &r.Steps[len(r.Steps)-1]; last.Outcome == step.Outcome && last.Sender == step.Sender {
		last.Count = max(last.Count, 1) + 1
		last.At, last.Detail = step.At, step.Detail
		return
	}
	if len(r.Steps) >= maxSteps {
		r.Steps = append(r.Steps[:1], r.Steps[2:]...)
	}
	r.Steps = append(r.Steps, step)
	slices.SortStableFunc(r.Steps[1:], func(a, b Step) int { return a.At.Compare(b.At) })
}

// has tells whether outcome is among the steps.
func (r *attemptRecord) has(outcome Outcome) bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Outcome == outcome })
}

// ranks orders the outcomes by how much they say. A mail may be answered before
// the server that took it is done with it, so the last step need not say most.
var ranks = map[Outcome]int{
	OutcomeDeferred: 1, OutcomeAccepted: 2, OutcomeRejected: 2,
	OutcomeLinkOpened: 3, OutcomeWrongCode: 4, OutcomeLocked: 5, OutcomeUsed: 6,
}

func (r *attemptRecord) outcome() Outcome {
	best := r.Steps[0].Outcome
	for _, step := range r.Steps {
		if ranks[step.Outcome] >= ranks[best] {
			best = step.Outcome
		}
	}
	return best
}

// view is the attempt as it stands at now.
func (r *attemptRecord) view(now time.Time) Attempt {
	a := Attempt{
		At: r.At, Challenge: r.Challenge, Origin: r.Origin, Agent: r.Agent, Network: r.Network,
		Session: r.Session, Method: r.Method, Steps: r.Steps,
	}
	for _, step := range r.Steps {
		if step.Sender != "" {
			a.Sender, a.Detail = step.Sender, step.Detail
		}
	}
	a.Outcome = r.outcome()
	if first := r.Steps[0].Outcome; first == OutcomeNotAllowed || first == OutcomePaused || first == OutcomeLimited {
		a.Outcome = first // whatever was typed: nothing was ever sent
		return a
	}
	switch a.Outcome {
	case OutcomeQueued, OutcomeAccepted, OutcomeLinkOpened, OutcomeWrongCode:
		// A mail that no server ever took says more as it is.
		if !now.Before(r.Expires) {
			a.Outcome = OutcomeExpired
			a.Steps = append(a.Steps, Step{At: r.Expires, Outcome: OutcomeExpired})
		}
	}
	return a
}

// Attempts returns up to limit wishes to sign in with address a since then, the
// newest first. Those that stored nothing (over a limit, or while mail was
// down) are remembered by this process only, and only the newest thousand of
// all addresses.
func (c *Core) Attempts(ctx context.Context, a address.Address, since time.Time, limit int) ([]Attempt, error) {
	var found []Attempt
	now := c.now()
	err := c.store.View(ctx, func(tx store.Tx) error {
		found = nil
		items, err := tx.Scan(historyPrefix(a), "", limit)
		if err != nil {
			return err
		}
		for _, item := range items {
			r := &attemptRecord{}
			if ok, err := store.Decode(item.Key, item.Value, r); err != nil || !ok || len(r.Steps) == 0 {
				return err
			}
			if r.At.Before(since) {
				return nil
			}
			found = append(found, r.view(now))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return newestFirst(append(c.turnedAway.of(a, since), found...), limit), nil
}

func newestFirst(all []Attempt, limit int) []Attempt {
	slices.SortStableFunc(all, func(a, b Attempt) int { return b.At.Compare(a.At) })
	return all[:min(len(all), limit)]
}

// turnedAway remembers starts that stored nothing.
type turnedAway struct {
	mu   sync.Mutex
	ring []awayRecord
	next int
}

type awayRecord struct {
	address address.Address
	attempt Attempt
}

const turnedAwaySize = 1000

func (t *turnedAway) add(b Browser, a address.Address, at time.Time, outcome Outcome) {
	r := awayRecord{a, Attempt{
		At: at, Outcome: outcome, Origin: b.Origin, Agent: shortAgent(b.UserAgent), Network: coarseNetwork(b.Client),
		Steps: []Step{{At: at, Outcome: outcome}},
	}}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ring) < turnedAwaySize {
		t.ring = append(t.ring, r)
		return
	}
	t.ring[t.next] = r
	t.next = (t.next + 1) % turnedAwaySize
}

func (t *turnedAway) of(a address.Address, since time.Time) []Attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []Attempt
	for _, r := range t.ring {
		if r.address == a && !r.attempt.At.Before(since) {
			found = append(found, r.attempt)
		}
	}
	return found
}
