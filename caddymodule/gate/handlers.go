package gate

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/oidc"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Cleaner passes requests on without what only Gatehouse may say: identity
// headers in any spelling, as header or trailer, hop-by-hop tricks, upgrades to
// anything but a WebSocket, and Gatehouse's cookies and machine tokens. The app
// can't set Gatehouse's cookies either. It asks nobody to sign in, does nothing
// after a gate, and leaves session and token to a gate further in.
type Cleaner struct {
	House *House
	Keep  []string // see Gate
}

// ServeHTTP passes the request on, cleaned.
func (c *Cleaner) ServeHTTP(w http.ResponseWriter, r *http.Request, next Handler) error {
	q, ok := c.House.meet(w, r)
	if !ok {
		return nil
	}
	q.keep = c.Keep
	return q.passCleaned(next)
}

// passCleaned passes on what no gate here looks at, once it is cleaned.
func (q *request) passCleaned(next Handler) error {
	if q.isCleaned() {
		return next.ServeHTTP(q.w, q.r)
	}
	q.next = next
	if !q.clean() {
		return q.refuse(refusal{kind: badMethod})
	}
	return q.passBeside()
}

// isCleaned tells whether a gate or a cleaner before this one has cleaned the
// request and still looks at the answer. In an error route it does not: the
// handlers before have returned.
func (q *request) isCleaned() bool { return q.outer != nil && !q.outer.ended }

// clean takes from the request what no client may say, before anything can
// fail, and keeps what a gate further in needs. It tells whether the request may
// be passed on at all.
func (q *request) clean() bool {
	q.takeToken()
	handshake := q.cleanRequest()
	q.webSocket = handshake || header.IsWebSocket(q.r.Header)
	return header.IsPassable(q.r.Method, handshake)
}

// passBeside passes on what no gate here looks at. Error routes are told whom
// the gate has admitted.
func (q *request) passBeside() error {
	if q.outer != nil && q.outer.identity != nil {
		q.outer.identity.write(q.r.Header)
	}
	return q.pass()
}

// Pages answers requests for Gatehouse's own paths, as the client sent them; all
// others pass on.
type Pages struct {
	House *House
	Place *Place
	// Cleans has the others pass cleaned, as a Cleaner does, with Keep.
	Cleans bool
	Keep   []string
}

// ServeHTTP answers, or passes on.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request, next Handler) error {
	q, ok := p.House.meet(w, r)
	if !ok {
		return nil
	}
	if !IsOwnPath(q.url.Path) {
		if q.keep = p.Keep; p.Cleans {
			return q.passCleaned(next)
		}
		return next.ServeHTTP(w, r)
	}
	if !q.clean() {
		return q.refuse(refusal{kind: badMethod})
	}
	if err := q.start(); err != nil {
		return q.notStarted(err, true)
	}
	q.place = p.Place
	return q.servePages()
}

// Portal is one sign-in host for many sites: it has all pages, a front page that
// lists the sites that the visitor may open, and what monitors ask. Requests for
// other paths pass on, cleaned.
type Portal struct {
	House *House
	Place *Place
	// Health tells monitors how the instance is, without addresses or names; ok:
	// people can sign in. Default: there is no such page.
	Health func(context.Context) (answer any, ok bool)
	// Privately answers a call of an app, or a browser that an app has sent, so
	// that neither the address nor the answer's Location is logged. Default: nothing
	// is logged anyway.
	Privately func(w http.ResponseWriter, r *http.Request, client netip.Addr, call func(http.ResponseWriter))
	// Hooks hears what mail systems report, signed. Default: there is no such path.
	Hooks http.Handler
}

// healthPath tells monitors how the instance is. No sign-in, and no secret.
const healthPath = screen.Root + "health"

// hooksPath is where mail systems report. Their signature is all that counts.
const hooksPath = screen.Root + "hooks/"

// ServeHTTP answers the portal's own paths and those of all sign-in pages.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request, next Handler) error {
	q, ok := p.House.meet(w, r)
	if !ok {
		return nil
	}
	own := IsOwnPath(q.url.Path)
	provider := oidc.Knows(q.url.Path)
	if !own && !provider && q.url.Path != "/" {
		return q.passCleaned(next)
	}
	if !q.clean() {
		return q.refuse(refusal{kind: badMethod})
	}
	if err := q.start(); err != nil {
		return q.notStarted(err, true)
	}
	q.place = p.Place
	switch {
	case provider && q.run.OIDC == nil:
		q.next = next
		return q.passBeside()
	case provider:
		return q.serveProvider(p)
	case q.url.Path == healthPath && p.Health != nil:
		return q.showHealth(p.Health)
	case strings.HasPrefix(q.url.Path, hooksPath) && p.Hooks != nil:
		p.Hooks.ServeHTTP(q.w, q.original())
		return nil
	case own:
		return q.servePages()
	}
	if why := q.locate(true); why.kind != "" {
		q.report(why)
		return q.refuse(why)
	}
	return q.showSites()
}

// serveProvider answers apps, and browsers that apps have sent. Those bring the
// session of their person.
func (q *request) serveProvider(p *Portal) error {
	if why := q.locate(true); why.kind != "" {
		q.report(why)
		return q.refuse(why)
	}
	path := q.url.Path
	q.presented = nil
	if oidc.ForBrowsers(path) {
		if err := q.find(); err != nil {
			return q.refuse(refusal{kind: unavailable, err: err})
		}
	}
	call := func(w http.ResponseWriter) { q.run.OIDC.Serve(w, q.original(), q.known()) }
	if p.Privately == nil || !oidc.IsSecret(path) {
		call(q.w)
	} else {
		p.Privately(q.w, q.original(), q.client(), call)
	}
	return nil
}

// showSites answers the front page.
func (q *request) showSites() error {
	if !q.reads() {
		return q.refuse(refusal{kind: badMethod})
	}
	q.presented = nil
	if err := q.find(); err != nil {
		return q.refuse(refusal{kind: unavailable, err: err})
	}
	var apps []pages.App
	if q.session != nil {
		q.run.Service.Sessions().Used(q.session)
		if q.run.OIDC != nil {
			apps = q.run.OIDC.Apps(q.session.Address, q.origin)
		}
	}
	q.run.Pages.Sites(q.w, q.original(), q.known(), q.house.sites().Open(q.session, q.client()), apps)
	return nil
}

// showHealth tells whether people can sign in: 200, or 503 when the store can't
// be read or no mail can be sent.
func (q *request) showHealth(health func(context.Context) (answer any, ok bool)) error {
	if !q.reads() {
		return q.refuse(refusal{kind: badMethod})
	}
	answer, ok := health(q.r.Context())
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
		q.w.Header().Set("Retry-After", retryAfter)
	}
	web.NoStore(q.w.Header())
	q.writeJSON(status, answer)
	return nil
}

// API answers the calls of the JSON APIs. Requests for paths it does not know
// pass on.
type API struct {
	House *House
	Place *Place
	// Privately has a call answered whose query or headers may hold a secret, so
	// that neither is logged. Default: nothing is logged anyway.
	Privately func(w http.ResponseWriter, r *http.Request, client netip.Addr, call func(http.ResponseWriter))
}

// ServeHTTP answers one call, or passes on.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request, next Handler) error {
	q, ok := a.House.meet(w, r)
	if !ok {
		return nil
	}
	if err := q.start(); err != nil {
		return q.notStarted(err, true)
	}
	q.place = a.Place
	if !q.run.API.Knows(q.url.Path) {
		return next.ServeHTTP(w, r)
	}
	if why := q.locate(true); why.kind != "" {
		q.report(why)
		return q.refuse(why)
	}
	if a.Privately == nil {
		q.call(w)
	} else {
		a.Privately(w, q.original(), q.client(), q.call)
	}
	return nil
}

func (q *request) call(w http.ResponseWriter) {
	visit := api.Visit{Origin: q.origin, Named: q.place.named(q.origin), Client: q.client()}
	if !q.run.API.Serve(w, q.original(), visit) {
		q.run.API.NotFound(w, q.original(), visit) // never a server's empty 200
	}
}

// NotFound says in the words of the APIs that there is no such call.
func (a *API) NotFound(w http.ResponseWriter, r *http.Request) {
	q := a.House.request(w, r)
	if err := q.start(); err != nil {
		http.NotFound(w, r)
		return
	}
	q.run.API.NotFound(w, q.original(), api.Visit{Client: q.client()})
}

// Who returns the live session of a request at any protected origin, with its
// person's groups, and counts as a use of it; nil for nobody. No policy is asked.
// An error means that it can't be told.
func (h *House) Who(w http.ResponseWriter, r *http.Request) (*session.Session, []string, error) {
	q := h.request(w, r)
	if !q.hasPath() {
		return nil, nil, nil
	}
	if err := q.start(); err != nil {
		return nil, nil, err
	}
	scheme, ok := q.scheme()
	if !ok {
		return nil, nil, nil
	}
	at, err := origin.New(scheme, r.Host)
	if err != nil || !q.run.Service.Protects(at) {
		return nil, nil, nil
	}
	q.origin = at
	if err := q.find(); err != nil || q.session == nil {
		return nil, nil, err
	}
	q.run.Service.Sessions().Used(q.session)
	return q.session, q.run.groupsOf(q.session.Address), nil
}
