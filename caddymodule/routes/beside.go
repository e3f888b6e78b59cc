package routes

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// beside looks for handlers that hand requests on as strangers send them, with
// any Remote-User and with our cookies, on hosts where a gate stands: in a
// handle beside the gate's, in error routes, behind a gate that a route's
// matchers make one of some requests only.
type beside struct {
	asks func(upstream string) bool
	seen []handedOn
}

// handedOn is one way to a handler that hands requests on.
type handedOn struct {
	name      string   // as it is written in a Caddyfile
	upstreams []string // where reverse_proxy hands them, to be compared
	at        scope
	errors    bool // in error routes
	unknown   bool // whether it hands them on can't be told
	cover
}

// cover is what stands before a handler.
type cover struct {
	clean  bool // a gate or cleaner, surely
	gate   bool // a gate, perhaps
	ends   bool // whatever comes here has been answered
	others bool // somebody else asks for a password, perhaps
	gates  []gateOnTheWay
	// partly holds matchers of routes that clean or answer what these take.
	partly []caddyhttp.MatcherSets
}

type gateOnTheWay struct {
	*Gate
	at scope
	// past: what a route before it in its group takes and lets go on; "" for nothing.
	past string
}

// Beside refuses an app that is reached through a gate and past it uncleaned. It
// returns what else gets requests as they come, and where a matcher of Caddy's
// alone decides whether an app is reached through its gate. asks tells whether
// gatehouse_authz answers at an upstream.
func (w *Walk) Beside(asks func(upstream string) bool) (uncleaned, divided []Finding, err error) {
	b := &beside{asks: asks}
	for _, name := range slices.Sorted(maps.Keys(w.trees)) {
		b.list(w.trees[name].routes, cover{}, false)
		b.list(w.trees[name].errors, cover{}, true) // an error may come from before the gate
	}
	uncleaned, err = b.judge(w)
	return uncleaned, b.divided(), err
}

// divided finds apps that stand behind a gate and, for other paths of the same
// host, before none that asks as much. Caddy and the app may read one path
// differently: what is /index.php/team to a matcher is /team to many apps. A gate
// with a path of its own knows these readings, where all requests come to it.
func (b *beside) divided() (all []Finding) {
	for _, in := range b.seen {
		if in.errors {
			continue
		}
		for _, g := range in.gates {
			all = appendNew(all, in.half(g))
			if len(g.Matchers) > 0 {
				continue
			}
			top := "/admin"
			if tops := g.tops(in.at.paths); len(tops) > 0 {
				top = tops[0]
			}
			for _, out := range b.seen {
				same := slices.ContainsFunc(out.upstreams, func(to string) bool { return slices.Contains(in.upstreams, to) })
				if !same || out.ends || out.others || slices.ContainsFunc(out.gates, func(other gateOnTheWay) bool { return other.guards(g, top) }) {
					continue
				}
				switch there := in.at.name == out.at.name && in.at.meets(out.at); {
				case !there && !out.gate && !g.Guarded.limited && in.at.byPath == 0:
					all = appendNew(all, Finding{fmt.Sprintf("%s is reached past the gate at %s under another name", out, g), "if the app is not meant to be open there, write a gate there as well; whoever reaches this server may ask for any of its names", g.Gate})
				case there && out.errors && out.clean && !out.gate:
					all = appendNew(all, Finding{fmt.Sprintf("%s is reached past the gate at %s by whatever fails before that", out, g), elsewhere, g.Gate})
				case there && !out.errors && in.at.byPath+out.at.byPath > 0:
					all = appendNew(all, pathAlone(out.String(), g.Gate, top))
				}
			}
		}
	}
	return all
}

// guards tells whether the gate asks for as much as g at top and all that an app
// may read so.
func (g gateOnTheWay) guards(other gateOnTheWay, top string) bool {
	return len(g.Matchers) == 0 && g.Policy.covers(other.Policy) && (g.Gate == other.Gate || g.Guarded.matchPath(top))
}

// half finds an app whose gate sees only what Caddy takes for certain paths: all
// else comes to the app past it.
func (h handedOn) half(g gateOnTheWay) (one Finding) {
	if !hasPathMatcher(g.Matchers) && g.at.byPath <= h.at.byPath && g.past == "" || len(asked(g.Matchers)) > 0 {
		return one // a gate that knows the readings, or one of which Limits tells
	}
	top := "/admin"
	for _, paths := range g.at.paths {
		top = topOf(paths, top)
	}
	for _, set := range g.Matchers {
		top = topOf(matchersOf[caddyhttp.MatchPath](set), top)
	}
	for _, other := range h.gates {
		if other.Policy.covers(g.Policy) && (other.Gate != g.Gate && other.at.byPath <= h.at.byPath && other.guards(g, cmp.Or(g.past, top)) || completes(g.Matchers, other.Matchers) || completes(other.Matchers, g.Matchers)) {
			return one
		}
	}
	return pathAlone(h.String(), g.Gate, top)
}

// topOf is what the last of the patterns that is a path, and all below it, takes.
func topOf(patterns caddyhttp.MatchPath, top string) string {
	for _, pattern := range patterns {
		if p := strings.TrimRight(pattern, "/*"); strings.HasPrefix(p, "/") && !strings.ContainsAny(p, "*?[{") {
			top = p
		}
	}
	return top
}

// pathAlone tells of an app past a gate, where a matcher for paths such as top
// decides which requests the gate sees.
func pathAlone(app string, g *Gate, top string) Finding {
	return Finding{
		fmt.Sprintf("%s is reached past the gate at %s, and a path alone decides which requests are", app, g),
		fmt.Sprintf("Caddy's matchers take paths as they are written, and apps also read /index.php%s, %s;x or //x%s as %s: let the gate decide, at the top level of the site, in no handle or route\n    gatehouse %s/* <who>\nor, where less is open than guarded\n    gatehouse <who> {\n        public /open/*\n    }", top, top, top, top, top),
		g,
	}
}

// elsewhere is what to do where error routes lead to the app behind a gate.
const elsewhere = "let errors be answered by something else: respond, file_server, or an app that may be open to all"

// appendNew adds a finding that is one, and is not there yet.
func appendNew(all []Finding, one Finding) []Finding {
	if one == (Finding{}) || slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// judge compares what was seen.
func (b *beside) judge(w *Walk) (all []Finding, err error) {
	gated := map[string]bool{}
	for _, h := range b.seen {
		for _, upstream := range h.upstreams {
			gated[upstream] = gated[upstream] || h.gate
		}
	}
	for _, h := range b.seen {
		same := slices.ContainsFunc(h.upstreams, func(upstream string) bool { return gated[upstream] })
		here := h.gate || h.onGatedHost(w)
		anywhere := !h.gate && len(gated) > 0 && slices.ContainsFunc(h.upstreams, func(to string) bool { return strings.Contains(to, "{http.") || strings.Contains(to, "{vars.") })
		if h.clean || !here && !same && !anywhere {
			continue
		}
		found := fmt.Sprintf("%s gets requests as strangers send them, with any Remote-User", h)
		switch {
		case same && h.errors:
			return nil, fmt.Errorf("%s, and whatever fails before the gate that the same app stands behind: %s", found, elsewhere)
		case same && here:
			return nil, fmt.Errorf("%s and with Gatehouse's cookies, and the same app stands behind a gate: %s", found, h.mend())
		case !here && !same:
			found += ", and the request alone says which app that is: it may be one that stands behind a gate"
		case same:
			return nil, fmt.Errorf("%s, and the same app stands behind a gate at another host: %s", found, h.mend())
		default:
			found += " and with Gatehouse's cookies"
		}
		do := h.mend()
		if h.unknown {
			do = "if it hands them to an app, " + do
		}
		one := Finding{found, do, nil}
		all = appendNew(all, one)
	}
	return all, nil
}

// String names the handler for messages.
func (h handedOn) String() string {
	if h.errors {
		return fmt.Sprintf("%s in handle_errors at %s", h.name, h.at)
	}
	return fmt.Sprintf("%s at %s", h.name, h.at)
}

// mend says what to write.
func (h handedOn) mend() string {
	if h.errors {
		return fmt.Sprintf("write\n    handle_errors {\n        gatehouse_clean\n        %s\n    }", h.name)
	}
	return fmt.Sprintf("write before it, in the same handle or route\n    gatehouse_clean\n    %s\nor gatehouse_clean alone at the top of the site", h.name)
}

// onGatedHost tells whether a gate stands at the same host. Among the sites of
// one server Caddy takes the one whose name is closest, so that a wildcard there
// stands for the other hosts.
func (h handedOn) onGatedHost(w *Walk) bool {
	for _, p := range w.Pages {
		sameServer := slices.ContainsFunc(p.Spots, func(s Spot) bool { return s.Server == h.at.name })
		if h.at.anyHost {
			// Without a host matcher it gets requests for the gate's host, unless
			// the gate's site is of this server and takes them first.
			if !sameServer || !p.Named || h.errors {
				return true
			}
			continue
		}
		gated := append(p.samples(), p.Hosts...)
		for _, host := range h.at.hosts {
			if slices.ContainsFunc(gated, func(g string) bool {
				return strings.EqualFold(g, host) || !sameServer && (gate.MatchesHost(g, host) || gate.MatchesHost(host, g))
			}) {
				return true
			}
		}
	}
	return false
}

// followed is a route, with what stands before whatever comes after it.
type followed struct {
	*node
	cover
}

// leadsPast is a path, and all below it, that the route takes and lets go on without
// being asked for as much as g asks for; "" if there is none.
func (d followed) leadsPast(g gateOnTheWay) string {
	if !hasPathMatcher(d.MatcherSets) || d.ends {
		return ""
	}
	top := "/admin"
	for _, set := range d.MatcherSets {
		top = topOf(matchersOf[caddyhttp.MatchPath](set), top)
	}
	if slices.ContainsFunc(d.gates, func(other gateOnTheWay) bool { return other.guards(g, top) }) {
		return ""
	}
	return top
}

// list follows routes, and returns what stands before whatever comes after them.
func (b *beside) list(nodes []*node, before cover, errors bool) cover {
	var done []followed
	// at is the cover of a route of this group after those that are done. Where
	// no request comes from them, nothing needs cleaning.
	at := func(group string) cover {
		c := before
		whole := map[string]cover{} // what every route of a group so far has
		for _, d := range done {
			switch {
			case d.Group != "" && d.Group == group:
				continue
			case d.Group == "" && len(d.MatcherSets) == 0:
				c.clean, c.ends = c.clean || d.clean || d.ends, c.ends || d.ends
			case d.Group == "":
				if d.clean || d.ends {
					c.partly = append(slices.Clip(c.partly), d.MatcherSets)
				}
			default:
				all, ok := whole[d.Group]
				all.clean, all.ends = (all.clean || !ok) && (d.clean || d.ends), (all.ends || !ok) && d.ends
				whole[d.Group] = all
				// Of a group one route runs: one without matchers takes the rest.
				if len(d.MatcherSets) == 0 {
					c.clean, c.ends = c.clean || all.clean, c.ends || all.ends
				}
			}
			c.gate, c.others = c.gate || d.gate && !d.ends, c.others || d.others && !d.ends
			if !d.ends {
				c.gates = append(slices.Clip(c.gates), d.gates...)
			}
		}
		return c
	}
	for _, n := range nodes {
		c := at(n.Group)
		inherited := len(c.gates)
		for _, p := range c.partly {
			c.clean = c.clean || implies(n.MatcherSets, p)
		}
		for _, s := range n.steps {
			c = b.step(s, c, errors)
		}
		c.ends = c.ends || n.Terminal
		if n.Group != "" {
			c.gates = slices.Clone(c.gates) // what was seen behind them in this route stays
			for i := range c.gates[inherited:] {
				g := &c.gates[inherited+i]
				for _, d := range done {
					if d.Group == n.Group {
						g.past = cmp.Or(g.past, d.leadsPast(*g))
					}
				}
			}
		}
		done = append(done, followed{n, c})
	}
	return at("")
}

func (b *beside) step(s *step, c cover, errors bool) cover {
	b.branches(s, onError, c, true) // it may come from before the gates inside
	for _, inner := range s.branches {
		if inner.kind == straight {
			c = b.list(inner.nodes, c, errors)
		}
	}
	switch handlerName(s.handler) {
	case "gatehouse_pages":
		if cleaner, ok := s.handler.(interface{ Cleans() bool }); ok && cleaner.Cleans() {
			c.clean = true
		}
		c.ends = c.ends || slices.ContainsFunc(s.at.paths, onlyOwn)
	case "gatehouse":
		c.clean, c.gate = true, true
		c.gates = append(slices.Clip(c.gates), gateOnTheWay{Gate: s.gate, at: s.at})
	case "gatehouse_clean", "gatehouse_portal":
		c.clean = true
	case "authentication":
		c.others = true
	}
	if h, ok := s.handler.(*reverseproxy.Handler); ok {
		c.others = c.others || asksFirst(h)
		b.proxy(s, c, errors)
	}
	b.branches(s, onAnswer, c, errors)
	b.branches(s, onForeign, c, errors)
	if s.unknown {
		b.seen = append(b.seen, handedOn{name: s.name, at: s.at, errors: errors, unknown: true, cover: c})
	}
	c.ends = c.ends || s.ends
	return c
}

func (b *beside) branches(s *step, kind branchKind, c cover, errors bool) {
	for _, inner := range s.branches {
		if inner.kind == kind {
			b.list(inner.nodes, c, errors)
		}
	}
}

// onlyOwn tells whether the paths are all Gatehouse's own.
func onlyOwn(paths caddyhttp.MatchPath) bool {
	return !slices.ContainsFunc(paths, func(path string) bool { return !gate.IsOwnPath(path) })
}

// proxy notes where a reverse_proxy hands requests.
func (b *beside) proxy(s *step, c cover, errors bool) {
	out := handedOn{name: s.as, upstreams: s.upstreams, at: s.at, errors: errors, cover: c}
	if len(out.upstreams) > 0 && !slices.ContainsFunc(out.upstreams, func(to string) bool { return !b.asks(to) }) {
		return // forward_auth that asks us: it needs the cookies
	}
	b.seen = append(b.seen, out)
}

// proxied is where a reverse_proxy hands requests.
type proxied struct {
	as        string   // with its upstreams, as it is written in a Caddyfile
	upstreams []string // in a form to be compared
	fast      bool     // an app behind FastCGI, which is told the path that was asked for, whatever rewrites have made of it
}

func handsTo(h *reverseproxy.Handler) (p proxied) {
	p.as = "reverse_proxy"
	if _, p.fast = h.Transport.(*fastcgi.Transport); p.fast {
		p.as = "php_fastcgi"
	}
	for _, upstream := range h.Upstreams {
		p.as += " " + upstream.Dial
		p.upstreams = append(p.upstreams, Dialed(upstream.Dial))
	}
	if h.DynamicUpstreams != nil {
		raw, _ := json.Marshal(h.DynamicUpstreams)
		var known struct{ Name, Port string }
		if json.Unmarshal(raw, &known) == nil && known.Name != "" && known.Port != "" {
			p.upstreams = append(p.upstreams, Dialed(net.JoinHostPort(known.Name, known.Port)))
		}
		p.upstreams = append(p.upstreams, string(raw))
	}
	return p
}

// Dialed writes an upstream's address the same way however it was written.
func Dialed(dial string) string {
	dial = caddy.NewReplacer().ReplaceKnown(dial, "")
	address, err := caddy.ParseNetworkAddressWithDefaults(dial, "tcp", 0)
	if err != nil {
		return dial
	}
	if address.IsUnixNetwork() {
		return "unix/" + filepath.Clean(address.Host)
	}
	host := strings.TrimSuffix(strings.ToLower(address.Host), ".")
	if ip := net.ParseIP(host); host == "" || host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return fmt.Sprintf("%s:%d", host, address.StartPort)
}

// implies tells whether every request that one of the sets takes is taken by
// one of others, as far as that can be read off them.
func implies(sets, others caddyhttp.MatcherSets) bool {
	if len(others) == 0 {
		return true
	}
	return len(sets) > 0 && !slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return !slices.ContainsFunc(others, func(other caddyhttp.MatcherSet) bool {
			return !slices.ContainsFunc(other, func(matcher any) bool { return !impliedBy(set, matcher) })
		})
	})
}

func impliedBy(set caddyhttp.MatcherSet, matcher any) bool {
	one := caddyhttp.MatcherSet{matcher}
	if paths := matchersOf[caddyhttp.MatchPath](one); paths != nil {
		mine := matchersOf[caddyhttp.MatchPath](set)
		return slices.Contains(paths, "*") || slices.Contains(paths, "/*") || mine != nil && isSubset(mine, paths)
	}
	if hosts := matchersOf[caddyhttp.MatchHost](one); hosts != nil {
		mine := matchersOf[caddyhttp.MatchHost](set)
		return mine != nil && isSubset(mine, hosts)
	}
	return slices.ContainsFunc(set, func(m any) bool { return sameMatcher(m, matcher) })
}

func isSubset[T ~[]string](some, all T) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func sameMatcher(a, b any) bool {
	x, okX := a.(caddy.Module)
	y, okY := b.(caddy.Module)
	if !okX || !okY || x.CaddyModule().ID != y.CaddyModule().ID {
		return false
	}
	xRaw, errX := json.Marshal(a)
	yRaw, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(xRaw) == string(yRaw)
}
