package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// DefaultTimeout bounds one message from MAIL FROM to the server's answer to its
// last line. Relays answer in well under a second.
const DefaultTimeout = 30 * time.Second

// connectTimeout bounds what is before that, from the first packet to the end of the
// sign-in. It is shorter, as a server that is silent there keeps mails from the next
// one; who delays strangers' greetings does so for some 6 seconds.
var connectTimeout = 15 * time.Second

// TLSMode is how the connection is encrypted.
type TLSMode string

const (
	StartTLS TLSMode = "starttls" // required after EHLO; the default but for port 465
	Implicit TLSMode = "implicit" // from the first byte; the default for port 465 (RFC 8314)
	Off      TLSMode = "off"      // plain; no sign-in except on localhost
)

// Config says where and how to send.
type Config struct {
	Host string // name or IP address, also what the certificate must be good for
	Port int

	// Sign-in, both or neither. The mechanism is the first of SCRAM-SHA-256,
	// SCRAM-SHA-1, PLAIN, LOGIN and CRAM-MD5 that the server offers and accepts;
	// Auth fixes one of them.
	Username string
	Password outbox.Credential
	Auth     string
	// Tokens sign in in place of a Password, by XOAUTH2.
	Tokens Tokens

	TLS        TLSMode        // empty: Implicit for port 465, else StartTLS
	Timeout    time.Duration  // of a message; zero means DefaultTimeout
	RootCAs    *x509.CertPool // nil means the system's
	ServerName string         // what the certificate must be good for; empty means Host
	Hello      string         // our name in EHLO; empty means this machine's host name

	Connections int // at most, at a time; zero means DefaultConnections
}

// Sender sends through one server. A connection is kept for two seconds after a
// message, for the next one. It is safe for concurrent use.
type Sender struct {
	config *Config // a pointer, because fmt prints a credential in a hidden field in clear
	tls    *tls.Config
	worked *atomic.Pointer[string] // the mechanism that signed in last
	pool   *pool
}

const maxConnections = 100

// implicitPort is where TLS begins with the first byte (RFC 8314 section 3.3).
const implicitPort = 465

var helloName = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]{1,255}$`)

// New checks c. It opens no connection and needs nothing of the machine.
func New(c Config) (*Sender, error) {
	switch {
	case c.TLS == "" && c.Port == implicitPort:
		c.TLS = Implicit
	case c.TLS == "":
		c.TLS = StartTLS
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Hello == "" {
		c.Hello = hostName()
	}
	if c.Connections == 0 {
		c.Connections = DefaultConnections
	}
	if c.ServerName == "" {
		c.ServerName = c.Host
	}
	c.Auth = strings.ToUpper(c.Auth)
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Sender{config: &c, worked: new(atomic.Pointer[string]), pool: newPool(c.Connections), tls: &tls.Config{
		ServerName: c.ServerName, RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12,
	}}, nil
}

func (c Config) check() error {
	switch {
	case strings.Contains(c.Host, "@"): // what stands before it may be a password
		return errors.New("mail smtp: write host:port alone, for example smtp.example.com:587; the user's name and password have lines of their own, username and password")
	case c.Host == "" || strings.ContainsAny(c.Host, " \t\r\n/"):
		return fmt.Errorf("mail smtp: %q is not a host name; write host:port, for example smtp.example.com:587", c.Host)
	case c.Port < 1 || c.Port > 65535:
		return fmt.Errorf("mail smtp: port %d is not between 1 and 65535; most servers use 587", c.Port)
	case c.TLS != StartTLS && c.TLS != Implicit && c.TLS != Off:
		return fmt.Errorf("mail smtp: tls %q is unknown; write starttls, implicit or off", string(c.TLS))
	case c.Tokens != nil && (c.Username == "" || c.Password != ""):
		return errors.New("mail smtp: oauth2 needs username, the mailbox that mails are sent from, and no password")
	case c.Tokens == nil && (c.Username == "") != (c.Password == ""):
		return errors.New("mail smtp: username and password need each other; write both, or neither for a server without sign-in")
	case c.Auth != "" && c.Username == "":
		return fmt.Errorf("mail smtp: auth %s needs username and password", c.Auth)
	case c.Auth != "" && c.Tokens != nil:
		return fmt.Errorf("mail smtp: oauth2 signs in by %s; take auth out", xoauth2Name)
	case c.Auth != "" && !slices.Contains(mechanisms, c.Auth):
		return fmt.Errorf("mail smtp: auth %q is unknown; write one of %s, or leave it out for the strongest that works", c.Auth, strings.Join(mechanisms, ", "))
	case !helloName.MatchString(c.ServerName):
		return fmt.Errorf("mail smtp: server_name %q is not a host name; write the name that the server's certificate is for", c.ServerName)
	case c.TLS == Off && c.Username != "" && !isLocalhost(c.Host):
		return fmt.Errorf("mail smtp: tls off would send the password or token to %s in clear; remove tls off, or the sign-in", c.Host)
	case c.Connections < 1 || c.Connections > maxConnections:
		return fmt.Errorf("mail smtp: connections %d is not between 1 and %d", c.Connections, maxConnections)
	case c.Timeout < 0:
		return fmt.Errorf("mail smtp: the timeout %v is negative", c.Timeout)
	case !helloName.MatchString(c.Hello):
		return fmt.Errorf("mail smtp: %q can't be a name in EHLO; write hello and this machine's host name", c.Hello)
	}
	return nil
}

// AtOnce implements outbox.Wide.
func (s *Sender) AtOnce() int { return s.config.Connections }

func (s *Sender) connecting() time.Duration { return min(connectTimeout, s.config.Timeout) }

// Name implements outbox.Sender.
func (s *Sender) Name() string { return "smtp " + s.address() }

func (s *Sender) address() string {
	return net.JoinHostPort(s.config.Host, strconv.Itoa(s.config.Port))
}

// hostName is this machine's name, or localhost where it has none that fits
// into EHLO; relays accept both from clients that sign in.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || !helloName.MatchString(name) {
		return "localhost"
	}
	return name
}

func isLocalhost(host string) bool {
	host = strings.ToLower(host)
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
