package gate

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Gate asks whoever comes to sign in, and lets pass whom its rule admits.
type Gate struct {
	House *House
	// Rule is who is admitted. The zero value admits nobody.
	Rule session.SiteRule
	// Place is where the gate stands, Pages where its pages are: beside its
	// matchers, too. Both are set before House.Open.
	Place, Pages *Place
	// Concerns tells whether the gate looks at a request; asked is its address as
	// the client sent it. Other requests pass cleaned. Default: all.
	Concerns func(r *http.Request, asked *url.URL) bool
	// Prefix is a path that a proxy in front has taken away from every request.
	// What visitors see, and Rule is asked about, has it.
	Prefix string
	// CORS are the origins whose preflight requests are answered here.
	CORS []origin.Origin
	// Clients are the networks that a client must also come from. Default: all.
	Clients []netip.Prefix
	// Homes are networks whose clients need no sign-in.
	Homes []Home
	// Unauthenticated is what a visitor without a session gets: "auto" or "",
	// "redirect" or "401".
	Unauthenticated string
	// Basic offers programs without a session to send a token as the password of
	// Basic.
	Basic bool
	// Headers are presets of identity headers. Default: remote.
	Headers []string
	// Fields are identity headers of any name, beside the presets.
	Fields []Field
	// Keep names headers that pass from trusted proxies though they say that a
	// request is for another path. Default: none.
	Keep []string
	// ReportOnly stops nobody and logs who would have been.
	ReportOnly bool
	// Part names the paths that Concerns takes, for people. Default: no name.
	Part string

	headersOnce sync.Once
	headers     *headerSet // Headers, by headerSet
}

// ServeHTTP decides about one request: it is answered here (pages, refusals),
// or passes on with the visitor's identity.
//
// The order is part of the promise. What no client may say is removed first,
// before anything can fail. Then come the questions that need no session: is
// this place asked for (origin), may this client ask at all. Only then is the
// session looked up and the policy asked.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next Handler) error {
	q, ok := g.House.meet(w, r)
	if !ok {
		return nil
	}
	q.gate, q.next, q.keep = g, next, g.Keep
	own := IsOwnPath(q.url.Path)
	concerned := own || g.Concerns == nil || g.Concerns(r, q.url)
	if !concerned && q.isCleaned() {
		// The gate before has cleaned the request, and told the app who it is.
		return next.ServeHTTP(w, r)
	}
	if !q.clean() {
		return q.refuse(refusal{kind: badMethod})
	}
	if !concerned {
		return q.passBeside()
	}
	if err := q.start(); err != nil {
		return q.notStarted(err, own)
	}
	if q.place = g.Place; own {
		q.place = g.Pages
		return q.servePages()
	}
	q.url = g.before(q.url)
	if q.sharing = q.sharesWith(); q.sharing != "" && isPreflight(r) {
		return q.answerPreflight()
	}
	began := time.Now()
	q.decide()
	if o := g.House.Observer; o != nil {
		o.Decided(q.outcome(), time.Since(began))
	}
	if q.why.kind != "" {
		q.report(q.why)
		if !g.ReportOnly {
			return q.refuse(q.why)
		}
		q.admitted = q.knownAnyway()
	}
	return q.pass()
}

// request is one request at one of our handlers.
type request struct {
	w    http.ResponseWriter
	r    *http.Request
	next Handler

	house  *House
	run    *Running       // by start
	shared map[string]any // with the other handlers of the request; see Server
	outer  *visitor       // what a gate before this one found
	made   *outing        // what came in, where a handler made this request for it
	gate   *Gate          // nil in other handlers
	place  *Place         // where it has come in
	keep   []string       // headers; see keeps

	// As the client sent them: rewrites before the gate change what the app
	// serves, not what the visitor asked for.
	url    *url.URL
	method string

	origin    origin.Origin
	portal    origin.Origin // where people sign in for this site; zero: here
	login     origin.Origin // with ForwardAuth: the host whose form is led to; zero: this one
	presented []string      // machine tokens that came with the request
	relayed   bool          // a proxy that is not trusted has handed the request on, as its headers say
	namesHost bool          // there is an X-Forwarded-Host
	basic     bool          // one came as the password of Basic, which browsers repeat by themselves
	misfit    string        // why the token that came counts for nothing
	// tokenHeader: one came in a header that the server would log.
	tokenHeader bool
	webSocket   bool
	sharing     string // the origin of the page that asks, where it may read answers; see Gate.CORS

	judgement
}

// judgement is what became known of a request's visitor, and what follows.
type judgement struct {
	found
	foreign  bool // a WebSocket that another site's page opened
	identity *identity

	home     *Home // why the request passes without a session
	admitted bool
	why      refusal // why it can't pass
}

// found is the visitor's session, once it was looked for.
type found struct {
	looked  bool
	session *session.Session
	lastUse time.Time // of the session, before this request
	tokens  int       // how many session cookies there were
}

func (h *House) request(w http.ResponseWriter, r *http.Request) request {
	q := request{w: w, r: r, house: h}
	q.url, q.method, q.shared = h.server().Asked(r)
	if q.outer, _ = q.shared[visitorKey].(*visitor); q.outer != nil {
		q.presented, q.basic, q.misfit, q.relayed = q.outer.machine, q.outer.basic, q.outer.misfit, q.outer.relayed
	}
	q.recall()
	return q
}

// meet begins a request at one of our handlers, before anything of
// ours looks at it. A request whose target has no path is answered here, also
// on public paths, beside a gate's matchers and with report_only: nothing that
// is decided by paths could be decided, and the app would read one all the same.
func (h *House) meet(w http.ResponseWriter, r *http.Request) (q request, ok bool) {
	q = h.request(w, r)
	if q.hasPath() {
		return q, true
	}
	h.count(badTarget, false)
	if missed, ok := h.Lines.Allow(q.client(), string(badTarget), "", time.Now()); ok {
		h.log().Info("a request target without a path was refused", slog.String("reason", string(badTarget)),
			slog.String("client_ip", q.client().String()), slog.String("host", web.Quoted(r.Host)), slog.Int("suppressed", missed))
	}
	_ = q.refuse(refusal{kind: badTarget, detail: "The request target must be a path that begins with /, or a whole http or https URL with one."})
	return q, false
}

// hasPath tells whether what the request asks for is a path. Of
// "GET x:http://a/admin/ HTTP/1.1" Go makes a URL with an empty path, and a proxy
// behind us sends "x:http://a/admin/" on, or without the x, as an absolute URL
// that apps serve. "OPTIONS *" asks about no path; a CONNECT that is none for a
// WebSocket is refused for its method.
func (q *request) hasPath() bool {
	switch {
	case q.url.Opaque != "" || q.r.URL.Opaque != "":
		return false
	case strings.HasPrefix(q.url.Path, "/"):
		return true
	case q.r.Method == http.MethodOptions:
		return q.url.Path == "*"
	}
	return q.r.Method == http.MethodConnect && !header.IsExtendedConnect(q.r)
}

// start waits for the house to open. Where a handler stands is known once it has.
func (q *request) start() (err error) {
	q.run, err = q.house.Await(q.r.Context())
	return err
}

// IsOwnPath tells whether path belongs to Gatehouse on every site.
func IsOwnPath(path string) bool {
	return strings.HasPrefix(path, screen.Root) || path == screen.Root[:len(screen.Root)-1]
}

// decide tells whether the visitor is admitted, or why the request can't pass. A
// request for a public path passes also when the visitor is not: then it is
// anonymous to the app.
func (q *request) decide() {
	public := q.gate.Rule.IsPublic(q.target()) && header.Destination(q.r) == nil
	if q.why = q.locate(!public); q.why.kind != "" {
		return
	}
	if q.why = q.checkClient(); q.why.kind != "" {
		return
	}
	q.decideHere(public)
}

// decideHere is decide once the place is known.
func (q *request) decideHere(public bool) {
	q.why = q.judgeVisitor()
	q.admitted = q.why.kind == "" && q.home == nil
	if public {
		q.why = refusal{}
	}
}

func (q *request) outcome() Outcome {
	switch {
	case q.admitted:
		return Admitted
	case q.why.kind == "":
		return Anonymous
	case q.why.kind == loginRequired:
		return LoginRequired
	case q.why.kind == unavailable:
		return Failed
	}
	return Refused
}

// target is the request in the words of the site's rule.
func (q *request) target() session.Target {
	return session.Target{Origin: q.origin, Method: q.method, Path: q.url.Path, Escaped: q.url.EscapedPath()}
}

func (q *request) judgeVisitor() refusal {
	if q.basic && q.fromElsewhere() {
		q.presented, q.misfit = nil, "A token that comes as the password of Basic does not count for requests that pages of other sites make: browsers send it with those by themselves."
	}
	if q.webSocket && !q.hasToken() && !q.fromOwnPage() {
		q.foreign = true
		return refusal{kind: badWebSocket}
	}
	err := q.find()
	target := q.target()
	judged := q.run.Service.Sessions().Judge(&q.gate.Rule, &session.Visitor{Session: q.session, LastUse: q.lastUse, Err: err}, target)
	if judged.Decision == session.SignInFirst {
		if q.home = q.atHome(); q.home != nil {
			q.identifyHome(q.home)
			return refusal{}
		}
	}
	if why := refusalOf(judged); why.kind != "" {
		return why
	}
	if why := q.judgeMethod(); why.kind != "" {
		return why
	}
	if q.house.replaced.Load() && !q.run.Core.Sessions().Allows(&session.Stream{Session: q.session, Gate: q.place.Key, Target: target}) {
		// After a reload the old server may still accept a connection.
		return refusal{kind: notAllowed}
	}
	q.run.Service.Sessions().Opened(q.session, q.origin)
	if err := q.identify(); err != nil {
		return refusal{kind: unavailable, err: err}
	}
	return refusal{}
}

// knownAnyway tells, for a request that a gate with report_only would have
// refused, whether the app is told who asks: identity works as ever where only
// the client's address or the age of the sign-in stands against an admitted
// person.
func (q *request) knownAnyway() bool {
	switch q.why.kind {
	case clientRefused, tooEarly, loginRequired:
	default:
		return false
	}
	if q.webSocket && !q.fromOwnPage() {
		q.foreign = true
		return false
	}
	if !q.looked && q.find() != nil {
		return false
	}
	if q.session == nil || q.session.Machine != nil || !q.gate.Rule.Policy.Admits(q.session.Address) {
		return false
	}
	q.run.Service.Sessions().Opened(q.session, q.origin)
	return q.identify() == nil
}

// servePages answers a request for one of our own paths. Without a store they
// are still answered, as well as they can be.
func (q *request) servePages() error {
	why := q.locate(true)
	if why.kind == "" && q.gate != nil && q.gate.Concerns == nil {
		// Those of a limited gate may serve visitors of others.
		why = q.checkClient()
	}
	if why.kind != "" {
		q.report(why)
		if q.origin.IsZero() || !q.gate.ReportOnly {
			return q.refuse(why)
		}
	}
	return q.showPages()
}

// showPages serves the pages once the place is known. A machine token opens
// none: they are for people.
func (q *request) showPages() error {
	if q.made != nil { // a page of ours within one of an app's
		return q.showNothing()
	}
	q.presented = nil
	switch err := q.find(); {
	case err != nil && pages.NeedsSession(q.url.Path):
		why := refusal{kind: unavailable, err: err}
		q.report(why)
		return q.refuse(why)
	case err != nil:
		q.house.log().Error("the session of a visitor of the sign-in pages can't be read", slog.Any("error", err))
	case q.session != nil:
		q.run.Service.Sessions().Used(q.session)
	}
	w := q.w
	if q.behindUnknownProxy() {
		on := *q // a copy, so that q need not outlive every other request
		w = &limitWatch{w, &on}
	}
	q.run.Pages.ServeHTTP(w, q.original(), q.known())
	return nil
}

// original is the request as the client sent it, with our cookies, for what
// answers it in our name: that may also set them.
func (q *request) original() *http.Request {
	r := q.r.WithContext(q.r.Context())
	r.URL, r.Method = q.url, q.method
	if q.outer != nil {
		q.outer.answeredByUs()
		r.Header = r.Header.Clone()
		r.Header["Cookie"] = q.outer.cookies
	}
	return r
}

// known is what the pages may know of the visitor.
func (q *request) known() pages.Visit {
	sites := q.house.sites()
	if q.portal.IsZero() {
		q.portal = sites.PortalFor(q.origin)
	}
	return pages.Visit{
		Origin: q.origin, Client: q.client(), Session: q.session, SessionCookies: q.tokens,
		Portal: q.portal, IsPortal: sites.IsPortal(q.origin), Account: sites.AccountAt(q.origin),
	}
}
