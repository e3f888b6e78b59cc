package pgstore

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Of many updates that want the same record one comes through at a time: each of a
// hundred would try a hundred times. So who commits stands in the lines of its records,
// and goes on when those are through who stood there before, for the same records. Nobody
// waits for others.
//
// Whoever is first runs again where something is known that it has not read: what the
// one before wrote, or what the commit that came too late was told. So a line moves at the
// speed of a commit. Nodes do not stand in each other's lines: there the database says
// who comes first.
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

// stand has t stand in the lines of keys, too, and waits until it is first in all of
// its lines, as long as they move.
func (l *lines) stand(ctx context.Context, t *turn, keys []string, until time.Time) error {
	l.enter(t, keys)
	return await(ctx, t.ready, until, func() time.Time { return l.moved(t) })
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

// moved is when somebody was last through in a line in which t waits.
func (l *lines) moved(t *turn) (last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range t.keys {
		if in := l.at[key]; in.turns[0] != t && in.moved.After(last) {
			last = in.moved
		}
	}
	return last
}

// leave takes t out of its lines, of which those vanish where nobody stands any more.
// It keeps its ticket, in case it is not through.
func (l *lines) leave(t *turn, through bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := t.keys
	for _, key := range keys {
		in := l.at[key]
		i := slices.Index(in.turns, t)
		if in.turns = slices.Delete(in.turns, i, i+1); t.runs && through {
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

// tell puts into rows what is known of the records in whose lines t stands, and tells
// whether any of them is another one.
func (l *lines) tell(t *turn, rows map[string]row) (moved bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range t.keys {
		in := l.at[key]
		if r, read := rows[key]; in.known && read && r.version != in.now.version {
			rows[key], moved = in.now, true
		}
	}
	return moved
}
