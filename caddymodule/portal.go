package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages"
)

func init() { caddy.RegisterModule(new(Portal)) }

// Portal is one sign-in host for many sites. Sites whose gates name it with
// portal, and sites behind other proxies whose gatehouse_authz names it with
// login, send their visitors here to sign in and get a session of their own
// handed over. Its front page lists the sites that the visitor may open.
//
// Requests for paths it does not know pass on.
type Portal struct {
	// Origins lists where the portal stands beside what the host matchers above
	// it say.
	Origins []string `json:"origins,omitempty"`

	app     *App
	origins []origin.Origin
	place   *place // set when the app starts
}

// CaddyModule returns the Caddy module information.
func (*Portal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_portal", New: func() caddy.Module { return new(Portal) }}
}

// Provision joins the portal to the app.
func (p *Portal) Provision(ctx caddy.Context) (err error) {
	if p.app, err = theApp(ctx); err != nil {
		return err
	}
	p.app.portals = append(p.app.portals, p)
	p.origins, err = parseOrigins(p.Origins)
	return err
}

// healthPath tells monitors how the instance is. No sign-in, and no secret.
const healthPath = pages.Root + "health"

// ServeHTTP answers the portal's own paths and those of all sign-in pages.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, ok := p.app.meet(w, r)
	if !ok {
		return nil
	}
	own := isOwnPath(v.url.Path)
	onward := !own && v.url.Path != "/"
	if onward && v.isCleaned() {
		return nextOr404(w, r, next)
	}
	if !v.clean() {
		return v.refuse(refusal{kind: badMethod})
	}
	if onward {
		v.next = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return nextOr404(w, r, next) })
		return v.passBeside()
	}
	if err := v.start(); err != nil {
		return v.notStarted(err, true)
	}
	v.place = p.place
	switch {
	case v.url.Path == healthPath:
		return v.showHealth()
	case own:
		return v.servePages()
	}
	if why := v.locate(true); why.kind != "" {
		v.report(why)
		return v.refuse(why)
	}
	return v.showSites()
}

// showSites answers the front page.
func (v *visit) showSites() error {
	if v.method != http.MethodGet && v.method != http.MethodHead {
		v.w.Header().Set("Allow", "GET, HEAD")
		v.w.WriteHeader(http.StatusMethodNotAllowed)
		return nil
	}
	v.presented = nil
	if err := v.find(); err != nil {
		return v.refuse(refusal{kind: unavailable, err: err})
	}
	if v.session != nil {
		v.run.service.Used(v.session)
	}
	v.run.pages.Sites(v.w, v.original(), v.known(), v.app.sitesFor(v.session, v.client()))
	return nil
}

// showHealth tells whether people can sign in: 200, or 503 when the store can't
// be read or no mail can be sent.
func (v *visit) showHealth() error {
	health, ok := v.run.operate.Health(v.r.Context())
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
		v.w.Header().Set("Retry-After", retryAfter)
	}
	v.w.Header().Set("Cache-Control", "no-store")
	v.w.Header().Set("X-Content-Type-Options", "nosniff")
	v.writeJSON(status, health)
	return nil
}

// placeOthers gives portals their place, and checks where the handlers stand
// that are no gates.
func (a *App) placeOthers(w *walk) error {
	for _, p := range a.portals {
		if p.place = w.places[p]; p.place == nil {
			p.place = &place{}
		}
		p.place.origins = p.origins
		if len(p.place.hosts) == 0 && len(p.origins) == 0 {
			return fmt.Errorf("gatehouse_portal stands under no host name, so its pages and mails don't know their address; give the site a name instead of a port alone, or write\n    gatehouse_portal {\n        origin https://auth.example.com\n    }")
		}
	}
	for _, z := range a.authzs {
		if err := a.placeAuthz(z, w.places[z]); err != nil {
			return err
		}
	}
	if err := a.placeAPIs(w); err != nil {
		return err
	}
	return a.checkPortals()
}

// placeAuthz refuses a place where Caddy itself would answer some of the
// questions.
func (a *App) placeAuthz(z *Authz, p *place) error {
	if p == nil {
		return nil
	}
	if p.named {
		return fmt.Errorf("gatehouse_authz stands under a host name (%s): Caddy answers 200 to every other host, and every proxy reads 200 as \"allowed\"; give the site a port alone, as in\n    http://:9091 {\n        bind 127.0.0.1\n        gatehouse_authz {\n            …\n        }\n    }", strings.Join(p.hosts, ", "))
	}
	for _, s := range p.spots {
		if len(s.paths) > 0 {
			a.log.Warn("gatehouse_authz stands behind a matcher for a path: Caddy answers 200 to every other path there, and a proxy that asks at one reads that as \"allowed\"; let it answer the whole site")
		}
		if err := a.checkTrusted(s.server); err != nil {
			return err
		}
		z.address = a.listenAddress(s.server)
		z.servers = append(z.servers, s.server)
		a.warnOfNoAsker(s.server)
	}
	if !a.protects(z.login) {
		a.log.Warn(fmt.Sprintf("gatehouse_authz: nobody can sign in at %s by this configuration; put a gatehouse_portal there, unless another instance with the same store does that", z.login))
	}
	return nil
}

// warnOfNoAsker tells of a gatehouse_authz that refuses whoever asks.
func (a *App) warnOfNoAsker(server string) {
	app, err := a.httpApp()
	if err != nil || app == nil || !a.believesNoAsker(server, app.Servers[server]) {
		return
	}
	found := examineServer(server, app.Servers[server], true)
	a.log.Warn(found.Found + ": " + found.Do)
}

// checkTrusted looks at the trusted_proxies of the server that authz stands in.
func (a *App) checkTrusted(server string) error {
	app, err := a.httpApp()
	if err != nil || app == nil {
		return err
	}
	if trustsEverybody(app.Servers[server]) {
		return errors.New("trusted_proxies holds everybody, so that everybody could tell gatehouse_authz which page they ask for; list the proxies that ask it, as in\n    trusted_proxies static 127.0.0.1/32")
	}
	return nil
}

// listenAddress is where other machines reach a server, or this one.
func (a *App) listenAddress(server string) string {
	app, err := a.httpApp()
	if err != nil || app == nil || len(app.Servers[server].Listen) == 0 {
		return ""
	}
	address, err := caddy.ParseNetworkAddress(app.Servers[server].Listen[0])
	if err != nil {
		return app.Servers[server].Listen[0]
	}
	if address.Host == "" {
		address.Host = "127.0.0.1"
	}
	return address.JoinHostPort(0)
}

// allGates are the gates of this server and those that stand for sites behind
// other proxies.
func (a *App) allGates() []*Gate {
	all := slices.Clone(a.gates)
	for _, z := range a.authzs {
		for _, s := range z.Sites {
			all = append(all, s.gate)
		}
	}
	return all
}

// checkPortals checks the portals that gates name.
func (a *App) checkPortals() error {
	for _, g := range a.gates {
		if g.portal.IsZero() {
			continue
		}
		if !g.portal.Secure() && !g.portal.IsLocalhost() && !a.insecureHTTP() {
			return fmt.Errorf("portal %s: sign-in needs https; write https://%s", g.portal, g.portal.Host())
		}
		if !a.protects(g.portal) {
			a.log.Warn(fmt.Sprintf("the gate at %s signs people in at %s, where nobody can by this configuration; put a gatehouse_portal there, unless another instance with the same store does that", g, g.portal))
		}
	}
	return nil
}

// portalFor is where people sign in for o; zero: at o itself. It is asked of the
// gates at o, because their pages may be served by another handler.
func (a *App) portalFor(o origin.Origin) origin.Origin {
	for _, g := range a.gates {
		if !g.portal.IsZero() && g.place.covers(o) {
			return g.portal
		}
	}
	return origin.Origin{}
}

// isPortal tells whether sessions of o may be handed over to other sites.
func (a *App) isPortal(o origin.Origin) bool {
	return a.isPortalPlace(o) ||
		slices.ContainsFunc(a.gates, func(g *Gate) bool { return g.portal == o }) ||
		slices.ContainsFunc(a.authzs, func(z *Authz) bool { return z.login == o })
}

func (a *App) isPortalPlace(o origin.Origin) bool {
	return slices.ContainsFunc(a.portals, func(p *Portal) bool { return p.place.covers(o) && p.place.speaks(o) })
}

// isSite tells whether another proxy asks here for o.
func (a *App) isSite(o origin.Origin) bool {
	return slices.ContainsFunc(a.authzs, func(z *Authz) bool { return z.site(o) != nil })
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Portal)(nil)
	_ caddyhttp.MiddlewareHandler = (*Portal)(nil)
)
