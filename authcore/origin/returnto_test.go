package origin

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

// returnToWorld is an instance that protects two origins beside its own.
func returnToWorld(t testing.TB) (own Origin, protects func(Origin) bool) {
	own = mustOrigin(t, "https://app.test")
	others := map[Origin]bool{own: true, mustOrigin(t, "https://wiki.test"): true, mustOrigin(t, "https://app.test:8443"): true}
	return own, func(o Origin) bool { return others[o] }
}

func TestParseReturnToKeeps(t *testing.T) {
	own, protects := returnToWorld(t)
	for in, want := range map[string]string{
		"/":                                    "/",
		"/x":                                   "/x",
		"/x/":                                  "/x/",
		"/x?a=1&b=%2F%2fevil.test&c=//e.t":     "/x?a=1&b=%2F%2fevil.test&c=//e.t",
		"/x?next=https://evil.test/":           "/x?next=https://evil.test/",
		"/x?a=%0d%0a%5c":                       "/x?a=%0d%0a%5c",
		"/x?a=%zz":                             "/x?a=%zz",
		`/x?\`:                                 `/x?\`,
		`/x?a=\b#c\d`:                          `/x?a=\b#c\d`,
		"/x#%.":                                "/x#%.",
		"/x?y#%":                               "/x?y#%",
		"/x#50%&y":                             "/x#50%&y",
		`/x#/\evil.test`:                       `/x#/\evil.test`,
		"/x#/route":                            "/x#/route",
		"/?x":                                  "/?x",
		"/group%2Fproject":                     "/group%2Fproject",
		"/100%25":                              "/100%25",
		"/a//b":                                "/a//b",
		"/proxy/https://x.test":                "/proxy/https://x.test",
		"/x;v=1":                               "/x;v=1",
		"/.well-known/x":                       "/.well-known/x",
		"/...":                                 "/...",
		"/a b?c d":                             "/a%20b?c%20d",
		"/café?q=é":                            "/caf%C3%A9?q=%C3%A9",
		"/\u2028":                              "/%E2%80%A8",
		"/{env.HOME}?{http.request.uri}":       "/{env.HOME}?{http.request.uri}",
		"/_gatehouse/account":                  "/_gatehouse/account",
		"/_gatehouse/account?x":                "/_gatehouse/account?x",
		"/_gatehouses":                         "/_gatehouses",
		"/x/_gatehouse/login":                  "/x/_gatehouse/login",
		"https://app.test":                     "/",
		"https://app.test/x?y#z":               "/x?y#z",
		"https://app.test?y":                   "/?y",
		"https://app.test#z":                   "/#z",
		"HTTPS://APP.test.:443/x":              "/x",
		"https://wiki.test/x?y":                "https://wiki.test/x?y",
		"https://wiki.test":                    "https://wiki.test/",
		"https://app.test:8443/x":              "https://app.test:8443/x",
		"https://ＷＩＫＩ.test/x":                  "https://wiki.test/x",
		"https://wiki.test/_gatehouse/account": "https://wiki.test/_gatehouse/account",
	} {
		r := ParseReturnTo(in, own, protects)
		if got := r.Location(own); got != want {
			t.Errorf("%q leads to %q, want %q", in, got, want)
		}
		if back := ParseReturnTo(r.String(), own, protects); back != r {
			t.Errorf("%q is stored as %q, which leads to %q", in, r, back)
		}
	}
}

func TestParseReturnToRefuses(t *testing.T) {
	own, protects := returnToWorld(t)
	for name, inputs := range map[string][]string{
		"elsewhere": {"", "x", "?x", "#x", "evil.test", "https://evil.test", "https://evil.test/x", "http://app.test/", "http://wiki.test/",
			"https://x.app.test/", "https://app.test.evil.test/", "https://app.test:8444/", "https://evilapp.test", "https://wiki.test:8443/"},
		"another scheme": {"javascript:alert(1)", "javascript://app.test/%0aalert(1)", "data:text/html,x", "ftp://app.test/", "//app.test/x", "file:///etc/passwd", "mailto:a@app.test"},
		"protocol-relative": {"//evil.test", "///evil.test", "////evil.test", `/\evil.test`, `\/evil.test`, `\\evil.test`, `/\/evil.test`,
			"https://app.test//evil.test", `https://app.test/\evil.test`, "https://wiki.test//evil.test", "/%2fevil.test", "/%2Fevil.test", "/%5cevil.test",
			"/%252fevil.test", "/.//evil.test", "/..//evil.test", "/%2e//evil.test", "/x/..//evil.test", "/;//../..//evil.test"},
		"forgiven by browsers": {"https:evil.test", "https:/evil.test", "https:///evil.test", "https:app.test", "https:/app.test/x", "https:///app.test/x",
			`https:\\app.test`, `https:/\evil.test`, "http:/x", "https://", "https:///", "https:", "/\t/evil.test", "/\n/evil.test", "/\r/evil.test",
			"\t//evil.test", " //evil.test", "\x00//evil.test", " /x", "\n/x", " https://app.test/x", "ht\ntps://evil.test", "https://evil.test\n.app.test"},
		"confusing hosts": {"https://app.test@evil.test/", "https://evil.test@app.test/", "https://user:pw@app.test/", "https://app.test:443@evil.test/", `https://evil.test\@app.test/`,
			"https://evil.test\\.app.test/", "https://app.test:", "https://app.test:x/", "https://app%2etest/", "https://[app.test]/", "https://app.test%00.evil.test/",
			"https://evil.test;app.test/", "https://app.test,evil.test/", "https:// app.test/", "https://app.test /x", "https://evil.test#@app.test/", "https://evil.test?@app.test/"},
		"control bytes":  {"/x\x00", "/x\r\nSet-Cookie: a=b", "/x\x7f", "/x%00", "/x%0d%0aSet-Cookie:%20a", "/%09/evil.test", "/x%7f"},
		"backslashes":    {`/x\y`, `/x\?y`, `/x%5c\?y`, `https://app.test\x`, `https://app.test\?x`},
		"dot segments":   {"/.", "/..", "/x/../y", "/x/./y", "/x/%2e%2e/y", "/x/.%2e/y", "/x/%252e%252e/y", "/x/..;/y", "/x/..%2fy", "/x/..%5cy", "/x/.."},
		"broken escapes": {"/%", "/%z", "/%zz", "/x%2", "/x%?y", "/x%2#y"},
		"our own pages": {"/_gatehouse", "/_gatehouse/", "/_gatehouse/login", "/_gatehouse/logout?x", "/_gatehouse/link/abc", "/_gatehouse#x", "/_gatehouse?x",
			"https://app.test/_gatehouse/logout", "https://wiki.test/_gatehouse/logout", "/_GATEHOUSE/logout", "/_Gatehouse/account", "/%5fgatehouse/logout", "/%5Fgatehouse%2flogout",
			"/%255fgatehouse/logout", "/_gatehouse%2flogout", "/_gatehouse%5clogout", "/_gatehouse//logout", "//_gatehouse/logout", "/./_gatehouse/logout", "/x/../_gatehouse/logout",
			"/_gatehouse;x/logout", "/_gatehouse/account/../logout", "/_gatehouse/account%2f..%2flogout", "/_gatehouse/account;x", "/_gatehouse/accounts", "/_gatehouse/%61ccount", "/_gatehouse/ACCOUNT"},
		"too long": {"/" + strings.Repeat("x", 8190), "/" + strings.Repeat("x", 8190) + "?y#z", "/?" + strings.Repeat("é", 1000), "/" + strings.Repeat("%25", 1700), strings.Repeat("/", 1<<20)},
		"too deep": {"/%2525252525"},
	} {
		for _, in := range inputs {
			if r := ParseReturnTo(in, own, protects); r != (ReturnTo{origin: own}) || r.Location(own) != "/" {
				t.Errorf("%s: %.100q leads to %q", name, in, r)
			}
		}
	}
}

func TestReturnToLongestIsKept(t *testing.T) {
	own, _ := returnToWorld(t)
	in := "/" + strings.Repeat("x", MaxReturnTo-len("%2F"))
	if got := ParseReturnTo(in, own, nil).Path(); got != in {
		t.Errorf("8 KiB lead to %q", got)
	}
	var back ReturnTo
	if err := back.UnmarshalText([]byte(own.String() + in)); err != nil || back.Path() != in {
		t.Errorf("out of the store they lead to %q, %v", back, err)
	}
}

// What can't stand loses its fragment, then its query, as little as possible.
func TestReturnToIsShortenedByParts(t *testing.T) {
	own, protects := returnToWorld(t)
	long := strings.Repeat("x", 8000)
	for in, want := range map[string]string{
		"/a?b#" + long:                         "/a?b#" + long,
		"/a?b=" + long + "#" + long:            "/a?b=" + long,
		"/a?b#" + long + long:                  "/a?b",
		"/a?b#c?" + long + long:                "/a?b",
		"/a?b=" + long + long:                  "/a",
		"/a?b=" + long + long + "#c":           "/a",
		"/a?" + strings.Repeat("é", 1000):      "/a",
		"/a?b#" + strings.Repeat("=", 3000):    "/a?b",
		"/a?b#c\td":                            "/a?b",
		"/a?b#c\r\nX: y":                       "/a?b",
		"/a?b\nc#d":                            "/a",
		"/a?\x00":                              "/a",
		"/a?b#\x7f":                            "/a?b",
		"https://wiki.test/a?b#\n":             "https://wiki.test/a?b",
		"https://wiki.test?\n":                 "https://wiki.test/",
		"https://wiki.test/a?b=" + long + long: "https://wiki.test/a",
		"https://wiki.test?" + long + long:     "https://wiki.test/",
		"/" + long + "?" + long:                "/" + long,
	} {
		if got := ParseReturnTo(in, own, protects).Location(own); got != want {
			t.Errorf("%.30q of %d bytes leads to %.60q", in, len(in), got)
		}
	}
	for in, bad := range map[string]string{"/a\n?" + long + long: "a line end", `/a\?` + long + long: "a backslash", "//evil.test?" + long + long: "another host", "/_gatehouse/logout?" + long + long: "our own page"} {
		if got := ParseReturnTo(in, own, protects); got != (ReturnTo{origin: own}) {
			t.Errorf("%s leads to %.60q", bad, got)
		}
	}
}

func TestReturnToLocation(t *testing.T) {
	own, protects := returnToWorld(t)
	wiki := mustOrigin(t, "https://wiki.test")
	r := ParseReturnTo("https://wiki.test/x", own, protects)
	if r.Origin() != wiki || r.Path() != "/x" || r.Location(own) != "https://wiki.test/x" || r.Location(wiki) != "/x" {
		t.Errorf("%q has origin %q, path %q, location %q from here and %q from there", r, r.Origin(), r.Path(), r.Location(own), r.Location(wiki))
	}
	var zero ReturnTo
	if zero.Path() != "/" || zero.Location(own) != "/" || zero.String() != "/" {
		t.Errorf("the zero value leads to %q", zero.Location(own))
	}
}

// What is stored with a challenge may have been allowed by a configuration
// that is no longer in force, or have been changed in the store.
func TestReturnToOutOfTheStore(t *testing.T) {
	own, protects := returnToWorld(t)
	nothing := func(Origin) bool { return false }
	type record struct{ R ReturnTo }
	for _, in := range []string{"/x?y", "https://wiki.test/x"} {
		stored, err := json.Marshal(record{ParseReturnTo(in, own, protects)})
		if err != nil {
			t.Fatal(err)
		}
		var back record
		if err := json.Unmarshal(stored, &back); err != nil || back.R.Recheck(own, protects).Location(own) != in {
			t.Errorf("%q came back as %q, %v", in, back.R, err)
		}
		again := back.R.Recheck(own, nothing).Location(own)
		if strings.HasPrefix(in, "/") && again != in || !strings.HasPrefix(in, "/") && again != "/" {
			t.Errorf("%q leads to %q when nothing else is protected", in, again)
		}
	}
	for _, stored := range []string{"", "//evil.test", "https://app.test//evil.test", "javascript:x", "https://app.test/_gatehouse/logout"} {
		r := ReturnTo{own, "/x"}
		if err := r.UnmarshalText([]byte(stored)); err != nil || r != (ReturnTo{}) {
			t.Errorf("%q came out of the store as %q, %v", stored, r, err)
		}
	}
	evil := ReturnTo{}
	_ = evil.UnmarshalText([]byte("https://evil.test/x"))
	if got := evil.Recheck(own, protects).Location(own); got != "/" {
		t.Errorf("another origin in the store leads to %q", got)
	}
	if got := evil.Recheck(own, nil).Location(own); got != "/" {
		t.Errorf("another origin in the store leads to %q", got)
	}
}

// FuzzParseReturnTo holds what the type promises: whatever a visitor sends,
// both Go and a browser that follow the Location stay where we protect.
func FuzzParseReturnTo(f *testing.F) {
	for _, seed := range []string{"/x?y#z", "//evil.test", `/\evil.test`, "https://app.test//evil.test", "https://wiki.test/x", "/%2f/evil.test", "/..//evil.test",
		"https:evil.test", "\t//evil.test", "/_gatehouse/logout", "/%5fgatehouse/logout", "https://app.test@evil.test", "/é x", "/_gatehouse/account", `/x?\`, `/x#\%`, "/x?\n", `https://wiki.test?/\evil.test`} {
		f.Add(seed)
	}
	own, protects := returnToWorld(f)
	f.Fuzz(func(t *testing.T, in string) {
		r := ParseReturnTo(in, own, protects)
		for _, from := range []Origin{own, mustOrigin(t, "https://wiki.test")} {
			location := r.Location(from)
			if len(location) > MaxReturnTo+len("https://wiki.test") || !ascii.Valid(location) || strings.ContainsFunc(location, ascii.IsControl) || strings.Contains(location, " ") {
				t.Fatalf("%q: Location %q", in, location)
			}
			base, _ := url.Parse(from.String() + "/_gatehouse/code")
			target, err := base.Parse(location)
			if err != nil { // Go reads no lone % behind a #, which browsers do
				path, _, _ := strings.Cut(location, "#")
				if target, err = base.Parse(path); err != nil || path == location {
					t.Fatalf("%q: Location %q: %v", in, location, err)
				}
			}
			if got := mustOrigin(t, target.Scheme+"://"+target.Host); got != r.Origin() || !protects(got) {
				t.Fatalf("%q: Go follows %q to %s", in, location, got)
			}
			if strings.HasPrefix(target.Path, "/_gatehouse/") && !strings.HasPrefix(target.Path, "/_gatehouse/account") {
				t.Fatalf("%q leads to our own %q", in, target.Path)
			}
			if got := browserOrigin(from, location); got != r.Origin().String() {
				t.Fatalf("%q: a browser follows %q to %s", in, location, got)
			}
		}
		if !strings.HasPrefix(r.Path(), "/") || strings.HasPrefix(r.Path(), "//") {
			t.Fatalf("%q: path %q", in, r.Path())
		}
		if back := ParseReturnTo(r.String(), own, protects); back != r {
			t.Fatalf("%q: stored as %q, read as %q", in, r, back)
		}
	})
}

// browserOrigin is a small model of how the URL standard resolves location for
// a page on from: tabs and line ends vanish, spaces and control bytes around
// do, a backslash is a slash, and any number of slashes may follow a scheme.
func browserOrigin(from Origin, location string) string {
	location = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(location)
	end := endOfPath(location)
	location = strings.ReplaceAll(location[:end], `\`, "/") + location[end:]
	location = strings.TrimFunc(location, func(r rune) bool { return r <= ' ' })
	scheme, rest, hasScheme := strings.Cut(location, ":")
	switch {
	case hasScheme && strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+-.") == "" && scheme != "":
		rest = strings.TrimLeft(rest, "/")
	case strings.HasPrefix(location, "//"):
		scheme, rest = from.Scheme(), strings.TrimLeft(location, "/")
	default:
		return from.String()
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	return strings.ToLower(scheme) + "://" + strings.ToLower(rest)
}
