package authcore

import (
	"errors"
	"slices"
	"strconv"
	"strings"
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
	b := append(make([]byte, 0, 20+8*len(t)), '[')
	before := int64(0)
	for i, c := range t {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(b, c.T-before, 10), ',')
		b = strconv.AppendInt(b, int64(c.N), 10)
		before = c.T
	}
	return append(b, ']')
}

// parse reads what text wrote, now or before times were distances.
func (t *tally) parse(b []byte) error {
	text, begins := strings.CutPrefix(strings.TrimSpace(string(b)), "[")
	text, ends := strings.CutSuffix(text, "]")
	if !begins || !ends {
		return errBrokenTally
	}
	*t = make(tally, 0, strings.Count(text, ",")/2+2)
	before := int64(0)
	for text != "" {
		var later, count string
		later, text, _ = strings.Cut(text, ",")
		count, text, _ = strings.Cut(text, ",")
		distance, err := strconv.ParseInt(strings.TrimSpace(later), 10, 64)
		n, err2 := strconv.Atoi(strings.TrimSpace(count))
		if err != nil || err2 != nil {
			return errBrokenTally
		}
		if distance >= noDistance {
			before = 0 // every time was written so until November 2026
		}
		before += distance
		*t = append(*t, cell{before, n})
	}
	return nil
}

// noDistance is a time in 2001, and no distance between two.
const noDistance = 1e12

var errBrokenTally = errors.New("a tally is a list of times and counts in turns")

const tallyCells = 64

// add counts n events at now and forgets what no rate looks at any more.
func (t tally) add(now time.Time, n int, rates []Rate) tally {
	at := now.UnixMilli()
	oldest := at - longest(rates).Milliseconds()
	t = slices.DeleteFunc(slices.Clone(t), func(c cell) bool { return c.T < oldest })
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
