package origin

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

// PublicPaths says which paths of a site need no sign-in. The zero value holds
// none.
type PublicPaths struct {
	patterns []string // as they were written
	exact    map[string]struct{}
	prefixes []string // each ends in /
	icons    string   // what the paths of icons for home screens begin with, empty for none
}

// IsZero tells whether p holds no path.
func (p PublicPaths) IsZero() bool { return len(p.patterns) == 0 }

// MarshalJSON implements json.Marshaler: the patterns that ParsePublicPaths read.
func (p PublicPaths) MarshalJSON() ([]byte, error) { return json.Marshal(p.patterns) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *PublicPaths) UnmarshalJSON(text []byte) (err error) {
	var patterns []string
	if err := json.Unmarshal(text, &patterns); err != nil {
		return err
	}
	*p, err = ParsePublicPaths(patterns)
	return err
}

// PWA is the word for what browsers fetch of an app that can be installed, often
// without cookies: its manifest and icons, and nothing else.
const PWA = "pwa"

var pwaPaths = []string{"/manifest.json", "/manifest.webmanifest", "/site.webmanifest", "/favicon.ico"}

const pwaIcons = "/apple-touch-icon" // and .png, with more in between

// ParsePublicBelow is ParsePublicPaths for an app whose paths all begin with
// prefix, empty for none. It also takes the word PWA.
func ParsePublicBelow(prefix string, words []string) (PublicPaths, error) {
	var paths []string
	icons := ""
	for _, word := range words {
		if word != PWA {
			if strings.HasPrefix(word, "/") && !strings.HasPrefix(word, prefix+"/") && word != prefix {
				return PublicPaths{}, fmt.Errorf("public path %q: with prefix %s all paths of the app begin with that: write %s%s", word, prefix, prefix, word)
			}
			paths = append(paths, word)
			continue
		}
		icons = prefix + pwaIcons
		for _, path := range pwaPaths {
			paths = append(paths, prefix+path)
		}
	}
	p, err := ParsePublicPaths(paths)
	p.icons = icons
	return p, err
}

// Samples are paths that the word of a public line holds, with sample in the
// place of what may be anything; prefix as for ParsePublicBelow.
func Samples(prefix, word, sample string) []string {
	if word == PWA {
		all := []string{prefix + pwaIcons + "-180x180.png"}
		for _, path := range pwaPaths {
			all = append(all, prefix+path)
		}
		return all
	}
	if below, ok := strings.CutSuffix(word, "*"); ok {
		return []string{below + sample}
	}
	return []string{word}
}

// ParsePublicPaths reads patterns: an exact path, or a prefix that ends in /*
// and matches by whole segments. /pub/* matches /pub/ and everything below,
// not /pub itself, as in the rest of a Caddyfile. A pattern that could never
// match, or that looks as if it matched more, is an error that says what to
// write instead.
func ParsePublicPaths(patterns []string) (PublicPaths, error) {
	p := PublicPaths{patterns: patterns, exact: map[string]struct{}{}}
	for _, pattern := range patterns {
		if problem := publicProblem(pattern); problem != "" {
			return PublicPaths{}, fmt.Errorf("public path %q: %s", pattern, problem)
		}
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			p.prefixes = append(p.prefixes, prefix)
		} else {
			p.exact[pattern] = struct{}{}
		}
	}
	return p, nil
}

// publicProblem returns what to write instead of a bad pattern, or nothing.
func publicProblem(pattern string) string {
	path, isPrefix := strings.CutSuffix(pattern, "/*")
	switch {
	case !strings.HasPrefix(pattern, "/"):
		return "a public path begins with a slash: write /images/logo.png for one file or /images/* for all in a directory"
	case strings.HasSuffix(path, "*") && !strings.Contains(path[:len(path)-1], "*"):
		name := strings.TrimRight(path, "*")
		return fmt.Sprintf("* stands only for whole segments at the end: write %s for that path alone or %s/* for all below it", name, name)
	case strings.Contains(path, "*"):
		return "* stands only at the end, after a slash: write /images/* for all in a directory"
	case strings.Contains(path, "%"):
		return "write the path decoded, in quotes if it has a space"
	case strings.Contains(path, " /") || strings.Contains(path, ",/"):
		return "write one path after the other, with a space between, as in: public /favicon.ico /images/*"
	case strings.ContainsAny(path, "{}"):
		return "placeholders and braces are not filled in: write the path itself"
	case strings.Contains(path, "?"):
		return "the query is not looked at: write the path up to the ?"
	case !isPublicSpelling(path) || !utf8.ValidString(path) || isPrefix && strings.HasSuffix(path, "/"):
		return "a path with //, dot segments, ;, #, a backslash, a control character or invalid UTF-8, or a character that a server may take for one of these, is never public: write it plainly, like /images/*"
	}
	return ""
}

// Match reports whether a request needs no sign-in. It takes the path of the
// original request, before any rewrite, decoded (url.URL.Path) and as it was
// sent (url.URL.EscapedPath). A path that another server might read as a
// different one is never public: what the application serves is decided by
// its own reading, not by ours. No allocation for paths without escapes.
func (p PublicPaths) Match(path, escaped string) bool {
	return p.listed(path) && utf8.ValidString(path) && everySpelling(escaped, isPublicSpelling) &&
		isPublicSpelling(path) && !hasEncodedSlash(escaped)
}

// listed compares case-sensitively.
func (p PublicPaths) listed(path string) bool {
	if _, ok := p.exact[path]; ok {
		return true
	}
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return p.icons != "" && isIcon(path, p.icons)
}

// isIcon holds /apple-touch-icon*.png with one name, whose letters no server reads
// as anything else.
func isIcon(path, begin string) bool {
	name, ok := strings.CutPrefix(path, begin)
	name, png := strings.CutSuffix(name, ".png")
	return ok && png && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// isPublicSpelling reports whether p means the same to every server, also to one
// that takes full-width and other lookalikes for ASCII.
func isPublicSpelling(p string) bool {
	folded := foldPath(p)
	return isPlain(p) && (folded == p || isPlain(folded) &&
		strings.Count(folded, "/") == strings.Count(p, "/") && strings.Count(folded, "%") == strings.Count(p, "%"))
}

// isPlain: Java containers cut at a semicolon, Windows reads backslashes as
// slashes, C programs stop at NUL, some clients and servers cut at #.
func isPlain(p string) bool {
	return !strings.ContainsAny(p, `;\#`) && !strings.Contains(p, "//") &&
		!strings.ContainsFunc(p, ascii.IsControl) && !hasDotSegment(p)
}

// hasEncodedSlash reports whether escaped, in any number of encodings, has a
// slash that is not one between segments.
func hasEncodedSlash(escaped string) bool {
	n := strings.Count(escaped, "/")
	return !everySpelling(escaped, func(p string) bool { return strings.Count(p, "/") == n })
}

// HasDots reports whether a path, as it stands in a URL, has a segment that is . or
// .. in some spelling. Browsers and servers resolve it: it leads elsewhere than it
// reads.
func HasDots(escaped string) bool {
	return !everySpelling(escaped, func(p string) bool { return !hasDotSegment(p) })
}

// hasDotSegment reports whether a segment of p is . or .., also with
// parameters (..;x) or between backslashes.
func hasDotSegment(p string) bool {
	if !strings.Contains(p, ".") {
		return false
	}
	for segment := range strings.FieldsFuncSeq(p, isSlash) {
		segment, _, _ = strings.Cut(segment, ";")
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// maxDecodings is how often a path may be decoded, by servers behind each other,
// before nobody is believed to need it.
const maxDecodings = 4

// everySpelling reports whether ok holds for p and for what it decodes to,
// once and again: servers behind each other may decode more than once, and
// %252e is a dot to the second. What is encoded more often than anybody needs
// does not hold.
func everySpelling(p string, ok func(string) bool) bool {
	for range maxDecodings {
		if !ok(p) {
			return false
		}
		decoded := unescape(p)
		if decoded == p {
			return true
		}
		p = decoded
	}
	return false
}

// unescape decodes every valid escape of p and leaves the rest alone, as
// lenient servers do, and the %u0061 of IIS. url.PathUnescape would give up on
// all of it.
func unescape(p string) string {
	if !strings.Contains(p, "%") {
		return p
	}
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if n, ok := escapedByte(p[i:]); ok {
			b.WriteByte(n)
			i += 2
		} else if r, ok := escapedUnit(p[i:]); ok {
			b.WriteRune(r)
			i += 5
		} else {
			b.WriteByte(p[i])
		}
	}
	return b.String()
}

func escapedByte(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(n), err == nil
}

// escapedUnit reads %u0061.
func escapedUnit(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '%' || s[1]|0x20 != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
