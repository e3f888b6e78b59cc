package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// course follows the order of handlers: a gate behind one that answers every
// request never runs, and a rewrite behind a gate for a path can lead into that
// path from another.
type course struct {
	server   *caddyhttp.Server
	reached  map[*Gate]bool
	blocked  map[*Gate]string // what stands before it and answers everything
	steps    int
	warnings []string
}

// stretch is a part of the way of a request, and what it has passed so far.
type stretch struct {
	matchers  []caddyhttp.MatcherSets // above, the outermost first
	gates     []gateOnTheWay
	leads     []lead
	rewritten bool
	takers    []taker
	invoked   []string
}

type gateOnTheWay struct {
	*Gate
	step int
}

// lead is a rewrite that makes from, which the gate does not look at, to.
type lead struct {
	gate     *Gate
	from, to string
	by, mend string
	step     int
	matchers string // of its own route, as text
}

// taker is a handler that answers whatever its matchers take.
type taker struct {
	name string
	sets caddyhttp.MatcherSets
}

// checkCourse refuses gates that can never run, and warns of rewrites that lead
// around one.
func (a *App) checkCourse(app *caddyhttp.App) error {
	c := &course{reached: map[*Gate]bool{}, blocked: map[*Gate]string{}}
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		c.server = app.Servers[name]
		c.list(c.server.Routes, stretch{})
		if c.server.Errors != nil {
			c.list(c.server.Errors.Routes, stretch{})
		}
	}
	for _, g := range a.gates {
		if name, blocked := c.blocked[g]; blocked && !c.reached[g] {
			return fmt.Errorf("the gate at %s can never run: %s before it answers every request that the gate would look at; write the gate above it", g, name)
		}
	}
	for _, warning := range c.warnings {
		a.log.Warn(warning)
	}
	return nil
}

// passed is what a route leaves behind for those after it. Of the routes of one
// group a request takes one.
type passed struct {
	group string
	stretch
}

// list returns what a request has passed at the end of routes.
func (c *course) list(routes caddyhttp.RouteList, above stretch) stretch {
	var behind []passed
	for _, route := range routes {
		here := above
		for _, p := range behind {
			if p.group == "" || p.group != route.Group {
				here.add(p.stretch)
			} else if len(p.matchers) == 0 { // always takes the group's requests
				here.takers = append(slices.Clip(here.takers), taker{name: "another handle without a matcher"})
			}
		}
		before := here
		here.matchers = slices.Clip(here.matchers)
		if len(route.MatcherSets) > 0 {
			here.matchers = append(here.matchers, route.MatcherSets)
		}
		for _, handler := range route.Handlers {
			here = c.handler(handler, here, route.MatcherSets)
		}
		here.matchers = nil
		if len(route.MatcherSets) > 0 {
			here.matchers = []caddyhttp.MatcherSets{route.MatcherSets}
		}
		here.since(before)
		if slices.ContainsFunc(here.takers, func(t taker) bool { return len(t.sets) == 0 }) {
			here.gates, here.leads = nil, nil // whatever took this route ends in it
		}
		// What is answered under matchers is answered for these alone.
		for i := range here.takers {
			if len(route.MatcherSets) > 0 && len(here.takers[i].sets) > 0 {
				here.takers[i].sets = nil
				here.takers[i].name = ""
			} else if len(route.MatcherSets) > 0 {
				here.takers[i].sets = route.MatcherSets
			}
		}
		here.takers = slices.DeleteFunc(here.takers, func(t taker) bool { return t.name == "" })
		behind = append(behind, passed{route.Group, here})
	}
	end := above
	for _, p := range behind {
		end.add(p.stretch)
	}
	return end
}

// add appends what another stretch has passed.
func (s *stretch) add(other stretch) {
	s.gates = append(slices.Clip(s.gates), other.gates...)
	s.leads = append(slices.Clip(s.leads), other.leads...)
	s.takers = append(slices.Clip(s.takers), other.takers...)
	s.rewritten = s.rewritten || other.rewritten
}

// since takes away what before had passed already.
func (s *stretch) since(before stretch) {
	s.gates = slices.Clone(s.gates[len(before.gates):])
	s.takers = slices.Clone(s.takers[len(before.takers):])
	s.leads = slices.DeleteFunc(slices.Clone(s.leads), func(l lead) bool { return slices.Contains(before.leads, l) })
	s.rewritten = s.rewritten && !before.rewritten
}

func (c *course) handler(handler caddyhttp.MiddlewareHandler, here stretch, sets caddyhttp.MatcherSets) stretch {
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		if h.Errors != nil {
			c.list(h.Errors.Routes, here)
		}
		return c.list(h.Routes, here)
	case *caddyhttp.Invoke:
		named := c.server.NamedRoutes[h.Name]
		if named == nil || slices.Contains(here.invoked, h.Name) {
			return here
		}
		inner := here
		inner.invoked = append(slices.Clip(here.invoked), h.Name)
		inner = c.list(caddyhttp.RouteList{*named}, inner)
		inner.invoked = here.invoked
		return inner
	case *Gate:
		return c.gate(h, here)
	case *rewrite.Rewrite:
		if changesPath(h) {
			here.leads = append(slices.Clip(here.leads), c.leads(h, here, sets)...)
			here.rewritten = true
		}
		return here
	case *reverseproxy.Handler:
		if h.Rewrite != nil && changesPath(h.Rewrite) && roleOf(h).ends {
			inner := here
			inner.leads = c.leads(h.Rewrite, here, sets)
			for i := range inner.leads {
				l := &inner.leads[i]
				l.by, l.mend = l.by+" within reverse_proxy", "guard that path too, or rewrite before the gate"
			}
			c.warn(inner, sets)
		}
	}
	does := roleOf(handler)
	if does.serves {
		c.warn(here, sets)
	}
	if does.ends {
		here.takers = append(slices.Clip(here.takers), taker{name: does.name})
	}
	return here
}

// gate notes a gate, and whether something before it has taken its requests.
func (c *course) gate(g *Gate, here stretch) stretch {
	blocked := slices.IndexFunc(here.takers, func(t taker) bool { return t.takesAll(g, here) })
	if blocked >= 0 {
		c.blocked[g] = here.takers[blocked].name
		return here
	}
	c.reached[g] = true
	c.steps++
	here.gates = append(slices.Clip(here.gates), gateOnTheWay{g, c.steps})
	return here
}

// takesAll tells whether no request is left for the gate: the taker has no
// matchers, those of a route above the gate too, or those for all paths below
// the ones that the gate is limited to.
func (t taker) takesAll(g *Gate, here stretch) bool {
	if len(t.sets) == 0 {
		return true
	}
	if here.rewritten {
		return false
	}
	for _, above := range here.matchers {
		if implies(above, t.sets) {
			return true
		}
	}
	samples := g.guarded.samples()
	if len(samples) == 0 {
		return false
	}
	return slices.ContainsFunc(t.sets, func(set caddyhttp.MatcherSet) bool {
		for _, sample := range samples {
			p := &probe{request: sampleRequest("", sample+"/gatehouse-sample")}
			if p.matches(caddyhttp.MatcherSets{set}) != always {
				return false
			}
		}
		return true
	})
}

// warn tells of the leads to a handler with these matchers, unless a gate stands
// between.
func (c *course) warn(here stretch, sets caddyhttp.MatcherSets) {
	for _, l := range here.leads {
		if l.matchers != setsText(sets) && !passes([]caddyhttp.MatcherSets{sets}, l.to) ||
			slices.ContainsFunc(here.gates, func(g gateOnTheWay) bool { return g.step > l.step && g.guarded.matchPath(l.to) }) {
			continue
		}
		from := "a request for " + l.from
		if l.from == "" {
			from = "a request for another path"
		}
		warning := fmt.Sprintf("the gate at %s can be led around: %s after it makes %s one for %s, which the gate does not see; %s", l.gate, l.by, from, l.to, l.mend)
		if !slices.Contains(c.warnings, warning) {
			c.warnings = append(c.warnings, warning)
		}
	}
}

func (c *course) leads(r *rewrite.Rewrite, here stretch, sets caddyhttp.MatcherSets) (leads []lead) {
	c.steps++
	for _, g := range here.gates {
		for _, l := range leadsInto(g.Gate, r, here, sets) {
			if slices.ContainsFunc(here.gates, func(g gateOnTheWay) bool {
				return l.from != "" && g.guarded.limited && g.guarded.matchPath(l.from)
			}) {
				continue
			}
			l.step, l.matchers, l.mend = c.steps, setsText(sets), "write the same gate behind it as well"
			leads = append(leads, l)
		}
	}
	return leads
}

func setsText(sets caddyhttp.MatcherSets) string {
	var all []string
	for _, set := range sets {
		all = append(all, text(set))
	}
	return strings.Join(all, " ")
}

// leadsInto returns the first way in which the rewrite makes a path that the
// gate looks at of one that it does not.
func leadsInto(g *Gate, r *rewrite.Rewrite, here stretch, sets caddyhttp.MatcherSets) []lead {
	for _, to := range g.guarded.samples() {
		for _, way := range waysTo(to, r, sets) {
			l := lead{gate: g, from: way.from, to: to, by: way.by}
			switch {
			case way.any:
				from, ok := anyOther(g, here)
				if !ok {
					continue
				}
				l.from = from
			case way.from != "" && (g.guarded.matchPath(way.from) || !here.rewritten && !passes(here.matchers, way.from)):
				continue
			}
			return []lead{l}
		}
	}
	return nil
}

// way is one way in which a rewrite may make a path: of from, of any other, or
// of one that can't be told.
type way struct {
	from string
	any  bool
	by   string
}

func waysTo(to string, r *rewrite.Rewrite, sets caddyhttp.MatcherSets) (ways []way) {
	if prefix := r.StripPathPrefix; prefix != "" {
		by := "handle_path or uri strip_prefix " + prefix
		if strings.Contains(prefix, "{") {
			ways = append(ways, way{by: by})
		} else {
			ways = append(ways, way{from: "/" + strings.Trim(prefix, "/") + to, by: by})
		}
	}
	if suffix := r.StripPathSuffix; suffix != "" {
		by := "uri strip_suffix " + suffix
		if strings.Contains(suffix, "{") {
			ways = append(ways, way{by: by})
		} else {
			ways = append(ways, way{from: to + suffix, by: by})
		}
	}
	for _, part := range r.URISubstring {
		by := fmt.Sprintf("uri replace %s %s", part.Find, part.Replace)
		switch {
		case strings.Contains(part.Find+part.Replace, "{"):
			ways = append(ways, way{by: by})
		case part.Replace == "":
			for i := range len(to) + 1 {
				ways = append(ways, way{from: to[:i] + part.Find + to[i:], by: by})
			}
		case strings.Contains(to, part.Replace):
			ways = append(ways, way{from: strings.ReplaceAll(to, part.Replace, part.Find), by: by})
		case strings.HasPrefix(part.Replace, to):
			ways = append(ways, way{from: part.Find, by: by})
		}
	}
	if len(r.PathRegexp) > 0 {
		ways = append(ways, way{by: "uri path_regexp " + r.PathRegexp[0].Find})
	}
	for _, target := range targets(r.URI, sets) {
		w, ok := wayByURI(to, target)
		if w.by = "a rewrite to " + target; ok {
			ways = append(ways, w)
		}
	}
	return slices.DeleteFunc(ways, func(w way) bool { return w.from != "" && !strings.HasPrefix(w.from, "/") })
}

// targets are what a rewrite leads to: uri, or the files that try_files tries.
func targets(uri string, sets caddyhttp.MatcherSets) []string {
	uri, _, _ = strings.Cut(uri, "?")
	if uri == "" {
		return nil
	}
	if !strings.HasPrefix(uri, "{http.matchers.file.") {
		return []string{uri}
	}
	var files []string
	for _, set := range sets {
		for _, matcher := range set {
			if m, ok := matcher.(*fileserver.MatchFile); ok {
				files = append(files, m.TryFiles...)
			} else if m, ok := matcher.(fileserver.MatchFile); ok {
				files = append(files, m.TryFiles...)
			}
		}
	}
	return files
}

// samePath are placeholders for the path as it is.
var samePath = []string{"{path}", "{uri}", "{http.request.uri}", "{http.request.uri.path}", "{http.request.orig_uri}", "{http.request.orig_uri.path}"}

func wayByURI(to, target string) (way, bool) {
	literal, rest, open := strings.Cut(target, "{")
	same := slices.ContainsFunc(samePath, func(p string) bool { return strings.HasPrefix("{"+rest, p) })
	if literal == "" {
		return way{}, open && !same // the path as it is, with something behind it
	}
	literal = "/" + strings.TrimLeft(literal, "/")
	tree := guardedPathsOf(to)
	switch {
	case tree.matchPath(literal):
		return way{any: true}, true
	case !open:
		return way{}, false
	case same && strings.HasPrefix(to, literal) && len(to) > len(literal):
		return way{from: "/" + strings.TrimLeft(to[len(literal):], "/")}, true
	}
	return way{}, !same && strings.HasPrefix(to, literal)
}

// anyOther returns a path that takes this way and that the gate does not look
// at; "" if there may be one that can't be told.
func anyOther(g *Gate, here stretch) (path string, ok bool) {
	candidates := []string{"/gatehouse-sample"}
	known := true
	for _, sets := range here.matchers {
		for _, set := range sets {
			for _, pattern := range matchersOf[caddyhttp.MatchPath](set) {
				candidates = append(candidates, sampleOf(pattern))
			}
			known = known && !slices.ContainsFunc(set, func(m any) bool {
				switch m.(type) {
				case caddyhttp.MatchPath, *caddyhttp.MatchPath, caddyhttp.MatchHost, *caddyhttp.MatchHost:
					return false
				}
				return true
			})
		}
	}
	for _, candidate := range candidates {
		if passes(here.matchers, candidate) && !g.guarded.matchPath(candidate) {
			return strings.Replace(candidate, "gatehouse-sample", "…", 1), true
		}
	}
	return "", !known || here.rewritten
}

// passes tells whether the matchers, as far as they are for paths, let path pass.
func passes(matchers []caddyhttp.MatcherSets, path string) bool {
	p := &probe{request: sampleRequest("", path), anyHost: true}
	return !slices.ContainsFunc(matchers, func(sets caddyhttp.MatcherSets) bool { return p.matches(sets) == never })
}

// sampleOf is a path that the pattern matches.
func sampleOf(pattern string) string {
	return "/" + strings.TrimLeft(strings.NewReplacer("*", "gatehouse-sample", "?", "x").Replace(pattern), "/")
}
