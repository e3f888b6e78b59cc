// Package history checks what several nodes of a sign-in gate did, from the outside.
//
//	h := &history.History{Tries: 5, Heard: 2 * time.Second}
//	p := h.Person("alice@example.com")
//	p.Answered(history.Answer{…}) // an answer to the one code that was sent
//	p.Checked(history.Check{…})   // a request with the session
//	p.Ended(history.Span{…})      // an ending that was confirmed
//	for _, broken := range h.Broken() { … }
//
// Whatever fails meanwhile: a code is accepted once, no wrong one goes uncounted, an
// ended session is let in by no node that reaches the store once others had the time to
// hear of it, and nobody who is signed in is asked again. An outage is no answer: it
// breaks nothing, and may have done what was asked for.
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
)

func (o Outcome) String() string { return [...]string{"unknown", "in", "out", "locked"}[o] }

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

// History is what happened. The zero History knows nothing.
type History struct {
	Tries int           // the wrong code that locks: it is answered Locked, not Out
	Heard time.Duration // within which all nodes must know of an ending

	mu     sync.Mutex
	people []*Person
}

// Person is one sign-in: one code, and the session that it led to.
type Person struct {
	Name string

	mu      sync.Mutex
	answers []Answer
	checks  []Check
	ended   *Span
}

// Person begins the history of a sign-in.
func (h *History) Person(name string) *Person {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &Person{Name: name}
	h.people = append(h.people, p)
	return p
}

// Answered notes an answer.
func (p *Person) Answered(a Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = append(p.answers, a)
}

// Checked notes a check; none after an ending of which nobody knows whether it was.
func (p *Person) Checked(c Check) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks = append(p.checks, c)
}

// Ended notes that an ending was confirmed; the first counts.
func (p *Person) Ended(s Span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = &s
	}
}

// Came counts those who came in.
func (h *History) Came() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.people {
		p.mu.Lock()
		for _, a := range p.answers {
			if a.Outcome == In {
				n++
				break
			}
		}
		p.mu.Unlock()
	}
	return n
}

// Broken tells what must not have happened.
func (h *History) Broken() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.people {
		p.mu.Lock()
		for _, broken := range append(p.codes(h.Tries), p.sessions(h.Heard)...) {
			all = append(all, p.Name+": "+broken)
		}
		p.mu.Unlock()
	}
	return all
}

// codes checks the answers.
func (p *Person) codes(tries int) (broken []string) {
	var accepted []Answer
	wrong := 0
	for _, a := range p.answers {
		switch {
		case a.Outcome == In && !a.Right:
			broken = append(broken, fmt.Sprintf("a wrong code was accepted at %s", a.Node))
		case a.Outcome == In:
			accepted = append(accepted, a)
		case a.Outcome == Out && !a.Right:
			wrong++
		case a.Outcome == Out && !p.usedBefore(a):
			broken = append(broken, fmt.Sprintf("the right code was refused as wrong at %s, and nobody had used it", a.Node))
		}
	}
	if len(accepted) > 1 {
		broken = append(broken, fmt.Sprintf("the code was accepted %d times, at %s and %s", len(accepted), accepted[0].Node, accepted[1].Node))
	}
	if tries > 0 && wrong >= tries {
		broken = append(broken, fmt.Sprintf("%d codes were answered as wrong, and the one of number %d locked nothing", wrong, tries))
	}
	for _, a := range accepted {
		before := 0
		for _, w := range p.answers {
			if !w.Right && w.Outcome != Unknown && w.End.Before(a.Start) {
				before++
			}
		}
		if tries > 0 && before >= tries {
			broken = append(broken, fmt.Sprintf("the code was accepted at %s after %d wrong ones", a.Node, before))
		}
	}
	return broken
}

// usedBefore tells whether the code may have been used, or locked, by the end of a.
func (p *Person) usedBefore(a Answer) bool {
	return slices.ContainsFunc(p.answers, func(o Answer) bool {
		return o.Start.Before(a.End) && (o.Outcome == Locked || o.Outcome == Unknown || o.Outcome == In && o.Right)
	})
}

// sessions checks the requests.
func (p *Person) sessions(heard time.Duration) (broken []string) {
	for _, c := range p.checks {
		late := p.ended != nil && c.Start.After(p.ended.End.Add(heard))
		early := p.ended == nil || c.End.Before(p.ended.Start)
		switch {
		case c.Outcome == In && late:
			broken = append(broken, fmt.Sprintf("%s let the session in %v after its end", c.Node, c.Start.Sub(p.ended.End).Round(time.Millisecond)))
		case c.Outcome == Out && early:
			broken = append(broken, fmt.Sprintf("%s asked again who is signed in", c.Node))
		}
	}
	return broken
}
