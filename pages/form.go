package pages

import (
	"mime"
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// bodyTimeout is a variable for tests.
var bodyTimeout = web.BodyTime

// form is the body of a POST. Fields we don't know are ignored.
type form url.Values

func (f form) get(name string) string { return url.Values(f).Get(name) }

// readForm reads a form-encoded body. kind is what is wrong with it, or "".
func readForm(w http.ResponseWriter, r *http.Request) (f form, kind screen.ProblemKind) {
	body, err := web.ReadBody(w, r, bodyTimeout)
	if err != nil {
		return nil, bodyProblem[err]
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if len(body) > 0 && (err != nil || media != "application/x-www-form-urlencoded") {
		return nil, screen.BadMedia
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, screen.BadForm
	}
	// Of two addresses or codes, whoever looks at the request before us may
	// have seen the other one.
	if len(values["email"]) > 1 || len(values["code"]) > 1 {
		return nil, screen.BadForm
	}
	return form(values), ""
}

var bodyProblem = map[error]screen.ProblemKind{web.ErrTooLarge: screen.TooLarge, web.ErrTooSlow: screen.TooSlow, web.ErrCut: screen.BadForm}
