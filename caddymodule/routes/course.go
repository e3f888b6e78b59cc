package routes

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
	tree    *tree
	gates   []gateOnTheWay // all of the server
	reached map[*Gate]bool
	blocked map[*Gate]string // what stands before it and answers everything
	steps   int
	found   []Finding
	served  []served
}

// stretch is a part of the way of a request, and what it has passed so far.
type stretch struct {
	matchers  []caddyhttp.MatcherSets // above, the outermost first
	gates     []gateOnTheWay
	leads     []lead
	rewritten bool
	root      root
	takers    []taker
	in        string // " in handle_errors", for example
}

type gateOnTheWay struct {
	*Gate
	at   scope
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

// Course refuses gates that can never run, and finds rewrites that lead around one.
func (w *Walk) Course(gates []*Gate) (found []Finding, err error) {
	c := &course{reached: map[*Gate]bool{}, blocked: map[*Gate]string{}}
	for _, name := range slices.Sorted(maps.Keys(w.trees)) {
		c.tree, c.gates = w.trees[name], nil
		each(c.tree.routes, func(s *step) {
			if s.gate != nil {
				c.gates = append(c.gates, gateOnTheWay{s.gate, s.at, 0})
			}
		})
		c.list(c.tree.routes, stretch{})
		c.list(c.tree.errors, c.aside(stretch{}, " in handle_errors"))
	}
	for _, g := range gates {
		if name, blocked := c.blocked[g]; blocked && !c.reached[g] {
			return nil, fmt.Errorf("the gate at %s can never run: %s before it answers every request that the gate would look at; write the gate above it", g, name)
		}
	}
	return append(c.found, c.files()...), nil
}

// aside is a stretch of what runs for an error or an answer: it may come from
// behind any gate of the server, and no handler before it has taken the request.
func (c *course) aside(here stretch, in string) stretch {
	here.gates = append(slices.Clip(here.gates), c.gates...)
	here.takers, here.in = nil, in
	return here
}

// passed is what a route leaves behind for those after it. Of the routes of one
// group a request takes one.
type passed struct {
	group string
	all   bool // no request that comes there goes another way
	stretch
}

// list returns what a request has passed at the end of routes.
func (c *course) list(nodes []*node, above stretch) stretch {
	var behind []passed
	for _, n := range nodes {
		here := above
		for _, p := range behind {
			if p.group == "" || p.group != n.Group {
				here.add(p)
			} else if len(p.matchers) == 0 { // always takes the group's requests
				here.takers = append(slices.Clip(here.takers), taker{name: "another handle without a matcher"})
			}
		}
		before := here
		here.matchers = slices.Clip(here.matchers)
		if len(n.MatcherSets) > 0 {
			here.matchers = append(here.matchers, n.MatcherSets)
		}
		for _, s := range n.steps {
			here = c.step(s, here, n.MatcherSets)
		}
		here.matchers = nil
		if len(n.MatcherSets) > 0 {
			here.matchers = []caddyhttp.MatcherSets{n.MatcherSets}
		}
		here.since(before)
		if slices.ContainsFunc(here.takers, func(t taker) bool { return len(t.sets) == 0 }) {
			here.gates, here.leads = nil, nil // whatever took this route ends in it
		}
		// What is answered under matchers is answered for these alone.
		for i := range here.takers {
			if len(n.MatcherSets) > 0 && len(here.takers[i].sets) > 0 {
				here.takers[i].sets = nil
				here.takers[i].name = ""
			} else if len(n.MatcherSets) > 0 {
				here.takers[i].sets = n.MatcherSets
			}
		}
		here.takers = slices.DeleteFunc(here.takers, func(t taker) bool { return t.name == "" })
		behind = append(behind, passed{n.Group, n.Group == "" && len(n.MatcherSets) == 0, here})
	}
	end := above
	for _, p := range behind {
		end.add(p)
	}
	return end
}

// add appends what a route has passed.
func (s *stretch) add(p passed) {
	s.gates = append(slices.Clip(s.gates), p.gates...)
	s.leads = append(slices.Clip(s.leads), p.leads...)
	s.takers = append(slices.Clip(s.takers), p.takers...)
	s.rewritten = s.rewritten || p.rewritten
	if p.all {
		s.root = p.root
	} else if s.root != p.root {
		s.root = unknownRoot
	}
}

// since takes away what before had passed already.
func (s *stretch) since(before stretch) {
	s.gates = slices.Clone(s.gates[len(before.gates):])
	s.takers = slices.Clone(s.takers[len(before.takers):])
	s.leads = slices.DeleteFunc(slices.Clone(s.leads), func(l lead) bool { return slices.Contains(before.leads, l) })
	s.rewritten = s.rewritten && !before.rewritten
}

func (c *course) step(s *step, here stretch, sets caddyhttp.MatcherSets) stretch {
	here.root = here.root.after(s.handler, len(sets) == 0)
	if s.gate != nil {
		return c.gate(s.gate, s.at, here)
	}
	switch h := s.handler.(type) {
	case *rewrite.Rewrite:
		if changesPath(h) {
			here.leads = append(slices.Clip(here.leads), c.leads(h, s, here, sets)...)
			here.rewritten = true
		}
		return here
	case *reverseproxy.Handler:
		if h.Rewrite != nil && changesPath(h.Rewrite) && s.ends {
			inner := here
			inner.leads = c.leads(h.Rewrite, s, here, sets)
			for i := range inner.leads {
				l := &inner.leads[i]
				l.by, l.mend = l.by+" within reverse_proxy", "guard that path too, or rewrite before the gate"
			}
			c.warn(s, inner, sets)
		}
	}
	if s.serves {
		c.serve(s, here)
		c.warn(s, here, sets)
	}
	for _, b := range s.branches {
		switch b.kind {
		case straight:
			here = c.list(b.nodes, here)
		case onError:
			c.list(b.nodes, c.aside(here, " in handle_errors"))
		case onAnswer:
			c.list(b.nodes, c.aside(here, " in handle_response"))
		case onForeign:
			inner := here
			inner.in = " in handle_response"
			inner = c.list(b.nodes, inner)
			here.leads, here.rewritten = inner.leads, inner.rewritten
		}
	}
	if s.ends {
		here.takers = append(slices.Clip(here.takers), taker{name: s.name})
	}
	return here
}

// gate notes a gate, and whether something before it has taken its requests.
func (c *course) gate(g *Gate, at scope, here stretch) stretch {
	blocked := slices.IndexFunc(here.takers, func(t taker) bool { return t.takesAll(g, here) })
	if blocked >= 0 {
		c.blocked[g] = here.takers[blocked].name
		return here
	}
	c.reached[g] = true
	c.steps++
	here.gates = append(slices.Clip(here.gates), gateOnTheWay{g, at, c.steps})
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
	samples := g.Guarded.samples()
	if len(samples) == 0 {
		return false
	}
	return slices.ContainsFunc(t.sets, func(set caddyhttp.MatcherSet) bool {
		for _, sample := range samples {
			p := &probe{request: SampleRequest("", sample+"/gatehouse-sample")}
			if p.matches(caddyhttp.MatcherSets{set}) != always {
				return false
			}
		}
		return true
	})
}

// warn tells of the leads to a handler with these matchers, unless a gate stands
// between.
func (c *course) warn(s *step, here stretch, sets caddyhttp.MatcherSets) {
	for _, l := range here.leads {
		if l.matchers != setsText(sets) && !passes([]caddyhttp.MatcherSets{sets}, l.to) ||
			slices.ContainsFunc(here.gates, func(g gateOnTheWay) bool { return g.step > l.step && g.Guarded.matchPath(l.to) }) {
			continue
		}
		if _, files := s.handler.(*fileserver.FileServer); files && !c.guardsFiles(l, filesOf(s.handler, here.root)) {
			continue
		}
		from := "a request for " + l.from
		if l.from == "" {
			from = "a request for another path"
		}
		c.found = appendNew(c.found, Finding{fmt.Sprintf("the gate at %s can be led around: %s after it makes %s one for %s, which the gate does not see", l.gate, l.by, from, l.to), l.mend, l.gate})
	}
}

// guardsFiles tells whether these files stand behind the gate of the lead. Other
// files of the same name are not what it guards.
func (c *course) guardsFiles(l lead, files string) bool {
	for _, host := range l.gate.Place.samples() {
		for _, path := range []string{l.to, l.to + "/"} {
			for _, to := range follow(c.tree, host, path).apps {
				if slices.Contains(to.gates, l.gate) && sameFiles(to.files, files) {
					return true
				}
			}
		}
	}
	return false
}

// leads are the ways in which the rewrite leads around the gates before it.
func (c *course) leads(r *rewrite.Rewrite, s *step, here stretch, sets caddyhttp.MatcherSets) (leads []lead) {
	c.steps++
	for _, g := range here.gates {
		if !g.at.meets(s.at) || slices.ContainsFunc(leads, func(l lead) bool { return l.gate == g.Gate }) {
			continue
		}
		for _, l := range leadsInto(g.Gate, r, here, sets) {
			if slices.ContainsFunc(here.gates, func(g gateOnTheWay) bool {
				return l.from != "" && g.Guarded.limited && g.at.meets(s.at) && g.Guarded.matchPath(l.from)
			}) {
				continue
			}
			l.by += here.in
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
	guarded := g.Guarded.samples()
	for _, target := range targets(r.URI, sets) { // /index.php, where /*.php is guarded
		if target = "/" + strings.TrimLeft(target, "/"); !strings.Contains(target, "{") && g.Guarded.limited && g.Guarded.matchPath(target) {
			guarded = append(guarded, target)
		}
	}
	for _, to := range guarded {
		for _, way := range waysTo(to, r, sets) {
			l := lead{gate: g, from: way.from, to: to, by: way.by}
			switch {
			case way.any:
				from, ok := anyOther(g, here)
				if !ok {
					continue
				}
				l.from = from
			case way.from != "" && (g.Guarded.matchPath(way.from) || !here.rewritten && !passes(here.matchers, way.from)):
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
	uri, _, _ = strings.Cut(statusCode.Replace(uri), "?")
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

// statusCode puts a sample in the place of the status of an error or an answer.
var statusCode = strings.NewReplacer("{http.error.status_code}", "404", "{http.reverse_proxy.status_code}", "404", "{http.intercept.status_code}", "404")

// byTheApp begin placeholders for what the app has answered, such as
// X-Accel-Redirect: where it leads is the app's to say.
var byTheApp = []string{"{http.reverse_proxy.header.", "{http.intercept.header."}

// samePath are placeholders for the path as it is.
var samePath = []string{"{path}", "{uri}", "{http.request.uri}", "{http.request.uri.path}", "{http.request.orig_uri}", "{http.request.orig_uri.path}"}

func wayByURI(to, target string) (way, bool) {
	literal, rest, open := strings.Cut(target, "{")
	begins := func(p string) bool { return strings.HasPrefix("{"+rest, p) }
	same := slices.ContainsFunc(samePath, begins)
	told := slices.ContainsFunc(byTheApp, begins)
	if literal == "" {
		return way{}, open && !same && !told // the path as it is, with something behind it
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
	return way{}, !same && !told && strings.HasPrefix(to, literal)
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
		if passes(here.matchers, candidate) && !g.Guarded.matchPath(candidate) {
			return strings.Replace(candidate, "gatehouse-sample", "…", 1), true
		}
	}
	return "", !known || here.rewritten
}

// passes tells whether the matchers, as far as they are for paths, let path pass.
func passes(matchers []caddyhttp.MatcherSets, path string) bool {
	p := &probe{request: SampleRequest("", path), anyHost: true}
	return !slices.ContainsFunc(matchers, func(sets caddyhttp.MatcherSets) bool { return p.matches(sets) == never })
}

// sampleOf is a path that the pattern matches.
func sampleOf(pattern string) string {
	return "/" + strings.TrimLeft(strings.NewReplacer("*", "gatehouse-sample", "?", "x").Replace(pattern), "/")
}
