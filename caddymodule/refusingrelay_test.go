package caddymodule

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// A relay that signs in and then refuses us, as relays say it: after MAIL FROM,
// after RCPT or after the dot. Every mail goes through the second one, and operators read why
// at every place, without what only the recipient may read.
func TestRelayThatRefusesUs(t *testing.T) {
	for name, c := range map[string]struct {
		step smtptest.Step
		code int
		text string
	}{
		"sender not owned": {smtptest.RcptTo, 553, "5.7.1 <login@example.com>: Sender address rejected: not owned by user mailer"},
		"from refused":     {smtptest.MailFrom, 550, "5.7.60 not permitted to send as this sender"},
		"relay denied":     {smtptest.RcptTo, 554, "5.7.1 Relay access denied"},
		"HELO":             {smtptest.RcptTo, 504, "5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname"},
		"not verified":     {smtptest.Data, 554, "Message rejected: Email address is not verified, {to} {code} {link}"},
		"says no more":     {smtptest.Data, 550, "no {to} {code} {link}"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOperated(t)
			second := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS})
			o.mail.RefuseText(c.step, c.code, c.text)
			var domains []string
			for i := range 24 {
				domains = append(domains, fmt.Sprintf("person%d@d%d.example", i, i))
			}
			o.load(o.config("mail smtp "+second.Addr+" {\n\t\t\ttls off\n\t\t}", strings.Join(domains, " ")))
			for _, to := range domains {
				o.asks(to)
			}
			var told []string
			for _, to := range domains {
				m := second.NextTo(t, to)
				told = append(told, to, m.Code(t), m.Link(t))
			}
			words, _, _ := strings.Cut(strings.TrimPrefix(c.text, "5.7.1 "), " {")
			var s operate.Status
			eventually(t, "all is told", func() bool {
				o.document(&s, "status")
				return s.Mail.Waiting == 0 && len(o.audited("mail_sent")) == len(domains)
			})
			if first := s.Mail.Senders[0]; first.Down || !first.Unfit || !strings.Contains(first.Reason, words) {
				t.Errorf("%+v", first)
			}
			if other := s.Mail.Senders[1]; other.Down || other.Unfit || s.Mail.Down || s.Mail.Delayed {
				t.Errorf("%+v", s.Mail)
			}
			status := o.done("status")
			wantText(t, status, "goes out", "refuses mail to everybody, it seems", words)
			why := o.done("why", domains[0])
			wantText(t, why, "accepted", words)
			text, _, _ := o.command("doctor")
			wantText(t, text, "refused mail to several domains in a row")
			failed := o.audited("mail_failed")
			if len(failed) != len(domains) {
				t.Errorf("%d refusals in the audit log", len(failed))
			}
			for _, e := range failed {
				if detail, _ := e["detail"].(string); e["reason"] != "rejected" || !strings.Contains(detail, words) {
					t.Errorf("%v", e)
				}
			}
			if m := o.metrics(); m[`caddy_gatehouse_sender_unfit{sender="smtp `+o.mail.Addr+`"}`] != 1 || m["caddy_gatehouse_mail_delayed"] != 0 {
				t.Error("the metrics say nothing")
			}
			log, err := os.ReadFile(o.logFile())
			must(t, err)
			for i, secret := range told {
				if shown := string(log) + status + why; strings.Contains(shown, secret) && (i%3 != 0 || !strings.Contains(why, secret)) { // why is asked about an address
					// The digits of a time or an id are no code.
					whole := regexp.MustCompile(`(^|[^0-9A-Za-z.])` + regexp.QuoteMeta(secret) + `($|[^0-9A-Za-z])`)
					if found := whole.FindString(shown); found != "" {
						t.Errorf("%q is told", found)
					}
				}
			}
		})
	}
}

// TestARefusalAtMailFromTellsNobody: a start for somebody who may sign in leaves
// the next one as it would be after a decoy.
func TestARefusalAtMailFromTellsNobody(t *testing.T) {
	for _, code := range []int{451, 530, 550} {
		o := newOperated(t)
		o.mail.RefuseText(smtptest.MailFrom, code, "not from you")
		o.run("", "a@a.example b@b.example")
		o.asks("a@a.example")
		eventually(t, "it is refused", func() bool { return len(o.audited("mail_failed")) > 0 })
		var s operate.Status
		if o.document(&s, "status"); s.Mail.Down || s.Mail.Senders[0].Down {
			t.Errorf("%d: %+v", code, s.Mail)
		}
		o.asks("nobody@example.net")
		o.asks("b@b.example")
	}
}

// TestAnOutageTellsNobody: while no sender works and nobody has noticed, a start for
// somebody who may not sign in finds that out as one for somebody who may.
func TestAnOutageTellsNobody(t *testing.T) {
	for name, fails := range map[string]func(*smtptest.Server){
		"is not there":       (*smtptest.Server).Stop,
		"refuses to talk":    refusing(smtptest.Connect, 554, "5.7.1 no service"),
		"refuses our name":   refusing(smtptest.Hello, 550, "5.7.1 bad name"),
		"hangs up at a name": func(s *smtptest.Server) { s.Drop(smtptest.Hello) },
	} {
		for _, email := range []string{"alice@example.com", "nobody@example.net"} {
			t.Run(name+", "+email, func(t *testing.T) {
				o := newOperated(t)
				o.sites = portalSite
				fails(o.mail)
				o.run("", "alice@example.com bob@example.com")
				health := func() int {
					return o.fetch(o.client(false), "GET", o.origin("auth.example.com")+"/_gatehouse/health", nil).StatusCode
				}
				if got := health(); got != 200 {
					t.Fatalf("before anybody starts: %d", got)
				}
				o.asks(email)
				eventually(t, "mail is down", func() bool { return health() == 503 })
				for _, next := range []string{"bob@example.com", "nobody2@example.net"} {
					if status, _ := o.visitor().starts(next); status != 503 {
						t.Errorf("%s: %d", next, status)
					}
				}
				o.fails(cli.ExitNo, []string{"IS DOWN"}, "status")
			})
		}
	}
}

// When no sender is left that takes mail, the page for the code says so to
// everybody alike, and starts go on.
func TestPageSaysThatMailIsDelayed(t *testing.T) {
	o := newOperated(t)
	o.mail.RefuseText(smtptest.RcptTo, 550, "5.7.1 relay denied")
	o.run("", "a@a.example b@b.example c@c.example")
	page := func(email string) string {
		s := o.asks(email)
		body, err := io.ReadAll(o.fetch(o.client(false), "GET", "/_gatehouse/code", nil, "Cookie: "+strings.Join(s.cookies, "; ")).Body)
		must(t, err)
		return string(body)
	}
	const says = "Email is delayed right now"
	if strings.Contains(page("a@a.example"), says) {
		t.Error("one refusal is no reason")
	}
	o.asks("b@b.example")
	o.asks("c@c.example")
	eventually(t, "the relay is unfit", func() bool {
		var s operate.Status
		o.document(&s, "status")
		return s.Mail.Delayed && !s.Mail.Down && s.Mail.Senders[0].Unfit
	})
	for _, email := range []string{"a@a.example", "nobody@example.net"} {
		if !strings.Contains(page(email), says) {
			t.Errorf("%s is not told", email)
		}
	}
	wantText(t, o.done("status"), "IS DELAYED")
	text, _, _ := o.command("doctor")
	wantText(t, text, "pages say that mail is delayed")
	o.mail.Accept(smtptest.RcptTo)
	if !strings.Contains(page("b@b.example"), "form") {
		t.Error("starts are refused")
	}
	o.mail.NextTo(t, "b@b.example")
	eventually(t, "mail goes out again", func() bool {
		var s operate.Status
		o.document(&s, "status")
		return !s.Mail.Delayed
	})
}

// A recipient at whom the relay says 421, hangs up or keeps silent closes
// nothing for anybody else, after a restart as little as before.
func TestOneRecipientIsNoOutage(t *testing.T) {
	for name, spoil := range map[string]func(*smtptest.Server){
		"421 at RCPT":   func(m *smtptest.Server) { m.RefuseTo("bad@example.com", 421) },
		"hangs up":      func(m *smtptest.Server) { m.DropTo("bad@example.com") },
		"keeps silence": func(m *smtptest.Server) { m.HoldTo("bad@example.com") },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOperated(t)
			spoil(o.mail)
			o.run("", "*@example.com")
			o.asks("bad@example.com")
			eventually(t, "the mail was tried", func() bool { return strings.Contains(o.mail.Transcript(), "RCPT TO:<bad@example.com>") })
			for i := range 3 {
				to := fmt.Sprintf("good%d@example.com", i)
				o.asks(to)
				o.mail.NextTo(t, to)
			}
			var s operate.Status
			o.document(&s, "status")
			if s.Mail.Down || s.Mail.Senders[0].Down {
				t.Errorf("%+v", s.Mail)
			}
		})
	}
}

// What test-email finds out counts: status tells it, and a sender that works
// again opens sign-in at once. Scripts learn by the exit codes whether mail goes
// out by the sender that it should go out by.
func TestStatusAfterTestEmail(t *testing.T) {
	o := newOperated(t)
	second := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS})
	o.run("mail smtp "+second.Addr+" {\n\t\t\ttls off\n\t\t}", "*@example.com")
	senders := func(states ...string) {
		t.Helper()
		out, _, _ := o.command("status")
		for i, addr := range []string{o.mail.Addr, second.Addr} {
			wantText(t, out, "  smtp "+addr+": "+states[i])
		}
	}
	senders("not tried yet", "not tried yet")
	o.done("test-email", "ops@example.net")
	senders("took one just now\n", "took one just now\n")

	o.mail.RefuseTo("gone@example.net", 550)
	second.RefuseTo("odd@example.net", 550)
	o.fails(cli.ExitNo, []string{"smtp " + o.mail.Addr + ": rejected after", "smtp " + second.Addr + ": sent after"}, "test-email", "gone@example.net")
	o.fails(cli.ExitNo, []string{`"sent": true`}, "test-email", "gone@example.net", "--json")
	senders("took one just now, then rejected: RCPT TO: the server answered 550", "took one just now\n")
	wantText(t, o.done("test-email", "odd@example.net"), "smtp "+second.Addr+": rejected after")
	senders("took one just now\n", "took one just now, then rejected: RCPT TO: the server answered 550")

	o.mail.Stop()
	second.Stop()
	o.fails(cli.ExitNo, []string{"sender_down after"}, "test-email", "ops@example.net")
	senders("down: ", "down: ")
	o.fails(cli.ExitNo, []string{"FAILED at the last try of every sender"}, "status") // though nobody waits for any
	o.asks("first@example.com")
	eventually(t, "status says no", func() bool {
		out, _, code := o.command("status")
		return code == cli.ExitNo && strings.Contains(out, "IS DOWN: sign-ins are refused")
	})
	o.fails(cli.ExitNo, []string{`"down": true`}, "status", "--json")
	o.mail.Restart(t)
	o.done("test-email", "ops@example.net")
	eventually(t, "mail goes out", func() bool { // a try from before may end only now
		out, _, code := o.command("status")
		return code == cli.ExitDone && strings.Contains(out, "goes out")
	})
	o.asks("second@example.com")
	o.code("second@example.com")
	o.code("first@example.com")

	second.Restart(t)
	o.mail.RefuseTo("late@example.com", 450)
	second.RefuseTo("late@example.com", 550)
	o.asks("late@example.com")
	eventually(t, "why calls each answer what it is", func() bool {
		out := o.done("why", "late@example.com")
		return strings.Contains(out, "deferred by smtp "+o.mail.Addr) && strings.Contains(out, "rejected by smtp "+second.Addr)
	})
}

// A password that is mended in the configuration opens sign-in when that is
// loaded, not at the next look at the senders.
func TestMendedPasswordOpensSignIn(t *testing.T) {
	o := newOperated(t)
	o.mail.Stop()
	relay := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS, InsecureAuth: true, Username: "mailer", Password: "the right one"})
	load := func(password string) {
		t.Helper()
		o.run(fmt.Sprintf("mail smtp %s {\n\t\t\ttls off\n\t\t\tusername mailer\n\t\t\tpassword %q\n\t\t}", relay.Addr, password), "*@example.com")
	}
	down := func() bool {
		_, _, code := o.command("status")
		return code == cli.ExitNo
	}
	load("the wrong one")
	o.asks("first@example.com")
	eventually(t, "mail is down", down)
	load("another wrong one")
	o.fails(cli.ExitNo, []string{"IS DOWN"}, "status")
	load("the right one")
	eventually(t, "mail goes out", func() bool { return !down() })
	relay.NextTo(t, "first@example.com")
}

// A mail that a server got whole and did not answer for goes to the next one once, as
// the same mail; operators are told at every place that it may have come twice.
func TestMailThatMayHaveBeenSent(t *testing.T) {
	o := newOperated(t)
	second := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS})
	o.mail.Drop(smtptest.Data)
	o.run("mail smtp "+second.Addr+" {\n\t\t\ttls off\n\t\t}", "*@example.com")
	o.asks("one@example.com")
	mail := second.NextTo(t, "one@example.com").Parse(t)
	id := strings.Trim(mail.Header.Get("Message-ID"), "<>")
	if n := strings.Count(o.mail.Transcript(), "Message-ID: <"+id+">"); n != 1 {
		t.Errorf("the first server saw Message-ID %s %d times", id, n)
	}
	const says = "DATA: the server closed the connection; the mail was handed over whole, so it may have been taken"
	eventually(t, "it is sent", func() bool { return strings.Contains(o.done("why", "one@example.com"), "accepted") })
	wantText(t, o.done("why", "one@example.com"), "maybe", says)
	wantText(t, o.done("status"), "goes out, 0 wait", "smtp "+o.mail.Addr+": maybe: "+says)
	failed := o.audited("mail_failed")
	if len(failed) != 1 || failed[0]["reason"] != "maybe" || failed[0]["detail"] != says {
		t.Errorf("%v", failed)
	}
	// It failed within the last minute: the next mails go by the second at once.
	o.mail.Accept(smtptest.Data)
	o.asks("two@example.com")
	second.NextTo(t, "two@example.com")
	if n := len(o.mail.Messages()); n != 0 {
		t.Errorf("the first server was asked before the second: %d mails", n)
	}
	o.done("test-email", "ops@example.net") // now it works again
	o.asks("three@example.com")
	o.mail.NextTo(t, "three@example.com")

	second.Stop()
	o.mail.Drop(smtptest.Data)
	o.load(o.config("", "*@example.com"))
	o.asks("four@example.com")
	var s operate.Status
	eventually(t, "it may have been sent", func() bool {
		o.document(&s, "status")
		return s.Mail.Maybe == 1
	})
	if s.Mail.Down || s.Mail.Waiting != 1 {
		t.Errorf("%+v", s.Mail)
	}
	wantText(t, o.done("status"), "1 waits, of which 1 may have gone out: no answer has come")
}

// As many connections are made as connections says, and as many mails go over them
// at once.
func TestConnectionsBoundsWhatIsSentAtOnce(t *testing.T) {
	o := newOperated(t)
	srv := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS})
	var all []string
	for i := range 20 {
		to := fmt.Sprintf("p%d@d%d.example", i, i)
		srv.HoldTo(to)
		all = append(all, to)
	}
	o.load(o.withoutMail("mail smtp "+srv.Addr+" {\n\t\t\ttls off\n\t\t\tconnections 7\n\t\t}", strings.Join(all, " ")))
	for _, to := range all {
		o.asks(to)
	}
	held := func() int { return strings.Count(srv.Transcript(), "RCPT TO:<p") }
	eventually(t, "seven are sent at once", func() bool { return held() == 7 })
	if taken, _ := srv.Connections(); taken != 7 {
		t.Errorf("%d connections", taken)
	}
	var s operate.Status
	if o.document(&s, "status"); s.Mail.Waiting != 20 || s.Mail.Down || held() != 7 {
		t.Errorf("%+v, %d at once", s.Mail, held())
	}
}
