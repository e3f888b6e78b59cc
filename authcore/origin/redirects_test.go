package origin

import (
	"net/url"
	"strings"
	"testing"
)

func mustCallbacks(t testing.TB, patterns ...string) Callbacks {
	t.Helper()
	c, err := ParseCallbacks(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCallbackPatterns(t *testing.T) {
	patterns := []string{
		"https://app.yoursite.com/*", "https://*.vercel.app/*", "https://exact.example.com/cb",
		"https://team-*.example.org:8443/in/*/out", "https://q.example.com/cb?tenant=*",
	}
	allow := mustCallbacks(t, patterns...)
	for target, want := range map[string]bool{
		"https://app.yoursite.com/":                             true,
		"https://app.yoursite.com/auth/callback?a=b":            true,
		"https://APP.yoursite.com/x":                            true,
		"https://app.yoursite.com:443/x":                        true,
		"https://app.yoursite.com":                              true, // browsers add the slash
		"https://my-app-git-main.vercel.app/x":                  true,
		"https://a.b.vercel.app/x":                              true,
		"https://exact.example.com/cb":                          true,
		"https://exact.example.com/cb?x=1&y=%2F":                true,
		"https://team-red.example.org:8443/in/1/out":            true,
		"https://q.example.com/cb?tenant=a":                     true,
		"http://localhost:3000/auth/callback":                   true,
		"http://localhost/auth/callback":                        true,
		"http://localhost:65535/":                               true,
		"http://app.yoursite.com/x":                             false, // scheme
		"https://app.yoursite.com:8443/x":                       false, // port
		"https://vercel.app/x":                                  false, // the bare domain
		"https://vercel.app.evil.example/":                      false, // suffix trick
		"https://evil.example/x.vercel.app/":                    false, // in the path
		"https://evil.example?x.vercel.app/":                    false, // in the query
		"https://evil.example#x.vercel.app/":                    false, // in the fragment
		"https://a.vercel.app@evil.example/":                    false, // user info
		"https://a.vercel.app:x@evil.example/":                  false,
		"https://evil.example\\.vercel.app/":                    false, // browsers read \ as /
		"https://evil.example%2f.vercel.app/":                   false, // encoded separators
		"https://evil.example%5c.vercel.app/":                   false,
		"https://evil.example%40.vercel.app/":                   false,
		"https://evil.example%23.vercel.app/":                   false,
		"https://evilvercel.app/":                               false,
		"https://a.vercel.app./":                                false, // another origin to browsers
		"https://a.vercel.app.:443/":                            false,
		"https://.vercel.app/":                                  false,
		"https://a_b%00.vercel.app/":                            false,
		"https://exact.example.com/cb/":                         false,
		"https://exact.example.com/cb/../evil":                  false,
		"https://app.yoursite.com/../x":                         false,
		"https://app.yoursite.com/a/%2e%2e/x":                   false,
		"https://app.yoursite.com/a/..;x/y":                     false,
		"https://app.yoursite.com/a%2f..%2fb":                   false,
		"https://app.yoursite.com/a%5cb":                        false,
		"https://app.yoursite.com/%252e%252e/x":                 false,
		"https://app.yoursite.com//evil.example/":               false,
		"https://app.yoursite.com/\r\nX: y":                     false,
		"https://app.yoursite.com/\x00":                         false,
		"https://app.yoursite.com/a b":                          false,
		" https://app.yoursite.com/":                            false,
		"https://app.yoursite.com/\u2215x":                      false,
		"HTTPS://app.yoursite.com/":                             false, // compared exactly
		"https:/app.yoursite.com/":                              false,
		"https:app.yoursite.com/":                               false,
		"//app.yoursite.com/":                                   false,
		"/auth/callback":                                        false,
		"javascript:alert(1)//https://app.yoursite.com":         false,
		"data:text/html,https://app.yoursite.com/":              false,
		"https://q.example.com/cb?other=a":                      false,
		"https://localhost:3000/":                               false,
		"http://127.0.0.1:3000/":                                false,
		"http://[::1]:3000/":                                    false,
		"http://localhost.evil.example/":                        false,
		"http://localhost:3000@evil.example/":                   false,
		"":                                                      false,
		"https://app.yoursite.com/" + strings.Repeat("a", 3000): false,
	} {
		if got := allow.Allows(target); got != want {
			t.Errorf("Allows(%q) = %v", target, got)
		}
	}
	if got := allow.Default(); got != "https://exact.example.com/cb" {
		t.Errorf("the default is the first pattern without *: %q", got)
	}
}

func TestCallbackPatternsThatLetStrangersIn(t *testing.T) {
	for _, pattern := range []string{
		"*", "https://*", "https://*/*", "https://*.com/*", "https://*example.com/*", "https://example.*/*",
		"ftp://example.com/*", "javascript:*", "https://user@example.com/*", "https://example.com", "//example.com/*",
		"https://example.com:8*/x", "https://exam ple.com/*", "https://example.com/a/../*", "https://example.com\\/*", "",
	} {
		if _, err := ParseCallbacks([]string{pattern}); err == nil {
			t.Errorf("ParseCallbacks(%q): no error", pattern)
		}
	}
}

func TestRegisteredRedirects(t *testing.T) {
	var r Redirects
	for _, u := range []string{"https://*.xyz.com/login/verify", "https://app.example.com/authenticate", "http://localhost:8081/authenticate", "https://q.example.com/in?tenant=a"} {
		if err := r.Add(RedirectLogin, u); err != nil {
			t.Fatal(err)
		}
	}
	for target, want := range map[string]bool{
		"https://custom.xyz.com/login/verify":             true,
		"https://custom.xyz.com/login/verify?a=b":         true,
		"https://app.example.com/authenticate":            true,
		"http://localhost:8081/authenticate":              true,
		"https://q.example.com/in?tenant=a":               true,
		"https://q.example.com/in?tenant=b":               false,
		"https://q.example.com/in":                        false,
		"https://xyz.com/login/verify":                    false, // the bare domain
		"https://evilxyz.com/login/verify":                false, // another that ends in the text
		"https://a.b.xyz.com/login/verify":                false, // one label
		"https://custom.xyz.com/login/verify/":            false,
		"https://custom.xyz.com/login":                    false,
		"https://custom.xyz.com/Login/verify":             false,
		"http://custom.xyz.com/login/verify":              false,
		"https://custom.xyz.com:444/login/verify":         false,
		"https://custom.xyz.com@evil.test/login/verify":   false,
		"https://evil.test/.xyz.com/login/verify":         false,
		"https://evil.test\\.xyz.com/login/verify":        false,
		"https://evil.test%2f.xyz.com/login/verify":       false,
		"https://xyz.com.evil.test/login/verify":          false,
		"http://localhost:8082/authenticate":              false,
		"https://custom.xyz.com/x/../login/verify":        false,
		"https://custom.xyz.com/login/verify#x":           false,
		"https://app.example.com/authenticate/../private": false,
	} {
		if got := r.Allows(RedirectLogin, target); got != want {
			t.Errorf("Allows(%q) = %v", target, got)
		}
		if r.Allows(RedirectInvite, target) {
			t.Errorf("%q is not registered for invitations", target)
		}
	}
	if got := r.Default(RedirectLogin); got != "https://app.example.com/authenticate" {
		t.Errorf("default %q", got)
	}
	for _, bad := range []string{"", "app.example.com/x", "https://*.com/x", "https://a.*.com/x", "https://*/x", "https://app.example.com/*", "https://u@app.example.com/x", "mailto:a@example.com"} {
		if err := r.Add(RedirectLogin, bad); err == nil {
			t.Errorf("Add(%q): no error", bad)
		}
	}
	if err := r.Add("else", "https://app.example.com/x"); err == nil {
		t.Error("an unknown use is accepted")
	}
}

// FuzzCallbacks holds what an allow-list is for: whatever is allowed leads a
// browser to the hosts of the patterns and nowhere else.
func FuzzCallbacks(f *testing.F) {
	for _, seed := range []string{"https://a.vercel.app/x", "https://a.vercel.app@evil/", "http://localhost:1/x?y#z", "https://vercel.app\\@evil", "https:///a.vercel.app"} {
		f.Add(seed)
	}
	allow := mustCallbacks(f, "https://app.yoursite.com/in/*", "https://*.vercel.app/*")
	f.Fuzz(func(t *testing.T, raw string) {
		if !allow.Allows(raw) {
			return
		}
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatalf("%q is allowed and not a URL: %v", raw, err)
		}
		host := strings.ToLower(u.Hostname())
		inside := host == "app.yoursite.com" && strings.HasPrefix(u.Path, "/in/") && u.Scheme == "https" ||
			strings.HasSuffix(host, ".vercel.app") && u.Scheme == "https" || host == "localhost" && u.Scheme == "http"
		if !inside || u.User != nil || u.Fragment != "" || strings.ContainsAny(raw, "\\@#\r\n\t ") || strings.Contains(u.Path, "..") && strings.Contains(u.Path, "/../") {
			t.Fatalf("%q is allowed: host %q path %q", raw, host, u.Path)
		}
		if got := WithQuery(raw, "token", "T"); !strings.HasSuffix(got, "token=T") || strings.Count(got, "?") < 1 {
			t.Fatalf("WithQuery(%q) = %q", raw, got)
		}
	})
}
