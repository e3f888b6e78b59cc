package caddymodule

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
)

func init() { caddy.RegisterModule(new(Authz)) }

// Authz answers other proxies (nginx, HAProxy, Traefik, Envoy, another Caddy)
// that ask whether a request may pass, on the paths of Authelia and of
// oauth2-proxy. It stands in a site without a host name, answers every path
// itself and never calls the next handler: proxies read any 200 as "allowed".
//
// It believes what a proxy says of a request only if that proxy is one of the
// server's trusted_proxies.
type Authz struct {
	// Login is where people sign in, for example https://auth.example.com: a
	// gatehouse_portal, or a site with a gate.
	Login string `json:"login,omitempty"`
	// Sites lists what the other proxies protect, each with its people. The
	// first that names a host exactly counts, then the first with a star.
	Sites []*AuthzSite `json:"sites,omitempty"`

	app     *App
	login   origin.Origin
	address string   // where it listens, for snippets
	servers []string // that it stands in
	known   knownSites
}

// AuthzSite is one site, or all below a domain, behind another proxy.
type AuthzSite struct {
	// Site is a host name, with *. in front for all names one label below it.
	Site string `json:"site,omitempty"`
	// Allow, Deny, Public, Fresh and Headers are as in a gate.
	Allow   []string       `json:"allow,omitempty"`
	Deny    []string       `json:"deny,omitempty"`
	Public  []string       `json:"public,omitempty"`
	Fresh   caddy.Duration `json:"fresh,omitempty"`
	Headers []string       `json:"headers,omitempty"`

	pattern origin.SitePattern
	gate    *Gate // decides as a gate at the site itself would
}

// CaddyModule returns the Caddy module information.
func (*Authz) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_authz", New: func() caddy.Module { return new(Authz) }}
}

// Provision joins the handler to the app.
func (a *Authz) Provision(ctx caddy.Context) (err error) {
	if a.app, err = theApp(ctx); err != nil {
		return err
	}
	if err := a.parse(a.app.groups); err != nil {
		return err
	}
	a.app.authzs = append(a.app.authzs, a)
	return nil
}

func (a *Authz) parse(groups *policy.Groups) (err error) {
	if a.login, err = parseOriginOption("gatehouse_authz: login", "login", a.Login); err != nil {
		return err
	}
	if len(a.Sites) == 0 {
		return fmt.Errorf("gatehouse_authz protects nothing: name a site and its people, as in\n    site wiki.example.com *@example.com")
	}
	for i, s := range a.Sites {
		if err := s.parse(a.app, groups, a.login.Scheme()); err != nil {
			return fmt.Errorf("site %s: %w", s.Site, err)
		}
		for _, other := range a.Sites[:i] {
			if other.pattern == s.pattern {
				return fmt.Errorf("site %s is written twice: put the people of both on one line", s.Site)
			}
		}
	}
	return nil
}

// parseOriginOption reads an option whose value is the origin of a site.
func parseOriginOption(where, option, text string) (origin.Origin, error) {
	try := "write where people sign in, as in\n    " + option + " https://auth.example.com"
	if text == "" {
		return origin.Origin{}, fmt.Errorf("%s is missing; %s", where, try)
	}
	o, err := origin.Parse(text)
	if err != nil {
		return o, fmt.Errorf("%s %q: %w; %s", where, text, err, try)
	}
	return o, nil
}

func (s *AuthzSite) parse(app *App, groups *policy.Groups, scheme string) (err error) {
	if s.pattern, err = origin.ParseSitePattern(s.Site); err != nil {
		return err
	}
	s.gate = &Gate{Allow: s.Allow, Deny: s.Deny, Public: s.Public, Fresh: s.Fresh, Headers: s.Headers, app: app}
	if err := s.gate.parse(groups); err != nil {
		return err
	}
	s.gate.place = &place{key: "authz " + s.Site, hosts: []string{siteHost(s.pattern)}, tls: true, behind: true}
	if o := s.pattern.Origin(scheme); !o.IsZero() {
		s.gate.place.origins = []origin.Origin{o}
	}
	return s.gate.checkOptions(authcore.DefaultSession)
}

// ServeHTTP answers one question of a proxy.
func (a *Authz) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	v, ok := a.app.meet(w, r)
	if !ok {
		return nil
	}
	q := &question{visit: v, authz: a}
	q.hideTokens()
	w.Header()["Cache-Control"] = noStore
	q.dialect = dialectOf(q.url.Path)
	switch {
	case q.dialect != nil:
		return q.answer()
	case isOwnPath(q.url.Path):
		return q.servePages()
	case q.url.Path == oauthSignIn || q.url.Path == oauthStart:
		return q.leadToLogin()
	}
	w.WriteHeader(http.StatusForbidden)
	return nil
}

// noStore and noBody are header values of every answer, made once.
var noStore, noBody = []string{"no-store"}, []string{"0"}

// question is one request about another.
type question struct {
	visit
	authz   *Authz
	dialect *dialect
	site    *AuthzSite // of the request that is asked about; nil: none of ours
}

// answer decides about the request that is asked about.
func (q *question) answer() error {
	if err := q.start(); err != nil {
		if q.dialect.strict {
			q.w.WriteHeader(http.StatusForbidden)
			return nil
		}
		return q.notStarted(err, true)
	}
	var admitted bool
	why := refusal{kind: badForward, detail: q.read()}
	if why.detail == "" {
		admitted, why = q.judgeSite()
		q.single()
	}
	switch {
	case why.kind == "":
		return q.allow(admitted)
	case why.kind != loginRequired:
		q.report(why)
	default:
		countRefusal(why.kind, false)
	}
	if q.dialect.strict {
		return q.refuseStrictly(why)
	}
	return q.refuse(why)
}

// judgeSite asks the gate of the site.
func (q *question) judgeSite() (admitted bool, why refusal) {
	s := q.site
	if s == nil {
		return false, refusal{kind: unknownSite, detail: "No site line names " + quoted(q.origin.Host()) + "."}
	}
	q.g, q.place = s.gate, s.gate.place
	if !isPassable(q.method, q.webSocket) {
		return false, refusal{kind: notPassable}
	}
	public := s.gate.rule.IsPublic(q.target())
	if !public && !q.origin.Secure() && !q.run.insecureHTTP && !q.origin.IsLocalhost() {
		return false, refusal{kind: insecureHTTP, detail: "Use https. " + orInsecure}
	}
	return q.decideHere(public)
}

// allow answers that the request may pass, with the visitor's identity if there
// is one to tell. The body stays empty: a proxy that does not read it would
// have to give up the connection.
func (q *question) allow(admitted bool) error {
	if admitted {
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
	}
	q.w.Header()["Content-Length"] = noBody
	q.w.WriteHeader(status)
	return nil
}

// maxLoginURL keeps the headers of an answer under 3 KiB: nginx makes a 500 of
// more than 4.
const maxLoginURL = 2750

// challengeStrictly says where to sign in, once: nginx hands a WWW-Authenticate on
// beside its own. What leads back is shortened where the form's address gets too
// long.
func (q *question) challengeStrictly(maxAge time.Duration) {
	login := func(to origin.ReturnTo) string { return q.loginURL(to, maxAge) }
	form := login(q.cameFrom().Shorten(func(to origin.ReturnTo) bool { return len(login(to)) <= maxLoginURL }))
	if q.dialect.location {
		q.w.Header().Set("Location", form)
	} else {
		q.challenge(form, maxAge)
	}
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Authz)(nil)
	_ caddyhttp.MiddlewareHandler = (*Authz)(nil)
)
