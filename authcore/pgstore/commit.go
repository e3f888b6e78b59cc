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

// commit writes what t has put, if nothing that it read has changed. again: t's
// function is to be run again, as far as is known because t.lost have changed.
func (s *Store) commit(ctx context.Context, t *tx) (again bool, err error) {
	if !t.beside {
		if t.lost = s.lines.busy(t.turn, t.asked()); len(t.lost) > 0 {
			return true, nil
		}
	}
	attempt := randomID()
	var before []string
	if t.began {
		before = []string{endRead}
	}
	var carried []int64
	if !t.beside {
		carried = s.history.carried()
	}
	var good, whole bool
	changed, began := map[string]row{}, time.Now()
	err = s.trip(ctx, t.conn.Conn(), func(rows pgx.Rows) error {
		var one int
		var key *string
		var r found
		err := rows.Scan(&good, &whole, &one, &key, &r.version, &r.value, &r.raw, &r.expires)
		if err == nil && key != nil {
			changed[*key] = r.row()
		}
		return err
	}, commitRecords, t.arguments(attempt, carried), before...)
	t.began = false
	switch {
	case err == nil && !whole:
		s.lose(carried)
		return true, store.ErrLost
	case err == nil && good:
		s.committed(t, attempt, carried)
		return false, nil
	case err == nil || isConflict(err):
		s.recent.forget(t.read)
		s.lines.note(changed)
		maps.Copy(t.read, changed)
		t.lost = slices.Sorted(maps.Keys(changed))
		return true, errFirst
	case isLost(err):
		t.end() // the pool has another one
		again, err = s.settle(ctx, attempt, began, err)
		if err == nil && !again {
			s.committed(t, attempt, carried)
		}
		return again, err
	}
	s.refuse(err)
	// 25006: the server was demoted and took nothing. There may be another one.
	return isAway(err), explain(err)
}

// asked are the keys whose records must be at the commit as they were read.
func (t *tx) asked() (keys []string) {
	for key, r := range t.read {
		if r.asked {
			keys = append(keys, key)
		}
	}
	return keys
}

// committed notes what is in the database now.
func (s *Store) committed(t *tx, attempt int64, carried []int64) {
	s.contact.written()
	s.recent.wrote(t.writes, attempt)
	s.lines.wrote(t.writes, attempt)
	s.history.keep(attempt, t.writes, t.read)
	if !t.beside {
		s.history.committed(carried, attempt, s.Now())
	}
}

// arguments are those of commitRecords.
func (t *tx) arguments(attempt int64, carried []int64) []any {
	keys := slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(t.asked(), maps.Keys(t.writes)))))
	n := len(keys)
	was, put := make([]*int64, n), make([]bool, n)
	values, raws, expires, ahead := make([]*string, n), make([][]byte, n), make([]*time.Time, n), make([]*string, n)
	for i, key := range keys {
		if r := t.read[key]; r.asked {
			was[i] = &r.version
		}
		w, writes := t.writes[key]
		if put[i] = writes; !writes || w.value == nil {
			continue
		}
		if fits(w.value) && string(w.value) != "null" {
			text := string(w.value)
			values[i] = &text
		} else {
			raws[i] = w.value
		}
		if !w.expires.IsZero() {
			at := w.expires.Truncate(time.Microsecond)
			expires[i] = &at
		}
		if named := store.Ahead(w.value); len(named) > 0 {
			lines := strings.Join(named, "\n")
			ahead[i] = &lines
		}
	}
	return []any{keys, was, put, values, raws, expires, attempt, ahead, carried}
}

// settle finds out what became of an attempt whose connection was lost: it is done
// if its row is there. If not, a row in its place keeps it from being done later,
// when it is still on its way, and the update runs again.
func (s *Store) settle(ctx context.Context, attempt int64, began time.Time, lost error) (again bool, err error) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), began.Add(patience))
	defer cancel()
	for n := 0; ctx.Err() == nil; n++ {
		<-time.After(jitter(10 * time.Millisecond << min(n, 5)))
		var done, found bool
		err := s.onConn(ctx, func(conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, claimAttempt, attempt); err != nil {
				return err
			}
			return s.trip(ctx, conn, func(rows pgx.Rows) error { found = true; return rows.Scan(&done) }, readAttempt, []any{attempt})
		})
		if err == nil && found {
			if done {
				return false, nil
			}
			return true, explain(lost)
		}
		lost = errors.Join(lost, err)
	}
	return false, fmt.Errorf("whether an update was written is not known: %w", explain(lost))
}
