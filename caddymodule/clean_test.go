package caddymodule

import (
	"net/http"
	"strings"
	"testing"
)

// identityHeaders are all headers that an app may take a visitor's identity
// from.
var identityHeaders = []string{
	"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Forwarded-Groups",
	"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username", "X-Auth-Request-Groups",
	"Cf-Access-Authenticated-User-Email", "Cf-Access-Jwt-Assertion", "X-Gatehouse-Assertion",
}

// spellings are the ways to write a header that some app reads as name.
func spellings(name string) []string {
	replaced := func(with string) string { return strings.ReplaceAll(name, "-", with) }
	return []string{
		name, strings.ToLower(name), strings.ToUpper(name), replaced("_"), replaced("."), replaced(""),
		replaced("--"), replaced("-_."), "-" + name, name + "-", "_" + strings.ToLower(name) + "_",
		"!#$%&'*+^`|~" + name, replaced("\xc2\xad"), strings.Replace(name, "-", "_", 1),
	}
}

func TestClaimOfFindsEverySpelling(t *testing.T) {
	for _, name := range identityHeaders {
		for _, spelling := range spellings(name) {
			if claimOf(spelling) != identityClaim {
				t.Errorf("%q would reach the app", spelling)
			}
		}
	}
	for _, name := range []string{"X-Rewrite-URL", "x_original_url", "X.Original.URI", "X-Forwarded-Uri", "X-Forwarded-Prefix"} {
		if claimOf(name) != routeClaim {
			t.Errorf("%q would tell the app another path", name)
		}
	}
	for _, name := range []string{
		"", "-", "Accept", "Cookie", "Content-Type", "Referer", "Remote", "Remote-Users", "Remote-Emai", "X-Forwarded-For", "X-Forwarded-Proto",
		"X-Forwarded-Host", "X-Requested-With", "X-HTTP-Method-Overrides", "Cf-Connecting-IP", "Authorization", "X-Gatehouse-Assertions",
		strings.Repeat("x", 10_000),
	} {
		if claimOf(name) != noClaim {
			t.Errorf("%q is nobody's claim", name)
		}
	}
}

// Every preset's header must be one that requests are cleaned of.
func TestPresetsAreClaims(t *testing.T) {
	for name, fields := range presets {
		for _, f := range fields {
			if claimOf(f.name) != identityClaim || http.CanonicalHeaderKey(f.name) != f.name {
				t.Errorf("preset %s: %s is not removed from requests or not canonical", name, f.name)
			}
		}
	}
}

func TestClaimOfDoesNotAllocate(t *testing.T) {
	names := append([]string{"Accept", "User-Agent", "Cookie", "X-Requested-With"}, identityHeaders...)
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			claimOf(name)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCleanConnection(t *testing.T) {
	for _, test := range []struct {
		connection []string
		want       string
		removed    string
	}{
		{[]string{"keep-alive"}, "keep-alive", ""},
		{[]string{"close, Remote-Email"}, "close", ""},
		{[]string{"close", "REMOTE-EMAIL , x-hop"}, "close", "X-Hop"},
		{[]string{"X-Hop"}, "", "X-Hop"},
		{[]string{"TE, keep-alive"}, "TE, keep-alive", ""},
		{[]string{",, ,"}, "", ""},
	} {
		h := http.Header{"Connection": test.connection, "X-Hop": {"1"}, "X-Stays": {"1"}}
		cleanConnection(h)
		if got := h.Get("Connection"); got != test.want {
			t.Errorf("%q became %q, want %q", test.connection, got, test.want)
		}
		if removed := h["X-Hop"] == nil; removed != (test.removed != "") {
			t.Errorf("%q: X-Hop removed: %v", test.connection, removed)
		}
		if h["X-Stays"] == nil {
			t.Errorf("%q removed a header it does not name", test.connection)
		}
	}
}

func TestCleanUpgrade(t *testing.T) {
	for _, test := range []struct {
		name      string
		change    func(*http.Request)
		webSocket bool
	}{
		{"websocket", func(r *http.Request) {}, true},
		{"in a list", func(r *http.Request) { r.Header["Upgrade"] = []string{"h2c, WebSocket"} }, true},
		{"h2c", func(r *http.Request) { r.Header["Upgrade"] = []string{"h2c"} }, false},
		{"a version", func(r *http.Request) { r.Header["Upgrade"] = []string{"websocket/13"} }, false},
		{"POST", func(r *http.Request) { r.Method = "POST" }, false},
		{"with a body", func(r *http.Request) { r.ContentLength = 5 }, false},
		{"chunked", func(r *http.Request) { r.ContentLength = -1 }, false},
		{"HTTP/1.0", func(r *http.Request) { r.ProtoMinor = 0 }, false},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, false},
		{"no Connection", func(r *http.Request) { delete(r.Header, "Connection") }, false},
		{"CONNECT", func(r *http.Request) {
			r.Method, r.ProtoMajor, r.Header[":protocol"] = "CONNECT", 2, []string{"websocket"}
		}, true},
		{"CONNECT over HTTP/3", func(r *http.Request) { r.Method, r.ProtoMajor, r.Proto = "CONNECT", 3, "websocket" }, true},
		{"CONNECT for UDP", func(r *http.Request) {
			r.Method, r.ProtoMajor, r.Header[":protocol"] = "CONNECT", 2, []string{"connect-udp"}
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := request("GET", "/", "Connection: keep-alive, Upgrade", "Upgrade: websocket", "Http2-Settings: AAMAAABk")
			test.change(r)
			if got := cleanUpgrade(r); got != test.webSocket {
				t.Errorf("websocket: %v", got)
			}
			if !test.webSocket && (len(r.Header["Upgrade"]) > 0 || len(r.Header["Http2-Settings"]) > 0 || len(r.Header[":protocol"]) > 0) {
				t.Errorf("the app could still switch protocols: %v", r.Header)
			}
			if test.webSocket && r.Method == "GET" && r.Header.Get("Upgrade") != "websocket" {
				t.Errorf("the app could choose another token: %v", r.Header)
			}
		})
	}
}
