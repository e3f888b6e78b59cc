package pages

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// frontKey is all that a sign-in page depends on within one configuration, as
// those see it who are not signed in and have typed nothing yet. It tells
// nothing of a visitor, so the page is made once for all who ask for it.
type frontKey struct {
	origin origin.Origin
	words  *catalog
	query  string
	zipped bool
}

const maxFrontQuery = 200 // bytes; few ask for a longer one twice

// frontPage answers with the sign-in page for somebody who is not signed in.
func (e *exchange) frontPage() {
	query := e.r.URL.RawQuery
	key := frontKey{e.v.Origin, e.words, strings.Clone(query), acceptsGzip(e.r.Header)}
	body, ok := e.p.fronts.get(key)
	if !ok {
		if body, ok = e.render(e.loginForm()); !ok {
			return
		}
		if key.zipped {
			body = compress(body, e.p.look.fixed)
		}
		if len(query) <= maxFrontQuery {
			e.p.fronts.put(key, body)
		}
	}
	e.headPage(e.words.lang(), origin.Origin{})
	e.zips()
	e.send(http.StatusOK, body)
}
