package authcore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What a node has accepted is sent by another one when it is killed: once, and once
// more where it was killed in the middle of that.
func TestMailOfADeadNode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		as     string
		told   string
		ahead  time.Duration // of the clock of the node that is left
		silent bool          // the whole time until it counts as gone
	}{
		{"hangs", "handed over", 0, true},
		{"hangs", "handed over", -5 * time.Minute, false},
		{"down", "failed", 5 * time.Minute, false},
		{"still", "all accepted", 5 * time.Minute, false},
		{"still", "all accepted", -5 * time.Minute, false},
	} {
		t.Run(fmt.Sprint(test.as, test.ahead), func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Database(t)
			left := newNodeAt(t, dsn, test.ahead)
			if dead := startNode(t, dsn, test.as, 1).killAfter(test.told); !test.silent {
				dead.bury(dsn)
			}
			wantMails(t, dsn, people(test.as, 1), left)
		})
	}
}

// Nodes that find the same do not all send it: none has what another one has in hand.
func TestMailOfADeadNodeIsForOne(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	open, inHand := make(chan bool), &atomic.Int32{}
	release := sync.OnceFunc(func() { close(open) })
	defer release()
	var nodes [3]*house
	for i := range nodes {
		slow := slowSender{&recorder{}, open, inHand}
		nodes[i] = newNodeAt(t, dsn, 0, slow)
		nodes[i].sender = slow.recorder
		nodes[i].core.Outbox().Use(nil)
	}
	startNode(t, dsn, "still", 30).killAfter("all accepted").bury(dsn)
	for _, h := range nodes {
		within(t, time.Minute, "all nodes have found it", func() bool { return h.core.Status().MailWaiting == 30 })
	}
	for _, h := range nodes {
		h.reload()
	}
	within(t, time.Minute, "each has as many in hand as it may", func() bool { return inHand.Load() == 3*2 }) // of one domain
	release()
	wantMails(t, dsn, people("still", 30), nodes[:]...)
}

// The mail of a node that is alive is left to it, however far the clocks are apart.
func TestMailOfANodeThatIsAlive(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	slow := slowSender{&recorder{}, make(chan bool), &atomic.Int32{}}
	alive := newNodeAt(t, dsn, 0, slow)
	defer close(slow.open)
	nodes := []*house{newNode(t, dsn), newNodeAt(t, dsn, 5*time.Minute), newNodeAt(t, dsn, -5*time.Minute)}
	var all []*asking
	for _, h := range nodes {
		all = append(all, &asking{Shared: h.store.(store.Shared)})
		h.reopenOn(all[len(all)-1])
	}
	want(t, alive.browser().begin(alice).Verdict, event.Accepted)
	for i, h := range nodes {
		within(t, time.Minute, "it was looked whose the mail is", func() bool { return all[i].asked.Load() >= 3 })
		if h.sender.count() > 0 {
			t.Errorf("node %d took the mail of one that is alive", i)
		}
	}
	slow.open <- true
	wantMails(t, dsn, []string{alice.String()}, append(nodes, &house{sender: slow.recorder})...)
}

// newNodeAt is a node on a machine whose clock is ahead of the database's, with other
// senders than its recorder.
func newNodeAt(t testing.TB, dsn string, ahead time.Duration, senders ...outbox.Sender) *house {
	return newNodeWith(t, dsn, pgstore.Options{
		Node: os.Getenv(asNode), Clock: func() time.Time { return time.Now().Add(ahead) },
	}, func(h *house) {
		if len(senders) > 0 {
			h.config.Senders = senders
		}
	})
}

// asking counts how often it is asked for other nodes.
type asking struct {
	store.Shared
	asked atomic.Int32
}

func (a *asking) Gone(ctx context.Context, node string) (bool, error) {
	defer a.asked.Add(1)
	return a.Shared.Gone(ctx, node)
}

// Two nodes were killed with a mail in their hands: a third copy does not go out.
func TestNoThirdCopy(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	startNode(t, dsn, "hangs", 1).killAfter("handed over").bury(dsn)
	startNode(t, dsn, "hangs", 0).killAfter("handed over").bury(dsn)
	left := newNode(t, dsn)
	wantMails(t, dsn, nil, left)
	steps := pgtest.Rows(t, dsn, "SELECT step->>'detail' FROM gatehouse_record, jsonb_array_elements(value->'steps') AS step WHERE key LIKE 'history/%' AND step->>'outcome' = 'maybe'")
	if len(steps) != 1 {
		t.Errorf("its history tells of %q", steps)
	}
}

// What a decoy leaves looks like what a mail does, and nobody sends it. Neither has
// an address or a code in it.
func TestDecoyOfADeadNode(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	startNode(t, dsn, "decoy", 1).killAfter("all accepted").bury(dsn)
	shapes := pgtest.Rows(t, dsn, `SELECT DISTINCT regexp_replace(value::text, '"(ref|at|queued|expires)": "[^"]*"', '"\1"', 'g') FROM gatehouse_record WHERE key LIKE 'mail/%'`)
	if n := len(pgtest.Rows(t, dsn, waitingMail)); n != 2 || len(shapes) != 1 || strings.Contains(shapes[0], "example") {
		t.Errorf("%d entries of the shapes %q", n, shapes)
	}
	wantMails(t, dsn, people("decoy", 1), newNode(t, dsn))
}

// A code that is over is not sent, by whichever clock.
func TestMailOfANodeThatDiedLongAgo(t *testing.T) {
	t.Parallel()
	t.Run("by the clock of the node", func(t *testing.T) {
		dsn := pgtest.Database(t)
		left := newNode(t, dsn)
		looks := &asking{Shared: left.store.(store.Shared)}
		left.reopenOn(looks)
		left.setClock(time.Hour)
		startNode(t, dsn, "still", 1).killAfter("all accepted").bury(dsn)
		before := looks.asked.Load()
		within(t, time.Minute, "it was looked at", func() bool {
			return looks.asked.Load() >= before+2 || len(pgtest.Rows(t, dsn, waitingMail)) == 0
		})
		want(t, left.sender.count(), 0)
	})
	t.Run("by the clock of the database", func(t *testing.T) {
		dsn := pgtest.Database(t)
		startNode(t, dsn, "still", 1).killAfter("all accepted").bury(dsn)
		pgtest.Exec(t, dsn, "UPDATE gatehouse_record SET expires = expires - interval '1 hour' WHERE key LIKE 'mail/%'")
		left := newNode(t, dsn)
		startNode(t, dsn, "later", 1).killAfter("all accepted").bury(dsn) // its mail shows that there was a look
		wantMails(t, dsn, people("later", 1), left)
	})
}

// Who signs in at another node than that which sent the mail counts for how mail fares.
func TestASignInKnowsItsMail(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	one, two := newNode(t, dsn), newNode(t, dsn)
	b := one.browser()
	want(t, b.begin(alice).Verdict, event.Accepted)
	mail := one.waitMail(1)
	soon(t, "it is written down that the mail was taken", func() bool { return len(pgtest.Rows(t, dsn, waitingMail)) == 0 })
	want(t, b.atNode(two).answer(mail.Code).Verdict, event.Accepted)
	two.mu.Lock()
	defer two.mu.Unlock()
	i := slices.IndexFunc(two.events, func(e event.Event) bool { return e.Name == event.SignedIn })
	if m := two.events[i].Mail; m.Queued.IsZero() || m.Taken.Before(m.Queued) || !m.Delivered.IsZero() {
		t.Errorf("the mail was %+v", m)
	}
}

const waitingMail = "SELECT key FROM gatehouse_record WHERE key LIKE 'mail/%' AND value IS NOT NULL AND expires > now()"

// wantMails waits until nothing is on the queue, and tells whether the nodes have
// sent one mail to each.
func wantMails(t *testing.T, dsn string, to []string, nodes ...*house) {
	t.Helper()
	within(t, 2*time.Minute, "the queue is empty", func() bool { return len(pgtest.Rows(t, dsn, waitingMail)) == 0 })
	var got []string
	for _, h := range nodes {
		got = append(got, h.sender.recipients()...)
	}
	slices.Sort(got)
	slices.Sort(to)
	if !slices.Equal(got, to) {
		t.Errorf("mails to %q, want %q", got, to)
	}
}

func (r *recorder) recipients() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.sent {
		all = append(all, m.To.String())
	}
	return all
}

// people are to whom a node process writes.
func people(as string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s%d@example.com", as, i))
	}
	return all
}

// Environment of a node that is another process.
const (
	asNode    = "GATEHOUSE_TEST_NODE" // what it does; its name, too
	nodeDSN   = "GATEHOUSE_TEST_NODE_DSN"
	nodeMails = "GATEHOUSE_TEST_NODE_MAILS"
)

// slowSender takes a mail once it is open.
type slowSender struct {
	*recorder
	open   chan bool
	inHand *atomic.Int32
}

func (s slowSender) Send(ctx context.Context, m outbox.Message) error {
	s.inHand.Add(1)
	<-s.open
	return s.recorder.Send(ctx, m)
}

// nodeProcess is a node that is another process.
type nodeProcess struct {
	testing.TB
	as    string
	cmd   *exec.Cmd
	lines chan string
}

func startNode(t testing.TB, dsn, as string, mails int) *nodeProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNodeProcess$", "-test.v")
	cmd.Env = append(os.Environ(), nodeDSN+"="+dsn, asNode+"="+as, nodeMails+"="+strconv.Itoa(mails))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &nodeProcess{t, as, cmd, make(chan string, 1000)}
	go func() {
		defer close(n.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return n
}

// killAfter kills the node once it has said word.
func (n *nodeProcess) killAfter(word string) *nodeProcess {
	n.Helper()
	timeout := time.After(2 * time.Minute)
	for said := false; !said; {
		select {
		case line, ok := <-n.lines:
			if said = strings.Contains(line, word); !ok {
				n.Fatalf("the node %s ended before it said %q", n.as, word)
			}
		case <-timeout:
			n.Fatalf("the node %s does not say %q", n.as, word)
		}
	}
	if err := n.cmd.Process.Kill(); err != nil {
		n.Fatal(err)
	}
	_ = n.cmd.Wait()
	return n
}

// bury spares the time until a node that was killed counts as gone.
func (n *nodeProcess) bury(dsn string) *nodeProcess {
	n.Helper()
	pgtest.Exec(n, dsn, "DELETE FROM gatehouse_node WHERE name = $1", n.as)
	return n
}

// TestNodeProcess is the other process: it asks for mails, and is killed.
func TestNodeProcess(t *testing.T) {
	dsn, as := os.Getenv(nodeDSN), os.Getenv(asNode)
	if dsn == "" {
		return // this is the process of the tests
	}
	h := newNodeAt(t, dsn, 0, badSender(as))
	if as != "down" && as != "hangs" {
		h.core.Outbox().Use(nil)
	}
	n, err := strconv.Atoi(os.Getenv(nodeMails))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(a address.Address) { want(t, h.browser().begin(a).Verdict, event.Accepted) }
	for _, p := range people(as, n) {
		ask(mustAddress(p))
	}
	if as == "decoy" {
		ask(mal)
	}
	fmt.Println("all accepted")
	select {}
}

// badSender fails, or says that it has the mail and never answers.
type badSender string

func (s badSender) Name() string { return string(s) }

func (s badSender) Send(context.Context, outbox.Message) error {
	if s == "down" {
		fmt.Println("failed")
		return &outbox.SendError{Fault: outbox.SenderDown, Reason: "no connection"}
	}
	fmt.Println("handed over")
	select {}
}
