package caddymodule

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
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
	asked   gate.ForwardAuth
}

// AuthzSite is one site, or all below a domain, behind another proxy.
type AuthzSite struct {
	// Site is a host name, with *. in front for all names one label below it.
	Site string `json:"site,omitempty"`
	// Allow and the others are as in a gate.
	Allow   []string       `json:"allow,omitempty"`
	Deny    []string       `json:"deny,omitempty"`
	Public  []string       `json:"public,omitempty"`
	Fresh   caddy.Duration `json:"fresh,omitempty"`
	Headers []string       `json:"headers,omitempty"`
	Fields  []gate.Field   `json:"fields,omitempty"`
	Name    string         `json:"name,omitempty"`
	Icon    string         `json:"icon,omitempty"`
	// IconDigest is as in a gate.
	IconDigest string  `json:"icon_digest,omitempty"`
	Prefix     string  `json:"prefix,omitempty"`
	Basic      *bool   `json:"basic,omitempty"`
	Trust      []Trust `json:"trust,omitempty"`

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
	a.asked = gate.ForwardAuth{Login: a.login}
	if a.app != nil {
		a.asked.House = &a.app.house
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
		s.gate.asked = &a.asked
		a.asked.Sites = append(a.asked.Sites, &gate.Site{Pattern: s.pattern, Gate: &s.gate.gate})
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
	s.gate = s.asGate()
	s.gate.app = app
	if err := s.gate.parse(groups); err != nil {
		return err
	}
	here := &routes.Place{Place: gate.Place{Key: "authz " + s.Site, Hosts: []string{s.pattern.Name()}, Behind: true}, TLS: true}
	if o := s.pattern.Origin(scheme); !o.IsZero() {
		here.Origins = []origin.Origin{o}
	}
	s.gate.stand(here, here)
	if app != nil {
		s.gate.gate.House = &app.house
	}
	if err := s.gate.checkHostsInTitle(); err != nil {
		return err
	}
	return s.gate.checkOptions(session.DefaultRule)
}

// asGate is a gate with the options of s.
func (s *AuthzSite) asGate() *Gate {
	return &Gate{Allow: s.Allow, Deny: s.Deny, Public: s.Public, Fresh: s.Fresh, Headers: s.Headers, Fields: s.Fields, Name: s.Name, Icon: s.Icon, IconDigest: s.IconDigest, Prefix: s.Prefix, Basic: s.Basic, Trust: s.Trust}
}

// take has s have the options of g.
func (s *AuthzSite) take(g *Gate) {
	s.Deny, s.Public, s.Fresh, s.Headers, s.Fields, s.Name, s.Icon, s.IconDigest, s.Prefix, s.Basic, s.Trust = g.Deny, g.Public, g.Fresh, g.Headers, g.Fields, g.Name, g.Icon, g.IconDigest, g.Prefix, g.Basic, g.Trust
}

// ServeHTTP answers one question of a proxy.
func (a *Authz) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return a.asked.ServeHTTP(w, r, next)
}

// answersAt tells whether a gatehouse_authz of this server listens there.
func (a *App) answersAt(upstream string) bool {
	return slices.ContainsFunc(a.authzs, func(z *Authz) bool { return z.address != "" && routes.Dialed(z.address) == upstream })
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Authz)(nil)
	_ caddyhttp.MiddlewareHandler = (*Authz)(nil)
)
