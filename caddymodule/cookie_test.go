package caddymodule

import (
	"strings"
	"testing"
)

// Two instances under one domain, or on one host, do not take each other's cookies.
func TestCookieName(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("cookie gatehouse-intern", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse *@example.com {
		unauthenticated 401
	}
	reverse_proxy {app}
}`)
	resp := c.fetch(c.client(true), "POST", "/_gatehouse/login", strings.NewReader("email=alice@example.com"), "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin")
	if set := strings.Join(resp.Header["Set-Cookie"], "\n"); !strings.HasPrefix(set, "__Host-gatehouse-intern-flow=") {
		t.Errorf("the flow cookie: %q", set)
	}
	token := c.signInAt("bob@example.com", "app.example.com").Token
	others := "; __Host-gatehouse=x; __Host-gatehouse-flow=y; gatehouse-other=z; app=1"
	got := readEcho(t, c.raw("GET / HTTP/1.1", "Host: {host}", "Cookie: __Host-gatehouse-intern="+token+others, "Connection: close", "", ""))
	if got.Header.Get("Remote-User") != "bob@example.com" || got.Header.Get("Cookie") != "app=1" {
		t.Errorf("the app saw %v", got.Header)
	}
	if resp := c.raw("GET / HTTP/1.1", "Host: {host}", "Cookie: __Host-gatehouse="+token, "Connection: close", "", ""); resp.StatusCode != 401 {
		t.Errorf("the cookie of another instance: %d", resp.StatusCode)
	}
}

// After another name was configured, browsers go on sending what they have under the
// former one. It is still good, so no app may read it.
func TestCookieNameChanges(t *testing.T) {
	c := newGatedCaddy(t, nil)
	site := `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse *@example.com {
		public /open
		unauthenticated 401
	}
	reverse_proxy {app}
}`
	seen := func(path string, cookies string) string {
		t.Helper()
		return readEcho(t, c.raw("GET "+path+" HTTP/1.1", "Host: {host}", "Cookie: "+cookies, "Connection: close", "", "")).Header.Get("Cookie")
	}
	c.run("cookie intern", "", site)
	in := c.signInAt("alice@example.com", "app.example.com")
	former := in.Token
	begun := c.fetch(c.client(true), "POST", "/_gatehouse/login", strings.NewReader("email=alice@example.com"), "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin")
	flow, _, _ := strings.Cut(strings.TrimPrefix(begun.Header.Get("Set-Cookie"), "__Host-intern-flow="), ";")
	if flow == "" || flow == begun.Header.Get("Set-Cookie") {
		t.Fatalf("no flow cookie: %v", begun.Header)
	}
	for _, line := range []string{"cookie gatehouse-b", "cookie wiki", ""} {
		c.run(line, "", site)
		name := "__Host-gatehouse"
		if _, word, ok := strings.Cut(line, " "); ok {
			name = "__Host-" + word
		}
		current := c.signInAt("bob@example.com", "app.example.com").Token
		for _, old := range []string{"intern", "__Host-intern", "__Secure-intern", "elsewhere"} {
			if got := seen("/", "a=1; "+old+"="+former+"; b=2; "+name+"="+current); got != "a=1; b=2" {
				t.Errorf("%q: the app saw %q", line, got)
			}
			if got := seen("/open", old+"= "+former+" ;a=eyJhbGciOiJFZERTQSIsImtpZCI6IngifQ.e30.x"); got != "a=eyJhbGciOiJFZERTQSIsImtpZCI6IngifQ.e30.x" {
				t.Errorf("%q: the app saw %q on a public path", line, got)
			}
		}
	}
	current := c.signInAt("bob@example.com", "app.example.com").Token
	// So are those of browsers under way and of known ones; what only begins so is the
	// app's.
	for _, old := range []string{
		"__Host-intern-flow=" + flow, "intern-flow= " + flow + " ", "elsewhere=" + flow,
		"__Host-intern-device=" + in.DeviceCookie, "intern-device=\t" + in.DeviceCookie, "elsewhere=" + in.DeviceCookie,
	} {
		for _, path := range []string{"/", "/open"} {
			if got := seen(path, "a=1; "+old+"; b=ghd_2; __Host-gatehouse="+current); got != "a=1; b=ghd_2" {
				t.Errorf("%s: the app saw %q", path, got)
			}
		}
	}
	for _, theirs := range []string{"a=ghf_" + strings.Repeat("x", 20), "a=x" + flow, "a=" + in.DeviceCookie + "x"} {
		if got := seen("/open", theirs); got != theirs {
			t.Errorf("of %q the app saw %q", theirs, got)
		}
	}
	// Signing out ends it under whatever name it comes along.
	resp := c.raw("POST /_gatehouse/logout HTTP/1.1", "Host: {host}", "Cookie: __Host-gatehouse="+current+"; __Host-intern="+former, "Sec-Fetch-Site: same-origin", "Content-Length: 0", "Connection: close", "", "")
	if resp.StatusCode != 303 {
		t.Fatalf("signing out: %d", resp.StatusCode)
	}
	if resp := c.raw("GET / HTTP/1.1", "Host: {host}", "Cookie: __Host-gatehouse="+former, "Connection: close", "", ""); resp.StatusCode != 401 {
		t.Errorf("the former session after signing out: %d", resp.StatusCode)
	}
}
