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
