package pages

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// link shows what a link from a mail is for. It changes nothing, however often
// it is opened: mail scanners open links, and click on what they see.
func link(e *exchange) {
	found, err := e.p.service.Flows().Link(e.r.Context(), e.browser, e.token)
	if err != nil {
		e.outage(err)
		return
	}
	switch found.Verdict {
	case event.Accepted, event.CodesOff:
		e.linkPage(http.StatusOK, found)
	case event.OtherBrowser:
		e.linkElsewhere(http.StatusOK, found)
	default:
		e.linkDead(found)
	}
}

// answerLink signs in, in the browser that asked for the link.
func answerLink(e *exchange) {
	a, err := e.p.service.Flows().AnswerLink(e.r.Context(), e.browser, e.token)
	if err != nil {
		e.outage(err)
		return
	}
	if a.Verdict == event.Accepted {
		e.signedIn(a.SignIn)
		return
	}
	found, err := e.p.service.Flows().Link(e.r.Context(), e.browser, e.token)
	switch {
	case err != nil:
		e.outage(err)
	case a.Verdict == event.OtherBrowser:
		e.linkElsewhere(http.StatusForbidden, found)
	default:
		found.Verdict = a.Verdict
		e.linkDead(found)
	}
}

// linkPage offers the button that signs in.
func (e *exchange) linkPage(status int, found authcore.LinkView) {
	v := e.linkView("ready", found)
	v.HasForm = true
	if f := found.Flow; f != nil {
		v.Flow = f.ID
		e.leadTo(v, f.ReturnTo.Recheck(e.v.Origin, e.p.service.Protects))
	}
	v.Replaces = e.v.Session != nil && e.v.Session.Address != found.Address
	v.Titled("link.title")
	e.page(status, v)
}

// linkElsewhere tells somebody who opened the link in another browser where to
// finish. Nothing on it signs in: whoever asked may not be whoever reads.
func (e *exchange) linkElsewhere(status int, found authcore.LinkView) {
	v := e.linkView(ifElse(found.HasCode, "elsewhere", "elsewhere_link"), found)
	v.Titled("link.elsewhere.title")
	e.page(status, v)
}

func (e *exchange) linkDead(found authcore.LinkView) {
	v := e.linkView("", found)
	v.Address, v.Username = "", ""
	v.Dead(found.Verdict)
	f := found.Flow
	switch {
	case e.v.Session != nil && f != nil && e.signedInFor(f):
		v.Continue = e.location(f.ReturnTo)
	case e.v.Session != nil:
		v.Continue = "/"
	case f != nil && found.Verdict != event.Used:
		v.Flow, v.Resend = f.ID, true // the address need not be typed again
	}
	e.page(http.StatusGone, v)
}

func (e *exchange) linkView(state string, found authcore.LinkView) *screen.View {
	e.speak(found.Language)
	v := e.view("link", state)
	e.p.look.For(v, found.For)
	v.Address, v.Username = found.Address.Display(), found.Address.String()
	v.AskedAt = screen.UTC(found.AskedAt)
	v.Agent, v.Network = e.words.Agent(found.Agent), screen.Near(found.Network)
	return v
}
