package origin

import (
	"testing"
)

func TestSitePatternCovers(t *testing.T) {
	for _, c := range []struct {
		pattern string
		in, out []string
	}{
		{"wiki.example.com",
			[]string{"https://wiki.example.com", "http://wiki.example.com", "https://WIKI.example.com.", "https://wiki.example.com:443"},
			[]string{"https://wiki.example.com:8443", "https://example.com", "https://x.wiki.example.com", "https://wikiXexample.com", "https://wiki.example.com.evil.test"}},
		{"*.apps.example.com",
			[]string{"https://a.apps.example.com", "http://b.apps.example.com"},
			[]string{"https://apps.example.com", "https://a.b.apps.example.com", "https://aapps.example.com", "https://a.apps.example.com:444"}},
		{"https://wiki.example.com:8443",
			[]string{"https://wiki.example.com:8443"},
			[]string{"http://wiki.example.com:8443", "https://wiki.example.com"}},
		{"app.localhost", []string{"http://app.localhost:8080", "http://app.localhost"}, []string{"http://localhost:8080", "http://b.localhost"}},
		{"*.localhost", []string{"http://app.localhost:1"}, []string{"http://localhost"}},
		{"127.0.0.1", []string{"http://127.0.0.1:99"}, []string{"http://127.0.0.2"}},
		{"[2001:db8::1]", []string{"https://[2001:db8::1]"}, []string{"https://[2001:db8::2]", "https://[2001:db8::1]:8443"}},
	} {
		p, err := ParseSitePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range c.in {
			if !p.Covers(mustOrigin(t, o)) {
				t.Errorf("%s does not cover %s", c.pattern, o)
			}
		}
		for _, o := range c.out {
			if p.Covers(mustOrigin(t, o)) {
				t.Errorf("%s covers %s", c.pattern, o)
			}
		}
		if again, err := ParseSitePattern(p.String()); err != nil || again != p {
			t.Errorf("%s prints as %s, which is another pattern: %v", c.pattern, p, err)
		}
		if p.Covers(Origin{}) {
			t.Errorf("%s covers no origin", c.pattern)
		}
	}
	if (SitePattern{}).Covers(mustOrigin(t, "https://app.example.com")) {
		t.Error("the zero pattern covers a site")
	}
}

func TestSitePatternsThatMeanNothing(t *testing.T) {
	for _, s := range []string{
		"", "*", "*.", "*.com", "*.*.example.com", "a.*.example.com", "wiki.example.com/path", "ftp://wiki.example.com",
		"wiki example.com", "user@wiki.example.com", "wiki.example.com:0", "*.10.0.0.1", "*.[::1]", "wiki.*", "https://",
	} {
		if p, err := ParseSitePattern(s); err == nil {
			t.Errorf("%q is read as %s", s, p)
		}
	}
}
