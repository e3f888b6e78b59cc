package routes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Around looks for requests that a matcher of Caddy's leads around a gate
// for a path: handle /admin/* does not take /admin, which the app behind it most
// often serves as it serves /admin/. It refuses a gate with a path of its own
// whose app gets such requests, and returns what else does.
func (w *Walk) Around(gates []*Gate) ([]Finding, error) {
	var all []Finding
	for _, g := range gates {
		for _, s := range g.Place.Spots {
			for _, top := range g.tops(s.Paths) {
				for _, host := range g.Place.samples() {
					found, refused := around(w.trees[s.Server], host, top, g)
					if refused {
						return nil, fmt.Errorf("%s: %s", found.Found, found.Do)
					}
					if found.Found != "" && !slices.Contains(all, found) {
						all = append(all, found)
					}
				}
			}
		}
	}
	return all, nil
}

// around compares what becomes of the shapes of a path: some meet the gate, and
// none should get to an app without.
func around(t *tree, host, top string, g *Gate) (worst Finding, refused bool) {
	type shape struct {
		path string
		trip
	}
	var seen, past []shape
	for _, path := range []string{top, top + "/", top + "/gatehouse-sample"} {
		s := shape{path, follow(t, host, path)}
		if slices.Contains(s.gates, g) {
			seen = append(seen, s)
		} else {
			past = append(past, s)
		}
	}
	for _, out := range past {
		for _, to := range out.apps {
			if to.moved {
				continue
			}
			same, guarded := false, false
			for _, in := range seen {
				same = same || slices.ContainsFunc(in.apps, func(b behind) bool { return slices.Contains(b.gates, g) && b.same(to) })
				// A gate that is met here alone stands for this one.
				guarded = guarded || slices.ContainsFunc(to.gates, func(other *Gate) bool { return !slices.Contains(in.gates, other) && other.Policy.covers(g.Policy) })
			}
			if len(seen) == 0 || guarded || !same && !g.Guarded.limited {
				continue
			}
			path := strings.Replace(out.path, "gatehouse-sample", "…", 1)
			found := Finding{gate: g, Found: fmt.Sprintf("%s gets requests for %s at %s that the gate at %s does not see", to.name, path, host, g)}
			if same {
				found.Found += ", and the same app stands behind that gate"
			}
			if !to.asked && !to.files {
				found.Do = fmt.Sprintf("to Caddy %s/* does not take %s, nor %s what is below it, and what takes it changes the path; write there as well\n    gatehouse <who>", top, top, top)
			} else {
				found.Do = fmt.Sprintf("to Caddy %s/* does not take %s, nor %s what is below it; write at the top level of the site, in no handle or route\n    gatehouse %s/* <who>", top, top, top, top)
			}
			if same && g.Guarded.limited && to.surely {
				return found, true
			}
			if worst.Found == "" {
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

// behind is a handler that hands requests on or serves files, and what they have
// met before.
type behind struct {
	name      string
	upstreams []string
	files     bool // it serves or runs files
	asked     bool // it sees the path that was asked for
	moved     bool // it leads the visitor to another path
	surely    bool
	gates     []*Gate
}

// same tells whether both hand the same paths to the same app.
func (b behind) same(other behind) bool {
	return b.asked && other.asked && slices.ContainsFunc(b.upstreams, func(to string) bool { return slices.Contains(other.upstreams, to) })
}

// follow sends a request for path through the routes.
func follow(t *tree, host, path string) (out trip) {
	ended, surely := false, true
	p := &probe{request: SampleRequest(host, path), server: t.server}
	p.meet = func(s *step, here certainty) {
		if ended {
			return
		}
		if g := s.gate; g != nil {
			if p.matches(g.Matchers) != never && (p.rewritten || g.Guarded.matchPath(path)) {
				out.gates = append(slices.Clip(out.gates), g)
			}
			return
		}
		switch h := s.handler.(type) {
		case *reverseproxy.Handler:
			if asksFirst(h) {
				ended = true // somebody else guards what follows
				return
			}
			_, files := ownRoot(h)
			asked := s.fast || !p.rewritten && !(h.Rewrite != nil && changesPath(h.Rewrite))
			out.apps = append(out.apps, behind{name: s.as, upstreams: s.upstreams, files: files, asked: asked, surely: surely && here == always, gates: out.gates})
		case *fileserver.FileServer:
			// Of a directory's path without a slash it makes one with.
			moved := !strings.HasSuffix(path, "/") && (h.CanonicalURIs == nil || *h.CanonicalURIs)
			out.apps = append(out.apps, behind{name: "file_server", files: true, moved: moved, surely: surely && here == always, gates: out.gates})
		default:
			if handlerName(h) == "authentication" {
				ended = true
				return
			}
		}
		if s.ends {
			ended, surely = here == always, false
		}
	}
	p.list(t.routes, always)
	return out
}
