package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// many is how many answers come at once.
const many = 200

// manyAnswers sends the same answer to a code page many times, all with the cookies
// that v has now, and returns the statuses with how often each came.
func (v *visitor) manyAnswers(code string) map[int]int {
	v.Helper()
	cookies := "gatehouse-flow=" + v.cookie("gatehouse-flow")
	form := url.Values{"code": {code}}.Encode()
	alone := *v
	client := *v.client
	client.Jar = nil
	alone.client = &client
	statuses := make(chan int, many)
	var ready, all sync.WaitGroup
	begin := make(chan struct{})
	for range many {
		ready.Add(1)
		all.Go(func() {
			ready.Done()
			<-begin
			a := alone.do(http.MethodPost, "/_gatehouse/code", strings.NewReader(form), "Cookie", cookies,
				"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
			statuses <- a.StatusCode
		})
	}
	ready.Wait()
	close(begin)
	all.Wait()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	return count
}

// Of many right answers one makes a session: two would mean that whoever saw
// the code could use it beside the person.
func TestConcurrentRightCodes(t *testing.T) {
	s := start(t, plan{})
	for range rounds(1, 50) {
		v := s.visitor()
		code := v.begin(person("alice")).Code(t)
		count := v.manyAnswers(code)
		if count[http.StatusSeeOther] != 1 || count[http.StatusGone] != many-1 {
			t.Errorf("of %d right answers: %v; want one 303, the rest 410", many, count)
		}
	}
}

// Of many wrong answers five are tried, however they race: each more is a
// better chance for who guesses.
func TestConcurrentWrongCodes(t *testing.T) {
	s := start(t, plan{})
	for range rounds(1, 50) {
		v := s.visitor()
		code := v.begin(person("alice")).Code(t)
		count := v.manyAnswers(wrong(code))
		if count[http.StatusUnprocessableEntity] != 4 || count[http.StatusTooManyRequests] != many-4 {
			t.Errorf("of %d wrong answers: %v; want four 422, the rest 429", many, count)
		}
		v.post("/_gatehouse/code", "code", code).must(t, http.StatusTooManyRequests)
	}
}

// A decoy answers like a real sign-in, to the last try.
func TestNobodyLearnsWhoMaySignIn(t *testing.T) {
	s := start(t, plan{site: "gatehouse *@example.com\nreverse_proxy APP"})
	answers := func(address string) (all []string) {
		v := s.visitor()
		note := func(a *answer) {
			text := strings.ReplaceAll(a.body, address, "ADDRESS")
			for _, hidden := range []string{v.cookie("gatehouse-flow"), formFlow(text)} {
				if hidden != "" {
					text = strings.ReplaceAll(text, hidden, "RANDOM")
				}
			}
			all = append(all, a.Status+" "+a.Header.Get("Location")+"\n"+text)
		}
		note(v.post("/_gatehouse/login", "email", address))
		note(v.get("/_gatehouse/code"))
		for range 6 {
			note(v.post("/_gatehouse/code", "code", "000000"))
		}
		return all
	}
	known, unknown := answers(person("alice")), answers("alice@elsewhere.example")
	for i := range known {
		if known[i] != unknown[i] {
			t.Errorf("step %d differs:\n%s\n--- and for an address that may not sign in:\n%s", i, known[i], unknown[i])
		}
	}
}

// formFlow is the random name of the sign-in in a page's form.
func formFlow(page string) string {
	_, rest, _ := strings.Cut(page, `name="flow" value="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
