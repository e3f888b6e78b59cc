package paths

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// TestPublicPaths: a public path is matched by the expression it comes from,
// with whatever follows.
func TestPublicPaths(t *testing.T) {
	for expression, want := range map[string]string{
		"^/api([/?].*)?$": "/api /api/*", "^/api/.*$": "/api/*", "^/api": "/api /api/*", "^/(a|b)/": "/a/* /b/*", `^/x\.html.*`: "/x.html /x.html/*",
		"^/v[12]/": "/v1/* /v2/*", "^/api(/.*)?$": "/api/*", "^/health$": "", "/api": "", "": "", "^/": "", "^/.*": "", "(?i)^/api": "", "^/a.b/": "", "^/a+": "",
		"^/a/?$": "", "^(/a|/b)$": "", "^/a$|^/b": "", "^/a;x": "", "^/a/../b": "", `^/a%2f`: "", "^/[a-z]": "", "^/a/{x}": "", "^/a b": "", "^/*": "", "^/x{2}/": "/xx/*", "(": "",
	} {
		public, _ := Public(expression, true)
		if got := strings.Join(public, " "); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
		re, err := regexp.Compile(expression)
		for _, path := range public {
			for _, tail := range []string{"", "?x", "?x=/y"} {
				for _, sample := range origin.Samples("", path, "some/thing") {
					if err != nil || !re.MatchString(sample+tail) {
						t.Errorf("%s does not match %s", expression, sample+tail)
					}
				}
			}
		}
	}
	if public, _ := Public("^/health$", false); !slices.Equal(public, []string{"/health"}) {
		t.Errorf("an expression that sees no query: %v", public)
	}
	for expression, want := range map[string]bool{
		"^/pub": false, "^/pub/": true, "^/pub([/?].*)?$": true, "^/pub(/.*)?$": false, "^/(a/|b)": false, `^/x\.html.*`: false, "^/(a|b)/.*": true,
	} {
		if public, whole := Public(expression, true); whole != want || len(public) == 0 {
			t.Errorf("%s: %v are all of it: %t, want %t", expression, public, whole, want)
		}
	}
	if public, whole := Public("^/pub(/.*)?$", false); !whole {
		t.Errorf("an expression that sees no query: %v are not all of it", public)
	}
}
