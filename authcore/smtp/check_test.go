package smtp_test

import (
	"testing"

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
