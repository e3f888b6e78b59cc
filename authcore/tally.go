package authcore

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
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
func (t *tally) parse(text []byte) error {
	rest, begins := bytes.CutPrefix(bytes.TrimSpace(text), []byte("["))
	rest, ends := bytes.CutSuffix(rest, []byte("]"))
	if !begins || !ends {
		return errBrokenTally
	}
	var buf [2 * tallyCells]int64
	numbers, ok := appendNumbers(buf[:0], rest)
	if !ok || len(numbers)%2 != 0 {
		return errBrokenTally
	}
	*t = make(tally, 0, len(numbers)/2+1)
	before := int64(0)
	for i := 0; i < len(numbers); i += 2 {
		if numbers[i] >= noDistance {
			before = 0 // every time was written so until November 2026
		}
		before += numbers[i]
		*t = append(*t, cell{before, int(numbers[i+1])})
	}
	return nil
}

// appendNumbers reads a list of numbers with commas between them.
func appendNumbers(to []int64, list []byte) (numbers []int64, ok bool) {
	n, digits, ended := int64(0), 0, false
	for _, c := range list {
		switch {
		case '0' <= c && c <= '9' && !ended && digits < 18:
			n, digits = n*10+int64(c-'0'), digits+1
		case c == ',' && digits > 0:
			to, n, digits, ended = append(to, n), 0, 0, false
		case c == ' ' || c == '\n':
			ended = digits > 0
		default:
			return nil, false
		}
	}
	if digits > 0 {
		to = append(to, n)
	}
	return to, digits > 0 || len(bytes.TrimSpace(list)) == 0
}

// noDistance is a time in 2001, and no distance between two.
const noDistance = 1e12

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
