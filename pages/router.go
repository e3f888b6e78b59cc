package pages

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// step is what one path does.
type step struct {
	get, post func(*exchange)
	signedIn  bool // it is for who is signed in
}

var steps = map[string]step{
	"login":     {get: login, post: startLogin},
	"code":      {get: code, post: answerCode},
	"resend":    {post: resend},
	"link/":     {get: link, post: answerLink},
	"not-me/":   {get: notMe, post: sayNotMe},
	"logout":    {get: logout, post: endSession},
	"account":   {get: account, signedIn: true},
	"account/":  {get: noAccountPage, post: changeAccount, signedIn: true},
	"session":   {get: tellSession, signedIn: true},
	"refused":   {get: refused, signedIn: true},
	"jwks.json": {get: jwks},
	"handover":  {get: giveTicket, signedIn: true},
	"handover/": {get: takeTicket},
	"client.js": {get: clientScript},
}

// ServeHTTP answers a request whose path, as the browser sent it, lies below
// Root. An unknown path is a 404, a wrong method a 405: nothing below Root ever
// reaches the app.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request, v Visit) {
	e := p.exchange(w, r, v)
	name := strings.TrimPrefix(r.URL.Path, screen.Root)
	if dir, token, ok := strings.Cut(name, "/"); ok && token != "" {
		name, e.token = dir+"/", token
	}
	s, ok := p.step(r.URL.Path, name)
	switch {
	case !ok || strings.HasSuffix(name, "/") != (e.token != ""):
		e.problem(Problem{Kind: screen.NotFound})
	case !slices.Contains(s.methods(), r.Method):
		w.Header().Set("Allow", strings.Join(s.methods(), ", "))
		e.problem(Problem{Kind: screen.BadMethod})
	case e.elsewhere(name):
		e.leave()
	case r.Method != http.MethodPost:
		s.get(e)
	case e.acceptPost() && e.still():
		s.post(e)
	}
}

func (p *Pages) step(path, name string) (step, bool) {
	if f, ok := p.look.File(path); ok {
		return step{get: func(e *exchange) { e.static(f) }}, true
	}
	s, ok := steps[name]
	return s, ok
}

// Allow lists the methods of the page at path, which is one of Gatehouse's own.
func Allow(path string) string {
	name := strings.TrimPrefix(path, screen.Root)
	if dir, token, ok := strings.Cut(name, "/"); ok && token != "" {
		name = dir + "/"
	}
	return strings.Join(steps[name].methods(), ", ")
}

func (s step) methods() []string {
	all := []string{http.MethodGet, http.MethodHead, http.MethodPost}
	switch {
	case s.post == nil:
		return all[:2]
	case s.get == nil:
		return all[2:]
	}
	return all
}

// NeedsSession tells whether the page at path is for who is signed in: while nobody can
// tell whether somebody is, it can't be served. The others are without a session.
func NeedsSession(path string) bool {
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, screen.Root), "/")
	if rest != "" {
		name += "/"
	}
	return steps[name].signedIn
}

// still looks at the visitor's session again: a form may take its time to come in.
func (e *exchange) still() bool {
	if e.v.Session == nil {
		return true
	}
	session, err := e.p.service.Sessions().Still(e.r.Context(), e.v.Session)
	if err != nil {
		e.outage(err)
		return false
	}
	e.v.Session, e.browser.Session = session, session
	return true
}

// acceptPost refuses what may be no visitor's own wish, and reads the form.
func (e *exchange) acceptPost() bool {
	if web.IsEarly(e.r) {
		e.problem(Problem{Kind: screen.TooEarly})
		return false
	}
	if !web.SameOrigin(e.r, e.v.Origin) {
		e.problem(Problem{Kind: screen.CrossSite, Detail: "Origin: " + e.v.Origin.String()})
		return false
	}
	form, kind := readForm(e.w, e.r)
	if kind != "" {
		e.problem(Problem{Kind: kind})
		return false
	}
	e.form = form
	if lang := form.get("ui_locales"); lang != "" {
		e.asked = lang
		e.words = e.p.look.Choose(lang, e.r.Header.Get("Accept-Language"))
	}
	return true
}
