package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// counting is a sender that counts.
type counting struct {
	sent atomic.Int64
	stop chan struct{} // nil: it takes mails at once
}

func (*counting) Name() string { return "counting" }
func (*counting) AtOnce() int  { return 100 }

func (c *counting) Send(ctx context.Context, _ outbox.Message) error {
	if c.stop != nil {
		select {
		case <-c.stop:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.sent.Add(1)
	return nil
}

func newBox(t *testing.T, in store.Store, observe func(event.Event), senders ...outbox.Sender) *outbox.Outbox {
	t.Helper()
	secret, err := keyring.NewSecret([]byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	box := outbox.New(outbox.Config{
		Store: in, Secrets: keyring.Secrets{Current: secret}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Observe: observe, Tell: func(store.Tx, outbox.Item, []outbox.Try) error { return nil },
	})
	box.Use(&outbox.Means{Mail: senders, Letters: letters{}, Composer: letters{}, Limits: limit.Default()})
	return box
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// 100,000 mails wait in less than 100 MB, nobody is refused before, and none is
// looked at for each of the others: not of one domain, not where one recipient has
// a thousand. That all are sent then is in make prove.
func TestQueueIsBoundByMemory(t *testing.T) {
	const most = 100_000
	for name, to := range map[string]func(i int) string{
		"of one domain": func(i int) string { return fmt.Sprintf("p%d@example.com", i) },
		"of 100 people": func(i int) string { return fmt.Sprintf("p%d@example.com", i%100) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sender := &counting{stop: make(chan struct{})}
				box := newBox(t, memstore.New(), func(event.Event) {}, sender)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { box.Run(ctx); close(done) }()
				before := heap()
				for i := range most {
					if _, down := box.Down(false); down {
						t.Fatalf("%d wait, and one more is refused", i)
					}
					e := entry(fmt.Sprintf("challenge-with-a-name-of-usual-length-%d", i))
					e.To = to(i)
					e.Expires = e.Expires.Add(time.Duration(i) * time.Millisecond)
					box.Add(e)
				}
				if _, down := box.Down(false); !down {
					t.Error("the queue has no bound")
				}
				if used := (heap() - before) >> 20; used > 100 {
					t.Errorf("they take %d MB", used)
				} else {
					t.Logf("%d MB", used)
				}
				if os.Getenv("GATEHOUSE_PROVE") == "" {
					stop()
					<-done
					return
				}
				close(sender.stop)
				synctest.Wait()
				if n := sender.sent.Load(); n != most {
					t.Errorf("%d of %d were sent", n, most)
				}
				if box.Waiting() != 0 {
					t.Errorf("%d wait", box.Waiting())
				}
				stop()
				<-done
			})
		})
	}
}

// What an earlier process left is taken up whole, however much it is.
func TestALongQueueSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 2500
		in := memstore.New()
		box := newBox(t, in, func(event.Event) {})
		for i := range n {
			e := entry(fmt.Sprintf("of p%d@example.com", i))
			if err := in.Update(t.Context(), func(tx store.Tx) error { return box.Put(tx, e) }); err != nil {
				t.Fatal(err)
			}
		}
		sender := &counting{}
		box = newBox(t, in, func(event.Event) {}, sender)
		if err := box.Load(t.Context()); err != nil || box.Waiting() != n {
			t.Fatalf("%d, %v", box.Waiting(), err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { box.Run(ctx); close(done) }()
		synctest.Wait()
		if sender.sent.Load() != n || box.Waiting() != 0 {
			t.Errorf("%d sent, %d wait", sender.sent.Load(), box.Waiting())
		}
		stop()
		<-done
	})
}
