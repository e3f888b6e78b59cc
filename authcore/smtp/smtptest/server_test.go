package smtptest_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

const letter = "From: login@example.com\r\nTo: alice@example.com\r\n" +
	"Subject: 482913 is your sign-in code\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"Open https://app.example.com/_gatehouse/link/a-b_c=\r\nd.\r\n" +
	"--b\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<p>hi\r\n--b--\r\n"

// send delivers letter with the standard library's client.
func send(t *testing.T, srv *smtptest.Server, auth smtp.Auth) error {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	c, err := smtp.NewClient(conn, srv.Host)
	if err != nil {
		return err
	}
	if ok, _ := c.Extension("STARTTLS"); ok {
		if err := c.StartTLS(&tls.Config{RootCAs: srv.RootCAs, ServerName: srv.Host}); err != nil {
			return err
		}
	}
	if auth != nil {
		if err := c.Auth(auth); err != nil {
			return err
		}
	}
	if err := c.Mail("login@example.com"); err != nil {
		return err
	}
	if err := c.Rcpt("alice@example.com"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, _ = io.WriteString(w, letter)
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

func TestKeepsAndReadsWhatItAccepts(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: "pass word"})
	if err := send(t, srv, nil); code(err) != 502 {
		t.Fatalf("without sign-in: %v", err)
	}
	if err := send(t, srv, smtp.PlainAuth("", "mailer", "wrong", srv.Host)); code(err) != 535 {
		t.Fatalf("with the wrong password: %v", err)
	}
	if err := send(t, srv, smtp.PlainAuth("", "mailer", "pass word", srv.Host)); err != nil {
		t.Fatal(err)
	}
	m := srv.NextTo(t, "alice@example.com")
	if got := m.Code(t); got != "482913" {
		t.Errorf("code %q", got)
	}
	if got := m.Link(t); got != "https://app.example.com/_gatehouse/link/a-b_cd." {
		t.Errorf("link %q", got)
	}
	if m.From != "login@example.com" || !m.TLS || m.User != "mailer" || len(srv.Messages()) != 1 {
		t.Errorf("envelope %+v", m)
	}
	if got := m.Parse(t); strings.Join(got.Parts, " ") != "text/plain text/html" || got.HTML != "<p>hi" {
		t.Errorf("parts %+v", got)
	}
	if !strings.Contains(srv.Transcript(), "RCPT TO:<alice@example.com>") {
		t.Errorf("transcript:\n%s", srv.Transcript())
	}
}

func TestRefusesAtEachStepUntilToldToAccept(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS})
	steps := []smtptest.Step{smtptest.Connect, smtptest.MailFrom, smtptest.RcptTo, smtptest.Data}
	for _, step := range steps {
		for _, want := range []int{421, 450, 550} {
			srv.Refuse(step, want)
			if err := send(t, srv, nil); code(err) != want {
				t.Errorf("%s, want %d: %v", step, want, err)
			}
		}
		srv.Drop(step)
		if err := send(t, srv, nil); err == nil || code(err) != 0 {
			t.Errorf("%s, dropped: %v", step, err)
		}
		srv.Accept(step)
	}
	srv.RefuseTo("alice@example.com", 550)
	if err := send(t, srv, nil); code(err) != 550 {
		t.Errorf("refused recipient: %v", err)
	}
	if n := len(srv.Messages()); n != 0 {
		t.Errorf("kept %d messages", n)
	}
	srv.Drop(smtptest.AfterData)
	srv.RefuseTo("alice@example.com", 0)
	if err := send(t, srv, nil); err == nil {
		t.Error("the connection lived on after the message")
	}
	srv.Next(t)
}

func TestHoldAndRestart(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{})
	reached, release := srv.Hold(smtptest.RcptTo)
	sent := make(chan error, 1)
	go func() { sent <- send(t, srv, nil) }()
	<-reached
	if n := len(srv.Messages()); n != 0 {
		t.Errorf("%d messages while held", n)
	}
	release()
	if err := <-sent; err != nil {
		t.Error(err)
	}
	addr := srv.Addr
	srv.Stop()
	if err := send(t, srv, nil); err == nil {
		t.Error("a stopped server took mail")
	}
	srv.Restart(t)
	if err := send(t, srv, nil); err != nil || srv.Addr != addr {
		t.Errorf("at %s, was %s: %v", srv.Addr, addr, err)
	}
}

func code(err error) int {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}
