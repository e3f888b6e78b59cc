package caddymodule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// checkAround looks for requests that a matcher of Caddy's leads around a gate
// for a path: handle /admin/* does not take /admin, which the app behind it most
// often serves as it serves /admin/. It refuses a gate with a path of its own
// whose app gets such requests, and returns what else does.
func (a *App) checkAround(app *caddyhttp.App) ([]finding, error) {
	var all []finding
	for _, g := range a.gates {
		for _, s := range g.place.spots {
			for _, top := range g.tops(s) {
				for _, host := range g.place.samples() {
					found, refused := around(app.Servers[s.server], host, top, g)
					if refused {
						return nil, fmt.Errorf("%s: %s", found.found, found.do)
					}
					if found.found != "" && !slices.Contains(all, found) {
						all = append(all, found)
					}
				}
			}
		}
	}
	return all, nil
}

// tops are the paths that the gate guards with all below, as it is written: its
// own, or else those of the matchers above it.
func (g *Gate) tops(s spot) []string {
	if g.guarded.limited {
		var tops []string
		for _, subtree := range g.guarded.subtrees {
			tops = append(tops, subtree.String())
		}
		return tops
	}
	var tops []string
	for _, paths := range s.paths {
		for _, pattern := range paths {
			top := strings.TrimRight(strings.TrimSuffix(pattern, "/*"), "/")
			if strings.HasPrefix(top, "/") && !strings.ContainsAny(top, `*?[\{%`) && !isOwnPath(top) {
				tops = append(tops, top)
			}
		}
	}
	return tops
}

// around compares what becomes of the shapes of a path: some meet the gate, and
// none should get to an app without.
func around(server *caddyhttp.Server, host, top string, g *Gate) (worst finding, refused bool) {
	type shape struct {
		path string
		trip
	}
	var seen, past []shape
	for _, path := range []string{top, top + "/", top + "/gatehouse-sample"} {
		s := shape{path, follow(server, host, path)}
		if slices.Contains(s.gates, g) {
			seen = append(seen, s)
		} else {
			past = append(past, s)
		}
	}
	for _, out := range past {
		for _, to := range out.apps {
			same, guarded := false, false
			for _, in := range seen {
				same = same || slices.ContainsFunc(in.apps, func(b behind) bool { return slices.Contains(b.gates, g) && b.same(to) })
				// A gate that is met here alone stands for this one.
				guarded = guarded || slices.ContainsFunc(to.gates, func(other *Gate) bool { return !slices.Contains(in.gates, other) })
			}
			if len(seen) == 0 || guarded || !same && !g.guarded.limited {
				continue
			}
			path := strings.Replace(out.path, "gatehouse-sample", "…", 1)
			found := finding{found: fmt.Sprintf("%s gets requests for %s at %s that the gate at %s does not see", to.name, path, host, g)}
			if same {
				found.found += ", and the same app stands behind that gate"
			}
			found.do = fmt.Sprintf("to Caddy %s/* does not take %s, nor %s what is below it; write at the top level of the site, in no handle or route\n    gatehouse %s/* <who>\nor let the handle take all of it\n    @guarded path %s %s/*\n    handle @guarded {", top, top, top, top, top, top)
			if same && g.guarded.limited && to.surely {
				return found, true
			}
			if worst.found == "" {
				worst = found
			}
		}
	}
	return worst, false
}

// trip is what a request for one path meets.
type trip struct {
	gates []*Gate
	apps  []behind
}

// behind is a handler that hands requests on, and what they have met before.
type behind struct {
	name      string
	upstreams []string
	asked     bool // it sees the path that was asked for
	surely    bool
	gates     []*Gate
}

// same tells whether both hand the same paths to the same app.
func (b behind) same(other behind) bool {
	return b.asked && other.asked && slices.ContainsFunc(b.upstreams, func(to string) bool { return slices.Contains(other.upstreams, to) })
}

// follow sends a request for path through the routes.
func follow(server *caddyhttp.Server, host, path string) (t trip) {
	ended, surely := false, true
	p := &probe{server: server, request: sampleRequest(host, path), noErrors: true}
	p.meet = func(handler caddyhttp.MiddlewareHandler, here certainty) {
		if ended {
			return
		}
		switch h := handler.(type) {
		case *Gate:
			if p.matches(h.matchers) != never && (p.rewritten || h.guarded.matchPath(path)) {
				t.gates = append(slices.Clip(t.gates), h)
			}
			return
		case *reverseproxy.Handler:
			if len(h.HandleResponse) > 0 && h.Rewrite != nil && h.Rewrite.Method != "" {
				ended = true // forward_auth: somebody else guards what follows
				return
			}
			name, upstreams, fast := handsTo(h)
			asked := fast || !p.rewritten && !(h.Rewrite != nil && changesPath(h.Rewrite))
			t.apps = append(t.apps, behind{name, upstreams, asked, surely && here == always, t.gates})
		case *fileserver.FileServer:
			// Of a directory's path without a slash it makes one with.
			if strings.HasSuffix(path, "/") || h.CanonicalURIs != nil && !*h.CanonicalURIs {
				t.apps = append(t.apps, behind{name: "file_server", surely: surely && here == always, gates: t.gates})
			}
		default:
			if module, ok := handler.(caddy.Module); ok && module.CaddyModule().ID.Name() == "authentication" {
				ended = true
				return
			}
		}
		if roleOf(handler).ends {
			ended, surely = here == always, false
		}
	}
	p.list(server.Routes, always)
	return t
}
