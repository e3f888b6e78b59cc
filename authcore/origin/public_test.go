package origin

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// isPublic asks as a server does: with what net/url makes of the target.
func isPublic(t *testing.T, p PublicPaths, target string) bool {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return false // net/http answers 400
	}
	return p.Match(u.Path, u.EscapedPath())
}

func mustPublic(t *testing.T, patterns ...string) PublicPaths {
	t.Helper()
	p, err := ParsePublicPaths(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPublicPaths(t *testing.T) {
	p := mustPublic(t, "/health", "/pub/*", "/deep/er/*", "/with space", "/café")
	for target, want := range map[string]bool{
		"/health": true, "/health?x=1": true, "/%68ealth": true,
		"/pub/": true, "/pub/x": true, "/pub/x/y.png": true, "/pub/a%20b": true, "/pub/100%25": true, "/pub/...": true, "/pub/.x": true, "/pub/%C3%A9": true,
		"/deep/er/x": true, "/with%20space": true, "/caf%C3%A9": true,

		"/pub": false, "/pubx": false, "/pub-secret": false, "/pub.": false, "/Pub/x": false, "/PUB/x": false, "/health/": false, "/healthx": false,
		"/Health": false, "/deep/x": false, "/deep/er": false, "/": false, "*": false, "": false,
	} {
		if got := isPublic(t, p, target); got != want {
			t.Errorf("%q is public: %v", target, got)
		}
	}
}

// Each of these is the admin page to some server behind us, or looks like a
// public path to a matcher that is not careful.
func TestPublicPathsAreNotBypassed(t *testing.T) {
	p := mustPublic(t, "/public/*", "/health")
	everything := mustPublic(t, "/*")
	for name, targets := range map[string][]string{
		"the query":          {"/admin?x=/public/", "/admin?/public/a.png", "/?/health"},
		"a fragment":         {"/admin#/public/x", "/admin%23/public/x", "/public/%23", "/public/#x", "/public/%2523"},
		"dot segments":       {"/public/../admin", "/public/%2e%2e/admin", "/public/.%2e/admin", "/public/%2E./admin", "/public/..", "/public/.", "/public/./x", "/public/x/../../admin"},
		"encoded slashes":    {"/public/..%2fadmin", "/public%2f..%2fadmin", "/public%2f%2e%2e%2fadmin", "/public%2Fx", "/public/%2f", "/public/a%2Fb"},
		"encoded twice":      {"/public/%252e%252e/admin", "/public/%252e%252e%252fadmin", "/public/%252f", "/public/%25%32%65%2e/admin", "/public/%25zz/%252e%252e/admin", "/public/%25252e%25252e/x", "/public/%252525252525"},
		"parameters":         {"/public/..;/admin", "/public/..;x/admin", "/public/;/admin", "/public/x;y", "/public/%3b", "/public/%253b", "/health;x"},
		"empty segments":     {"//x/public/y", "///x/public/y", "//x/health", "//admin", "/public//../admin", "/public//x", "//public/x", "/public//"},
		"backslashes":        {`/public\..\admin`, `/public/\x`, "/public%5c..%5cadmin", "/public/%5c..%5cadmin", "/public/..%5Cadmin", "/public/%255c"},
		"NUL and controls":   {"/admin%00", "/public/%00", "/public/x%00/../admin", "/public/%2500", "/public/%09", "/public/%0a", "/public/%7f"},
		"overlong encodings": {"/admin%c0%af", "/public/..%c0%afadmin", "/public/%c0%ae%c0%ae/admin", "/public/%ff"},
		"lookalikes":         {"/public/%EF%BC%8E%EF%BC%8E/admin", "/public/\uff0e\uff0e/admin", "/public/\uff0e./admin", "/public/\u2025/admin", "/public/\u2024\u2024/admin", "/public/.\u200b./admin", "/public/..\uff0fadmin", "/public\u2215..\u2215admin", "/public/..\uff3cadmin", "/public/..\u00a5admin", "/public/x\uff1by", "/public/\u037e", "/public/\uff05252e\uff05252e/admin", "/public/\uff052e", "/public/\uff03", "/public/%25ef%25bc%258e."},
		"broken escapes":     {"/public/%zz", "/public/%", "/public/%u002e"},
	} {
		for _, target := range targets {
			if isPublic(t, p, target) {
				t.Errorf("%s: %q is public", name, target)
			}
			u, err := url.ParseRequestURI(target)
			if name != "the query" && err == nil && everything.Match(u.Path, u.EscapedPath()) {
				t.Errorf("%s: %q is public where everything is", name, target)
			}
		}
	}
}

func TestPublicPathsZeroValue(t *testing.T) {
	var none PublicPaths
	for _, target := range []string{"", "/", "/x"} {
		if none.Match(target, target) {
			t.Errorf("%q is public by default", target)
		}
	}
}

func TestPublicPathsBadPatterns(t *testing.T) {
	for pattern, hint := range map[string]string{
		"":                        "write /images/",
		"images":                  "write /images/",
		"*":                       "write /images/",
		"*.png":                   "write /images/",
		"/pub*":                   "write /pub for that path alone or /pub/* for all below it",
		"/pub/**":                 "write /images/*",
		"/*/x":                    "only at the end",
		"/a*/*":                   "* stands only",
		"/pub/*.png":              "only at the end",
		"/a%20b":                  "decoded",
		"/x?y":                    "query",
		"/x#y":                    "plainly",
		"/x//y":                   "plainly",
		"//*":                     "plainly",
		"/x//*":                   "plainly",
		"/x/../y":                 "plainly",
		"/x/./*":                  "plainly",
		"/x;y":                    "plainly",
		`/x\y`:                    "plainly",
		"/x\x00":                  "plainly",
		"https://x/y":             "begins with a slash",
		"/pub/x/y*":               "/pub/x/y/*",
		"/.":                      "plainly",
		"/\xff":                   "plainly",
		"/\uff0e\uff0e/x":         "a character that a server may take for one of these",
		"/pub/\u2025/*":           "plainly",
		"/pub\uff0fx":             "plainly",
		"/pub/\u200b../x":         "plainly",
		"/pub/.\u200b/x":          "plainly",
		"/pub/x\uff1b":            "plainly",
		"/pub/\uff052e\uff052e/*": "plainly",
	} {
		if _, err := ParsePublicPaths([]string{"/fine", pattern}); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: %v; want a hint with %q", pattern, err, hint)
		}
	}
	mustPublic(t, "/\u8d44\u6599\uff081\uff09/*", "/caf\u00c9", "/*", "/", "/favicon.ico", "/.well-known/*", "/a b", "/...")
}

func TestPublicPathsMatchDoesNotAllocate(t *testing.T) {
	p := mustPublic(t, "/health", "/pub/*")
	for _, path := range []string{"/pub/x.png", "/health", "/app/x"} {
		if allocs := testing.AllocsPerRun(100, func() { p.Match(path, path) }); allocs > 0 {
			t.Errorf("%s: %v allocations", path, allocs)
		}
	}
}

// Patterns are kept as they were written, and read once: what is no pattern is no
// record either.
func TestPublicPathsAsJSON(t *testing.T) {
	p, err := ParsePublicPaths([]string{"/api/*", "/logo.png"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil || string(text) != `["/api/*","/logo.png"]` {
		t.Fatal(string(text), err)
	}
	var again PublicPaths
	if err := json.Unmarshal(text, &again); err != nil || again.IsZero() || !again.Match("/api/x", "/api/x") || again.Match("/", "/") {
		t.Error(again, err)
	}
	for _, bad := range []string{`["api"]`, `"/api/*"`, `["/a//b"]`} {
		if err := json.Unmarshal([]byte(bad), &again); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

func TestHasDots(t *testing.T) {
	for path, want := range map[string]bool{
		"/a/../b": true, "/..": true, "/./a": true, "/%2e%2e/": true, "/a/.%2E/b": true, "/%2E./": true, "/a/%252e%252E/b": true, `/a/..\b`: true, "/a/..%5Cb": true, "/a/..;x/b": true, "/a%2f..%2fb": true, "cb/../x": true,
		"": false, "/": false, "/a..b/.well-known/...": false, "/a.b/": false, "/%2ewell-known": false,
	} {
		if got := HasDots(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
