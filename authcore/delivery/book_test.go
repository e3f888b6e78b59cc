package delivery_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// A report may be faster than the note that the mail was taken. What can be no mail
// of ours is told so at once.
func TestReportsAreFast(t *testing.T) {
	ours := strings.Repeat("0a", 16) + "@example.com"
	for _, test := range []struct {
		name, id string
		written  time.Duration // when it is written down that the mail was taken; 0: never
		want     delivery.Taken
		within   time.Duration
	}{
		{"written before", ours, -time.Second, delivery.Noted, 0},
		{"written soon", ours, 500 * time.Millisecond, delivery.Noted, time.Second},
		{"written late", ours, 2800 * time.Millisecond, delivery.Noted, 3 * time.Second},
		{"another instance's", ours, 0, delivery.Foreign, 4 * time.Second},
		{"a newsletter's", "20261130074900.1.0A1B2C3D@mg.example.com", 0, delivery.Foreign, 0},
		{"nobody's", "", 0, delivery.Foreign, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to, err := address.Parse("alice@example.com")
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				book := delivery.New(delivery.Config{
					Store: memstore.New(), Now: time.Now, Observe: func(event.Event) {},
					Sent: func(context.Context, string) (*outbox.Sent, error) {
						if test.written == 0 || time.Since(began) < test.written {
							return nil, nil
						}
						return &outbox.Sent{MessageID: ours, Ref: "ref", To: keyring.Hash(to.String())}, nil
					},
				})
				report := delivery.Report{From: "mailgun", Token: "one", MessageID: test.id, Recipient: to, At: began, Outcome: challenge.OutcomeDelivered}
				got, err := book.Take(t.Context(), report)
				if err != nil || got != test.want || time.Since(began) > test.within {
					t.Errorf("%d, %v after %s; want %d within %s", got, err, time.Since(began), test.want, test.within)
				}
				if again, err := book.Take(t.Context(), report); err != nil || again != delivery.Again {
					t.Errorf("again: %d, %v", again, err)
				}
				if test.written == 0 && test.id == ours {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					report.Token = "two"
					if _, err := book.Take(ctx, report); err == nil {
						t.Error("who hung up is answered")
					}
				}
			})
		})
	}
}

// shared is a store that several nodes use.
type shared struct{ store.Store }

func (shared) Node() string                                                { return "one" }
func (shared) Gone(context.Context, string) (bool, error)                  { return false, nil }
func (shared) OnLost(func(context.Context, store.Store, store.Lost) error) {}

var _ store.Shared = shared{}

// One node sent the mail, another heard that it was delivered, a third signs its
// person in: each of them comes to know how long that took.
func TestFiguresOfSeveralNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := shared{memstore.New()}
		ctx, stop := context.WithCancel(t.Context())
		var nodes [3]*delivery.Book
		for i := range nodes {
			nodes[i] = delivery.New(delivery.Config{Store: engine, Now: time.Now, Observe: func(event.Event) {}})
			go nodes[i].Run(ctx)
		}
		var last address.Address
		for i := range 8 {
			a, err := address.Parse(string(rune('a'+i)) + "@example.com")
			if err != nil {
				t.Fatal(err)
			}
			last = a
			about := event.Event{Address: a, Challenge: a.String()}
			mail := event.Mail{Queued: time.Now(), Taken: time.Now().Add(10 * time.Second), Delivered: time.Now().Add(4 * time.Minute)}
			time.Sleep(10 * time.Second)
			sent := about
			sent.Name, sent.Waited = event.MailSent, 10*time.Second
			nodes[0].Hear(sent)
			time.Sleep(time.Until(mail.Delivered))
			report := about
			report.Name, report.Reason = event.MailReport, string(challenge.OutcomeDelivered)
			nodes[1].Hear(report)
			time.Sleep(time.Minute)
			in := about
			in.Name, in.Mail = event.SignedIn, mail
			nodes[2].Hear(in)
		}
		time.Sleep(2*time.Minute + time.Second)
		for i, book := range nodes {
			d := book.Of(last)
			if d.Wait != 4*time.Minute || d.SignIn != time.Minute || d.Accepted != 8 || d.Delivered != 8 || d.SignedIn != 8 {
				t.Errorf("node %d: %+v", i, d)
			}
		}
		stop()
		synctest.Wait()
	})
}
