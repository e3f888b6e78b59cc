package caddymodule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// placeGates finds out where every gate stands, and refuses those where nobody
// could sign in.
func (a *App) placeGates() error {
	app, err := a.httpApp()
	if err != nil || app == nil {
		return err
	}
	trees, err := readRoutes(app)
	if err != nil {
		return err
	}
	w, err := newWalk(trees)
	if err != nil {
		return err
	}
	for _, warning := range w.warnings {
		a.log.Warn(warning)
	}
	if err := a.takePlaces(w); err != nil {
		return err
	}
	a.meetNeighbours(trees)
	for _, f := range a.accountFindings("account") {
		a.log.Warn(f.Found + "; " + f.Do)
	}
	for _, g := range a.gates {
		if err := g.checkVariables(); err != nil {
			return err
		}
		if err := a.checkReach(trees, g); err != nil {
			return err
		}
		a.warn(g)
	}
	if err := a.checkCourse(trees); err != nil {
		return err
	}
	if a.around, err = a.checkAround(trees); err != nil {
		return err
	}
	var divided []finding
	if a.uncleaned, divided, err = a.checkBeside(trees, w); err != nil {
		return err
	}
	a.around = slices.Concat(a.around, divided, a.checkPublic(trees))
	for _, f := range slices.Concat(a.around, a.uncleaned) {
		a.log.Warn(f.found + ": " + f.do)
	}
	a.warnOfIdleTokens()
	a.warnOfLooseProxies(app)
	return nil
}

// takePlaces gives every handler its place.
func (a *App) takePlaces(w *walk) error {
	slices.SortStableFunc(a.gates, func(x, y *Gate) int { return w.nth(x) - w.nth(y) })
	var origins []origin.Origin
	for _, g := range a.gates {
		here := w.places[g]
		if here == nil {
			here = &place{} // inside a handler that can't be looked into
		}
		g.stand(here, cmp.Or(w.pages[g], here))
		g.place.Origins = g.origins
		origins = append(origins, g.origins...)
		if len(g.place.Hosts) == 0 && len(g.origins) == 0 {
			return fmt.Errorf("the gate at %s stands under no host name, so its sign-in pages and mails don't know their address; give the site a name instead of a port alone, or write in the gate's block for example\n    origin https://app.example.com", g)
		}
		if err := g.checkHostsInTitle(); err != nil {
			return err
		}
		g.place.Key += strings.Join(g.Paths, " ")
	}
	keys := map[string]int{}
	for _, g := range a.gates {
		key := g.place.Key
		keys[key]++
		g.place.Key = fmt.Sprintf("%s#%d", key, keys[key])
	}
	for _, g := range a.gates {
		g.pages.Origins = g.origins
		if g.isLimited() {
			g.pages.Origins = origins
		}
	}
	for h, p := range w.places {
		if pages, ok := h.(*PagesHandler); ok {
			p.Origins = origins
			pages.pages.Place = &p.Place
		}
	}
	return a.placeOthers(w)
}

// String names a gate for messages, without naming people.
func (g *Gate) String() string {
	if g.place != nil && g.place.Behind {
		return strings.Join(g.place.Hosts, ", ") + " behind another proxy"
	}
	if g.place == nil || len(g.place.spots) == 0 {
		return "inside a handler that Gatehouse does not know"
	}
	where := g.place.hostsAndPort()
	if where == "" {
		where = "any host"
		for _, port := range g.place.ports {
			where += fmt.Sprintf(":%d", port)
		}
	}
	for _, path := range g.place.spots[0].paths {
		where += " " + strings.Join(path, ", ")
	}
	if len(g.Paths) > 0 {
		where += " " + strings.Join(g.Paths, ", ")
	}
	return where
}

// hostsAndPort are the hosts as they stand in a Caddyfile, with the port where it
// is not the scheme's own: two sites may share a host.
func (p *place) hostsAndPort() string {
	port := ""
	if n := p.port(); n != 0 {
		port = fmt.Sprintf(":%d", n)
	}
	var names []string
	for _, host := range p.Hosts {
		names = append(names, bracketed(host)+port)
	}
	return strings.Join(names, ", ")
}

// port is the one that browsers must write, 0 for none.
func (p *place) port() uint16 {
	standard := uint16(80)
	if p.tls {
		standard = 443
	}
	if len(p.ports) == 0 || slices.Contains(p.ports, standard) {
		return 0
	}
	return p.ports[0]
}

// warn tells of what is allowed but seldom meant.
func (a *App) warn(g *Gate) {
	if g.ReportOnly {
		a.log.Warn(fmt.Sprintf("the gate at %s has report_only: it lets everybody pass and only logs who would have been stopped", g))
	}
	if len(g.Allow) > 1 && slices.Contains(g.Allow, "any") {
		a.log.Warn(fmt.Sprintf("the gate at %s admits any, so whoever proves an address gets in, not only the others that it names; take out any, or the others", g))
	}
	if g.Fresh > 0 {
		fresh := time.Duration(g.Fresh)
		if mails, need := mailsADay(a.limits().PerRecipient), int(day/fresh); need > mails {
			a.log.Warn(fmt.Sprintf("the gate at %s asks for a new sign-in every %s, up to %d a day, and limits per_recipient allows %s a day to one person: write a longer fresh or a wider limit", g, days(fresh), need, operate.Count(mails, "mail", "mails")))
		}
	}
}

// mailsADay is how many mails one person can get in 24 hours.
func mailsADay(rates []limit.Rate) int {
	least := int(^uint(0) >> 1)
	for _, rate := range rates {
		n := rate.Count
		if rate.Per < day {
			n *= int(day / rate.Per)
		}
		least = min(least, n)
	}
	return least
}

// covers tells whether the place is at o, on whichever of its ports a request
// for o comes in.
func (p *place) covers(o origin.Origin) bool {
	return p.Has(o, 0) || slices.ContainsFunc(p.ports, func(port uint16) bool { return p.Has(o, port) })
}

// speaks tells whether browsers may reach the place at o's scheme: the origin
// option says so, or https, or plain http where no TLS is spoken.
func (p *place) speaks(o origin.Origin) bool {
	return o.Secure() || !p.tls || slices.Contains(p.Origins, o)
}

// onPath tells whether the gate looks at requests for path, as far as its
// matchers for paths tell.
func (g *Gate) onPath(path string) bool {
	if !g.guarded.matchPath(path) {
		return false
	}
	return len(g.place.spots) == 0 || slices.ContainsFunc(g.place.spots, func(s spot) bool {
		return !slices.ContainsFunc(s.paths, func(m caddyhttp.MatchPath) bool { return !matchesPath(m, path) })
	})
}
