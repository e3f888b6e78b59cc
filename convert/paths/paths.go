// Package paths says what a regular expression for paths opens for certain
// (Public) and what it may hold at most (Beginning, Apart), for gates that know
// exact paths and whole segments alone. It knows no configuration and no request.
//
// It keeps nothing.
package paths

import (
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// Public are paths that a regular expression matches for certain, in the
// form of the option public: exact ones, or all below one by whole segments.
// They may be fewer than it matches, never more; whole tells that they are all. An
// expression that says more than a beginning has none. withQuery tells that the
// source matches what follows the ?, too: a public path here is so with any query.
func Public(expression string, withQuery bool) (paths []string, whole bool) {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, false
	}
	whole = true
	for _, way := range ways(re.Simplify()) {
		path := way.text
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?*%; ,{}\"`\\#") {
			return nil, false
		}
		if dir, isDir := strings.CutSuffix(path, "/"); isDir && way.any {
			paths = append(paths, dir+"/*")
			continue
		}
		whole = whole && !way.any // no segment ends there
		if way.query || !withQuery {
			paths = append(paths, path)
		} else {
			whole = false
		}
		if way.slash {
			paths = append(paths, path+"/*")
		}
	}
	if len(paths) == 0 || len(paths) > 64 {
		return nil, false
	}
	if _, err := origin.ParsePublicPaths(paths); err != nil || slices.Contains(paths, "/*") { // that would be all of a site
		return nil, false
	}
	slices.Sort(paths)
	return slices.Compact(paths), whole
}

// way is one way to match: a text, and what may follow it.
type way struct {
	text              string
	any, slash, query bool // anything; / and anything; ? and anything
}

// ways takes an expression apart as long as it is made of a beginning, texts and
// alternatives of them, and an end; otherwise there are none.
func ways(re *syntax.Regexp) []way {
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	if parts[0].Op != syntax.OpBeginText && parts[0].Op != syntax.OpBeginLine {
		return nil // it may match in the middle: what it says is no beginning
	}
	texts, last := []string{""}, way{any: true, slash: true, query: true}
	for i, part := range parts[1:] {
		rest := parts[i+2:]
		atEnd := len(rest) == 0 || len(rest) == 1 && isEnd(rest[0])
		if isEnd(part) && len(rest) == 0 {
			last = way{}
			break
		}
		if after, ok := follows(part); ok && atEnd {
			last = after
			break
		}
		more, ok := textsOf(part)
		if !ok || len(texts)*len(more) > 64 {
			return nil
		}
		texts = joined(texts, more)
	}
	var all []way
	for _, text := range texts {
		all = append(all, way{text, last.any, last.slash, last.query})
	}
	return all
}

func joined(texts, more []string) (all []string) {
	for _, a := range texts {
		for _, b := range more {
			all = append(all, a+b)
		}
	}
	return all
}

func isEnd(re *syntax.Regexp) bool {
	return re.Op == syntax.OpEndText || re.Op == syntax.OpEndLine
}

// follows reads what stands for anything, as .* does, or for what may follow a
// path, as ([/?].*)? does.
func follows(re *syntax.Regexp) (way, bool) {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	switch re.Op {
	case syntax.OpStar:
		return way{any: true, slash: true, query: true}, re.Sub[0].Op == syntax.OpAnyCharNotNL || re.Sub[0].Op == syntax.OpAnyChar
	case syntax.OpQuest:
		in := re.Sub[0]
		for in.Op == syntax.OpCapture {
			in = in.Sub[0]
		}
		if in.Op != syntax.OpConcat || len(in.Sub) != 2 {
			return way{}, false
		}
		if after, ok := follows(in.Sub[1]); !ok || !after.any {
			return way{}, false
		}
		w := way{slash: has(in.Sub[0], '/'), query: has(in.Sub[0], '?')}
		return w, w.slash || w.query
	}
	return way{}, false
}

func has(class *syntax.Regexp, r rune) bool {
	if class.Op == syntax.OpLiteral {
		return string(class.Rune) == string(r)
	}
	if class.Op != syntax.OpCharClass {
		return false
	}
	for i := 0; i+1 < len(class.Rune); i += 2 {
		if class.Rune[i] <= r && r <= class.Rune[i+1] {
			return true
		}
	}
	return false
}

// textsOf are the texts that re stands for, if these are few. One letter in
// either case stands for itself as it is written.
func textsOf(re *syntax.Regexp) ([]string, bool) {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, re.Flags&syntax.FoldCase == 0
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpCapture:
		return textsOf(re.Sub[0])
	case syntax.OpQuest:
		texts, ok := textsOf(re.Sub[0])
		return append(texts, ""), ok
	case syntax.OpCharClass:
		var texts []string
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if texts = append(texts, string(r)); len(texts) > 16 {
					return nil, false
				}
			}
		}
		return texts, true
	case syntax.OpAlternate:
		var texts []string
		for _, sub := range re.Sub {
			more, ok := textsOf(sub)
			if !ok {
				return nil, false
			}
			texts = append(texts, more...)
		}
		return texts, len(texts) <= 16
	case syntax.OpConcat:
		texts := []string{""}
		for _, sub := range re.Sub {
			more, ok := textsOf(sub)
			if !ok || len(texts)*len(more) > 64 {
				return nil, false
			}
			texts = joined(texts, more)
		}
		return texts, true
	}
	return nil, false
}

// Beginning is a text that every path begins with that expression matches; empty
// if that can't be said.
func Beginning(expression string) string {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return ""
	}
	re = re.Simplify()
	if re.Op != syntax.OpConcat || len(re.Sub) < 2 || re.Sub[0].Op != syntax.OpBeginText && re.Sub[0].Op != syntax.OpBeginLine {
		return ""
	}
	if second := re.Sub[1]; second.Op == syntax.OpLiteral && second.Flags&syntax.FoldCase == 0 {
		return string(second.Rune)
	}
	return ""
}

// Apart tells whether no path that begins so is public by one of paths, in any
// spelling that an app may take for it.
func Apart(begin string, paths []string) bool {
	begin = strings.ToLower(begin)
	return begin != "" && begin != "/" && !slices.ContainsFunc(paths, func(path string) bool {
		path = strings.ToLower(strings.TrimSuffix(path, "*"))
		return strings.HasPrefix(path, begin) || strings.HasPrefix(begin, path)
	})
}
