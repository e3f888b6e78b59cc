package e2e

import (
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// identityHeaders are those of every preset, and what the app must see of a
// person with this address and no name or group.
func identityHeaders(address string) map[string][]string {
	one := []string{address}
	return map[string][]string{
		"Remote-User": one, "Remote-Email": one, "Remote-Name": nil, "Remote-Groups": nil,
		"X-Forwarded-User": one, "X-Forwarded-Email": one, "X-Forwarded-Preferred-Username": nil, "X-Forwarded-Groups": nil,
		"X-Auth-Request-User": one, "X-Auth-Request-Email": one, "X-Auth-Request-Preferred-Username": nil, "X-Auth-Request-Groups": nil,
		"Cf-Access-Authenticated-User-Email": nil, "Cf-Access-Jwt-Assertion": nil,
	}
}

var spellings = []func(string) string{
	func(s string) string { return s },
	strings.ToLower,
	strings.ToUpper,
	func(s string) string { return strings.ReplaceAll(s, "-", "_") },
	func(s string) string { return strings.ReplaceAll(s, "-", ".") },
	func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "~") },
	func(s string) string { return strings.Replace(s, "-", "", 1) },
	func(s string) string { return strings.Replace(s, "-", "--", 1) },
	func(s string) string { return s + "-" },
	func(s string) string { return "'" + s },
	func(s string) string { return strings.Replace(s, "-", "_", 1) },
}

// spoofed are header lines that claim to be root, in every spelling.
func spoofed() (lines []string) {
	for name := range identityHeaders("") {
		for _, spell := range spellings {
			lines = append(lines, spell(name)+": root@example.com")
		}
	}
	slices.Sort(lines)
	return append(lines, "X-Gatehouse-Assertion: forged", "x_gatehouse_assertion: forged")
}

const everyHeader = `gatehouse any {
	public /public/*
	headers remote forwarded auth_request assertion
}
reverse_proxy APP`

// Whatever a client sends under the names of identity headers, the app sees
// what the session says, and nothing where nobody is signed in.
func TestSpoofedIdentity(t *testing.T) {
	s := start(t, plan{site: everyHeader})
	alice := person("alice")
	v := s.visitor()
	v.signIn(alice)
	cookie := "Cookie: gatehouse=" + v.cookie("gatehouse")
	names := make([]string, 0, 20)
	for name := range identityHeaders("") {
		names = append(names, name)
	}
	hopByHop := "Connection: " + strings.ToLower(strings.Join(names, ", ")) + ", X-Gatehouse-Assertion"
	for name, c := range map[string]struct {
		path, who string
		header    []string
	}{
		"signed in, protected":          {"/x", alice, []string{cookie}},
		"signed in, public":             {"/public/x", alice, []string{cookie}},
		"signed in, Connection tokens":  {"/x", alice, []string{cookie, hopByHop}},
		"signed in, spoofed cookie too": {"/x", alice, []string{cookie + "; __Host-gatehouse=forged"}},
		"anonymous, public":             {"/public/x", "", nil},
		"forged cookie, public":         {"/public/x", "", []string{"Cookie: gatehouse=forged"}},
		"anonymous, Connection tokens":  {"/public/x", "", []string{hopByHop}},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.wire()
			w.request("GET "+c.path, "localhost:"+s.port, append(c.header, spoofed()...)...)
			checkIdentity(t, w.answer().must(t, 200).seen(t), c.who)
		})
	}
}

// Trailers come after the gate has decided, when the app is reading the body.
func TestSpoofedTrailers(t *testing.T) {
	s := start(t, plan{site: everyHeader})
	alice := person("alice")
	v := s.visitor()
	v.signIn(alice)
	for path, c := range map[string]struct{ who, cookie string }{
		"/x":        {alice, "Cookie: gatehouse=" + v.cookie("gatehouse")},
		"/public/x": {"", "X-Nothing: here"},
	} {
		for trailers := range slices.Chunk(spoofed(), 20) { // servers take no long trailers
			w := s.wire()
			w.request("POST "+path, "localhost:"+s.port, c.cookie, "Transfer-Encoding: chunked", "Trailer: X-Sum, Remote-User", "TE: trailers")
			_, _ = io.WriteString(w, chunked("hello", append(slices.Clone(trailers), "X-Sum: 42", "Cookie: gatehouse="+v.cookie("gatehouse"), "Authorization: Bearer x")...))
			seen := w.answer().must(t, 200).seen(t)
			checkIdentity(t, seen, c.who)
			if seen.Body != "hello" || seen.Trailer.Get("X-Sum") != "42" {
				t.Errorf("%s: the body or the app's own trailer is gone: %+v", path, seen)
			}
			if len(seen.Trailer["Cookie"])+len(seen.Trailer["Authorization"]) > 0 {
				t.Errorf("%s: the app sees credentials after the body: %+v", path, seen.Trailer)
			}
		}
	}
}

func checkIdentity(t *testing.T, seen seen, who string) {
	t.Helper()
	for name, want := range identityHeaders(who) {
		if who == "" {
			want = nil
		}
		if got := seen.header(name); !slices.Equal(got, want) {
			t.Errorf("%s: the app sees %q, want %q", name, got, want)
		}
	}
	assertion := seen.header("X-Gatehouse-Assertion")
	if who == "" && len(assertion) > 0 || who != "" && (len(assertion) != 1 || strings.Count(assertion[0], ".") != 2) {
		t.Errorf("assertion: the app sees %q", assertion)
	}
}

// Upgrades other than to a WebSocket would be a tunnel past the gate.
func TestForeignUpgrades(t *testing.T) {
	s := start(t, plan{site: everyHeader})
	for token, want := range map[string][]string{"h2c": nil, "TLS/1.0": nil, "foo": nil, "websocket, h2c": {"websocket"}} {
		w := s.wire()
		w.request("GET /public/x", "localhost:"+s.port, "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+token, "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
		if got := w.answer().must(t, 200).seen(t).header("Upgrade"); !slices.Equal(got, want) {
			t.Errorf("Upgrade: %s: the app sees %q, want %q", token, got, want)
		}
	}
}

// The app neither sees our cookies nor can set them, in early hints and
// trailers neither.
func TestUpstreamCookies(t *testing.T) {
	s := start(t, plan{})
	v := s.visitor()
	v.signIn(person("alice"))
	token := v.cookie("gatehouse")
	w := s.wire()
	w.request("GET /echo", "localhost:"+s.port, "Cookie: a=b;gatehouse="+token+"; gatehouse-flow=x ;c=d", "Cookie: GATEHOUSE-DEVICE=y; e=f")
	if got := strings.Join(w.answer().must(t, 200).seen(t).Header["Cookie"], "; "); strings.Contains(strings.ToLower(got), "gatehouse") ||
		!strings.Contains(got, "a=b") || !strings.Contains(got, "c=d") || !strings.Contains(got, "e=f") {
		t.Errorf("the app sees the cookies %q", got)
	}
	w = s.wire()
	w.request("GET /cookies", "localhost:"+s.port, "Cookie: gatehouse="+token, "TE: trailers", "Connection: close")
	var early, theme bool
	for line := range strings.Lines(w.closed()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if strings.EqualFold(name, "Set-Cookie") {
			if strings.Contains(strings.ToLower(value), "gatehouse") {
				t.Errorf("the app has set %s", value)
			}
			early = early || strings.HasPrefix(value, "early=")
			theme = theme || strings.HasPrefix(value, "theme=")
		}
	}
	if !early || !theme {
		t.Errorf("the app's own cookies are gone: early hints %v, answer %v", early, theme)
	}
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}
