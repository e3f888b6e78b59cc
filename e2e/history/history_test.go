package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/history"
)

// What is planted is found, and nothing else.
func TestTheCheckFinds(t *testing.T) {
	at := func(second int) history.Span {
		start := time.Unix(int64(second), 0)
		return history.Span{Start: start, End: start.Add(100 * time.Millisecond), Node: "a"}
	}
	wrong := func(p *history.Person, n int, o history.Outcome) {
		for i := range n {
			p.Answered(history.Answer{Span: at(i), Outcome: o})
		}
	}
	right := func(p *history.Person, second int, o history.Outcome) {
		p.Answered(history.Answer{Span: at(second), Right: true, Outcome: o})
	}
	for name, c := range map[string]struct {
		do   func(*history.Person)
		want string
	}{
		"nothing": {func(*history.Person) {}, ""},
		"a sign-in": {func(p *history.Person) {
			wrong(p, 4, history.Out)
			right(p, 9, history.In)
			right(p, 10, history.Locked)
		}, ""},
		"an answer that is lost": {func(p *history.Person) { right(p, 1, history.Unknown); right(p, 2, history.In) }, ""},
		"a code twice":           {func(p *history.Person) { right(p, 1, history.In); right(p, 2, history.In) }, "accepted 2 times"},
		"a wrong code":           {func(p *history.Person) { wrong(p, 1, history.In) }, "wrong code was accepted"},
		"five wrong ones":        {func(p *history.Person) { wrong(p, 5, history.Out) }, "5 codes were answered as wrong"},
		"a code after five": {func(p *history.Person) {
			wrong(p, 4, history.Out)
			wrong(p, 1, history.Locked)
			right(p, 9, history.In)
		}, "after 5 wrong ones"},
		"a code beside the fifth": {func(p *history.Person) {
			wrong(p, 4, history.Out)
			p.Answered(history.Answer{Span: at(9), Outcome: history.Locked})
			right(p, 9, history.In)
		}, ""},
		"asked again":        {func(p *history.Person) { p.Checked(history.Check{Span: at(1), Outcome: history.Out}) }, "asked again"},
		"an outage":          {func(p *history.Person) { p.Checked(history.Check{Span: at(1), Outcome: history.Unknown}) }, ""},
		"asked after an end": {func(p *history.Person) { p.Ended(at(1)); p.Checked(history.Check{Span: at(2), Outcome: history.Out}) }, ""},
		"asked beside its end": {func(p *history.Person) {
			p.Ended(at(1))
			p.Checked(history.Check{Span: at(1), Outcome: history.Out})
		}, ""},
		"let in soon after":  {func(p *history.Person) { p.Ended(at(1)); p.Checked(history.Check{Span: at(3), Outcome: history.In}) }, ""},
		"let in late after":  {func(p *history.Person) { p.Ended(at(1)); p.Checked(history.Check{Span: at(4), Outcome: history.In}) }, "2.9s after its end"},
		"let in before that": {func(p *history.Person) { p.Checked(history.Check{Span: at(0), Outcome: history.In}); p.Ended(at(1)) }, ""},
	} {
		h := &history.History{Tries: 5, Heard: 2 * time.Second}
		c.do(h.Person("p"))
		got := strings.Join(h.Broken(), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
