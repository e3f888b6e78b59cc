package caddytest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// TestLoad: after each of many reloads the next request, a POST too, and on a
// connection that was kept, is answered by the new configuration.
func TestLoad(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	transport, fresh := new(http.Transport), &http.Transport{DisableKeepAlives: true}
	Keep(t, transport)
	for i := range 100 {
		want := fmt.Sprint("configuration ", i)
		config := fmt.Sprintf(`{"admin": {"disabled": true, "config": {"persist": false}},
			"logging": {"logs": {"default": {"level": "ERROR"}}},
			"apps": {"http": {"grace_period": "5s", "servers": {"s": {"listen": [%q], "automatic_https": {"disable": true},
				"routes": [{"handle": [{"handler": "static_response", "body": %q}]}]}}}}}`, at, want)
		if err := Load([]byte(config)); err != nil {
			t.Fatal(err)
		}
		for _, transport := range []*http.Transport{transport, fresh} {
			response, err := (&http.Client{Transport: transport}).Post("http://"+at+"/", "text/plain", strings.NewReader("x"))
			if err != nil {
				t.Fatalf("%s: %v", want, err)
			}
			got, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if string(got) != want {
				t.Fatalf("%s was answered by %s", want, got)
			}
		}
	}
}
