package smtptest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
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
	once bool
	code int
	text string
	drop bool
	hold *hold
	when *condition // nil: always
}

type condition struct{ met func(Message) bool }

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

// RefuseText is Refuse with the text of the answer. A status code of RFC 3463 at
// its beginning takes the place of the usual x.0.0. At Data, {to}, {code} and {link} in it
// stand for what is in the mail.
func (s *Server) RefuseText(step Step, code int, text string) {
	s.setRule(step, rule{code: code, text: text})
}

// RefuseWhen is RefuseText at MailFrom or RcptTo for what has come so far of some
// messages: who greeted, who signed in, who it is from.
func (s *Server) RefuseWhen(step Step, code int, text string, met func(Message) bool) {
	s.setRule(step, rule{code: code, text: text, when: &condition{met}})
}

// RefuseOnce is Refuse for the next answer at step alone.
func (s *Server) RefuseOnce(step Step, code int) {
	s.setRule(step, rule{once: true, code: code, text: "refused once by the test"})
}

// RefuseTo makes the server answer code to RCPT TO for one address.
func (s *Server) RefuseTo(address string, code int) {
	s.setRuleTo(address, rule{code: code, text: "no mail for <" + address + ">"})
}

// DropTo is Drop at RCPT TO for one address.
func (s *Server) DropTo(address string) { s.setRuleTo(address, rule{drop: true}) }

// HoldTo is Hold at RCPT TO for one address, until the server stops.
func (s *Server) HoldTo(address string) (reached <-chan struct{}) {
	h := &hold{reached: make(chan struct{}), released: make(chan struct{})}
	s.setRuleTo(address, rule{hold: h})
	return h.reached
}

func (s *Server) setRuleTo(address string, r rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to[address] = r
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

// Release lets go on whoever is held, at any step.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for step, r := range s.rules {
		if r.hold != nil {
			close(r.hold.released)
			delete(s.rules, step)
		}
	}
}

// HoldThen is Hold with an answer of code after release; 0 cuts the connection.
func (s *Server) HoldThen(step Step, code int) (reached <-chan struct{}, release func()) {
	h := &hold{reached: make(chan struct{}), released: make(chan struct{})}
	s.setRule(step, rule{hold: h, code: code, drop: code == 0, text: "refused late by the test"})
	return h.reached, func() { close(h.released) }
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
	r := s.rules[step]
	if r.once {
		delete(s.rules, step)
	}
	return r, s.stopped
}

var errDropped = errors.New("dropped by the test")

// applyTo carries out the rule for RCPT TO of one address; nil means: answer normally.
func (s *Server) applyTo(address string, conn net.Conn) error {
	s.mu.Lock()
	r, stopped := s.to[address], s.stopped
	s.mu.Unlock()
	return r.apply(conn, stopped)
}

func (r rule) apply(conn net.Conn, stopped <-chan struct{}) error {
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
	status := smtp.EnhancedCode{code / 100, 0, 0}
	if first, rest, _ := strings.Cut(text, " "); strings.Count(first, ".") == 2 {
		if n, _ := fmt.Sscanf(first, "%d.%d.%d", &status[0], &status[1], &status[2]); n == 3 {
			text = rest
		}
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: status, Message: text}
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
			if conn, r = g.admit(conn); r == (rule{}) {
				return conn, nil
			}
		}
		g.server.served.Go(func() { g.turnAway(conn, r) })
	}
}

// admit counts a connection in, if there is a place for it.
func (g *gate) admit(conn net.Conn) (net.Conn, rule) {
	s := g.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if most := s.opts.Connections; most > 0 && s.connected >= most {
		s.refused++
		return conn, rule{code: 421, text: "4.7.0 too many connections from you"}
	}
	s.accepted++
	if s.opts.Connections == 0 {
		return conn, rule{}
	}
	s.connected++
	return &counted{Conn: conn, server: s}, rule{}
}

// counted is a connection that has a place.
type counted struct {
	net.Conn
	server *Server
	once   sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() {
		c.server.mu.Lock()
		defer c.server.mu.Unlock()
		c.server.connected--
	})
	return c.Conn.Close()
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
