package smtp_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

func TestWhatAnswersMean(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password})
	s := sender(t, srv, signIn)
	down, deferred, rejected := authcore.SenderDown, authcore.Deferred, authcore.Rejected
	for _, c := range []struct {
		step smtptest.Step
		code int
		want authcore.SendFault
	}{
		{smtptest.Connect, 421, down}, {smtptest.Connect, 450, down}, {smtptest.Connect, 554, down},
		{smtptest.Hello, 421, down}, {smtptest.Hello, 451, down}, {smtptest.Hello, 550, down},
		{smtptest.Auth, 421, down}, {smtptest.Auth, 454, down}, {smtptest.Auth, 535, down}, {smtptest.Auth, 550, down},
		{smtptest.MailFrom, 421, down}, {smtptest.MailFrom, 451, deferred}, {smtptest.MailFrom, 550, down}, {smtptest.MailFrom, 530, down},
		{smtptest.RcptTo, 421, down}, {smtptest.RcptTo, 450, deferred}, {smtptest.RcptTo, 550, rejected}, {smtptest.RcptTo, 530, down},
		{smtptest.Data, 421, down}, {smtptest.Data, 451, deferred}, {smtptest.Data, 554, rejected}, {smtptest.Data, 299, down},
	} {
		// Servers repeat what they refuse, and more.
		srv.RefuseText(c.step, c.code, "no <"+recipient+"> alice "+theCode+" "+theLink+" mailer "+password)
		err := s.Send(t.Context(), message(t))
		if c.step == smtptest.Connect || c.step == smtptest.Hello {
			// Here the server knows nothing yet, so its words are passed on.
			var failed *authcore.SendError
			if !errors.As(err, &failed) || failed.Fault != c.want {
				t.Errorf("%s %d: %v", c.step, c.code, err)
			}
		} else {
			t.Logf("%s %d: %v", c.step, c.code, err)
			wantFault(t, err, c.want, "")
		}
		srv.Accept(c.step)
	}
	srv.WaitIdle(t) // every connection is closed, also when a step fails
	if n := len(srv.Messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
	if err := s.Send(t.Context(), message(t)); err != nil {
		t.Errorf("when all is well again: %v", err)
	}
}

func TestLostConnections(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password})
	s := sender(t, srv, signIn)
	for _, step := range []smtptest.Step{
		smtptest.Connect, smtptest.Hello, smtptest.Auth, smtptest.MailFrom, smtptest.RcptTo, smtptest.Data,
	} {
		srv.Drop(step)
		wantFault(t, s.Send(t.Context(), message(t)), authcore.SenderDown, "")
		srv.Accept(step)
	}
	srv.WaitIdle(t)
	srv.Stop()
	wantFault(t, s.Send(t.Context(), message(t)), authcore.SenderDown, "connection refused")
}

// The server took the mail and vanished before QUIT. A second try would be a
// second mail.
func TestConnectionLostAfterAcceptanceIsSuccess(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{})
	srv.Drop(smtptest.AfterData)
	if err := sender(t, srv, nil).Send(t.Context(), message(t)); err != nil {
		t.Error(err)
	}
	if n := len(srv.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestSilentServer(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password})
	for _, step := range []smtptest.Step{
		smtptest.Connect, smtptest.Hello, smtptest.Auth, smtptest.MailFrom, smtptest.RcptTo, smtptest.Data,
	} {
		reached, release := srv.Hold(step)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-reached; cancel() }()
		err := sender(t, srv, signIn).Send(ctx, message(t))
		wantFault(t, err, authcore.SenderDown, "stopped")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the cause is lost: %v", step, err)
		}
		release()
	}
	_, release := srv.Hold(smtptest.Connect)
	defer release()
	impatient := func(c *smtp.Config) { c.Timeout = 20 * time.Millisecond }
	err := sender(t, srv, impatient).Send(t.Context(), message(t))
	wantFault(t, err, authcore.SenderDown, "in time")
}
