package origin

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

// maxTarget bounds a redirect URL in bytes; browsers and mail programs cut
// longer ones.
const maxTarget = 2048

// target is a redirect URL in the one form in which it is compared.
type target struct {
	scheme string
	host   string // lower case, A-label, without port
	port   string // the one in effect
	path   string // begins with a slash
	query  string
}

// parseTarget reads an absolute http or https URL and refuses every spelling
// that some program reads in another way than we do: user info, backslashes,
// control bytes, other bytes than ASCII, dot segments, encoded slashes, empty
// segments, fragments, percent signs, odd numbers and a dot at the end in the
// host.
func parseTarget(s string) (target, bool) {
	if s == "" || len(s) > maxTarget || !plainURL(s) {
		return target{}, false
	}
	scheme, rest, ok := cutScheme(s)
	if !ok || !strings.HasPrefix(s, scheme+"://") {
		return target{}, false
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	o, err := New(scheme, rest[:end])
	if err != nil || endsInDot(rest[:end]) {
		return target{}, false
	}
	path, query, _ := strings.Cut(rest[end:], "?")
	if path == "" {
		path = "/"
	}
	if !plainPath(path) {
		return target{}, false
	}
	if _, err := url.ParseQuery(query); err != nil {
		return target{}, false
	}
	return target{scheme, o.Hostname(), o.Port(), path, query}, true
}

// endsInDot tells whether the name in a host and port ends in a dot: the same
// host to DNS, another origin to browsers.
func endsInDot(host string) bool {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.HasSuffix(host, ".")
}

func plainURL(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ', c >= 0x7f, strings.IndexByte("\\\"<>^`{|}#@", c) >= 0:
			return false
		}
	}
	return true
}

// plainPath tells whether every program takes path for the same: no dot, empty
// or disguised segments.
func plainPath(path string) bool {
	decoded, err := url.PathUnescape(path)
	if err != nil || strings.Count(decoded, "/") != strings.Count(path, "/") || strings.Contains(decoded, "%") {
		return false
	}
	for i := range len(decoded) {
		if c := decoded[i]; c < ' ' || c == 0x7f || c == '\\' {
			return false
		}
	}
	return !hasDotSegment(decoded) && !strings.Contains(decoded, "//")
}

// Callbacks is an allow-list of patterns: http or https URLs in which * stands
// for any characters. In the host it never crosses into another part of the
// URL. The zero value allows localhost only.
type Callbacks struct {
	patterns []callback
}

type callback struct {
	text         string
	scheme       string
	host, port   string // may hold *
	path         string // may hold *
	query        string
	withQuery    bool // the pattern says something about the query
	hasWildcards bool
}

// localCallback is always allowed: http://localhost with any port and path,
// since only the person's own machine is there.
const localCallback = "http://localhost:*/*"

var local = must(parseCallback(localCallback))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ParseCallbacks reads patterns such as https://app.example.com/* and
// https://*.preview.example.com/*. The error names the pattern and what to
// write.
func ParseCallbacks(patterns []string) (Callbacks, error) {
	var c Callbacks
	for _, text := range patterns {
		p, err := parseCallback(text)
		if err != nil {
			return Callbacks{}, fmt.Errorf("callback %q: %w", text, err)
		}
		c.patterns = append(c.patterns, p)
	}
	return c, nil
}

func parseCallback(text string) (callback, error) {
	scheme, rest, ok := cutScheme(text)
	if !ok {
		return callback{}, errors.New("a pattern begins with https:// or http://, as in https://app.example.com/*")
	}
	host, path, found := strings.Cut(rest, "/")
	if !found {
		return callback{}, errors.New("the path is missing; write for example " + text + "/*")
	}
	p := callback{text: text, scheme: scheme, hasWildcards: strings.Contains(text, "*")}
	p.path, p.query, p.withQuery = strings.Cut("/"+path, "?")
	// What * stands for is chosen later: the rest must be a URL without it.
	example := strings.ReplaceAll(strings.ReplaceAll(text, ":*", ""), "*", "x")
	t, ok := parseTarget(example)
	if !ok {
		return callback{}, errors.New("this is not a URL without user name, fragment, backslash, dot segments or encoded slashes")
	}
	p.host, p.port = t.host, t.port
	if h, port, found := strings.Cut(host, ":"); found && !strings.HasPrefix(host, "[") {
		host = h
		if port == "*" {
			p.port = "*"
		} else if strings.Contains(port, "*") {
			return callback{}, errors.New("the port is a number or *")
		}
	}
	if strings.Contains(host, "*") {
		p.host = ascii.Lower(host)
		return p, checkWildcardHost(p.host)
	}
	return p, nil
}

// checkWildcardHost refuses patterns that let strangers in: *example.com also
// matches evilexample.com, and *.com everybody.
func checkWildcardHost(host string) error {
	after := host[strings.LastIndexByte(host, '*')+1:]
	_, domain, found := strings.Cut(after, ".")
	if !found || !strings.Contains(domain, ".") {
		return errors.New("after * the host needs a dot and a domain of your own, as in https://*.example.com/*")
	}
	return nil
}

// Allows tells whether a browser may be sent to rawURL.
func (c Callbacks) Allows(rawURL string) bool {
	t, ok := parseTarget(rawURL)
	if !ok {
		return false
	}
	if local.matches(t) {
		return true
	}
	for _, p := range c.patterns {
		if p.matches(t) {
			return true
		}
	}
	return false
}

// Default returns the first pattern that is a plain URL, or "".
func (c Callbacks) Default() string {
	for _, p := range c.patterns {
		if !p.hasWildcards {
			return p.text
		}
	}
	return ""
}

func (p callback) matches(t target) bool {
	if p.scheme != t.scheme || p.port != "*" && p.port != t.port || !glob(p.host, t.host) {
		return false
	}
	if p.withQuery {
		return glob(p.path+"?"+p.query, t.path+"?"+t.query)
	}
	return glob(p.path, t.path)
}

// glob matches text with a pattern in which * stands for any characters, none
// included, in linear time and space.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}
