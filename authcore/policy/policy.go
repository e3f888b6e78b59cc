package policy

import (
	"slices"
	"sync/atomic"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// NotAllowed is the rule that Policy.Explain names when no entry decided.
const NotAllowed = "not_allowed"

// Policy says who passes a gate. It is safe for concurrent use and follows the
// file: lists it refers to. The zero value, and nil, admit nobody.
type Policy struct {
	allow, deny []Who
	groups      *Groups
	cache       atomic.Pointer[sides]
}

// sides is a policy with everything it refers to looked up, at one version of
// the lists.
type sides struct {
	version     uint64
	allow, deny []part
}

// Compile makes a policy. deny wins over allow. groups may be nil if there are
// none and no file: lists. A reference to an unknown group is a *WhoError; the
// lists that are referred to are added to those of groups.
func Compile(allow, deny []Who, groups *Groups) (*Policy, error) {
	if groups == nil {
		groups, _ = NewGroups(nil, NewLists(nil))
	}
	for _, list := range [][]Who{allow, deny} {
		if err := groups.claim(list); err != nil {
			return nil, err
		}
	}
	return &Policy{allow: allow, deny: deny, groups: groups}, nil
}

// Admits reports whether a may pass now. It is asked at every request: a few
// map look-ups for each group and file involved, no lock, no allocation.
func (p *Policy) Admits(a address.Address) bool {
	if p == nil || p.groups == nil || a.IsZero() {
		return false
	}
	s := p.sides()
	return !has(s.deny, a) && has(s.allow, a)
}

// Explain is Admits with the entry that decided, as it stands in the
// configuration: of deny if that refused a, else of allow, else NotAllowed.
func (p *Policy) Explain(a address.Address) (allowed bool, rule string) {
	if p == nil || p.groups == nil || a.IsZero() {
		return false, NotAllowed
	}
	s := p.sides()
	if rule, ok := find(s.deny, a); ok {
		return false, rule
	}
	if rule, ok := find(s.allow, a); ok {
		return true, rule
	}
	return false, NotAllowed
}

// sides looks everything up again when a list has changed. Two requests may do
// it at the same time: they come to the same result.
func (p *Policy) sides() *sides {
	now := p.groups.lists.current()
	if s := p.cache.Load(); s != nil && s.version == now.version {
		return s
	}
	s := &sides{
		version: now.version,
		allow:   p.groups.expand(p.allow, now, allowSide),
		deny:    p.groups.expand(p.deny, now, denySide),
	}
	p.cache.Store(s)
	return s
}

// entries is one list of people, compiled for look-up. What it refers to
// stands in others.
type entries struct {
	any       bool
	addresses map[string]struct{}
	domains   map[string]struct{}
	refs      []Who // groups and files
}

func newEntries(list []Who) *entries {
	e := &entries{}
	for _, who := range list {
		e.add(who)
	}
	return e
}

func (e *entries) add(who Who) {
	switch who.kind {
	case whoAny:
		e.any = true
	case whoAddress:
		if e.addresses == nil {
			e.addresses = map[string]struct{}{}
		}
		e.addresses[who.value] = struct{}{}
	case whoDomain:
		if e.domains == nil {
			e.domains = map[string]struct{}{}
		}
		e.domains[who.value] = struct{}{}
	case whoGroup, whoFile:
		if !slices.Contains(e.refs, who) {
			e.refs = append(e.refs, who)
		}
	}
}

// find returns the entry that names a.
func (e *entries) find(a address.Address) (Who, bool) {
	if _, ok := e.addresses[a.String()]; ok {
		return Who{whoAddress, a.String()}, true
	}
	if e.domains != nil {
		domain := a.Domain()
		if _, ok := e.domains[domain]; ok {
			return Who{whoDomain, domain}, true
		}
	}
	return Who{kind: whoAny}, e.any
}

// part is one list of people that a policy reaches, and the entry of the
// policy through which it does; the zero entry for what stands there itself.
type part struct {
	via Who
	*entries
}

func has(parts []part, a address.Address) bool {
	for _, p := range parts {
		if _, ok := p.find(a); ok {
			return true
		}
	}
	return false
}

func find(parts []part, a address.Address) (rule string, ok bool) {
	for _, p := range parts {
		who, ok := p.find(a)
		if !ok {
			continue
		}
		if p.via != (Who{}) {
			who = p.via
		}
		return who.String(), true
	}
	return "", false
}
