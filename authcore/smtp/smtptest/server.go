package smtptest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// TLSMode is how a Server offers encryption.
type TLSMode int

const (
	StartTLS TLSMode = iota // plain at first, STARTTLS offered
	Implicit                // TLS from the first byte
	NoTLS                   // plain only, as after a STARTTLS-stripping attack
)

// Options configure a Server. The zero value offers STARTTLS with a
// certificate for 127.0.0.1 and localhost, and accepts mail without sign-in.
type Options struct {
	TLS TLSMode

	// Names the certificate is good for instead of 127.0.0.1 and localhost.
	Names []string

	// With a Username, mail is accepted only after sign-in, which is offered
	// over TLS only unless InsecureAuth is set.
	Username, Password string
	Mechanisms         []string // of PLAIN, LOGIN, CRAM-MD5 and SCRAM-SHA-256; default the first two
	InsecureAuth       bool
	Broken             map[string]int // mechanisms that are offered and answered with a code

	// Connections at a time; a further one is answered 421. 0: no bound. Not with
	// Implicit.
	Connections int

	// Token has XOAUTH2 offered in place of all others, and says whether a token
	// is good for a user.
	Token func(user, token string) bool
}

// Server is a running SMTP server. Its methods are safe for concurrent use.
type Server struct {
	Addr    string // host:port
	Host    string // 127.0.0.1
	Port    int
	RootCAs *x509.CertPool // trusts the server's certificate
	CertPEM []byte         // the same certificate, for a file

	opts Options
	cert tls.Certificate

	mu         sync.Mutex
	smtp       *smtp.Server
	listener   net.Listener
	stopped    chan struct{} // closed by Stop; a new one for each Restart
	served     sync.WaitGroup
	transcript bytes.Buffer
	inbox      []*received
	arrived    chan struct{} // closed, and replaced, when the inbox grows
	rules      map[Step]rule
	to         map[string]rule // for RCPT TO, by address
	connected  int             // connections now
	accepted   int             // connections that were greeted with 220
	refused    int             // and with 421, for Options.Connections
	tried      []string
	logins     []string
	open       int           // connections after EHLO
	closed     chan struct{} // closed, and replaced, when open sinks
}

type received struct {
	Message
	taken bool
}

// Start runs a server until the end of the test.
func Start(t testing.TB, opts Options) *Server {
	t.Helper()
	names := opts.Names
	if names == nil {
		names = []string{"127.0.0.1", "localhost"}
	}
	s := &Server{
		Addr: "127.0.0.1:0", Host: "127.0.0.1", opts: opts,
		arrived: make(chan struct{}), closed: make(chan struct{}), rules: map[Step]rule{}, to: map[string]rule{},
	}
	s.cert, s.CertPEM, s.RootCAs = selfSigned(t, names)
	s.Restart(t)
	t.Cleanup(s.Stop)
	return s
}

// Restart listens again, at the same address, after Stop.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		t.Fatalf("smtptest: %v", err)
	}
	s.Addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(s.Addr)
	s.Port, _ = strconv.Atoi(port)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.smtp, s.stopped = s.newSMTP(), make(chan struct{})
	if s.opts.TLS == Implicit {
		l = tls.NewListener(l, s.tlsConfig())
	}
	s.listener = l
	server, gate := s.smtp, &gate{Listener: l, server: s, stopped: s.stopped}
	s.served.Go(func() { _ = server.Serve(gate) })
}

// Stop cuts all connections and refuses new ones. Received messages stay.
func (s *Server) Stop() {
	s.mu.Lock()
	server, listener := s.smtp, s.listener
	if server != nil {
		s.smtp = nil
		close(s.stopped)
	}
	s.mu.Unlock()
	if server == nil {
		return
	}
	_ = listener.Close() // Close does not know it yet if Serve has not run
	_ = server.Close()
	s.served.Wait()
}

// Transcript is everything said so far by both sides of all connections, as
// read after decryption.
func (s *Server) Transcript() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transcript.String()
}

// Logins lists the mechanism of every successful sign-in, in order.
func (s *Server) Logins() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.logins...)
}

// Tried lists the mechanism of every sign-in that was begun, in order.
func (s *Server) Tried() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.tried...)
}

// Connections tells how many connections were taken so far, and how many turned
// away for Options.Connections.
func (s *Server) Connections() (taken, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted, s.refused
}

// WaitIdle waits until every client has closed its connections.
func (s *Server) WaitIdle(t testing.TB) {
	t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		open, closed := s.open, s.closed
		s.mu.Unlock()
		if open == 0 {
			return
		}
		select {
		case <-closed:
		case <-timeout:
			t.Fatalf("smtptest: %d connections still open after %v", open, patience)
		}
	}
}

func (s *Server) newSMTP() *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(s.newSession))
	server.Domain = "smtptest"
	server.AllowInsecureAuth = s.opts.InsecureAuth
	server.ErrorLog = log.New(io.Discard, "", 0)
	server.Debug = (*transcriptWriter)(s)
	server.ReadTimeout = time.Minute // a bound for a test that hangs, never reached
	if s.opts.TLS == StartTLS {
		server.TLSConfig = s.tlsConfig()
	}
	server.EnableSMTPUTF8 = true
	return server
}

func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{s.cert}}
}

type transcriptWriter Server

func (w *transcriptWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.transcript.Write(p)
}
