package caddymodule

import (
	"os"
	"strings"
	"testing"
)

// TestOwnAddressesAreAnyThatAreTaken: what a configuration is taken with, a mail
// can be built with. Otherwise nobody could sign in, and only a visitor would find
// out.
func TestOwnAddressesAreAnyThatAreTaken(t *testing.T) {
	for name, c := range map[string]struct{ from, support, wantFrom, wantReply string }{
		"international domains": {"<anmeldung@bücher.example>", "hilfe@bücher.example", "<anmeldung@xn--bcher-kva.example>", "<hilfe@xn--bcher-kva.example>"},
		"capitals":              {"<Login@EXAMPLE.com>", "Help@Example.COM", "<login@example.com>", "<help@example.com>"},
		"space around":          {`" login@example.com "`, `" help@example.com "`, "<login@example.com>", "<help@example.com>"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			config := func(from, support string) string {
				return strings.Replace(m.text("brand Wiki {\nsupport "+support+"\n}", ""), "<login@example.com>", from, 1)
			}
			m.loadText(config(c.from, c.support))
			m.ask("POST", "/_gatehouse/login", map[string][]string{"email": {"alice@example.com"}}, nil)
			mail := m.mail.NextTo(t, "alice@example.com")
			for header, want := range map[string]string{"From": c.wantFrom, "Reply-To": c.wantReply} {
				if got := mail.Parse(t).Header.Get(header); !strings.Contains(got, want) {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			if want := strings.Trim(c.wantFrom, "<>"); mail.From != want {
				t.Errorf("envelope from %q, want %q", mail.From, want)
			}
		})
	}
}

// TestMailsAreTriedAtTheStart: a template of one's own that leaves nothing of a mail
// is found before a visitor waits for it.
func TestMailsAreTriedAtTheStart(t *testing.T) {
	for _, name := range []string{"sign_in.txt", "new_device.txt", "app_invite.txt"} {
		m := newMachine(t)
		dir := m.dir + "/pages"
		must(t, os.MkdirAll(dir+"/mail", 0o700))
		must(t, os.WriteFile(dir+"/mail/"+name, []byte("{{/* nothing */}}"), 0o600))
		says := m.refuses(m.adapt(m.text("brand {\npages "+dir+"\n}", "")))
		if kind := strings.TrimSuffix(name, ".txt"); !strings.Contains(says, "a mail ("+kind+", en) can't be built") || !strings.Contains(says, "text is missing") {
			t.Errorf("%s: %s", name, says)
		}
	}
	for content, want := range map[string]string{
		`{{if ne .Lang "he"}}x{{end}}`: "a mail (sign_in, he) can't be built",
		"{{.Code}} \xff":               "the text or the HTML is not UTF-8",
	} {
		m := newMachine(t)
		dir := m.dir + "/pages"
		must(t, os.MkdirAll(dir+"/mail", 0o700))
		must(t, os.WriteFile(dir+"/mail/sign_in.txt", []byte(content), 0o600))
		if says := m.refuses(m.adapt(m.text("brand {\npages "+dir+"\n}", ""))); !strings.Contains(says, want) {
			t.Errorf("%s: %s", content, says)
		}
	}
}
