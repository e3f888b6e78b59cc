package pages

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Problem is why a request gets neither what it asked for nor a form.
type Problem struct {
	Kind       screen.ProblemKind
	Status     int           // 0: the kind's own
	RetryAfter time.Duration // 0: no Retry-After
	// Detail is one line for whoever runs the site, in English: what was seen
	// and what to write. Shown as it is, never holds a secret.
	Detail string
	// App, Here and Back are for a person whom an app does not admit: its name, the
	// path of its request, which another sign-in goes on with, and one that leads
	// back to it. Empty: it is this site that does not.
	App, Here, Back string
	// For is what the person may not open, where that is not the request itself, and
	// SignIn the host that its links lead to. Zero: the origin of the request.
	For    origin.ReturnTo
	SignIn origin.Origin
	// Some tells that only a part of the site is closed, by that gate; Part are its
	// paths as the configuration has them, empty where it has none.
	Some bool
	Part string
}

var problemStatus = map[screen.ProblemKind]int{
	screen.NotAllowed: http.StatusForbidden, screen.ClientIP: http.StatusForbidden, screen.BadWebSocketOrigin: http.StatusForbidden,
	screen.BadOrigin: http.StatusBadRequest, screen.InsecureHTTP: http.StatusBadRequest,
	screen.Unavailable: http.StatusServiceUnavailable, screen.MayOpen: http.StatusOK,
	screen.NotFound: http.StatusNotFound, screen.BadMethod: http.StatusMethodNotAllowed, screen.CrossSite: http.StatusForbidden,
	screen.BadForm: http.StatusBadRequest, screen.BadMedia: http.StatusUnsupportedMediaType, screen.NoFlow: http.StatusBadRequest, screen.BadApp: http.StatusBadRequest,
	screen.TooLarge: http.StatusRequestEntityTooLarge, screen.TooSlow: http.StatusRequestTimeout, screen.TooEarly: http.StatusTooEarly,
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
	here := e.here()
	if pr.App != "" {
		view.Site, view.Asker, view.Cancel = pr.App, pr.App, pr.Back
		here = origin.ParseReturnTo(pr.Here, e.v.Origin, nil)
	}
	if pr.For != (origin.ReturnTo{}) {
		if here = pr.For; here.Origin() != e.v.Origin {
			view.Site = here.Origin().Host()
			e.p.look.For(view, here.Origin())
		}
	}
	switch pr.Kind {
	case screen.NotAllowed:
		e.waysOut(view, pr, here)
		front := origin.ParseReturnTo("/", here.Origin(), nil)
		if pr.App == "" && e.v.Session != nil && e.p.passes != nil && e.p.passes(e.v.Session, front, e.v.Client) {
			view.Continue = front.Location(e.v.Origin)
		}
	case screen.MayOpen:
		e.waysOut(view, pr, here)
		view.Continue = here.Location(e.v.Origin)
	case screen.Unavailable:
		view.Continue = e.again()
	}
	view.Problem(pr.Kind)
	e.page(status, view)
}

// waysOut says what is closed to the person, and leads to what is not.
func (e *exchange) waysOut(view *screen.View, pr Problem, here origin.ReturnTo) {
	at, host := e.v.Origin, ""
	switch {
	case !pr.SignIn.IsZero() && pr.SignIn != e.v.Origin:
		at, host, view.Home = pr.SignIn, pr.SignIn.String(), pr.SignIn.String()
	case e.leaves():
		// By way of this site's own form the portal would hand the same session
		// over again.
		at, host = e.v.Portal, e.v.Portal.String()
	}
	view.Login = host + loginPath(here, at, e.asked)
	if strings.HasPrefix(view.Account, "/") {
		view.Account = view.Home + view.Account
	}
	view.Some, view.Part = pr.Some, pr.Part
}

// refused tells the person of the session that a site of another proxy, which knows
// no page of its own for it, is closed to them. Anybody can make a link to it: whether
// that is so, the gates are asked. Who may open the address is not sent there, as the
// session there may be somebody else's, who would be sent back here.
func refused(e *exchange) {
	to := origin.ParseReturnTo(e.r.URL.Query().Get("for"), e.v.Origin, e.p.service.Protects)
	switch {
	case e.v.Session == nil:
		e.redirect(loginPath(to, e.v.Origin, e.asked))
	case e.p.passes == nil || !e.p.passes(e.v.Session, to, e.v.Client):
		e.problem(Problem{Kind: screen.NotAllowed, For: to})
	case !e.p.service.Protects(to.Origin()):
		e.problem(Problem{Kind: screen.NotFound}) // the sign-in host itself, which has nothing to open
	default:
		e.problem(Problem{Kind: screen.MayOpen, For: to})
	}
}

// outage answers a request whose outcome can't be told. What happened goes to
// the log under a reference; the page shows the reference alone.
func (e *exchange) outage(err error) {
	id := make([]byte, 4)
	rand.Read(id)
	reference := hex.EncodeToString(id)
	e.p.log.Error("a sign-in page can't be served", "reference", reference, "error", err)
	e.retryAfter(retryAfter)
	view := e.view("problem", string(screen.Unavailable))
	view.Reference, view.Continue = reference, e.again()
	view.Problem(screen.Unavailable)
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
	case strings.HasPrefix(e.r.URL.Path, screen.Root):
		return e.r.URL.RequestURI()
	}
	return e.here().Location(e.v.Origin)
}

func (e *exchange) retryAfter(d time.Duration) {
	if d > 0 {
		e.w.Header().Set("Retry-After", strconv.Itoa(screen.WholeSeconds(d)))
	}
}
