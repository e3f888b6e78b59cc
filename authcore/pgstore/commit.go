package pgstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// commitment is what one call wants to be written, and what came of it.
type commitment struct {
	ctx     context.Context
	t       *tx
	attempt int64
	began   time.Time
	carried []int64
	changed map[string]row // what is there in place of what was read
	at      time.Time      // when it was done, by the database's clock
	sent    bool
	whole   bool
	err     error
}

// commit writes what t has put, if nothing that it read has changed. again: t's
// function is to be run again; what is known then of what it read is in t.read.
func (s *Store) commit(ctx context.Context, t *tx) (again bool, err error) {
	t.end()
	c := &commitment{ctx: ctx, t: t, attempt: randomID()}
	if t.as == besideIt {
		s.commitAll([]*commitment{c})
	} else {
		if err := s.lines.stand(ctx, t.turn, t.keys(), t.until); err != nil {
			return false, err
		}
		if s.contact.isFailing() && time.Since(t.called) > patience-slow {
			return false, errAway
		}
		if t.moved = s.lines.tell(t.turn, t.read); t.moved {
			return true, errFirst
		}
		if err := s.commits.do(ctx, c, t.until); err != nil {
			return false, err
		}
	}
	err = c.err
	switch {
	case err == nil && !c.whole:
		return true, store.ErrLost
	case err == nil && len(c.changed) == 0:
		return false, nil
	case err == nil || isConflict(err):
		s.recent.forget(t.read)
		maps.Copy(t.read, c.changed)
		s.lines.note(c.changed)
		s.lines.tell(t.turn, t.read)
		t.moved = len(c.changed) > 0
		return true, errFirst
	case isLost(err) && c.sent:
		if c.at, again, err = s.settle(ctx, c.attempt, c.began, err); err == nil {
			s.committed(c)
			s.history.committed(c.carried, c.attempt, s.Now())
		}
		return again, err
	}
	s.refuse(err)
	// 25006: the server was demoted and took nothing. There may be another one.
	return isAway(err) || isLost(err), explain(err)
}

// takeCommits parts as many as go together. Each is for other records: those who want
// the same stand in a line.
func takeCommits(all []*waiting[*commitment]) (next, rest []*waiting[*commitment]) {
	n, bytes := 0, 0
	for n < min(len(all), mostTogether) && bytes < mostBytes {
		for _, w := range all[n].what.t.writes {
			bytes += len(w.value)
		}
		n++
	}
	return all[:n:n], all[n:]
}

// commitAll commits in one statement, of which each one is judged by itself. What the
// database refuses together it is asked for one by one: it may be one's fault.
func (s *Store) commitAll(all []*commitment) (answered bool) {
	var carried []int64
	if all[0].t.as != besideIt {
		var err error
		if carried, err = s.history.required(); err != nil {
			return true // none is whole
		}
	}
	for _, c := range all {
		s.trips(c.ctx)
		c.began, c.carried, c.changed = time.Now(), carried, map[string]row{}
	}
	sent, whole, at := false, false, time.Time{}
	err := s.onConn(s.background, func(conn *pgx.Conn) error {
		sent = true
		return s.trip(s.background, conn, func(rows pgx.Rows) error {
			var one int
			var part *int
			var key *string
			var f found
			err := rows.Scan(&whole, &one, &at, &part, &key, &f.version, &f.value, &f.raw, &f.expires)
			if err == nil && part != nil {
				all[*part-1].changed[*key] = f.row()
			}
			return err
		}, commitRecords, arguments(all, carried))
	})
	if err != nil && len(all) > 1 && !isLost(err) && !isAway(err) {
		for _, c := range all {
			s.commitAll([]*commitment{c})
		}
		return true
	}
	if err == nil && !whole {
		s.lose(carried)
	}
	var done []*commitment
	for _, c := range all {
		if c.sent, c.whole, c.at, c.err = sent, whole, at, err; err == nil && whole && len(c.changed) == 0 {
			done = append(done, c)
			s.committed(c)
		}
	}
	if len(done) > 0 && done[0].t.as != besideIt {
		s.history.committed(carried, done[0].attempt, s.Now()) // the others came with it
	}
	return !isLost(err)
}

// keys are those that t asked for, whose records must be as they were read, or writes.
func (t *tx) keys() []string {
	keys := slices.Collect(maps.Keys(t.writes))
	for key, r := range t.read {
		if _, is := t.writes[key]; r.asked && !is {
			keys = append(keys, key)
		}
	}
	return keys
}

// committed notes what is in the database now.
func (s *Store) committed(c *commitment) {
	s.contact.written()
	s.recent.wrote(c.t.writes, c.attempt)
	s.lines.wrote(c.t.writes, c.attempt)
	s.history.keep(c.attempt, c.at, c.t.writes, c.t.as)
}

// arguments are those of commitRecords.
func arguments(all []*commitment, carried []int64) []any {
	type item struct {
		key  string
		part int
	}
	var items []item
	var attempts []int64
	for i, c := range all {
		attempts = append(attempts, c.attempt)
		for _, key := range c.t.keys() {
			items = append(items, item{key, i})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.key, b.key) })
	n := len(items)
	keys, parts, was, put, cols := make([]string, n), make([]int, n), make([]*int64, n), make([]bool, n), columnsOf(n)
	for i, item := range items {
		t := all[item.part].t
		keys[i], parts[i] = item.key, item.part+1
		if r := t.read[item.key]; r.asked {
			was[i] = &r.version
		}
		var w write
		if w, put[i] = t.writes[item.key]; put[i] {
			cols.set(i, w)
		}
	}
	return []any{keys, was, put, cols.values, cols.raws, cols.expires, attempts, cols.ahead, carried, parts}
}

// written are writes as statements take them; where nothing is set is a deletion.
type written struct {
	values  []*string
	raws    [][]byte
	expires []*time.Time
	ahead   []*string
}

func columnsOf(n int) written {
	return written{make([]*string, n), make([][]byte, n), make([]*time.Time, n), make([]*string, n)}
}

func (c written) set(i int, w write) {
	if w.value == nil {
		return
	}
	if fits(w.value) && string(w.value) != "null" {
		text := string(w.value)
		c.values[i] = &text
	} else {
		c.raws[i] = w.value
	}
	if !w.expires.IsZero() {
		at := w.expires.Truncate(time.Microsecond)
		c.expires[i] = &at
	}
	if named := store.Ahead(w.value); len(named) > 0 {
		lines := strings.Join(named, "\n")
		c.ahead[i] = &lines
	}
}

// settle finds out what became of an attempt whose connection was lost: it is done
// if its row is there, which tells when. If not, a row in its place keeps it from being done later,
// when it is still on its way, and the update runs again.
func (s *Store) settle(ctx context.Context, attempt int64, began time.Time, lost error) (at time.Time, again bool, err error) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), began.Add(patience))
	defer cancel()
	for n := 0; ctx.Err() == nil; n++ {
		<-time.After(jitter(10 * time.Millisecond << min(n, 5)))
		var done, found bool
		err := s.onConn(ctx, func(conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, claimAttempt, attempt); err != nil {
				return err
			}
			return s.trip(ctx, conn, func(rows pgx.Rows) error { found = true; return rows.Scan(&done, &at) }, readAttempt, []any{attempt})
		})
		if err == nil && found {
			if done {
				return at, false, nil
			}
			return at, true, explain(lost)
		}
		lost = errors.Join(lost, err)
	}
	return at, false, fmt.Errorf("whether an update was written is not known: %w", explain(lost))
}
