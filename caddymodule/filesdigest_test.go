package caddymodule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// The adapted configuration is another one when a file that it names has changed,
// appeared or gone, and the same when none has.
func TestDigestOfFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	put("pages/login.html", "one")
	put("secret", strings.Repeat("s", 32))
	caddyfile := "{\ngatehouse {\nmail log\nsecret {file." + dir + "/secret}\nbrand Example {\nlogo " + dir + "/logo.svg\npages " + dir + "/pages\n}\n}\ngatehouse {\ngroup staff *@example.com\n}\n}\n"
	read := func() (string, string) {
		t.Helper()
		body, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
		must(t, err)
		var config struct {
			Apps struct{ Gatehouse App }
		}
		must(t, json.Unmarshal(body, &config))
		return config.Apps.Gatehouse.Files, string(body)
	}
	last, all := read()
	if again, same := read(); again != last || same != all || len(last) != 32 {
		t.Errorf("without a change: %q, %q", last, again)
	}
	for _, c := range []struct {
		what   string
		change func()
	}{
		{"a template changes", func() { put("pages/login.html", "two") }},
		{"one comes", func() { put("pages/mail/sign_in.txt", "x") }},
		{"one goes", func() { must(t, os.Remove(filepath.Join(dir, "pages", "login.html"))) }},
		{"a catalog comes", func() { put("pages/locales/eo.json", "{}") }},
		{"a logo comes", func() { put("logo.svg", "<svg/>") }},
		{"a logo is empty", func() { put("logo.svg", "") }},
		{"a secret is written anew", func() { must(t, os.Chtimes(filepath.Join(dir, "secret"), time.Time{}, time.Unix(1, 0))) }},
		{"a secret can't be read more", func() { must(t, os.Remove(filepath.Join(dir, "secret"))) }},
	} {
		c.change()
		now, _ := read()
		if now == last || now == "" {
			t.Errorf("%s: the digest is %q, as before", c.what, now)
		}
		last = now
	}
	put("pages/README", "what is no template is not looked at")
	if now, _ := read(); now != last {
		t.Error("a file changes the configuration that nobody reads")
	}
	caddyfile = "{\ngatehouse {\nmail log\n}\n}\n"
	if now, body := read(); now != "" || strings.Contains(body, "files") {
		t.Errorf("without files: %s", body)
	}
}

// What no start could read does not keep the adapter.
func TestDigestOfOddFiles(t *testing.T) {
	app := &App{Brand: &Brand{Logo: "/dev/zero", Pages: "/proc/self"}}
	done := make(chan error)
	go func() {
		_, err := digestFiles(app, []byte(`{"secret":"{file./dev/zero}"}`))
		done <- err
	}()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(time.Minute):
		t.Fatal("the adapter reads without an end")
	}
}

// A person's JSON has spaces where the adapter's has none.
func TestFilesNamedInJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"mail": [{"sender": "smtp", "ca": "/etc/mail-ca.pem"}]}`: "/etc/mail-ca.pem", `{"ca":"/etc/mail-ca.pem"}`: "/etc/mail-ca.pem",
		"{\"service_account\":\n\t\"/etc/google.json\"}": "/etc/google.json", `{"password": "{file./run/secret}"}`: "/run/secret", `{"domain": "example.com"}`: "",
	} {
		_, others := filesNamed(new(App), []byte(text))
		if got := strings.Join(others, " "); got != want {
			t.Errorf("%s names %q, want %q", text, got, want)
		}
	}
}
