package gate

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// refuse answers a request that does not pass. The gate writes its own answers
// and returns no error for a visitor: Caddy's error routes are not gated.
func (q *request) refuse(why refusal) error {
	if q.made != nil && why.kind != unavailable {
		return q.showNothing()
	}
	h := q.w.Header()
	web.NoStore(h)
	q.share()
	h.Set("Referrer-Policy", "same-origin")
	switch why.kind {
	case badMethod:
		h.Set("Allow", q.passable())
		q.w.WriteHeader(http.StatusMethodNotAllowed)
	case tooEarly:
		q.w.WriteHeader(http.StatusTooEarly)
	case loginRequired:
		q.askToSignIn(why.maxAge)
	default:
		q.explain(why)
	}
	return nil
}

// reads tells whether the request is one that pages answer without a change.
func (q *request) reads() bool { return q.method == http.MethodGet || q.method == http.MethodHead }

// passable lists the methods that get further than TRACE: those of our own page,
// or else what the gate passes to the app.
func (q *request) passable() string {
	switch {
	case IsOwnPath(q.url.Path):
		return pages.Allow(q.url.Path)
	case q.next == nil: // the front page of a portal
		return "GET, HEAD"
	}
	return "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
}

// explain says why, to people with a page and to programs in JSON.
func (q *request) explain(why refusal) {
	if q.navigates() && why.kind.hasPage() {
		problem := pages.Problem{Kind: screen.ProblemKind(why.kind), Detail: why.detail, For: q.wanted(), SignIn: q.login}
		if q.gate != nil {
			problem.Some, problem.Part = q.gate.Concerns != nil, q.gate.Part
		}
		q.run.Pages.Problem(q.w, q.original(), q.known(), problem)
		return
	}
	answer := struct {
		Error  string `json:"error"`
		Email  string `json:"email,omitempty"`
		Detail string `json:"detail,omitempty"`
	}{Error: string(why.kind), Detail: why.detail}
	if why.kind == notAllowed {
		answer.Error, answer.Email = "access_denied", q.session.Address.String()
	}
	if why.kind == unavailable {
		q.w.Header().Set("Retry-After", retryAfter)
	}
	q.writeJSON(why.kind.status(), answer)
}

func (q *request) writeJSON(status int, answer any) {
	if err := web.JSON(q.w, q.r, status, answer); err != nil {
		panic(err) // only for types that no answer has
	}
}

// askToSignIn leads to the login form. maxAge, if not zero, is how old the
// sign-in may be at most.
func (q *request) askToSignIn(maxAge time.Duration) {
	if !q.redirects() {
		q.writeLoginRequired(maxAge)
		return
	}
	q.w.Header().Set("Location", q.loginAt(q.wanted(), maxAge))
	status := http.StatusSeeOther // the form is a GET, whatever this was
	if q.reads() {
		status = http.StatusFound
	}
	q.w.WriteHeader(status)
}

// redirects tells whether the visitor is sent to the form, rather than told
// where it is. A script that follows a redirect gets a page where it expects
// data.
func (q *request) redirects() bool {
	switch q.gate.Unauthenticated {
	case "redirect":
		return !isPreflight(q.r) && !q.webSocket && !q.hasToken()
	case "401":
		return false
	}
	return q.navigates()
}

func (q *request) writeLoginRequired(maxAge time.Duration) {
	answer := struct {
		Error    string `json:"error"`
		LoginURL string `json:"login_url"`
		MaxAge   int    `json:"max_age,omitempty"`
		Detail   string `json:"detail,omitempty"`
	}{"login_required", q.loginURL(q.cameFrom(), maxAge), seconds(maxAge), q.misfit}
	q.challenge(answer.LoginURL, maxAge)
	q.writeJSON(http.StatusUnauthorized, answer)
}

// challenge says in a 401's header where to sign in.
func (q *request) challenge(form string, maxAge time.Duration) {
	challenge := `Gatehouse login_url="` + form + `"`
	if maxAge > 0 {
		challenge += ", max_age=" + strconv.Itoa(seconds(maxAge))
	}
	q.offerBasic()
	q.w.Header().Add("WWW-Authenticate", challenge)
}

// offerBasic comes before other challenges: programs that know Basic take the first
// that they know.
func (q *request) offerBasic() {
	if q.offersBasic() {
		q.w.Header().Set("WWW-Authenticate", `Basic realm="`+q.origin.Host()+`", charset="UTF-8"`)
	}
}

// navigates tells whether the request is for a page that a person will look at
// in a window of its own. A service worker that hands on the request of such a
// window hides the destination, and one that makes a new Request of it the mode,
// too: then a script's fetch differs by what it accepts alone.
func (q *request) navigates() bool {
	if q.webSocket || isPreflight(q.r) || q.hasToken() || strings.HasPrefix(q.url.Path, "/.well-known/") {
		return false
	}
	h := q.r.Header
	accept := strings.ToLower(strings.Join(h["Accept"], ","))
	mode, dest := h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Dest")
	switch {
	case mode == "navigate":
		return dest == "" || dest == "document" || dest == "empty"
	case mode == "same-origin":
		return dest == "empty" && strings.HasPrefix(accept, "text/html")
	case mode != "" || dest != "" || h.Get("Sec-Fetch-Site") != "":
		return false
	}
	return strings.Contains(accept, "text/html") && !isXHR(h)
}

// isXHR tells whether a script says so. Apps on Android that show pages in a view
// of theirs send the name of their package there.
func isXHR(h http.Header) bool {
	return slices.ContainsFunc(h["X-Requested-With"], func(with string) bool { return strings.EqualFold(with, "XMLHttpRequest") })
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// wanted is what the visitor asked for. After another method than GET the form
// leads to the path alone: its query was for that method.
func (q *request) wanted() origin.ReturnTo {
	path := q.url.EscapedPath()
	if q.reads() && q.url.RawQuery != "" {
		path += "?" + q.url.RawQuery
	}
	return origin.ParseReturnTo(path, q.origin, nil)
}

// cameFrom is where a program's user goes after signing in: the page that its
// script runs on, not the data that the script asked for.
func (q *request) cameFrom() origin.ReturnTo {
	if q.navigates() { // with "unauthenticated 401"
		return q.wanted()
	}
	// The page may be one of another site here, whose script calls this app.
	if referer := q.r.Header.Get("Referer"); referer != "" {
		return origin.ParseReturnTo(referer, q.origin, q.run.Service.Protects)
	}
	if page := origin.ParseReturnTo(q.r.Header.Get("Origin"), q.origin, q.run.Service.Protects); page.Origin() != q.origin {
		return page
	}
	if q.r.Header.Get("Sec-Fetch-Mode") != "" {
		return origin.ParseReturnTo("/", q.origin, nil)
	}
	return q.wanted()
}

// loginAt is what a Location says to lead to the login form: its path, where
// that is on this host.
func (q *request) loginAt(to origin.ReturnTo, maxAge time.Duration) string {
	url := q.loginURL(to, maxAge)
	if q.login.IsZero() {
		return strings.TrimPrefix(url, q.origin.String())
	}
	return url
}

// maxProxied keeps the headers of an answer that another proxy reads under 3 KiB:
// nginx makes a 500 or 502 of more than 4.
const maxProxied = 2750

// loginURL is loginAt with the host in any case. For another proxy, what leads
// back is shortened where the address gets too long.
func (q *request) loginURL(to origin.ReturnTo, maxAge time.Duration) string {
	return q.pageURL(to, func(at origin.Origin, to origin.ReturnTo) string { return loginPath(at, to, maxAge) })
}

// refusedURL is the page about why the visitor may not open to.
func (q *request) refusedURL(to origin.ReturnTo) string {
	return q.pageURL(to, func(at origin.Origin, to origin.ReturnTo) string {
		return screen.Root + "refused?for=" + url.QueryEscape(to.Location(at))
	})
}

// pageURL is one of our pages where people sign in for the site.
func (q *request) pageURL(to origin.ReturnTo, path func(at origin.Origin, to origin.ReturnTo) string) string {
	at := q.login
	if at.IsZero() {
		at = q.origin
	}
	whole := func(to origin.ReturnTo) string { return at.String() + path(at, to) }
	if q.isProxied() {
		to = to.Shorten(func(to origin.ReturnTo) bool { return len(whole(to)) <= maxProxied })
	}
	return whole(to)
}

// isProxied tells whether another proxy reads the answer first, as far as the
// request shows.
func (q *request) isProxied() bool {
	return q.place != nil && q.place.Behind || q.trusted() || len(q.r.Header["X-Forwarded-For"]) > 0
}

func loginPath(at origin.Origin, to origin.ReturnTo, maxAge time.Duration) string {
	path := screen.Root + "login?return_to=" + url.QueryEscape(to.Location(at))
	if maxAge > 0 {
		path += "&max_age=" + strconv.Itoa(seconds(maxAge))
	}
	return path
}

// seconds rounds up, so that a limit never becomes none.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
