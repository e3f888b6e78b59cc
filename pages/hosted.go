package pages

import (
	"github.com/gatehouse-auth/gatehouse/pages/screen"
	"net/http"
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

// Language is what a program or a browser that asks for a mail wants it in, as a
// letter has it: the best of what its Accept-Language names, empty for none.
func (p *Pages) Language(r *http.Request) string {
	accept := r.Header.Get("Accept-Language")
	if accept == "" {
		return ""
	}
	return p.look.Choose("", accept).Lang()
}
