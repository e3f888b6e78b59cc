package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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

func newWalk(trees map[string]*tree) (*walk, error) {
	w := &walk{places: map[caddyhttp.MiddlewareHandler]*place{}, pages: map[*Gate]*place{}}
	var err error
	meet := func(s *step) {
		switch h := s.handler.(type) {
		case *Gate:
			if err == nil {
				err = w.gate(h, s.at)
			}
		case *PagesHandler, *Portal, *Authz, *API:
			w.note(h, s.at)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		each(trees[name].routes, meet)
		each(trees[name].errors, meet)
	}
	return w, err
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
		p.Hosts = append(p.Hosts, here.hosts...)
	}
	for _, port := range here.ports {
		if !slices.Contains(p.ports, port) {
			p.ports = append(p.ports, port)
		}
	}
	p.tls = p.tls && len(here.server.TLSConnPolicies) > 0
	p.spots = append(p.spots, spot{here.name, here.paths})
	p.Key += fmt.Sprintf("%v %s ", here.ports, strings.Join(here.matchers, " "))
}

// nth is the place of a gate in the order of the walk, which is the same at
// each reload. Those that were not found come last.
func (w *walk) nth(g *Gate) int {
	if i := slices.Index(w.order, caddyhttp.MiddlewareHandler(g)); i >= 0 {
		return i
	}
	return len(w.order)
}
