package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

const (
	// connectTimeout bounds the TCP handshake: who does not answer one within
	// this time is not slow but gone.
	connectTimeout = 10 * time.Second
	quitTimeout    = 2 * time.Second // for the farewell
)

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
	return s.pool.use(ctx, func(kept *dialogue) (*dialogue, error) {
		if kept != nil {
			err := kept.hold(ctx, func() error { return kept.message(m, data) })
			if err == nil {
				return kept, nil
			}
			kept.conn.Close()
			if kept.step != mailFrom {
				return nil, s.sendError(ctx, kept, err, m)
			}
			// The server has given up a connection that was idle: nothing of m
			// was said on it but who it is from.
		}
		return s.dialogue(ctx, m, func(d *dialogue) error { return d.message(m, data) })
	})
}

// Check connects, encrypts and signs in as Send does, and sends nothing. An
// error is a *outbox.SendError.
func (s *Sender) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	d, err := s.dialogue(ctx, outbox.Message{}, func(*dialogue) error { return nil })
	if err == nil {
		d.quit()
	}
	return err
}

// Offer goes as far as Send does before the message itself: the server is told who
// it is from and for whom, and then that there is none. An error is a
// *outbox.SendError.
func (s *Sender) Offer(ctx context.Context, from string, to address.Address) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	m := outbox.Message{FromAddress: from, To: to}
	d, err := s.dialogue(ctx, m, func(d *dialogue) error {
		if err := d.envelope(m); err != nil {
			return err
		}
		return d.client.Reset()
	})
	if err == nil {
		d.quit()
	}
	return err
}

// Close ends the connections that wait for another mail. A Sender can be used
// after that all the same; then it keeps none.
func (s *Sender) Close() error {
	s.pool.close()
	return nil
}

// dialogue is one new connection, or several, while the server refuses a token or
// a mechanism and there is another. then is what follows the sign-in.
func (s *Sender) dialogue(ctx context.Context, m outbox.Message, then func(*dialogue) error) (*dialogue, error) {
	var refused []string
	for {
		d := &dialogue{Sender: s, refused: refused}
		if s.config.Tokens != nil {
			token, err := s.config.Tokens.Token(ctx)
			if err != nil {
				return nil, err
			}
			d.token = &xoauth2{username: s.config.Username, token: token}
		}
		err := d.connect(ctx, then)
		if err == nil {
			return d, nil
		}
		if !d.mayTryAgain(err) {
			return nil, s.sendError(ctx, d, err, m)
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
	ctx       context.Context // of what is being done
	conn      net.Conn
	client    *smtp.Client
	step      step
	token     *xoauth2 // nil without tokens
	offered   []string // mechanisms, by the server
	refused   []string // mechanisms, on connections before
	mechanism string   // the one that was tried
}

// connect connects, signs in and does then. After an error the connection is
// closed.
func (d *dialogue) connect(ctx context.Context, then func(*dialogue) error) error {
	d.step = connect
	conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "tcp", d.address())
	if err != nil {
		return err
	}
	d.conn = conn
	d.step = greeting
	err = d.hold(ctx, func() error {
		for _, do := range []func() error{d.greet, d.startTLS, d.signIn} {
			if err := do(); err != nil {
				return err
			}
		}
		return then(d)
	})
	if err != nil {
		conn.Close() // go-mail leaves it open when a step fails
	}
	return err
}

// hold does something on the connection while ctx lasts: deadlines in the past
// wake every read and write, TLS included.
func (d *dialogue) hold(ctx context.Context, do func() error) error {
	d.ctx = ctx
	_ = d.conn.SetDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = d.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return do()
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

// message hands over one mail.
func (d *dialogue) message(m outbox.Message, data []byte) error {
	if err := d.envelope(m); err != nil {
		return err
	}
	return d.data(m, data)
}

// envelope says who a mail is from and for whom.
func (d *dialogue) envelope(m outbox.Message) error {
	d.step = mailFrom
	if err := d.client.Mail("<" + m.FromAddress + ">"); err != nil {
		return err
	}
	d.step = rcptTo
	return d.client.Rcpt("<" + m.To.String() + ">")
}

func (d *dialogue) data(m outbox.Message, data []byte) error {
	d.step = dataStep
	w, err := d.client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // sends the final dot and waits for the answer
		return err
	}
	if said, ok := w.(*smtp.DataCloser); ok {
		m.Rename(d.renamed(said.ServerResponse()))
	}
	return nil
}

// sesAnswer is how Amazon SES takes a mail: with the first part of the Message-ID
// that it puts in the place of ours.
var sesAnswer = regexp.MustCompile(`^(?:2\.\d\.\d )?Ok ([0-9a-f]{16}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}-000000)$`)

var sesHost = regexp.MustCompile(`^email-smtp(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com$`)

// renamed is the Message-ID that the server gave the mail, if it says so.
func (d *dialogue) renamed(said string) string {
	id := sesAnswer.FindStringSubmatch(strings.TrimSpace(said))
	if id == nil {
		return ""
	}
	region := sesHost.FindStringSubmatch(d.config.Host)
	if region == nil || region[1] == "us-east-1" { // the first of all has no name
		return id[1] + "@email.amazonses.com"
	}
	return id[1] + "@" + region[1] + ".amazonses.com"
}

// quit says goodbye. Its outcome is of no interest: the mails are delivered.
func (d *dialogue) quit() {
	_ = d.conn.SetDeadline(time.Now().Add(quitTimeout))
	_ = d.client.Quit()
	d.conn.Close()
}
