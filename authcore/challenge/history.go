package challenge

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
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
	OutcomeHeld       Outcome = "held"        // mail to it came back, or was complained about: nothing was sent
	OutcomeLimited    Outcome = "limited"     // over a limit: nothing was sent
	OutcomeMailDown   Outcome = "mail_down"   // no sender took mail: nothing was sent
	OutcomeQueued     Outcome = "queued"      // the mail waits to be sent
	OutcomeDeferred   Outcome = "deferred"    // a sender did not take it; the next one or this one is tried again
	OutcomeDeclined   Outcome = "rejected"    // a sender refused it for good; another may take it
	OutcomeMaybe      Outcome = "maybe"       // a sender got it whole and did not answer: it may arrive
	OutcomeRejected   Outcome = "refused"     // the last sender that was left refused it for good
	OutcomeAdmitted   Outcome = "admitted"    // an operator gave out its code, while mail was down
	OutcomeAccepted   Outcome = "accepted"    // a sender took responsibility for it
	OutcomeDelivered  Outcome = "delivered"   // the recipient's server has it, as the mail system reports
	OutcomeBounced    Outcome = "bounced"     // it came back, as the mail system reports
	OutcomeComplained Outcome = "complained"  // the recipient called it spam
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
	At        time.Time `json:"at"`
	Outcome   Outcome   `json:"outcome"`
	Sender    string    `json:"sender,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	MessageID string    `json:"message_id,omitempty"` // of the mail, as the sender gave it on
	Count     int       `json:"count,omitempty"`      // how often in a row, if more than once
}

// Attempts are remembered for people who have signed in for as long as they may
// want to look back, and for any other address only as long as an operator may
// be asked about it: whoever types addresses of others must not fill the store.
const (
	HistoryOfPeople = 30 * 24 * time.Hour
	historyOfOthers = 25 * time.Hour
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

// HistoryKey sorts the attempts for an address with the newest first. It is "" for
// a text message, which has no history.
func HistoryKey(c *Challenge) string {
	if c.IsText() {
		return ""
	}
	return fmt.Sprintf("%s%016x-%s", historyPrefix(c.Address), math.MaxInt64-c.AskedAt.UnixMilli(), c.ID)
}

func historyPrefix(a address.Address) string {
	return store.KeyHistory + keyring.Hash(a.String()) + "/"
}

// remember begins the history of a new challenge.
func (e *Engine) remember(tx store.Tx, c *Challenge) error {
	life := historyOfOthers
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
		r.Steps[0].Outcome = c.Unsent
	}
	return store.Save(tx, HistoryKey(c), r, r.Kept)
}

// Note adds steps to the history of a challenge, if that is still kept.
func Note(tx store.Tx, of *Challenge, steps ...Step) error {
	return NoteAt(tx, HistoryKey(of), of.ID, steps...)
}

// NoteAt is Note for who knows where the history of the challenge with id is.
func NoteAt(tx store.Tx, key, id string, steps ...Step) error {
	return changeHistory(tx, key, id, func(r *attemptRecord) {
		for _, step := range steps {
			r.add(step)
		}
	})
}

// noteUsed closes the history of a challenge, with the session it was used for.
func noteUsed(tx store.Tx, of *Challenge) error {
	return changeHistory(tx, HistoryKey(of), of.ID, func(r *attemptRecord) {
		of.mail = r.mail()
		r.add(Step{At: of.UsedAt, Outcome: OutcomeUsed})
		if of.Session != "" {
			r.Session, r.Method = of.Session, of.Method
			r.Kept = r.At.Add(HistoryOfPeople) // now the address is a person's
		}
	})
}

// changeHistory changes the history at key of the challenge with id, if it is
// still kept. Text messages have none.
func changeHistory(tx store.Tx, key, id string, change func(*attemptRecord)) error {
	if key == "" {
		return nil
	}
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
		last.At, last.Detail, last.MessageID = step.At, step.Detail, step.MessageID
		return
	}
	if len(r.Steps) >= maxSteps {
		r.Steps = append(r.Steps[:1], r.Steps[2:]...)
	}
	r.Steps = append(r.Steps, step)
	slices.SortStableFunc(r.Steps[1:], func(a, b Step) int { return a.At.Compare(b.At) })
}

// mail is how the mail fared of which the history tells, the last of several.
func (r *attemptRecord) mail() (m event.Mail) {
	for _, step := range r.Steps {
		switch step.Outcome {
		case OutcomeQueued:
			m = event.Mail{Queued: step.At}
		case OutcomeAccepted:
			m.Taken = step.At
		case OutcomeDelivered:
			m.Delivered = step.At
		}
	}
	return m
}

// has tells whether outcome is among the steps.
func (r *attemptRecord) has(outcome Outcome) bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Outcome == outcome })
}

// ranks orders the outcomes by how much they say. A mail may be answered before
// the server that took it is done with it, so the last step need not say most.
var ranks = map[Outcome]int{
	OutcomeDeferred: 1, OutcomeDeclined: 1, OutcomeMaybe: 1, OutcomeAccepted: 2, OutcomeRejected: 2, OutcomeAdmitted: 2,
	OutcomeDelivered: 2, OutcomeBounced: 2, OutcomeComplained: 2,
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
	if first := r.Steps[0].Outcome; !r.has(OutcomeAdmitted) && (first == OutcomeNotAllowed || first == OutcomePaused || first == OutcomeHeld || first == OutcomeLimited) {
		a.Outcome = first // whatever was typed: nothing was ever sent
		return a
	}
	switch a.Outcome {
	case OutcomeQueued, OutcomeAccepted, OutcomeDelivered, OutcomeAdmitted, OutcomeLinkOpened, OutcomeWrongCode:
		// A mail that no server ever took says more as it is.
		if !now.Before(r.Expires) {
			a.Outcome = OutcomeExpired
			a.Steps = append(a.Steps, Step{At: r.Expires, Outcome: OutcomeExpired})
		}
	}
	return a
}

// History is what became of the wishes to sign in. It outlives configurations.
type History struct {
	Store store.Store
	Now   func() time.Time
	away  turnedAway
}

// Of returns up to limit wishes to sign in with address a since then, the
// newest first. Those that stored nothing (over a limit) are remembered by this process only, and only the newest thousand of
// all addresses.
func (h *History) Of(ctx context.Context, a address.Address, since time.Time, limit int) ([]Attempt, error) {
	found, err := store.View(ctx, h.Store, func(tx store.Tx) (found []Attempt, err error) {
		items, err := tx.Scan(historyPrefix(a), "", limit)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			r := &attemptRecord{}
			if ok, err := store.Decode(item.Key, item.Value, r); err != nil || !ok || len(r.Steps) == 0 {
				return found, err
			}
			if r.At.Before(since) {
				break
			}
			found = append(found, r.view(h.Now()))
		}
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	return newestFirst(append(h.away.of(a, since), found...), limit), nil
}

// TurnedAway remembers a wish that stored nothing.
func (h *History) TurnedAway(w Wish, outcome Outcome) { h.away.add(w, h.Now(), outcome) }

// WasOpened tells whether the history has that the link of c was opened.
func WasOpened(tx store.Tx, c *Challenge) (bool, error) {
	r := &attemptRecord{}
	_, err := store.Load(tx, HistoryKey(c), r)
	return r.has(OutcomeLinkOpened), err
}

// WasRead tells whether somebody has signed in with the mail of the challenge with
// id, whose history is at key.
func WasRead(tx store.Tx, key, id string) (bool, error) {
	if key == "" {
		return false, nil
	}
	r := &attemptRecord{}
	_, err := store.Load(tx, key, r)
	return r.Challenge == id && r.has(OutcomeUsed) && !r.has(OutcomeAdmitted), err
}

// Opened notes that the link of a challenge was opened, once.
func (h *History) Opened(ctx context.Context, c *Challenge) error {
	return h.Store.Update(ctx, func(tx store.Tx) error {
		return changeHistory(tx, HistoryKey(c), c.ID, func(r *attemptRecord) {
			if !r.has(OutcomeLinkOpened) {
				r.add(Step{At: h.Now(), Outcome: OutcomeLinkOpened})
			}
		})
	})
}

// forgetPage bounds one transaction.
const forgetPage = 200

// Forget takes away all that is known of wishes to sign in with a.
func (h *History) Forget(ctx context.Context, a address.Address) error {
	h.away.forget(a)
	for {
		items, err := store.View(ctx, h.Store, func(tx store.Tx) ([]store.Item, error) {
			return tx.Scan(historyPrefix(a), "", forgetPage)
		})
		if err != nil || len(items) == 0 {
			return err
		}
		err = h.Store.Update(ctx, func(tx store.Tx) error {
			for _, item := range items {
				tx.Delete(item.Key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
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

func (t *turnedAway) add(w Wish, at time.Time, outcome Outcome) {
	r := awayRecord{w.Address, Attempt{
		At: at, Outcome: outcome, Origin: w.Origin, Agent: ShortAgent(w.Agent), Network: CoarseNetwork(w.Client),
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

func (t *turnedAway) forget(a address.Address) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.ring {
		if t.ring[i].address == a {
			t.ring[i] = awayRecord{}
		}
	}
}
