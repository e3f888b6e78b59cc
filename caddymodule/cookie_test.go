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
