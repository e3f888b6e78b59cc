package pages

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// logout asks whether to sign out or, without a session, says that nobody is
// signed in.
func logout(e *exchange) {
	v := e.view("logout", "out")
	key := "logout.done.title"
	if e.v.Session != nil {
		v.State, key = "confirm", "logout.title"
		to := authcore.ParseReturnTo(e.r.URL.Query().Get("return_to"), e.v.Origin, e.p.service.Protects)
		v.target = to.Origin()
		if v.ReturnTo = to.Location(e.v.Origin); v.ReturnTo == "/" {
			v.ReturnTo = ""
		}
	}
	v.titled(key)
	e.page(http.StatusOK, v)
}

// endSession signs out: the session ends on the server, with its open streams.
func endSession(e *exchange) {
	if s := e.v.Session; s != nil {
		if _, err := e.p.service.Core().End(e.r.Context(), s.ID, authcore.SignedOut); err != nil {
			e.outage(err)
			return
		}
	}
	e.jar.expireSession()
	raw := e.form.get("return_to")
	if raw == "" {
		e.redirect(Root + "logout")
		return
	}
	e.redirect(authcore.ParseReturnTo(raw, e.v.Origin, e.p.service.Protects).Location(e.v.Origin))
}
