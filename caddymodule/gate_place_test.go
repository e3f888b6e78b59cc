package caddymodule

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Wherever a gate stands, its pages are reached at the path that the browser
// asks for, what is behind it is not, and the visitor comes back to where they
// were before anything was rewritten.
func TestPlacesOfAGate(t *testing.T) {
	const head = "https://app.example.com:{port} {\n	bind 127.0.0.1\n	tls {tls}\n"
	for _, test := range []struct {
		name, site, guarded, open string
	}{
		{"whole site", "gatehouse *@example.com\n reverse_proxy {app}", "/x?y=1", ""},
		{"path matcher", "gatehouse /admin/* *@example.com\n reverse_proxy {app}", "/admin/x", "/x"},
		{"path matcher, rewritten", "gatehouse /admin/* *@example.com\n try_files /index.php\n rewrite /admin/* /index.php\n reverse_proxy {app}", "/admin/x", "/x"},
		{"rewritten into the gate", "gatehouse /admin/* *@example.com\n rewrite /old/* /admin/new\n reverse_proxy {app}", "/old/x", "/x"},
		{"named matcher", "@api method GET\n gatehouse @api *@example.com\n reverse_proxy {app}", "/api", ""},
		{"handle", "handle /app/* {\n gatehouse *@example.com\n reverse_proxy {app}\n }\n handle /_gatehouse/* {\n gatehouse_pages\n }\n handle {\n gatehouse_clean\n reverse_proxy {app}\n }", "/app/x", "/x"},
		{"handle_path", "handle_path /app/* {\n gatehouse *@example.com\n reverse_proxy {app}\n }\n handle /_gatehouse/* {\n gatehouse_pages\n }\n handle {\n gatehouse_clean\n reverse_proxy {app}\n }", "/app/x", "/x"},
		{"route", "route {\n uri strip_prefix /v1\n gatehouse *@example.com\n reverse_proxy {app}\n }", "/v1/x", ""},
		{"two gates", "gatehouse *@example.com {\n headers none\n }\n route /admin/* {\n gatehouse alice@example.com\n reverse_proxy {app}\n }\n reverse_proxy {app}", "/admin/x", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newGatedCaddy(t, nil)
			c.run("", "", head+test.site+"\n}")
			client := c.client(false)
			cookie := "Cookie: " + c.session("alice@example.com")
			if got := readEcho(t, c.fetch(client, "GET", test.guarded, nil, cookie)); got.Header.Get("Remote-User") != "alice@example.com" || got.Header.Get("Cookie") != "" {
				t.Errorf("signed in: %v", got.Header)
			}
			resp := c.fetch(client, "GET", test.guarded, nil, page)
			if want := "/_gatehouse/login?return_to=" + url.QueryEscape(test.guarded); resp.StatusCode != 302 || resp.Header.Get("Location") != want {
				t.Errorf("a visitor: %s to %q, want %q", resp.Status, resp.Header.Get("Location"), want)
			}
			login := c.fetch(client, "GET", resp.Header.Get("Location"), nil, page)
			if body, _ := io.ReadAll(login.Body); login.StatusCode != 200 || !bytes.Contains(body, []byte(`name="email"`)) {
				t.Errorf("the form: %s", login.Status)
			}
			if resp := c.fetch(client, "GET", "/_gatehouse/nonsense", nil, cookie); resp.StatusCode != 404 {
				t.Errorf("an unknown page: %s", resp.Status)
			}
			if test.open == "" {
				return
			}
			got := readEcho(t, c.fetch(client, "GET", test.open, nil, cookie, "Remote-User: root"))
			if len(got.claims()) > 0 || got.Header.Get("Cookie") != "" {
				t.Errorf("beside the gate's paths: %v", got.Header)
			}
		})
	}
}

// Access logs carry who it was, and neither cookies nor the tokens of links.
func TestAccessLog(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	log {
		output file `+c.dir+`/access.log
	}
	gatehouse *@example.com
	reverse_proxy {app}
}`)
	cookie := c.session("alice@example.com")
	w := c.dial()
	// One connection: when the last answer is here, the requests before it are
	// in the log.
	// What a page of ours loads comes with the page's address as Referer.
	for _, path := range []string{"/x", "/_gatehouse/link/SECRETTOKEN", "/_gatehouse/not-me/SECRETTOKEN", "/_gatehouse/ui.js", "/last"} {
		referer := "https://{host}/y"
		if path == "/_gatehouse/ui.js" {
			referer = "https://{host}/_gatehouse/link/SECRETTOKEN"
		}
		c.send(w, "GET "+path+" HTTP/1.1", "Host: {host}", "Cookie: "+cookie, "Referer: "+referer, "")
		resp, err := http.ReadResponse(w.r, nil)
		must(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	log, err := os.ReadFile(filepath.Join(c.dir, "access.log"))
	must(t, err)
	var line struct {
		User string `json:"user_id"`
	}
	first, _, _ := strings.Cut(string(log), "\n")
	must(t, json.Unmarshal([]byte(first), &line))
	if line.User != "alice@example.com" || strings.Contains(string(log), "SECRETTOKEN") || strings.Contains(string(log), strings.TrimPrefix(cookie, "__Host-gatehouse=")) {
		t.Errorf("%s", log)
	}
}
