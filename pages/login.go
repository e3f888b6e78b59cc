package pages

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// login shows the form for an address. It takes back cookies of which there
// are two, so that the next sign-in is not spoilt by one that a neighbouring
// host has planted.
func login(e *exchange) {
	if e.v.SessionCookies > 1 && e.v.Session == nil {
		e.jar.expireSession()
	}
	if e.twoFlows {
		e.jar.expireFlow()
	}
	v := e.loginForm()
	e.sayWhyEnded(v)
	e.page(http.StatusOK, v)
}

// sayWhyEnded tells whoever was signed out elsewhere why they are asked to sign in:
// else the form is all that they see.
func (e *exchange) sayWhyEnded(v *screen.View) {
	if e.v.Session != nil || len(e.browser.Held) == 0 || v.Notice != "" {
		return
	}
	reason, err := e.p.service.Core().Sessions().EndedBy(e.r.Context(), e.browser.Held)
	if err != nil {
		e.p.log.Warn("the sign-in page does not say why it is shown: the store can't be read", "error", err)
	}
	switch reason {
	case session.RevokedByOperator:
		v.Note("login.revoked")
	case session.EndedByOwner:
		v.Note("login.ended")
	}
}

// loginForm is the sign-in page as its address asks for it.
func (e *exchange) loginForm() *screen.View {
	query := e.r.URL.Query()
	to := origin.ParseReturnTo(query.Get("return_to"), e.v.Origin, e.p.service.Protects)
	v := e.loginView(to)
	if hint, err := address.Parse(query.Get("login_hint")); err == nil {
		v.Email = hint.String()
	}
	switch s := e.v.Session; {
	case s == nil:
	case query.Has("max_age"): // a site wants a fresh proof of the same person
		v.State, v.Email = "again", s.Address.String()
	default:
		v.State, v.Continue = "signed_in", to.Location(e.v.Origin)
	}
	if query.Has(screen.StartOver) && e.v.Session == nil {
		v.Note("problem.no_flow")
	}
	if query.Set("return_to", v.ReturnTo); v.ReturnTo == "" {
		query.Del("return_to")
	}
	e.p.look.Offer(v, query)
	return v
}

// startLogin starts a sign-in for an address. It answers alike whether or not
// the address may sign in.
func startLogin(e *exchange) {
	to := origin.ParseReturnTo(e.form.get("return_to"), e.v.Origin, e.p.service.Protects)
	v := e.loginView(to)
	v.Email, v.Public = e.form.get("email"), e.form.get("public") == "on"
	address, err := address.Parse(v.Email)
	if err != nil {
		v.State = "malformed"
		v.Fail(ifElse(v.Email == "", "login.empty", "login.malformed"), 0)
		e.loginAgain(http.StatusUnprocessableEntity, v)
		return
	}
	begun, err := e.p.service.Flows().Begin(e.r.Context(), e.browser, authcore.Start{Address: address, ReturnTo: to, Language: e.words.Lang(), Public: e.form.get("public") == "on"})
	if err != nil {
		e.outage(err)
		return
	}
	switch begun.Verdict {
	case event.Accepted:
		e.jar.setFlow(begun.FlowCookie)
		e.redirect(screen.Root + "code")
	case event.MailDown:
		e.jar.setFlow(begun.FlowCookie)
		v.State, v.Reference = "mail_down", begun.Reference
		v.Fail("login.mail_down", 0)
		e.retryAfter(begun.RetryAfter)
		e.loginAgain(http.StatusServiceUnavailable, v)
	default:
		v.State, v.When = "limited", e.words.When(begun.RetryAfter)
		v.Fail("login.limited", 0)
		e.retryAfter(begun.RetryAfter)
		e.loginAgain(http.StatusTooManyRequests, v)
	}
}

func (e *exchange) loginView(to origin.ReturnTo) *screen.View {
	v := e.view("login", "form")
	if v.ReturnTo = to.Location(e.v.Origin); v.ReturnTo == "/" {
		v.ReturnTo = ""
	}
	e.leadTo(v, to)
	e.p.look.For(v, to.Origin())
	v.Titled("login.title")
	return v
}

// loginAgain shows the form again with what was typed.
func (e *exchange) loginAgain(status int, v *screen.View) {
	v.Titled("login.title")
	query := url.Values{}
	if v.ReturnTo != "" {
		query.Set("return_to", v.ReturnTo)
	}
	e.p.look.Offer(v, query)
	e.page(status, v)
}

func ifElse(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}
