package routes

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
)

// Where paths change between a gate and an app, what the gate guards and what it
// leaves alone can become one and the same: with gatehouse /app/* and handle_path
// /app* both /app/admin and /appadmin are /admin to the app. No rule about single
// rewrites finds all of these. So requests are tried: for all paths that routes,
// rewrites and gates name, and for what one rewrite less or more makes of them;
// for guarded files also at every other directory that holds them. Whatever comes
// to the same app or file twice, once past the gate, is told, and what a rewrite
// makes a guarded path of for an app behind the gate.

// What is tried is bounded, so that the start of many sites stays quick: mostTries
// at one host, and fewTries at each of very many.
const (
	mostTries = 400
	fewTries  = 40
	allTries  = 2_500
)

// search tries requests at one host.
type search struct {
	*site
	named   []string
	changes parts
	most    int
	tried   map[string][]arrival // what has been asked for, and where it came
	came    []arrival
}

// Twice finds requests that come to an app or a file past a gate as one for a
// guarded path does. It refuses what happens to every such request.
// Of gates in told something is said already.
func (w *Walk) Twice(gates []*Gate, told []Finding) (all []Finding, err error) {
	var searches []*search
	add := func(server, host string) {
		at := w.site(server, host)
		if !slices.ContainsFunc(searches, func(s *search) bool { return s.site == at }) {
			s := &search{site: at, tried: map[string][]arrival{}}
			s.named, s.changes = partsOf(slices.Concat(at.tree.routes, at.tree.errors))
			searches = append(searches, s)
		}
	}
	for _, g := range gates {
		for _, s := range g.Place.Spots {
			for _, host := range g.Place.samples() {
				add(s.Server, host)
			}
		}
	}
	var came []arrival
	for _, s := range searches {
		s.most = max(fewTries, min(mostTries, allTries/len(searches)))
		s.paths()
		came = append(came, s.came...)
	}
	if guarded := guardedFiles(came); len(guarded) > 0 {
		w.fileServers(add)
		for _, s := range searches {
			s.most, s.came = len(s.tried)+fewTries, nil
			s.files(guarded)
			came = append(came, s.came...)
		}
	}
	found, err := judge(came)
	return slices.DeleteFunc(found, func(f Finding) bool {
		return slices.ContainsFunc(told, func(other Finding) bool { return other.gate == f.gate })
	}), err
}

// site is what stands for one host of a server.
func (w *Walk) site(server, host string) *site {
	key := [2]string{server, host}
	if at := w.sites[key]; at != nil {
		return at
	}
	all := w.trees[server]
	ofOthers := func(n *node) bool { return !n.at.anyHost && !(scope{hosts: []string{host}}).meets(n.at) }
	t := &tree{all.server, slices.DeleteFunc(slices.Clone(all.routes), ofOthers), slices.DeleteFunc(slices.Clone(all.errors), ofOthers)}
	at := &site{tree: t, host: host}
	each(slices.Concat(t.routes, t.errors), func(s *step) {
		if s.gate != nil {
			for _, sample := range s.gate.Guarded.samples() {
				at.guarded = appendOnce(at.guarded, sample)
			}
		}
		own, _ := ownRoot(s.handler)
		named, _ := varsOf(s.handler)["root"].(string)
		for _, root := range []string{own, named} {
			if root = caddy.NewReplacer().ReplaceKnown(root, ""); root != "" && !strings.Contains(root, "{") {
				at.roots = appendOnce(at.roots, root)
			}
		}
	})
	w.sites[key] = at
	return at
}

// fileServers calls visit for the places of all file servers.
func (w *Walk) fileServers(visit func(server, host string)) {
	for _, name := range slices.Sorted(maps.Keys(w.trees)) {
		each(slices.Concat(w.trees[name].routes, w.trees[name].errors), func(s *step) {
			if _, ok := s.handler.(*fileserver.FileServer); ok {
				host := "gatehouse-sample"
				if len(s.at.hosts) > 0 {
					host = strings.ReplaceAll(s.at.hosts[0], "*", host)
				}
				visit(name, host)
			}
		})
	}
}

func appendOnce[T comparable](all []T, one T) []T {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// try asks for a path, unless enough is done, and returns where it comes.
func (s *search) try(asked string) []arrival {
	asked = "/" + strings.TrimLeft(asked, "/")
	all, is := s.tried[asked]
	if is || len(s.tried) >= s.most {
		return all
	}
	all = s.arrivals(asked)
	s.tried[asked], s.came = all, append(s.came, all...)
	return all
}

// paths tries what is named, and what rewrites may make of that: of what gates
// guard first.
func (s *search) paths() {
	for _, parts := range [][]string{s.guarded, s.named} {
		var paths []string // as they are asked for, and as rewrites leave them
		seen := map[string]bool{}
		for _, part := range parts {
			for _, asked := range shapesOf(part) {
				for _, a := range s.try(asked) {
					for _, at := range []string{a.path, a.asked} {
						if !seen[at] {
							seen[at] = true
							paths = append(paths, at)
						}
					}
				}
			}
		}
		for _, at := range paths {
			if len(s.tried) >= s.most {
				return
			}
			for _, asked := range s.changes.around(at) {
				s.try(asked)
			}
		}
	}
}

// guardedFiles are those that gates for certain paths look at, each once.
func guardedFiles(came []arrival) (all []arrival) {
	seen := map[string]bool{}
	for _, a := range came {
		if strings.HasPrefix(a.to, onThisDisk) && !seen[a.to] && !a.errors && !a.fixed && slices.ContainsFunc(a.gates, (*Gate).forPaths) {
			seen[a.to] = true
			all = append(all, a)
		}
	}
	return all
}

// files tries guarded files below each root that holds them.
func (s *search) files(guarded []arrival) {
	for _, root := range s.roots {
		if abs, err := filepath.Abs(root); err == nil {
			for _, a := range guarded {
				if a.host == s.host && len(s.roots) == 1 {
					continue // below this root it has been asked for
				}
				if at, ok := inside(abs, strings.TrimPrefix(a.to, onThisDisk)); ok {
					for _, asked := range s.changes.around(at) {
						s.try(asked)
					}
				}
			}
		}
	}
}

// inside tells whether file is root or below it, and the path from there.
func inside(root, file string) (at string, ok bool) {
	const slash = string(filepath.Separator)
	at, ok = strings.CutPrefix(file+slash, strings.TrimSuffix(root, slash)+slash)
	return path.Join("/", filepath.ToSlash(at)), ok
}

// judge compares what came to the same.
func judge(came []arrival) (all []Finding, err error) {
	same := map[string][]arrival{}
	var order []string
	for _, a := range came {
		key := a.to
		if !strings.HasPrefix(key, onThisDisk) {
			key += " " + a.path
		}
		if same[key] == nil {
			order = append(order, key)
		}
		same[key] = append(same[key], a)
	}
	told := map[*Gate]bool{}
	for _, key := range order {
		for _, in := range same[key] {
			for _, g := range in.gates {
				if told[g] || in.errors || in.fixed {
					continue
				}
				i := slices.IndexFunc(same[key], func(out arrival) bool { return out.passes(g, in) })
				if i < 0 {
					continue
				}
				told[g] = true
				out := same[key][i]
				f := out.around(g, fmt.Sprintf("as one for %s, which it guards, does", shown(in.asked)), out.host != in.host)
				if in.surely() && out.surely() && out.host == in.host && (g.Guarded.limited || hasPathMatcher(g.Matchers)) {
					return nil, fmt.Errorf("%s: %s", f.Found, f.Do)
				}
				all = append(all, f)
			}
		}
	}
	return append(all, asGuarded(came, told)...), nil
}

// asGuarded finds what a rewrite makes a path that a gate guards of, for an app
// behind that gate. Where the app gets no guarded path as the gate names it, the
// names are those that visitors ask for, and what has one put before it is told
// alone: behind handle_path /app/*, /app/app/admin leads to nothing that
// gatehouse /app/admin/* is for.
func asGuarded(came []arrival, told map[*Gate]bool) (all []Finding) {
	behind, asNamed := map[string][]*Gate{}, map[string][]*Gate{}
	for _, in := range came {
		for _, g := range in.gates {
			if g.Guarded.limited {
				behind[in.to] = appendOnce(behind[in.to], g)
				if g.Guarded.matchPath(in.path) {
					asNamed[in.to] = appendOnce(asNamed[in.to], g)
				}
			}
		}
	}
	for _, out := range came {
		for _, g := range behind[out.to] {
			if out.path == out.asked || told[g] || out.guarded(g) || !g.Guarded.matchPath(out.path) {
				continue
			}
			if slices.Contains(asNamed[out.to], g) || len(out.path) > len(out.asked) && !out.fixed && !out.errors {
				told[g] = true
				all = append(all, out.around(g, "as one for "+shown(out.path), false))
			}
		}
	}
	return all
}

func shown(path string) string { return strings.ReplaceAll(path, "gatehouse-sample", "…") }

// around tells of a request that leads around the gate.
func (a arrival) around(g *Gate, as string, elsewhere bool) Finding {
	asked := shown(a.asked)
	if elsewhere {
		asked += " at " + shown(a.host)
	}
	if a.chosen != "" {
		asked += ", with the visitor's own " + a.chosen + ","
	}
	aside := ""
	if a.errors {
		aside = " for an error or an answer"
	}
	do := "let nothing change paths between gate and app, and write blocks for a path with /* at its end; or write the gate without a path, at the top level of the site, and what is to be open as public in its block"
	if a.name == "file_server" {
		do += "; give each file_server a root of its own beside the others, and guard a directory rather than its index page"
	}
	return Finding{
		fmt.Sprintf("the gate at %s can be led around: a request for %s comes to %s%s, past that gate, %s", g, asked, a.name, aside, as),
		do,
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
