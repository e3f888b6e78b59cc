package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

// quitTimeout bounds the farewell after a message was accepted.
const quitTimeout = 2 * time.Second

// Send hands m to the server. nil means the server answered 250 to the whole
// message; what happens to the connection after that changes nothing, since a
// second try would send a second mail. A connection that breaks between the
// last line and that answer leaves it open whether the mail went out; it counts
// as Deferred, so a person may get the same mail twice, but never none.
func (s *Sender) Send(ctx context.Context, m outbox.Message) error {
	data, err := rfc5322.Encode(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return s.dialogue(ctx, m, func(d *dialogue) []func() error {
		return []func() error{
			func() error { return d.envelope(m.FromAddress, m.To.String()) },
			func() error { return d.data(data) },
		}
	})
}

// Check connects, encrypts and signs in as Send does, and sends nothing. An
// error is a *outbox.SendError.
func (s *Sender) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return s.dialogue(ctx, outbox.Message{}, func(*dialogue) []func() error { return nil })
}

// dialogue is one connection, or several, while the server refuses a token or a
// mechanism and there is another. then is what follows the sign-in.
func (s *Sender) dialogue(ctx context.Context, m outbox.Message, then func(*dialogue) []func() error) error {
	var refused []string
	for {
		d := &dialogue{Sender: s, ctx: ctx, refused: refused}
		if s.config.Tokens != nil {
			token, err := s.config.Tokens.Token(ctx)
			if err != nil {
				return err
			}
			d.token = &xoauth2{username: s.config.Username, token: token}
		}
		err := d.run(then(d)...)
		if err == nil {
			return nil
		}
		if !d.mayTryAgain(err) {
			return s.sendError(ctx, d, err, m)
		}
		if d.token != nil {
			s.config.Tokens.Refused(d.token.token)
		}
		refused = append(refused, d.mechanism)
	}
}

// mayTryAgain tells whether the server refused a sign-in that has another one
// behind it: a token once, a mechanism where tryNext says so.
func (d *dialogue) mayTryAgain(err error) bool {
	reply := answer(err)
	if reply == nil || d.step != auth || reply.Code < 500 {
		return false
	}
	if d.token != nil {
		return len(d.refused) == 0
	}
	_, more := d.choose(d.offered, append(d.refused, d.mechanism))
	return more && tryNext(d.mechanism, reply.Code)
}

// dialogue is one connection and how far it has come.
type dialogue struct {
	*Sender
	ctx       context.Context // of the whole dialogue
	conn      net.Conn
	client    *smtp.Client
	step      step
	token     *xoauth2 // nil without tokens
	offered   []string // mechanisms, by the server
	refused   []string // mechanisms, on connections before
	mechanism string   // the one that was tried
}

// run connects, signs in, does then and says goodbye.
func (d *dialogue) run(then ...func() error) error {
	d.step = connect
	conn, err := new(net.Dialer).DialContext(d.ctx, "tcp", d.address())
	if err != nil {
		return err
	}
	d.conn = conn
	// go-mail leaves the connection open when a step fails.
	defer conn.Close()
	// Deadlines in the past wake every read and write, TLS included.
	stop := context.AfterFunc(d.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	d.step = greeting
	for _, do := range append([]func() error{d.greet, d.startTLS, d.signIn}, then...) {
		if err := do(); err != nil {
			return err
		}
	}
	stop()
	d.quit()
	return nil
}

func (d *dialogue) greet() (err error) {
	conn := d.conn
	if d.config.TLS == Implicit {
		conn = tls.Client(conn, d.tls)
	}
	if d.config.TLS == StartTLS {
		if conn, err = d.doubtSilence(); err != nil {
			return err
		}
	}
	if d.client, err = smtp.NewClient(conn, d.config.Host); err != nil {
		return err
	}
	// Addresses are ASCII; SMTPUTF8 would only narrow where the mail may go.
	d.client.SkipSMTPUTF8(true)
	d.step = hello
	return d.client.Hello(d.config.Hello)
}

// doubtAfter is how long a server may be silent before it is asked whether it
// waits for TLS. Providers that delay strangers' greetings do so for 6 s and more.
var doubtAfter = 5 * time.Second

// doubtSilence waits for the first byte of the greeting, and on the way finds out
// whether the server waits for the first byte of TLS, which would be 30 s of
// silence with no word on why.
func (d *dialogue) doubtSilence() (net.Conn, error) {
	first := make([]byte, 1)
	d.deadline(time.Now().Add(doubtAfter))
	n, err := d.conn.Read(first)
	silent := errors.Is(err, os.ErrDeadlineExceeded) && d.ctx.Err() == nil
	if silent && d.speaksTLS() {
		return nil, errWantsImplicit
	}
	d.deadline(time.Time{})
	if silent {
		n, err = d.conn.Read(first)
	}
	return &begun{d.conn, first[:n]}, err
}

// speaksTLS tries it on a connection of its own.
func (d *dialogue) speaksTLS() bool {
	ctx, cancel := context.WithTimeout(d.ctx, doubtAfter)
	defer cancel()
	conn, err := (&tls.Dialer{Config: d.tls}).DialContext(ctx, "tcp", d.address())
	if err == nil {
		_ = conn.Close()
	}
	var certificate *tls.CertificateVerificationError
	return err == nil || errors.As(err, &certificate)
}

// deadline is for the connection's next reads, within those of ctx.
func (d *dialogue) deadline(t time.Time) {
	_ = d.conn.SetReadDeadline(t)
	if d.ctx.Err() != nil {
		_ = d.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// begun is a connection whose first bytes were read already.
type begun struct {
	net.Conn
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

func (d *dialogue) startTLS() error {
	if d.config.TLS != StartTLS {
		return nil
	}
	d.step = startTLS
	// No opportunistic mode: whoever can strip the offer would get the mail.
	if offered, _ := d.client.Extension("STARTTLS"); !offered {
		return errNoStartTLS
	}
	return d.client.StartTLS(d.tls)
}

func (d *dialogue) signIn() error {
	if d.config.Username == "" {
		return nil
	}
	d.step = auth
	_, offered := d.client.Extension("AUTH")
	d.offered = strings.Fields(strings.ToUpper(offered))
	if d.token != nil {
		d.mechanism = xoauth2Name
		if !slices.Contains(d.offered, xoauth2Name) {
			return &noMechanism{d.offered, []string{xoauth2Name}}
		}
		return d.client.Auth(d.token)
	}
	var ok bool
	if d.mechanism, ok = d.choose(d.offered, d.refused); !ok {
		spoken := mechanisms
		if d.config.Auth != "" {
			spoken = []string{d.config.Auth + " (by auth)"}
		}
		return &noMechanism{d.offered, spoken}
	}
	if err := d.client.Auth(d.config.mechanism(d.mechanism)); err != nil {
		return err
	}
	d.worked.Store(&d.mechanism)
	return nil
}

func (d *dialogue) envelope(from, to string) error {
	d.step = mailFrom
	if err := d.client.Mail("<" + from + ">"); err != nil {
		return err
	}
	d.step = rcptTo
	return d.client.Rcpt("<" + to + ">")
}

func (d *dialogue) data(data []byte) error {
	d.step = dataStep
	w, err := d.client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close() // sends the final dot and waits for the answer
}

// quit says goodbye. Its outcome is of no interest: the message is delivered.
func (d *dialogue) quit() {
	_ = d.conn.SetDeadline(time.Now().Add(quitTimeout))
	_ = d.client.Quit()
}
