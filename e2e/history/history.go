// Package history checks what several nodes of a sign-in gate did, from the outside.
//
//	h := &history.History{Tries: 5, Heard: 2 * time.Second, Blind: time.Minute}
//	p := h.Person("alice@example.com")
//	p.Answered(history.Answer{…}) // an answer to the one code that was sent
//	p.Checked(history.Check{…})   // a request with the session
//	p.Ended(history.Span{…})      // an ending that was confirmed
//	h.Cut(history.Span{…})        // a node did not reach the store
//	h.Lost(history.Loss{…})       // the store came back as it was before
//	for _, broken := range h.Broken() { … }
//
// Whatever fails meanwhile: a code is accepted once, no wrong one goes uncounted, an
// ended session is let in by no node that reaches the store once others had the time to
// hear of it, nor by one that does not reach it for long, and nobody who is signed in is
// asked again. An outage is no answer: it breaks nothing, and may have done what was
// asked for.
//
// Of a store that forgets nothing less is asked, except where nobody can know better:
// what only a node knew that is gone; and until each node has written again, what a node
// does that had written nothing of its own into what was lost.
//
// It knows no HTTP, so that whoever runs another gate can check that one.
package history

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Span is when something was asked for and answered.
type Span struct {
	Start, End time.Time
	Node       string
}

// Outcome is what came of an answer or a check.
type Outcome int

// The outcomes. Of one that is not known it may be any.
const (
	Unknown Outcome = iota
	In              // a right code that was accepted, a request that was let in
	Out             // a code that was wrong, a request that was asked to sign in
	Locked          // no code is compared any more, used ones neither
	Void            // the code is no good any more, and another one is on its way
)

func (o Outcome) String() string { return [...]string{"unknown", "in", "out", "locked", "void"}[o] }

// Answer is a code that was given.
type Answer struct {
	Span
	Right   bool
	Outcome Outcome
}

// Check is a request with a session.
type Check struct {
	Span
	Outcome Outcome
}

// Loss is that the store came back without what was written to it last.
type Loss struct {
	From  time.Time // what was confirmed before is still there
	Gone  time.Time // what was asked for after is not
	Back  time.Time // then it happened at the earliest,
	Until time.Time // and then at the latest
	Whole time.Time // by then each node that lives has written to it again
	Dead  []string  // nodes that were gone by then, with what they knew
}

// History is what happened. The zero History knows nothing.
type History struct {
	Tries int           // the wrong code that locks: it is answered Locked, not Out
	Heard time.Duration // within which all nodes must know of an ending
	Blind time.Duration // how long a node may let in whom it knows without the store

	mu     sync.Mutex
	people []*Person
	writes []Span
	cuts   []Span
	losses []Loss
	came   int
}

// Person is one sign-in: one code, and the session that it led to.
type Person struct {
	Name string

	h       *History // and its lock
	answers []Answer
	checks  []Check
	ended   *Span
}

// Person begins the history of a sign-in.
func (h *History) Person(name string) *Person {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &Person{Name: name, h: h}
	h.people = append(h.people, p)
	return p
}

// Wrote notes that a node has confirmed a write: it must know when that is gone.
// Codes that were answered and endings are noted by themselves.
func (h *History) Wrote(s Span) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes = append(h.writes, s)
}

// Cut notes when a node did not reach the store, or stood still.
func (h *History) Cut(s Span) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cuts = append(h.cuts, s)
}

// Lost notes a loss.
func (h *History) Lost(l Loss) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.losses = append(h.losses, l)
}

// Answered notes an answer.
func (p *Person) Answered(a Answer) {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	if a.Outcome == In && !slices.ContainsFunc(p.answers, wasIn) {
		p.h.came++
	}
	if a.Outcome == In || a.Outcome == Out && !a.Right {
		p.h.writes = append(p.h.writes, a.Span)
	}
	p.answers = append(p.answers, a)
}

func wasIn(a Answer) bool { return a.Outcome == In }

// Checked notes a check; none after an ending of which nobody knows whether it was.
func (p *Person) Checked(c Check) {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	p.checks = append(p.checks, c)
}

// Ended notes that an ending was confirmed; the first counts.
func (p *Person) Ended(s Span) {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	if p.ended == nil {
		p.ended = &s
		p.h.writes = append(p.h.writes, s)
	}
}

// Came counts those who came in.
func (h *History) Came() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.came
}

// Counts is how much of what there was.
type Counts struct {
	Came, Wrong, Checks, Ended int
	Unheard                    int // checks that a node passed later than the others had to know of the end
}

// Counts counts.
func (h *History) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := Counts{Came: h.came}
	for _, p := range h.people {
		for _, a := range p.answers {
			if !a.Right && a.Outcome != Unknown {
				n.Wrong++
			}
		}
		n.Checks += len(p.checks)
		if p.ended == nil {
			continue
		}
		n.Ended++
		for _, c := range p.checks {
			if c.Outcome == In && c.Start.After(p.ended.End.Add(h.Heard)) {
				n.Unheard++
			}
		}
	}
	return n
}

// Broken tells what must not have happened, once all is over.
func (h *History) Broken() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := judge{History: h}
	for _, l := range h.losses {
		knew := map[string]bool{}
		for _, w := range h.writes {
			if w.Start.After(l.Gone) && w.End.Before(l.Back) {
				knew[w.Node] = true
			}
		}
		j.losses = append(j.losses, loss{l, knew})
	}
	for _, p := range h.people {
		for _, broken := range append(j.codes(p), j.sessions(p)...) {
			all = append(all, p.Name+": "+broken)
		}
	}
	return all
}

// judge looks at people.
type judge struct {
	*History
	losses []loss
}

type loss struct {
	Loss
	knew map[string]bool // nodes that have written into what is gone
}

// maybe tells whether what s did may be gone.
func (l loss) maybe(s Span) bool { return !s.End.Before(l.From) && !s.Start.After(l.Until) }

// forgotten tells whether what s did is gone for good.
func (l loss) forgotten(s Span) bool { return l.maybe(s) && slices.Contains(l.Dead, s.Node) }

// blameless tells whether the node that did s can't have known of the loss, while those
// that did put back what they knew.
func (l loss) blameless(s Span) bool {
	return !s.End.Before(l.Back) && !s.Start.After(l.Whole) && !l.knew[s.Node]
}

// codes checks the answers.
func (j judge) codes(p *Person) (broken []string) {
	var accepted, wrong []Answer
	for _, a := range p.answers {
		switch {
		case a.Outcome == In && !a.Right:
			broken = append(broken, fmt.Sprintf("a wrong code was accepted at %s", a.Node))
		case a.Outcome == In:
			accepted = append(accepted, a)
		case a.Right && a.Outcome == Out && !p.usedBefore(a) && !j.any(loss.blameless, a.Span):
			broken = append(broken, fmt.Sprintf("the right code was refused as wrong at %s, and nobody had used it", a.Node))
		case !a.Right && a.Outcome != Unknown && !j.any(loss.forgotten, a.Span) && !j.any(loss.blameless, a.Span):
			wrong = append(wrong, a)
		}
	}
	for i, a := range accepted {
		for _, b := range accepted[:i] {
			if !j.mayBoth(a, b) && !j.mayBoth(b, a) {
				broken = append(broken, fmt.Sprintf("the code was accepted twice, at %s and %s, %v apart", a.Node, b.Node, b.Start.Sub(a.Start).Abs().Round(time.Millisecond)))
			}
		}
	}
	compared := 0
	for _, w := range wrong {
		if w.Outcome == Out && !p.voidBefore(w) {
			compared++
		}
	}
	if j.Tries > 0 && compared >= j.Tries {
		broken = append(broken, fmt.Sprintf("%d codes were answered as wrong, and the one of number %d locked nothing", compared, j.Tries))
	}
	for _, a := range accepted {
		before := 0
		for _, w := range wrong {
			if w.End.Before(a.Start) {
				before++
			}
		}
		if j.Tries > 0 && before >= j.Tries && !j.any(loss.blameless, a.Span) {
			broken = append(broken, fmt.Sprintf("the code was accepted at %s after %d wrong ones", a.Node, before))
		}
	}
	return broken
}

func (j judge) any(is func(loss, Span) bool, s Span) bool {
	return slices.ContainsFunc(j.losses, func(l loss) bool { return is(l, s) })
}

// mayBoth tells whether a code may have been accepted a second time, since the first
// was lost and nobody could know.
func (j judge) mayBoth(first, second Answer) bool {
	return slices.ContainsFunc(j.losses, func(l loss) bool {
		return l.forgotten(first.Span) && !second.End.Before(l.Back) || l.maybe(first.Span) && l.blameless(second.Span)
	})
}

// usedBefore tells whether the code may have been used, locked or void by the end of a.
func (p *Person) usedBefore(a Answer) bool {
	return slices.ContainsFunc(p.answers, func(o Answer) bool {
		return o.Start.Before(a.End) && (o.Outcome == Locked || o.Outcome == Void || o.Outcome == Unknown || o.Outcome == In && o.Right)
	})
}

// voidBefore tells whether a may have been compared with the next code.
func (p *Person) voidBefore(a Answer) bool {
	return slices.ContainsFunc(p.answers, func(o Answer) bool { return o.Outcome == Void && o.Start.Before(a.End) })
}

// sessions checks the requests.
func (j judge) sessions(p *Person) (broken []string) {
	ended := p.ended
	if ended != nil && slices.ContainsFunc(j.losses, func(l loss) bool { return l.forgotten(*ended) && ended.End.Add(j.Heard).After(l.Back) }) {
		return nil // nobody else can have heard of it
	}
	if ended != nil && j.mayAsk(p, *ended) {
		return nil // there was no session, for all that this node knew
	}
	for _, c := range p.checks {
		early := ended == nil || c.End.Before(ended.Start)
		switch {
		case c.Outcome == In && ended != nil && c.Start.After(j.deadline(c.Node, *ended)):
			broken = append(broken, fmt.Sprintf("%s let the session in %v after its end", c.Node, c.Start.Sub(ended.End).Round(time.Millisecond)))
		case c.Outcome == Out && early && !j.mayAsk(p, c.Span):
			broken = append(broken, fmt.Sprintf("%s asked again who is signed in", c.Node))
		}
	}
	return broken
}

// deadline is until when a node may let a session in that has ended: as long as it takes
// to hear of it. Before the others have put back what is lost nobody hears of anything;
// an ending that was lost is new then, and a node that was cut off has to begin again.
// But it may be blind for so long only.
func (j judge) deadline(node string, ended Span) time.Time {
	type pause struct {
		Span
		again bool
	}
	var pauses []pause
	for _, cut := range j.cuts {
		if cut.Node == node {
			pauses = append(pauses, pause{cut, true})
		}
	}
	for _, l := range j.losses {
		if l.maybe(ended) {
			pauses = append(pauses, pause{Span{Start: l.From, End: l.Whole}, true})
		} else {
			pauses = append(pauses, pause{Span{Start: l.Back, End: l.Whole}, false})
		}
	}
	slices.SortFunc(pauses, func(a, b pause) int { return a.Start.Compare(b.Start) })
	clock, left := ended.End, j.Heard
	for _, p := range pauses {
		if p.End.Before(clock) {
			continue
		}
		if p.Start.After(clock.Add(left)) {
			break
		}
		if p.again {
			left = j.Heard
		} else if p.Start.After(clock) {
			left -= p.Start.Sub(clock)
		}
		blind := latest(p.Start, ended.End).Add(j.Blind)
		if p.End.After(blind) {
			return latest(blind, ended.End.Add(j.Heard))
		}
		clock = p.End
	}
	return clock.Add(left)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// mayAsk tells whether the sign-in of somebody who was asked again may have been lost,
// and was not put back yet.
func (j judge) mayAsk(p *Person, check Span) bool {
	return slices.ContainsFunc(p.answers, func(a Answer) bool {
		return a.Right && (a.Outcome == In || a.Outcome == Unknown) && slices.ContainsFunc(j.losses, func(l loss) bool {
			return l.forgotten(a.Span) && !check.End.Before(l.Back) || l.maybe(a.Span) && l.blameless(check)
		})
	})
}
