package smtp_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	recipient = "alice@example.com"
	theCode   = "482913"
	theLink   = "https://app.example.com/_gatehouse/link/Zm9vYmFyYmF6cXV1eC0xMjM0NTY3ODkwYWJjZGVm"
	password  = "correct horse battery"
)

var _ outbox.Sender = (*smtp.Sender)(nil)

func message(t *testing.T) outbox.Message {
	t.Helper()
	to, err := address.Parse(recipient)
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Message{
		FromName: "Example", FromAddress: "login@example.com", To: to,
		Subject: theCode + " is your Example sign-in code",
		Text:    theCode + " is your code.\n\n" + theLink + "\n",
		HTML:    "<p>" + theCode + "</p><p><a href=\"" + theLink + "\">Sign in</a></p>\n",
		Date:    time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC), MessageID: "abc@example.com",
	}
}

// sender makes a Sender for srv; change may be nil.
func sender(t *testing.T, srv *smtptest.Server, change func(*smtp.Config)) *smtp.Sender {
	t.Helper()
	c := smtp.Config{Host: srv.Host, Port: srv.Port, RootCAs: srv.RootCAs, Hello: "gate.example.com"}
	if change != nil {
		change(&c)
	}
	s, err := smtp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signIn(c *smtp.Config) { c.Username, c.Password = "mailer", password }

// wantFault checks an outcome, and that its words hold nothing they may not.
func wantFault(t *testing.T, err error, want outbox.SendFault, words string) {
	t.Helper()
	var failed *outbox.SendError
	if !errors.As(err, &failed) {
		t.Errorf("got %v, want a SendError", err)
		return
	}
	if failed.Fault != want || !strings.Contains(failed.Reason, words) {
		t.Errorf("got %v, want %v with %q", failed, want, words)
	}
	for _, secret := range []string{recipient, "alice", theCode, "_gatehouse/link", password} {
		if strings.Contains(failed.Error(), secret) {
			t.Errorf("the error tells %q: %v", secret, failed)
		}
	}
}

func TestDeliversExactlyTheBytes(t *testing.T) {
	for name, c := range map[string]struct {
		mode    smtp.TLSMode
		options smtptest.Options
	}{
		"starttls by default": {"", smtptest.Options{}},
		"implicit":            {smtp.Implicit, smtptest.Options{TLS: smtptest.Implicit}},
		"off":                 {smtp.Off, smtptest.Options{TLS: smtptest.NoTLS}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.Start(t, c.options)
			s := sender(t, srv, func(config *smtp.Config) { config.TLS = c.mode })
			m := message(t)
			// Lines that end a message early on careless servers.
			m.Text += ".\n..\n.\r\nMAIL FROM:<mallory@evil.example>\r\n\n.\r\n\r.\r\n"
			if err := s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			want, err := rfc5322.Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			got := srv.NextTo(t, recipient)
			if string(got.Data) != string(want) {
				t.Errorf("got\n%q\nwant\n%q", got.Data, want)
			}
			if got.From != "login@example.com" || !slices.Equal(got.To, []string{recipient}) ||
				got.Helo != "gate.example.com" || got.TLS != (c.mode != smtp.Off) {
				t.Errorf("envelope %+v", got)
			}
			if got.Code(t) != theCode || got.Link(t) != theLink || len(srv.Messages()) != 1 {
				t.Error("code, link or number of messages")
			}
			for _, command := range []string{"\nMAIL FROM:<login@example.com> BODY=8BITMIME\r\n", "\nRCPT TO:<" + recipient + ">\r\n"} {
				if n := strings.Count(srv.Transcript(), command); n != 1 {
					t.Errorf("%d times %q:\n%s", n, command, srv.Transcript())
				}
			}
		})
	}
}

// An attacker in between takes STARTTLS out of the server's answer: no mail,
// no password, not even who it was for.
func TestStrippedSTARTTLSGetsNothing(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{
		TLS: smtptest.NoTLS, Username: "mailer", Password: password, InsecureAuth: true,
	})
	err := sender(t, srv, signIn).Send(t.Context(), message(t))
	wantFault(t, err, outbox.SenderDown, "STARTTLS")
	for _, word := range []string{"\nAUTH ", "\nMAIL", "\nRCPT", "\nDATA"} {
		if strings.Contains(srv.Transcript(), word) {
			t.Errorf("%q was sent:\n%s", word, srv.Transcript())
		}
	}
}

func TestBadCertificateGetsNothing(t *testing.T) {
	for _, c := range []struct {
		client smtp.TLSMode
		server smtptest.TLSMode
	}{{smtp.StartTLS, smtptest.StartTLS}, {smtp.Implicit, smtptest.Implicit}} {
		unknown := smtptest.Start(t, smtptest.Options{TLS: c.server})
		s := sender(t, unknown, func(config *smtp.Config) { config.TLS, config.RootCAs = c.client, nil })
		wantFault(t, s.Send(t.Context(), message(t)), outbox.SenderDown, "x509")

		misnamed := smtptest.Start(t, smtptest.Options{TLS: c.server, Names: []string{"other.example"}})
		s = sender(t, misnamed, func(config *smtp.Config) { config.TLS = c.client })
		wantFault(t, s.Send(t.Context(), message(t)), outbox.SenderDown, "x509")
		if len(unknown.Messages())+len(misnamed.Messages()) != 0 {
			t.Error("a mail was sent all the same")
		}
	}
}

func TestSignsInWithWhatTheServerOffers(t *testing.T) {
	for want, offered := range map[string][]string{
		"PLAIN":         nil,
		"LOGIN":         {"LOGIN"},
		"CRAM-MD5":      {"CRAM-MD5"},
		"SCRAM-SHA-256": {"LOGIN", "PLAIN", "CRAM-MD5", "SCRAM-SHA-256"},
	} {
		srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password, Mechanisms: offered})
		if err := sender(t, srv, signIn).Send(t.Context(), message(t)); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if !slices.Equal(srv.Logins(), []string{want}) {
			t.Errorf("signed in with %v, want %s", srv.Logins(), want)
		}
		wrong := func(c *smtp.Config) { c.Username, c.Password = "mailer", "wrong" }
		wantFault(t, sender(t, srv, wrong).Send(t.Context(), message(t)), outbox.SenderDown, "AUTH: the server answered 535")
	}
	local := smtptest.Start(t, smtptest.Options{
		TLS: smtptest.NoTLS, Username: "mailer", Password: password, InsecureAuth: true,
	})
	plain := func(c *smtp.Config) { signIn(c); c.TLS = smtp.Off }
	if err := sender(t, local, plain).Send(t.Context(), message(t)); err != nil {
		t.Errorf("in clear on localhost: %v", err)
	}
	foreign := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password, Mechanisms: []string{"XOAUTH2"}})
	wantFault(t, sender(t, foreign, signIn).Send(t.Context(), message(t)), outbox.SenderDown, "the server offers the sign-ins XOAUTH2; this sender speaks SCRAM-SHA-256, ")
	none := smtptest.Start(t, smtptest.Options{})
	wantFault(t, sender(t, none, signIn).Send(t.Context(), message(t)), outbox.SenderDown, "offers no sign-in at all")
}

// A server may offer what it has no keys for (SCRAM before a directory of hashes)
// or does not speak. A wrong password is not shown again and again: that locks
// accounts.
func TestRefusedMechanismLeadsToTheNext(t *testing.T) {
	smtp.IdleFor(t, time.Millisecond)
	all := []string{"CRAM-MD5", "LOGIN", "PLAIN", "SCRAM-SHA-256"}
	for _, c := range []struct {
		name   string
		broken map[string]int
		auth   string
		wrong  bool
		tried  []string
		works  bool
		again  []string // by a second mail
	}{
		{"scram without keys", map[string]int{"SCRAM-SHA-256": 535}, "", false, []string{"SCRAM-SHA-256", "PLAIN"}, true, []string{"PLAIN"}},
		{"plain not spoken", map[string]int{"SCRAM-SHA-256": 535, "PLAIN": 504}, "", false, []string{"SCRAM-SHA-256", "PLAIN", "LOGIN"}, true, []string{"LOGIN"}},
		{"later, says the server", map[string]int{"SCRAM-SHA-256": 454}, "", false, []string{"SCRAM-SHA-256"}, false, []string{"SCRAM-SHA-256"}},
		{"wrong password", nil, "", true, []string{"SCRAM-SHA-256", "PLAIN"}, false, []string{"SCRAM-SHA-256", "PLAIN"}},
		{"fixed", nil, "login", false, []string{"LOGIN"}, true, []string{"LOGIN"}},
		{"fixed and refused", map[string]int{"SCRAM-SHA-256": 535}, "SCRAM-SHA-256", false, []string{"SCRAM-SHA-256"}, false, []string{"SCRAM-SHA-256"}},
		{"fixed and not offered", nil, "SCRAM-SHA-1", false, nil, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password, Mechanisms: all, Broken: c.broken})
			s := sender(t, srv, func(config *smtp.Config) {
				signIn(config)
				config.Auth = c.auth
				if c.wrong {
					config.Password = "wrong"
				}
			})
			for i, want := range [][]string{c.tried, append(slices.Clone(c.tried), c.again...)} {
				err := s.Send(t.Context(), message(t))
				if c.works != (err == nil) {
					t.Errorf("mail %d: %v", i, err)
				}
				if !slices.Equal(srv.Tried(), want) {
					t.Errorf("mail %d: tried %v, want %v", i, srv.Tried(), want)
				}
				srv.WaitIdle(t)
			}
		})
	}
}

// Each end waits for the other to speak first, or takes its words for noise.
func TestTheWrongTLSIsSaidAtOnce(t *testing.T) {
	smtp.DoubtAfter(t, 50*time.Millisecond)
	for _, c := range []struct {
		client smtp.TLSMode
		server smtptest.Options
		change func(*smtp.Config)
		says   string
	}{
		{smtp.StartTLS, smtptest.Options{TLS: smtptest.Implicit}, nil, "write tls implicit"},
		{smtp.StartTLS, smtptest.Options{TLS: smtptest.Implicit}, func(c *smtp.Config) { c.RootCAs = nil }, "write tls implicit"},
		{smtp.Implicit, smtptest.Options{TLS: smtptest.StartTLS}, nil, "write tls starttls"},
		{smtp.StartTLS, smtptest.Options{TLS: smtptest.NoTLS}, nil, "does not offer STARTTLS"},
		{smtp.StartTLS, smtptest.Options{}, func(c *smtp.Config) { c.RootCAs = nil }, "by ca"},
		{smtp.Implicit, smtptest.Options{TLS: smtptest.Implicit, Names: []string{"other.example"}}, nil, "by server_name"},
	} {
		srv := smtptest.Start(t, c.server)
		s := sender(t, srv, func(config *smtp.Config) {
			config.TLS = c.client
			if c.change != nil {
				c.change(config)
			}
		})
		wantFault(t, s.Send(t.Context(), message(t)), outbox.SenderDown, c.says)
	}
	named := smtptest.Start(t, smtptest.Options{Names: []string{"mail.example.com"}})
	s := sender(t, named, func(c *smtp.Config) { c.ServerName = "mail.example.com" })
	if err := s.Send(t.Context(), message(t)); err != nil {
		t.Errorf("with server_name: %v", err)
	}
	// A slow server is not taken for one that waits for TLS.
	slow := smtptest.Start(t, smtptest.Options{})
	late := lateGreeting(t, slow.Addr, 150*time.Millisecond)
	s = sender(t, slow, func(c *smtp.Config) { c.Port = late })
	if err := s.Send(t.Context(), message(t)); err != nil {
		t.Errorf("after a late greeting: %v", err)
	}
}

// lateGreeting passes connections on to addr, and is silent at first.
func lateGreeting(t *testing.T, addr string, wait time.Duration) (port int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer in.Close()
				time.Sleep(wait) // the server's slowness is the case
				out, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer out.Close()
				all.Go(func() { _, _ = io.Copy(out, in); out.Close() })
				_, _ = io.Copy(in, out)
			})
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

func TestNothingIsSentForAMessageThatCannotBeBuilt(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{})
	m := message(t)
	m.Subject = "x\r\nBcc: mallory@evil.example"
	wantFault(t, sender(t, srv, nil).Send(t.Context(), m), outbox.Rejected, "Subject")
	m = message(t)
	m.FromAddress = "a@example.com>\r\nRCPT TO:<mallory@evil.example"
	wantFault(t, sender(t, srv, nil).Send(t.Context(), m), outbox.Rejected, "From address")
	if srv.Transcript() != "" {
		t.Errorf("something was said:\n%s", srv.Transcript())
	}
}

func TestConcurrentSends(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password})
	s := sender(t, srv, signIn)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := s.Send(t.Context(), message(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(srv.Messages()); n != 20 {
		t.Errorf("%d messages", n)
	}
}
