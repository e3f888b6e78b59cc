package smtptest

import (
	"errors"
	"io"
	"net"
	"strings"

	"github.com/emersion/go-smtp"
)

// session is one connection after EHLO.
type session struct {
	server *Server
	conn   *smtp.Conn
	user   string
	msg    Message
	kept   bool // a message was kept and its 250 is being sent
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	ses := &session{server: s, conn: c}
	if err := ses.apply(Hello); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	return ses, nil
}

func (s *session) apply(step Step) error {
	r, stopped := s.server.rule(step)
	if r.when != nil && !r.when.met(s.msg) {
		return nil
	}
	return s.closing(r.apply(s.conn.Conn(), stopped))
}

// closing lets a 421 end the connection.
func (s *session) closing(err error) error {
	var refused *smtp.SMTPError
	if errors.As(err, &refused) && refused.Code == 421 {
		// The library goes on after a 421; closing the read side lets the
		// answer out and ends the connection at the next read.
		closeRead(s.conn.Conn())
	}
	return err
}

func closeRead(conn net.Conn) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.CloseRead()
	}
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	_, encrypted := s.conn.TLSConnectionState()
	s.msg = Message{From: from, Helo: s.conn.Hostname(), User: s.user, TLS: encrypted}
	if err := s.apply(MailFrom); err != nil {
		return err
	}
	if (s.server.opts.Username != "" || s.server.opts.Token != nil) && s.user == "" {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.closing(s.server.applyTo(to, s.conn.Conn())); err != nil {
		return err
	}
	if err := s.apply(RcptTo); err != nil {
		return err
	}
	s.msg.To = append(s.msg.To, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.apply(Data); err != nil {
		return repeat(err, s.msg.To, data)
	}
	s.msg.Data = data
	s.server.keep(s.msg)
	s.kept = true
	return nil
}

// repeat puts into an answer what servers like to repeat.
func repeat(err error, to []string, data []byte) error {
	var refused *smtp.SMTPError
	if !errors.As(err, &refused) || !strings.Contains(refused.Message, "{") {
		return err
	}
	mail, parseErr := parse(data)
	if parseErr != nil {
		return err
	}
	link := linkURL.FindString(mail.Text)
	code := ""
	if found := codeDigits.FindStringSubmatch(mail.Subject); found != nil {
		code = found[1]
	}
	refused.Message = strings.NewReplacer("{to}", strings.Join(to, ","), "{code}", code, "{link}", link).Replace(refused.Message)
	return refused
}

// Reset is called after the answer to Data is written, among other times.
func (s *session) Reset() {
	s.msg = Message{}
	if s.kept {
		s.kept = false
		_ = s.apply(AfterData)
	}
}

// Logout is called when the connection ends, and before TLS begins.
func (s *session) Logout() error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.open--
	close(s.server.closed)
	s.server.closed = make(chan struct{})
	return nil
}
