package smtp_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

// burst sends n mails at once and wants all of them to be taken.
func burst(t *testing.T, srv *smtptest.Server, s *smtp.Sender, n int) {
	t.Helper()
	before := len(srv.Messages())
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := s.Send(t.Context(), message(t)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(srv.Messages()) - before; got != n {
		t.Errorf("%d mails of %d", got, n)
	}
}

func TestABurstSharesConnections(t *testing.T) {
	for _, most := range []int{0, 1, 3} {
		srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password})
		s := sender(t, srv, func(c *smtp.Config) { signIn(c); c.Connections = most })
		burst(t, srv, s, 60)
		if most == 0 {
			most = smtp.DefaultConnections
		}
		if taken, _ := srv.Connections(); taken > most {
			t.Errorf("%d connections, at most %d", taken, most)
		}
	}
}

// A relay that bears fewer connections than we make is not down: what it turns
// away goes over the others, and for a while no more are made.
func TestAConnectionLimitIsNoOutage(t *testing.T) {
	for _, limit := range []int{1, 2} {
		srv := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS, Connections: limit})
		s := sender(t, srv, func(c *smtp.Config) { c.TLS, c.Connections = smtp.Off, 10 })
		burst(t, srv, s, 60) // fewer than go over one connection
		_, refused := srv.Connections()
		if refused == 0 {
			t.Fatal("the limit was never met")
		}
		burst(t, srv, s, 30)
		if _, again := srv.Connections(); again != refused {
			t.Errorf("limit %d: %d more connections were tried", limit, again-refused)
		}
	}
	// Nor is it where the server counts a connection for a moment after its end.
	srv := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS, Connections: 1})
	burst(t, srv, sender(t, srv, func(c *smtp.Config) { c.TLS, c.Connections = smtp.Off, 10 }), 350)
	full := smtptest.Start(t, smtptest.Options{})
	full.Refuse(smtptest.Connect, 421) // somebody else's connections
	wantFault(t, sender(t, full, nil).Send(t.Context(), message(t)), outbox.SenderDown, "421")
}

// Servers end what is idle, and what has carried enough, at any time.
func TestAnEndedConnectionIsMadeAnew(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{})
	s := sender(t, srv, nil)
	for _, end := range []func(){
		func() { srv.Stop(); srv.Restart(t) },
		func() { srv.RefuseOnce(smtptest.MailFrom, 421) },
		func() { srv.RefuseOnce(smtptest.MailFrom, 550) },
	} {
		burst(t, srv, s, 1)
		end()
		burst(t, srv, s, 1)
	}
	// A refusal that is meant stays one.
	burst(t, srv, s, 1)
	srv.Refuse(smtptest.MailFrom, 550)
	wantFault(t, s.Send(t.Context(), message(t)), outbox.Rejected, "550")
	srv.Accept(smtptest.MailFrom)
	burst(t, srv, s, 1)
	// After the recipient was named nothing is said twice.
	srv.Drop(smtptest.Data)
	taken, _ := srv.Connections()
	wantFault(t, s.Send(t.Context(), message(t)), outbox.Deferred, "")
	if again, _ := srv.Connections(); again != taken {
		t.Error("the mail was handed over twice")
	}
}

func TestCloseKeepsNothing(t *testing.T) {
	smtp.IdleFor(t, time.Hour)
	srv := smtptest.Start(t, smtptest.Options{})
	s := sender(t, srv, nil)
	burst(t, srv, s, 5)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	srv.WaitIdle(t)
	burst(t, srv, s, 5) // what was under way when a configuration ended
	srv.WaitIdle(t)
}

func TestIdleConnectionsEnd(t *testing.T) {
	smtp.IdleFor(t, 10*time.Millisecond)
	srv := smtptest.Start(t, smtptest.Options{})
	burst(t, srv, sender(t, srv, nil), 5)
	srv.WaitIdle(t)
}
