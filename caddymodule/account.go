package caddymodule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// The app of a site shares its origin with our pages there: a script of the app
// can read the account page and send its forms in every visitor's browser. Where
// the sites of an instance share sign-ins, by a portal or a domain, the whole
// page is therefore offered only where no app is: at a gatehouse_portal whose
// host serves nothing else. accountAt decides it for the pages, their forms and
// links, for mails, for the warnings at start and for the doctor.

// accountAt is what the account page at o may show and do.
func (a *App) accountAt(o origin.Origin) pages.Account {
	if !a.sharesSignIns() || a.besideAccount(o) == "" {
		return pages.Account{Whole: true}
	}
	return pages.Account{At: a.accountHome(o)}
}

// accountLink is the origin whose account page is for who signs in at o: the
// whole one, if there is one.
func (a *App) accountLink(o origin.Origin) origin.Origin {
	if at := a.accountAt(o).At; !at.IsZero() {
		return at
	}
	return o
}

// sharesSignIns tells whether who has signed in at one site is, or can get,
// signed in at others.
func (a *App) sharesSignIns() bool {
	return a.Domain != "" || len(a.portals) > 0 || len(a.authzs) > 0 ||
		slices.ContainsFunc(a.gates, func(g *Gate) bool { return !g.portal.IsZero() })
}

// besideAccount says what at o keeps the whole account page away; empty for
// nothing.
func (a *App) besideAccount(o origin.Origin) string {
	if !a.isPortalPlace(o) {
		return "no gatehouse_portal stands there"
	}
	others, known := a.neighbours[o.Hostname()]
	switch {
	case !known:
		return "its gatehouse_portal stands under a name with a star, which other sites may have too"
	case len(others) > 0:
		return "the host also serves " + strings.Join(others, ", ") + ", and scripts from there could use the page"
	}
	return ""
}

// accountHome is where the whole account page is for a visitor of o; zero for
// nowhere. A portal that is none of this configuration's may be one of another
// instance's with the same store.
func (a *App) accountHome(o origin.Origin) origin.Origin {
	candidates := []origin.Origin{a.portalFor(o)}
	for _, z := range a.authzs {
		if z.asked.Site(o) != nil {
			candidates = append(candidates, z.login)
		}
	}
	for _, p := range candidates {
		if !p.IsZero() && p != o && (!a.protects(p) || a.besideAccount(p) == "") {
			return p
		}
	}
	return a.anyAccountHome()
}

// anyAccountHome is the first portal of this configuration with the whole account
// page; zero for none.
func (a *App) anyAccountHome() origin.Origin {
	for _, p := range a.portals {
		for _, o := range p.place.Addresses() {
			if a.besideAccount(o) == "" {
				return o
			}
		}
	}
	return origin.Origin{}
}

// meetNeighbours finds out what the hosts of the portals serve besides, and who
// may read that.
func (a *App) meetNeighbours(w *routes.Walk) {
	a.neighbours, a.sharedWith = map[string][]string{}, map[string]string{}
	for _, p := range a.portals {
		for _, name := range p.place.Names() {
			a.neighbours[name], a.sharedWith[name] = w.Neighbours(name), w.SharedWith(name)
		}
	}
}

// examineAccount tells where the whole account page is, and why not elsewhere.
func (a *App) examineAccount() []operate.Finding {
	const check = "account"
	if !a.sharesSignIns() {
		return []operate.Finding{operate.Fine(check, "each site has the whole account page")}
	}
	out := a.accountFindings(check)
	if home := a.anyAccountHome(); len(out) == 0 && !home.IsZero() {
		out = append(out, operate.Fine(check, "the whole account page is at %s", home))
	}
	return out
}

// accountFindings are what is wrong with the portals of this configuration: those
// that gates and gatehouse_authz name first.
func (a *App) accountFindings(check string) (out []operate.Finding) {
	if !a.sharesSignIns() {
		return nil
	}
	seen, elsewhere := map[origin.Origin]bool{}, false
	named := func(option string, o origin.Origin) {
		if o.IsZero() || seen[o] {
			return
		}
		if seen[o] = true; !a.protects(o) {
			elsewhere = true // of which warnings of their own tell
			return
		}
		if why := a.besideAccount(o); why != "" {
			out = append(out, operate.Error(check, fmt.Sprintf("%s %s names a host with an app: %s", option, o, why),
				"put a gatehouse_portal under a host name of its own and name that one; until then the account page there shows this browser's session alone"))
		}
	}
	for _, g := range a.gates {
		named("portal", g.portal)
	}
	for _, z := range a.authzs {
		named("login", z.login)
	}
	for _, p := range a.portals {
		for _, o := range p.place.Addresses() {
			if why := a.besideAccount(o); why != "" && !seen[o] {
				out = append(out, operate.Warning(check, fmt.Sprintf("the account page at the portal %s shows this browser's session alone: %s", o, why),
					"give gatehouse_portal a host name of its own, for other sign-ins, tokens for other sites, name and data"))
			}
			seen[o] = true
			if other := a.sharedWith[o.Hostname()]; other != "" {
				out = append(out, operate.Warning(check, fmt.Sprintf("scripts of other sites can read the account page of whoever is signed in at the portal %s: a header there says Access-Control-Allow-Origin %s, and Access-Control-Allow-Credentials", o, other),
					"write these headers at the sites that need them; at an app's own gate, for example\n    cors https://app.example.com"))
			}
		}
	}
	if len(out) == 0 && !elsewhere && a.anyAccountHome().IsZero() {
		out = append(out, operate.Warning(check, "no site offers the whole account page: sign-ins are shared, and each site shares its origin with an app whose scripts could use the page",
			"put a gatehouse_portal under a host name of its own, for other sign-ins, tokens for other sites, name and data"))
	}
	return out
}
