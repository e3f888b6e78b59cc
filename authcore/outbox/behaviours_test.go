package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// behaviour is what a mail server does, what becomes of a mail by that, and of those
// who want to sign in. docs/mail.md has a row for each.
type behaviour struct {
	does   string
	server smtptest.Options
	client func(*smtp.Config)
	spoil  func(*smtptest.Server)
	mend   func(*smtptest.Server) // once it was met
	mails  int                    // at once; 0 is 1

	alone  string // sent, tried again, given up or maybe, with this one line
	down   bool   // 503
	second string // what a second line does
	reason string // in the log and the metrics, and how the rest begins; empty where nothing is told
	says   string // status, why and the log
}

var plain = smtptest.Options{TLS: smtptest.NoTLS}

func off(c *smtp.Config)      { c.TLS = smtp.Off }
func hurried(c *smtp.Config)  { c.TLS, c.Timeout = smtp.Off, time.Second }
func password(c *smtp.Config) { c.Username, c.Password = "mailer", "pass word" }

func refuses(step smtptest.Step, code int, text string) func(*smtptest.Server) {
	return func(s *smtptest.Server) { s.RefuseText(step, code, text) }
}

func hangsUp(step smtptest.Step) func(*smtptest.Server) {
	return func(s *smtptest.Server) { s.Drop(step) }
}

func isSilent(step smtptest.Step) func(*smtptest.Server) {
	return func(s *smtptest.Server) { s.Hold(step) }
}

const (
	sent, again, over, maybe = "sent", "tried again", "given up", "*maybe* sent"

	notAsked, sends, repeats = "is not asked", "sends it", "sends it once more"
)

var signIn = smtptest.Options{Username: "mailer", Password: "pass word"}

var behaviours = []behaviour{
	{"is not there", plain, off, (*smtptest.Server).Stop, nil, 0, again, true, sends, "sender_down", "connection refused"},
	{"takes the connection and is silent", plain, hurried, isSilent(smtptest.Connect), nil, 0, again, true, sends, "sender_down", "greeting: no answer in time"},
	{"hangs up at once", plain, off, hangsUp(smtptest.Connect), nil, 0, again, true, sends, "sender_down", "greeting: the server closed the connection"},
	{"greets with 421, as the only connection", plain, off, refuses(smtptest.Connect, 421, "4.7.0 try later"), nil, 0, again, true, sends, "sender_down", "greeting: the server answered 421"},
	{"greets a further connection with 421", smtptest.Options{TLS: smtptest.NoTLS, Connections: 1}, off, nil, nil, 20, sent, false, notAsked, "", ""},
	{"greets with 554", plain, off, refuses(smtptest.Connect, 554, "no service for you"), nil, 0, again, true, sends, "sender_down", "greeting: the server answered 554"},
	{"answers EHLO with 550", plain, off, refuses(smtptest.Hello, 550, "5.7.1 bad name"), nil, 0, again, true, sends, "sender_down", "EHLO: the server answered 550"},
	{"is silent after EHLO", plain, hurried, isSilent(smtptest.Hello), nil, 0, again, true, sends, "sender_down", "EHLO: no answer in time"},
	{"does not offer STARTTLS", plain, nil, nil, nil, 0, again, true, sends, "sender_down", "the server does not offer STARTTLS"},
	{"expects TLS from the first byte", smtptest.Options{TLS: smtptest.Implicit}, nil, nil, nil, 0, again, true, sends, "sender_down", "write tls implicit"},
	{"knows no TLS from the first byte", smtptest.Options{}, func(c *smtp.Config) { c.TLS = smtp.Implicit }, nil, nil, 0, again, true, sends, "sender_down", "write tls starttls"},
	{"has a certificate for another name", smtptest.Options{Names: []string{"mx.example.net"}}, nil, nil, nil, 0, again, true, sends, "sender_down", "server_name"},
	{"has a certificate of an unknown authority", smtptest.Options{}, func(c *smtp.Config) { c.RootCAs = nil }, nil, nil, 0, again, true, sends, "sender_down", "name its certificate by ca"},
	{"refuses the password", signIn, func(c *smtp.Config) { c.Username, c.Password = "mailer", "wrong" }, nil, nil, 0, again, true, sends, "sender_down", "AUTH: the server answered 535"},
	{"refuses SCRAM and takes PLAIN", smtptest.Options{Username: "mailer", Password: "pass word", Mechanisms: []string{"SCRAM-SHA-256", "PLAIN"}, Broken: map[string]int{"SCRAM-SHA-256": 535}}, password, nil, nil, 0, sent, false, notAsked, "", ""},
	{"puts the sign-in off (454)", signIn, password, refuses(smtptest.Auth, 454, "4.7.0 temporary failure"), nil, 0, again, true, sends, "sender_down", "AUTH: the server answered 454"},
	{"offers no sign-in that we speak", smtptest.Options{Username: "mailer", Password: "pass word", Mechanisms: []string{"NTLM"}}, password, nil, nil, 0, again, true, sends, "sender_down", "the server offers the sign-ins NTLM"},
	{"answers MAIL FROM with 451", plain, off, refuses(smtptest.MailFrom, 451, "4.3.0 local error"), nil, 0, again, false, sends, "deferred", "MAIL FROM: the server answered 451"},
	{"refuses the address in `from` (550)", plain, off, refuses(smtptest.MailFrom, 550, "5.7.60 not permitted to send as this sender"), nil, 0, over, false, sends, "rejected", "MAIL FROM: the server answered 550"},
	{"is silent after MAIL FROM", plain, hurried, isSilent(smtptest.MailFrom), nil, 0, again, true, sends, "sender_down", "MAIL FROM: no answer in time"},
	{"puts the recipient off (450, greylisting)", plain, off, refuses(smtptest.RcptTo, 450, "4.2.0 greylisted"), nil, 0, again, false, sends, "deferred", "RCPT TO: the server answered 450"},
	{"puts the recipient off once", plain, off, func(s *smtptest.Server) { s.RefuseOnce(smtptest.RcptTo, 450) }, nil, 0, sent, false, sends, "deferred", "RCPT TO: the server answered 450"},
	{"does not know the recipient (550 5.1.1)", plain, off, refuses(smtptest.RcptTo, 550, "5.1.1 no such user"), nil, 0, over, false, sends, "rejected", "RCPT TO: the server answered 550"},
	{"does not relay for us (554 5.7.1)", plain, off, refuses(smtptest.RcptTo, 554, "5.7.1 relay access denied"), nil, 0, over, false, sends, "rejected", "RCPT TO: the server answered 554"},
	{"answers RCPT TO with 421", plain, off, refuses(smtptest.RcptTo, 421, "4.3.2 going down"), nil, 0, again, false, sends, "deferred", "RCPT TO: the server answered 421"},
	{"hangs up at RCPT TO", plain, off, hangsUp(smtptest.RcptTo), nil, 0, again, false, sends, "deferred", "RCPT TO: the server closed the connection"},
	{"is silent after RCPT TO", plain, hurried, isSilent(smtptest.RcptTo), nil, 0, again, false, sends, "deferred", "RCPT TO: no answer in time"},
	{"puts the whole mail off (451)", plain, off, refuses(smtptest.Data, 451, "4.3.0 content filter is busy"), nil, 0, again, false, sends, "deferred", "DATA: the server answered 451"},
	{"refuses the whole mail (554)", plain, off, refuses(smtptest.Data, 554, "5.7.1 looks like spam"), nil, 0, over, false, sends, "rejected", "DATA: the server answered 554"},
	{"hangs up after the whole mail", plain, off, hangsUp(smtptest.Data), nil, 0, maybe, false, repeats, "maybe", "DATA: the server closed the connection; the mail was handed over whole"},
	{"is silent after the whole mail", plain, hurried, isSilent(smtptest.Data), nil, 0, maybe, false, repeats, "maybe", "DATA: no answer in time; the mail was handed over whole"},
	{"takes it after more than 30 s", plain, hurried, isSilent(smtptest.Data), (*smtptest.Server).Release, 0, sent, false, repeats, "maybe", "DATA: no answer in time; the mail was handed over whole"},
	{"takes it and hangs up", plain, off, hangsUp(smtptest.AfterData), nil, 0, sent, false, notAsked, "", ""},
}

// tried is an outbox at work, with what was heard of it.
type tried struct {
	*testing.T
	box   *outbox.Outbox
	heard chan event.Event
}

// try gives the outbox mails and these lines.
func try(t *testing.T, mails int, senders ...outbox.Sender) *tried {
	t.Helper()
	in, r := memstore.New(), &tried{T: t, heard: make(chan event.Event, 1000)}
	r.box = newBox(t, in, func(e event.Event) { r.heard <- e }, senders...)
	for i := range max(mails, 1) {
		e := entry(fmt.Sprintf("challenge-%d", i))
		e.To = fmt.Sprintf("p%d@d%d.example", i, i)
		if err := in.Update(t.Context(), func(tx store.Tx) error { return r.box.Put(tx, e) }); err != nil {
			t.Fatal(err)
		}
		r.box.Add(e)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.box.Run(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
	return r
}

// next is what is heard next of a mail.
func (r *tried) next() event.Event {
	r.Helper()
	select {
	case e := <-r.heard:
		return e
	case <-time.After(20 * time.Second):
		r.Fatal("nothing becomes of the mail")
		panic("unreachable")
	}
}

// is waits until what the outbox says of itself is so, and looks whether it stays so.
func (r *tried) is(what string, so func() bool) {
	r.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("it is not: %s", what)
		}
	}
	if time.Sleep(20 * time.Millisecond); !so() {
		r.Errorf("it was, and is not any more: %s", what)
	}
}

func (b behaviour) start(t *testing.T) (*smtptest.Server, outbox.Sender) {
	t.Helper()
	srv := smtptest.Start(t, b.server)
	c := smtp.Config{Host: srv.Host, Port: srv.Port, RootCAs: srv.RootCAs, Hello: "gate.example.com"}
	if b.client != nil {
		b.client(&c)
	}
	sender, err := smtp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sender.Close() })
	if b.spoil != nil {
		b.spoil(srv)
	}
	return srv, sender
}

// told looks at what is heard of the line that misbehaves.
func (b behaviour) told(t *testing.T, e event.Event) {
	t.Helper()
	if e.Name != event.MailFailed || e.Reason != b.reason || !strings.Contains(e.Detail, b.says) {
		t.Errorf("told %s %s: %s", e.Name, e.Reason, e.Detail)
	}
}

// row is the behaviour in docs/mail.md.
func (b behaviour) row() string {
	signIns, says := "go on", "–"
	if b.down {
		signIns = "503"
	}
	if b.reason != "" {
		says = fmt.Sprintf("`%s`: %s", b.reason, b.says)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", b.does, b.alone, signIns, b.second, says)
}

// Whatever a mail server does, the mail, those who sign in meanwhile, a second line
// and whoever looks are served as docs/mail.md says.
func TestWhatBecomesOfAMail(t *testing.T) {
	doc, err := os.ReadFile("../../docs/mail.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range behaviours {
		t.Run(b.does, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(string(doc), "\n"+b.row()+"\n") {
				t.Errorf("docs/mail.md lacks\n%s", b.row())
			}
			t.Run("alone", b.byItself)
			t.Run("with a second line", b.helped)
		})
	}
}

func (b behaviour) byItself(t *testing.T) {
	srv, first := b.start(t)
	r := try(t, b.mails, first)
	mails := max(b.mails, 1)
	if b.reason != "" {
		b.told(t, r.next())
		if status := r.box.Senders(false)[0]; !strings.Contains(status.Reason, b.says) || status.Down != b.down {
			t.Errorf("status %+v", status)
		}
	}
	if b.mend != nil {
		b.mend(srv)
	}
	switch b.alone {
	case sent:
		for range mails {
			if e := r.next(); e.Name != event.MailSent {
				t.Errorf("%s: %s", e.Name, e.Detail)
			}
		}
		r.is("sent", func() bool { return r.box.Waiting() == 0 })
		if n := len(srv.Messages()); n != mails {
			t.Errorf("%d mails of %d", n, mails)
		}
	case again:
		r.is("tried again", func() bool { return r.box.Waiting() == 1 && r.box.Maybe() == 0 })
	case over:
		r.is("given up", func() bool { return r.box.Waiting() == 0 })
	case maybe:
		r.is("maybe sent", func() bool { return r.box.Maybe() == 1 })
	}
	if _, down := r.box.Down(false); down != b.down {
		t.Errorf("new sign-ins are refused: %t", down)
	}
}

func (b behaviour) helped(t *testing.T) {
	srv, first := b.start(t)
	other, second := behaviour{server: plain, client: off}.start(t)
	r := try(t, b.mails, first, second)
	if b.reason != "" {
		b.told(t, r.next())
	}
	for range max(b.mails, 1) {
		if e := r.next(); e.Name != event.MailSent {
			t.Errorf("%s: %s", e.Name, e.Detail)
		}
	}
	r.is("sent", func() bool { return r.box.Waiting() == 0 })
	got := len(other.Messages())
	if asked := got > 0; asked != (b.second != notAsked) {
		t.Errorf("the second line got %d mails", got)
	}
	if _, down := r.box.Down(false); down {
		t.Error("new sign-ins are refused")
	}
	if b.second == repeats {
		b.same(t, srv, other)
	}
}

// same looks whether two copies of a mail are one to a mailbox.
func (behaviour) same(t *testing.T, servers ...*smtptest.Server) {
	t.Helper()
	ids := map[string]bool{}
	for _, srv := range servers {
		for line := range strings.SplitSeq(srv.Transcript(), "\n") {
			if id, ok := strings.CutPrefix(strings.TrimSpace(line), "Message-ID: "); ok {
				ids[id] = true
			}
		}
	}
	if len(ids) != 1 {
		t.Errorf("Message-IDs %v", ids)
	}
}

// An HTTP API that got a mail and did not answer may have taken it, too; one that got
// none has not.
func TestHTTPWithoutAnAnswer(t *testing.T) {
	o := newOffice(t)
	for i, name := range []string{"", "mailgun", "gmail", "graph"} {
		if name == "" {
			continue
		}
		for what, handle := range map[string]http.HandlerFunc{
			"hangs up": func(w http.ResponseWriter, r *http.Request) {
				_, _ = http.MaxBytesReader(w, r.Body, 1<<20).Read(make([]byte, 1<<20))
				panic(http.ErrAbortHandler)
			},
			"answers": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		} {
			web := httptest.NewServer(handle)
			senders := o.at(web.URL)
			err := senders[i].Send(t.Context(), o.message())
			failed := new(outbox.SendError)
			if !errors.As(err, &failed) || failed.Fault != outbox.SenderDown || failed.Maybe != (what == "hangs up") {
				t.Errorf("%s %s: %+v", name, what, failed)
			}
			web.Close()
			failed = new(outbox.SendError)
			if err := senders[i].Send(t.Context(), o.message()); !errors.As(err, &failed) || failed.Maybe {
				t.Errorf("%s is not there: %+v", name, failed)
			}
		}
	}
}
