package history_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/e2e/history"
)

// load is people who sign in, look around and sign out, each step at another node.
type load struct {
	*cluster
	*history.History
	stop chan struct{}
	all  sync.WaitGroup

	mu    sync.Mutex
	mails map[string]smtptest.Message // by recipient, the newest
	read  int
}

func newLoad(c *cluster, people int, seed uint64) *load {
	l := &load{cluster: c, History: &history.History{Tries: 5, Heard: 2 * time.Second}, stop: make(chan struct{}), mails: map[string]smtptest.Message{}}
	for i := range people {
		random := &chance{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		l.all.Go(func() {
			for n := 0; !l.stopped(); n++ {
				l.signIn(random, fmt.Sprintf("p%d-%d@example.com", i, n))
			}
		})
	}
	return l
}

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
	case <-l.stop:
		return true
	default:
		return false
	}
}

// until waits until so many more have come in.
func (l *load) until(more int) {
	l.Helper()
	want := l.Came() + more
	for deadline := time.Now().Add(2 * time.Minute); l.Came() < want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.Fatalf("%d have come in, want %d", l.Came(), want)
		}
	}
}

// end ends the load and tells what was broken.
func (l *load) end() {
	l.Helper()
	close(l.stop)
	l.all.Wait()
	for _, broken := range l.Broken() {
		l.Error(broken)
	}
	l.Logf("%d came in", l.Came())
}

// somewhere is a node, or HAProxy, which picks one.
func (l *load) somewhere(random *chance) (addr, name string) {
	if i := random.IntN(len(l.nodes) + 1); i < len(l.nodes) {
		return l.nodes[i].addr, l.nodes[i].name
	}
	return l.proxy, "HAProxy"
}

// code waits for the mail to somebody, for a while: it may be another node's to send.
func (l *load) code(to string) string {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline) && !l.stopped(); time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		all := l.mail.Messages()
		for ; l.read < len(all); l.read++ {
			for _, recipient := range all[l.read].To {
				l.mails[recipient] = all[l.read]
			}
		}
		mail, come := l.mails[to]
		l.mu.Unlock()
		if come {
			return mail.Code(l)
		}
	}
	return ""
}

// signIn is one person's visit.
func (l *load) signIn(random *chance, address string) {
	ctx, b := context.Background(), l.browser()
	addr, _ := l.somewhere(random)
	if status, _ := b.ask(ctx, addr, "/_gatehouse/login", url.Values{"email": {address}, "return_to": {"/"}}, true); status != http.StatusSeeOther {
		return
	}
	code := l.code(address)
	if code == "" {
		return
	}
	p := l.Person(address)
	answer := func(text string) {
		addr, name := l.somewhere(random)
		l.all.Add(1)
		defer l.all.Done()
		a := history.Answer{Span: history.Span{Start: time.Now(), Node: name}, Right: text == code}
		status, in := b.ask(ctx, addr, "/_gatehouse/code", url.Values{"code": {text}}, true)
		a.End = time.Now()
		switch {
		case status == http.StatusSeeOther && in:
			a.Outcome = history.In
		case status == http.StatusUnprocessableEntity:
			a.Outcome = history.Out
		case status == http.StatusTooManyRequests, status == http.StatusGone:
			a.Outcome = history.Locked
		}
		p.Answered(a)
	}
	wrong := code[:5] + string('0'+(code[5]-'0'+1)%10)
	if random.IntN(4) == 0 { // somebody guesses, at all nodes at once
		var guessing sync.WaitGroup
		for range 7 {
			guessing.Go(func() { answer(wrong) })
		}
		guessing.Wait()
		answer(code)
		return
	}
	for range random.IntN(3) {
		answer(wrong)
	}
	var twice sync.WaitGroup
	for range 1 + random.IntN(2) {
		twice.Go(func() { answer(code) })
	}
	twice.Wait()
	b.mu.Lock()
	in := b.cookies["gatehouse"] != ""
	b.mu.Unlock()
	if !in { // the answer was lost: whether the code counted is not known
		answer(code)
	}
	check := func() {
		addr, name := l.somewhere(random)
		c := history.Check{Span: history.Span{Start: time.Now(), Node: name}}
		status, _ := b.ask(ctx, addr, "/", nil, false)
		c.End = time.Now()
		switch status {
		case http.StatusOK:
			c.Outcome = history.In
		case http.StatusFound, http.StatusUnauthorized:
			c.Outcome = history.Out
		}
		p.Checked(c)
	}
	b.mu.Lock()
	in = b.cookies["gatehouse"] != ""
	b.mu.Unlock()
	if !in {
		return
	}
	for range 4 {
		check()
	}
	answer(code) // once more
	addr, name := l.somewhere(random)
	s := history.Span{Start: time.Now(), Node: name}
	if status, _ := b.ask(ctx, addr, "/_gatehouse/logout", url.Values{}, false); status != http.StatusSeeOther {
		return
	}
	s.End = time.Now()
	p.Ended(s)
	l.all.Go(func() { // others come meanwhile
		time.Sleep(time.Until(s.End.Add(l.Heard + 50*time.Millisecond)))
		for range 2 * len(l.nodes) {
			check()
		}
	})
}

// Three nodes under load: they start at once on an empty database, one is killed, and
// all are restarted one after another.
func TestThreeNodes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rounds, each := 1, 6
	if os.Getenv("GATEHOUSE_PROVE") != "" {
		rounds, each = 100, 26
	}
	c := newCluster(t, pgtest.Database(t))
	l := newLoad(c, 5, seed)
	random := rand.New(rand.NewPCG(seed, 1<<32))
	for range rounds {
		l.until(each)
		killed := c.nodes[random.IntN(len(c.nodes))]
		killed.kill()
		l.until(each)
		killed.start()
		killed.ready()
		for _, n := range c.nodes {
			n.stop()
			l.until(each / 3)
			n.start()
			n.ready()
		}
		l.until(each)
	}
	l.end()
}
