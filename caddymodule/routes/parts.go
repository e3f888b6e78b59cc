package routes

import (
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// shapesOf are paths about a part of one.
func shapesOf(part string) []string {
	base := strings.TrimRight(strings.TrimRight(part, "*"), "/")
	if strings.ContainsAny(base, "*?") {
		return []string{sampleOf(part), sampleOf(part) + "/gatehouse-sample"}
	}
	return []string{base, base + "/", base + "/gatehouse-sample", base + "gatehouse-sample"}
}

// parts are what rewrites put before or behind a path, or take away, or exchange.
type parts struct {
	ends      []string
	exchanged [][2]string
}

// around are paths of which a rewrite may make this one, or which it may make of
// it.
func (p parts) around(at string) []string {
	all := []string{at, path.Dir(at) + "/"} // of which it may be the index page
	for _, end := range p.ends {
		all = append(all, end+at, strings.TrimPrefix(at, end), strings.TrimSuffix(at, end))
	}
	for _, x := range p.exchanged {
		if x[1] != "" {
			all = append(all, strings.ReplaceAll(at, x[1], x[0]))
		}
		all = append(all, strings.ReplaceAll(at, x[0], x[1]))
	}
	for _, end := range p.ends {
		all = append(all, end+strings.TrimPrefix(at, "/"), at+end)
	}
	return all
}

// literals are what stands in a rewrite's target beside placeholders.
func literals(target string) []string {
	target, _, _ = strings.Cut(target, "?")
	return strings.FieldsFunc(placeholder.ReplaceAllString(target, "\n"), func(r rune) bool { return r == '\n' })
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// reader reads what handlers and matchers name of paths.
type reader struct {
	named   []string
	changes parts
	middles []string // what stands behind a star in patterns of gates
}

func (r *reader) name(parts ...string) {
	for _, part := range parts {
		r.named = appendOnce(r.named, part)
	}
}

func (r *reader) end(parts ...string) {
	for _, part := range parts {
		if part != "/" && part != "" && !slices.Contains(r.changes.ends, part) {
			r.changes.ends = append(r.changes.ends, part)
			if strings.HasPrefix(part, "/") {
				r.name(part)
			}
		}
	}
}

// partsOf are the paths that are named, and what changes paths.
func partsOf(nodes []*node) (named []string, changes parts) {
	r := &reader{named: []string{"/"}}
	each(nodes, r.step)
	for _, part := range r.named {
		for _, end := range r.middles {
			if base := strings.TrimRight(part, "/*"); !strings.Contains(base, "*") {
				r.name(base + end)
			}
		}
	}
	return r.named, r.changes
}

func (r *reader) step(s *step) {
	r.match(s.sets)
	if s.gate != nil {
		r.match(s.gate.Matchers)
		r.name(s.gate.Paths...)
		for _, pattern := range s.gate.Paths {
			if i := strings.LastIndex(strings.TrimRight(pattern, "/*"), "*"); i >= 0 {
				r.middles = append(r.middles, strings.TrimRight(pattern[i+1:], "/*"))
			}
		}
	}
	switch h := s.handler.(type) {
	case *rewrite.Rewrite:
		r.change(h)
	case *reverseproxy.Handler:
		if h.Rewrite != nil {
			r.change(h.Rewrite)
		}
	}
}

func (r *reader) change(h *rewrite.Rewrite) {
	taken := []string{"/" + strings.Trim(h.StripPathPrefix, "/"), h.StripPathSuffix}
	r.end(literals(h.URI)...)
	for _, part := range h.URISubstring {
		r.changes.exchanged = append(r.changes.exchanged, [2]string{part.Find, part.Replace})
		taken = append(taken, part.Find)
	}
	for _, part := range h.PathRegexp {
		expr, err := regexp.Compile(part.Find)
		if sample := sampleOfRegexp(part.Find); err == nil && sample != "" {
			r.changes.exchanged = append(r.changes.exchanged, [2]string{sample, expr.ReplaceAllString(sample, part.Replace)})
			taken = append(taken, strings.TrimSuffix(sample, "/"))
		}
	}
	for _, part := range taken {
		if strings.Contains(part, "{") {
			part = aSegment
		}
		r.end(part)
	}
}

func (r *reader) match(sets caddyhttp.MatcherSets) {
	for _, set := range sets {
		r.name(matchersOf[caddyhttp.MatchPath](set)...)
		for _, matcher := range set {
			switch m := matcher.(type) {
			case caddyhttp.MatchNot:
				r.match(m.MatcherSets)
			case *caddyhttp.MatchNot:
				r.match(m.MatcherSets)
			case caddyhttp.MatchPathRE:
				r.end(strings.TrimRight(sampleOfRegexp(m.Pattern), "/"))
			case *caddyhttp.MatchPathRE:
				r.end(strings.TrimRight(sampleOfRegexp(m.Pattern), "/"))
			case *fileserver.MatchFile:
				for _, file := range m.TryFiles {
					r.end(literals(file)...)
				}
			}
			if text, ok := expression(matcher); ok {
				for _, quoted := range inQuotes.FindAllStringSubmatch(text, -1) {
					r.name(quoted[1])
					r.end(strings.TrimRight(sampleOfRegexp(quoted[1]), "/"))
				}
			}
		}
	}
}

// inQuotes finds paths in an expression.
var inQuotes = regexp.MustCompile("[\"'`](\\^?/[^\"'`]*)[\"'`]")

// sampleOf is a path that the pattern matches.
func sampleOf(pattern string) string {
	return "/" + strings.TrimLeft(strings.NewReplacer("*", "gatehouse-sample", "?", "x").Replace(pattern), "/")
}

// sampleOfRegexp is a short text that the regular expression matches; "" where
// that is none.
func sampleOfRegexp(expr string) string {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return ""
	}
	return sampleOfSyntax(parsed)
}

func sampleOfSyntax(r *syntax.Regexp) (sample string) {
	switch r.Op {
	case syntax.OpLiteral:
		return string(r.Rune)
	case syntax.OpCharClass:
		for i := 0; i+1 < len(r.Rune); i += 2 {
			if r.Rune[i] <= 'x' && 'x' <= r.Rune[i+1] {
				return "x"
			}
		}
		if len(r.Rune) > 0 {
			return string(r.Rune[:1])
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpRepeat:
		return strings.Repeat(sampleOfSyntax(r.Sub[0]), r.Min)
	case syntax.OpCapture, syntax.OpPlus, syntax.OpAlternate:
		return sampleOfSyntax(r.Sub[0])
	case syntax.OpConcat:
		for _, sub := range r.Sub {
			sample += sampleOfSyntax(sub)
		}
	}
	return sample
}
