package authcore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// deaf is a sender that gets mails whole and says nothing within 30 s. What it says
// later, if anything, is sent to later.
type deaf struct {
	relay
	later chan error // nil: the connection is lost
}

func newDeaf(name string, answers bool) *deaf {
	d := &deaf{relay: relay{recorder: recorder{name: name}}}
	if answers {
		d.later = make(chan error)
	}
	d.set(d.silent, nil)
	return d
}

func (d *deaf) silent(outbox.Message) error {
	time.Sleep(30 * time.Second)
	failed := &outbox.SendError{Fault: outbox.Deferred, Maybe: true, Reason: "DATA: no answer in time"}
	if d.later != nil {
		failed.Late = func(ctx context.Context) error {
			select {
			case err := <-d.later:
				return err
			case <-ctx.Done():
				return &outbox.SendError{Fault: outbox.Deferred, Maybe: true, Reason: "DATA: no answer in time"}
			}
		}
	}
	return failed
}

// A server that swallows mails and says nothing got six copies of one, each with
// a Message-ID of its own, while others got 503.
func TestNoAnswerIsNotAskedForAgain(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		only := newDeaf("only", true)
		h.withSenders(checked{&only.relay})
		b := h.browser()
		b.begin(alice)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		wantAll(t, h.outcomes(alice), challenge.OutcomeMaybe)
		status := h.core.Status()
		want(t, status.MailMaybe, 1)
		want(t, status.MailDown, false)
		want(t, status.Senders[0].Down, false)
		// Its worker serves others.
		only.set(nil, nil)
		for i := range 8 {
			want(t, h.browser().begin(recipient(i)).Verdict, event.Accepted)
		}
		synctest.Wait()
		want(t, only.count(), 8)
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		want(t, only.attempts(), 1+8)
		only.later <- nil
		synctest.Wait()
		a := h.attempts(alice)[0]
		wantAll(t, steps(a), challenge.OutcomeQueued, challenge.OutcomeMaybe, challenge.OutcomeAccepted)
		want(t, a.Steps[1].MessageID != "" && a.Steps[1].MessageID == a.Steps[2].MessageID, true)
		want(t, h.core.Status().MailWaiting, 0)
		want(t, h.queued(), 0)
	})
}

// queued counts what the store has of the queue.
func (h *house) queued() (n int) {
	for key := range h.contents() {
		if len(key) > 5 && key[:5] == "mail/" {
			n++
		}
	}
	return n
}

// The next sender gets it once more, and nobody a third time: not later, not after
// a restart, whatever the answers are or that there are none.
func TestNoAnswerIsRepeatedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		answers bool // the connections stay open
		restart bool
	}{
		"held open": {true, false}, "lost": {false, false},
		"held open, restart": {true, true}, "lost, restart": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				first, second := newDeaf("first", c.answers), newDeaf("second", c.answers)
				h.withSenders(first, second)
				h.browser().begin(alice)
				if time.Sleep(45 * time.Second); c.restart { // while the second has it
					h.reopen()
				}
				time.Sleep(9 * time.Minute)
				synctest.Wait()
				want(t, first.attempts(), 1)
				want(t, second.attempts(), 1)
				want(t, h.attempts(alice)[0].Steps[1].Outcome, challenge.OutcomeMaybe)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				want(t, h.core.Status().MailWaiting, 0)
				want(t, h.queued(), 0)
			})
		})
	}
}

// One sender whose connection breaks after the last line is given the mail twice.
func TestALostAnswerIsRepeatedByTheOnlySender(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		only := newDeaf("only", false)
		h.withSenders(only)
		h.browser().begin(alice)
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		want(t, only.attempts(), 2)
		want(t, h.core.Status().MailWaiting, 0)
		want(t, h.queued(), 0)
		a := h.attempts(alice)[0]
		wantAll(t, steps(a), challenge.OutcomeQueued, challenge.OutcomeMaybe)
		want(t, a.Steps[1].Count, 2)
	})
}

// A late no is as good as an early one.
func TestALateRefusal(t *testing.T) {
	for name, c := range map[string]struct {
		later  error
		tries  int // in all
		result challenge.Outcome
	}{
		"for now":  {&outbox.SendError{Fault: outbox.Deferred, Reason: "DATA: 451 later"}, 2, challenge.OutcomeAccepted},
		"for good": {&outbox.SendError{Fault: outbox.Rejected, Reason: "DATA: 554 spam"}, 1, challenge.OutcomeRejected},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				only := newDeaf("only", true)
				h.withSenders(only)
				h.browser().begin(alice)
				time.Sleep(time.Minute)
				only.set(nil, nil)
				only.later <- c.later
				time.Sleep(10 * time.Second)
				synctest.Wait()
				want(t, only.attempts(), c.tries)
				want(t, h.attempts(alice)[0].Outcome, c.result)
				want(t, h.core.Status().MailWaiting, 0)
				want(t, h.queued(), 0)
			})
		})
	}
}

// The first answers while the second has the mail, or has put it off: it is sent.
func TestALateYes(t *testing.T) {
	for name, answer := range map[string]func(outbox.Message) error{
		"while the second has it": func(outbox.Message) error {
			time.Sleep(20 * time.Second)
			return &outbox.SendError{Fault: outbox.Deferred, Reason: "450"}
		},
		"while it waits for the second": func(outbox.Message) error { return &outbox.SendError{Fault: outbox.Deferred, Reason: "450"} },
		"while the second is down":      func(outbox.Message) error { return errors.New("connection refused") },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				first, second := newDeaf("first", true), &relay{recorder: recorder{name: "second"}}
				second.set(answer, nil)
				h.withSenders(first, second)
				h.browser().begin(alice)
				time.Sleep(32 * time.Second)
				synctest.Wait()
				first.later <- nil
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				want(t, first.attempts(), 1)
				want(t, second.attempts(), 1)
				want(t, h.attempts(alice)[0].Outcome, challenge.OutcomeAccepted)
				want(t, h.core.Status().MailWaiting, 0)
				want(t, h.queued(), 0)
			})
		})
	}
}

// A mail that is asked for again is another mail: late answers are about the one before.
func TestAskedForAgainWhileUnanswered(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		only := newDeaf("only", true)
		h.withSenders(only)
		b := h.browser()
		b.begin(alice)
		time.Sleep(61 * time.Second)
		only.set(func(outbox.Message) error { return &outbox.SendError{Fault: outbox.Deferred, Reason: "450"} }, nil)
		want(t, b.resend().Verdict, event.Accepted)
		synctest.Wait()
		want(t, only.attempts(), 2)
		only.later <- nil
		synctest.Wait()
		want(t, h.core.Status().MailWaiting, 1)
		only.set(nil, nil)
		time.Sleep(time.Minute)
		want(t, only.count(), 1)
		want(t, b.answer(only.last(t).Code).Verdict, event.Accepted)
		want(t, h.core.Status().MailWaiting, 0)
		want(t, h.queued(), 0)
	})
}

// A second sender that a configuration brings gets the mail that the first owes an answer for.
func TestASecondSenderForAnUnansweredMail(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		first, second := newDeaf("first", true), &relay{recorder: recorder{name: "second"}}
		h.withSenders(first)
		h.browser().begin(alice)
		time.Sleep(time.Minute)
		h.reload()
		time.Sleep(time.Minute)
		want(t, first.attempts(), 1)
		h.config.Senders = append(h.config.Senders, second)
		h.reload()
		synctest.Wait()
		want(t, first.attempts(), 1)
		want(t, second.count(), 1)
		want(t, h.core.Status().MailWaiting, 0)
	})
}
