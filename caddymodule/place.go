package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
)

// placeGates finds out where every gate stands, and refuses those where nobody
// could sign in.
func (a *App) placeGates() error {
	if err := errors.Join(a.placeHooks(), a.placeClients()); err != nil {
		return err
	}
	app, err := a.httpApp()
	if err != nil || app == nil {
		return err
	}
	w, err := routes.New(app)
	if err != nil {
		return err
	}
	a.walk, a.house.Includes = w, w.Includes
	a.warnOf(w.Warnings)
	if err := a.takePlaces(w); err != nil {
		return err
	}
	a.meetNeighbours(w)
	for _, f := range a.accountFindings("account") {
		a.log.Warn(f.Found + "; " + f.Do)
	}
	var guards []*routes.Gate
	for _, g := range a.gates {
		guards = append(guards, &g.guard)
		if err := g.guard.CheckVariables(); err != nil {
			return err
		}
		warnings, err := w.Reach(&g.guard)
		if err != nil {
			return err
		}
		a.warnOf(warnings)
		a.warn(g, w.Places[g])
	}
	if err := w.Blocked(guards); err != nil {
		return err
	}
	around, err := w.Around(guards)
	if err != nil {
		return err
	}
	var divided []routes.Finding
	if a.uncleaned, divided, err = w.Beside(a.answersAt); err != nil {
		return err
	}
	a.around = slices.Concat(around, divided, w.Opened(guards), w.Limits(guards))
	twice, err := w.Twice(guards, a.around)
	if err != nil {
		return err
	}
	a.around = append(a.around, twice...)
	for _, f := range slices.Concat(a.around, a.uncleaned) {
		a.log.Warn(f.Found + ": " + f.Do)
	}
	if err := a.checkTrust(app); err != nil {
		return err
	}
	a.warnOfIdleTokens()
	a.warnOfLooseProxies(app)
	return nil
}

func (a *App) warnOf(warnings []string) {
	for _, warning := range warnings {
		a.log.Warn(warning)
	}
}

// takePlaces gives every handler its place.
func (a *App) takePlaces(w *routes.Walk) error {
	slices.SortStableFunc(a.gates, func(x, y *Gate) int { return w.Nth(x) - w.Nth(y) })
	var origins []origin.Origin
	for _, g := range a.gates {
		here := w.Places[g]
		if here == nil {
			here = &routes.Place{} // inside a handler that can't be looked into
		}
		g.stand(here, cmp.Or(w.Pages[&g.guard], here))
		g.guard.Place.Origins = g.guard.Origins
		origins = append(origins, g.guard.Origins...)
		if len(g.guard.Place.Hosts) == 0 && len(g.guard.Origins) == 0 {
			return fmt.Errorf("the gate at %s stands under no host name, so its sign-in pages and mails don't know their address; give the site a name instead of a port alone, or write in the gate's block for example\n    origin https://app.example.com", g)
		}
		if err := g.checkHostsInTitle(); err != nil {
			return err
		}
		g.guard.Place.Key += strings.Join(g.Paths, " ")
	}
	keys := map[string]int{}
	for _, g := range a.gates {
		key := g.guard.Place.Key
		keys[key]++
		g.guard.Place.Key = fmt.Sprintf("%s#%d", key, keys[key])
	}
	for _, g := range a.gates {
		g.guard.Pages.Origins = g.guard.Origins
		if g.guard.IsLimited() {
			g.guard.Pages.Origins = origins
		}
	}
	for h, p := range w.Places {
		if pages, ok := h.(*PagesHandler); ok {
			p.Origins = origins
			pages.pages.Place = &p.Place
		}
	}
	return a.placeOthers(w)
}

// warn tells of what is allowed but seldom meant.
func (a *App) warn(g *Gate, at *routes.Place) {
	if g.ReportOnly {
		a.log.Warn(fmt.Sprintf("the gate at %s has report_only: it lets everybody pass and only logs who would have been stopped", g))
	}
	if len(g.Allow) > 1 && slices.Contains(g.Allow, "any") {
		a.log.Warn(fmt.Sprintf("the gate at %s admits any, so whoever proves an address gets in, not only the others that it names; take out any, or the others", g))
	}
	if at != nil && a.Domain != "" && g.portal.IsZero() {
		i := slices.IndexFunc(at.Addresses(), func(o origin.Origin) bool { return !o.Under(a.Domain) })
		if i >= 0 {
			a.log.Warn(fmt.Sprintf("the gate at %s is at %s, which is not under domain %s: whoever is signed in there has to sign in here once more; write portal in its block, with the address of your gatehouse_portal, or give it a name under the domain", g, at.Addresses()[i], a.Domain))
		}
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

// httpApp returns the http app, or nil.
func (a *App) httpApp() (*caddyhttp.App, error) {
	app, err := a.ctx.AppIfConfigured("http")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return app.(*caddyhttp.App), nil
}
