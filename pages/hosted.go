package pages

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// App answers with a page of an app, in the language that the browser asks for.
// It has neither script nor logo: none of our files stands at the API's origin,
// and the brand's picture is not the app's.
func (p *Pages) App(w http.ResponseWriter, r *http.Request, v Visit, status int, page screen.AppPage) {
	e := p.exchange(w, r, v)
	view := e.view("app", string(page.State))
	view.App(page)
	e.page(status, view)
}

// Consent asks the person of a session whether an app may learn who they are.
func (p *Pages) Consent(w http.ResponseWriter, r *http.Request, v Visit, page screen.ConsentPage) {
	e := p.exchange(w, r, v)
	state := "consent"
	if page.SignUp {
		state = "sign_up"
	}
	view := e.view("consent", state)
	view.Consent(page)
	e.page(http.StatusOK, view)
}

// Held are the sessions that the cookies of a browser stand for and nobody has
// ended: the visitor's, and those that were not used for too long, on which goes on
// what apps hold with offline_access. A sign-out ends them all, and asks first if
// there is any.
func (p *Pages) Held(r *http.Request) ([]*session.Session, error) {
	return p.service.Core().Sessions().Held(r.Context(), p.cookies.presentedSessions(r))
}

// SignOut ends sessions that a browser holds, and takes the cookie back. The answer
// is the caller's.
func (p *Pages) SignOut(w http.ResponseWriter, r *http.Request, v Visit, held []*session.Session) error {
	return p.exchange(w, r, v).signOut(held)
}

// Languages are those that pages speak.
func (p *Pages) Languages() []string { return p.look.Languages() }

// Language is what a program or a browser that asks for a mail wants it in, as a
// letter has it: the best of what its Accept-Language names, empty for none.
func (p *Pages) Language(r *http.Request) string {
	accept := r.Header.Get("Accept-Language")
	if accept == "" {
		return ""
	}
	return p.look.Choose("", accept).Lang()
}
