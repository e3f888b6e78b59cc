package pages

import (
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// A site with a portal has no sign-in of its own. Its login page marks the
// browser and sends it to the portal; the portal gives a ticket for exactly
// that browser, site and address; the site takes the ticket and sets its own
// cookie. Each step is a redirect, and none of them leads on when something is
// missing: a browser without cookies ends at a page that says so.
//
//	site    GET /_gatehouse/login                → portal
//	portal  GET /_gatehouse/handover?site=…      → login there, or a ticket
//	site    GET /_gatehouse/handover/{ticket}    → where the visitor wanted to be

// leaves tells whether sign-in is at another host.
func (e *exchange) leaves() bool {
	return !e.v.Portal.IsZero() && e.v.Portal != e.v.Origin
}

// sharesCookie tells whether a session of the portal is one here too.
func (e *exchange) sharesCookie() bool {
	return e.v.Portal.Audience(e.p.domain()) == e.v.Origin.Audience(e.p.domain())
}

// elsewhere are the steps that a site with a portal leaves to the portal.
func (e *exchange) elsewhere(name string) bool {
	switch name, _, _ := strings.Cut(name, "/"); name {
	case "login", "code", "resend", "link", "not-me":
		return e.leaves()
	}
	return false
}

// leave sends the browser to the portal.
func (e *exchange) leave() {
	switch {
	case e.r.Method != http.MethodGet && e.r.Method != http.MethodHead:
		e.redirect(screen.Root + "login")
	case e.sharesCookie():
		e.redirect(e.v.Portal.String() + screen.Root + "login?" + e.carry(url.Values{"return_to": {e.returnTo().String()}}))
	default:
		cookie, state := e.p.service.Sessions().HandoverState(e.browser)
		e.jar.setFlow(cookie)
		e.redirect(e.v.Portal.String() + screen.Root + "handover?" + e.carry(url.Values{
			"site": {e.v.Origin.String()}, "return_to": {e.returnTo().Path()}, "state": {state},
		}))
	}
}

func (e *exchange) returnTo() origin.ReturnTo {
	return origin.ParseReturnTo(e.r.URL.Query().Get("return_to"), e.v.Origin, e.p.service.Protects)
}

// carry adds what the login page at the portal should know too.
func (e *exchange) carry(q url.Values) string {
	asked := e.r.URL.Query()
	for _, name := range []string{"max_age", "login_hint", "ui_locales"} {
		if asked.Has(name) {
			q.Set(name, asked.Get(name))
		}
	}
	return q.Encode()
}

// giveTicket hands the visitor's session over to another site, or leads to the
// login form first. From there the browser goes to the site, which asks again.
func giveTicket(e *exchange) {
	q := e.r.URL.Query()
	site, err := origin.Parse(q.Get("site"))
	if err != nil || !e.v.IsPortal || !e.p.service.Protects(site) {
		e.problem(Problem{Kind: screen.BadOrigin, Detail: "The site in the address is none that signs in here: " + strconv.QuoteToASCII(short(q.Get("site")))})
		return
	}
	to := origin.ParseReturnTo(q.Get("return_to"), site, nil)
	if to.Origin() != site {
		to = origin.ParseReturnTo("/", site, nil)
	}
	if e.v.Session == nil || e.stale(q) {
		e.redirect(screen.Root + "login?" + e.carry(url.Values{"return_to": {to.String()}}))
		return
	}
	if e.r.Method == http.MethodHead { // asks, and goes nowhere
		e.json(http.StatusOK, struct{}{})
		return
	}
	ticket, verdict, err := e.p.service.Sessions().GiveTicket(e.r.Context(), e.browser, session.Handover{Site: site, ReturnTo: to, State: q.Get("state")})
	switch {
	case err != nil:
		e.outage(err)
	case verdict != event.Accepted:
		e.problem(Problem{Kind: screen.NoFlow})
	default:
		e.redirect(site.String() + screen.Root + "handover/" + ticket)
	}
}

func short(s string) string { return s[:min(len(s), 100)] }

// stale tells whether the site wants a sign-in younger than this one.
func (e *exchange) stale(q url.Values) bool {
	if !q.Has("max_age") {
		return false
	}
	n, err := strconv.Atoi(q.Get("max_age"))
	return err != nil || n < 0 || !e.p.service.Sessions().IsFresh(e.v.Session, time.Duration(n)*time.Second)
}

// takeTicket begins the session at the site. The next address is a clean one:
// the ticket is in no Referer, and in the history it is spent.
func takeTicket(e *exchange) {
	if e.r.Method == http.MethodHead {
		e.json(http.StatusOK, struct{}{})
		return
	}
	out, err := e.p.service.Sessions().TakeTicket(e.r.Context(), e.browser, e.token)
	switch {
	case err != nil:
		e.outage(err)
	case out.Verdict == event.Accepted:
		e.jar.setSession(out.Session, out.Token, e.p.service.Now())
		e.redirect(e.location(out.ReturnTo))
	case out.Verdict == event.Unknown && e.v.Session != nil: // loaded again
		e.redirect("/")
	case out.Verdict == event.OtherBrowser:
		e.problem(Problem{Kind: screen.NoFlow, Status: http.StatusForbidden})
	case out.Verdict == event.Unknown:
		e.problem(Problem{Kind: screen.NoFlow, Status: http.StatusGone})
	default:
		e.problem(Problem{Kind: screen.NoFlow})
	}
}

// LeadTo is a page that goes on to another one by itself, for proxies that put
// their own status on our redirect.
func LeadTo(address string) string {
	a := template.HTMLEscapeString(address)
	return `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=` + a + `"><title>Sign in</title><a href="` + a + `">Sign in</a>` + "\n"
}
