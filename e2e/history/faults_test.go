package history_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/e2e/history"
)

// faults counts what failed.
type faults map[string]int

func (f *faults) count(fault string, n int) {
	if *f == nil {
		*f = faults{}
	}
	(*f)[fault] += n
}

func (f faults) String() string {
	var all []string
	for _, fault := range slices.Sorted(maps.Keys(f)) {
		all = append(all, fmt.Sprintf("%s: %d", fault, f[fault]))
	}
	return strings.Join(all, ", ")
}

// done counts a fault.
func (l *load) done(fault string, began time.Time) {
	l.Helper()
	l.count(fault, 1)
	l.Logf("%s, for %v; %d have come in", fault, time.Since(began).Round(10*time.Millisecond), l.Came())
}

func (l *load) anyNode() *node { return l.nodes[l.random.IntN(len(l.nodes))] }

// confirm waits until the node has written something new.
func (l *load) confirm(n *node) {
	l.Helper()
	l.wait("node "+n.name+" writes", func() bool {
		return l.begin(l.browser(), n, fmt.Sprintf("confirm-%d@example.com", time.Now().UnixNano()))
	})
}

func (l *load) confirmAll(nodes []*node) {
	l.Helper()
	for _, n := range nodes {
		l.confirm(n)
	}
}

func (l *load) killNode() {
	l.Helper()
	began := time.Now()
	n := l.anyNode()
	n.kill()
	l.until(5)
	n.start()
	n.ready()
	l.done("nodes killed", began)
}

// restartAll restarts one node after another.
func (l *load) restartAll() {
	l.Helper()
	began := time.Now()
	for _, n := range l.nodes {
		n.stop()
		l.until(2)
		n.start()
		n.ready()
	}
	l.done("rolling restarts", began)
}

// configure adds a site at one node after another, by a reload or a restart.
func (l *load) configure() {
	l.Helper()
	began := time.Now()
	for _, n := range l.nodes {
		site := siteName(n.sites)
		n.sites++
		if l.random.IntN(2) == 0 {
			n.reload()
			l.count("reloads", 1)
		} else {
			n.stop()
			n.start()
		}
		n.ready()
		l.wait("the new site of node "+n.name+" asks people to sign in", func() bool {
			status := n.get(site, "/")
			return status == http.StatusFound || status == http.StatusUnauthorized
		})
		l.until(2)
	}
	l.done("configurations rolled out", began)
}

// cutOff keeps a node from the database, for so long at least.
func (l *load) cutOff(how passage, atLeast time.Duration) {
	l.Helper()
	began := time.Now()
	n := l.anyNode()
	l.away(n, atLeast, func() { n.turn(how) }, func() { n.turn(open) })
	l.confirm(n)
	l.done(map[passage]string{shut: "nodes cut off", silent: "nodes cut off without a word"}[how], began)
}

// haltNode stops a node where it is, for a while.
func (l *load) haltNode() {
	l.Helper()
	began := time.Now()
	n := l.anyNode()
	l.away(n, 0, func() { n.signal(syscall.SIGSTOP) }, func() { n.signal(syscall.SIGCONT) })
	l.confirm(n)
	l.done("nodes halted", began)
}

func (l *load) away(n *node, atLeast time.Duration, go_, back func()) {
	l.Helper()
	n.slow.Store(true)
	defer n.slow.Store(false)
	go_()
	cut := history.Span{Start: time.Now(), Node: n.name}
	// Somebody is signed out elsewhere meanwhile, and all others have heard of it.
	l.until(5)
	time.Sleep(time.Until(cut.Start.Add(max(atLeast, l.Heard+time.Second/2))))
	back()
	cut.End = time.Now()
	l.Cut(cut)
}

func (n *node) turn(how passage) {
	for _, w := range n.wires {
		w.turn(how)
	}
}

// swap puts an older copy in the place of the database, from before each node has
// written: as a pool does that turns to another server, or with all connections cut.
func (l *load) swap() {
	l.Helper()
	began := time.Now()
	loss := history.Loss{From: time.Now()}
	old := pgtest.Copy(l, l.dsn)
	loss.Gone = time.Now()
	l.confirmAll(l.nodes)
	cut := l.random.IntN(2) == 0
	if loss.Back = time.Now(); cut {
		for _, n := range l.nodes {
			n.turn(shut)
		}
	}
	old.PutBack(l)
	if loss.Until = time.Now(); cut {
		for _, n := range l.nodes {
			n.turn(open)
		}
	}
	l.whole(loss, l.nodes)
	l.done("older copies", began)
}

// whole waits until the nodes that live have put back what they know.
func (l *load) whole(loss history.Loss, alive []*node) {
	l.Helper()
	l.confirmAll(alive)
	loss.Whole = time.Now()
	l.Lost(loss)
}

// behind is how far a replica is when it is promoted.
type behind int

const (
	sudden       behind = iota // as far as it came
	stale                      // each node has written something that it lacks
	staleAndDead               // and one of them is gone, too
)

// newReplicated is a cluster on a server of its own with a replica.
func newReplicated(t testing.TB) *cluster {
	primary := pgtest.Start(t)
	dsn := primary.DSN("gatehouse")
	pgtest.Exec(t, primary.DSN("postgres"), "CREATE DATABASE gatehouse")
	pgtest.Exec(t, dsn, "CREATE TABLE tick (n bigint)")
	stream := newWire(t, primary.Addr())
	replica := primary.Replica(t, stream.addr)
	c := newCluster(t, dsn, replica.Addr())
	c.servers, c.stream = []*pgtest.Server{primary, replica}, stream
	return c
}

// promote kills the server of the database and has its replica take its place.
func (l *load) promote(how behind) {
	l.Helper()
	began := time.Now()
	primary, replica := l.servers[l.primary], l.servers[1-l.primary]
	ticks := l.tick()
	l.wait("the replica follows", func() bool { return newest(l, replica.DSN("gatehouse")) > ticks.first })
	alive, loss := slices.Clone(l.nodes), history.Loss{}
	if how != sudden {
		l.stream.turn(shut)
		loss.Gone = time.Now()
		l.confirmAll(l.nodes)
	}
	if how == staleAndDead {
		dead := l.anyNode()
		dead.kill()
		loss.Dead = []string{dead.name}
		alive = slices.DeleteFunc(alive, func(n *node) bool { return n == dead })
	}
	primary.Kill(l)
	if loss.Back = time.Now(); how == sudden {
		loss.Gone = loss.Back
	}
	replica.Promote(l)
	loss.Until = time.Now()
	l.dsn = replica.DSN("gatehouse")
	if loss.From = ticks.at(newest(l, l.dsn)); how != sudden && loss.From.After(loss.Gone) {
		l.Errorf("the replica was not behind")
	}
	l.whole(loss, alive)
	for _, n := range l.nodes {
		if n.cmd == nil {
			n.start()
			n.ready()
		}
	}
	primary.Close()
	l.stream.to(replica.Addr())
	l.stream.turn(open)
	next := replica.Replica(l, l.stream.addr)
	for _, n := range l.nodes {
		n.wires[l.primary].to(next.Addr())
	}
	l.servers[l.primary], l.primary = next, 1-l.primary
	l.done(map[behind]string{sudden: "promotions", stale: "stale promotions", staleAndDead: "stale promotions with a node killed"}[how], began)
}

// ticks are writes that tell how far a replica came.
type ticks struct {
	first int64
	mu    sync.Mutex
	began []time.Time
}

// tick writes to the database until it is gone.
func (l *load) tick() *ticks {
	l.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, l.dsn)
	if err != nil {
		l.Fatal(err)
	}
	k := &ticks{first: newest(l, l.dsn) + 1}
	l.all.Go(func() {
		defer conn.Close(ctx)
		for n := k.first; err == nil && !l.stopped(); n++ {
			k.mu.Lock()
			k.began = append(k.began, time.Now())
			k.mu.Unlock()
			_, err = conn.Exec(ctx, "INSERT INTO tick VALUES ($1)", n)
			l.pause(10 * time.Millisecond)
		}
	})
	return k
}

// at is when a tick was written.
func (k *ticks) at(n int64) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.began[n-k.first]
}

func newest(t testing.TB, dsn string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscan(pgtest.Rows(t, dsn, "SELECT coalesce(max(n), 0) FROM tick")[0], &n); err != nil {
		t.Fatal(err)
	}
	return n
}
