package authcore_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
)

func TestCodeSignsIn(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		signIn := b.signIn(alice)
		want(t, signIn.Session.Address, alice)
		want(t, signIn.ReturnTo.Path(), "/page")
		session, err := h.service.Sessions().Check(t.Context(), signIn.Token, site)
		want(t, err, nil)
		want(t, session.ID, signIn.Session.ID)
		want(t, session.Method(), "code")
		elsewhere, _ := h.service.Sessions().Check(t.Context(), signIn.Token, other)
		want(t, elsewhere, nil)
		// The link of the same mail died with the code.
		want(t, b.link(tokenOf(h.sender.last(t))).Verdict, event.Used)
	})
}

func TestLinkNeedsTheBrowserThatAsked(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b, phone := h.browser(), h.browser()
		b.begin(alice)
		mail := h.sender.last(t)
		want(t, phone.link(tokenOf(mail)).Verdict, event.OtherBrowser)
		view, err := h.service.Flows().Link(t.Context(), phone.Browser, tokenOf(mail))
		want(t, err, nil)
		want(t, view.Verdict, event.OtherBrowser)
		want(t, view.HasCode, true)
		out := b.link(tokenOf(mail))
		want(t, out.Verdict, event.Accepted)
		want(t, out.SignIn.Session.Method(), "link")
		want(t, b.answer(mail.Code).Verdict, event.Used)
		for _, bad := range []string{"", "x", tokenOf(mail)[1:], tokenOf(mail) + "A", strings.ToUpper(tokenOf(mail)), tokenOf(mail) + "="} {
			want(t, b.link(bad).Verdict, event.Unknown)
		}
	})
}

func TestFiveWrongCodesKillCodeAndLink(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		mail := h.sender.last(t)
		want(t, b.answer("12345").Verdict, event.Malformed)
		for left := 4; left >= 1; left-- {
			out := b.answer(wrong(mail.Code))
			want(t, out.Verdict, event.Wrong)
			want(t, out.TriesLeft, left)
		}
		want(t, b.answer(wrong(mail.Code)).Verdict, event.Locked)
		want(t, b.answer(mail.Code).Verdict, event.Locked)
		want(t, b.link(tokenOf(mail)).Verdict, event.Locked)
	})
}

// A new code must not give new tries: after ten wrong codes in a day, code
// entry is off for strangers' browsers, and the link still works, so that
// nobody can lock a person out.
func TestFailuresOverAllChallenges(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		home := h.browser()
		home.signIn(alice)
		time.Sleep(2 * time.Hour)
		b := h.browser()
		for range 2 {
			b.begin(alice)
			mail := h.sender.last(t)
			for range 4 {
				want(t, b.answer(wrong(mail.Code)).Verdict, event.Wrong)
			}
			want(t, b.answer(wrong(mail.Code)).Verdict, event.Locked)
			time.Sleep(2 * time.Hour)
		}
		b.begin(alice)
		mail := h.sender.last(t)
		want(t, mail.Code, "")
		want(t, b.answer("123456").Verdict, event.CodesOff)
		// The person's own browser has tries of its own.
		home.begin(alice)
		if h.sender.last(t).Code == "" {
			t.Fatal("guessing elsewhere switched codes off in a browser that has proved the address")
		}
		want(t, b.link(tokenOf(mail)).Verdict, event.Accepted)
		time.Sleep(24 * time.Hour)
		b = h.browser()
		b.begin(alice)
		if h.sender.last(t).Code == "" {
			t.Fatal("codes are still off a day later")
		}
	})
}

func TestRightAnswersRace(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		code := h.sender.code(t)
		var won, used atomic.Int32
		parallel(200, func(int) {
			out, err := h.service.Flows().AnswerCode(t.Context(), b.Browser, "", code)
			switch {
			case err != nil:
				t.Error(err)
			case out.Verdict == event.Accepted:
				won.Add(1)
			case out.Verdict == event.Used:
				used.Add(1)
			}
		})
		want(t, won.Load(), 1)
		want(t, used.Load(), 199)
	})
}

func TestWrongAnswersRace(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		code := h.sender.code(t)
		var counted atomic.Int32
		parallel(200, func(int) {
			out, err := h.service.Flows().AnswerCode(t.Context(), b.Browser, "", wrong(code))
			if err != nil {
				t.Error(err)
			}
			if out.Verdict == event.Wrong {
				counted.Add(1)
			}
		})
		want(t, counted.Load(), 4) // and the fifth, which locked it
		want(t, b.answer(code).Verdict, event.Locked)
	})
}

func parallel(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func TestDecoyLooksTheSame(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		known, unknown := h.browser(), h.browser()
		want(t, known.begin(alice).Verdict, unknown.begin(mal).Verdict)
		code := h.sender.code(t)
		want(t, h.sender.count(), 1)
		for range 7 {
			a, b := known.answer(wrong(code)), unknown.answer(wrong(code))
			want(t, a.Verdict, b.Verdict)
			want(t, a.TriesLeft, b.TriesLeft)
			want(t, a.RetryAfter.Round(time.Second), b.RetryAfter.Round(time.Second))
		}
		want(t, known.begin(alice).Verdict, event.Limited)
		want(t, unknown.begin(mal).Verdict, event.Limited)
	})
}

func TestNoCodeFitsADecoy(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(mal)
		flow, err := h.service.Flows().Flow(t.Context(), b.Browser, "")
		want(t, err, nil)
		want(t, b.answer(h.secrets.Current.CodeFor(flow.Challenge, 6)).Verdict, event.Wrong)
		want(t, h.sender.count(), 0)
	})
}

func TestStartAgainSendsNothing(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		first := h.sender.last(t)
		for range 5 {
			want(t, b.begin(alice).Verdict, event.Accepted)
		}
		h.sender.last(t)
		want(t, h.sender.count(), 1)
		want(t, b.answer(first.Code).Verdict, event.Accepted)
	})
}

func TestTwoTabs(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		bob := mustAddress("bob@example.com")
		one := b.begin(alice)
		first := h.sender.last(t)
		two := b.begin(bob)
		second := h.sender.last(t)
		want(t, one.FlowCookie, two.FlowCookie)
		out, err := h.service.Flows().AnswerCode(t.Context(), b.Browser, one.Flow, first.Code)
		want(t, err, nil)
		want(t, out.SignIn.Session.Address, alice)
		b.Session = out.SignIn.Session
		token := out.SignIn.Token
		out, err = h.service.Flows().AnswerCode(t.Context(), b.Browser, two.Flow, second.Code)
		want(t, err, nil)
		want(t, out.SignIn.Session.Address, bob)
		want(t, h.live(token, site), false)
		want(t, h.live(out.SignIn.Token, site), true)
	})
}

// Two sites on one host share the flow cookie, because ports don't part
// cookies. What was asked for at one must not sign in at the other.
func TestOneSitesCodeIsNoneOfAnothers(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		mail := h.sender.last(t)
		elsewhere := &tab{h, b.Browser}
		elsewhere.Origin = other
		want(t, elsewhere.answer(mail.Code).Verdict, event.NoFlow)
		want(t, elsewhere.link(tokenOf(mail)).Verdict, event.OtherBrowser)
		want(t, elsewhere.begin(mustAddress("bob@example.com")).Verdict, event.Accepted)
		want(t, b.answer(mail.Code).Verdict, event.Accepted) // the newest of this site
	})
}

func TestResend(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		first := h.sender.last(t)
		out := b.resend()
		want(t, out.Verdict, event.Limited)
		want(t, out.RetryAfter, time.Minute)
		b.answer(wrong(first.Code))
		time.Sleep(time.Minute)
		want(t, b.resend().Verdict, event.Accepted)
		again := h.sender.last(t)
		want(t, h.sender.count(), 2)
		want(t, again.Code, first.Code)
		want(t, again.Link, first.Link)
		want(t, b.answer(wrong(first.Code)).TriesLeft, 3)
	})
}

func TestExpired(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		first := h.sender.last(t)
		time.Sleep(10*time.Minute - time.Second)
		want(t, b.answer(wrong(first.Code)).Verdict, event.Wrong)
		time.Sleep(time.Second)
		want(t, b.link(tokenOf(first)).Verdict, event.Expired)
		out := b.answer(first.Code)
		want(t, out.Verdict, event.Expired)
		want(t, out.Resent, true)
		second := h.sender.last(t)
		if second.Code == first.Code || second.Link == first.Link {
			t.Fatal("the new mail repeats the old secrets")
		}
		want(t, b.answer(second.Code).Verdict, event.Accepted)
	})
}
