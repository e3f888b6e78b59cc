package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
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

	portal  gate.Portal
	origins []origin.Origin
	place   *routes.Place // set when the app starts
}

// CaddyModule returns the Caddy module information.
func (*Portal) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_portal", New: func() caddy.Module { return new(Portal) }}
}

// Provision joins the portal to the app.
func (p *Portal) Provision(ctx caddy.Context) (err error) {
	if err = join(ctx, p); err != nil {
		return err
	}
	p.origins, err = parseOrigins(p.Origins)
	return err
}

func (p *Portal) join(app *App) {
	app.portals = append(app.portals, p)
	p.portal.House, p.portal.Privately = &app.house, app.answerPrivately
	p.portal.Health = func(ctx context.Context) (any, bool) { return app.instance.Health(ctx) }
}

// ServeHTTP answers the portal's own paths and those of all sign-in pages.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return p.portal.ServeHTTP(w, r, orElse{next, http.NotFound})
}

// placeOthers gives portals their place, and checks where the handlers stand
// that are no gates.
func (a *App) placeOthers(w *routes.Walk) error {
	for _, p := range a.portals {
		if p.place = w.Places[p]; p.place == nil {
			p.place = &routes.Place{}
		}
		p.place.Origins, p.portal.Place = p.origins, &p.place.Place
		if len(p.place.Hosts) == 0 && len(p.origins) == 0 {
			return fmt.Errorf("gatehouse_portal stands under no host name, so its pages and mails don't know their address; give the site a name instead of a port alone, or write\n    gatehouse_portal {\n        origin https://auth.example.com\n    }")
		}
	}
	for _, z := range a.authzs {
		if err := a.placeAuthz(z, w.Places[z]); err != nil {
			return err
		}
	}
	if err := a.placeAPIs(w); err != nil {
		return err
	}
	if err := a.clientsLeadAway(); err != nil {
		return err
	}
	return a.checkPortals()
}

// placeAuthz refuses a place where Caddy itself would answer some of the
// questions.
func (a *App) placeAuthz(z *Authz, p *routes.Place) error {
	if p == nil {
		return nil
	}
	if p.Named {
		return fmt.Errorf("gatehouse_authz stands under a host name (%s): Caddy answers 200 to every other host, and every proxy reads 200 as \"allowed\"; give the site a port alone, as in\n    http://:9091 {\n        bind 127.0.0.1\n        gatehouse_authz {\n            …\n        }\n    }", strings.Join(p.Hosts, ", "))
	}
	for _, s := range p.Spots {
		if len(s.Paths) > 0 {
			a.log.Warn("gatehouse_authz stands behind a matcher for a path: Caddy answers 200 to every other path there, and a proxy that asks at one reads that as \"allowed\"; let it answer the whole site")
		}
		if err := a.checkTrusted(s.Server); err != nil {
			return err
		}
		z.address = a.listenAddress(s.Server)
		z.servers = append(z.servers, s.Server)
		a.warnOfNoAsker(s.Server)
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
	if address.IsUnixNetwork() {
		return address.String()
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
		if !g.portal.IsZero() && g.at(o) {
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
	return slices.ContainsFunc(a.portals, func(p *Portal) bool { return p.place.Covers(o) && p.place.Speaks(o) })
}

// isSite tells whether another proxy asks here for o.
func (a *App) isSite(o origin.Origin) bool {
	return slices.ContainsFunc(a.authzs, func(z *Authz) bool { return z.asked.Site(o) != nil })
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Portal)(nil)
	_ caddyhttp.MiddlewareHandler = (*Portal)(nil)
)
