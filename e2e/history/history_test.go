package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/e2e/history"
)

// What is planted is found, and nothing else.
func TestTheCheckFinds(t *testing.T) {
	at := func(second int) history.Span { return span("a", second) }
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
		"a code twice":           {func(p *history.Person) { right(p, 1, history.In); right(p, 2, history.In) }, "accepted twice"},
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
		"wrong ones of the next code": {func(p *history.Person) {
			wrong(p, 4, history.Out)
			p.Answered(history.Answer{Span: at(9), Right: true, Outcome: history.Void})
			p.Answered(history.Answer{Span: at(10), Outcome: history.Out})
		}, ""},
	} {
		h := &history.History{Tries: 5, Heard: 2 * time.Second}
		c.do(h.Person("p"))
		got := strings.Join(h.Broken(), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A node that is cut off has until it is back to hear of an ending, and a minute at most.
func TestTheCheckFindsWhatIsNotHeardOf(t *testing.T) {
	for _, c := range []struct {
		node       string
		cut, until int // seconds; the ending is confirmed at 10.1
		in         int
		want       string
	}{
		{"a", 5, 30, 32, ""},
		{"a", 5, 30, 33, "a let the session in 22.9s after its end"},
		{"b", 5, 30, 13, "b let the session in 2.9s"},
		{"a", 12, 30, 31, ""}, // cut off before it had to know
		{"a", 13, 30, 13, "a let the session in 2.9s"},
		{"a", 1, 9, 13, "a let the session in 2.9s"},
		{"a", 5, 100, 70, ""},
		{"a", 5, 100, 71, "a let the session in 1m0.9s"},
		{"a", 11, 100, 72, "a let the session in 1m1.9s"},
		{"a", 5, 100, 101, "a let the session in 1m30.9s"},
	} {
		h := &history.History{Heard: 2 * time.Second, Blind: time.Minute}
		p := h.Person("p")
		p.Ended(span("b", 10))
		h.Cut(history.Span{Start: time.Unix(int64(c.cut), 0), End: time.Unix(int64(c.until), 0), Node: "a"})
		p.Checked(history.Check{Span: span(c.node, c.in), Outcome: history.In})
		if got := strings.Join(h.Broken(), "; "); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
	h := &history.History{}
	h.Cut(history.Span{Start: time.Unix(1, 0), End: time.Unix(9, 0), Node: "a"})
	h.Person("p").Checked(history.Check{Span: span("a", 5), Outcome: history.Out})
	if len(h.Broken()) != 1 {
		t.Error("a node that is cut off may ask nobody again")
	}
}

// The store loses what was done from 10 to 20, and is whole again at 24. Nodes a and b
// have written into what is lost, and c has not; d has, and is gone.
func TestTheCheckFindsWhatIsForgotten(t *testing.T) {
	accepted := func(p *history.Person, node string, second int) {
		p.Answered(history.Answer{Span: span(node, second), Right: true, Outcome: history.In})
	}
	wrong := func(p *history.Person, node string, seconds ...int) {
		for _, s := range seconds {
			p.Answered(history.Answer{Span: span(node, s), Outcome: history.Out})
		}
	}
	checked := func(p *history.Person, node string, second int, o history.Outcome) {
		p.Checked(history.Check{Span: span(node, second), Outcome: o})
	}
	for name, c := range map[string]struct {
		do   func(*history.Person)
		want string
	}{
		"a code at a node that knew":                   {func(p *history.Person) { accepted(p, "a", 15); accepted(p, "b", 21) }, "accepted twice, at b and a"},
		"a code at the same":                           {func(p *history.Person) { accepted(p, "a", 15); accepted(p, "a", 22) }, "accepted twice"},
		"a code at a node that can't know":             {func(p *history.Person) { accepted(p, "a", 15); accepted(p, "c", 21) }, ""},
		"a code there, once it must":                   {func(p *history.Person) { accepted(p, "a", 15); accepted(p, "c", 25) }, "accepted twice"},
		"a code from long before there":                {func(p *history.Person) { accepted(p, "a", 5); accepted(p, "c", 21) }, "accepted twice"},
		"a code twice at a node that can't know":       {func(p *history.Person) { accepted(p, "c", 21); accepted(p, "c", 22) }, "accepted twice"},
		"a code of a node that is gone":                {func(p *history.Person) { accepted(p, "d", 15); accepted(p, "a", 30) }, ""},
		"a code at a node that is gone later":          {func(p *history.Person) { accepted(p, "a", 15); accepted(p, "d", 30) }, "accepted twice"},
		"wrong ones on both sides":                     {func(p *history.Person) { wrong(p, "a", 15, 16, 17); wrong(p, "b", 21, 22) }, "5 codes were answered as wrong"},
		"wrong ones that c can't know of":              {func(p *history.Person) { wrong(p, "a", 15, 16, 17); wrong(p, "c", 21, 22) }, ""},
		"wrong ones that d took along":                 {func(p *history.Person) { wrong(p, "a", 5, 6, 7); wrong(p, "d", 15); accepted(p, "a", 31) }, ""},
		"five that d did not take along":               {func(p *history.Person) { wrong(p, "a", 5, 6, 7, 8, 16); accepted(p, "b", 31) }, "after 5 wrong ones"},
		"asked again by a node that can't know":        {func(p *history.Person) { accepted(p, "a", 15); checked(p, "c", 23, history.Out) }, ""},
		"asked again by a node that knew":              {func(p *history.Person) { accepted(p, "a", 15); checked(p, "b", 23, history.Out) }, "b asked again"},
		"asked again, and put back":                    {func(p *history.Person) { accepted(p, "a", 15); checked(p, "b", 25, history.Out) }, "b asked again"},
		"asked again, and never lost":                  {func(p *history.Person) { accepted(p, "a", 9); checked(p, "b", 21, history.Out) }, "b asked again"},
		"asked again whom d took along":                {func(p *history.Person) { accepted(p, "d", 15); checked(p, "b", 25, history.Out) }, ""},
		"an ending not heard of yet":                   {func(p *history.Person) { p.Ended(span("a", 15)); checked(p, "b", 25, history.In) }, ""},
		"an ending to be heard of":                     {func(p *history.Person) { p.Ended(span("a", 15)); checked(p, "b", 27, history.In) }, "11.9s after its end"},
		"an ending just before one loss after another": {func(p *history.Person) { p.Ended(span("a", 39)); checked(p, "b", 41, history.In) }, ""},
		"and after several of them":                    {func(p *history.Person) { p.Ended(span("a", 36)); checked(p, "b", 45, history.In) }, "8.9s after its end"},
		"an ending that is lost in one of them":        {func(p *history.Person) { p.Ended(span("a", 40)); checked(p, "b", 45, history.In) }, ""},
		"and after the next one":                       {func(p *history.Person) { p.Ended(span("a", 40)); checked(p, "b", 47, history.In) }, "6.9s after its end"},
		"an ending that all had heard of":              {func(p *history.Person) { p.Ended(span("a", 7)); checked(p, "b", 22, history.In) }, "14.9s after its end"},
		"no session to end, as far as c knew": {func(p *history.Person) {
			accepted(p, "a", 15)
			p.Ended(span("c", 21))
			checked(p, "b", 30, history.In)
		}, ""},
		"an ending on the way":                              {func(p *history.Person) { p.Ended(span("a", 9)); checked(p, "b", 11, history.In) }, ""},
		"an ending on the way, with all the time there was": {func(p *history.Person) { p.Ended(span("a", 9)); checked(p, "b", 12, history.In) }, "2.9s after its end"},
		"an ending after all of it":                         {func(p *history.Person) { p.Ended(span("a", 25)); checked(p, "b", 28, history.In) }, "2.9s after its end"},
		"an ending that d took along":                       {func(p *history.Person) { p.Ended(span("d", 19)); checked(p, "b", 40, history.In) }, ""},
		"an ending of d that all had heard of":              {func(p *history.Person) { p.Ended(span("d", 15)); checked(p, "b", 40, history.In) }, "24.9s after its end"},
	} {
		h := &history.History{Tries: 5, Heard: 2 * time.Second, Blind: time.Minute}
		second := func(n int) time.Time { return time.Unix(int64(n), 0) }
		h.Lost(history.Loss{From: second(10), Gone: second(11), Back: second(20), Until: second(20), Whole: second(24), Dead: []string{"d"}})
		for _, node := range []string{"a", "b", "d"} {
			h.Wrote(span(node, 18))
		}
		// Later losses change nothing of that.
		for at := 40; at < 60; at += 3 {
			h.Lost(history.Loss{From: second(at), Gone: second(at), Back: second(at + 1), Until: second(at + 1), Whole: second(at + 2)})
		}
		h.Wrote(span("c", 9))
		h.Wrote(span("c", 23))
		c.do(h.Person("p"))
		if got := strings.Join(h.Broken(), "; "); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// span is a tenth of a second.
func span(node string, second int) history.Span {
	start := time.Unix(int64(second), 0)
	return history.Span{Start: start, End: start.Add(100 * time.Millisecond), Node: node}
}
