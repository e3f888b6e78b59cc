package history_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/e2e/history"
)

// load is people who sign in, look around and sign out, each step at another node.
type load struct {
	*cluster
	*history.History
	faults
	random *rand.Rand // of the faults

	stay, after time.Duration // how long some stay, and how long after their end somebody looks
	stopping    chan struct{}
	all         sync.WaitGroup
	renewed     atomic.Int64 // people whose code was void and who were sent another

	mu    sync.Mutex
	codes map[string][]string // by recipient
}

func newLoad(c *cluster, people int, seed uint64) *load {
	l := &load{
		cluster: c, History: &history.History{Tries: 5, Heard: heard, Blind: time.Minute}, random: rand.New(rand.NewPCG(seed, 1<<32)),
		stay: 3 * time.Second, after: 5 * time.Second, stopping: make(chan struct{}), codes: map[string][]string{},
	}
	l.all.Go(l.readMail)
	for i := range people {
		random := &chance{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		l.all.Go(func() {
			for n := 0; !l.stopped(); n++ {
				l.signIn(random, fmt.Sprintf("p%d-%d@example.com", i, n))
				l.pause(time.Duration(random.IntN(300)) * time.Millisecond)
			}
		})
	}
	return l
}

// heard is within two seconds, and one more for a machine that does much else.
const heard = 3 * time.Second

// chance is what comes of the seed.
type chance struct {
	mu sync.Mutex
	*rand.Rand
}

func (c *chance) IntN(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Rand.IntN(n)
}

func (l *load) stopped() bool {
	select {
	case <-l.stopping:
		return true
	default:
		return false
	}
}

// pause lets time pass, unless all ends.
func (l *load) pause(d time.Duration) {
	select {
	case <-l.stopping:
	case <-time.After(d):
	}
}

// until waits until so many more have come in.
func (l *load) until(more int) {
	l.Helper()
	want := l.Came() + more
	l.wait(fmt.Sprintf("%d come in", more), func() bool { return l.Came() >= want })
}

// end ends the load and tells what was broken.
func (l *load) end() total {
	l.Helper()
	close(l.stopping)
	l.all.Wait()
	for i, broken := range l.Broken() {
		if i < 30 {
			l.Error(broken)
		}
	}
	sum := total{Counts: l.Counts(), faults: l.faults, renewed: int(l.renewed.Load())}
	for _, n := range l.nodes {
		sum.repairs += strings.Count(n.log.String(), "what this node remembers is put back")
	}
	return sum
}

// total is what happened.
type total struct {
	history.Counts
	faults
	renewed, repairs int
}

func (t *total) add(o total) {
	t.Came += o.Came
	t.Wrong += o.Wrong
	t.Checks += o.Checks
	t.Ended += o.Ended
	t.Unheard += o.Unheard
	t.renewed += o.renewed
	t.repairs += o.repairs
	for fault, n := range o.faults {
		t.count(fault, n)
	}
}

func (t total) String() string {
	return fmt.Sprintf("%d came in, %d wrong codes, %d endings, %d checks of sessions, %d of them let in by a node that could not have heard of the end; %v; history put back by a node %d times, %d people sent another code",
		t.Came, t.Wrong, t.Ended, t.Checks, t.Unheard, t.faults, t.repairs, t.renewed)
}

// anywhere is a node, or nil for HAProxy, which picks one.
func (l *load) anywhere(random *chance) *node {
	if i := random.IntN(len(l.nodes) + 1); i < len(l.nodes) {
		return l.nodes[i]
	}
	return nil
}

// somewhere is anywhere, but seldom at a node that keeps one waiting.
func (l *load) somewhere(random *chance) *node {
	n := l.anywhere(random)
	for n != nil && n.slow.Load() && random.IntN(8) > 0 {
		n = l.anywhere(random)
	}
	return n
}

// readMail reads what is sent.
func (l *load) readMail() {
	for read := 0; !l.stopped(); l.pause(20 * time.Millisecond) {
		all := l.mail.Messages()
		l.mu.Lock()
		for ; read < len(all); read++ {
			for _, to := range all[read].To {
				l.codes[to] = append(l.codes[to], all[read].Code(l))
			}
		}
		l.mu.Unlock()
	}
}

// code waits for the code to somebody after those that are known, for a while: it may be
// another node's to send.
func (l *load) code(to string, known int) (code string, n int) {
	for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline) && !l.stopped(); l.pause(10 * time.Millisecond) {
		l.mu.Lock()
		all := l.codes[to]
		l.mu.Unlock()
		if len(all) > known {
			return all[len(all)-1], len(all)
		}
	}
	return "", known
}

// begin asks for a code.
func (l *load) begin(b *browser, at *node, address string) bool {
	r := b.ask(at, "/_gatehouse/login", url.Values{"email": {address}, "return_to": {"/"}}, true)
	if r.status == http.StatusSeeOther {
		l.Wrote(r.Span)
	}
	return r.status == http.StatusSeeOther
}

// signIn is one person's visit.
func (l *load) signIn(random *chance, address string) {
	b := l.browser()
	if !l.begin(b, l.somewhere(random), address) {
		l.pause(50 * time.Millisecond)
		return
	}
	for known, again := 0, true; again && !l.stopped(); {
		var code string
		if code, known = l.code(address, known); code == "" {
			return
		}
		if known > 1 {
			l.renewed.Add(1)
		}
		v := &visit{l, random, b, l.Person(address), code, atomic.Int32{}}
		v.answerAll()
		again = v.voids.Load() == 1 && !b.has() // of several mails one does not know the last
		switch {
		case !b.has():
		case random.IntN(4) == 0:
			l.all.Go(func() { v.stay(time.Now().Add(time.Duration(random.IntN(int(l.stay))))) })
		default:
			v.stay(time.Now())
		}
	}
}

// visit is what comes of one code.
type visit struct {
	*load
	random *chance
	b      *browser
	p      *history.Person
	code   string
	voids  atomic.Int32
}

func (v *visit) answer(text string) {
	r := v.b.ask(v.somewhere(v.random), "/_gatehouse/code", url.Values{"code": {text}}, true)
	a := history.Answer{Span: r.Span, Right: text == v.code}
	switch {
	case r.status == http.StatusSeeOther && r.signedIn:
		a.Outcome = history.In
	case r.status == http.StatusUnprocessableEntity:
		a.Outcome = history.Out
	case r.status == http.StatusTooManyRequests:
		a.Outcome = history.Locked
	case r.status == http.StatusGone:
		a.Outcome = history.Void
		v.voids.Add(1)
	}
	v.p.Answered(a)
}

// answerAll guesses at times, gives the right code, and at times twice at once.
func (v *visit) answerAll() {
	wrong := v.code[:5] + string('0'+(v.code[5]-'0'+1)%10)
	var atOnce sync.WaitGroup
	if v.random.IntN(4) == 0 { // somebody guesses, at all nodes at once
		for range 7 {
			atOnce.Go(func() { v.answer(wrong) })
		}
		atOnce.Wait()
		v.answer(v.code)
		return
	}
	for range v.random.IntN(3) {
		v.answer(wrong)
	}
	for range 1 + v.random.IntN(2) {
		atOnce.Go(func() { v.answer(v.code) })
	}
	atOnce.Wait()
	if !v.b.has() { // the answer was lost: whether the code counted is not known
		v.answer(v.code)
	}
}

func (v *visit) check(at *node) {
	r := v.b.ask(at, "/", nil, false)
	c := history.Check{Span: r.Span}
	switch r.status {
	case http.StatusOK:
		c.Outcome = history.In
	case http.StatusFound, http.StatusUnauthorized:
		c.Outcome = history.Out
	}
	v.p.Checked(c)
}

// stay looks around, signs out, and tries again later.
func (v *visit) stay(until time.Time) {
	for range 2 {
		v.check(v.somewhere(v.random))
	}
	for time.Now().Before(until) && !v.stopped() {
		v.pause(v.load.stay / 10)
		v.check(v.anywhere(v.random))
	}
	v.answer(v.code) // once more
	r := v.b.ask(v.somewhere(v.random), "/_gatehouse/logout", url.Values{}, false)
	if r.status != http.StatusSeeOther {
		return
	}
	v.p.Ended(r.Span)
	v.all.Go(func() { // others come meanwhile
		time.Sleep(time.Until(r.End.Add(v.Heard + 50*time.Millisecond)))
		for _, n := range v.nodes {
			v.check(n)
		}
		v.answer(v.code) // and once more
		for time.Since(r.End) < v.after {
			time.Sleep(max(v.after/20, time.Second))
			v.check(v.anywhere(v.random))
		}
	})
}

// Three nodes under load: they start at once on an empty database, and then whatever can
// fail does.
func TestThreeNodes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	var all total
	var lanes sync.WaitGroup
	for name, lane := range map[string]struct {
		rounds int // in the long form, each on a cluster of its own
		run    func(testing.TB, uint64) total
	}{
		"nodes":     {3, nodesFail},
		"database":  {3, databaseFails},
		"copies":    {20, olderCopies},
		"copies-b-": {ifProving(20, 0), olderCopies},
		"blind":     {ifProving(1, 0), blindNodes}, // it takes more than a minute
	} {
		lanes.Go(func() {
			for i := range min(lane.rounds, ifProving(lane.rounds, 1)) {
				t.Run(fmt.Sprint(name, i), func(t *testing.T) {
					sum := lane.run(t, seed+uint64(name[len(name)-2])*1000+uint64(i))
					t.Log(sum)
					mu.Lock()
					defer mu.Unlock()
					all.add(sum)
				})
			}
		})
	}
	lanes.Wait()
	t.Logf("seed %d, in all: %v", seed, all)
}

// nodesFail has nodes killed, cut off and restarted.
func nodesFail(t testing.TB, seed uint64) total {
	l := newLoad(newCluster(t, pgtest.Database(t)), 5, seed)
	all := []func(){l.killNode, l.restartAll, func() { l.cutOff([]passage{shut, silent}[l.random.IntN(2)], 0) }, l.haltNode, l.configure}
	for range ifProving(10, 1) {
		l.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, fault := range all {
			fault()
			l.until(3)
		}
	}
	return l.end()
}

// databaseFails has servers of the database die, and replicas take their place.
func databaseFails(t testing.TB, seed uint64) total {
	l := newLoad(newReplicated(t), 3, seed)
	for i := range ifProving(8, 1) {
		l.promote(stale)
		l.until(3)
		l.promote([]behind{sudden, staleAndDead}[i%2])
		l.until(3)
	}
	return l.end()
}

// olderCopies has the database become what it was a moment ago, many times.
func olderCopies(t testing.TB, seed uint64) total {
	l := newLoad(newCluster(t, pgtest.Database(t)), 4, seed)
	for range ifProving(25, 3) {
		l.swap()
	}
	l.until(3)
	return l.end()
}

// blindNodes has each node cut off for more than a minute.
func blindNodes(t testing.TB, seed uint64) total {
	c := newCluster(t, pgtest.Database(t))
	l := newLoad(c, 3, seed)
	l.stay, l.after = 90*time.Second, 90*time.Second
	l.until(200)
	for _, how := range []passage{shut, silent, shut} {
		l.cutOff(how, 80*time.Second)
		l.until(100)
	}
	return l.end()
}

func ifProving(long, short int) int {
	if os.Getenv("GATEHOUSE_PROVE") != "" {
		return long
	}
	return short
}
