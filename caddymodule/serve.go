package caddymodule

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// ServeHTTP decides about one request: it is answered here (pages, refusals),
// or passes on with the visitor's identity.
//
// The order is part of the promise. What no client may say is removed first,
// before anything can fail. Then come the questions that need no session: is
// this place asked for (origin), may this client ask at all. Only then is the
// session looked up and the policy asked.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, ok := g.app.meet(w, r)
	if !ok {
		return nil
	}
	v.g, v.next = g, next
	own := isOwnPath(v.url.Path)
	concerned := own || g.concerns(&v)
	if !concerned && v.isCleaned() {
		// The gate before has cleaned the request, and told the app who it is.
		return next.ServeHTTP(w, r)
	}
	if !v.clean() {
		return v.refuse(refusal{kind: badMethod})
	}
	if !concerned {
		return v.passBeside()
	}
	if err := v.start(); err != nil {
		return v.notStarted(err, own)
	}
	if own {
		v.place = g.pages
		return v.servePages()
	}
	began := time.Now()
	admitted, why := v.decide()
	countCheck(began, admitted, why)
	if why.kind != "" {
		v.report(why)
		if !g.ReportOnly {
			return v.refuse(why)
		}
		admitted = v.knownAnyway(why)
	}
	return v.pass(admitted)
}

// visit is one request at one gate.
type visit struct {
	w    http.ResponseWriter
	r    *http.Request
	next caddyhttp.Handler
	vars map[string]any // Caddy's variables of the request

	// As the client sent them: rewrites before the gate change what the app
	// serves, not what the visitor asked for.
	url    *url.URL
	method string

	g     *Gate // nil in PagesHandler
	app   *App
	place *place
	run   *running

	outer     *visitor // what a gate before this one found
	origin    origin.Origin
	portal    origin.Origin // where people sign in for this site; zero: here
	login     origin.Origin // with Authz: the host whose form is led to; zero: this one
	presented []string      // machine tokens that came with the request
	// tokenHeader: one came in machineHeader, which Caddy would log.
	tokenHeader bool
	webSocket   bool
	foreign     bool // a WebSocket that another site's page opened

	looked   bool // for the session; what follows is the outcome
	session  *authcore.Session
	lastUse  time.Time // of the session, before this request
	tokens   int       // how many session cookies there were
	identity *identity
}

func newVisit(w http.ResponseWriter, r *http.Request) visit {
	v := visit{w: w, r: r, url: r.URL, method: r.Method}
	ctx := r.Context()
	v.vars, _ = ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	if v.outer, _ = v.vars[visitorKey].(*visitor); v.outer != nil {
		v.presented = v.outer.machine
	}
	if original, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		v.url, v.method = original.URL, original.Method
	}
	return v
}

// start waits for the app. Where the gate stands is known once it has started.
func (v *visit) start() (err error) {
	if v.run, err = v.app.running(v.r.Context()); err == nil && v.g != nil {
		v.place = v.g.place
	}
	return err
}

// isOwnPath tells whether path belongs to Gatehouse on every site.
func isOwnPath(path string) bool {
	return strings.HasPrefix(path, pages.Root) || path == pages.Root[:len(pages.Root)-1]
}

// concerns tells whether the gate looks at this request. Matchers see it as it
// came, before it is cleaned. What a matcher can't tell is guarded.
func (g *Gate) concerns(v *visit) bool {
	if len(g.matchers) > 0 {
		if matches, err := g.matchers.AnyMatchWithError(v.r); err == nil && !matches {
			return false
		}
	}
	// Looking at one path alone would let a rewrite on either side lead around
	// the gate.
	now := v.r.URL
	return g.guarded.match(v.r, now) || (v.url.Path != now.Path || v.url.RawPath != now.RawPath) && g.guarded.match(v.r, v.url)
}

// isLimited tells whether there may be requests that do not concern the gate.
func (g *Gate) isLimited() bool { return len(g.matchers) > 0 || g.guarded.limited }

// decide tells whether the visitor is admitted, and why the request can't pass.
// A request for a public path passes also when the visitor is not: then it is
// anonymous to the app.
func (v *visit) decide() (admitted bool, why refusal) {
	public := v.g.rule.IsPublic(v.target())
	if why = v.locate(!public); why.kind != "" {
		return false, why
	}
	if why = v.checkClient(); why.kind != "" {
		return false, why
	}
	return v.decideHere(public)
}

// target is the request in the words of the site's rule.
func (v *visit) target() authcore.Target {
	return authcore.Target{Origin: v.origin, Method: v.method, Path: v.url.Path, Escaped: v.url.EscapedPath()}
}

// decideHere is decide once the place is known.
func (v *visit) decideHere(public bool) (admitted bool, why refusal) {
	why = v.judgeVisitor()
	if public && why.kind != "" {
		return false, refusal{}
	}
	return why.kind == "", why
}

func (v *visit) judgeVisitor() refusal {
	if v.webSocket && !v.fromOwnPage() {
		v.foreign = true
		return refusal{kind: badWebSocket}
	}
	err := v.find()
	target := v.target()
	judgement := v.run.service.Judge(&v.g.rule, &authcore.Visitor{Session: v.session, LastUse: v.lastUse, Err: err}, target)
	if why := refusalOf(judgement); why.kind != "" {
		return why
	}
	if why := v.judgeMethod(); why.kind != "" {
		return why
	}
	if v.app.stopped.Load() && !v.run.core.Allows(&authcore.Stream{Session: v.session, Gate: v.place.key, Target: target}) {
		// After a reload the old server may still accept a connection.
		return refusal{kind: notAllowed}
	}
	v.run.service.Opened(v.session, v.origin)
	if err := v.identify(); err != nil {
		return refusal{kind: unavailable, err: err}
	}
	return refusal{}
}

// refusalOf puts the judgement of the site's rule into the words of a gate.
func refusalOf(j authcore.Judgement) refusal {
	switch j.Decision {
	case authcore.Allowed:
		return refusal{}
	case authcore.SignInFirst:
		return refusal{kind: loginRequired, maxAge: j.MaxAge}
	case authcore.CannotTell:
		return refusal{kind: unavailable, err: j.Err}
	case authcore.BeyondToken:
		return refusal{kind: notAllowed, detail: "This token is not good for this site, path or method."}
	}
	return refusal{kind: notAllowed}
}

// servePages answers a request for one of our own paths. Without a store they
// are still answered, as well as they can be.
func (v *visit) servePages() error {
	why := v.locate(true)
	if why.kind == "" && v.g != nil && !v.g.isLimited() {
		// Those of a limited gate may serve visitors of others.
		why = v.checkClient()
	}
	if why.kind != "" {
		v.report(why)
		if v.origin.IsZero() || !v.g.ReportOnly {
			return v.refuse(why)
		}
	}
	return v.showPages()
}

// showPages serves the pages once the place is known. A machine token opens
// none: they are for people.
func (v *visit) showPages() error {
	v.presented = nil
	if v.portal.IsZero() {
		v.portal = v.app.portalFor(v.origin)
	}
	if err := v.find(); err != nil {
		v.run.log.Error("the session of a visitor of the sign-in pages can't be read", zap.Error(err))
	} else if v.session != nil {
		v.run.service.Used(v.session)
	}
	w := v.w
	if v.behindUnknownProxy() {
		on := *v // a copy, so that v need not outlive every other request
		w = &limitWatch{w, &on}
	}
	v.run.pages.ServeHTTP(w, v.original(), v.known())
	return nil
}

// original is the request as the client sent it, with our cookies, for what
// answers it in our name: that may also set them.
func (v *visit) original() *http.Request {
	r := v.r.WithContext(v.r.Context())
	r.URL, r.Method = v.url, v.method
	if v.outer != nil {
		v.outer.answeredByUs()
		r.Header = r.Header.Clone()
		r.Header["Cookie"] = v.outer.cookies
	}
	return r
}

// known is what the pages may know of the visitor.
func (v *visit) known() pages.Visit {
	return pages.Visit{
		Origin: v.origin, Client: v.client(), Session: v.session, SessionCookies: v.tokens,
		Portal: v.portal, IsPortal: v.app.isPortal(v.origin), Account: v.app.accountAt(v.origin),
	}
}

// Interface guards
var (
	_ caddyhttp.MiddlewareHandler = (*Gate)(nil)
	_ caddyhttp.MiddlewareHandler = (*PagesHandler)(nil)
)
