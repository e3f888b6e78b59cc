package routes

import (
	"fmt"
	"slices"
	"strings"

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
					if f, ok := g.opened(w.site(s.Server, host), pattern); ok && !slices.Contains(all, f) {
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
func (g *Gate) opened(at *site, pattern string) (Finding, bool) {
	var samples []string
	for _, below := range belowPublic {
		for _, sample := range origin.Samples(g.Prefix, pattern, below) {
			if sample = strings.TrimPrefix(sample, g.Prefix); !slices.Contains(samples, sample) {
				samples = append(samples, sample)
			}
		}
	}
	for _, sample := range samples {
		for _, to := range at.arrivals(sample) {
			if to.errors || to.path == sample || g.Open.Match(g.Prefix+to.path, g.Prefix+to.path) || g.Guarded.limited && !g.Guarded.matchPath(to.path) {
				continue
			}
			if slices.ContainsFunc(at.arrivals(to.path), func(in arrival) bool { return in.to == to.to && slices.Contains(in.gates, g) }) {
				return Finding{
					fmt.Sprintf("public %s of the gate at %s opens more than it says: a rewrite makes %s of %s, and %s gets that without a sign-in", pattern, g, shown(to.path), shown(sample), to.name),
					"name the paths that the app is to get without a sign-in in public, and let the rewrite make those alone; or put what is open into a handle of its own with other files or another app",
					g,
				}, true
			}
		}
	}
	return Finding{}, false
}
