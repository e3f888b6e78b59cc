package smtptest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/emersion/go-smtp"
)

// Step is a point of the dialogue at which a Server can misbehave.
type Step string

const (
	Connect   Step = "connect"    // instead of the 220 greeting
	Hello     Step = "hello"      // EHLO and HELO
	Auth      Step = "auth"       // the end of a sign-in
	MailFrom  Step = "mail from"  // MAIL FROM
	RcptTo    Step = "rcpt to"    // RCPT TO
	Data      Step = "data"       // the final dot: the message is read, not kept
	AfterData Step = "after data" // the 250 is sent and the message kept; Drop only
)

type rule struct {
	code int
	text string
	drop bool
	hold *hold
}

// hold is a silence: reached closes when the first connection falls silent,
// released when all may go on.
type hold struct {
	once              sync.Once
	reached, released chan struct{}
}

func (h *hold) wait(stopped <-chan struct{}) {
	h.once.Do(func() { close(h.reached) })
	select {
	case <-h.released:
	case <-stopped:
	}
}

// Refuse makes the server answer code at step from now on. 421 also closes the
// connection, as RFC 5321 section 3.8 demands.
func (s *Server) Refuse(step Step, code int) {
	s.RefuseText(step, code, fmt.Sprintf("refused at %s by the test", step))
}

// RefuseText is Refuse with the text of the answer.
func (s *Server) RefuseText(step Step, code int, text string) {
	s.setRule(step, rule{code: code, text: text})
}

// RefuseTo makes the server answer code to RCPT TO for one address.
func (s *Server) RefuseTo(address string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusedTo[address] = code
}

// Drop makes the server cut the connection at step instead of answering.
func (s *Server) Drop(step Step) { s.setRule(step, rule{drop: true}) }

// Hold makes the server fall silent at step until release is called, once, or
// the server stops. reached closes when the first connection is held. A held
// connection goes on normally after release, but one held at Connect is closed.
func (s *Server) Hold(step Step) (reached <-chan struct{}, release func()) {
	h := &hold{reached: make(chan struct{}), released: make(chan struct{})}
	s.setRule(step, rule{hold: h})
	return h.reached, func() {
		s.Accept(step)
		close(h.released)
	}
}

// Accept ends Refuse, Drop or Hold at step. It does not release what is held.
func (s *Server) Accept(step Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rules, step)
}

func (s *Server) setRule(step Step, r rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules[step] = r
}

func (s *Server) rule(step Step) (rule, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules[step], s.stopped
}

func (s *Server) refusal(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusedTo[address]
}

var errDropped = errors.New("dropped by the test")

// apply carries out the rule for step on conn; nil means: answer normally.
func (s *Server) apply(step Step, conn net.Conn) error {
	r, stopped := s.rule(step)
	if r.hold != nil {
		r.hold.wait(stopped)
	}
	switch {
	case r.drop:
		_ = conn.Close()
		return errDropped
	case r.code != 0:
		return answer(r.code, r.text)
	}
	return nil
}

func answer(code int, text string) error {
	return &smtp.SMTPError{
		Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: text,
	}
}

// gate stands at the listener, where the SMTP library has no hook.
type gate struct {
	net.Listener
	server  *Server
	stopped chan struct{}
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		r, _ := g.server.rule(Connect)
		if r == (rule{}) {
			return conn, nil
		}
		g.server.served.Go(func() { g.turnAway(conn, r) })
	}
}

func (g *gate) turnAway(conn net.Conn, r rule) {
	defer conn.Close()
	switch {
	case r.hold != nil:
		r.hold.wait(g.stopped)
	case r.code != 0:
		_, _ = fmt.Fprintf(conn, "%d %s\r\n", r.code, r.text)
		_, _ = io.Copy(io.Discard, conn) // until the client leaves, so that no RST eats the answer
	}
}
