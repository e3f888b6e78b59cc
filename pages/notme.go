package pages

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// said is the last part of the path where a browser ends up after it said "this
// wasn't me". A token is longer.
const said = "done"

// notMe asks who got a mail nobody asked for for the address it came to. It
// does not look at the token: opening the link changes and tells nothing.
func notMe(e *exchange) {
	v := e.view("notme", "form")
	key := "notme.title"
	if e.token == said {
		v.State, key = "done", "notme.done.title"
	}
	v.Titled(key)
	e.page(http.StatusOK, v)
}

// sayNotMe ends what others started and pauses their mails, if the address is
// the one that the mail came to.
func sayNotMe(e *exchange) {
	email := e.form.get("email")
	address, err := address.Parse(email)
	right := false
	if err == nil {
		if right, err = e.p.service.Flows().NotMe(e.r.Context(), e.browser, e.token, address); err != nil {
			e.outage(err)
			return
		}
	}
	if right {
		e.redirect(screen.Root + "not-me/" + said)
		return
	}
	v := e.view("notme", "wrong")
	v.Email = email
	v.Fail(ifElse(email == "", "login.empty", "notme.wrong"), 0)
	v.Titled("notme.title")
	e.page(http.StatusUnprocessableEntity, v)
}
