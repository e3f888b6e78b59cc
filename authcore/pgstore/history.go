package pgstore

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// A failover to a replica that was behind, or an older copy of the database under the
// same name, takes back what was already answered: a code that was used is good again,
// a session that was ended lives. Nobody is told. So each commit, and the first Get of
// a snapshot, carries the ids of the last commits that this node knows of, and fails
// where they are not there any more; a node that has nothing to do looks once a second
// (probe).
//
// Then all calls wait until this node has put back what it wrote within the last
// minutes, where nobody has written later, until whoever registered with OnLost has
// put right what depends on its meaning, and until the other nodes have done the same:
// else who signs out at one is told that there is no session, which another one then
// puts back. What only a node knew that is gone is lost.

const (
	// seenFor is how long commits can be looked for; they are kept a little longer.
	seenFor = 9 * time.Minute
	// keptFor is how long what was written is remembered, at least, while it is not
	// more than keptBytes.
	keptFor   = 10 * time.Minute
	keptBytes = 32 << 20
	putBatch  = 100
)

// history is what this node knows to be in the database.
type history struct {
	mu     sync.Mutex
	seen   map[int64]bool // commits that no later one of this node's is known to follow
	at     time.Time      // of the newest, by the database's clock
	when   time.Time      // by this machine's
	others []int64        // nodes that were alive at the last mark

	young, old map[string]kept // what was written
	size       int             // of young
	since      time.Time
	calls      int // commits of calls that are in it

	lost   chan struct{} // closed once it is put back; nil: nothing is lost
	onLost func(context.Context, store.Store, store.Lost) error
}

// kept is what this node wrote last at a key.
type kept struct {
	write
	version int64
	at      time.Time // of the commit, by the database's clock
}

// OnLost implements store.Shared.
func (s *Store) OnLost(putRight func(context.Context, store.Store, store.Lost) error) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	s.history.onLost = putRight
}

// required are the commits that must be there for a call to go on; while something is
// lost none does. It is asked as the statement goes: who has waited for a connection, or
// in a line, may have begun before.
func (h *history) required() ([]int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost != nil {
		return nil, store.ErrLost
	}
	return h.carried(), nil
}

// carried are the commits that this node knows of. The mutex is held.
func (h *history) carried() []int64 {
	if time.Since(h.when) > seenFor {
		h.seen = nil // swept, as it may be
	}
	return slices.Collect(maps.Keys(h.seen))
}

// committed notes a commit that found carried there, so that it follows them.
func (h *history) committed(carried []int64, attempt int64, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[int64]bool{}
	}
	for _, id := range carried {
		delete(h.seen, id)
	}
	h.seen[attempt], h.at, h.when = true, now, wallNow()
}

// keep remembers what was written at a time of the database's, by a call or to put
// something back.
func (h *history) keep(attempt int64, at time.Time, writes map[string]write, as kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if as != besideIt {
		h.calls++
	}
	if now := wallNow(); h.young == nil || h.size > keptBytes || now.Sub(h.since) > keptFor {
		h.old, h.young, h.size, h.since = h.young, map[string]kept{}, 0, now
	}
	for key, w := range writes {
		if h.young[key].at.After(at) || h.old[key].at.After(at) {
			continue // what came after it has been noted first
		}
		h.young[key] = kept{write: w, version: attempt, at: at}
		h.size += len(key) + len(w.value) + 100
	}
}

// wallNow goes on while the machine is suspended, as the database's clock does.
func wallNow() time.Time { return time.Now().Round(0) }

// wait waits until nothing is lost.
func (h *history) wait(ctx context.Context) error {
	h.mu.Lock()
	lost := h.lost
	h.mu.Unlock()
	if lost == nil {
		return nil
	}
	patient := time.NewTimer(patience)
	defer patient.Stop()
	select {
	case <-lost:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-patient.C:
		return store.ErrLost
	}
}

// isLost tells whether something is.
func (h *history) isLost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost != nil
}

// lose notes that the database has forgotten something, and has it put back. carried is
// what was not there: what was put back since does not count.
func (s *Store) lose(carried []int64) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	known := slices.ContainsFunc(carried, func(id int64) bool { return s.history.seen[id] })
	if s.history.lost != nil || !known {
		return
	}
	s.history.lost = make(chan struct{})
	others := s.history.others
	s.idle.Go(func() { s.putBack(others) })
}

// putBack puts back what is remembered, waits for the other nodes to do so, and lets
// calls go on.
func (s *Store) putBack(others []int64) {
	s.log.Error("the database came back without what was already written to it, as after a failover to a replica that was behind; what this node remembers of it is put back, and codes from before are void", "database", s.dsn.Name)
	s.recent.clear()
	var began time.Time
	for {
		s.history.mu.Lock()
		seen, calls, putRight := s.history.at, s.history.calls, s.history.onLost
		all := map[string]kept{}
		maps.Copy(all, s.history.old)
		maps.Copy(all, s.history.young)
		s.history.mu.Unlock()
		var clashes []store.Item
		err := s.onConn(s.background, func(conn *pgx.Conn) error {
			return s.trip(s.background, conn, func(rows pgx.Rows) error { return rows.Scan(&began) }, tellTime, nil)
		})
		if err == nil {
			clashes, err = s.putBackRecords(s.background, all)
		}
		if err == nil && putRight != nil {
			err = putRight(s.background, beside{s}, store.Lost{Seen: seen, Clashes: clashes})
		}
		if err == nil {
			s.history.mu.Lock()
			late := s.history.calls != calls // commits whose answer was on its way
			if !late {
				s.history.seen = nil
			}
			s.history.mu.Unlock()
			if late {
				continue
			}
			_, err = s.mark(s.background, nil)
		}
		if err == nil {
			break
		}
		if s.background.Err() != nil {
			return
		}
		s.log.Warn("what the database has lost can't be put back yet", "error", explain(err))
		select {
		case <-s.background.Done():
		case <-time.After(time.Second):
		}
	}
	s.waitFor(others, began)
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	close(s.history.lost)
	s.history.lost = nil
	s.log.Info("what this node remembers is put back", "database", s.dsn.Name)
}

// putBackRecords writes what was written before where nobody has written later: several
// nodes may have written the same record, and each puts it back. It returns the rest.
func (s *Store) putBackRecords(ctx context.Context, all map[string]kept) (clashes []store.Item, err error) {
	known := s.Now().Add(-2 * keptFor) // of whatever is older a later commit's time may be swept
	maps.DeleteFunc(all, func(_ string, k kept) bool { return k.at.Before(known) })
	for batch := range slices.Chunk(slices.Sorted(maps.Keys(all)), putBatch) {
		for len(batch) > 0 {
			versions, times, cols := make([]int64, len(batch)), make([]time.Time, len(batch)), columnsOf(len(batch))
			for i, key := range batch {
				k := all[key]
				versions[i], times[i] = k.version, k.at
				cols.set(i, k.write)
			}
			var again []string
			err := s.onConn(ctx, func(conn *pgx.Conn) error {
				again = nil
				return s.trip(ctx, conn, func(rows pgx.Rows) error {
					var key string
					var later, done bool
					err := rows.Scan(&key, &later, &done)
					if k := all[key]; later && k.value != nil {
						clashes = append(clashes, store.Item{Key: key, Value: k.value, Expires: k.expires})
					}
					if !done {
						again = append(again, key)
					}
					return err
				}, putBackRecords, []any{batch, versions, times, cols.values, cols.raws, cols.expires, cols.ahead})
			})
			if err != nil {
				return nil, err
			}
			batch = again
		}
	}
	return clashes, nil
}

// waitFor waits until other nodes have marked since, or count as gone. It goes on
// marking: they wait, too.
func (s *Store) waitFor(others []int64, since time.Time) {
	for gone := time.Now().Add(nodeAlive); len(others) > 0 && time.Now().Before(gone); {
		var marked int
		err := s.onConn(s.background, func(conn *pgx.Conn) error {
			return s.trip(s.background, conn, func(rows pgx.Rows) error { return rows.Scan(&marked) }, markedSince, []any{others, since})
		})
		if err == nil && marked == len(others) {
			return
		}
		select {
		case <-s.background.Done():
			return
		case <-time.After(time.Second / 10):
		}
		_, _ = s.mark(s.background, nil)
	}
}

// marked is what the database says to a mark.
type marked struct {
	whole bool // nothing is lost
	now   time.Time
	ids   []int64  // other nodes that are alive
	names []string // theirs
	size  int64    // of the records
}

// mark writes that this node is alive and has seen all that it carries, and so all that
// was there; and probe, into a record of its own.
func (s *Store) mark(ctx context.Context, probe []byte) (said marked, err error) {
	s.history.mu.Lock()
	carried, attempt := s.history.carried(), randomID()
	s.history.mu.Unlock()
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		return s.trip(ctx, conn, func(rows pgx.Rows) error {
			return rows.Scan(&said.whole, &said.now, &said.ids, &said.names, &said.size)
		}, markHistory, []any{attempt, carried, s.node.id, s.node.name, int(nodeAlive / time.Second), "probe/" + s.Node(), probe})
	})
	if err != nil {
		return said, err
	}
	s.contact.written()
	if !said.whole {
		s.lose(carried)
		return said, nil
	}
	s.history.committed(carried, attempt, s.Now())
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	s.history.others = said.ids
	return said, nil
}

// beside is the store for who puts something back, while all others wait.
type beside struct{ *Store }

func (b beside) View(ctx context.Context, fn func(store.Tx) error) error {
	return b.run(ctx, besideIt, func(t *tx) error { return fn(readOnly{t}) })
}

func (b beside) Update(ctx context.Context, fn func(store.Tx) error) error {
	return b.run(ctx, besideIt, func(t *tx) error { return fn(t) })
}
