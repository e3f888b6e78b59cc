package routes

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// Where paths change between a gate and an app, what the gate guards and what it
// leaves alone can become one and the same: with gatehouse /app/* and handle_path
// /app* both /app/admin and /appadmin are /admin to the app. No rule about single
// rewrites finds all of these. So requests are tried: for all paths that routes,
// rewrites and gates name, and for what one rewrite less or more makes of them;
// and whatever comes to the same app or file twice, once past the gate, is told.

// What is tried is bounded, so that the start of many sites stays quick: mostTries
// at one host, and fewTries at each of very many.
const (
	mostTries = 400
	fewTries  = 40
	allTries  = 2_500
)

// Twice finds requests that come to an app or a file past a gate as one for a
// guarded path does. It refuses what happens to every such request.
// Of gates in told something is said already.
func (w *Walk) Twice(gates []*Gate, told []Finding) (all []Finding, err error) {
	type place struct{ server, host string }
	var done []place
	for _, g := range gates {
		for _, s := range g.Place.Spots {
			for _, host := range g.Place.samples() {
				at := place{s.Server, host}
				if slices.Contains(done, at) {
					continue
				}
				done = append(done, at)
			}
		}
	}
	for _, at := range done {
		found, err := twice(w.trees[at.server], at.host, max(fewTries, min(mostTries, allTries/len(done))))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if !slices.ContainsFunc(slices.Concat(told, all), func(other Finding) bool { return other.gate == f.gate }) {
				all = append(all, f)
			}
		}
	}
	return all, nil
}

// twice tries requests at one host.
func twice(t *tree, host string, most int) (all []Finding, err error) {
	ofOthers := func(n *node) bool { return !n.at.anyHost && !(scope{hosts: []string{host}}).meets(n.at) }
	t = &tree{t.server, slices.DeleteFunc(slices.Clone(t.routes), ofOthers), slices.DeleteFunc(slices.Clone(t.errors), ofOthers)}
	named, changes := partsOf(slices.Concat(t.routes, t.errors))
	tried := map[string]bool{}
	came := map[string][]arrival{}
	var order []string
	try := func(asked string) (all []arrival) {
		asked = "/" + strings.TrimLeft(asked, "/")
		if tried[asked] || len(tried) >= most {
			return nil
		}
		tried[asked] = true
		all = arrivals(t, host, asked)
		for _, a := range all {
			key := a.to
			if !strings.HasPrefix(key, "files:") {
				key += " " + a.path
			}
			if came[key] == nil {
				order = append(order, key)
			}
			came[key] = append(came[key], a)
		}
		return all
	}
	var first []arrival
	for _, part := range named {
		for _, asked := range shapesOf(part) {
			first = append(first, try(asked)...)
		}
	}
	for _, a := range first {
		for _, asked := range slices.Concat(changes.around(a.path), changes.around(a.asked)) {
			try(asked)
		}
	}
	var told []*Gate
	behind := map[string][]*Gate{} // apps that see what a gate guards as such
	for _, key := range order {
		for _, in := range came[key] {
			for _, g := range in.gates {
				if g.Guarded.limited && g.Guarded.matchPath(in.path) {
					behind[in.to] = appendNewGate(behind[in.to], g)
				}
				if slices.Contains(told, g) || in.errors || in.fixed {
					continue
				}
				i := slices.IndexFunc(came[key], func(out arrival) bool { return out.passes(g, in) })
				if i < 0 {
					continue
				}
				out := came[key][i]
				told = append(told, g)
				f := out.around(g, fmt.Sprintf("as one for %s, which it guards, does", shown(in.asked)))
				if in.surely() && out.surely() && (g.Guarded.limited || hasPathMatcher(g.Matchers)) {
					return nil, fmt.Errorf("%s: %s", f.Found, f.Do)
				}
				all = append(all, f)
			}
		}
	}
	for _, key := range order {
		for _, out := range came[key] {
			for _, g := range behind[out.to] {
				if out.path != out.asked && !slices.Contains(told, g) && !out.guarded(g) && g.Guarded.matchPath(out.path) {
					told = append(told, g)
					all = append(all, out.around(g, "as one for "+shown(out.path)))
				}
			}
		}
	}
	return all, nil
}

func appendNewGate(all []*Gate, g *Gate) []*Gate {
	if slices.Contains(all, g) {
		return all
	}
	return append(all, g)
}

func shown(path string) string { return strings.ReplaceAll(path, "gatehouse-sample", "…") }

// around tells of a request that leads around the gate.
func (a arrival) around(g *Gate, as string) Finding {
	aside := ""
	if a.errors {
		aside = " for an error or an answer"
	}
	return Finding{
		fmt.Sprintf("the gate at %s can be led around: a request for %s comes to %s%s, past that gate, %s", g, shown(a.asked), a.name, aside, as),
		"let nothing change paths between gate and app, and write blocks for a path with /* at its end; or write the gate without a path, at the top level of the site, and what is to be open as public in its block",
		g,
	}
}

// surely tells whether nothing but host and path decides what becomes of the
// request.
func (a arrival) surely() bool {
	if a.errors {
		return false
	}
	for about, taken := range a.choices {
		if taken != 0 || !strings.HasPrefix(about, "fails") && !strings.HasPrefix(about, "answer ") {
			return false
		}
	}
	return true
}

// guarded tells whether a gate has looked at the request that asks as much as g.
func (a arrival) guarded(g *Gate) bool {
	return slices.ContainsFunc(a.gates, func(other *Gate) bool { return other.Policy.covers(g.Policy) })
}

// passes tells whether the request comes to the same as in, which g looks at, with
// nobody there who asks as much.
func (a arrival) passes(g *Gate, in arrival) bool {
	if a.others && !in.others || a.errors && a.fixed || a.guarded(g) {
		return false
	}
	for about, taken := range a.choices {
		if other, ok := in.choices[about]; ok && other != taken && strings.HasPrefix(about, "{") { // matchers
			return false
		}
	}
	return true
}

// shapesOf are paths about a part of one.
func shapesOf(part string) []string {
	base := strings.TrimRight(strings.TrimRight(part, "*"), "/")
	if strings.ContainsAny(base, "*?") {
		return []string{sampleOf(part), sampleOf(part) + "/gatehouse-sample"}
	}
	return []string{base, base + "/", base + "/gatehouse-sample", base + "gatehouse-sample"}
}

// parts are what rewrites put before or behind a path, or take away, or exchange.
type parts struct {
	ends      []string
	exchanged [][2]string
}

// around are paths of which a rewrite may make this one, or which it may make of
// it.
func (p parts) around(at string) []string {
	all := []string{at, path.Dir(at) + "/"} // of which it may be the index page
	for _, end := range p.ends {
		all = append(all, end+at, end+strings.TrimPrefix(at, "/"), at+end, strings.TrimPrefix(at, end), strings.TrimSuffix(at, end))
	}
	for _, x := range p.exchanged {
		if x[1] != "" {
			all = append(all, strings.ReplaceAll(at, x[1], x[0]))
		}
		all = append(all, strings.ReplaceAll(at, x[0], x[1]))
	}
	return all
}

// literals are what stands in a rewrite's target beside placeholders.
func literals(target string) []string {
	target, _, _ = strings.Cut(target, "?")
	return strings.FieldsFunc(placeholder.ReplaceAllString(target, "\n"), func(r rune) bool { return r == '\n' })
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// literal is how a regular expression for paths begins.
var literal = regexp.MustCompile(`^\^?(/[\w/.-]*)`)

// partsOf reads what handlers and matchers name of paths.
func partsOf(nodes []*node) (named []string, changes parts) {
	name := func(parts ...string) {
		for _, part := range parts {
			if !slices.Contains(named, part) {
				named = append(named, part)
			}
		}
	}
	end := func(parts ...string) {
		for _, part := range parts {
			if part != "/" && part != "" && !slices.Contains(changes.ends, part) {
				changes.ends = append(changes.ends, part)
				if strings.HasPrefix(part, "/") {
					name(part)
				}
			}
		}
	}
	expr := func(text string) {
		if found := literal.FindStringSubmatch(text); found != nil {
			end(strings.TrimRight(found[1], "/"))
		}
	}
	change := func(r *rewrite.Rewrite) {
		end("/" + strings.Trim(r.StripPathPrefix, "/"))
		end(r.StripPathSuffix)
		end(literals(r.URI)...)
		for _, part := range r.URISubstring {
			changes.exchanged = append(changes.exchanged, [2]string{part.Find, part.Replace})
		}
		for _, part := range r.PathRegexp {
			expr(part.Find)
		}
	}
	var match func(sets caddyhttp.MatcherSets)
	match = func(sets caddyhttp.MatcherSets) {
		for _, set := range sets {
			name(matchersOf[caddyhttp.MatchPath](set)...)
			for _, matcher := range set {
				switch m := matcher.(type) {
				case caddyhttp.MatchNot:
					match(m.MatcherSets)
				case *caddyhttp.MatchNot:
					match(m.MatcherSets)
				case caddyhttp.MatchPathRE:
					expr(m.Pattern)
				case *caddyhttp.MatchPathRE:
					expr(m.Pattern)
				case *fileserver.MatchFile:
					for _, file := range m.TryFiles {
						end(literals(file)...)
					}
				}
				if text, ok := expression(matcher); ok {
					for _, quoted := range inQuotes.FindAllStringSubmatch(text, -1) {
						name(quoted[1])
						expr(quoted[1])
					}
				}
			}
		}
	}
	name("/")
	var ends []string // of patterns for paths with a star in them
	each(nodes, func(s *step) {
		match(s.sets)
		if s.gate != nil {
			match(s.gate.Matchers)
			name(s.gate.Paths...)
			for _, pattern := range s.gate.Paths {
				if i := strings.LastIndex(strings.TrimRight(pattern, "/*"), "*"); i >= 0 {
					ends = append(ends, strings.TrimRight(pattern[i+1:], "/*"))
				}
			}
		}
		switch h := s.handler.(type) {
		case *rewrite.Rewrite:
			change(h)
		case *reverseproxy.Handler:
			if h.Rewrite != nil {
				change(h.Rewrite)
			}
		}
	})
	for _, part := range named {
		for _, end := range ends {
			if base := strings.TrimRight(part, "/*"); !strings.Contains(base, "*") {
				name(base + end)
			}
		}
	}
	return named, changes
}

// inQuotes finds paths in an expression.
var inQuotes = regexp.MustCompile("[\"'`](\\^?/[^\"'`]*)[\"'`]")
