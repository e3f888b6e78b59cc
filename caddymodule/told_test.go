package caddymodule

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

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
