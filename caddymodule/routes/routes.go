package routes

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// tree is the routes of one server.
type tree struct {
	server         *caddyhttp.Server
	routes, errors []*node
}

// node is one route.
type node struct {
	*caddyhttp.Route
	at    scope // below its matchers
	steps []*step
}

// step is one handler of a route.
type step struct {
	handler caddyhttp.MiddlewareHandler
	gate    *Gate // that it is; nil: none
	role
	proxied
	sets     caddyhttp.MatcherSets // of its route
	at       scope                 // what stands above it, and before it in its route
	branches []branch
}

// branch is routes inside a handler.
type branch struct {
	kind  branchKind
	nodes []*node
}

// branchKind is when a request takes a branch.
type branchKind int

const (
	straight  branchKind = iota // always, and it goes on to what stands behind
	onError                     // when something in the straight branch fails
	onAnswer                    // for an answer that something behind has given
	onForeign                   // for an answer of another server, and it goes on
)

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
	byPath      int      // how many routes have one, of it and those above
	invoked     []string // named routes on the way
}

// readRoutes reads the routes of all servers.
func readRoutes(app *caddyhttp.App) (map[string]*tree, error) {
	trees := map[string]*tree{}
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		server := app.Servers[name]
		top := scope{name: name, server: server, ports: listenPorts(server), anyHost: true}
		t := &tree{server: server}
		var err error
		if t.routes, err = readList(server.Routes, top); err == nil && server.Errors != nil {
			t.errors, err = readList(server.Errors.Routes, top)
		}
		if err != nil {
			return nil, err
		}
		trees[name] = t
	}
	return trees, nil
}

func readList(routes caddyhttp.RouteList, above scope) (nodes []*node, err error) {
	for i := range routes {
		n := &node{Route: &routes[i]}
		if n.at, err = above.under(n.MatcherSets); err != nil {
			return nil, err
		}
		here := n.at
		here.pathMatched = hasPathMatcher(n.MatcherSets)
		for _, handler := range n.Handlers {
			s := &step{handler: handler, role: roleOf(handler), sets: n.MatcherSets, at: here}
			switch h := handler.(type) {
			case walked:
				s.gate = h.WalkedAs()
			case *reverseproxy.Handler:
				s.proxied = handsTo(h)
			}
			if err := s.read(); err != nil {
				return nil, err
			}
			if changesPath(handler) {
				above.rewritten, here.rewritten = true, true
			}
			n.steps = append(n.steps, s)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// read reads the routes inside the handler.
func (s *step) read() error {
	switch h := s.handler.(type) {
	case *caddyhttp.Subroute:
		if err := s.branch(straight, h.Routes); err != nil || h.Errors == nil {
			return err
		}
		return s.branch(onError, h.Errors.Routes)
	case *caddyhttp.Invoke:
		named := s.at.server.NamedRoutes[h.Name]
		if named == nil || slices.Contains(s.at.invoked, h.Name) {
			return nil
		}
		s.at.invoked = append(slices.Clip(s.at.invoked), h.Name)
		return s.branch(straight, caddyhttp.RouteList{*named})
	case *intercept.Intercept:
		return s.answers(onAnswer, h.HandleResponse)
	case *reverseproxy.Handler:
		return s.answers(onForeign, h.HandleResponse)
	}
	return nil
}

func (s *step) answers(kind branchKind, all []caddyhttp.ResponseHandler) error {
	for _, answer := range all {
		if err := s.branch(kind, answer.Routes); err != nil {
			return err
		}
	}
	return nil
}

func (s *step) branch(kind branchKind, routes caddyhttp.RouteList) error {
	nodes, err := readList(routes, s.at)
	s.branches = append(s.branches, branch{kind, nodes})
	return err
}

// each calls visit for every handler in the nodes and below, in their order.
func each(nodes []*node, visit func(*step)) {
	for _, n := range nodes {
		for _, s := range n.steps {
			visit(s)
			for _, b := range s.branches {
				each(b.nodes, visit)
			}
		}
	}
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
	if hasPathMatcher(sets) {
		s.byPath++
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
			if gate.MatchesHost(above, host) {
				both = append(both, host)
			} else if gate.MatchesHost(host, above) {
				both = append(both, above)
			}
		}
	}
	return both
}

// meets tells whether one host may be under both.
func (s scope) meets(other scope) bool {
	return s.anyHost || other.anyHost || len(s.narrow(other.hosts)) > 0
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
