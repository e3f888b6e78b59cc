package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

const (
	// handshakeTimeout bounds the TCP handshake: who does not answer one within
	// this time is not slow but gone.
	handshakeTimeout = 10 * time.Second
	quitTimeout      = 2 * time.Second // for the farewell
	// lateAnswer is how long a server may take for its answer to a mail's last line
	// (RFC 5321 section 4.5.3.2.6).
	lateAnswer = 10 * time.Minute
)

// Send hands m to the server. nil means the server answered 250 to the whole
// message; what happens to the connection after that changes nothing, since a
// second try would send a second mail. Where no answer comes to the last line, the
// mail may be delivered, and SendError.Maybe says so.
func (s *Sender) Send(ctx context.Context, m outbox.Message) error {
	data, err := rfc5322.Encode(m)
	if err != nil {
		return err
	}
	return s.pool.use(ctx, s.config.Timeout, func(kept *dialogue) (*dialogue, error) {
		if kept != nil {
			err := kept.message(ctx, m, data)
			if err == nil {
				return kept, nil
			}
			if kept.step != mailFrom {
				return nil, s.sendError(kept, err, m)
			}
			// The server has given up a connection that was idle: nothing of m
			// was said on it but who it is from.
		}
		d, err := s.dialogue(ctx, m)
		if err != nil {
			return nil, err
		}
		if err := d.message(ctx, m, data); err != nil {
			return nil, s.sendError(d, err, m)
		}
		return d, nil
	})
}

// Check connects, encrypts and signs in as Send does, and sends nothing. An
// error is a *outbox.SendError.
func (s *Sender) Check(ctx context.Context) error {
	d, err := s.dialogue(ctx, outbox.Message{})
	if err == nil {
		d.quit()
	}
	return err
}

// Offer goes as far as Send does before the message itself: the server is told who
// it is from and for whom, and then that there is none. An error is a
// *outbox.SendError.
func (s *Sender) Offer(ctx context.Context, from string, to address.Address) error {
	m := outbox.Message{FromAddress: from, To: to}
	d, err := s.dialogue(ctx, m)
	if err != nil {
		return err
	}
	err = d.hold(ctx, s.config.Timeout, func() error {
		if err := d.envelope(m); err != nil {
			return err
		}
		return d.client.Reset()
	})
	if err != nil {
		d.conn.Close()
		return s.sendError(d, err, m)
	}
	d.quit()
	return nil
}

// Close ends the connections that wait for another mail. A Sender can be used
// after that all the same; then it keeps none.
func (s *Sender) Close() error {
	s.pool.close()
	return nil
}

// dialogue is one new connection, or several, while the server refuses a token or
// a mechanism and there is another.
func (s *Sender) dialogue(ctx context.Context, m outbox.Message) (*dialogue, error) {
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
		err := d.connect(ctx)
		if err == nil {
			return d, nil
		}
		if !d.mayTryAgain(err) {
			return nil, s.sendError(d, err, m)
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
	token     *xoauth2                    // nil without tokens
	offered   []string                    // mechanisms, by the server
	refused   []string                    // mechanisms, on connections before
	mechanism string                      // the one that was tried
	ended     bool                        // the last line of a mail was sent
	late      func(context.Context) error // see outbox.SendError.Late
}

// connect connects and signs in. After an error the connection is closed.
func (d *dialogue) connect(ctx context.Context) error {
	d.step = connect
	within, cancel := context.WithTimeout(ctx, d.connecting())
	defer cancel()
	conn, err := (&net.Dialer{Timeout: handshakeTimeout}).DialContext(within, "tcp", d.address())
	if err != nil {
		return because(within, err)
	}
	d.conn = &bounded{Conn: conn}
	d.step = greeting
	err = d.hold(within, d.connecting(), func() error {
		for _, do := range []func() error{d.greet, d.startTLS, d.signIn} {
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		d.conn.Close() // go-mail leaves it open when a step fails
	}
	return err
}

// hold does something on the connection while ctx lasts, for so long at most:
// deadlines in the past wake every read and write, TLS included.
func (d *dialogue) hold(ctx context.Context, most time.Duration, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	d.ctx = ctx
	_ = d.conn.SetDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = d.conn.SetDeadline(time.Unix(1, 0)) })
	err := do()
	if !stop() && err == nil {
		return context.Cause(ctx) // its deadlines may hit what comes next
	}
	return because(ctx, err)
}

// because is err with its cause, where what the connection says is only our own
// deadline.
func because(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || answer(err) != nil {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
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

// asksFor is how long that may take, a TLS handshake.
const asksFor = 5 * time.Second

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
	ctx, cancel := context.WithTimeout(d.ctx, asksFor)
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

// mostAnswer bounds what a server says before it is spoken to again, in bytes:
// RFC 5321's lines of 512 by the hundreds, or a TLS handshake with its
// certificates. Greeting and EHLO come before TLS, so that anybody on the way can
// go on for ever.
const mostAnswer = 256 << 10

var errEndless = errors.New("the server's answer does not end")

// bounded is a connection that ends where an answer is longer than mostAnswer.
type bounded struct {
	net.Conn
	answer atomic.Int64 // bytes since the last that we wrote
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.answer.Load() >= mostAnswer {
		return 0, errEndless
	}
	n, err := b.Conn.Read(p[:min(len(p), mostAnswer)])
	b.answer.Add(int64(n))
	return n, err
}

func (b *bounded) Write(p []byte) (int, error) {
	b.answer.Store(0)
	return b.Conn.Write(p)
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

// message hands over one mail. After an error the connection is closed, or waits
// for a late answer.
func (d *dialogue) message(ctx context.Context, m outbox.Message, data []byte) error {
	var end io.WriteCloser
	d.ended, d.late = false, nil
	began := time.Now()
	err := d.hold(ctx, d.config.Timeout, func() (err error) {
		if err = d.envelope(m); err != nil {
			return err
		}
		d.step = dataStep
		if end, err = d.client.Data(); err != nil {
			return err
		}
		_, err = end.Write(data)
		return err
	})
	if err == nil {
		d.ended = true
		err = d.end(ctx, d.config.Timeout-time.Since(began), m, end)
	}
	if err != nil && d.late == nil {
		d.conn.Close()
	}
	return err
}

// end sends the last line and waits for the answer: so long, and then
// as long as d.late is asked to.
func (d *dialogue) end(ctx context.Context, most time.Duration, m outbox.Message, w io.WriteCloser) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	_ = d.conn.SetDeadline(time.Now().Add(lateAnswer))
	answered := make(chan error, 1)
	go func() { answered <- w.Close() }() // sends the final dot and waits for the answer
	taken := func(err error) error {
		if said, ok := w.(*smtp.DataCloser); ok && err == nil {
			m.Rename(d.renamed(said.ServerResponse()))
		}
		return err
	}
	select {
	case err := <-answered:
		return taken(err)
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.Canceled) { // nobody will ask
		d.conn.Close()
		return cmp.Or(context.Cause(ctx), <-answered)
	}
	d.pool.unanswered(d.conn)
	d.late = func(ctx context.Context) error {
		defer d.pool.answered(d.conn)
		d.late = nil
		select {
		case err := <-answered:
			if err = taken(err); err != nil {
				d.conn.Close()
				return d.sendError(d, err, m)
			}
			d.quit()
			return nil
		case <-ctx.Done():
			d.conn.Close()
			return d.sendError(d, cmp.Or(context.Cause(ctx), <-answered), m)
		}
	}
	return context.Cause(ctx)
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
