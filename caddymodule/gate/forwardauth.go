package gate

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/forward"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// ForwardAuth answers other proxies (nginx, HAProxy, Traefik, Envoy, Caddy) that
// ask whether a request may pass, on the paths of Authelia and of oauth2-proxy. It
// answers every path itself and never calls the next handler: proxies read any
// 200 as "allowed". It believes what a proxy says of a request only if the server
// trusts that proxy.
type ForwardAuth struct {
	House *House
	// Login is where people sign in: a Portal, or a site with a Gate.
	Login origin.Origin
	// Sites are what the other proxies protect. The first that names a host
	// exactly counts, then the first with a star.
	Sites []*Site

	known knownSites
}

// Site is one site, or all below a domain, behind another proxy.
type Site struct {
	Pattern origin.SitePattern
	Gate    *Gate // decides as a gate at the site itself would
}

// ServeHTTP answers one question of a proxy.
func (a *ForwardAuth) ServeHTTP(w http.ResponseWriter, r *http.Request, _ Handler) error {
	told, ok := a.House.meet(w, r)
	if !ok {
		return nil
	}
	q := &question{request: told, authz: a}
	q.hideTokens()
	w.Header()["Cache-Control"] = noStore
	q.dialect = forward.DialectOf(q.url.Path)
	switch {
	case q.dialect != nil:
		return q.answer()
	case IsOwnPath(q.url.Path):
		return q.servePages()
	case forward.IsSignIn(q.url.Path):
		return q.leadToLogin()
	}
	w.WriteHeader(http.StatusForbidden)
	return nil
}

// noStore and noBody are header values of every answer, made once.
var noStore, noBody = []string{"no-store"}, []string{"0"}

// question is one request about another.
type question struct {
	request
	authz   *ForwardAuth
	dialect *forward.Dialect
	site    *Site // of the request that is asked about; nil: none of ours
}

// answer decides about the request that is asked about.
func (q *question) answer() error {
	if err := q.start(); err != nil {
		if q.dialect.Strict {
			q.w.WriteHeader(http.StatusForbidden)
			return nil
		}
		return q.notStarted(err, true)
	}
	q.why = refusal{kind: badForward, detail: q.read()}
	if q.why.detail == "" {
		told := q.url
		q.portal = q.authz.Login
		q.judgeSite()
		if q.dialect.Single(told); q.site != nil {
			q.url = q.site.Gate.before(told)
		}
	}
	switch q.why.kind {
	case "":
		return q.allow()
	case loginRequired:
		q.house.count(loginRequired, false)
	default:
		q.report(q.why)
	}
	if q.dialect.Strict {
		return q.refuseStrictly(q.why)
	}
	return q.refuse(q.why)
}

// read finds out which request is asked about, or what is wrong with the question.
func (q *question) read() (problem string) {
	if !q.trusted() {
		return "The peer is not listed in Caddy's trusted_proxies, so what it says of the request was not believed: list the proxy that asks there."
	}
	asks := q.asks()
	told, problem := asks.Read(q.dialect)
	if problem != "" {
		return problem
	}
	known, problem := q.authz.recognize(told.Scheme, told.Host, q.run.Domain)
	if problem != "" {
		return problem
	}
	q.origin, q.site, q.login = known.origin, known.site, known.login
	at, problem := told.URL()
	if problem != "" {
		return problem
	}
	q.url, q.method = at, told.Method
	h := q.r.Header
	if lines := h["Upgrade"]; len(lines) > 1 || len(lines) == 1 && !strings.EqualFold(lines[0], "websocket") {
		// The proxy would send the app the same: behind h2c nobody would ask us.
		return "The proxy passes on Upgrade: " + web.Quoted(strings.Join(lines, ", ")) + "; have it remove every Upgrade but one websocket."
	}
	q.webSocket = header.IsWebSocket(h)
	q.takeToken()
	pinned, problem := asks.Misrouted(q.dialect, q.origin)
	if problem == "" && !pinned {
		problem = q.hostContradicts(q.origin)
	}
	return problem
}

// hostContradicts finds a Host header that names another site of ours than the one that
// the proxy seems to ask about, at whatever port. nginx sets it to the host that it routes
// to, and hands on what the client says in X-Forwarded-Host. Else Host is our own address:
// where the proxy asks at, or where people sign in.
func (q *question) hostContradicts(about origin.Origin) (problem string) {
	host, err := origin.New(about.Scheme(), hostname(q.r.Host))
	if err != nil || host.Hostname() == about.Hostname() || host.Hostname() == q.authz.Login.Hostname() {
		return ""
	}
	named := slices.ContainsFunc(q.authz.Sites, func(s *Site) bool { return s.Pattern.CoversName(host.Hostname()) })
	if !named && (host.IsLocalhost() || !q.run.Service.Protects(host)) {
		return ""
	}
	return "The proxy's Host header names the site " + web.Quoted(host.Host()) + ", and what else it sends is about " + web.Quoted(about.Host()) +
		": have it set X-Forwarded-Host to the host that it routes to, or write that into the address that it asks at, as in ?site=" + host.Host() + "."
}

// hostname is a Host header without its port, of which a client may write any.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.Trim(host[i+1:], "0123456789") == "" {
		return host[:i]
	}
	return host
}

func (q *question) asks() forward.Question {
	return forward.Question{Request: q.r, At: q.url, Scheme: q.authz.Login.Scheme()}
}

// ownSite is the site that a request for one of our own pages is for.
func (q *question) ownSite() (o origin.Origin, problem string) {
	if !q.trusted() {
		return o, "The peer is not listed in Caddy's trusted_proxies: list the proxy that passes /_gatehouse/* on there."
	}
	if o, problem = q.asks().Own(); problem == "" {
		problem = q.hostContradicts(o)
	}
	return o, problem
}

// judgeSite asks the gate of the site.
func (q *question) judgeSite() {
	if q.site == nil {
		q.why = refusal{kind: unknownSite, detail: "No site line names " + web.Quoted(q.origin.Host()) + "."}
		return
	}
	q.gate, q.place = q.site.Gate, q.site.Gate.Place
	q.url = q.gate.before(q.url)
	if !header.IsPassable(q.method, q.webSocket) {
		q.why = refusal{kind: notPassable}
		return
	}
	public := q.gate.Rule.IsPublic(q.target())
	if !public && !q.origin.Secure() && !q.run.InsecureHTTP && !q.origin.IsLocalhost() {
		q.why = refusal{kind: insecureHTTP, detail: "Use https. " + orInsecure}
		return
	}
	q.decideHere(public)
}

// allow answers that the request may pass, with the visitor's identity if there
// is one to tell. The body stays empty: a proxy that does not read it would
// have to give up the connection.
func (q *question) allow() error {
	if q.isNamed() {
		q.identity.write(q.w.Header())
	}
	h := q.w.Header()
	h["Content-Length"] = noBody
	delete(h, "Server") // each header costs the proxy that asks more than us
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// refuseStrictly answers proxies that know 401 and 403 alone: nginx makes a 500
// of everything else.
func (q *question) refuseStrictly(why refusal) error {
	status := http.StatusForbidden
	if why.kind == loginRequired {
		status = http.StatusUnauthorized
		q.challengeStrictly(why.maxAge)
	} else if why.kind == notAllowed && q.dialect.Location && q.session != nil && q.session.Machine == nil {
		q.w.Header().Set("Location", q.refusedURL(q.wanted()))
	}
	q.w.Header()["Content-Length"] = noBody
	q.w.WriteHeader(status)
	return nil
}

// challengeStrictly says where to sign in, once: nginx hands a WWW-Authenticate on
// beside its own.
func (q *question) challengeStrictly(maxAge time.Duration) {
	form := q.loginURL(q.cameFrom(), maxAge)
	if q.dialect.Location {
		q.w.Header().Set("Location", form)
		q.offerBasic()
	} else {
		q.challenge(form, maxAge)
	}
}

// knownSite is what a scheme and a host come to that a proxy asks about.
type knownSite struct {
	origin origin.Origin
	site   *Site         // nil: none of ours
	login  origin.Origin // where its people sign in
}

// knownSites remembers those that were asked about, up to maxKnownSites: proxies
// ask about the same few at every request. The map is never changed, only
// replaced.
type knownSites struct {
	p atomic.Pointer[map[[2]string]knownSite]
}

const maxKnownSites = 100

// recognize finds the site that is asked about.
func (a *ForwardAuth) recognize(scheme, host, domain string) (k knownSite, problem string) {
	known := a.known.p.Load()
	if known != nil {
		if k, ok := (*known)[[2]string{scheme, host}]; ok {
			return k, ""
		}
	}
	if k.origin, problem = forward.Origin(scheme, host); problem != "" {
		return k, problem
	}
	if k.site = a.Site(k.origin); k.site == nil {
		return k, ""
	}
	k.login = a.loginFor(k.origin, domain)
	a.known.add(known, [2]string{scheme, host}, k)
	return k, ""
}

// add remembers one more than old, unless somebody else was quicker.
func (s *knownSites) add(old *map[[2]string]knownSite, asked [2]string, k knownSite) {
	more := map[[2]string]knownSite{}
	if old != nil {
		if len(*old) >= maxKnownSites {
			return
		}
		more = maps.Clone(*old)
	}
	asked[0], asked[1] = strings.Clone(asked[0]), strings.Clone(asked[1]) // else they keep the request's headers
	more[asked] = k
	s.p.CompareAndSwap(old, &more)
}

// Site returns the site that o is of, nil for none.
func (a *ForwardAuth) Site(o origin.Origin) *Site {
	var starred *Site
	for _, s := range a.Sites {
		if !s.Pattern.Covers(o) {
			continue
		}
		if s.Pattern.Exact() {
			return s
		}
		if starred == nil {
			starred = s
		}
	}
	return starred
}

// loginFor is where people of the site o sign in: at the login host directly
// where the cookie set there is good for o, else at o itself, which has the
// session handed over.
func (a *ForwardAuth) loginFor(o origin.Origin, domain string) origin.Origin {
	if a.Login.Audience(domain) == o.Audience(domain) {
		return a.Login
	}
	return o
}

// servePages serves our own pages for a site whose proxy leads /_gatehouse/*
// here: the hand-over of sessions, and who is signed in.
func (q *question) servePages() error {
	q.r.Header.Del(MachineHeader)
	if err := q.start(); err != nil {
		return q.notStarted(err, true)
	}
	origin, problem := q.ownSite()
	if problem == "" && q.authz.Site(origin) == nil {
		problem = "No site line names " + web.Quoted(origin.Host()) + "."
	}
	if problem != "" {
		q.report(refusal{kind: badForward, detail: problem})
		q.w.WriteHeader(http.StatusForbidden)
		return nil
	}
	q.origin, q.portal = origin, q.authz.Login
	return q.showPages()
}

// leadToLogin answers oauth2-proxy's sign-in paths. The page says the same as
// the Location, because nginx is often told to make a 403 of the answer.
func (q *question) leadToLogin() error {
	if err := q.start(); err != nil {
		return q.notStarted(err, true)
	}
	to := q.wishedReturn()
	q.login = q.authz.loginFor(to.Origin(), q.run.Domain)
	q.w.Header().Set("Location", q.loginURL(to, 0))
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	q.w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	q.w.WriteHeader(http.StatusFound)
	fmt.Fprint(q.w, pages.LeadTo(q.loginURL(to, 0)))
	return nil
}

// wishedReturn is where the visitor wants to be after signing in: rd or what
// the proxy says, at one of our sites; else the login host itself.
func (q *question) wishedReturn() origin.ReturnTo {
	own := q.authz.Login
	if origin, problem := q.ownSite(); problem == "" && q.authz.Site(origin) != nil {
		own = origin
	}
	wish := q.url.Query().Get("rd")
	if wish == "" {
		wish = q.r.Header.Get("X-Auth-Request-Redirect")
	}
	to := origin.ParseReturnTo(wish, own, q.run.Service.Protects)
	if strings.HasPrefix(to.Path(), "/oauth2/") { // else it would lead back here
		to = origin.ParseReturnTo("/", own, nil)
	}
	return to
}
