package routes

import (
	"fmt"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// blocking follows the order of handlers: a gate behind one that answers every
// request never runs.
type blocking struct {
	reached map[*Gate]bool
	by      map[*Gate]string // what stands before it and answers everything
}

// stretch is a part of the way of a request, and what it has passed so far.
type stretch struct {
	matchers  []caddyhttp.MatcherSets // above, the outermost first
	rewritten bool
	takers    []taker
}

// taker is a handler that answers whatever its matchers take.
type taker struct {
	name string
	sets caddyhttp.MatcherSets
}

// Blocked refuses gates that can never run.
func (w *Walk) Blocked(gates []*Gate) error {
	b := &blocking{map[*Gate]bool{}, map[*Gate]string{}}
	for _, name := range slices.Sorted(maps.Keys(w.trees)) {
		b.list(w.trees[name].routes, stretch{})
		b.list(w.trees[name].errors, stretch{})
	}
	for _, g := range gates {
		if name, blocked := b.by[g]; blocked && !b.reached[g] {
			return fmt.Errorf("the gate at %s can never run: %s before it answers every request that the gate would look at; write the gate above it", g, name)
		}
	}
	return nil
}

// passed is what a route leaves behind for those after it. Of the routes of one
// group a request takes one.
type passed struct {
	group string
	stretch
}

// list returns what a request has passed at the end of routes.
func (b *blocking) list(nodes []*node, above stretch) stretch {
	var behind []passed
	for _, n := range nodes {
		here := above
		for _, p := range behind {
			if p.group == "" || p.group != n.Group {
				here.add(p.stretch)
			} else if len(p.matchers) == 0 { // always takes the group's requests
				here.takers = append(slices.Clip(here.takers), taker{name: "another handle without a matcher"})
			}
		}
		before := here
		here.matchers = slices.Clip(here.matchers)
		if len(n.MatcherSets) > 0 {
			here.matchers = append(here.matchers, n.MatcherSets)
		}
		for _, s := range n.steps {
			here = b.step(s, here)
		}
		here.matchers = nil
		if len(n.MatcherSets) > 0 {
			here.matchers = []caddyhttp.MatcherSets{n.MatcherSets}
		}
		here.takers = slices.Clone(here.takers[len(before.takers):])
		here.rewritten = here.rewritten && !before.rewritten
		// What is answered under matchers is answered for these alone.
		for i := range here.takers {
			if len(n.MatcherSets) > 0 && len(here.takers[i].sets) > 0 {
				here.takers[i] = taker{}
			} else if len(n.MatcherSets) > 0 {
				here.takers[i].sets = n.MatcherSets
			}
		}
		here.takers = slices.DeleteFunc(here.takers, func(t taker) bool { return t.name == "" })
		behind = append(behind, passed{n.Group, here})
	}
	end := above
	for _, p := range behind {
		end.add(p.stretch)
	}
	return end
}

// add appends what a route has passed.
func (s *stretch) add(p stretch) {
	s.takers = append(slices.Clip(s.takers), p.takers...)
	s.rewritten = s.rewritten || p.rewritten
}

func (b *blocking) step(s *step, here stretch) stretch {
	if g := s.gate; g != nil {
		if i := slices.IndexFunc(here.takers, func(t taker) bool { return t.takesAll(g, here) }); i >= 0 {
			b.by[g] = here.takers[i].name
		} else {
			b.reached[g] = true
		}
		return here
	}
	here.rewritten = here.rewritten || changesPath(s.handler)
	for _, inner := range s.branches {
		switch inner.kind {
		case straight:
			here = b.list(inner.nodes, here)
		case onError, onAnswer: // no handler before it has taken the request
			aside := here
			aside.takers = nil
			b.list(inner.nodes, aside)
		case onForeign:
			here.rewritten = b.list(inner.nodes, here).rewritten
		}
	}
	if s.ends {
		here.takers = append(slices.Clip(here.takers), taker{name: s.name})
	}
	return here
}

// takesAll tells whether no request is left for the gate: the taker has no
// matchers, those of a route above the gate too, or those for all paths below
// the ones that the gate is limited to.
func (t taker) takesAll(g *Gate, here stretch) bool {
	if len(t.sets) == 0 {
		return true
	}
	if here.rewritten {
		return false
	}
	for _, above := range here.matchers {
		if implies(above, t.sets) {
			return true
		}
	}
	samples := g.Guarded.samples()
	if len(samples) == 0 {
		return false
	}
	return slices.ContainsFunc(t.sets, func(set caddyhttp.MatcherSet) bool {
		for _, sample := range samples {
			p := &probe{request: SampleRequest("", sample+"/gatehouse-sample")}
			if p.matches(caddyhttp.MatcherSets{set}) != always {
				return false
			}
		}
		return true
	})
}
