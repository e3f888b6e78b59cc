package routes

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Gate is a gate as the walk sees it: what it looks at, and where it stands.
type Gate struct {
	Paths    []string              // that limit it, as they are written
	Guarded  Guarded               // the same, ready to match
	Matchers caddyhttp.MatcherSets // that limit it; none matches everything
	Public   []string              // paths that need no sign-in, as they are written
	Prefix   string                // of all paths, which a proxy in front has taken away
	Open     *origin.PublicPaths   // the same, ready to match
	Origins  []origin.Origin       // where it stands beside what the host matchers above it say
	Policy   Policy                // what it asks

	byMethod bool // a matcher asks for the method

	Place *Place // where it stands
	Pages *Place // where its pages are served: beside its matchers, too
}

// walked is a handler with a gate in it.
type walked interface{ WalkedAs() *Gate }

// CheckMatchers refuses matchers for a path that no request is for.
func (g *Gate) CheckMatchers() error {
	g.byMethod = asksMethod(g.Matchers)
	for _, set := range g.Matchers {
		for _, pattern := range matchersOf[caddyhttp.MatchPath](set) {
			if origin.HasDots(pattern) || strings.Contains(pattern, "?") && strings.Contains(pattern, "=") {
				problem, instead := guardsNothing(pattern)
				return fmt.Errorf("the matcher of a gate: path %s: %s, so the gate would guard nothing; write\n    path %s", pattern, problem, instead)
			}
		}
	}
	return nil
}

// String names a gate for messages, without naming people.
func (g *Gate) String() string {
	if g.Place != nil && g.Place.Behind {
		return strings.Join(g.Place.Hosts, ", ") + " behind another proxy"
	}
	if g.Place == nil || len(g.Place.Spots) == 0 {
		return "inside a handler that Gatehouse does not know"
	}
	where := g.Place.hostsAndPort()
	if where == "" {
		where = "any host"
		for _, port := range g.Place.Ports {
			where += fmt.Sprintf(":%d", port)
		}
	}
	for _, path := range g.Place.Spots[0].Paths {
		where += " " + strings.Join(path, ", ")
	}
	if len(g.Paths) > 0 {
		where += " " + strings.Join(g.Paths, ", ")
	}
	return where
}

// IsLimited tells whether there may be requests that do not concern the gate.
func (g *Gate) IsLimited() bool { return len(g.Matchers) > 0 || g.Guarded.limited }

// Concerns tells whether the gate looks at this request. Matchers see it as it
// came, before it is cleaned. What a matcher can't tell is guarded.
func (g *Gate) Concerns(r *http.Request, asked *url.URL) bool {
	if len(g.Matchers) > 0 {
		if matches, err := g.Matchers.AnyMatchWithError(r); err == nil && !matches {
			if g.byMethod { // the app must read the method that the gate was asked by
				header.DropMethods(r.Header)
			}
			return false
		}
	}
	// Looking at one path alone would let a rewrite on either side lead around
	// the gate.
	now := r.URL
	if !g.Guarded.limited {
		return true
	}
	if other := header.Destination(r); other != nil {
		if other.Path = strings.TrimPrefix(other.Path, g.Prefix); g.Guarded.match(r, other) {
			return true
		}
	}
	return g.Guarded.match(r, now) || (asked.Path != now.Path || asked.RawPath != now.RawPath) && g.Guarded.match(r, asked)
}

// OnPath tells whether the gate looks at requests for path, as far as its
// matchers for paths tell.
func (g *Gate) OnPath(path string) bool {
	if !g.Guarded.matchPath(path) {
		return false
	}
	return len(g.Place.Spots) == 0 || slices.ContainsFunc(g.Place.Spots, func(s Spot) bool {
		return !slices.ContainsFunc(s.Paths, func(m caddyhttp.MatchPath) bool { return !matchesPath(m, path) })
	})
}

// tops are the paths that the gate guards with all below, as it is written: its
// own, or else those of the matchers above.
func (g *Gate) tops(above []caddyhttp.MatchPath) []string {
	if g.Guarded.limited {
		var tops []string
		for _, subtree := range g.Guarded.subtrees {
			tops = append(tops, subtree.String())
		}
		return tops
	}
	var tops []string
	for _, paths := range above {
		for _, pattern := range paths {
			top := strings.TrimRight(strings.TrimSuffix(pattern, "/*"), "/")
			if strings.HasPrefix(top, "/") && !strings.ContainsAny(top, `*?[\{%`) && !gate.IsOwnPath(top) {
				tops = append(tops, top)
			}
		}
	}
	return tops
}

// forPaths tells whether the gate guards certain paths, by itself or by where it
// stands.
func (g *Gate) forPaths() bool {
	return g.Guarded.limited || slices.ContainsFunc(g.Place.Spots, func(s Spot) bool { return len(g.tops(s.Paths)) > 0 })
}

// LeavesSomething refuses public paths that are all that the gate guards.
func (g *Gate) LeavesSomething() error {
	tops := []string{""}
	if g.Guarded.limited {
		tops = g.Guarded.samples()
	}
	for _, top := range tops {
		if below := g.Prefix + top + "/gatehouse-sample"; !g.Open.Match(below, below) {
			return nil
		}
	}
	if len(tops) == 0 {
		return nil // what its patterns hold can't be told
	}
	return fmt.Errorf("public %s: that is all that the gate guards, so nobody would have to sign in; name less, or take the gate out", strings.Join(g.Public, " "))
}

// CheckVariables refuses a path with a variable that is not set: it would be
// another path than the one that is meant. Only the machine that runs can tell.
func (g *Gate) CheckVariables() error {
	for _, pattern := range g.Paths {
		for _, found := range variables.FindAllStringSubmatch(pattern, -1) {
			if os.Getenv(found[1]) == "" {
				return fmt.Errorf("gatehouse %s: %s resolves to nothing: set the variable", pattern, found[0])
			}
		}
	}
	return nil
}

var variables = regexp.MustCompile(`\{env\.([^{}]+)\}`)

// Guarded are the paths that a gate is limited to. The zero value holds
// all of them.
type Guarded struct {
	limited  bool
	subtrees []origin.Subtree
	patterns caddyhttp.MatchPath // those of another shape, with Caddy's meaning
}

// WithoutPrefix are patterns as requests come here: a proxy in front takes the
// prefix away, with which they are written as public paths are.
func WithoutPrefix(prefix string, patterns []string) (here []string, err error) {
	for _, pattern := range patterns {
		rest, ok := strings.CutPrefix(pattern, prefix)
		switch {
		case prefix == "" || strings.HasPrefix(pattern, "*"):
			rest = pattern
		case !ok || rest != "" && rest[0] != '/':
			return nil, fmt.Errorf("gatehouse %s: with prefix %s all paths of the app begin with that: write\n    gatehouse %s%s *@example.com", pattern, prefix, prefix, pattern)
		case strings.Trim(rest, "/") == "":
			rest = "/*"
		}
		here = append(here, rest)
	}
	return here, nil
}

// ParseGuarded reads patterns. /x, /x/ and /x/* each mean /x and all below
// it: nobody who guards the one means to leave the other open. Any other
// pattern means what it means to Caddy.
func ParseGuarded(patterns []string) (Guarded, error) {
	var p Guarded
	for _, pattern := range patterns {
		if problem, instead := guardsNothing(pattern); problem != "" {
			return Guarded{}, fmt.Errorf("gatehouse %s: %s, so the gate would guard nothing; write\n    gatehouse %s *@example.com", pattern, problem, instead)
		}
		top, below := strings.CutSuffix(pattern, "/*")
		if top = strings.TrimRight(top, "/"); pattern == "*" || below && top == "" {
			return Guarded{}, nil
		}
		subtree := origin.ParseSubtree(top)
		switch {
		case !strings.HasPrefix(pattern, "/") || strings.ContainsAny(top, `*?[\`):
			p.patterns = append(p.patterns, pattern)
		case strings.Contains(top, "{"): // known at the request
			p.patterns = append(p.patterns, top, top+"/*")
		case subtree.IsAll():
			return Guarded{}, fmt.Errorf("gatehouse %s: as a matcher this is the start page alone, and every other page would be open; write for the whole site\n    gatehouse /* *@example.com\nor leave the path out:\n    gatehouse *@example.com", pattern)
		default:
			p.subtrees = append(p.subtrees, subtree)
		}
	}
	p.limited = len(patterns) > 0
	return p, p.patterns.Provision(caddy.Context{})
}

// guardsNothing says why no request is for a path of the pattern, and what is
// most likely meant; "" where there may be one.
func guardsNothing(pattern string) (problem, instead string) {
	if problem, instead := badBraces(pattern); problem != "" || strings.Contains(pattern, "{") {
		return problem, instead // a placeholder is known at the request
	}
	decoded, err := url.PathUnescape(pattern)
	if err != nil {
		decoded = pattern
	}
	instead = strings.ReplaceAll(decoded, `\`, "/")
	if i := strings.IndexAny(instead, "?#"); i >= 0 {
		instead = instead[:i]
	}
	if !strings.HasPrefix(instead, "*") {
		instead = "/" + instead
	}
	if instead = path.Clean(instead); instead == "/" {
		instead = "/*"
	}
	_, err = path.Match(pattern, "")
	switch {
	case badEscape.MatchString(pattern):
		return "a percent sign begins an escape of two digits", strings.TrimRight(instead[:strings.Index(instead, "%")], "/") + "/*"
	case variableSegment.MatchString(pattern):
		return "Caddy knows no variables in paths, and a bracket is one character", starred(instead)
	case strings.Contains(pattern, "?"):
		return "the query is not looked at", instead
	case strings.Contains(pattern, "#"):
		return "a fragment is never sent", instead
	case strings.Contains(pattern, `\`):
		return "a backslash is no slash", instead
	case strings.ContainsFunc(decoded, web.IsControl):
		return "no path has control characters", "/admin"
	case !strings.HasPrefix(pattern, "/") && !strings.HasPrefix(pattern, "*"):
		return "a path begins with a slash", instead
	case origin.HasDots(pattern):
		return "requests are for the path without dot segments", instead
	case strings.Contains(strings.TrimRight(decoded, "/"), "//"):
		return "requests are for the path without empty segments", instead
	case err != nil:
		open, _, _ := strings.Cut(instead, "[")
		return "a bracket is left open", open + "*"
	case strings.Contains(pattern, "**"):
		return "two stars take one segment, as one star does", strings.TrimRight(instead, "*/") + "/*"
	case strings.ContainsAny(pattern, "^$|") || strings.Contains(pattern, ".*"):
		return "this is no regular expression", strings.TrimRight(strings.NewReplacer("^", "", "$", "", ".*", "*").Replace(instead), "*/") + "/*"
	case strings.Contains(decoded, " /") || strings.Contains(decoded, ",/"):
		first := instead[:strings.IndexAny(instead, " ,")]
		return "several paths need a gate each, or a named matcher", first
	case strings.Contains(decoded, ";"):
		return "what stands behind a semicolon is no part of a path that is guarded", instead[:strings.Index(instead, ";")]
	case gate.IsOwnPath(pattern):
		return "pages under /_gatehouse/ are Gatehouse's own and never guarded", "/*"
	}
	return "", ""
}

// starred has a star for each variable segment.
func starred(pattern string) string {
	for variableSegment.MatchString(pattern) {
		pattern = variableSegment.ReplaceAllStringFunc(pattern, func(found string) string {
			if strings.HasSuffix(found, "/") {
				return "/*/"
			}
			return "/*"
		})
	}
	return pattern
}

// badEscape finds percent signs that escape nothing, variableSegment what other
// servers take for any segment.
var (
	badEscape       = regexp.MustCompile(`%([^0-9a-fA-F]|.[^0-9a-fA-F]|.?$)`)
	variableSegment = regexp.MustCompile(`/(:\w+|\[[^]/]*\])(?:/|$)`)
)

// badBraces says what is wrong with the braces of a pattern: Caddy knows no
// alternatives.
func badBraces(pattern string) (problem, instead string) {
	rest := pattern
	for {
		before, after, open := strings.Cut(rest, "{")
		inside, behind, closed := strings.Cut(after, "}")
		switch {
		case !open:
			return "", ""
		case !closed || strings.ContainsAny(inside, ",/ ") || inside == "":
			first, _, _ := strings.Cut(inside, ",")
			return "braces are for placeholders alone", strings.TrimRight(before+strings.Trim(first, "/ "), "/") + "/*"
		case !strings.Contains(inside, "."):
			return "Caddy knows no placeholder {" + inside + "}", placeholder.ReplaceAllString(pattern, "*")
		}
		rest = behind
	}
}

// match tells whether the path is one of these, as it stands or as the app may
// read it. r is a request from whose context Caddy's patterns are filled in.
func (p *Guarded) match(r *http.Request, at *url.URL) bool {
	if !p.limited {
		return true
	}
	for _, subtree := range p.subtrees {
		if subtree.Holds(at.Path) {
			return true
		}
	}
	return len(p.patterns) > 0 && p.matchPatterns(r, at)
}

// matchPath is match where nothing but the path is known.
func (p *Guarded) matchPath(path string) bool {
	if len(p.patterns) == 0 {
		return p.match(nil, &url.URL{Path: path})
	}
	r := SampleRequest("", path)
	return p.match(r, r.URL)
}

// samples are paths that these hold, one for each; nil if they are not limited.
func (p *Guarded) samples() []string {
	var samples []string
	for _, subtree := range p.subtrees {
		samples = append(samples, subtree.String())
	}
	for _, pattern := range p.patterns {
		if sample := sampleOf(pattern); p.matchPath(sample) {
			samples = append(samples, sample)
		}
	}
	return samples
}

func (p *Guarded) matchPatterns(r *http.Request, at *url.URL) bool {
	as := *r
	as.URL = at
	if p.patterns.Match(&as) {
		return true
	}
	readings, all := origin.Readings(at.Path)
	return !all || slices.ContainsFunc(readings, func(reading string) bool {
		as.URL = &url.URL{Path: reading}
		return p.patterns.Match(&as)
	})
}
