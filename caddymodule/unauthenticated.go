package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// refuse answers a request that does not pass. The gate writes its own answers
// and returns no error for a visitor: Caddy's error routes are not gated.
func (v *visit) refuse(why refusal) error {
	h := v.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	switch why.kind {
	case badMethod:
		h.Set("Allow", v.passable())
		v.w.WriteHeader(http.StatusMethodNotAllowed)
	case tooEarly:
		v.w.WriteHeader(http.StatusTooEarly)
	case loginRequired:
		v.askToSignIn(why.maxAge)
	default:
		v.explain(why)
	}
	return nil
}

// passable lists the methods that get further than TRACE: those of our own page,
// or else what the gate passes to the app.
func (v *visit) passable() string {
	switch {
	case isOwnPath(v.url.Path):
		return pages.Allow(v.url.Path)
	case v.next == nil: // the front page of a portal
		return "GET, HEAD"
	}
	return "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
}

// explain says why, to people with a page and to programs in JSON.
func (v *visit) explain(why refusal) {
	if v.navigates() && why.kind.hasPage() {
		v.run.pages.Problem(v.w, v.original(), v.known(), pages.Problem{Kind: pages.ProblemKind(why.kind), Detail: why.detail})
		return
	}
	answer := struct {
		Error  string `json:"error"`
		Email  string `json:"email,omitempty"`
		Detail string `json:"detail,omitempty"`
	}{Error: string(why.kind), Detail: why.detail}
	if why.kind == notAllowed {
		answer.Error, answer.Email = "access_denied", v.session.Address.String()
	}
	if why.kind == unavailable {
		v.w.Header().Set("Retry-After", retryAfter)
	}
	v.writeJSON(why.kind.status(), answer)
}

func (v *visit) writeJSON(status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // only for types that no answer has
	}
	v.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	v.w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	v.w.WriteHeader(status)
	if v.method != http.MethodHead {
		_, _ = v.w.Write(append(body, '\n'))
	}
}

// askToSignIn leads to the login form. maxAge, if not zero, is how old the
// sign-in may be at most.
func (v *visit) askToSignIn(maxAge time.Duration) {
	if !v.redirects() {
		v.writeLoginRequired(maxAge)
		return
	}
	v.w.Header().Set("Location", v.loginAt(v.wanted(), maxAge))
	status := http.StatusSeeOther // the form is a GET, whatever this was
	if v.method == http.MethodGet || v.method == http.MethodHead {
		status = http.StatusFound
	}
	v.w.WriteHeader(status)
}

// redirects tells whether the visitor is sent to the form, rather than told
// where it is. A script that follows a redirect gets a page where it expects
// data.
func (v *visit) redirects() bool {
	switch v.g.Unauthenticated {
	case "redirect":
		return !isPreflight(v.r) && !v.webSocket && !v.hasToken()
	case "401":
		return false
	}
	return v.navigates()
}

func (v *visit) writeLoginRequired(maxAge time.Duration) {
	answer := struct {
		Error    string `json:"error"`
		LoginURL string `json:"login_url"`
		MaxAge   int    `json:"max_age,omitempty"`
	}{"login_required", v.loginURL(v.cameFrom(), maxAge), seconds(maxAge)}
	v.challenge(answer.LoginURL, maxAge)
	v.writeJSON(http.StatusUnauthorized, answer)
}

// challenge says in a 401's header where to sign in.
func (v *visit) challenge(form string, maxAge time.Duration) {
	challenge := `Gatehouse login_url="` + form + `"`
	if maxAge > 0 {
		challenge += ", max_age=" + strconv.Itoa(seconds(maxAge))
	}
	v.w.Header().Set("WWW-Authenticate", challenge)
}

// navigates tells whether the request is for a page that a person will look at
// in a window of its own.
func (v *visit) navigates() bool {
	if v.webSocket || isPreflight(v.r) || v.hasToken() || strings.HasPrefix(v.url.Path, "/.well-known/") {
		return false
	}
	h := v.r.Header
	mode, dest := h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Dest")
	if mode != "" || dest != "" || h.Get("Sec-Fetch-Site") != "" {
		return mode == "navigate" && (dest == "" || dest == "document")
	}
	return strings.Contains(strings.ToLower(strings.Join(h["Accept"], ",")), "text/html") && len(h["X-Requested-With"]) == 0
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// wanted is what the visitor asked for. After another method than GET the form
// leads to the path alone: its query was for that method.
func (v *visit) wanted() origin.ReturnTo {
	path := v.url.EscapedPath()
	if (v.method == http.MethodGet || v.method == http.MethodHead) && v.url.RawQuery != "" {
		path += "?" + v.url.RawQuery
	}
	return origin.ParseReturnTo(path, v.origin, nil)
}

// cameFrom is where a program's user goes after signing in: the page that its
// script runs on, not the data that the script asked for.
func (v *visit) cameFrom() origin.ReturnTo {
	if v.navigates() { // with "unauthenticated 401"
		return v.wanted()
	}
	if referer := v.r.Header.Get("Referer"); referer != "" {
		return origin.ParseReturnTo(referer, v.origin, nil)
	}
	if v.r.Header.Get("Sec-Fetch-Mode") != "" {
		return origin.ParseReturnTo("/", v.origin, nil)
	}
	return v.wanted()
}

// loginAt is what a Location says to lead to the login form: its path, where
// that is on this host.
func (v *visit) loginAt(to origin.ReturnTo, maxAge time.Duration) string {
	if v.login.IsZero() {
		return loginPath(v.origin, to, maxAge)
	}
	return v.loginURL(to, maxAge)
}

// loginURL is loginAt with the host in any case.
func (v *visit) loginURL(to origin.ReturnTo, maxAge time.Duration) string {
	at := v.login
	if at.IsZero() {
		at = v.origin
	}
	return at.String() + loginPath(at, to, maxAge)
}

func loginPath(at origin.Origin, to origin.ReturnTo, maxAge time.Duration) string {
	path := pages.Root + "login?return_to=" + url.QueryEscape(to.Location(at))
	if maxAge > 0 {
		path += "&max_age=" + strconv.Itoa(seconds(maxAge))
	}
	return path
}

// seconds rounds up, so that a limit never becomes none.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
