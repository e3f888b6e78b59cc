package smtp

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

// quitTimeout bounds the farewell after a message was accepted.
const quitTimeout = 2 * time.Second

// Send hands m to the server. nil means the server answered 250 to the whole
// message; what happens to the connection after that changes nothing, since a
// second try would send a second mail. A connection that breaks between the
// last line and that answer leaves it open whether the mail went out; it counts
// as Deferred, so a person may get the same mail twice, but never none.
func (s *Sender) Send(ctx context.Context, m authcore.Message) error {
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
// error is a *authcore.SendError.
func (s *Sender) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return s.dialogue(ctx, authcore.Message{}, func(*dialogue) []func() error { return nil })
}

// dialogue is one connection, or with tokens two, if the first token was
// refused. then is what follows the sign-in.
func (s *Sender) dialogue(ctx context.Context, m authcore.Message, then func(*dialogue) []func() error) error {
	for again := false; ; again = true {
		d := &dialogue{config: s.config, tls: s.tls}
		if s.config.Tokens != nil {
			token, err := s.config.Tokens.Token(ctx)
			if err != nil {
				return err
			}
			d.token = &xoauth2{username: s.config.Username, token: token}
		}
		err := d.run(ctx, s.address(), then(d)...)
		if err == nil {
			return nil
		}
		if reply := answer(err); d.token != nil && d.step == auth && reply != nil && reply.Code >= 500 && !again {
			s.config.Tokens.Refused(d.token.token)
			continue
		}
		return s.sendError(ctx, d, err, m)
	}
}

// dialogue is one connection and how far it has come.
type dialogue struct {
	config *Config
	tls    *tls.Config
	conn   net.Conn
	client *smtp.Client
	step   step
	token  *xoauth2 // nil without tokens
}

// run connects, signs in, does then and says goodbye.
func (d *dialogue) run(ctx context.Context, address string, then ...func() error) error {
	d.step = connect
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	d.conn = conn
	// go-mail leaves the connection open when a step fails.
	defer conn.Close()
	// Deadlines in the past wake every read and write, TLS included.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
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
	if d.client, err = smtp.NewClient(conn, d.config.Host); err != nil {
		return err
	}
	// Addresses are ASCII; SMTPUTF8 would only narrow where the mail may go.
	d.client.SkipSMTPUTF8(true)
	d.step = hello
	return d.client.Hello(d.config.Hello)
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
	if d.token != nil {
		if !slices.Contains(strings.Fields(strings.ToUpper(offered)), "XOAUTH2") {
			return errNoXOAUTH2
		}
		return d.client.Auth(d.token)
	}
	mechanism := chooseAuth(d.config, offered)
	if mechanism == nil {
		return errNoMechanism
	}
	return d.client.Auth(mechanism)
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
