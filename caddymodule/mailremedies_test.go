package caddymodule

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

// remedy is what a mail server says, as docs/mail.md has it, and the line that mends
// it. {srv}, {dead} and {other} stand for servers, {dir} for a directory.
type remedy struct {
	says   string // as status shows it; docs/mail.md has it as code
	line   string // docs/mail.md has it as code
	server smtptest.Options
	when   func(*smtptest.Server) // what it refuses
	before []string               // lines of mail smtp {srv}
	after  []string
	from   string // afterwards, where another one mends it
	whole  string // mail lines afterwards, where that is not "mail smtp {srv}" with after
	dead   bool   // before, the address is one where nobody listens
	named  bool   // the server is called localhost, not by its IP address
}

func of(l ...string) []string { return l }

var inClear = smtptest.Options{TLS: smtptest.NoTLS}

// account takes mail of whoever signed in, and of others if it says so.
var account = smtptest.Options{TLS: smtptest.NoTLS, InsecureAuth: true, Username: "mailer@example.com", Password: "s3cret"}

var signedIn = of("tls off", "username mailer@example.com", "password s3cret")

func unlessUser(code int, text string) func(*smtptest.Server) {
	return func(s *smtptest.Server) {
		s.RefuseWhen(smtptest.MailFrom, code, text, func(m smtptest.Message) bool { return m.User == "" })
	}
}

func unlessFrom(step smtptest.Step, code int, text string) func(*smtptest.Server) {
	return func(s *smtptest.Server) {
		s.RefuseWhen(step, code, text, func(m smtptest.Message) bool { return m.From != "mailer@example.com" })
	}
}

func unlessHello(code int, text string) func(*smtptest.Server) {
	return func(s *smtptest.Server) {
		s.RefuseWhen(smtptest.RcptTo, code, text, func(m smtptest.Message) bool { return m.Helo != "gate.example.com" })
	}
}

const withBackup = "mail smtp {srv} {\n\t\t\ttls off\n\t\t}\n\t\tmail smtp {other} {\n\t\t\ttls off\n\t\t}"

var remedies = []remedy{
	{says: "connection refused", line: "mail smtp smtp.example.com:587", server: inClear, dead: true, before: of("tls off"), after: of("tls off")},
	{says: "the server does not offer STARTTLS", line: "tls off", server: inClear, after: of("tls off")},
	{says: "the server speaks TLS from the first byte", line: "tls implicit", server: smtptest.Options{TLS: smtptest.Implicit}, before: of("ca {ca}"), after: of("tls implicit", "ca {ca}")},
	{says: "the server does not speak TLS from the first byte", line: "tls starttls", before: of("tls implicit", "ca {ca}"), after: of("tls starttls", "ca {ca}")},
	{says: "certificate signed by unknown authority", line: "ca /etc/gatehouse/mail-ca.pem", after: of("ca {ca}")},
	{says: "because it doesn't contain any IP SANs", line: "server_name mail.example.com", server: smtptest.Options{Names: []string{"mail.example.com"}}, before: of("ca {ca}"), after: of("ca {ca}", "server_name mail.example.com")},
	{says: "certificate is valid for", line: "server_name mail.example.com", server: smtptest.Options{Names: []string{"mail.example.com"}}, before: of("ca {ca}"), after: of("ca {ca}", "server_name mail.example.com"), named: true},
	{says: "535 5.7.8", line: "password {file./run/secrets/smtp}", server: account, before: of("tls off", "username mailer@example.com", "password wrong"), after: of("tls off", "username mailer@example.com", "password {file.{dir}/password}")},
	{says: "535 5.0.0 not by PLAIN", line: "auth LOGIN", server: smtptest.Options{TLS: smtptest.NoTLS, InsecureAuth: true, Username: "mailer@example.com", Password: "s3cret", Broken: map[string]int{"PLAIN": 535}}, before: signedIn, after: append(of("auth LOGIN"), signedIn...)},
	{says: "the server offers the sign-ins PLAIN, LOGIN", line: "auth PLAIN", server: account, before: append(of("auth SCRAM-SHA-256"), signedIn...), after: append(of("auth PLAIN"), signedIn...)},
	{says: "530 5.7.0 Authentication required", line: "username mailer@example.com", server: account, when: unlessUser(530, "5.7.0 Authentication required"), before: of("tls off"), after: signedIn},
	{says: "550 5.7.1 Relay access denied", line: "username mailer@example.com", server: account, when: unlessUser(550, "5.7.1 Relay access denied"), before: of("tls off"), after: signedIn},
	{says: "553 5.7.1 Sender address rejected: not owned by user", line: `from "Example" <mailer@example.com>`, server: account, when: unlessFrom(smtptest.RcptTo, 553, "5.7.1 Sender address rejected: not owned by user"), before: signedIn, after: signedIn, from: "mailer@example.com"},
	{says: "550 5.7.60 Client does not have permissions to send as this sender", line: `from "Example" <mailer@example.com>`, server: account, when: unlessFrom(smtptest.MailFrom, 550, "5.7.60 Client does not have permissions to send as this sender"), before: signedIn, after: signedIn, from: "mailer@example.com"},
	{says: "Message rejected: Email address is not verified", line: `from "Example" <mailer@example.com>`, server: account, when: unlessFrom(smtptest.RcptTo, 554, "Message rejected: Email address is not verified"), before: signedIn, after: signedIn, from: "mailer@example.com"},
	{says: "504 5.5.2 Helo command rejected: need fully-qualified hostname", line: "hello gate.example.com", server: inClear, when: unlessHello(504, "5.5.2 Helo command rejected: need fully-qualified hostname"), before: of("tls off", "hello gate"), after: of("tls off", "hello gate.example.com")},
	{says: "550 5.7.1 Helo command rejected: Host not found", line: "hello gate.example.com", server: inClear, when: unlessHello(550, "5.7.1 Helo command rejected: Host not found"), before: of("tls off"), after: of("tls off", "hello gate.example.com")},
	{says: "421 4.7.0 Too many connections", line: "mail smtp backup.example.net:587", server: inClear, when: refusing(smtptest.Connect, 421, "4.7.0 Too many connections"), before: of("tls off"), whole: withBackup},
	{says: "450 4.2.0 Greylisted", line: "mail smtp backup.example.net:587", server: inClear, when: refusing(smtptest.RcptTo, 450, "4.2.0 Greylisted"), before: of("tls off"), whole: withBackup},
	{says: "452 4.2.2 Mailbox full", server: inClear, when: refusing(smtptest.RcptTo, 452, "4.2.2 Mailbox full"), before: of("tls off")},
	{says: "550 5.1.1 User unknown", server: inClear, when: refusing(smtptest.RcptTo, 550, "5.1.1 User unknown"), before: of("tls off")},
	{says: "550 5.7.1 Client host blocked", line: "mail smtp smtp.example.com:587", server: inClear, when: refusing(smtptest.RcptTo, 550, "5.7.1 Client host blocked"), before: of("tls off"), whole: "mail smtp {other} {\n\t\t\ttls off\n\t\t}"},
	{says: "550 5.7.26 Unauthenticated email is not accepted", server: inClear, when: refusing(smtptest.Data, 550, "5.7.26 Unauthenticated email is not accepted"), before: of("tls off")},
	{says: "550 5.7.1 Message looks like spam", server: inClear, when: refusing(smtptest.Data, 550, "5.7.1 Message looks like spam"), before: of("tls off")},
	{says: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant", server: account, when: refusing(smtptest.Auth, 535, "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant"), before: signedIn},
	{says: "534 5.7.9 Application-specific password required", server: account, when: refusing(smtptest.Auth, 534, "5.7.9 Application-specific password required"), before: signedIn},
	{says: "the mail was handed over whole, so it may have been taken", line: "mail smtp backup.example.net:587", server: inClear, when: func(s *smtptest.Server) { s.Drop(smtptest.Data) }, before: of("tls off"), whole: withBackup},
}

func refusing(step smtptest.Step, code int, text string) func(*smtptest.Server) {
	return func(s *smtptest.Server) { s.RefuseText(step, code, text) }
}

// What docs/mail.md says of a mail server's words is so: status and why show them,
// and the line that is named there mends it.
func TestMailRemedies(t *testing.T) {
	doc, err := os.ReadFile("../docs/mail.md")
	must(t, err)
	_, table, _ := strings.Cut(string(doc), "\n## Mail does not arrive\n")
	rows := strings.Split(table, "\n")
	for _, r := range remedies {
		t.Run(r.says, func(t *testing.T) {
			documented := false
			for _, row := range rows {
				documented = documented || strings.HasPrefix(row, "| `"+r.says+"` | ") && (r.line == "" || strings.Contains(row, "`"+r.line+"`"))
			}
			if !documented {
				t.Errorf("docs/mail.md has no row of %q with %q", r.says, r.line)
			}
			r.try(t)
		})
	}
}

// Each recipe says where its secrets come from.
func TestMailRecipesNameTheirCredentials(t *testing.T) {
	doc, err := os.ReadFile("../docs/mail.md")
	must(t, err)
	found := regexp.MustCompile(`\{file\./run/credentials/gatehouse\.service/([a-z-]+)\}`)
	n := 0
	for _, part := range strings.Split(string(doc), "\n#") {
		for _, name := range found.FindAllStringSubmatch(part, -1) {
			n++
			if line := "LoadCredential=" + name[1] + ":/etc/gatehouse/secrets/" + name[1] + "\n"; !strings.Contains(part, line) {
				t.Errorf("#%.40q has no %s", part, line)
			}
		}
	}
	if n < 12 {
		t.Errorf("%d secrets", n)
	}
}

func (r remedy) try(t *testing.T) {
	o := newOperated(t)
	srv, dead, other := smtptest.Start(t, r.server), smtptest.Start(t, inClear), smtptest.Start(t, inClear)
	dead.Stop()
	must(t, os.WriteFile(o.dir+"/ca.pem", srv.CertPEM, 0o600))
	must(t, os.WriteFile(o.dir+"/password", []byte("s3cret\n"), 0o600))
	if r.when != nil {
		r.when(srv)
	}
	addr := srv.Addr
	if r.named {
		addr = "localhost" + strings.TrimPrefix(addr, "127.0.0.1")
	}
	write := func(text string) []byte {
		text = strings.NewReplacer("{srv}", addr, "{dead}", dead.Addr, "{other}", other.Addr, "{ca}", o.dir+"/ca.pem", "{dir}", o.dir).Replace(text)
		return o.withoutMail(text, "*@example.com")
	}
	block := func(addr string, lines []string) string {
		return fmt.Sprintf("mail smtp %s {\n\t\t\t%s\n\t\t}", addr, strings.Join(lines, "\n\t\t\t"))
	}
	at := "{srv}"
	if r.dead {
		at = "{dead}"
	}
	o.load(write(block(at, r.before)))
	o.asks("one@example.com")
	out, _, _ := o.command("status")
	t.Log(out)
	eventually(t, "status has the server's words", func() bool {
		out, _, _ := o.command("status")
		return strings.Contains(out, r.says)
	})
	eventually(t, "why has the server's words", func() bool { return strings.Contains(o.done("why", "one@example.com"), r.says) })
	if r.line == "" {
		return
	}
	config := write(block("{srv}", r.after))
	if r.whole != "" {
		config = write(r.whole)
	}
	if r.from != "" {
		config = []byte(strings.ReplaceAll(string(config), "login@example.com", r.from))
	}
	o.load(config)
	arrives := srv
	if r.whole != "" {
		arrives = other
	}
	// Sign-in opens at once, or with what waits.
	eventually(t, "sign-in is open", func() bool {
		out, _, _ := o.command("status")
		return !strings.Contains(out, "IS DOWN")
	})
	o.asks("two@example.com")
	arrives.NextTo(t, "two@example.com")
	must(t, caddy.Stop())
}
