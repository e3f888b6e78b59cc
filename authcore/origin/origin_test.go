package origin

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

// mustOrigin is for origins that tests take as given.
func mustOrigin(t testing.TB, s string) Origin {
	t.Helper()
	o, err := Parse(s)
	if err != nil {
		t.Fatalf("ParseOrigin(%q): %v", s, err)
	}
	return o
}

func TestParseOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"https://app.test":               "https://app.test",
		"https://app.test/":              "https://app.test",
		"HTTPS://APP.test.":              "https://app.test",
		"https://app.test:443":           "https://app.test",
		"http://app.test:80":             "http://app.test",
		"http://app.test:443":            "http://app.test:443",
		"https://app.test.:8443":         "https://app.test:8443",
		"http://localhost:8080":          "http://localhost:8080",
		"https://bücher.test:8443":       "https://xn--bcher-kva.test:8443",
		"https://BÜCHER.test":            "https://xn--bcher-kva.test",
		"https://my_service.test":        "https://my_service.test",
		"http://127.0.0.1:3000":          "http://127.0.0.1:3000",
		"https://[2001:DB8:0::1]":        "https://[2001:db8::1]",
		"https://[2001:db8::1]:443":      "https://[2001:db8::1]",
		"https://[2001:db8:0:0::1]:8443": "https://[2001:db8::1]:8443",
	} {
		if got, err := Parse(in); err != nil || got.String() != want {
			t.Errorf("ParseOrigin(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestParseOriginRefuses(t *testing.T) {
	for _, in := range []string{
		"", "app.test", "//app.test", "https:app.test", "https:/app.test", "https:///app.test", "https://", "https:///",
		"ftp://app.test", "javascript://app.test", " https://app.test", "https://app.test ", "https://app.test//",
		"https://app.test/x", "https://app.test?x", "https://app.test#x", `https://app.test\`, "https://user@app.test",
		"https://user:pw@app.test", "https://*.test", "https://app.test,https://b.test", "null",
		"https://bücher.test:", "https://bücher.test:x", "https://bü cher.test", "https://xn--ü.test", "https://\xff.test",
	} {
		if got, err := Parse(in); err == nil || !got.IsZero() {
			t.Errorf("ParseOrigin(%q) = %q; want an error", in, got)
		}
	}
}

func TestParseOriginSaysWhatToWrite(t *testing.T) {
	for in, want := range map[string]string{
		"app.test":             "begins with https://",
		"https://app.test/x":   "without path",
		"https://a@app.test":   "without path, query or user name",
		"https://app.test:x":   "port",
		"https://app test":     "not a host name",
		"https://bü cher.test": "not a host name",
	} {
		if _, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseOrigin(%q): %v; want %q in it", in, err, want)
		}
	}
}

func TestNewOriginRefusesOddHosts(t *testing.T) {
	for _, host := range []string{
		"", ".", "..", ":", ":443", "app.test:", "app.test:0", "app.test:65536", "app.test:99999", "app.test:+80", "app.test:080",
		"app.test:8 0", "app.test:evil", "app.test:1:2", "app.test:443:443", "admin.test@evil", "user:pw@app.test", "app.test/x",
		"app.test?x", "app.test#x", `app.test\x`, " app.test", "app.test ", "app .test", "app\x00.test", "app\t.test", "app.test\r\n",
		"app..test", ".app.test", "app.test..", "-app.test", "app-.test", "a%2etest", "app.test,evil.test", "ａpp.test", "\xff.test",
		"127.1", "2130706433", "0x7f.0.0.1", "127.0.0.01", "256.0.0.1", "1.2.3.4.5", "a.0x", "127.0.0.1.:80.",
		"::1", "[::1", "::1]", "[]", "[::1]x", "[::1]]", "[[::1]]", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[127.0.0.1]", "[::1]:", "[v1.x]", "[::1].test",
		strings.Repeat("a", 64) + ".test", strings.Repeat("a.", 127) + "test", strings.Repeat("a", 1<<20),
	} {
		if got, err := New("https", host); err == nil || !got.IsZero() {
			t.Errorf("NewOrigin(%.80q) = %q; want an error", host, got)
		}
	}
	for _, scheme := range []string{"", "ftp", "HTTPS", "javascript", "https:"} {
		if got, err := New(scheme, "app.test"); err == nil {
			t.Errorf("NewOrigin with scheme %q = %q; want an error", scheme, got)
		}
	}
}

func TestOriginParts(t *testing.T) {
	for _, c := range []struct {
		origin, host, hostname, port string
		secure, local                bool
	}{
		{"https://app.test", "app.test", "app.test", "443", true, false},
		{"http://app.test:8080", "app.test:8080", "app.test", "8080", false, false},
		{"http://localhost", "localhost", "localhost", "80", false, true},
		{"https://a.b.localhost:1", "a.b.localhost:1", "a.b.localhost", "1", true, true},
		{"http://127.9.9.9:80", "127.9.9.9", "127.9.9.9", "80", false, true},
		{"http://[::1]:8080", "[::1]:8080", "::1", "8080", false, true},
		{"http://[::2]", "[::2]", "::2", "80", false, false},
		{"http://[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1", "80", false, false},
		{"http://128.0.0.1", "128.0.0.1", "128.0.0.1", "80", false, false},
		{"http://notlocalhost", "notlocalhost", "notlocalhost", "80", false, false},
		{"http://localhost.evil.test", "localhost.evil.test", "localhost.evil.test", "80", false, false},
		{"http://127.0.0.1.evil.test", "127.0.0.1.evil.test", "127.0.0.1.evil.test", "80", false, false},
	} {
		o := mustOrigin(t, c.origin)
		if o.Host() != c.host || o.Hostname() != c.hostname || o.Port() != c.port || o.Secure() != c.secure || o.IsLocalhost() != c.local {
			t.Errorf("%s: host %s, name %s, port %s, secure %v, localhost %v", o, o.Host(), o.Hostname(), o.Port(), o.Secure(), o.IsLocalhost())
		}
		if o.Scheme()+"://" != c.origin[:len(o.Scheme())+3] {
			t.Errorf("%s: scheme %s", o, o.Scheme())
		}
	}
}

func TestOriginUnderAndAudience(t *testing.T) {
	for _, c := range []struct {
		origin, domain string
		under          bool
		audience       string
	}{
		{"https://example.test", "example.test", true, "example.test"},
		{"https://app.example.test:8443", "example.test", true, "example.test"},
		{"https://a.b.example.test", "example.test", true, "example.test"},
		{"https://evilexample.test", "example.test", false, "https://evilexample.test"},
		{"https://example.test.evil.test", "example.test", false, "https://example.test.evil.test"},
		{"https://example.test", "app.example.test", false, "https://example.test"},
		{"https://app.test:8443", "", false, "https://app.test:8443"},
		{"http://localhost:8080", "", false, "http://localhost"},
		{"http://app.localhost:8080", "example.test", false, "http://app.localhost"},
		{"http://[::1]:8080", "", false, "http://[::1]"},
		{"http://127.0.0.1:8080", "", false, "http://127.0.0.1"},
	} {
		o := mustOrigin(t, c.origin)
		if got := o.Under(c.domain); got != c.under {
			t.Errorf("%s under %q: %v", o, c.domain, got)
		}
		if got := o.Audience(c.domain); got != c.audience {
			t.Errorf("%s with domain %q: audience %q, want %q", o, c.domain, got, c.audience)
		}
	}
}

// Every request makes its origin, looks it up and may ask these.
func TestNewOriginDoesNotAllocate(t *testing.T) {
	for _, host := range []string{"app.example.test", "app.example.test:8443", "localhost:8080", "[2001:db8::1]:8443", "127.0.0.1"} {
		known := map[Origin]bool{mustOrigin(t, "https://"+host): true}
		allocs := testing.AllocsPerRun(100, func() {
			o, err := New("https", host)
			if err != nil || !known[o] || o.Under("evil.test") {
				t.Error("not the same origin")
			}
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations", host, allocs)
		}
	}
}

func TestOriginAsText(t *testing.T) {
	type record struct{ A, B Origin }
	want := record{A: mustOrigin(t, "https://app.test:8443")}
	stored, _ := json.Marshal(want)
	var back record
	if err := json.Unmarshal(stored, &back); err != nil || back != want {
		t.Errorf("%s became %+v, %v", stored, back, err)
	}
	if err := json.Unmarshal([]byte(`{"A":"https://app.test/x"}`), &back); err == nil {
		t.Error("a URL was read as an origin")
	}
}

func FuzzNewOrigin(f *testing.F) {
	for _, seed := range []string{"app.test", "app.test:8443", "[::1]:80", "127.0.0.1", "a@b", "APP.test.", "[2001:DB8::0:1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		o, err := New("https", host)
		if err != nil {
			return
		}
		if again, err := Parse(o.String()); err != nil || again != o {
			t.Fatalf("%q became %q, which became %q, %v", host, o, again, err)
		}
		if strings.ContainsAny(o.Host(), "@/\\?# %") || strings.ContainsFunc(o.Host(), ascii.IsControl) || o.Host() != strings.ToLower(o.Host()) {
			t.Fatalf("%q became %q", host, o)
		}
	})
}
