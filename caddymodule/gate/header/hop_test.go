package header

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

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
		CleanConnection(h)
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
		{"beside h2c", func(r *http.Request) { r.Header["Upgrade"] = []string{"h2c", "websocket"} }, true},
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
			r := httptest.NewRequest("GET", "/", nil)
			r.Header = http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}, "Http2-Settings": {"AAMAAABk"}}
			test.change(r)
			if got := CleanUpgrade(r); got != test.webSocket {
				t.Errorf("websocket: %v", got)
			}
			if !test.webSocket && (len(r.Header["Upgrade"]) > 0 || len(r.Header[":protocol"]) > 0) {
				t.Errorf("the app could still switch protocols: %v", r.Header)
			}
			if test.webSocket && r.Method == "GET" && !slices.Equal(r.Header["Upgrade"], []string{"websocket"}) || len(r.Header["Http2-Settings"]) > 0 && r.Method == "GET" {
				t.Errorf("the app could choose another token: %v", r.Header)
			}
		})
	}
}
