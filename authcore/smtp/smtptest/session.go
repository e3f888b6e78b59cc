package smtptest

import (
	"errors"
	"io"
	"net"

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
	err := s.server.apply(step, s.conn.Conn())
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
	if s.server.opts.Username != "" && s.user == "" {
		return smtp.ErrAuthRequired
	}
	_, encrypted := s.conn.TLSConnectionState()
	s.msg = Message{From: from, Helo: s.conn.Hostname(), User: s.user, TLS: encrypted}
	return s.apply(MailFrom)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if code := s.server.refusal(to); code != 0 {
		return answer(code, "no mail for <"+to+">")
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
		return err
	}
	s.msg.Data = data
	s.server.keep(s.msg)
	s.kept = true
	return nil
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
