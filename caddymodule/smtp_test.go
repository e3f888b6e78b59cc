package caddymodule

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

// startMail is a machine whose mail goes to srv by these lines of mail smtp.
func startMail(t *testing.T, srv *smtptest.Server, lines ...string) *machine {
	m := newMachine(t)
	m.loadText(strings.Replace(m.text("", ""), "mail smtp "+m.mail.Addr+" {\n\t\t\ttls off",
		fmt.Sprintf("mail smtp %s {\n\t\t\t%s", srv.Addr, strings.Join(lines, "\n\t\t\t")), 1))
	m.ask("POST", "/_gatehouse/login", url.Values{"email": {"alice@example.com"}}, nil)
	return m
}

// TestSMTPOptionsReachTheServer: a relay with a certificate of its own authority
// for another name, that takes one mechanism and asks who greets it.
func TestSMTPOptionsReachTheServer(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{Names: []string{"relay.example.com"}, Username: "u", Password: "pass word", Mechanisms: []string{"PLAIN", "LOGIN"}})
	ca := t.TempDir() + "/ca.pem"
	must(t, os.WriteFile(ca, srv.CertPEM, 0o600))
	startMail(t, srv, "username u", `password "pass word"`, "ca "+ca, "server_name relay.example.com", "auth login", "connections 1")
	if mail := srv.NextTo(t, "alice@example.com"); mail.Helo != "example.com" || !mail.TLS {
		t.Errorf("greeted by %q, TLS %v; by default it is the domain of from", mail.Helo, mail.TLS)
	}
	if tried := srv.Tried(); len(tried) != 1 || tried[0] != "LOGIN" {
		t.Errorf("signed in by %v", tried)
	}
	must(t, caddy.Stop())
	named := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS})
	startMail(t, named, "tls off", "hello gate.example.net")
	if mail := named.NextTo(t, "alice@example.com"); mail.Helo != "gate.example.net" {
		t.Errorf("greeted by %q", mail.Helo)
	}
}

// TestSecretFilesAreOneLine: what an editor or a copy has added is refused by name,
// at start, and not by the mail server.
func TestSecretFilesAreOneLine(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"a byte order mark": {"\ufeffsecret-word", "begins with a byte order mark"},
		"a second line":     {"secret-word\nsecond-line\n", "more than one line"},
		"lines of Windows":  {"secret-word\r\nsecond-line\r\n", "more than one line"},
		"a line of Windows": {"secret-word\r\n", ""},
	} {
		m := newMachine(t)
		file := m.dir + "/password"
		must(t, os.WriteFile(file, []byte(c.text), 0o600))
		text := strings.Replace(m.text("", ""), "tls off", "tls off\nusername u\npassword {file."+file+"}", 1)
		if c.says == "" {
			m.loadText(text)
			continue
		}
		says := m.refuses(m.adapt(text))
		if !strings.Contains(says, c.says) || !strings.Contains(says, file) || strings.Contains(says, "secret-word") || strings.Contains(says, "second-line") {
			t.Errorf("%s: %s", name, says)
		}
	}
	for _, option := range []string{"secret {file.%s}", "app shop {\napi_key {file.%s}\n}"} {
		m := newMachine(t)
		file := m.dir + "/key"
		must(t, os.WriteFile(file, []byte("\ufeff"+strings.Repeat("k", 40)), 0o600))
		if says := m.refuses(m.config(fmt.Sprintf(option, file), "")); !strings.Contains(says, "begins with a byte order mark") || !strings.Contains(says, file) {
			t.Errorf("%s: %s", option, says)
		}
	}
	m := newMachine(t)
	missing := strings.Replace(m.text("", ""), "tls off", "tls starttls\nca "+m.dir+"/none.pem", 1)
	if says := m.refuses(m.adapt(missing)); !strings.Contains(says, "ca: open "+m.dir+"/none.pem") {
		t.Error(says)
	}
}
