package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// walk goes through the routes of the http app and notes what stands above
// every gate. A handler can't know that itself, and everything that leaves
// this server, such as the link in a mail, may only name hosts that stand in
// the configuration: the Host header of a request is the visitor's to choose.
type walk struct {
	places   map[caddyhttp.MiddlewareHandler]*place
	pages    map[*Gate]*place // of gates
	order    []caddyhttp.MiddlewareHandler
	warnings []string
}

// scope is what stands above a route. It is passed by value.
type scope struct {
	name      string
	server    *caddyhttp.Server
	ports     []uint16
	anyHost   bool
	hosts     []string
	paths     []caddyhttp.MatchPath
	matchers  []string // all of them, as text
	rewritten bool     // the path may have been changed on the way
	// pathMatched: the route itself has a matcher for a path.
	pathMatched bool
	invoked     []string // named routes on the way
}

// servers walks every server of the http app.
func (w *walk) servers(app *caddyhttp.App) error {
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		server := app.Servers[name]
		top := scope{name: name, server: server, ports: listenPorts(server), anyHost: true}
		if err := w.routes(server.Routes, top); err != nil {
			return err
		}
		if server.Errors != nil {
			if err := w.routes(server.Errors.Routes, top); err != nil {
				return err
			}
		}
	}
	return nil
}

func listenPorts(server *caddyhttp.Server) []uint16 {
	var ports []uint16
	for _, listen := range server.Listen {
		address, err := caddy.ParseNetworkAddress(listen)
		if err != nil || address.IsUnixNetwork() || address.IsFdNetwork() {
			continue
		}
		for port := address.StartPort; port <= address.EndPort; port++ {
			ports = append(ports, uint16(port))
		}
	}
	return ports
}

func (w *walk) routes(routes caddyhttp.RouteList, above scope) error {
	for _, route := range routes {
		here, err := above.under(route.MatcherSets)
		if err != nil {
			return err
		}
		here.pathMatched = hasPathMatcher(route.MatcherSets)
		for _, handler := range route.Handlers {
			if err := w.handler(handler, here); err != nil {
				return err
			}
			if changesPath(handler) {
				above.rewritten, here.rewritten = true, true
			}
		}
	}
	return nil
}

func (w *walk) handler(handler caddyhttp.MiddlewareHandler, here scope) error {
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		if err := w.routes(h.Routes, here); err != nil || h.Errors == nil {
			return err
		}
		return w.routes(h.Errors.Routes, here)
	case *caddyhttp.Invoke:
		named := here.server.NamedRoutes[h.Name]
		if named == nil || slices.Contains(here.invoked, h.Name) {
			return nil
		}
		here.invoked = append(slices.Clip(here.invoked), h.Name)
		return w.routes(caddyhttp.RouteList{*named}, here)
	case *Gate:
		return w.gate(h, here)
	case *PagesHandler, *Portal, *Authz, *API:
		w.note(handler, here)
	}
	return nil
}

// gate notes a gate: what it guards lies below its matchers, its pages do not.
func (w *walk) gate(g *Gate, here scope) error {
	below, err := here.under(g.matchers)
	if err != nil {
		return err
	}
	if here.rewritten && (here.pathMatched || hasPathMatcher(g.matchers)) {
		w.warnings = append(w.warnings, fmt.Sprintf("the gate at %s stands behind a matcher for a path, and the path may be rewritten before: a request that is rewritten to another path is not guarded; write the path on the directive, as in: gatehouse /admin/* *@example.com, or name the paths that need no sign-in with public in the block of the gate", below))
	}
	w.note(g, below)
	pages := w.pages[g]
	if pages == nil {
		pages = &place{tls: true}
		w.pages[g] = pages
	}
	pages.add(here)
	return nil
}

// note adds one way to a handler.
func (w *walk) note(h caddyhttp.MiddlewareHandler, here scope) {
	p := w.places[h]
	if p == nil {
		p = &place{tls: true}
		w.places[h] = p
		w.order = append(w.order, h)
	}
	p.add(here)
}

// add adds one way to the place.
func (p *place) add(here scope) {
	if !here.anyHost {
		p.named = true
		p.hosts = append(p.hosts, here.hosts...)
	}
	for _, port := range here.ports {
		if !slices.Contains(p.ports, port) {
			p.ports = append(p.ports, port)
		}
	}
	p.tls = p.tls && len(here.server.TLSConnPolicies) > 0
	p.spots = append(p.spots, spot{here.name, here.paths})
	p.key += fmt.Sprintf("%v %s ", here.ports, strings.Join(here.matchers, " "))
}

// nth is the place of a gate in the order of the walk, which is the same at
// each reload. Those that were not found come last.
func (w *walk) nth(g *Gate) int {
	if i := slices.Index(w.order, caddyhttp.MiddlewareHandler(g)); i >= 0 {
		return i
	}
	return len(w.order)
}

// String names a place for messages.
func (s scope) String() string {
	where := strings.Join(s.server.Listen, ", ")
	if !s.anyHost {
		where = strings.Join(s.hosts, ", ")
	}
	for _, path := range s.paths {
		where += " " + strings.Join(path, ", ")
	}
	return where
}

// under returns the scope below matchers. Sets of matchers are alternatives:
// only what each of them names is known.
func (s scope) under(sets caddyhttp.MatcherSets) (scope, error) {
	if len(sets) == 0 {
		return s, nil
	}
	var hosts []string
	var paths caddyhttp.MatchPath
	allHosts, allPaths := true, true
	for _, set := range sets {
		hostsOf, pathsOf := matchersOf[caddyhttp.MatchHost](set), matchersOf[caddyhttp.MatchPath](set)
		hosts, paths = append(hosts, hostsOf...), append(paths, pathsOf...)
		allHosts, allPaths = allHosts && hostsOf != nil, allPaths && pathsOf != nil
		s.matchers = append(slices.Clip(s.matchers), text(set))
	}
	if allPaths {
		s.paths = append(slices.Clip(s.paths), paths)
	}
	if !allHosts {
		return s, nil
	}
	for i, host := range hosts {
		expanded, err := caddy.NewReplacer().ReplaceOrErr(host, true, true)
		if err != nil {
			return s, fmt.Errorf("the host matcher %q above a gate depends on the request: %w; write the host itself", host, err)
		}
		hosts[i] = strings.ToLower(expanded)
	}
	s.hosts, s.anyHost = s.narrow(hosts), false
	return s, nil
}

// narrow returns the hosts that both the matchers above and these let pass.
func (s scope) narrow(hosts []string) []string {
	if s.anyHost {
		return hosts
	}
	var both []string
	for _, host := range hosts {
		for _, above := range s.hosts {
			if matchesHost(above, host) {
				both = append(both, host)
			} else if matchesHost(host, above) {
				both = append(both, above)
			}
		}
	}
	return both
}

// matchersOf returns the entries of the set's matcher of one type.
func matchersOf[T ~[]string](set caddyhttp.MatcherSet) T {
	for _, m := range set {
		switch m := m.(type) {
		case T:
			return slices.Clone(m)
		case *T:
			return slices.Clone(*m)
		}
	}
	return nil
}

// hasPathMatcher tells whether the matchers look at the path as it stands, which
// a rewrite changes.
func hasPathMatcher(sets caddyhttp.MatcherSets) bool {
	return slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool { return slices.ContainsFunc(set, looksAtPath) })
}

func looksAtPath(matcher any) bool {
	switch m := matcher.(type) {
	case caddyhttp.MatchNot:
		return hasPathMatcher(m.MatcherSets)
	case *caddyhttp.MatchNot:
		return hasPathMatcher(m.MatcherSets)
	case caddyhttp.MatchExpression:
		return namesPath.MatchString(m.Expr)
	case *caddyhttp.MatchExpression:
		return namesPath.MatchString(m.Expr)
	case caddyhttp.VarsMatcher, *caddyhttp.VarsMatcher, caddyhttp.MatchVarsRE, *caddyhttp.MatchVarsRE:
		raw, _ := json.Marshal(m)
		return namesPath.Match(raw)
	case caddy.Module:
		switch m.CaddyModule().ID.Name() {
		case "path", "path_regexp", "file", "url_pattern":
			return true
		}
	}
	return false
}

// namesPath finds matchers and placeholders for the path in an expression. What
// the visitor asked for ({http.request.orig_uri.path}) no rewrite changes.
var namesPath = regexp.MustCompile(`\b(path|path_regexp|file|url_pattern)\s*\(|\{(path|uri|file|dir|path\.\d+|file\.\w+|http\.request\.uri(\.path(\.[^}]*)?)?)\}`)

// changesPath tells whether the handler is one of rewrite, uri and try_files.
func changesPath(handler caddyhttp.MiddlewareHandler) bool {
	r, ok := handler.(*rewrite.Rewrite)
	return ok && (r.URI != "" || r.StripPathPrefix != "" || r.StripPathSuffix != "" || len(r.URISubstring) > 0 || len(r.PathRegexp) > 0)
}

// text writes a set of matchers the same way at each reload.
func text(set caddyhttp.MatcherSet) string {
	var parts []string
	for _, m := range set {
		if module, ok := m.(caddy.Module); ok {
			raw, _ := json.Marshal(m)
			parts = append(parts, fmt.Sprintf("%s%s", module.CaddyModule().ID.Name(), raw))
		}
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, " ") + "}"
}

// httpApp returns the http app, or nil.
func (a *App) httpApp() (*caddyhttp.App, error) {
	app, err := a.ctx.AppIfConfigured("http")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return app.(*caddyhttp.App), nil
}
