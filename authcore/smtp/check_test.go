package smtp_test

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

func TestCheckSendsNothing(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{TLS: smtptest.StartTLS, Username: "mailer", Password: password})
	if err := sender(t, srv, signIn).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(srv.Messages()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
	wrong := sender(t, srv, func(c *smtp.Config) { c.Username, c.Password = "mailer", "wrong" })
	wantFault(t, wrong.Check(t.Context()), outbox.SenderDown, "AUTH")
	srv.Stop()
	wantFault(t, sender(t, srv, signIn).Check(t.Context()), outbox.SenderDown, "connect")
}

// An offer meets the refusals that a mail would meet, and leaves none behind.
func TestOfferSendsNothing(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{TLS: smtptest.StartTLS, Username: "mailer", Password: password})
	to, err := address.Parse("login@example.com")
	if err != nil {
		t.Fatal(err)
	}
	offer := func() error { return sender(t, srv, signIn).Offer(t.Context(), to.String(), to) }
	if err := offer(); err != nil {
		t.Fatal(err)
	}
	srv.RefuseText(smtptest.MailFrom, 550, "5.7.60 not permitted to send as this sender")
	wantFault(t, offer(), outbox.Rejected, "MAIL FROM")
	srv.Accept(smtptest.MailFrom)
	srv.RefuseText(smtptest.RcptTo, 550, "5.1.1 User unknown")
	wantFault(t, offer(), outbox.Rejected, "RCPT TO")
	srv.Accept(smtptest.RcptTo)
	srv.Refuse(smtptest.Auth, 535)
	wantFault(t, offer(), outbox.SenderDown, "AUTH")
	srv.WaitIdle(t)
	if n := len(srv.Messages()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}
