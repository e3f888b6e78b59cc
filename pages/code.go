package pages

import (
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// code shows the form for the code of the browser's sign-in under way.
func code(e *exchange) {
	query := e.r.URL.Query()
	f, err := e.p.service.Flows().Flow(e.r.Context(), e.browser, query.Get("flow"))
	if err != nil {
		e.outage(err)
		return
	}
	if f == nil {
		if e.v.Session != nil {
			e.redirect("/")
			return
		}
		e.redirect(loginPath(origin.ReturnTo{}, e.v.Origin, e.asked) + e.startOver())
		return
	}
	if f.State == event.Used && e.signedInFor(f) {
		// Code or link was used in another tab: this one goes on by itself.
		e.redirect(e.location(f.ReturnTo))
		return
	}
	v := e.codeView(f)
	v.Explain(f.State, f.ResendIn)
	if v.Error == "" && query.Has("resent") {
		v.Note("code.resent")
	}
	switch {
	case !v.HasForm:
	case f.MailDown:
		v.Note("code.mail_down")
	case f.State == event.MailDown:
		v.Note("code.mail_back")
	case f.MailDelayed:
		v.Note("code.mail_delayed")
	}
	v.Titled("code.title")
	e.page(http.StatusOK, v)
}

// screen.StartOver is added to the way back to the sign-in page for a browser that
// comes from there: it has just typed an address, and the flow's cookie is gone.
// Without a word about cookies it would go round in circles.
func (e *exchange) startOver() string {
	if !strings.HasPrefix(e.r.Referer(), e.v.Origin.String()+screen.Root+"login") {
		return ""
	}
	return ifElse(e.asked == "", "?", "&") + screen.StartOver + "=1"
}

// answerCode compares what was typed with the code.
func answerCode(e *exchange) {
	a, err := e.p.service.Flows().AnswerCode(e.r.Context(), e.browser, e.form.get("flow"), e.form.get("code"))
	switch {
	case err != nil:
		e.outage(err)
	case a.Verdict == event.Accepted:
		e.signedIn(a.SignIn)
	case a.Flow == nil:
		e.problem(Problem{Kind: screen.NoFlow})
	default:
		e.codeAgain(a)
	}
}

var answerStatus = map[event.Verdict]int{
	event.Malformed: http.StatusUnprocessableEntity,
	event.Wrong:     http.StatusUnprocessableEntity,
	event.Locked:    http.StatusTooManyRequests,
	event.CodesOff:  http.StatusTooManyRequests,
	event.Limited:   http.StatusTooManyRequests,
	event.MailDown:  http.StatusServiceUnavailable,
	event.Expired:   http.StatusGone,
	event.Used:      http.StatusGone,
}

// codeAgain shows the form again with what came of the answer.
func (e *exchange) codeAgain(a authcore.Answer) {
	v := e.codeView(a.Flow)
	switch a.Verdict {
	case event.Malformed:
		v.State = "malformed"
		v.Fail(ifElse(a.Found == 0, "code.empty", "code.short"), a.Found)
	case event.Wrong:
		v.State = "wrong"
		v.Fail("code.wrong", a.TriesLeft)
	case event.Limited:
		v.Explain(a.Flow.State, a.RetryAfter) // a dead code gets no form
		v.When = e.words.When(a.RetryAfter)
		if v.HasForm {
			v.State = "resend_limited"
			v.Fail("code.resend_limited", 0)
		}
	case event.MailDown:
		v.State = "mail_down"
		v.Fail(ifElse(a.Flow.MailDown, "code.mail_down", "code.mail_back"), 0)
	default:
		if a.Resent {
			v.State = "expired_resent"
			v.Fail("code.expired_resent", 0)
			break
		}
		v.Explain(a.Verdict, a.RetryAfter)
	}
	if status := answerStatus[a.Verdict]; status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		e.retryAfter(max(a.RetryAfter, time.Second))
	}
	v.Titled("code.title")
	e.page(answerStatus[a.Verdict], v)
}

func (e *exchange) codeView(f *authcore.Flow) *screen.View {
	e.speak(f.Language)
	v := e.view("code", e.p.sent())
	v.HasForm, v.Resend, v.Open = true, true, e.p.open
	v.Flow, v.Address, v.Username, v.Digits = f.ID, f.Address.Told(), f.Address.String(), f.Digits
	if f.MailDown || f.State == event.MailDown {
		v.Reference = f.Reference
	}
	v.Delay = int(f.Delay / time.Minute)
	v.Minutes += v.Delay
	v.ResendIn = screen.WholeSeconds(f.ResendIn)
	if f.ResendIn > 0 {
		v.When = e.words.When(f.ResendIn)
	}
	v.Replaces = e.v.Session != nil && e.v.Session.Address != f.Address
	to := f.ReturnTo.Recheck(e.v.Origin, e.p.service.Protects)
	e.leadTo(v, to)
	e.p.look.For(v, to.Origin())
	v.Login = loginPath(to, e.v.Origin, e.asked)
	if e.v.Session != nil && !v.Replaces {
		v.Continue = to.Location(e.v.Origin)
	}
	return v
}

// sent is the state of a form for a code that was sent, or looks as if it was.
func (p *Pages) sent() string { return ifElse(p.open, "sent", "sent_if") }

// signedInFor tells whether the browser's session is the one a sign-in under
// way was about.
func (e *exchange) signedInFor(f *authcore.Flow) bool {
	return e.v.Session != nil && e.v.Session.Address == f.Address
}

// signedIn hands a new session to the browser and sends it where it wanted.
func (e *exchange) signedIn(s *authcore.SignIn) {
	e.jar.setSession(s.Session, s.Token, e.p.service.Now())
	if s.DeviceCookie != "" {
		e.jar.setDevice(s.DeviceCookie)
	}
	if s.Session.Public { // the next user must not see who signed in here
		e.jar.expireFlow()
	}
	e.redirect(e.location(s.ReturnTo))
}
