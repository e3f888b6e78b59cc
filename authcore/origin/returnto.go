package origin

import (
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

// MaxReturnTo bounds path, query and fragment of a return address, escaped as a
// parameter of the sign-in page, in bytes. It is stored with a challenge, and a
// browser writes it into headers twice: to ask for that page, and as the Referer of
// what is sent from there.
const MaxReturnTo = 8 << 10

// ReturnTo is where a browser goes after signing in or out: a path on an
// origin that was allowed when it was parsed. It can't be made to lead
// elsewhere: what is not certainly such a path is "/". The zero value is "/"
// on whatever origin answers.
type ReturnTo struct {
	origin Origin
	path   string // path, query, fragment; empty means /
}

// ParseReturnTo reads a return address that a visitor sent to the origin own:
// a path there, or the URL of own or of an origin that protects reports. It
// never fails: what can't stand loses its fragment, then its query, and a path that
// can't becomes "/" on own. So do paths below /_gatehouse/ except the account page,
// or signing in could end at signing out.
func ParseReturnTo(raw string, own Origin, protects func(Origin) bool) ReturnTo {
	r, ok := readReturnTo(raw, own)
	if !ok {
		return ReturnTo{origin: own}
	}
	return r.Recheck(own, protects)
}

// Recheck returns r if its origin is still own or protected, else "/" on own.
// A return address that comes out of the store is checked again before use,
// because the configuration may have changed in between.
func (r ReturnTo) Recheck(own Origin, protects func(Origin) bool) ReturnTo {
	if r.origin == own || protects != nil && !r.origin.IsZero() && protects(r.origin) {
		return r
	}
	return ReturnTo{origin: own}
}

// readReturnTo checks everything but whether the origin is allowed. It works
// on the bytes and never repairs: browsers drop tabs and line ends, read a
// backslash as a slash and forgive missing or extra slashes, so an origin or a path
// with these means something else to them than to us. Behind the first ? or # a
// backslash or a lone % is nothing but itself.
func readReturnTo(raw string, own Origin) (ReturnTo, bool) {
	origin, rest := own, raw
	if scheme, after, ok := cutScheme(raw); ok {
		end := strings.IndexAny(after, "/?#")
		if end < 0 {
			end = len(after)
		}
		parsed, err := Parse(scheme + "://" + after[:end])
		if err != nil {
			return ReturnTo{}, false
		}
		origin, rest = parsed, after[end:]
		if !strings.HasPrefix(rest, "/") {
			rest = "/" + rest
		}
	}
	if end := endOfPath(rest); !isReturnPath(rest[:end]) {
		return ReturnTo{}, false
	}
	return ReturnTo{origin, escapeSpaceAndUnicode(rest)}.Shorten(func(r ReturnTo) bool {
		return len(url.QueryEscape(r.path)) <= MaxReturnTo && !strings.ContainsFunc(r.path, ascii.IsControl)
	}), true
}

func endOfPath(s string) int {
	if end := strings.IndexAny(s, "?#"); end >= 0 {
		return end
	}
	return len(s)
}

// Shorten leaves out what is needed to make r fit: the fragment, then the query,
// then the path.
func (r ReturnTo) Shorten(fits func(ReturnTo) bool) ReturnTo {
	for _, from := range []string{"#", "?", "/"} {
		if fits(r) {
			break
		}
		r.path, _, _ = strings.Cut(r.path, from)
	}
	if r.path == "/" {
		r.path = "" // one form, so that return addresses compare with ==
	}
	return r
}

// isReturnPath reports whether path begins with exactly one slash, and is a plain
// one outside our own pages however often it is decoded.
func isReturnPath(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.Contains(path, `\`) || !validEscapes(path) {
		return false
	}
	return everySpelling(path, func(p string) bool {
		return !strings.ContainsFunc(p, ascii.IsControl) && !hasDotSegment(p) &&
			!hasEmptyStart(p) && !isOwnPage(p)
	})
}

// hasEmptyStart reports whether p is //x or /\x, which as a Location names a
// host instead of a path.
func hasEmptyStart(p string) bool {
	return len(p) > 1 && (p[1] == '/' || p[1] == '\\')
}

// isOwnPage reports whether p, in any case, lies below /_gatehouse/ and is not
// the account page.
func isOwnPage(p string) bool {
	first, _, _ := strings.Cut(strings.ReplaceAll(p[1:], `\`, "/"), "/")
	first, _, _ = strings.Cut(first, ";")
	if !strings.EqualFold(first, "_gatehouse") {
		return false
	}
	return p != "/_gatehouse/account" && !strings.HasPrefix(p, "/_gatehouse/account/")
}

// escapeSpaceAndUnicode writes spaces and bytes outside ASCII as browsers do.
// Everything else stays as it is, above all the query.
func escapeSpaceAndUnicode(s string) string {
	const hex = "0123456789ABCDEF"
	if ascii.Valid(s) && !strings.Contains(s, " ") {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c == ' ' || c >= 0x80 {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Origin returns the origin that r leads to; zero for the zero ReturnTo.
func (r ReturnTo) Origin() Origin { return r.origin }

// Path returns path, query and fragment. It always begins with exactly one
// slash.
func (r ReturnTo) Path() string {
	if r.path == "" {
		return "/"
	}
	return r.path
}

// Location returns what an answer on origin from writes into its Location
// header: the path if r stays there, else the whole URL.
func (r ReturnTo) Location(from Origin) string {
	if r.origin == from {
		return r.Path()
	}
	return r.String()
}

// String returns the whole URL; the path alone for the zero ReturnTo.
func (r ReturnTo) String() string { return r.origin.String() + r.Path() }

// MarshalText returns the whole URL; empty for the zero ReturnTo.
func (r ReturnTo) MarshalText() ([]byte, error) {
	if r == (ReturnTo{}) {
		return nil, nil
	}
	return []byte(r.String()), nil
}

// UnmarshalText checks the form again, and reads what is not a return address
// as the zero ReturnTo. The caller calls Recheck before use.
func (r *ReturnTo) UnmarshalText(text []byte) error {
	read, ok := readReturnTo(string(text), Origin{})
	if !ok {
		read = ReturnTo{}
	}
	*r = read
	return nil
}

// validEscapes reports whether every % in s begins an escape. Servers refuse
// others in a path.
func validEscapes(s string) bool {
	_, err := url.PathUnescape(s)
	return err == nil
}
