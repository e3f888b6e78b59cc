package origin

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Subtree is a path and all below it, in every spelling that a server behind
// us may take for one of these: what is guarded is decided by the app's reading,
// not by ours. It holds too much rather than too little.
type Subtree struct{ segments []string }

// ParseSubtree reads the path at the top; slashes at its end mean nothing. Only
// the path / has no segments: its subtree is everything.
func ParseSubtree(path string) Subtree {
	for range maxDecodings {
		path = unescape(path)
	}
	var s Subtree
	for segment := range strings.SplitSeq(foldPath(path), "/") {
		if segment = trimSegment(segment); segment != "" && segment != "." {
			s.segments = append(s.segments, strings.ToLower(segment))
		}
	}
	return s
}

// String is the path at the top.
func (s Subtree) String() string { return "/" + strings.Join(s.segments, "/") }

// IsAll tells whether the subtree is everything.
func (s Subtree) IsAll() bool { return len(s.segments) == 0 }

// Holds tells whether path, decoded once (url.URL.Path), is in the subtree as
// some server may read it. No allocation for plain paths.
//
// Read so are: upper and lower case, // and /./, /x/../, a backslash for a
// slash, what is encoded once more, parameters (/admin;x, /admin:x), what stands
// after NUL, # or ?, NUL itself, control characters and blanks, full-width and overlong
// forms, a format (/admin.json), the name of a front controller
// (/index.php/admin), the session of an ASP.NET app (/(S(x))/admin), and what
// otherPaths finds.
func (s Subtree) Holds(path string) bool {
	for range maxDecodings {
		folded := foldPath(path)
		if s.holdsAny(folded) || strings.IndexByte(path, 0) >= 0 && s.holdsAny(foldPath(strings.ReplaceAll(path, "\x00", ""))) {
			return true
		}
		decoded := unescape(folded)
		if decoded == folded {
			return false
		}
		path = decoded
	}
	return true // encoded more often than anybody needs
}

// holdsAny takes a folded path, and what stands inside it.
func (s Subtree) holdsAny(folded string) bool {
	if s.holds(folded) {
		return true
	}
	n := 0
	for other := range otherPaths(folded) {
		if n++; n > maxOthers || s.holds(other) {
			return true
		}
	}
	return false
}

// holds takes a folded path. Where it goes up again, nobody knows how far: every
// path counts that names the segments in this order.
func (s Subtree) holds(path string) bool {
	left, up := s.segments, goesUp(path)
	for more := true; more && len(left) > 0; {
		var segment string
		segment, path, more = strings.Cut(path, "/")
		switch {
		case isNamed(segment, left[0]):
			left = left[1:]
		case !up && !isPassedOver(segment):
			return false
		}
	}
	return len(left) == 0
}

// maxOthers is how many other paths may stand inside one before it counts as any of
// them: each is compared whole, and a stranger writes paths of many kilobytes.
const maxOthers = 16

// otherPaths are those that stand inside a folded path for some server: behind
// two slashes a host (//x/admin, as new URL of JavaScript, parse_url of PHP and
// urlsplit of Python read it), behind a front controller in any directory what it
// gets as PATH_INFO (/public/index.php/admin), and behind & a parameter, where a
// rewrite puts the path into a query (/x&q=/admin).
func otherPaths(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if strings.HasPrefix(path, "//") {
			rest := strings.TrimLeft(path, "/")
			if i := strings.IndexByte(rest, '/'); i >= 0 && !yield(rest[i:]) {
				return
			}
		}
		for i := 1; i < len(path); i++ {
			if path[i] != '/' {
				continue
			}
			before := path[:i]
			if isController(cutSegment(before[strings.LastIndexByte(before, '/')+1:])) && !yield(path[i:]) {
				return
			}
		}
		for {
			_, rest, ok := strings.Cut(path, "&")
			if !ok {
				return
			}
			if _, value, ok := strings.Cut(rest, "="); ok && !yield(value) {
				return
			}
			path = rest
		}
	}
}

// isNamed tells whether a segment is name, with whatever may stand behind it.
func isNamed(segment, name string) bool {
	if segment = trimSegment(segment); name[0] != '+' {
		segment = strings.TrimLeft(segment, " +")
	}
	if len(segment) < len(name) || !strings.EqualFold(segment[:len(name)], name) {
		return false
	}
	rest := strings.TrimLeft(segment[len(name):], " +")
	return rest == "" || rest[0] == '.' || strings.IndexByte(segmentEnds, rest[0]) >= 0 || strings.Trim(rest, " .+") == ""
}

// isPassedOver tells whether some server leaves the segment out: an empty one,
// a dot, a front controller, or the session of an ASP.NET app.
func isPassedOver(segment string) bool {
	segment = cutSegment(segment)
	if segment == "" || segment == "." || segment[0] == '(' && segment[len(segment)-1] == ')' {
		return true
	}
	return isController(segment)
}

// isController tells whether the segment names a program that gets what stands
// behind it.
func isController(segment string) bool {
	dot := strings.LastIndexByte(segment, '.')
	if dot < 0 {
		return false
	}
	for _, controller := range frontControllers {
		if strings.EqualFold(segment[dot:], controller) {
			return true
		}
	}
	return false
}

var frontControllers = []string{".php", ".php5", ".phtml", ".cgi", ".fcgi", ".pl", ".py", ".wsgi", ".cfm", ".asp", ".aspx", ".ashx"}

// segmentEnds end a segment for some server: parameters of Java containers,
// streams of NTFS, fragment, query, and what follows where a rewrite puts the path
// into a query (nginx: /index.php?q=$uri&$args). NUL has become a semicolon.
const segmentEnds = ";:#?&"

func trimSegment(segment string) string { return strings.Trim(segment, " ") }

func cutSegment(segment string) string {
	if i := strings.IndexAny(segment, segmentEnds); i >= 0 {
		segment = segment[:i]
	}
	return trimSegment(segment)
}

// goesUp tells whether a segment is .., or more dots.
func goesUp(path string) bool {
	if !strings.Contains(path, "..") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment = cutSegment(segment); len(segment) > 1 && strings.Trim(segment, " .") == "" {
			return true
		}
	}
	return false
}

// foldPath brings what servers take for the same character to one: backslashes
// to slashes, NUL to a semicolon, full-width and overlong forms to ASCII, letters
// beyond ASCII to lower case. Control characters, bytes that are no UTF-8 and
// blanks beyond ASCII are left out.
func foldPath(path string) string {
	if !strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == '\\' || r >= 0x7f }) {
		return path
	}
	var b strings.Builder
	for len(path) > 0 {
		r, n := utf8.DecodeRuneInString(path)
		if r == utf8.RuneError && n == 1 {
			r, n = overlong(path)
		}
		path = path[n:]
		if like, ok := lookalikes[r]; ok {
			b.WriteString(like)
		} else if r = foldRune(r); r >= 0 {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// lookalikes are what becomes ASCII with a meaning in paths where a server
// normalizes text (NFKC) or turns it into a code page of Windows; full-width
// forms are in foldRune.
var lookalikes = map[rune]string{
	0x2044: "/", 0x2215: "/", 0x29f8: "/", // slashes of mathematics
	0x2216: "/", 0x29f5: "/", 0x29f9: "/", 0xfe68: "/", 0xa5: "/", 0xffe5: "/", 0x20a9: "/", 0xffe6: "/", // backslashes, yen and won
	0x2024: ".", 0xfe52: ".", 0x2025: "..", 0xfe30: "..", 0x2026: "...", 0xfe19: "...",
	0x37e: ";", 0xfe54: ";", 0xfe14: ";", 0xfe5f: "#", 0xfe6a: "%", 0xfe56: "?", 0xfe60: "&",
	0x2100: "a/c", 0x2101: "a/s", 0x2105: "c/o", 0x2106: "c/u",
}

// foldRune returns -1 for what is left out.
func foldRune(r rune) rune {
	if 0xff01 <= r && r <= 0xff5e { // full-width ASCII
		r -= 0xff01 - '!'
	}
	switch {
	case r == '\\':
		return '/'
	case r == 0:
		return ';'
	case r < 0 || unicode.IsControl(r) || r > unicode.MaxASCII && (unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)):
		return -1
	case r > unicode.MaxASCII: // by way of upper case, where dotless i is I
		return unicode.ToLower(unicode.ToUpper(r))
	}
	return r
}

// overlong reads an ASCII character that is written in more bytes than UTF-8
// allows, as lenient decoders do; -1 for any other byte that is no UTF-8.
func overlong(s string) (r rune, size int) {
	size = 2
	switch {
	case s[0] == 0xc0 || s[0] == 0xc1:
		r = rune(s[0] & 0x1f)
	case s[0] == 0xe0:
		size = 3
	case s[0] == 0xf0:
		size = 4
	default:
		return -1, 1
	}
	if len(s) < size {
		return -1, 1
	}
	for _, b := range []byte(s[1:size]) {
		if b&0xc0 != 0x80 {
			return -1, 1
		}
		r = r<<6 | rune(b&0x3f)
	}
	return r, size
}

// Readings returns the other paths that a server behind us may take path for, to
// be compared with patterns that are no Subtree; see Subtree.Holds. path is
// decoded once (url.URL.Path). Nil for most paths. Without all there are more than
// anybody needs.
func Readings(path string) (readings []string, all bool) {
	for range maxDecodings {
		if !hasReadings(path) {
			return readings, true
		}
		folded := foldPath(path)
		ends, _, _ := strings.Cut(folded, ";")
		ends, _, _ = strings.Cut(ends, "#")
		ends, _, _ = strings.Cut(ends, "?")
		ends, _, _ = strings.Cut(ends, "&")
		readings = append(readings, folded, ends, "/"+strings.Join(keptSegments(folded), "/"))
		n := 0
		for other := range otherPaths(folded) {
			if n++; n > maxOthers {
				return nil, false
			}
			readings = append(readings, other, "/"+strings.Join(keptSegments(other), "/"))
		}
		decoded := unescape(folded)
		if decoded == folded {
			return readings, true
		}
		path = decoded
		readings = append(readings, path)
	}
	return nil, false
}

func hasReadings(path string) bool {
	return strings.ContainsFunc(path, func(r rune) bool {
		return r < ' ' || r >= 0x7f || r == '\\' || r == '%' || r == '(' || strings.ContainsRune(segmentEnds, r)
	}) || strings.Contains(path, "./") || strings.Contains(path, " /") || strings.HasPrefix(path, "//") || hasController(path)
}

func hasController(path string) bool {
	i := strings.LastIndexByte(path, '/')
	for i > 0 {
		path = path[:i]
		i = strings.LastIndexByte(path, '/')
		if last := path[i+1:]; last != "" && last != "." && isPassedOver(last) {
			return true
		}
	}
	return false
}

// keptSegments are those that no server leaves out, without what may stand
// behind them.
func keptSegments(path string) []string {
	segments := strings.Split(path, "/")
	kept := segments[:0]
	for i, segment := range segments {
		if i == len(segments)-1 || !isPassedOver(segment) {
			kept = append(kept, cutSegment(segment))
		}
	}
	return kept
}
