package pages

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// Problem is why a request gets neither what it asked for nor a form.
type Problem struct {
	Kind       ProblemKind
	Status     int           // 0: the kind's own
	RetryAfter time.Duration // 0: no Retry-After
	// Detail is one line for whoever runs the site, in English: what was seen
	// and what to write. Shown as it is, never holds a secret.
	Detail string
}

// ProblemKind tells problems apart; each has its own words.
type ProblemKind string

// What a gate refuses.
const (
	NotAllowed         ProblemKind = "not_allowed"          // 403: signed in, but not admitted
	ClientIP           ProblemKind = "client_ip"            // 403: the network is not admitted
	BadOrigin          ProblemKind = "bad_origin"           // 400: a host that is not this site's
	InsecureHTTP       ProblemKind = "insecure_http"        // 400: sign-in over plain http
	Unavailable        ProblemKind = "unavailable"          // 503: it can't be told now
	BadWebSocketOrigin ProblemKind = "bad_websocket_origin" // 403
)

// What the pages themselves refuse.
const (
	notFound  ProblemKind = "not_found"
	badMethod ProblemKind = "bad_method"
	crossSite ProblemKind = "cross_site"
	badForm   ProblemKind = "bad_form"
	badMedia  ProblemKind = "bad_media"
	tooLarge  ProblemKind = "too_large"
	tooSlow   ProblemKind = "too_slow"
	tooEarly  ProblemKind = "too_early"
	noFlow    ProblemKind = "no_flow"
)

var problemStatus = map[ProblemKind]int{
	NotAllowed: http.StatusForbidden, ClientIP: http.StatusForbidden, BadWebSocketOrigin: http.StatusForbidden,
	BadOrigin: http.StatusBadRequest, InsecureHTTP: http.StatusBadRequest,
	Unavailable: http.StatusServiceUnavailable,
	notFound:    http.StatusNotFound, badMethod: http.StatusMethodNotAllowed, crossSite: http.StatusForbidden,
	badForm: http.StatusBadRequest, badMedia: http.StatusUnsupportedMediaType, noFlow: http.StatusBadRequest,
	tooLarge: http.StatusRequestEntityTooLarge, tooSlow: http.StatusRequestTimeout, tooEarly: http.StatusTooEarly,
}

// plain are the kinds that nobody meets who just uses the pages. They share
// their words; the status tells them apart.
var plain = map[ProblemKind]ProblemKind{
	badMethod: badForm, badMedia: badForm, tooLarge: badForm, BadWebSocketOrigin: badForm, tooEarly: tooSlow,
}

// problem sets the words for a kind of problem.
func (v *View) problem(kind ProblemKind) {
	if words, ok := plain[kind]; ok {
		kind = words
	}
	v.Text = v.words.sayHTML("problem."+string(kind), 0, v.value)
	v.titled("problem." + string(kind) + ".title")
}

// retryAfter is what a 503 says when nobody knows better.
const retryAfter = 5 * time.Second

// Problem answers a request that the gate refuses, with a page. v need not have
// an Origin.
func (p *Pages) Problem(w http.ResponseWriter, r *http.Request, v Visit, pr Problem) {
	p.exchange(w, r, v).problem(pr)
}

func (e *exchange) problem(pr Problem) {
	status := pr.Status
	if status == 0 {
		status = problemStatus[pr.Kind]
	}
	if status == http.StatusServiceUnavailable && pr.RetryAfter == 0 {
		pr.RetryAfter = retryAfter
	}
	e.retryAfter(pr.RetryAfter)
	view := e.view("problem", string(pr.Kind))
	view.Detail = pr.Detail
	view.problem(pr.Kind)
	switch pr.Kind {
	case NotAllowed:
		view.Login = loginPath(e.here(), e.v.Origin, e.asked)
	case Unavailable:
		view.Continue = e.again()
	}
	e.page(status, view)
}

// outage answers a request whose outcome can't be told. What happened goes to
// the log under a reference; the page shows the reference alone.
func (e *exchange) outage(err error) {
	id := make([]byte, 4)
	rand.Read(id)
	reference := hex.EncodeToString(id)
	e.p.log.Error("a sign-in page can't be served", "reference", reference, "error", err)
	e.retryAfter(retryAfter)
	view := e.view("problem", string(Unavailable))
	view.Reference, view.Continue = reference, e.again()
	view.problem(Unavailable)
	e.page(http.StatusServiceUnavailable, view)
}

// here is the page that was asked for.
func (e *exchange) here() origin.ReturnTo {
	return origin.ParseReturnTo(e.r.URL.RequestURI(), e.v.Origin, nil)
}

// again is where a visitor can ask once more for what was asked for; empty for a
// form, which only the browser can send again.
func (e *exchange) again() string {
	switch {
	case e.r.Method != http.MethodGet && e.r.Method != http.MethodHead:
		return ""
	case strings.HasPrefix(e.r.URL.Path, Root):
		return e.r.URL.RequestURI()
	}
	return e.here().Location(e.v.Origin)
}

func (e *exchange) retryAfter(d time.Duration) {
	if d > 0 {
		e.w.Header().Set("Retry-After", strconv.Itoa(wholeSeconds(d)))
	}
}

// wholeSeconds rounds up, so that trying again then is not too early.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
