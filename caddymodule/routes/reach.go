package routes

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
)

// certainty is how surely a request gets somewhere, as far as host and path
// tell: other matchers ask for what only the request itself knows.
type certainty int

const (
	never certainty = iota
	perhaps
	always
)

// ownPaths stand for all pages of a gate: whoever gets these gets all.
var ownPaths = []string{"/_gatehouse/login", "/_gatehouse/link/x"}

// Reach refuses a gate whose sign-in pages no request reaches: its
// visitors would be redirected to the app, or to an empty page.
func (w *Walk) Reach(g *Gate) (warnings []string, err error) {
	for _, s := range g.Place.Spots {
		for _, host := range g.Place.samples() {
			reached, taken := reach(w.trees[s.Server], host)
			switch {
			case reached == never && taken != "":
				return nil, fmt.Errorf("nobody could sign in at the gate at %s: %s before it answers the requests for its pages; write at the top level of the site\n    gatehouse_first%s", g, taken, orRoute(taken))
			case reached == never:
				return nil, fmt.Errorf("nobody could sign in at the gate at %s: no route of this site leads to its pages; write beside the handle or route that the gate stands in\n    handle /_gatehouse/* {\n        gatehouse_pages\n    }", g)
			case reached == perhaps:
				warnings = append(warnings, fmt.Sprintf("whether the sign-in pages of the gate at %s can be reached depends on matchers other than host and path: if visitors end up at an empty page, write gatehouse_pages into a block handle /_gatehouse/* beside the handle or route that the gate stands in", g))
			}
		}
	}
	return warnings, nil
}

// orRoute is the other way to have the pages reached, where there is one.
func orRoute(taken string) string {
	if taken != tryFiles {
		return ""
	}
	return "\nor, which alone also hides which files there are,\n    route {\n        gatehouse <who>\n        try_files …\n        file_server\n    }"
}

// reach tells how surely the pages are reached at a server under host, and what
// answers the requests for them before.
func reach(t *tree, host string) (least certainty, taken string) {
	least = always
	for _, path := range ownPaths {
		p := &probe{request: SampleRequest(host, path)}
		reached, _ := p.list(t.routes, always)
		if least = min(least, reached); reached == never {
			taken = p.taken
		}
	}
	return least, taken
}

const tryFiles = "try_files … =404"

// failsWithoutFile tells whether a request that no file is for ends at the
// matchers, as with try_files {path} =404.
func failsWithoutFile(sets caddyhttp.MatcherSets) bool {
	if len(sets) != 1 || len(sets[0]) != 1 {
		return false
	}
	files, ok := sets[0][0].(*fileserver.MatchFile)
	if !ok || len(files.TryFiles) == 0 {
		return false
	}
	last := len(files.TryFiles) - 1
	return strings.HasPrefix(files.TryFiles[last], "=") && !slices.ContainsFunc(files.TryFiles[:last], func(file string) bool { return !strings.Contains(file, "{") })
}

// SampleRequest is what Caddy's own matchers need to judge by host and path.
func SampleRequest(host, path string) *http.Request {
	r := &http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Path: path}, Header: http.Header{}, RequestURI: path}
	repl := caddy.NewReplacer()
	ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, repl)
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{})
	return r.WithContext(ctx)
}

func matchesPath(m caddyhttp.MatchPath, path string) bool {
	ok, err := m.MatchWithError(SampleRequest("", path))
	return ok && err == nil
}

// probe follows one request through the routes.
type probe struct {
	request   *http.Request
	rewritten bool              // paths that matchers see are not known any more
	anyHost   bool              // of the request only the path is known
	server    *caddyhttp.Server // that the request comes to; nil: not known
	// meet is called for every handler on the way, and nothing but a route that
	// ends the request does; nil: look for the pages.
	meet func(*step, certainty)
	// aside: what runs for errors and answers is met, too.
	aside bool
	taken string // what has surely answered the request, of what stands above a gate
}

// list follows the request through routes that it reaches as surely as in. It
// returns how surely it gets to the pages, and whether it surely ends here.
func (p *probe) list(nodes []*node, in certainty) (reached certainty, ended bool) {
	groups := map[string]certainty{}
	for _, n := range nodes {
		here := min(in, p.matches(n.MatcherSets))
		if n.Group != "" {
			switch groups[n.Group] {
			case always:
				continue
			case perhaps:
				here = min(here, perhaps)
			}
			groups[n.Group] = max(groups[n.Group], here)
		}
		if here == never {
			continue
		}
		if p.meet == nil && in == always && failsWithoutFile(n.MatcherSets) {
			p.taken = tryFiles
			return reached, true
		}
		for _, s := range n.steps {
			found, ended := p.step(s, here)
			if reached = max(reached, found); reached == always || ended {
				return reached, true
			}
		}
		if n.Terminal && here == always {
			return reached, true
		}
	}
	return reached, false
}

func (p *probe) step(s *step, here certainty) (reached certainty, ended bool) {
	if changesPath(s.handler) {
		p.rewritten = true
	}
	if p.meet != nil {
		p.meet(s, here)
	} else {
		switch handlerName(s.handler) {
		case "gatehouse", "gatehouse_pages", "gatehouse_portal": // with meet, what they don't take goes on
			return here, here == always
		}
		if here == always && (s.name == "redir" || s.name == "error") {
			p.taken = s.name
			return reached, true
		}
	}
	for _, b := range s.branches {
		if b.kind == straight {
			reached, ended = p.list(b.nodes, here)
		} else if p.aside {
			p.list(b.nodes, min(here, perhaps))
		}
	}
	return reached, ended
}

// matches tells whether any of the sets matches; no set at all always does.
func (p *probe) matches(sets caddyhttp.MatcherSets) certainty {
	if len(sets) == 0 {
		return always
	}
	best := never
	for _, set := range sets {
		all := always
		for _, matcher := range set {
			all = min(all, p.match(matcher))
		}
		best = max(best, all)
	}
	return best
}

func (p *probe) match(matcher any) certainty {
	switch m := matcher.(type) {
	case *caddyhttp.MatchNot:
		return always - p.matches(m.MatcherSets)
	case caddyhttp.MatchNot:
		return always - p.matches(m.MatcherSets)
	case caddyhttp.MatchPath, *caddyhttp.MatchPath, *caddyhttp.MatchPathRE, caddyhttp.MatchPathRE:
		if p.rewritten {
			return perhaps
		}
	case caddyhttp.MatchHost, *caddyhttp.MatchHost:
		if p.anyHost {
			return perhaps
		}
	case caddyhttp.MatchProtocol:
		return spoken(p.server, string(m))
	case *caddyhttp.MatchProtocol:
		return spoken(p.server, string(*m))
	default:
		expr, ok := expression(matcher)
		if !ok || constant(expr) == "" && (p.rewritten || p.anyHost || !ofHostAndPath(expr)) {
			return perhaps
		}
	}
	ok, err := matcher.(caddyhttp.RequestMatcherWithError).MatchWithError(p.request)
	if err != nil {
		return perhaps
	}
	if ok {
		return always
	}
	return never
}
