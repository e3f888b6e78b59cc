package e2e

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var returnTos = []string{
	"/x", "/x?y=1#z", "", "https://evil.example/", "//evil.example", `/\evil.example`, `\\evil.example`, "/\t/evil.example",
	"javascript:alert(1)", "data:text/html,x", "/%2f/evil.example", "/..//evil.example", "http:evil.example", "http:///evil.example",
	"/_gatehouse/logout", "/_gatehouse/../_gatehouse/logout", "/%5fgatehouse/logout", "/x/..//evil.example", "/\r\nSet-Cookie: a=b",
	"http://localhost@evil.example/", "http://localhost.evil.example/", "ftp://localhost/", "/{env.HOME}", "?", "#", "/\x00",
}

// After signing in the browser goes to a place of this instance, and never to
// one of our own pages, whatever the address says.
func TestReturnTo(t *testing.T) {
	s := start(t, plan{})
	for _, to := range append(returnTos, s.url+"/ok", s.url+"//evil.example", s.url+"@evil.example/") {
		v, alice := s.visitor(), person("alice")
		v.post("/_gatehouse/login", "email", alice, "return_to", to).must(t, 303)
		a := v.post("/_gatehouse/code", "code", mails.NextTo(t, alice).Code(t)).must(t, 303)
		staysHere(t, s.url, to, a.Header.Get("Location"))
	}
}

var buttonLink = regexp.MustCompile(`<a class="button" href="([^"]*)"`)

// FuzzReturnTo looks at the link that somebody who is signed in is offered.
func FuzzReturnTo(f *testing.F) {
	s := start(f, plan{})
	v := s.visitor()
	v.signIn(person("alice"))
	for _, to := range returnTos {
		f.Add(to)
	}
	f.Fuzz(func(t *testing.T, to string) {
		v := *v
		v.TB = t
		page := v.get("/_gatehouse/login?return_to="+url.QueryEscape(to)).must(t, 200)
		link := buttonLink.FindStringSubmatch(page.body)
		if link == nil {
			t.Fatalf("return_to %q: no way on:\n%s", to, page.body)
		}
		staysHere(t, s.url, to, html.UnescapeString(link[1]))
	})
}

// staysHere reads location as browsers do: they drop tabs and line ends, and
// take a backslash for a slash.
func staysHere(t *testing.T, base, to, location string) {
	t.Helper()
	seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimSpace(location))
	target, err := mustURL(base).Parse(seen)
	if err != nil || target.Scheme+"://"+target.Host != base || target.User != nil {
		t.Errorf("return_to %q leads away, to %q", to, location)
		return
	}
	path, err := url.PathUnescape(target.EscapedPath())
	if err != nil || strings.HasPrefix(path, "/_gatehouse/") {
		t.Errorf("return_to %q leads to one of our own pages, %q", to, location)
	}
}
