package pages

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// logout asks whether to sign out or, of a browser that holds no session, says that
// nobody is signed in, and where the browser still is.
func logout(e *exchange) {
	held, err := e.p.Held(e.r)
	if err != nil {
		e.outage(err)
		return
	}
	v := e.view("logout", "out")
	key := "logout.done.title"
	switch {
	case e.v.Session != nil || len(held) > 0:
		v.State, key = "confirm", "logout.title"
		to := origin.ParseReturnTo(e.r.URL.Query().Get("return_to"), e.v.Origin, e.p.service.Protects)
		v.LeadTo(to.Origin())
		if v.ReturnTo = to.Location(e.v.Origin); v.ReturnTo == "/" {
			v.ReturnTo = ""
		}
		sites, err := e.relatives()
		if err != nil {
			e.outage(err)
			return
		}
		// On an app's own origin its scripts read this page, too: where else its
		// visitors have been is not theirs to know.
		if e.v.Account.Whole {
			v.Sites = sites
		} else {
			v.Family = len(sites) > 0
		}
		v.Child = e.v.Session != nil && e.v.Session.Parent != ""
	case e.leaves() && e.r.URL.Query().Has("left"):
		v.State = "left"
		v.Sites = []screen.SiteLink{e.p.look.Link(e.v.Portal, screen.Root+"logout")}
	}
	v.Titled(key)
	e.page(http.StatusOK, v)
}

// endSession signs out: the session ends on the server, with its open streams
// and with what belongs to the same sign-in. With only=here the rest goes on.
func endSession(e *exchange) {
	s := e.v.Session
	here := e.form.get("only") == "here" && s != nil && s.Parent != ""
	held, err := e.p.Held(e.r)
	switch {
	case err != nil:
	case here:
		if _, err = e.p.service.Core().Sessions().EndHere(e.r.Context(), s.ID, session.SignedOut); err == nil {
			e.jar.expireSession()
		}
	default:
		err = e.signOut(held)
	}
	if err != nil {
		e.outage(err)
		return
	}
	raw := e.form.get("return_to")
	switch {
	case here: // going on would sign in again without asking
		e.redirect(screen.Root + "logout?left")
	case raw == "":
		e.redirect(screen.Root + "logout")
	default:
		e.redirect(origin.ParseReturnTo(raw, e.v.Origin, e.p.service.Protects).Location(e.v.Origin))
	}
}

// signOut ends sessions that the browser holds.
func (e *exchange) signOut(held []*session.Session) error {
	for _, s := range held {
		if _, err := e.p.service.Core().Sessions().End(e.r.Context(), s.ID, session.SignedOut); err != nil {
			return err
		}
	}
	e.jar.expireSession()
	return nil
}
