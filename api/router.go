package api

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// Route answers one call. See the package's doc for what it returns.
type Route func(*Call) error

// Config is what a dialect is made of.
type Config struct {
	Service *authcore.Service
	Pages   *pages.Pages // what people see
	Log     *slog.Logger // nil: no log
}

// Router finds the route of a request. Fill it with On before its first use. A
// dialect embeds it: all of Dialect but the name is here.
type Router struct {
	Config
	// Fail answers a refusal in the shape of the dialect. Status, Retry-After
	// and what Router sets are its to keep: it writes with Call.Answer.
	Fail func(*Call, *Refusal) error
	// Shown finds out what a call shows; nil: no route looks at keys.
	Shown Shown
	// Roots are what paths of the dialect alone begin with.
	Roots []string
	// Missing are what paths of the original begin with, by whole segments, that this
	// server does not have, and Unsupported how they are refused.
	Missing     []string
	Unsupported *Refusal

	paths []*path
}

type path struct {
	segments []string // "{name}" stands for any one
	braces   int
	methods  map[string]ruled
}

// ruled is a route with its row of the table of rights.
type ruled struct {
	route  Route
	rights Rights
}

// On adds a route, which must have its row in the table of rights. pattern is a path like /v1/apps/{appId}/auth; a segment in
// braces stands for any one segment. GET routes also answer HEAD.
func (rt *Router) On(method, pattern string, route Route) { rt.OnLike(method, pattern, pattern, route) }

// OnLike is On for a path that a setting has made: like is its pattern in the
// table.
func (rt *Router) OnLike(method, pattern, like string, route Route) {
	rights, known := RightsOf(method, like)
	if !known {
		panic("api: " + method + " " + like + " has no row in the table of rights")
	}
	segments := strings.Split(strings.Trim(pattern, "/"), "/")
	i := slices.IndexFunc(rt.paths, func(p *path) bool { return slices.Equal(p.segments, segments) })
	if i < 0 {
		rt.paths = append(rt.paths, &path{segments, strings.Count(pattern, "{"), map[string]ruled{}})
		i = len(rt.paths) - 1
	}
	rt.paths[i].methods[method] = ruled{route, rights}
}

// Knows tells whether path has a route.
func (rt *Router) Knows(path string) bool {
	p, _ := rt.find(path)
	return p != nil
}

// Serve answers a request for one of the paths and tells whether it was one.
// Empty segments are dropped, so that a base URL that ends in a slash works.
func (rt *Router) Serve(w http.ResponseWriter, r *http.Request, v Visit) bool {
	p, segments := rt.find(r.URL.Path)
	if p == nil {
		return false
	}
	c := &Call{Visit: v, W: w, R: r, Service: rt.Service, pages: rt.Pages, params: p.params(segments)}
	found, ok := p.methods[r.Method]
	if !ok && r.Method == http.MethodHead {
		found, ok = p.methods[http.MethodGet]
	}
	if !ok {
		w.Header().Set("Allow", p.allow())
		rt.fail(c, errMethod)
		return true
	}
	err := c.admit(found.rights, rt.Shown)
	if err == nil {
		err = found.route(c)
	}
	if err != nil {
		rt.fail(c, err)
	}
	return true
}

// NotFound refuses a request for a path below the dialect's roots, and tells
// whether it was one.
func (rt *Router) NotFound(w http.ResponseWriter, r *http.Request, v Visit) bool {
	for _, root := range rt.Missing {
		if rest, ok := strings.CutPrefix(r.URL.Path, root); ok && (rest == "" || rest[0] == '/') {
			rt.fail(&Call{Visit: v, W: w, R: r, Service: rt.Service, pages: rt.Pages}, rt.Unsupported)
			return true
		}
	}
	for _, root := range rt.Roots {
		if strings.HasPrefix(r.URL.Path, root) {
			rt.fail(&Call{Visit: v, W: w, R: r, Service: rt.Service, pages: rt.Pages}, errNotFound)
			return true
		}
	}
	return false
}

// find prefers the path with the fewest braces.
func (rt *Router) find(text string) (best *path, segments []string) {
	segments = slices.DeleteFunc(strings.Split(text, "/"), func(s string) bool { return s == "" })
	for _, p := range rt.paths {
		if (best == nil || p.braces < best.braces) && p.matches(segments) {
			best = p
		}
	}
	return best, segments
}

func (p *path) matches(segments []string) bool {
	if len(segments) != len(p.segments) {
		return false
	}
	for i, want := range p.segments {
		if want != segments[i] && !strings.HasPrefix(want, "{") {
			return false
		}
	}
	return true
}

// params are the segments that stand for the names in braces.
func (p *path) params(segments []string) map[string]string {
	params := map[string]string{}
	for i, want := range p.segments {
		if strings.HasPrefix(want, "{") {
			params[strings.Trim(want, "{}")] = segments[i]
		}
	}
	return params
}

func (p *path) allow() string {
	var methods []string
	for m := range p.methods {
		methods = append(methods, m)
		if m == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// fail turns what a route returned into an answer.
func (rt *Router) fail(c *Call, err error) {
	refusal := new(Refusal)
	if !errors.As(err, &refusal) {
		id := keyring.NewID(c.Service.Now())
		c.W.Header().Set("X-Request-Id", id)
		if rt.Log != nil && c.R.Context().Err() == nil {
			rt.Log.Error("an API call can't be answered", "request", id, "path", rt.pattern(c), "error", err)
		}
		refusal = errOutage
	}
	c.RetryAfter(refusal.RetryAfter)
	if err := rt.Fail(c, refusal); err != nil && rt.Log != nil {
		rt.Log.Error("a refusal can't be written", "error", err)
	}
}

// pattern is the route of a call for the log: the path itself may hold a
// token.
func (rt *Router) pattern(c *Call) string {
	p, _ := rt.find(c.R.URL.Path)
	return "/" + strings.Join(p.segments, "/")
}
