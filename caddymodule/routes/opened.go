package routes

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// Public paths are judged as the visitor asked for them. A rewrite, before the
// gate or behind it, makes other paths of them: with public /static/* and uri
// strip_prefix /static an app gets /admin for /static/admin, and nobody signs in.

// Opened looks for rewrites that make a guarded path of a public one.
func (w *Walk) Opened(gates []*Gate) (all []Finding) {
	for _, g := range gates {
		for _, s := range g.Place.Spots {
			for _, pattern := range g.Public {
				for _, host := range g.Place.samples() {
					if f, ok := g.opened(w.trees[s.Server], host, pattern); ok && !slices.Contains(all, f) {
						all = append(all, f)
					}
				}
			}
		}
	}
	return all
}

// belowPublic are parts of paths that rewrites are tried with.
var belowPublic = []string{"gatehouse-sample", "1", "x1", "x/1"}

// opened tells whether a rewrite makes of a public path one that the gate guards,
// for the same app or files.
func (g *Gate) opened(t *tree, host, pattern string) (Finding, bool) {
	var samples []string
	for _, below := range belowPublic {
		for _, sample := range origin.Samples(g.Prefix, pattern, below) {
			if sample = strings.TrimPrefix(sample, g.Prefix); !slices.Contains(samples, sample) {
				samples = append(samples, sample)
			}
		}
	}
	for _, sample := range samples {
		for _, to := range rewrites(t, host, sample) {
			if to.path == sample || g.Open.Match(g.Prefix+to.path, g.Prefix+to.path) || g.Guarded.limited && !g.Guarded.matchPath(to.path) {
				continue
			}
			for _, guarded := range follow(t, host, to.path).apps {
				if slices.Contains(guarded.gates, g) && (slices.ContainsFunc(to.upstreams, func(up string) bool { return slices.Contains(guarded.upstreams, up) }) || sameFiles(to.files, guarded.files)) {
					path := strings.Replace(to.path, "gatehouse-sample", "…", 1)
					return Finding{
						fmt.Sprintf("public %s of the gate at %s opens more than it says: a rewrite makes %s of %s, and %s gets that without a sign-in", pattern, g, path, strings.Replace(sample, "gatehouse-sample", "…", 1), to.name),
						"name the paths that the app is to get without a sign-in in public, and let the rewrite make those alone; or put what is open into a handle of its own with other files or another app",
						g,
					}, true
				}
			}
		}
	}
	return Finding{}, false
}

// led is a path as an app gets it.
type led struct {
	behind
	path string
}

// rewrites returns what apps get for a request for path, as far as that can be
// told.
func rewrites(t *tree, host, path string) (all []led) {
	paths := []string{path}
	var root root
	ended := false
	p := &probe{request: SampleRequest(host, path)}
	p.meet = func(s *step, here certainty) {
		if ended {
			return
		}
		var b behind
		switch h := s.handler.(type) {
		case *rewrite.Rewrite:
			if changesPath(h) {
				after := rewritten(paths, h, s)
				if here != always {
					after = append(after, paths...)
				}
				paths = after
			}
			return
		case *reverseproxy.Handler:
			b.name, b.upstreams, _ = handsTo(h)
			b.files = filesOf(h, root)
			if h.Rewrite != nil && changesPath(h.Rewrite) {
				for _, to := range rewritten(paths, h.Rewrite, s) {
					all = append(all, led{b, to})
				}
				ended = s.ends && here == always
				return
			}
		case *fileserver.FileServer:
			b.name, b.files = "file_server", filesOf(h, root)
		default:
			root = root.after(s.handler, here == always)
			ended = s.ends && here == always
			return
		}
		ended = s.ends && here == always
		for _, to := range paths {
			all = append(all, led{b, to})
		}
	}
	p.list(t.routes, always)
	return all
}

// rewritten are the paths that the rewrite makes of these.
func rewritten(paths []string, r *rewrite.Rewrite, s *step) (after []string) {
	uris := []string{r.URI}
	if strings.HasPrefix(r.URI, "{http.matchers.file.") {
		uris = append(targets(r.URI, s.sets), "{http.request.uri.path}")
	}
	for _, path := range paths {
		for _, uri := range uris {
			one := *r
			one.URI = statusCode.Replace(uri)
			request := SampleRequest("", path)
			request.URL = &url.URL{Path: path}
			repl := caddy.NewReplacer()
			request = caddyhttp.PrepareRequest(request, repl, nil, s.at.server)
			one.Rewrite(request, repl)
			if !slices.Contains(after, request.URL.Path) {
				after = append(after, request.URL.Path)
			}
		}
	}
	return after
}
