package limit

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// tally counts events over time. It is exact to the millisecond up to tallyCells
// events; beyond, neighbours are merged and counted as the later one, so that
// a limit is never reached too late.
//
// In the store it is one list of numbers, time and count in turns, each time as
// the distance from the one before: several are read and written at every
// sign-in.
type tally []cell

type cell struct {
	T int64 // unix milliseconds
	N int
}

// text is how the store has t.
func (t tally) text() []byte {
	numbers := make([]int64, 0, 2*len(t))
	before := int64(0)
	for _, c := range t {
		numbers = append(numbers, c.T-before, int64(c.N))
		before = c.T
	}
	text, err := json.Marshal(numbers)
	if err != nil {
		panic(err) // numbers always have a text
	}
	return text
}

// parse reads what text wrote.
func (t *tally) parse(text []byte) error {
	var numbers []int64
	if err := json.Unmarshal(text, &numbers); err != nil || numbers == nil || len(numbers)%2 != 0 {
		return errBrokenTally
	}
	*t = make(tally, 0, len(numbers)/2+1)
	before := int64(0)
	for i := 0; i < len(numbers); i += 2 {
		if numbers[i] < 0 || numbers[i+1] < 0 {
			return errBrokenTally
		}
		before += numbers[i]
		*t = append(*t, cell{before, int(numbers[i+1])})
	}
	return nil
}

var errBrokenTally = errors.New("a tally is a list of times and counts in turns")

const tallyCells = 64

// add counts n events at now and forgets what no rate looks at any more. It
// takes t over, as append does.
func (t tally) add(now time.Time, n int, rates []Rate) tally {
	at := now.UnixMilli()
	oldest := at - longest(rates).Milliseconds()
	t = slices.DeleteFunc(t, func(c cell) bool { return c.T < oldest })
	if last := len(t) - 1; last >= 0 && t[last].T >= at {
		t[last].N += n // also when the clock went back
	} else {
		t = append(t, cell{at, n})
	}
	for len(t) > tallyCells {
		t = t.mergeClosest()
	}
	return t
}

// with is t with the events of o that t does not have.
func (t tally) with(o tally) tally {
	all := slices.Clone(t)
	for _, c := range o {
		if !slices.ContainsFunc(t, func(have cell) bool { return have.T == c.T && have.N >= c.N }) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b cell) int { return cmp.Compare(a.T, b.T) })
	for len(all) > tallyCells {
		all = all.mergeClosest()
	}
	return all
}

func (t tally) mergeClosest() tally {
	best := 1
	for i := 2; i < len(t); i++ {
		if t[i].T-t[i-1].T < t[best].T-t[best-1].T {
			best = i
		}
	}
	t[best].N += t[best-1].N
	return slices.Delete(t, best-1, best)
}

// wait returns how long until one more event fits all rates; 0 for now.
func (t tally) wait(now time.Time, rates []Rate) time.Duration {
	var wait time.Duration
	for _, r := range rates {
		// The event that must leave the span is the r.Count'th from the end.
		left := r.Count
		for i := len(t) - 1; i >= 0; i-- {
			left -= t[i].N
			if left <= 0 {
				wait = max(wait, time.UnixMilli(t[i].T).Add(r.Per).Sub(now))
				break
			}
		}
		if r.Count <= 0 {
			wait = max(wait, r.Per)
		}
	}
	return max(wait, 0)
}

// left returns how many more events fit now.
func (t tally) left(now time.Time, rates []Rate) int {
	left := int(^uint(0) >> 1)
	for _, r := range rates {
		n := r.Count
		from := now.Add(-r.Per)
		for _, c := range t {
			if time.UnixMilli(c.T).After(from) {
				n -= c.N
			}
		}
		left = min(left, n)
	}
	return max(left, 0)
}

func longest(rates []Rate) time.Duration {
	var d time.Duration
	for _, r := range rates {
		d = max(d, r.Per)
	}
	return d
}
