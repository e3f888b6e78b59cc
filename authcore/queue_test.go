package authcore_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// relay is a sender that can be tried without a mail and decides by recipient.
type relay struct {
	recorder
	mu     sync.Mutex
	answer func(m outbox.Message) error
	check  error
	checks int
	tried  []string // recipients, in order
}

func (r *relay) Send(ctx context.Context, m outbox.Message) error {
	r.mu.Lock()
	r.tried = append(r.tried, m.To.String())
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		if err := answer(m); err != nil {
			return err
		}
	}
	return r.recorder.Send(ctx, m)
}

// checked is a relay with a Check.
type checked struct{ *relay }

func (r checked) Check(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks++
	return r.check
}

func (r *relay) set(answer func(outbox.Message) error, check error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer, r.check = answer, check
}

func (r *relay) attempts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.tried)
}

// withSenders gives the house other senders, and all addresses but mallory's.
func (h *house) withSenders(senders ...outbox.Sender) {
	h.config.Senders = senders
	h.config.MayReceive = func(a address.Address) bool { return a != mal }
	h.reopen()
}

func refusal(fault outbox.SendFault, recipient bool) func(outbox.Message) error {
	return func(outbox.Message) error {
		return &outbox.SendError{Fault: fault, Recipient: recipient, Reason: "RCPT TO: the server answered 553 5.7.1 sender not owned"}
	}
}

func recipient(i int) address.Address {
	return mustAddress(fmt.Sprintf("p%d@d%d.example", i, i%8))
}

// A relay that refuses us says so to one recipient after the other: the next
// sender is asked before a mail is given up.
func TestRefusalGoesToTheNextSender(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		first, second := &relay{recorder: recorder{name: "first"}}, &relay{recorder: recorder{name: "second"}}
		first.set(refusal(outbox.Rejected, false), nil)
		h.withSenders(checked{first}, checked{second})
		for i := range 24 {
			want(t, h.browser().begin(recipient(i)).Verdict, event.Accepted)
		}
		synctest.Wait()
		want(t, second.count(), 24)
		want(t, h.core.Status().MailWaiting, 0)
		a := h.attempts(recipient(0))[0]
		want(t, a.Outcome, challenge.OutcomeAccepted)
		wantAll(t, steps(a), challenge.OutcomeQueued, challenge.OutcomeDeclined, challenge.OutcomeAccepted)
		want(t, a.Steps[1].Detail, "RCPT TO: the server answered 553 5.7.1 sender not owned")
		status := h.core.Status()
		want(t, status.Senders[0].Unfit, true)
		want(t, status.Senders[0].Down, false)
		want(t, status.Senders[1].Unfit, false)
		want(t, status.MailDelayed, false) // the second takes it
		want(t, status.MailDown, false)
	})
}

// A refusal is final once all have refused; who refused is not asked again.
func TestRefusalIsFinalWhenAllRefuse(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		first, second := &relay{recorder: recorder{name: "first"}}, &relay{recorder: recorder{name: "second"}}
		first.set(refusal(outbox.Rejected, true), nil)
		second.set(refusal(outbox.Deferred, false), nil)
		h.withSenders(first, second)
		h.browser().begin(recipient(0))
		time.Sleep(time.Minute)
		wantAll(t, h.outcomes(recipient(0)), challenge.OutcomeDeferred)
		want(t, first.attempts(), 1)
		if second.attempts() < 3 {
			t.Fatal("the second was not tried again")
		}
		second.set(refusal(outbox.Rejected, true), nil)
		time.Sleep(time.Minute)
		wantAll(t, h.outcomes(recipient(0)), challenge.OutcomeRejected)
		want(t, h.core.Status().MailWaiting, 0)
		want(t, first.attempts(), 1)
	})
}

// A configuration that mends what was refused gets the mails that still wait.
func TestRefusalIsForgottenWithTheConfiguration(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		first, second := &relay{recorder: recorder{name: "first"}}, &relay{recorder: recorder{name: "second"}}
		first.set(refusal(outbox.Rejected, false), nil)
		second.set(refusal(outbox.Deferred, false), nil)
		h.withSenders(first, second)
		h.browser().begin(recipient(0))
		synctest.Wait()
		first.set(nil, nil)
		old := h.service
		h.service = h.core.Use(h.config)
		old.Close()
		time.Sleep(time.Minute)
		want(t, first.count(), 1)
	})
}

func TestSenderThatRefusesSeveralDomainsIsUnfit(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		only := &relay{}
		h.withSenders(checked{only})
		begin := func(i int) *tab {
			b := h.browser()
			want(t, b.begin(recipient(i)).Verdict, event.Accepted)
			synctest.Wait()
			return b
		}
		unfit := func() bool { return h.core.Status().Senders[0].Unfit }
		only.set(refusal(outbox.Rejected, true), nil) // they name the recipient
		for i := range 8 {
			begin(i)
		}
		want(t, unfit(), false)
		only.set(refusal(outbox.Rejected, false), nil)
		for i := 8; i < 40; i += 8 { // one domain only
			begin(i)
		}
		want(t, unfit(), false)
		begin(41)
		want(t, unfit(), false)
		only.set(nil, nil)
		begin(42) // taken: it begins anew
		only.set(refusal(outbox.Rejected, false), nil)
		begin(43)
		begin(44)
		want(t, unfit(), false)
		b := begin(45)
		want(t, unfit(), true)
		// Everybody is told so, whose mail it is or not.
		decoy := h.browser()
		want(t, decoy.begin(mal).Verdict, event.Accepted)
		for _, b := range []*tab{b, decoy} {
			flow, err := h.service.Flows().Flow(t.Context(), b.Browser, "")
			if err != nil || !flow.MailDelayed || flow.MailDown {
				t.Fatalf("%+v, %v", flow, err)
			}
		}
		status := h.core.Status()
		want(t, status.MailDown, false)
		want(t, status.MailDelayed, true)
		only.set(nil, nil)
		begin(46)
		want(t, unfit(), false)
		flow, _ := h.service.Flows().Flow(t.Context(), b.Browser, "")
		want(t, flow.MailDelayed, false)
	})
}

// Mails that are put off, one after another, are late as well.
func TestSenderThatDefersSeveralDomainsIsUnfit(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		only := &relay{}
		only.set(refusal(outbox.Deferred, false), nil)
		h.withSenders(only)
		for i := range 3 {
			h.browser().begin(recipient(i))
		}
		synctest.Wait()
		want(t, h.core.Status().MailDelayed, true)
		want(t, h.browser().begin(recipient(4)).Verdict, event.Accepted)
	})
}

// One address at whose server everything breaks keeps nobody else out, also
// after a restart.
func TestOneAddressDoesNotCloseSignIn(t *testing.T) {
	for _, can := range []bool{true, false} {
		t.Run(fmt.Sprintf("check %t", can), func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				only := &relay{}
				only.set(func(m outbox.Message) error {
					if m.To == alice {
						return &outbox.SendError{Fault: outbox.SenderDown, Reason: "HTTP 500"}
					}
					return nil
				}, nil)
				var sender outbox.Sender = only
				if can {
					sender = checked{only}
				}
				h.withSenders(sender)
				h.browser().begin(alice)
				synctest.Wait()
				want(t, h.browser().begin(recipient(1)).Verdict, event.MailDown) // nothing better is known yet
				time.Sleep(31 * time.Second)
				b := h.browser()
				want(t, b.begin(recipient(1)).Verdict, event.Accepted)
				want(t, b.answer(only.last(t).Code).Verdict, event.Accepted)
				h.reopen()
				synctest.Wait()
				time.Sleep(31 * time.Second)
				want(t, h.browser().begin(recipient(2)).Verdict, event.Accepted)
				want(t, only.last(t).To, recipient(2))
			})
		})
	}
}

// While mail is down nothing is sent until a check succeeds; then all of it.
func TestCheckInPlaceOfAMail(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		only := &relay{}
		down := &outbox.SendError{Fault: outbox.SenderDown, Reason: "connection refused"}
		only.set(func(outbox.Message) error { return down }, down)
		h.withSenders(checked{only})
		h.browser().begin(recipient(0))
		synctest.Wait()
		time.Sleep(5*time.Minute + time.Second)
		want(t, only.attempts(), 1)
		want(t, only.checks, 10)
		want(t, h.browser().begin(recipient(1)).Verdict, event.MailDown)
		only.set(nil, nil)
		time.Sleep(31 * time.Second)
		want(t, only.count(), 1)
		want(t, h.browser().begin(recipient(1)).Verdict, event.Accepted)
	})
}

// While no sender works and nobody has noticed, a start for somebody who may not sign in
// leaves the next ones as one for somebody who may: at once, as long as its mail
// would wait, and after that.
func TestAnOutageTellsNobody(t *testing.T) {
	down := &outbox.SendError{Fault: outbox.SenderDown, Reason: "connection refused"}
	fails := func(outbox.Message) error { return down }
	for name, test := range map[string]struct {
		before func(h *house, first, second *relay)
		want   bool // mail is down then
	}{
		"from the start": {func(_ *house, first, second *relay) { first.set(fails, down); second.set(fails, down) }, true},
		"the first one":  {func(_ *house, first, _ *relay) { first.set(fails, down) }, false},
		"after a mail": {func(h *house, first, second *relay) {
			h.browser().begin(recipient(1))
			time.Sleep(31 * time.Second)
			first.set(fails, down)
			second.set(fails, down)
		}, true},
		"after another outage": {func(h *house, first, second *relay) {
			first.set(fails, down)
			second.set(fails, down)
			h.browser().begin(recipient(1))
			time.Sleep(11 * time.Minute)
		}, true},
		"again, after it was over": {func(h *house, first, second *relay) {
			first.set(fails, down)
			second.set(fails, down)
			h.browser().begin(recipient(1))
			time.Sleep(time.Minute)
			first.set(nil, nil)
			time.Sleep(time.Minute)
			first.set(fails, down)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[address.Address]string{}
			for _, who := range []address.Address{recipient(0), mal} {
				run(t, func(t *testing.T, h *house) {
					first, second := &relay{recorder: recorder{name: "first"}}, &relay{recorder: recorder{name: "second"}}
					h.withSenders(checked{first}, checked{second})
					test.before(h, first, second)
					want(t, h.browser().begin(who).Verdict, event.Accepted)
					for range 12 * 60 {
						synctest.Wait()
						seen[who] += map[bool]string{true: "x", false: "."}[h.core.Status().MailDown]
						time.Sleep(time.Second)
					}
					want(t, strings.HasPrefix(seen[who], "x"), test.want)
					want(t, strings.HasSuffix(seen[who], "."), true)
				})
			}
			want(t, seen[mal], seen[recipient(0)])
		})
	}
}

// However many decoys there are, they have the senders tried no more often than an
// outage has, and not at all where a mail was taken of late.
func TestDecoysTryLittle(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		only := &relay{}
		h.withSenders(checked{only})
		h.config.MayReceive = func(a address.Address) bool { return a == alice }
		h.reload()
		n := 0
		decoys := func(d time.Duration) (checks int) {
			before := only.checks
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
				n++
				want(t, h.from(fmt.Sprintf("10.0.%d.1", n%250)).begin(recipient(n)).Verdict, event.Accepted)
			}
			synctest.Wait()
			return only.checks - before
		}
		want(t, decoys(time.Second), 1)
		want(t, decoys(5*time.Minute), 10)
		h.browser().begin(alice)
		synctest.Wait()
		want(t, only.count(), 1)
		want(t, decoys(29*time.Second), 0)
		want(t, decoys(2*time.Second), 1)
		want(t, only.attempts(), 1)
	})
}

// Of senders that can't be checked, one recipient after another is tried.
func TestProbesGoToDifferentRecipients(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		only := &relay{}
		hold := make(chan struct{})
		only.set(func(outbox.Message) error {
			<-hold
			return &outbox.SendError{Fault: outbox.SenderDown, Reason: "HTTP 500"}
		}, nil)
		h.withSenders(only)
		for i := range 4 {
			want(t, h.browser().begin(recipient(i)).Verdict, event.Accepted)
		}
		synctest.Wait()
		close(hold)
		synctest.Wait()
		before := only.attempts()
		time.Sleep(5*time.Minute + time.Second)
		only.mu.Lock()
		probes := only.tried[before:]
		only.mu.Unlock()
		want(t, len(probes), 10)
		for i := range probes {
			if i > 0 && probes[i] == probes[i-1] {
				t.Fatalf("twice in a row: %v", probes)
			}
		}
		want(t, h.browser().begin(recipient(5)).Verdict, event.MailDown)
	})
}

// Stalling addresses keep nobody else's mail, whatever their domains are and
// however often they are tried.
func TestSlowRecipientsKeepNobodyElsesMail(t *testing.T) {
	for name, c := range map[string]struct {
		address func(i int) address.Address
		before  func(h *house, only *relay)
	}{
		"of one domain": {
			func(i int) address.Address { return mustAddress(fmt.Sprintf("slow%d@slow.example", i)) },
			func(*house, *relay) {},
		},
		"of one domain, after a restart": {
			func(i int) address.Address { return mustAddress(fmt.Sprintf("slow%d@slow.example", i)) },
			func(h *house, _ *relay) { h.reopen() },
		},
		"of two domains, once tried": {
			func(i int) address.Address { return mustAddress(fmt.Sprintf("slow%d@slow%d.example", i, i%2)) },
			func(*house, *relay) { time.Sleep(2 * time.Minute) },
		},
		"each of its own, once tried": {
			func(i int) address.Address { return mustAddress(fmt.Sprintf("slow%d@slow%d.example", i, i)) },
			func(*house, *relay) { time.Sleep(2 * time.Minute) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				only := &relay{}
				only.set(func(m outbox.Message) error {
					if strings.HasPrefix(m.To.String(), "slow") {
						time.Sleep(29 * time.Second)
						return &outbox.SendError{Fault: outbox.Deferred, Recipient: true, Reason: "no answer in time"}
					}
					return nil
				}, nil)
				h.withSenders(checked{only})
				for i := range 12 {
					want(t, h.browser().begin(c.address(i)).Verdict, event.Accepted)
				}
				synctest.Wait()
				c.before(h, only)
				for i := range 10 {
					h.browser().begin(recipient(i))
					synctest.Wait()
					want(t, only.count(), i+1) // at once
					time.Sleep(7 * time.Second)
				}
				only.mu.Lock()
				tried := map[string]bool{}
				for _, to := range only.tried {
					tried[to] = true
				}
				only.mu.Unlock()
				if time.Sleep(5 * time.Minute); len(tried) < 5 {
					t.Errorf("the slow ones are not tried: %v", tried)
				}
			})
		})
	}
}

// A recipient's server that makes ours think keeps one worker, however many
// mails wait for it.
func TestSlowRecipientKeepsOneWorker(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		only := &relay{}
		only.set(func(m outbox.Message) error {
			if strings.HasPrefix(m.To.String(), "slow") {
				time.Sleep(29 * time.Second)
				return &outbox.SendError{Fault: outbox.Deferred, Reason: "no answer in time"}
			}
			return nil
		}, nil)
		h.withSenders(checked{only})
		slow := mustAddress("slow@example.com")
		for range 5 {
			h.browser().begin(slow)
			time.Sleep(61 * time.Second)
		}
		for i := range 20 {
			b := h.browser()
			b.begin(recipient(i))
			synctest.Wait()
			want(t, only.count(), i+1) // at once
			time.Sleep(7 * time.Second)
		}
	})
}

// A first sender that is silent cost every mail half a minute, and all of them
// together eight a minute, though the second was healthy.
func TestSilentFirstSenderComesLast(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		first, second := &relay{recorder: recorder{name: "first"}}, &relay{recorder: recorder{name: "second"}}
		silent := func(outbox.Message) error {
			time.Sleep(15 * time.Second)
			return &outbox.SendError{Fault: outbox.SenderDown, Reason: "greeting: no answer in time"}
		}
		first.set(silent, nil)
		h.globalOf(100_000)
		h.withSenders(checked{first}, checked{second})
		for i := range 40 {
			want(t, h.browser().begin(recipient(i)).Verdict, event.Accepted)
		}
		time.Sleep(15*time.Second + time.Millisecond)
		synctest.Wait()
		want(t, second.count(), 40)
		want(t, first.attempts(), 4) // as many as are sent at once
		for i := range 40 {
			h.browser().begin(recipient(100 + i))
			synctest.Wait()
			want(t, second.count(), 41+i) // at once
			time.Sleep(time.Second)
		}
		// After a minute one mail tries it, and the others meanwhile go by the second.
		time.Sleep(30 * time.Second)
		for i := range 10 {
			h.browser().begin(recipient(200 + i))
		}
		synctest.Wait()
		want(t, first.attempts(), 5)
		want(t, second.count(), 89)
		first.set(nil, nil)
		time.Sleep(80 * time.Second)
		for i := range 10 {
			h.browser().begin(recipient(300 + i))
			synctest.Wait()
		}
		want(t, first.count(), 10)
		want(t, h.core.Status().Senders[0].Down, false)
		// A new configuration asks it at once.
		first.set(silent, nil)
		h.browser().begin(recipient(400))
		time.Sleep(16 * time.Second)
		first.set(nil, nil)
		h.reload()
		before := first.count()
		h.browser().begin(recipient(401))
		synctest.Wait()
		want(t, first.count(), before+1)
	})
}

// wide is a relay that says how many mails it bears at a time.
type wide struct {
	*relay
	atOnce int
}

func (w wide) AtOnce() int { return w.atOnce }

// As many mails are handed over at once as the sender bears, half of them to one
// domain; what can't be handed over at once waits.
func TestWorkersFollowTheSender(t *testing.T) {
	for _, n := range []int{1, 2, 4, 20} {
		run(t, func(t *testing.T, h *house) {
			h.globalOf(1000)
			only := &relay{}
			only.set(func(outbox.Message) error { time.Sleep(time.Second); return nil }, nil)
			var sender outbox.Sender = wide{only, n}
			if n == 4 {
				sender = only // it does not say
			}
			h.withSenders(sender)
			for i := range 50 {
				want(t, h.from(fmt.Sprintf("10.0.%d.1", i)).begin(recipient(i)).Verdict, event.Accepted)
			}
			synctest.Wait()
			want(t, only.attempts(), n)
			time.Sleep(time.Minute)
			want(t, only.count(), 50)
			for i := range 50 {
				want(t, h.from(fmt.Sprintf("10.0.%d.1", i)).begin(someone("p%d", i)).Verdict, event.Accepted)
			}
			synctest.Wait()
			want(t, only.attempts()-50, max(1, n/2))
			time.Sleep(time.Minute)
			want(t, only.count(), 100)
		})
	}
}

// 8,000 people within ten seconds got 1,500 times 503: nobody is refused, and mails go
// out as fast as the relay takes them.
func TestACrowdWaits(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.globalOf(100_000)
		only := &relay{}
		// In the short form a slower relay makes as many wait.
		people, second, each := 2000, time.Second/4, 100*time.Millisecond
		if os.Getenv("GATEHOUSE_PROVE") != "" {
			people, second, each = 8000, time.Second, 20*time.Millisecond
		}
		only.set(func(outbox.Message) error { time.Sleep(each); return nil }, nil)
		h.withSenders(wide{only, 10})
		for i := range people {
			want(t, h.from(fmt.Sprintf("10.%d.%d.1", i/250, i%250)).begin(recipient(i)).Verdict, event.Accepted)
			time.Sleep(10 * second / time.Duration(people))
		}
		synctest.Wait()
		if n, most := only.count(), int(10*10*second/each); n < most*9/10 || n > most*11/10 {
			t.Errorf("%d are sent while they come", n)
		}
		time.Sleep(time.Duration(people) * each / 10)
		want(t, only.count(), people)
		want(t, only.attempts(), people)
		want(t, h.core.Status().MailWaiting, 0)
	})
}
