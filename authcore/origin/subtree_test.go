package origin

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// A gate for /admin/* let /admin;x/y and /x/..%5cadmin/y pass, which Tomcat and
// IIS serve as /admin/y.
func TestReadings(t *testing.T) {
	for path, want := range map[string]string{
		"/admin;x/y": "/admin/y", "/x/..;/admin/y": "/x/../admin/y", "/x/..\\admin\\y": "/x/../admin/y",
		"/%61dmin/y": "/admin/y", "/%2561dmin/y": "/admin/y", "/admin%3bx/y": "/admin/y", "/secret.html\x00.png": "/secret.html",
		"/%zz%61dmin": "/%zzadmin",
		"//x/admin/y": "/admin/y", "/admin&x": "/admin", "/x&q=/admin/y": "/admin/y",
		"/index.php/admin/y": "/admin/y", "/(S(x))/admin/y": "/admin/y", "/admin#/y": "/admin", "/%u0061dmin/y": "/admin/y",
	} {
		if got, all := Readings(path); !all || !slices.Contains(got, want) {
			t.Errorf("%q: %q, want %q among them", path, got, want)
		}
	}
	for _, plain := range []string{"", "/", "/admin/y", "/a.b/c-d_e~f", "/a//b", "/x.png", "/index.php"} {
		if got, all := Readings(plain); got != nil || !all {
			t.Errorf("%q: %q", plain, got)
		}
	}
}

// A stranger's path of 16 KB in which thousands of others may begin took 0.4 s to
// read: what has more of them than anybody needs counts as guarded, unread.
func TestPathsOfManyReadings(t *testing.T) {
	s := ParseSubtree("/admin/x")
	for _, unit := range []string{"/x.php", "/.php", "/&q=", "&q=/", "/a/x.php", "&a=b", "/../x.php", "%26q=/"} {
		path := "/x" + strings.Repeat(unit, 16_000/len(unit))
		if readings, all := Readings(path); all || readings != nil {
			t.Errorf("%s and so on: %d readings", unit, len(readings))
		}
		if !s.Holds(path) {
			t.Errorf("%s and so on is not guarded", unit)
		}
		short := "/x" + strings.Repeat(unit, maxOthers/2-1)
		if readings, all := Readings(short); !all || len(readings) > maxDecodings*(4+2*maxOthers) {
			t.Errorf("%q: %d readings, all %v", short, len(readings), all)
		}
		if s.Holds(short) {
			t.Errorf("%q is guarded", short)
		}
	}
}

// spellings of /admin or something below it, as sent, that some server serves as
// that.
var spellings = []string{
	"/admin", "/admin/", "/admin/x", "/ADMIN", "/aDmIn/X", "//admin", "///admin//x", "/./admin", "/.//./admin/.", "/%61dmin", "/admin%2fx", "/%2fadmin", "/admin%2F",
	// Going up, by whoever resolves it and whoever does not.
	"/x/../admin", "/x/%2e%2e/admin", "/x/..%2fadmin", "/admin/../x", "/admin/..", "/x//../admin", "/x/.../admin", "/../admin", "/x/..;/admin", "/x/..;v=1/admin", "/x/..%20/admin", "/x/..%00/admin",
	// Java containers.
	"/admin;", "/admin;x", "/admin;x=1/y", "/;/admin", "/;x/admin", "/admin;/x", "/admin%3bx", "/.;/admin", "/%3b/admin",
	// Windows, IIS and ASP.NET.
	`/admin\x`, `/\admin`, "/%5cadmin", "/x%5c..%5cadmin", "/admin%5c", "/admin.", "/admin.../x", "/admin%20", "/admin%20.%20/x", "/admin::$DATA", "/admin:$i30:$INDEX_ALLOCATION/x",
	"/%u0061dmin", "/admin%u002fx", "/x/%u002e%u002e/admin", "/(S(abc))/admin", "/(A(x)S(y))/admin/x", "/%EF%BC%8Fadmin", "/%EF%BD%81dmin", "/x/..%EF%BC%BCadmin", "/%E2%88%95admin",
	// PHP, CGI, C.
	"/index.php/admin", "/public/index.php/admin", "/a/b/index.php/admin/x", "/public/x.php;v=1/admin", "/public/index.php/x/index.php/admin", "/index.php/admin/x", "/INDEX.PHP//admin", "/x.cgi/admin", "/admin.php", "/admin.php/x", "/admin%00", "/admin%00.png", "/admin%00/x", "/%00/admin", "/%00admin", "/ad%00min/x", "/x/.%00./admin", "/%2500admin",
	// Formats of Rails, Spring and others.
	"/admin.json", "/admin.x/y", "/admin.1",
	// The first segment taken for a host, as where apps parse the target as a URL.
	"//x/admin", "///x/admin", "//x//admin/y", "//u:p@x:1/admin", "//[::1]/admin", "//x;a/admin", `/\x/admin`, "/%5cx/admin", "/%2fx/admin", "//x/y/../admin", "//x.example.com/ADMIN", "/%252fx/admin",
	// A path that a rewrite puts into a query.
	"/admin&x", "/admin%26x=1", "/admin%26/users", "/admin&", "/admin+", "/+admin", "/admin+&x", "/x&q=/admin", "/x&a=b&q=/admin/y", "/x%26q%3d/admin", "/x&q=%252fadmin",
	// Encoded once more, and again.
	"/%2561dmin", "/%252fadmin", "/admin%252fx", "/admin%253bx", "/x/%252e%252e/admin", "/%25252e/admin", "/%2525255c%2525255cadmin", "/%252525252525252561dmin",
	// Controls, blanks, and what is no UTF-8.
	"/admin%0a", "/admin%0d%0a", "/admin%09/x", "/%09admin", "/%20admin", "/ad%09min", "/admin%7f", "/admin%a0", "/admin%85", "/admin%c2%a0", "/admin%e2%80%8b", "/%c0%afadmin", "/admin%c0%afx", "/x/%c0%ae%c0%ae/admin",
	"/%e0%80%afadmin", "/%f0%80%80%afadmin", "/%c1%a1dmin", "/adm%c4%b1n", "/ADM%c4%b0N", "/admin%ff",
	"/x/%E2%80%A5/admin", "/x/%E2%80%A4%E2%80%A4/admin", "/x/..%C2%A5admin", "/admin%EF%BC%9Bx", "/admin%CD%BEx", "/%EF%BC%8561dmin", "/%EF%B9%AA61dmin",
	"/admin%23", "/admin%23/x", "/admin%3fx=1", "/admin%253f",
}

func TestSubtree(t *testing.T) {
	for _, top := range []string{"/admin", "/admin/", "/ADMIN", "//admin", "/%61dmin", "/./admin"} {
		s := ParseSubtree(top)
		for _, target := range spellings {
			if !s.Holds(decoded(t, target)) {
				t.Errorf("%s and below does not hold %q", top, target)
			}
		}
		for _, target := range []string{
			"/", "", "*", "/x", "/x/admin", "/adminx", "/administrator", "/admin-x", "/admin_x/y", "/xadmin", "/adm", "/a/dmin", "/admi/n", "/x;/admin", "/x.y/admin",
			"/x/../y", "/x;admin", "/x%2fadmin", "/100%25", "/%25", "/x?y=/admin", "/x%3f/admin", "/.well-known/admin", "/v1.2/x", "/x.php", "//x", "//x/y", "///x", "//x/admin-x", "/x//y/z/admin", "/x&y/admin", "/x&q=/y", "/a+b", "/x+/admin", "/\u00fc/x", "/(x", "/x:admin", "/%e2%80",
		} {
			if s.Holds(decoded(t, target)) {
				t.Errorf("%s and below holds %q", top, target)
			}
		}
	}
	deep := ParseSubtree("/Été/a:b/c.d")
	for target, want := range map[string]bool{
		"/été/a:b/c.d": true, "/ÉTÉ;x//a:b;y/./c.d/e": true, "/x/../été/y/a:b/c.d": true, "/été.json/a:b/c.d": true, "/index.php/été/a:b/c.d": true,
		"/été": false, "/été/a:b": false, "/été/a/c.d": false, "/été/a:b/c": false, "/été/x/a:b/c.d": false, "/ete/a:b/c.d": false,
	} {
		if got := deep.Holds(target); got != want {
			t.Errorf("the deep one holds %q: %v", target, got)
		}
	}
	for path, want := range map[string]bool{"/": true, "": true, "//": true, "/.": true, "/%2f": true, "/x": false} {
		if got := ParseSubtree(path).IsAll(); got != want {
			t.Errorf("%q is all: %v", path, got)
		}
	}
}

func decoded(t *testing.T, target string) string {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return target
	}
	return u.Path
}

func TestSubtreeTakesNoMemory(t *testing.T) {
	s := ParseSubtree("/admin/x")
	for _, path := range []string{"/", "/admin/x/y", "/Admin/X", "/assets/img/logo-2x.png", "/a/../b", "/x;v=1", "/index.php/x", "/" + strings.Repeat("a/", 200)} {
		if n := testing.AllocsPerRun(100, func() { s.Holds(path) }); n > 0 {
			t.Errorf("%q: %v allocations", path, n)
		}
	}
}

// What a subtree holds, it holds in whatever it is wrapped.
func FuzzSubtree(f *testing.F) {
	for _, target := range spellings {
		f.Add(target)
	}
	s := ParseSubtree("/admin")
	f.Fuzz(func(t *testing.T, path string) {
		Readings(path)
		if !s.Holds("/admin/"+path) || !s.Holds("/x/../admin/"+path) || !s.Holds("/index.php//./admin;"+path) {
			t.Errorf("%q is not held", path)
		}
		if once := strings.ReplaceAll(path, "%", "%25"); s.Holds(path) && !s.Holds(once) {
			t.Errorf("%q is held, and not encoded once more", path)
		}
	})
}
