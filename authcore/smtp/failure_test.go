package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

func TestWhatAnswersMean(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password})
	s := sender(t, srv, signIn)
	down, deferred, rejected := outbox.SenderDown, outbox.Deferred, outbox.Rejected
	for _, c := range []struct {
		step smtptest.Step
		code int
		want outbox.SendFault
	}{
		{smtptest.Connect, 421, down}, {smtptest.Connect, 450, down}, {smtptest.Connect, 554, down},
		{smtptest.Hello, 421, down}, {smtptest.Hello, 451, down}, {smtptest.Hello, 550, down},
		{smtptest.Auth, 421, down}, {smtptest.Auth, 454, down}, {smtptest.Auth, 535, down}, {smtptest.Auth, 550, down},
		{smtptest.MailFrom, 421, deferred}, {smtptest.MailFrom, 451, deferred}, {smtptest.MailFrom, 550, rejected}, {smtptest.MailFrom, 530, rejected}, {smtptest.MailFrom, 299, down},
		{smtptest.RcptTo, 421, deferred}, {smtptest.RcptTo, 450, deferred}, {smtptest.RcptTo, 550, rejected}, {smtptest.RcptTo, 530, rejected},
		{smtptest.Data, 421, deferred}, {smtptest.Data, 451, deferred}, {smtptest.Data, 554, rejected}, {smtptest.Data, 299, deferred},
	} {
		// Servers repeat what they refuse, and more.
		srv.RefuseText(c.step, c.code, "not today, no <"+recipient+"> alice "+theCode+" "+theLink+" mailer "+password)
		err := s.Send(t.Context(), message(t))
		wantFault(t, err, c.want, "not today")
		if told := strings.Contains(err.Error(), "mailer"); told == (c.step == smtptest.Auth) {
			t.Errorf("whom it refuses: %v", err)
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

// lostAt is what no answer at a step means: ours until MAIL FROM was accepted.
func lostAt(step smtptest.Step) outbox.SendFault {
	if step == smtptest.RcptTo || step == smtptest.Data {
		return outbox.Deferred
	}
	return outbox.SenderDown
}

// What makes a sender unfit, if it says it to several domains in a row.
func TestWhichRefusalsNameTheRecipient(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{})
	s := sender(t, srv, nil)
	for text, want := range map[string]bool{
		"5.1.1 no such user": true, "5.1.2 no such domain": true, "5.1.0 address rejected": true, "5.1.10 null MX": true,
		"5.2.1 mailbox disabled": true, "5.2.2 mailbox full": true, "5.4.1 recipient access denied": true, "5.4.4 no route": true,
		"5.1.7 bad sender address": false, "5.1.8 sender domain not found": false,
		"5.7.1 relay access denied": false, "5.7.60 client does not have permissions to send as this sender": false,
		"5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname": false,
		"5.0.0 address is not verified":                                           false, "5.3.4 too big": false,
	} {
		for _, step := range []smtptest.Step{smtptest.RcptTo, smtptest.Data} {
			for _, code := range []int{550, 553, 450} {
				srv.RefuseText(step, code, strings.Replace(text, "5.", strconv.Itoa(code/100)+".", 1))
				var failed *outbox.SendError
				if err := s.Send(t.Context(), message(t)); !errors.As(err, &failed) || failed.Recipient != want {
					t.Errorf("%s, %d %s: %v", step, code, text, err)
				}
				if _, words, _ := strings.Cut(text, " "); !strings.Contains(failed.Reason, words) {
					t.Errorf("%q lacks the server's own words: %q", failed.Reason, words)
				}
			}
			srv.Accept(step)
		}
	}
}

func TestLostConnections(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password})
	s := sender(t, srv, signIn)
	for _, step := range []smtptest.Step{
		smtptest.Connect, smtptest.Hello, smtptest.Auth, smtptest.MailFrom, smtptest.RcptTo, smtptest.Data,
	} {
		srv.Drop(step)
		wantFault(t, s.Send(t.Context(), message(t)), lostAt(step), "")
		srv.Accept(step)
	}
	srv.WaitIdle(t)
	srv.Stop()
	wantFault(t, s.Send(t.Context(), message(t)), outbox.SenderDown, "connection refused")
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
		wantFault(t, err, lostAt(step), "stopped")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the cause is lost: %v", step, err)
		}
		release()
	}
	_, release := srv.Hold(smtptest.Connect)
	defer release()
	impatient := func(c *smtp.Config) { c.Timeout = 20 * time.Millisecond }
	err := sender(t, srv, impatient).Send(t.Context(), message(t))
	wantFault(t, err, outbox.SenderDown, "in time")
}

// A server that is silent before MAIL FROM is given up sooner than one that thinks
// about a mail.
func TestConnectingHasAShorterLimit(t *testing.T) {
	smtp.ConnectTimeout(t, 200*time.Millisecond)
	srv := smtptest.Start(t, smtptest.Options{Username: "mailer", Password: password})
	s := sender(t, srv, signIn)
	for _, step := range []smtptest.Step{smtptest.Connect, smtptest.Hello, smtptest.Auth} {
		_, release := srv.Hold(step)
		began := time.Now()
		wantFault(t, s.Send(t.Context(), message(t)), outbox.SenderDown, "no answer in time")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it took %v", step, took)
		}
		release()
	}
	for _, step := range []smtptest.Step{smtptest.MailFrom, smtptest.RcptTo, smtptest.Data} {
		reached, release := srv.Hold(step)
		go func() { <-reached; time.Sleep(400 * time.Millisecond); release() }()
		if err := s.Send(t.Context(), message(t)); err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
}

// unanswered has srv take the whole mail and say nothing while it waits.
func unanswered(t *testing.T, s *smtp.Sender) *outbox.SendError {
	t.Helper()
	err := s.Send(t.Context(), message(t))
	wantFault(t, err, outbox.Deferred, "DATA: no answer in time; the mail was handed over whole, so it may have been taken")
	failed := new(outbox.SendError)
	if !errors.As(err, &failed) || !failed.Maybe || failed.Late == nil || failed.Word() != "maybe" {
		t.Fatalf("%+v", failed)
	}
	return failed
}

// No answer to the last line in time is no answer yet: it is waited for, while other
// mails go on.
func TestALateAnswer(t *testing.T) {
	for _, tls := range []smtptest.TLSMode{smtptest.StartTLS, smtptest.Implicit, smtptest.NoTLS} {
		for _, name := range []string{"taken", "refused", "lost"} {
			srv := smtptest.Start(t, smtptest.Options{TLS: tls})
			s := sender(t, srv, func(c *smtp.Config) {
				c.Timeout, c.Connections = 200*time.Millisecond, 1
				c.TLS = map[smtptest.TLSMode]smtp.TLSMode{smtptest.StartTLS: smtp.StartTLS, smtptest.Implicit: smtp.Implicit, smtptest.NoTLS: smtp.Off}[tls]
			})
			_, release := srv.Hold(smtptest.Data)
			switch name {
			case "refused":
				_, release = srv.HoldThen(smtptest.Data, 554)
			case "lost":
				_, release = srv.HoldThen(smtptest.Data, 0)
			}
			failed := unanswered(t, s)
			if name == "taken" { // its connection is one more than there may be otherwise
				if err := s.Check(t.Context()); err != nil {
					t.Errorf("%v, %s: %v", tls, name, err)
				}
			}
			release()
			err := failed.Late(t.Context())
			answered := new(outbox.SendError)
			switch errors.As(err, &answered); {
			case name == "taken" && err != nil, name != "taken" && err == nil:
				t.Errorf("%v, %s: %v", tls, name, err)
			case name == "refused":
				wantFault(t, err, outbox.Rejected, "554")
			case name == "lost" && !answered.Maybe:
				t.Errorf("%v, %s: %+v", tls, name, answered)
			}
			if n := len(srv.Messages()); name == "taken" && n != 1 {
				t.Errorf("%v: %d mails", tls, n)
			}
		}
	}
}

// Who does not wait for a late answer leaves nothing behind.
func TestALateAnswerGivenUp(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{})
	_, release := srv.Hold(smtptest.Data)
	defer release()
	failed := unanswered(t, sender(t, srv, func(c *smtp.Config) { c.Timeout = 200 * time.Millisecond }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answered := new(outbox.SendError)
	if err := failed.Late(ctx); !errors.As(err, &answered) || !answered.Maybe {
		t.Error(err)
	}
}

// Connections that owe an answer keep no mail from going out, and are no more than
// others may be.
func TestLateAnswersTakeNoPlace(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS})
	s := sender(t, srv, func(c *smtp.Config) { c.TLS, c.Timeout, c.Connections = smtp.Off, 200*time.Millisecond, 2 })
	_, release := srv.Hold(smtptest.Data)
	first, second, third := unanswered(t, s), unanswered(t, s), unanswered(t, s)
	srv.Accept(smtptest.Data)
	burst(t, srv, s, 10)
	lost := new(outbox.SendError)
	if err := first.Late(t.Context()); !errors.As(err, &lost) || !lost.Maybe {
		t.Errorf("the first of three, with two connections: %v", err)
	}
	release()
	if err := errors.Join(second.Late(t.Context()), third.Late(t.Context())); err != nil {
		t.Error(err)
	}
}

// A server that does not come to an end is given up before it fills memory, also one
// that says so before TLS.
func TestEndlessAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		first, line string
		want        outbox.SendFault
	}{
		"greeting":      {"", "220-welcome\r\n", outbox.SenderDown},
		"one line":      {"", "220 welcome ", outbox.SenderDown},
		"EHLO":          {"220 ready\r\n", "250-SIZE\r\n", outbox.SenderDown},
		"EHLO, a line":  {"220 ready\r\n", "250 ", outbox.SenderDown},
		"MAIL FROM":     {"220 ready\r\n|250 hello\r\n", "250-fine\r\n", outbox.SenderDown},
		"the recipient": {"220 ready\r\n|250 hello\r\n|250 fine\r\n", "550-no\r\n", outbox.Deferred},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			sent := make(chan int, 1)
			go func() {
				defer listener.Close()
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				lines, n := bufio.NewReader(conn), 0
				for i, answer := range strings.Split(c.first, "|") {
					if i > 0 {
						_, _ = lines.ReadString('\n')
					}
					_, _ = io.WriteString(conn, answer)
				}
				if c.first != "" {
					_, _ = lines.ReadString('\n')
				}
				for block := []byte(strings.Repeat(c.line, 1000)); ; {
					more, err := conn.Write(block)
					if n += more; err != nil || n > 64<<20 {
						break
					}
				}
				sent <- n
			}()
			host, port, _ := net.SplitHostPort(listener.Addr().String())
			number, _ := strconv.Atoi(port)
			s, err := smtp.New(smtp.Config{Host: host, Port: number, TLS: smtp.Off, Hello: "gate.example.com"})
			if err != nil {
				t.Fatal(err)
			}
			wantFault(t, s.Send(t.Context(), message(t)), c.want, "does not end")
			if n := <-sent; n > 16<<20 { // what lies in the kernel's buffers counts, too
				t.Errorf("it could send %d bytes", n)
			}
		})
	}
}
