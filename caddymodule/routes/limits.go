package routes

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A named matcher on a gate says which requests the gate looks at, and the app
// behind it gets all others without a sign-in. Where the matcher asks for what a
// client chooses (a header, the query) or for what is never so on this server
// (protocol https behind a proxy that ends TLS), the gate guards nothing, and
// nothing says so.

// Limits looks for gates that a matcher of Caddy's keeps from requests, other than
// by host, path and method.
func (w *Walk) Limits(gates []*Gate) (all []Finding) {
	for _, g := range gates {
		if len(g.Matchers) == 0 || len(g.Place.Spots) == 0 {
			continue
		}
		if methods := methodsOf(g.Matchers); len(methods) > 0 {
			all = append(all, Finding{
				fmt.Sprintf("the gate at %s looks only at requests with the method %s, and apps also read others as one of these, such as %s", g, strings.Join(methods, " or "), strings.ToLower(methods[0])),
				"name in the matcher of the gate what needs no sign-in, as in\n    not method GET HEAD OPTIONS",
				g,
			})
		}
		least, most, open := always, never, ""
		for _, s := range g.Place.Spots {
			t := w.trees[s.Server]
			for _, host := range g.Place.samples() {
				p := &probe{request: SampleRequest(host, "/"), rewritten: true, server: t.server}
				fits := p.matches(g.Matchers)
				least, most = min(least, fits), max(most, fits)
				open = max(open, g.open(t, host))
			}
		}
		names := strings.Join(asked(g.Matchers), ", ")
		switch {
		case len(g.Place.samples()) == 0 || names == "" || least == always:
		case most == never:
			do := "take the matcher out, or name paths in its place, as in\n    gatehouse /admin/* <who>"
			if strings.Contains(names, "protocol") {
				do = "protocol asks whether TLS ends at this server, not at a proxy in front; " + do
			}
			all = append(all, Finding{fmt.Sprintf("the gate at %s guards nothing: no request that comes here fits its matcher (%s)", g, names), do, g})
		case open != "":
			all = append(all, Finding{
				fmt.Sprintf("the gate at %s looks only at requests that fit its matcher (%s): %s gets all others without a sign-in", g, names, open),
				"if that is not meant, take the matcher out; who passes without a sign-in can stand in the block of the gate, as public paths or as networks in trust",
				g,
			})
		}
	}
	return all
}

// open names a handler behind the gate that also gets what the gate does not look
// at; "" where others guard that.
func (g *Gate) open(t *tree, host string) string {
	paths := g.Guarded.samples()
	if len(paths) == 0 {
		paths = []string{"/gatehouse-sample"}
	}
	for _, path := range paths {
		for _, to := range follow(t, host, path).apps {
			if slices.Contains(to.gates, g) && !slices.ContainsFunc(to.gates, func(other *Gate) bool {
				return other != g && (len(other.Matchers) == 0 && (!other.Guarded.limited || other.Guarded.matchPath(path)) || completes(other.Matchers, g.Matchers) || completes(g.Matchers, other.Matchers))
			}) {
				return to.name
			}
		}
	}
	return ""
}

// completes tells whether the sets are a not of others.
func completes(sets, others caddyhttp.MatcherSets) bool {
	if len(sets) != 1 || len(sets[0]) != 1 {
		return false
	}
	switch m := sets[0][0].(type) {
	case caddyhttp.MatchNot:
		return setsText(m.MatcherSets) == setsText(others)
	case *caddyhttp.MatchNot:
		return setsText(m.MatcherSets) == setsText(others)
	}
	return false
}

func setsText(sets caddyhttp.MatcherSets) string {
	var all []string
	for _, set := range sets {
		all = append(all, text(set))
	}
	return strings.Join(all, " ")
}

// methodsOf are the methods that a request must have.
func methodsOf(sets caddyhttp.MatcherSets) (methods []string) {
	for _, set := range sets {
		methods = append(methods, matchersOf[caddyhttp.MatchMethod](set)...)
	}
	return methods
}

// asksMethod tells whether a matcher looks at the method.
func asksMethod(sets caddyhttp.MatcherSets) bool {
	return slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return slices.ContainsFunc(set, func(matcher any) bool {
			switch m := matcher.(type) {
			case caddyhttp.MatchMethod, *caddyhttp.MatchMethod:
				return true
			case caddyhttp.MatchNot:
				return asksMethod(m.MatcherSets)
			case *caddyhttp.MatchNot:
				return asksMethod(m.MatcherSets)
			}
			expr, _ := expression(matcher)
			return strings.Contains(expr, "method")
		})
	})
}

// asked names the matchers other than those for host, path and method.
func asked(sets caddyhttp.MatcherSets) (names []string) {
	for _, set := range sets {
		for _, matcher := range set {
			switch m := matcher.(type) {
			case caddyhttp.MatchNot:
				names = append(names, asked(m.MatcherSets)...)
				continue
			case *caddyhttp.MatchNot:
				names = append(names, asked(m.MatcherSets)...)
				continue
			}
			if expr, ok := expression(matcher); ok && !strings.Contains(expr, "{") && constant(expr) == "" && ofThePlace(expr) {
				continue
			}
			name := "a matcher"
			if module, ok := matcher.(caddy.Module); ok {
				name = module.CaddyModule().ID.Name()
			}
			if !slices.Contains([]string{"host", "path", "path_regexp", "method"}, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func expression(matcher any) (expr string, ok bool) {
	switch m := matcher.(type) {
	case caddyhttp.MatchExpression:
		return m.Expr, true
	case *caddyhttp.MatchExpression:
		return m.Expr, true
	}
	return "", false
}

// ofThePlace tells whether an expression asks for host, path and method alone.
func ofThePlace(expr string) bool { return callsOnly(expr, "host", "path", "path_regexp", "method") }

// ofHostAndPath tells whether host and path alone decide an expression.
func ofHostAndPath(expr string) bool {
	return !strings.Contains(expr, "{") && callsOnly(expr, "host", "path", "path_regexp")
}

func callsOnly(expr string, names ...string) bool {
	calls := called.FindAllStringSubmatch(expr, -1)
	return len(calls) > 0 && !slices.ContainsFunc(calls, func(call []string) bool { return !slices.Contains(names, call[1]) })
}

var called = regexp.MustCompile(`(\w+)\s*\(`)

// constant returns an expression that asks for nothing of the request, "" for any
// other.
func constant(expr string) string {
	rest := strings.NewReplacer("true", "", "false", "").Replace(expr)
	if strings.Trim(rest, " \t\n!&|()=<>0123456789") != "" {
		return ""
	}
	return expr
}

// spoken tells how surely requests come to the server as the protocol matcher
// wants them.
func spoken(server *caddyhttp.Server, protocol string) certainty {
	if server == nil {
		return perhaps
	}
	tls := always
	switch {
	case len(server.TLSConnPolicies) == 0:
		tls = never
	case slices.Contains(listenPorts(server), 80): // the port of plain HTTP speaks no TLS
		tls = perhaps
	}
	switch protocol {
	case "https":
		return tls
	case "http":
		return always - tls
	}
	return perhaps
}
