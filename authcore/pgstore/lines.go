package pgstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Of many updates that want the same record one comes through at a time: each of a
// hundred would try a hundred times. So who has lost records to somebody else, or is
// about to commit where others stand, goes on one after the other with those who want
// the same, in the order in which they came. Nobody else waits for them.
//
// Whoever is first runs again on what it read before it stood in line and on what is
// known of the records since (what the one before wrote, or what the commit that came
// too late was told), so that a line moves at the speed of a commit. Nodes do not stand
// in each other's lines: there the database says who comes first.
//
// Who wants several records stands in all of their lines at once, and runs when it is
// first in each. Lines are kept in the order of tickets, which nobody loses: whoever has
// the lowest waits only for those who run, so that no two wait for each other.

// lines are those at this node, by record; none where nobody stands.
type lines struct {
	mu   sync.Mutex
	at   map[string]*line
	last uint64 // ticket that was given out
}

type line struct {
	turns []*turn   // in the order of tickets, but who runs is first
	moved time.Time // when somebody was through; zero: nobody yet
	now   row       // what is known of the record
	known bool
}

// turn is one call's place in lines. The zero turn stands in none.
type turn struct {
	ticket uint64
	keys   []string
	runs   bool
	ready  chan struct{} // closed when it runs
}

const (
	// patience is how long a call waits where nothing moves, and goes on trying after a
	// connection was lost.
	patience = 5 * time.Second
	// longest is how long it waits where others come through.
	longest = 30 * time.Second
)

var (
	errStill = fmt.Errorf("the database: nobody who changes the same records came through within %v", patience)
	errLong  = fmt.Errorf("the database: too many change the same records: not done within %v", longest)
)

// busy are those of keys where others stand and t does not.
func (l *lines) busy(t *turn, keys []string) (busy []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		if l.at[key] != nil && !slices.Contains(t.keys, key) {
			busy = append(busy, key)
		}
	}
	return busy
}

// stand has t stand in the lines of keys, too, and waits until it is first in all of
// its lines. It gives up with ctx, where nobody comes through, and at until.
func (l *lines) stand(ctx context.Context, t *turn, keys []string, until time.Time) error {
	l.enter(t, keys)
	for began := time.Now(); ; {
		wait, err := l.left(t, began, until)
		if err != nil {
			return err
		}
		patient := time.NewTimer(wait)
		select {
		case <-t.ready:
			patient.Stop()
			return nil
		case <-ctx.Done():
			patient.Stop()
			return ctx.Err()
		case <-patient.C:
		}
	}
}

func (l *lines) enter(t *turn, keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.ticket == 0 {
		l.last++
		t.ticket = l.last
	}
	t.runs, t.ready = false, make(chan struct{})
	for _, key := range keys {
		if !slices.Contains(t.keys, key) {
			t.keys = append(t.keys, key)
		}
	}
	for _, key := range t.keys {
		in := l.at[key]
		if in == nil {
			if l.at == nil {
				l.at = map[string]*line{}
			}
			in = &line{}
			l.at[key] = in
		}
		// Who runs no more may have gone before a lower ticket, which goes first now.
		in.turns = slices.DeleteFunc(in.turns, func(have *turn) bool { return have == t })
		i := len(in.turns)
		for i > 0 && !in.turns[i-1].runs && in.turns[i-1].ticket > t.ticket {
			i--
		}
		in.turns = slices.Insert(in.turns, i, t)
	}
	l.call(t.keys)
}

// call has those run who are first in all of their lines, of those first in keys'. The
// mutex is held.
func (l *lines) call(keys []string) {
	for _, key := range keys {
		in := l.at[key]
		if in == nil || in.turns[0].runs {
			continue
		}
		t := in.turns[0]
		if !slices.ContainsFunc(t.keys, func(key string) bool { return l.at[key].turns[0] != t }) {
			t.runs = true
			close(t.ready)
		}
	}
}

// left is how long t, which has waited since began, may wait before it looks again.
func (l *lines) left(t *turn, began, until time.Time) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, moved := time.Now(), began
	for _, key := range t.keys {
		if in := l.at[key]; in.turns[0] != t && in.moved.After(moved) {
			moved = in.moved
		}
	}
	switch {
	case !now.Before(until):
		return 0, errLong
	case !t.runs && now.Sub(moved) >= patience:
		return 0, errStill
	}
	return min(patience-now.Sub(moved), until.Sub(now)), nil
}

// leave takes t out of its lines, of which those vanish where nobody stands any more.
// It keeps its ticket.
func (l *lines) leave(t *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := t.keys
	for _, key := range keys {
		in := l.at[key]
		i := slices.Index(in.turns, t)
		if in.turns = slices.Delete(in.turns, i, i+1); t.runs {
			in.moved = time.Now()
		}
		if len(in.turns) == 0 {
			delete(l.at, key)
		}
	}
	t.keys, t.runs = nil, false
	l.call(keys)
}

// note notes what is known of records now, for those who stand there.
func (l *lines) note(rows map[string]row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, r := range rows {
		if in := l.at[key]; in != nil {
			in.now, in.known = r, true
		}
	}
}

// wrote notes what an update has written.
func (l *lines) wrote(all map[string]write, version int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, w := range all {
		if in := l.at[key]; in != nil {
			in.now, in.known = row{version: version, value: w.value, expires: w.expires}, true
		}
	}
}

// tell puts into rows what is known of the records in whose lines t stands.
func (l *lines) tell(t *turn, rows map[string]row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range t.keys {
		if in := l.at[key]; in.known {
			rows[key] = in.now
		}
	}
}
