package caddymodule

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// What a test mail has found out, status says too, though nothing waits.
func TestStatusAfterAFailedTest(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	o.mail.Stop()
	o.fails(cli.ExitNo, nil, "test-email", "ops@example.net")
	out, _, code := o.command("status")
	wantText(t, out, "FAILED at the last try of every sender", "connection refused")
	if code != cli.ExitNo || strings.Contains(out, "goes out") {
		t.Errorf("%d: %s", code, out)
	}
	o.mailIsBack()
	wantText(t, o.done("status"), "goes out")
}

// A pause shows before anybody asks for a code.
func TestWhyTellsOfAPause(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	o.asks("alice@example.com")
	notMe := regexp.MustCompile(`/_gatehouse/not-me/[A-Za-z0-9_-]+`).FindString(o.mail.NextTo(t, "alice@example.com").Parse(t).Text)
	o.visitor().send("POST", notMe, url.Values{"email": {"alice@example.com"}})
	wantText(t, o.done("why", "alice@example.com"), "is paused until", "this wasn't me")
	if strings.Contains(o.done("why", "bob@example.com"), "paused") {
		t.Error("another's is paused")
	}
}

// Mails as programs save them, and what strangers wrote into them.
func TestReceivedFiles(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	file := filepath.Join(t.TempDir(), "mail.eml")
	received := func(text string) []string {
		must(t, os.WriteFile(file, []byte(text), 0o600))
		return []string{"doctor", "--received", file}
	}
	mail := "From: Example <login@example.com>\nDKIM-Signature: v=1; d=evil\x1b[31m\u202e.test; s=x\nReceived: from \x1b[2Jmail (mail.invalid [192.0.2.1]) by mx\n\nHello\n"
	for name, text := range map[string]string{"LF": mail, "CRLF": strings.ReplaceAll(mail, "\n", "\r\n"), "mbox": "From login@example.com Mon Nov 30 09:00:00 2026\n" + mail} {
		out, errs, _ := o.command(received(text)...)
		wantText(t, out, "From is at example.com", "evil")
		if strings.ContainsAny(out+errs, "\x1b\u202e") {
			t.Errorf("%s: controls reach the terminal: %q", name, out)
		}
	}
	for _, empty := range []string{"", "\n\n", "\r\n"} {
		o.fails(cli.ExitUsage, []string{"is empty", "save the mail"}, received(empty)...)
	}
}

// validate finds hooks that nobody could post to, as a start does.
func TestHooksNeedAPortal(t *testing.T) {
	o := newOperated(t)
	config := o.config("hooks {\n\t\t\tmailgun_key "+mailgunHookKey+"\n\t\t}", "staff")
	file := filepath.Join(t.TempDir(), "caddy.json")
	must(t, os.WriteFile(file, config, 0o600))
	for _, offline := range []bool{false, true} {
		if err := examineFile(file, "", offline); err == nil || !strings.Contains(err.Error(), "gatehouse_portal") {
			t.Errorf("offline %v: %v", offline, err)
		}
	}
	o.sites = portalSite
	must(t, os.WriteFile(file, o.config("hooks {\n\t\t\tmailgun_key "+mailgunHookKey+"\n\t\t}", "staff"), 0o600))
	if err := examineFile(file, "", false); err != nil {
		t.Error(err)
	}
}

// What a start refuses before it opens the store, validate refuses in the same words.
func TestValidateRefusesWhatAStartRefuses(t *testing.T) {
	const client = "app wiki {\n\t\t\tredirect_uri https://wiki.example/cb\n\t\t\tallow any\n\t\t\tsecret 0123456789abcdef0123456789abcdef\n\t\t}"
	at := func(path string) string {
		return strings.Replace(client, "https://wiki.example/cb", "https://auth.example.com"+path, 1)
	}
	for name, c := range map[string]struct{ global, sites, want string }{
		"a client without a portal": {client, "", "there is no gatehouse_portal"},
		"a public client":           {strings.Replace(client, "secret 0123456789abcdef0123456789abcdef\n", "\n", 1), "", "there is no gatehouse_portal"},
		"hooks without a portal":    {"hooks {\n\t\t\tmailgun_key " + mailgunHookKey + "\n\t\t}", "", "there is none"},
		"a code for the portal":     {at("/oauth2/authorize"), portalSite, "is a page of the portal"},
		"for its sign-in page":      {at("/_gatehouse/login?x=1"), portalSite, "is a page of the portal"},
		"with two slashes":          {at("//oauth2/logout"), portalSite, "is a page of the portal"},
		"with an escaped slash":     {at("/%2Foauth2/%6Cogout"), portalSite, "is a page of the portal"},
		"its sign-in page, so":      {at("//_gatehouse//login"), portalSite, "is a page of the portal"},
		"a sign-out to the portal":  {strings.Replace(client, "allow", "post_logout_redirect_uri https://auth.example.com/oauth2/logout\n\t\t\tallow", 1), portalSite, "is a page of the portal"},
	} {
		o := newOperated(t)
		o.sites = c.sites
		config := o.config(c.global, "staff")
		file := filepath.Join(t.TempDir(), "caddy.json")
		must(t, os.WriteFile(file, config, 0o600))
		for _, offline := range []bool{false, true} {
			if err := examineFile(file, "", offline); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, offline %v: %v", name, offline, err)
			}
		}
		if err := caddytest.Load(config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, at a start: %v", name, err)
		}
	}
	o := newOperated(t)
	o.sites = portalSite
	const missing = "{env.NO_SUCH}"
	const secret = `"secret":"0123456789abcdef0123456789abcdef",`
	for name, option := range map[string]string{
		"a key of hooks": `"hooks":{"mailgun_key":"` + missing + `"}`,
		"a secret":       `"secret":"` + missing + `"`,
		"a DSN":          secret + `"store":{"postgres":{"dsn":"` + missing + `"}}`,
		"a password":     secret + `"store":{"postgres":{"dsn":"host=127.0.0.1 dbname=g password=` + missing + `"}}`,
		"a directory":    `"store":{"badger":{"dir":"/no/such/file/{env.NO_SUCH}"}}`,
	} {
		var config map[string]any
		must(t, json.Unmarshal(o.config("", "staff"), &config))
		app := config["apps"].(map[string]any)["gatehouse"].(map[string]any)
		must(t, json.Unmarshal([]byte(`{`+option+`}`), &app))
		raw, err := json.Marshal(config)
		must(t, err)
		file := filepath.Join(t.TempDir(), "caddy.json")
		must(t, os.WriteFile(file, raw, 0o600))
		if err := examineFile(file, "", false); err == nil || !strings.Contains(err.Error(), "NO_SUCH") {
			t.Errorf("%s: %v", name, err)
		}
		if err := examineFile(file, "", true); err != nil {
			t.Errorf("%s, offline: %v", name, err)
		}
	}
}
