package pages

import (
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
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
		v.target = f.ReturnTo.Recheck(e.v.Origin, e.p.service.Protects).Origin()
	}
	v.Replaces = e.v.Session != nil && e.v.Session.Address != found.Address
	v.titled("link.title")
	e.page(status, v)
}

// linkElsewhere tells somebody who opened the link in another browser where to
// finish. Nothing on it signs in: whoever asked may not be whoever reads.
func (e *exchange) linkElsewhere(status int, found authcore.LinkView) {
	v := e.linkView(ifElse(found.HasCode, "elsewhere", "elsewhere_link"), found)
	v.titled("link.elsewhere.title")
	e.page(status, v)
}

func (e *exchange) linkDead(found authcore.LinkView) {
	v := e.linkView("", found)
	v.Address, v.Username = "", ""
	v.dead(found.Verdict)
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

// dead says why a link does nothing any more.
func (v *View) dead(why event.Verdict) {
	key := "link.expired"
	switch why {
	case event.Used:
		v.State, key = "used", "link.used"
	case event.Locked:
		v.State, key = "locked", "link.locked"
	case event.Expired:
		v.State = "expired"
	default:
		v.State, key = "unknown", "link.unknown"
	}
	v.headed(v.words.say(key, v.Minutes, v.value))
}

func (e *exchange) linkView(state string, found authcore.LinkView) *View {
	e.speak(found.Language)
	v := e.view("link", state)
	v.Address, v.Username = found.Address.Display(), found.Address.String()
	v.AskedAt = utc(found.AskedAt)
	v.Agent, v.Network = e.words.agent(found.Agent), near(found.Network)
	return v
}

// utc writes a time the same way in every language.
func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 ") + "UTC"
}

// agent names browser and system, as far as the User-Agent tells.
func (c *catalog) agent(userAgent string) string {
	browser, system := parseAgent(userAgent)
	switch {
	case browser != "" && system != "":
		return c.say("agent", 0, given("browser", browser, "system", system))
	case browser == "" && system == "":
		return c.say("agent.unknown", 0, nil)
	}
	return strings.TrimSpace(browser + system)
}
