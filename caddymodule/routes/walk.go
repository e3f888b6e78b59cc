package routes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// Walk has gone through the routes of the http app and noted what stands above
// every gate. A handler can't know that itself, and everything that leaves
// this server, such as the link in a mail, may only name hosts that stand in
// the configuration: the Host header of a request is the visitor's to choose.
type Walk struct {
	trees    map[string]*tree                       // by the name of the server
	Places   map[caddyhttp.MiddlewareHandler]*Place // where our handlers stand
	Pages    map[*Gate]*Place                       // of gates
	order    []caddyhttp.MiddlewareHandler
	Warnings []string
	Includes bool                // a handler makes requests for those that it gets
	sites    map[[2]string]*site // by server and host, as they are asked for
}

// Finding is something that leads past a gate, and what to write instead.
type Finding struct {
	Found, Do string
	gate      *Gate
}

// New reads the routes of the http app, and goes through them.
func New(app *caddyhttp.App) (*Walk, error) {
	trees, err := readRoutes(app)
	if err != nil {
		return nil, err
	}
	w := &Walk{trees: trees, Places: map[caddyhttp.MiddlewareHandler]*Place{}, Pages: map[*Gate]*Place{}, sites: map[[2]string]*site{}}
	meet := func(s *step) {
		name := handlerName(s.handler)
		w.Includes = w.Includes || name == "templates"
		switch {
		case s.gate == nil && strings.HasPrefix(name, "gatehouse_"):
			w.note(s.handler, s.at)
		case s.gate != nil && err == nil:
			err = w.gate(s, s.at)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		each(trees[name].routes, meet)
		each(trees[name].errors, meet)
	}
	return w, err
}

// gate notes a gate: what it guards lies below its matchers, its pages do not.
func (w *Walk) gate(s *step, here scope) error {
	g := s.gate
	below, err := here.under(g.Matchers)
	if err != nil {
		return err
	}
	if here.rewritten && (here.pathMatched || hasPathMatcher(g.Matchers)) {
		w.Warnings = append(w.Warnings, fmt.Sprintf("the gate at %s stands behind a matcher for a path, and the path may be rewritten before: a request that is rewritten to another path is not guarded; write the path on the directive, as in: gatehouse /admin/* *@example.com, or name the paths that need no sign-in with public in the block of the gate", below))
	}
	w.note(s.handler, below)
	pages := w.Pages[g]
	if pages == nil {
		pages = &Place{TLS: true}
		w.Pages[g] = pages
	}
	pages.add(here)
	return nil
}

// note adds one way to a handler.
func (w *Walk) note(h caddyhttp.MiddlewareHandler, here scope) {
	p := w.Places[h]
	if p == nil {
		p = &Place{TLS: true}
		w.Places[h] = p
		w.order = append(w.order, h)
	}
	p.add(here)
}

// add adds one way to the place.
func (p *Place) add(here scope) {
	if !here.anyHost {
		p.Named = true
		p.Hosts = append(p.Hosts, here.hosts...)
	}
	for _, port := range here.ports {
		if !slices.Contains(p.Ports, port) {
			p.Ports = append(p.Ports, port)
		}
	}
	p.TLS = p.TLS && len(here.server.TLSConnPolicies) > 0
	p.Spots = append(p.Spots, Spot{here.name, here.paths})
	p.Key += fmt.Sprintf("%v %s ", here.ports, strings.Join(here.matchers, " "))
}

// Nth is the place of a gate in the order of the walk, which is the same at
// each reload. Those that were not found come last.
func (w *Walk) Nth(g caddyhttp.MiddlewareHandler) int {
	if i := slices.Index(w.order, g); i >= 0 {
		return i
	}
	return len(w.order)
}

// Place is where a gate stands: what the walk over the routes found above it. Its
// key is made of ports, hosts, matchers and paths.
type Place struct {
	gate.Place
	// Ports are those that the servers above the gate listen on; TLS tells
	// whether all of these servers speak TLS.
	Ports []uint16
	TLS   bool
	// Named tells that a way to the gate has a host matcher above it.
	Named bool
	// Spots are the ways through the routes that lead to the gate.
	Spots []Spot
}

// Spot is one way to a gate: the path matchers on it, which all must match.
type Spot struct {
	Server string
	Paths  []caddyhttp.MatchPath
}

// hostsAndPort are the hosts as they stand in a Caddyfile, with the port where it
// is not the scheme's own: two sites may share a host.
func (p *Place) hostsAndPort() string {
	port := ""
	if n := p.port(); n != 0 {
		port = fmt.Sprintf(":%d", n)
	}
	var names []string
	for _, host := range p.Hosts {
		names = append(names, bracketed(host)+port)
	}
	return strings.Join(names, ", ")
}

// port is the one that browsers must write, 0 for none.
func (p *Place) port() uint16 {
	standard := uint16(80)
	if p.TLS {
		standard = 443
	}
	if len(p.Ports) == 0 || slices.Contains(p.Ports, standard) {
		return 0
	}
	return p.Ports[0]
}

// Covers tells whether the place is at o, on whichever of its ports a request
// for o comes in.
func (p *Place) Covers(o origin.Origin) bool {
	return p.Has(o, 0) || slices.ContainsFunc(p.Ports, func(port uint16) bool { return p.Has(o, port) })
}

// At tells whether requests for o may meet the gate, whatever their path. A site
// whose name has a star covers names that another site has for itself: Caddy leads
// to one of them.
func (w *Walk) At(g *Gate, o origin.Origin) bool {
	switch {
	case !g.Place.Covers(o):
		return false
	case w == nil || slices.Contains(g.Place.Origins, o) || !slices.ContainsFunc(g.Place.Hosts, func(host string) bool { return strings.Contains(host, "*") }):
		return true
	}
	met := false
	for _, s := range g.Place.Spots {
		t := w.trees[s.Server]
		p := probe{request: SampleRequest(o.Hostname(), "/"), rewritten: true, server: t.server, meet: func(s *step, here certainty) {
			met = met || s.gate == g && here != never
		}}
		p.list(t.routes, always)
	}
	return met
}

// Speaks tells whether browsers may reach the place at o's scheme: the origin
// option says so, or https, or plain http where no TLS is spoken.
func (p *Place) Speaks(o origin.Origin) bool {
	return o.Secure() || !p.TLS || slices.Contains(p.Origins, o)
}

// samples are hosts that a request for the place may name.
func (p *Place) samples() []string {
	var hosts []string
	for _, pattern := range p.Hosts {
		hosts = append(hosts, strings.ReplaceAll(pattern, "*", "gatehouse-sample"))
	}
	if len(hosts) == 0 {
		for _, o := range p.Origins {
			hosts = append(hosts, o.Hostname())
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// Names are the host names of the place, but for those with a star.
func (p *Place) Names() []string {
	var names []string
	for _, host := range p.Hosts {
		if o, err := origin.New("http", bracketed(host)); err == nil && !strings.Contains(host, "*") {
			names = append(names, o.Hostname())
		}
	}
	for _, o := range p.Origins {
		names = append(names, o.Hostname())
	}
	return names
}

// Addresses are the origins that a browser can open: those of the origin option
// or else each host on the server's own port.
func (p *Place) Addresses() []origin.Origin {
	if len(p.Origins) > 0 {
		return p.Origins
	}
	scheme := "http"
	if p.TLS {
		scheme = "https"
	}
	var all []origin.Origin
	for _, host := range p.Hosts {
		if strings.Contains(host, "*") {
			continue
		}
		host = bracketed(host)
		if port := p.port(); port != 0 {
			host = fmt.Sprintf("%s:%d", host, port)
		}
		if o, err := origin.New(scheme, host); err == nil {
			all = append(all, o)
		}
	}
	return all
}

// bracketed is a host name as it stands in an address.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + strings.Trim(host, "[]") + "]"
	}
	return host
}

// IsAt tells whether host is a name of the place.
func (p *Place) IsAt(host string) bool {
	for _, named := range p.Origins {
		if named.Hostname() == host {
			return true
		}
	}
	o, err := origin.New("https", bracketed(host))
	return err == nil && p.Has(o, 0)
}
