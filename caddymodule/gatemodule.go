package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
)

func init() {
	caddy.RegisterModule(new(Gate))
	caddy.RegisterModule(new(PagesHandler))
}

// CaddyModule returns the Caddy module information.
func (*Gate) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse", New: func() caddy.Module { return new(Gate) }}
}

// CaddyModule returns the Caddy module information.
func (*PagesHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_pages", New: func() caddy.Module { return new(PagesHandler) }}
}

// Provision joins the gate to the app.
func (g *Gate) Provision(ctx caddy.Context) error {
	app, err := theApp(ctx)
	if err != nil {
		return err
	}
	g.app, g.gate.House = app, &app.house
	if err := g.parse(app.groups); err != nil {
		return err
	}
	if err := g.checkOptions(app.sessionRule()); err != nil {
		return err
	}
	app.gates = append(app.gates, g)
	app.knowConnections(ctx)
	return g.loadMatchers(ctx)
}

// loadMatchers makes the matchers that MatcherSetsRaw names.
func (g *Gate) loadMatchers(ctx caddy.Context) error {
	if len(g.MatcherSetsRaw) == 0 {
		return nil
	}
	sets, err := ctx.LoadModule(g, "MatcherSetsRaw")
	if err != nil {
		return fmt.Errorf("the matcher of a gate: %w", err)
	}
	if err := g.guard.Matchers.FromInterface(sets); err != nil {
		return err
	}
	g.limit()
	return g.guard.CheckMatchers()
}

// ServeHTTP judges the request, and answers it or passes it on.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return g.gate.ServeHTTP(w, r, next)
}

// limit has the gate leave requests alone that its matchers or paths do not take.
func (g *Gate) limit() {
	if g.guard.IsLimited() {
		g.gate.Concerns = g.guard.Concerns
	}
}

func theApp(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("gatehouse")
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// parse reads what is written into the form that requests are judged by.
func (g *Gate) parse(groups *policy.Groups) error {
	if err := g.parsePolicy(groups); err != nil {
		return err
	}
	if err := checkPrefix(g.Prefix); err != nil {
		return err
	}
	public, err := origin.ParsePublicBelow(g.Prefix, g.Public)
	if err != nil {
		return err
	}
	if g.gate.CORS, err = parseCORS(g.CORS); err != nil {
		return err
	}
	if g.gate.Homes, err = parseTrust(g.Trust); err != nil {
		return err
	}
	if g.gate.Clients, err = parseCIDRs(g.ClientIP); err != nil {
		return err
	}
	rule := &g.gate.Rule
	rule.Trusts, rule.Public, rule.Fresh = g.gate.Trusts, &public, time.Duration(g.Fresh)
	rule.Session = session.Rule{Idle: time.Duration(g.SessionIdle), Max: time.Duration(g.SessionMax)}
	g.gate.Unauthenticated, g.gate.Headers, g.gate.Fields, g.gate.ReportOnly = g.Unauthenticated, g.Headers, g.Fields, g.ReportOnly
	g.gate.Prefix, g.gate.Basic, g.gate.Keep = g.Prefix, g.Basic != nil && *g.Basic, g.Keep
	g.gate.Part = partOf(g.Paths)
	if g.app != nil {
		g.app.house.Claim(g.Fields)
	}
	if err := g.parseGuard(&public); err != nil {
		return err
	}
	g.limit()
	if g.Portal != "" {
		g.portal, err = parseOriginOption("portal", "portal", g.Portal)
	}
	return err
}

// partOf names paths as people see them: /admin for /admin/*.
func partOf(paths []string) string {
	names := make([]string, len(paths))
	for i, path := range paths {
		names[i] = cmp.Or(strings.TrimSuffix(strings.TrimSuffix(path, "*"), "/"), "/")
	}
	return strings.Join(names, ", ")
}

// parsePolicy reads who is let in. Each directive's faults are told under its name.
func (g *Gate) parsePolicy(groups *policy.Groups) error {
	allow, err := parseWho("gatehouse", g.Allow)
	if err != nil {
		return err
	}
	var deny []policy.Who
	if len(g.Deny) > 0 {
		if deny, err = parseWho("deny", g.Deny); err != nil {
			return err
		}
	}
	if _, err = policy.Compile(nil, deny, groups); err != nil {
		return forDirective("deny", err)
	}
	if g.gate.Rule.Policy, err = policy.Compile(allow, deny, groups); err != nil {
		return forDirective("gatehouse", err)
	}
	return nil
}

// parseGuard reads what the walk at the start has to know: which requests the gate
// takes, and whom it lets by.
func (g *Gate) parseGuard(public *origin.PublicPaths) (err error) {
	guard := &g.guard
	if guard.Origins, err = parseOrigins(g.Origins); err != nil {
		return err
	}
	guard.Policy = routes.Policy{Allow: g.Allow, Deny: g.Deny, Clients: g.ClientIP, Fresh: time.Duration(g.Fresh), ReportOnly: g.ReportOnly}
	for _, trust := range g.Trust {
		guard.Policy.Trust = append(guard.Policy.Trust, fmt.Sprint(trust))
	}
	if guard.Paths, err = routes.WithoutPrefix(g.Prefix, g.Paths); err != nil {
		return err
	}
	guard.Prefix, guard.Public, guard.Open = g.Prefix, g.Public, public
	if guard.Guarded, err = routes.ParseGuarded(guard.Paths); err != nil {
		return err
	}
	return guard.LeavesSomething()
}

func parseOrigins(texts []string) ([]origin.Origin, error) {
	var origins []origin.Origin
	for _, text := range texts {
		o, err := origin.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("origin %q: %w", text, err)
		}
		origins = append(origins, o)
	}
	return origins, nil
}

// parseCORS reads origins as browsers send them.
func parseCORS(texts []string) ([]origin.Origin, error) {
	var origins []origin.Origin
	for _, text := range texts {
		o, err := origin.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("cors %q: %w; name the origins whose pages may call this app with its visitors' sessions, as in\n    cors https://board.example.com", text, err)
		}
		origins = append(origins, o)
	}
	return origins, nil
}

// checkPrefix looks at the path that a proxy in front takes away.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(prefix, "/"), "/") {
		if !strings.HasPrefix(prefix, "/") || strings.Trim(segment, ".") == "" || gate.IsOwnPath(prefix) || strings.ContainsFunc(segment, func(r rune) bool {
			return !strings.ContainsRune("-._~", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			return fmt.Errorf("prefix %q: it is the path that the proxy in front takes away, with a slash in front and none at the end, of letters, digits and - . _ ~ ; write for example\n    prefix /wiki", prefix)
		}
	}
	return nil
}

func parseCIDRs(texts []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range texts {
		prefix, err := parseCIDR("client_ip", text)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func parseCIDR(option, text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%s %q: this is not a network; write for example\n    %[1]s 10.0.0.0/8 2001:db8::/32", option, text)
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 { // ::ffff:10.0.0.0/104
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if prefix.Masked() != prefix {
		return prefix, fmt.Errorf("%s %q: the address has bits beyond /%d; write\n    %[1]s %[4]s\nfor the network, or\n    %[1]s %[5]s\nfor the one address", option, text, prefix.Bits(), prefix.Masked(), prefix.Addr())
	}
	return prefix, nil
}

// checkOptions checks the options that need no further reading.
func (g *Gate) checkOptions(global session.Rule) error {
	if err := checkUnauthenticated(g.Unauthenticated); err != nil {
		return err
	}
	if err := checkPresets(g.Headers); err != nil {
		return err
	}
	if err := header.CheckKept(g.Keep); err != nil {
		return err
	}
	if err := gate.CheckFields(g.Fields); err != nil {
		return err
	}
	if err := checkTitle(g.Name); err != nil {
		return err
	}
	if g.Fresh < 0 {
		return fmt.Errorf("fresh %s: write a positive duration, such as\n    fresh 4h", time.Duration(g.Fresh))
	}
	idle, life := time.Duration(g.SessionIdle), time.Duration(g.SessionMax)
	switch {
	case idle < 0 || life < 0:
		return fmt.Errorf("session: write positive durations, such as\n    session idle 1h max 12h")
	case idle > global.Idle:
		return fmt.Errorf("session: idle %s is longer than the %s of all sites; write at most that here, or more in the global gatehouse block", days(idle), days(global.Idle))
	case life > global.Max:
		return fmt.Errorf("session: max %s is longer than the %s of all sites; write at most that here, or more in the global gatehouse block", days(life), days(global.Max))
	}
	return nil
}

func checkPresets(presets []string) error {
	for _, preset := range presets {
		if !slices.Contains(gate.Presets, preset) {
			return fmt.Errorf("headers %q: there is no such preset; there are %s", preset, strings.Join(gate.Presets, ", "))
		}
	}
	if len(presets) > 1 && slices.Contains(presets, "none") {
		return errors.New("headers: none stands alone; take it or the others out")
	}
	return nil
}

func checkUnauthenticated(what string) error {
	if !slices.Contains([]string{"", "auto", "redirect", "401"}, what) {
		return fmt.Errorf("unauthenticated %q: write auto, redirect or 401", what)
	}
	return nil
}

// Interface guards
var _ caddyhttp.MiddlewareHandler = (*Gate)(nil)
