package caddymodule

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
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// guardedPaths are the paths that a gate is limited to. The zero value holds
// all of them.
type guardedPaths struct {
	limited  bool
	subtrees []origin.Subtree
	patterns caddyhttp.MatchPath // those of another shape, with Caddy's meaning
}

// newGuardedPaths reads patterns. /x, /x/ and /x/* each mean /x and all below
// it: nobody who guards the one means to leave the other open. Any other
// pattern means what it means to Caddy.
func newGuardedPaths(patterns []string) (guardedPaths, error) {
	var p guardedPaths
	for _, pattern := range patterns {
		if problem, instead := guardsNothing(pattern); problem != "" {
			return guardedPaths{}, fmt.Errorf("gatehouse %s: %s, so the gate would guard nothing; write\n    gatehouse %s *@example.com", pattern, problem, instead)
		}
		top, below := strings.CutSuffix(pattern, "/*")
		if top = strings.TrimRight(top, "/"); pattern == "*" || below && top == "" {
			return guardedPaths{}, nil
		}
		subtree := origin.ParseSubtree(top)
		switch {
		case !strings.HasPrefix(pattern, "/") || strings.ContainsAny(top, `*?[\`):
			p.patterns = append(p.patterns, pattern)
		case strings.Contains(top, "{"): // known at the request
			p.patterns = append(p.patterns, top, top+"/*")
		case subtree.IsAll():
			return guardedPaths{}, fmt.Errorf("gatehouse %s: as a matcher this is the start page alone, and every other page would be open; write for the whole site\n    gatehouse /* *@example.com\nor leave the path out:\n    gatehouse *@example.com", pattern)
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
	case hasDots(decoded):
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
		}
		rest = behind
	}
}

// checkVariables refuses a path with a variable that is not set: it would be
// another path than the one that is meant. Only the machine that runs can tell.
func (g *Gate) checkVariables() error {
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

func hasDots(pattern string) bool {
	for segment := range strings.SplitSeq(pattern, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// match tells whether the path is one of these, as it stands or as the app may
// read it. r is a request from whose context Caddy's patterns are filled in.
func (p *guardedPaths) match(r *http.Request, at *url.URL) bool {
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
func (p *guardedPaths) matchPath(path string) bool {
	r := sampleRequest("", path)
	return p.match(r, r.URL)
}

// samples are paths that these hold, one for each; nil if they are not limited.
func (p *guardedPaths) samples() []string {
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

// guardedPathsOf are path and all below it.
func guardedPathsOf(path string) guardedPaths {
	return guardedPaths{limited: true, subtrees: []origin.Subtree{origin.ParseSubtree(path)}}
}

func (p *guardedPaths) matchPatterns(r *http.Request, at *url.URL) bool {
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
