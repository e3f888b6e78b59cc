package pgstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const (
	probeEvery = time.Second
	sweepEvery = 20 * time.Second
	sweepBatch = 500
	// nodeAlive is how long a node counts as alive after it was last heard of.
	nodeAlive = 15 * time.Second
	// probeLarge needs a page of its own in the database each time, as what is random can't
	// be made smaller: a little finds room where its own last was, on a full disk, too.
	probeLarge = 8000
	// refusedFor is how long a refused call shows in the health, at least.
	refusedFor = 10 * time.Second
	// clockSlack is how far clocks may be apart without anybody noticing.
	clockSlack = 50 * time.Millisecond
	// clockWarned is from where on somebody should see to them.
	clockWarned = 5 * time.Second
)

// node is this process, as the others see it.
type node struct {
	id   int64
	name string
}

func newNode(name string) node { return node{randomID(), name} }

// randomID is a number of attempts and nodes, never 0.
func randomID() int64 {
	var b [8]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:])>>1 | 1)
}

// jitter is a pause shorter than most, so that who met once does not meet again.
func jitter(most time.Duration) time.Duration { return time.Duration(randomID() % int64(most)) }

// Health is what an operator wants to know of a store.
type Health struct {
	SizeBytes int64         // that the records take in the database
	Behind    time.Duration // how far this machine's clock is behind the database's
	Others    []string      // other nodes that are alive, the oldest first
	At        time.Time     // when that was found out, by this machine's clock
	since     time.Time     // since when all probes have succeeded
	Err       error         // why updates are refused; nil if they are not
}

// Health tells how the last probe went, and what was refused to others a moment ago.
func (s *Store) Health() Health {
	h := *s.health.Load()
	if refused := s.refused.Load(); refused != nil && h.Err == nil {
		h.Err = explain(refused.err)
	}
	return h
}

// refusal is what a call met that the probe may not meet: on a full disk what is small
// finds a place that others have left.
type refusal struct {
	err error
	at  time.Time
}

func (s *Store) refuse(err error) {
	if isRefused(err) {
		s.refused.Store(&refusal{err, time.Now()})
	}
}

// Node implements store.Shared.
func (s *Store) Node() string { return strconv.FormatInt(s.node.id, 36) }

// Gone implements store.Shared. After an outage of the database all nodes have been
// silent: they are given as long to be heard of as they may be silent.
func (s *Store) Gone(ctx context.Context, node string) (bool, error) {
	id, err := strconv.ParseInt(node, 36, 64)
	if err != nil {
		return true, nil
	}
	known, alive := false, false
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		return s.trip(ctx, conn, func(rows pgx.Rows) error { known = true; return rows.Scan(&alive) }, lookForNode, []any{id, int(nodeAlive / time.Second)})
	})
	if err != nil || !known {
		return err == nil, explain(err)
	}
	h := s.Health()
	return !alive && h.Err == nil && time.Since(h.since) > nodeAlive, nil
}

// probe commits a record, as a sign-in does: a server that was demoted would answer a
// read, and another table may have room, rights and no lock where that one has not. After
// a refusal the record is one that needs room. The probe also tells that this node is
// alive, notices within a second that something is lost, and how far apart the clocks are.
func (s *Store) probe(ctx context.Context) error {
	h := Health{}
	if old := s.health.Load(); old != nil {
		h = *old
	}
	refused := s.refused.Load()
	var large []byte
	if refused != nil {
		large = make([]byte, probeLarge)
		rand.Read(large)
	}
	var said marked
	var sent time.Time
	var err error
	for range 2 { // a connection may be lost alone
		sent = time.Now()
		if said, err = s.mark(ctx, large); !isLost(err) {
			break
		}
	}
	if err == nil {
		took := time.Since(sent)
		here := s.here().Add(-took / 2) // when the database told its time
		// What a trip takes may not make the time jump.
		if behind := said.now.Sub(here); (behind - h.Behind).Abs() > took/2+clockSlack {
			h.Behind = behind.Truncate(time.Millisecond)
			s.behind.Store(int64(h.Behind))
			if h.Behind.Abs() > clockWarned {
				s.log.Warn("this machine's clock is far off the database's, which is the one that counts: have both set by NTP", "behind", h.Behind.String())
			}
		}
		h.Others, h.SizeBytes, h.At = said.names, said.size, sent
		if refused != nil && time.Since(refused.at) > refusedFor {
			s.refused.CompareAndSwap(refused, nil)
		}
	}
	if h.Err = explain(err); err != nil || h.since.IsZero() {
		h.since = time.Now()
	}
	s.health.Store(&h)
	return err
}

// Ping tells whether the database could be written to a moment ago.
func (s *Store) Ping(context.Context) error {
	h := s.Health()
	if s.history.isLost() {
		return store.ErrLost
	}
	if h.Err == nil && time.Since(h.At) > patience+silence {
		return errors.New("the database has not answered for a while")
	}
	return h.Err
}

func (s *Store) keepProbing(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = s.probe(ctx)
		err := s.Health().Err
		switch {
		case ctx.Err() != nil:
		case err != nil && !failed:
			s.log.Error("the database can't be written to; sign-ins are answered with 503 until it can", "database", s.dsn.Name, "error", err)
		case err == nil && failed:
			s.log.Info("the database can be written to again", "database", s.dsn.Name)
		}
		failed = err != nil
	}
}

// leave takes this node off the list of those alive.
func (s *Store) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = s.exec(ctx, forgetNode, s.node.id)
}

// keepSweeping deletes what is dead, a few rows at a time: every node does, and none
// waits for another.
func (s *Store) keepSweeping(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("dead records can't be deleted", "error", explain(err))
		}
	}
}

// Sweep deletes all rows that have been dead for 21 minutes. The store does so by
// itself.
func (s *Store) Sweep(ctx context.Context) error {
	for _, sweep := range []struct {
		sql  string
		args []any
	}{{sweepRecords, []any{s.at(), int64(sweepBatch)}}, {sweepAttempts, []any{int64(sweepBatch)}}} {
		for n := int64(sweepBatch); n == sweepBatch; {
			var err error
			if n, err = s.exec(ctx, sweep.sql, sweep.args...); err != nil {
				return err
			}
		}
	}
	_, err := s.exec(ctx, forgetNodes)
	return err
}
