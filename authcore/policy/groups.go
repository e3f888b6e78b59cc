package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// Groups are named lists of people. A group may name addresses, domains,
// files, any, and other groups, as long as it does not come back to itself.
// They are safe for concurrent use and follow the file: lists they refer to.
type Groups struct {
	named map[string]*entries
	names []string // sorted
	lists *Lists
	cache atomic.Pointer[membership]
}

// membership is every group with all it reaches, at one version of the lists.
type membership struct {
	version uint64
	parts   [][]part // as Groups.names
}

// NewGroups makes the groups of one configuration and adds the files they name
// to lists. A bad name, a reference to an unknown group and a circle are
// errors.
func NewGroups(named map[string][]Who, lists *Lists) (*Groups, error) {
	g := &Groups{named: map[string]*entries{}, lists: lists}
	g.names = slices.Sorted(maps.Keys(named))
	for _, name := range g.names {
		if err := CheckGroupName(name); err != nil {
			return nil, err
		}
		g.named[name] = newEntries(named[name])
	}
	for _, name := range g.names {
		if err := g.claim(named[name]); err != nil {
			return nil, fmt.Errorf("group %s: %w", name, err)
		}
		if circle := g.circle(name, nil); circle != nil {
			return nil, fmt.Errorf("groups name each other in a circle (%s): take one of these out of another", strings.Join(circle, " > "))
		}
	}
	lists.groups = g
	return g, nil
}

// CheckGroupName says what is wrong with the name of a group.
func CheckGroupName(name string) error {
	if name == "any" {
		return fmt.Errorf("a group can't be called any, which means everybody: choose another name, such as all_staff")
	}
	if !IsGroupName(name) {
		return fmt.Errorf("group name %q: write letters, digits, - and _ only, such as staff", name)
	}
	return nil
}

// claim checks that the groups a list refers to exist, and adds its files.
func (g *Groups) claim(list []Who) error {
	for _, who := range list {
		if who.kind == whoFile {
			g.lists.add(who.value)
		}
		if who.kind == whoGroup && g.named[who.value] == nil {
			return g.unknown(who.value)
		}
	}
	return nil
}

func (g *Groups) unknown(name string) *WhoError {
	e := &WhoError{
		Entry:   name,
		Problem: fmt.Sprintf("no group is called that; a line \"group %s alice@example.com\" in the global gatehouse block makes one", name),
		Try:     [2]string{"*@example.com", "alice@example.com"},
	}
	if len(g.names) > 0 {
		e.Problem += " (there is " + strings.Join(g.names, ", ") + ")"
		e.Try[0] = g.names[0]
	}
	return e
}

// circle returns the way from name back to itself, or nil.
func (g *Groups) circle(name string, way []string) []string {
	if i := slices.Index(way, name); i >= 0 {
		return append(way[i:], name)
	}
	way = append(way, name)
	for _, who := range g.named[name].refs {
		if who.kind != whoGroup || g.named[who.value] == nil {
			continue
		}
		if circle := g.circle(who.value, way); circle != nil {
			return circle
		}
	}
	return nil
}

// expand returns list and all that it reaches through groups and files. A
// circle through a file, which nobody can rule out, adds nothing new and ends.
func (g *Groups) expand(list []Who, now *snapshot, side side) []part {
	direct := newEntries(list)
	parts := []part{{Who{}, direct}}
	seen := map[Who]bool{}
	for _, who := range direct.refs {
		parts = g.follow(parts, who, who, now, side, seen)
	}
	return parts
}

func (g *Groups) follow(parts []part, via, who Who, now *snapshot, side side, seen map[Who]bool) []part {
	if seen[who] {
		return parts
	}
	seen[who] = true
	var found []*entries
	if who.kind == whoFile {
		found = now.on(who.value, side)
	} else if e := g.named[who.value]; e != nil {
		found = []*entries{e}
	}
	for _, e := range found {
		parts = append(parts, part{via, e})
		for _, next := range e.refs {
			parts = g.follow(parts, via, next, now, side, seen)
		}
	}
	return parts
}

// Of returns the names of the groups that a is in, sorted; nil for none.
func (g *Groups) Of(a address.Address) []string {
	if g == nil || a.IsZero() {
		return nil
	}
	var of []string
	for i, parts := range g.membership().parts {
		if has(parts, a) {
			of = append(of, g.names[i])
		}
	}
	return of
}

func (g *Groups) membership() *membership {
	now := g.lists.current()
	if m := g.cache.Load(); m != nil && m.version == now.version {
		return m
	}
	m := &membership{version: now.version}
	for _, name := range g.names {
		m.parts = append(m.parts, g.expand([]Who{{whoGroup, name}}, now, allowSide))
	}
	g.cache.Store(m)
	return m
}
