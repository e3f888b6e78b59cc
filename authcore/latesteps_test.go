package authcore

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestLateStepsComeWhereTheyBelong(t *testing.T) {
	at := func(n int, o Outcome, sender string) Step {
		return Step{At: time.Unix(int64(n), 0), Outcome: o, Sender: sender}
	}
	queued, used := at(1, OutcomeQueued, ""), at(9, OutcomeUsed, "")
	for _, c := range []struct {
		late, want []Step
	}{
		{nil, []Step{queued, used}},
		{[]Step{at(3, OutcomeAccepted, "a")}, []Step{queued, at(3, OutcomeAccepted, "a"), used}},
		{[]Step{at(3, OutcomeAccepted, "a"), used}, []Step{queued, at(3, OutcomeAccepted, "a"), used}},
		{[]Step{at(5, OutcomeLinkOpened, ""), at(3, OutcomeAccepted, "b")}, []Step{queued, at(3, OutcomeAccepted, "b"), at(5, OutcomeLinkOpened, ""), used}},
	} {
		r := &attemptRecord{Steps: []Step{queued, used}}
		for range 2 { // the second time changes nothing
			r.insert(c.late)
			if !slices.Equal(r.Steps, c.want) {
				t.Errorf("%v becomes %v, want %v", c.late, r.Steps, c.want)
			}
		}
	}
}

// Mails that were taken leave room for links that were opened.
func TestLateStepsAreBounded(t *testing.T) {
	var l lateSteps
	held := func(o Outcome) (n int) {
		for i := range 2 * lateSize {
			if l.add(fmt.Sprint(o, i), "", Step{Outcome: o}) {
				n++
			}
		}
		return n
	}
	if taken, opened := held(OutcomeAccepted), held(OutcomeLinkOpened); taken != lateSize/2 || opened != lateSize/2 {
		t.Errorf("%d and %d are held", taken, opened)
	}
	first := fmt.Sprint(OutcomeAccepted, 0)
	l.add(first, "", Step{At: time.Unix(5, 0), Outcome: OutcomeAccepted})
	l.written(first, []Step{{Outcome: OutcomeAccepted}})
	if left := l.of(first); len(left) != 1 || left[0].At.IsZero() {
		t.Errorf("what came meanwhile is lost: %v", left)
	}
	l.written(first, l.of(first))
	if len(l.of(first)) != 0 || len(l.held) != lateSize-1 {
		t.Error("what was written is still held")
	}
}
