package senders

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
	"github.com/gatehouse-auth/gatehouse/internal/files"
)

// SMTP sends through a mail server that takes mail for others.
type SMTP struct {
	// Address is host:port, for example smtp.example.com:587.
	Address string `json:"address,omitempty"`
	// Username and Password are for servers that ask for them. Placeholders
	// {env.NAME} and {file./path} are expanded.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// OAuth2 takes the place of Password, for servers that want tokens.
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`
	// TLS is starttls (required, not merely tried), implicit or off. Default:
	// implicit on port 465, else starttls.
	TLS string `json:"tls,omitempty"`
	// CA is a file with certificates (PEM) of authorities to trust in place of the
	// system's.
	CA string `json:"ca,omitempty"`
	// ServerName is what the server's certificate is for, where that is not the
	// host in Address.
	ServerName string `json:"server_name,omitempty"`
	// Hello is the name to greet the server with. Default: the domain of from.
	Hello string `json:"hello,omitempty"`
	// Auth is the one sign-in to use: SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN or
	// CRAM-MD5. Default: the strongest that the server offers and accepts.
	Auth string `json:"auth,omitempty"`
	// Connections to the server at a time, 1 to 100; as many mails are handed over
	// at once. Default: 4.
	Connections int `json:"connections,omitempty"`
}

// UnmarshalCaddyfile reads "smtp <host:port>" and its block.
func (s *SMTP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := option.Arguments(d, 1, 1, "mail smtp smtp.example.com:587")
	if err != nil {
		return err
	}
	s.Address = args[0]
	return readAll(d, s, smtpWords)
}

var smtpWords = option.Block[*SMTP]{
	Of: "mail smtp",
	Words: []option.Word[*SMTP]{
		option.Text("username mailer@example.com", func(s *SMTP) *string { return &s.Username }),
		option.Text("password {file./run/secrets/smtp}", func(s *SMTP) *string { return &s.Password }),
		option.Line("oauth2", readOAuth2),
		option.Text("tls implicit", func(s *SMTP) *string { return &s.TLS }),
		option.Text("ca /etc/gatehouse/mail-ca.pem", func(s *SMTP) *string { return &s.CA }),
		option.Text("server_name mail.example.com", func(s *SMTP) *string { return &s.ServerName }),
		option.Text("hello gate.example.com", func(s *SMTP) *string { return &s.Hello }),
		option.Text("auth PLAIN", func(s *SMTP) *string { return &s.Auth }),
		option.Line("connections", readConnections),
	},
}

func readConnections(s *SMTP, d *caddyfile.Dispenser) error {
	text := ""
	if s.Connections != 0 {
		return option.Once("connections", true)
	}
	if err := option.One(d, &text, "connections 2"); err != nil {
		return err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return fmt.Errorf("connections: %q is not a number from 1; write for example\n    connections 2", text)
	}
	s.Connections = n
	return nil
}

// CaddyModule returns the Caddy module information.
func (*SMTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".smtp", New: func() caddy.Module { return new(SMTP) }}
}

// Validate finds out what is wrong without the machine.
func (s *SMTP) Validate() error { _, err := s.sender(nil); return err }

// NewSender implements MailModule.
func (s *SMTP) NewSender(keep oauth.Keeper) (outbox.Sender, error) { return s.sender(&outside{keep}) }

func (s *SMTP) sender(on *outside) (outbox.Sender, error) {
	host, portText, err := net.SplitHostPort(s.Address)
	port, err2 := strconv.Atoi(portText)
	if strings.Contains(s.Address, "@") { // what stands before it may be a password
		return nil, errors.New("mail smtp: write host:port alone; the user's name and password have lines of their own, as in\n    mail smtp smtp.example.com:587 {\n        username mailer@example.com\n        password {file./run/secrets/smtp}\n    }")
	}
	if err != nil || err2 != nil {
		return nil, fmt.Errorf("mail smtp: %q is not host:port; write for example\n    mail smtp smtp.example.com:587", s.Address)
	}
	username, err := on.expand("mail smtp "+s.Address+": username", s.Username)
	if err != nil {
		return nil, err
	}
	password, err := on.expand("mail smtp "+s.Address+": password", s.Password)
	if err != nil {
		return nil, err
	}
	c := smtp.Config{
		Host: host, Port: port, TLS: smtp.TLSMode(s.TLS),
		Username: username, Password: outbox.Credential(password),
		ServerName: s.ServerName, Hello: s.Hello, Auth: s.Auth, Connections: s.Connections,
	}
	if s.CA != "" && on != nil {
		if c.RootCAs, err = readCA(s.CA); err != nil {
			return nil, fmt.Errorf("mail smtp %s: ca: %w", s.Address, err)
		}
	}
	if s.OAuth2 != nil {
		tokens, err := s.OAuth2.source(on, "mail smtp "+s.Address+": oauth2", "smtp", username)
		if err != nil {
			return nil, err
		}
		c.Tokens = tokens
	}
	return smtp.New(c)
}

// readCA reads certificates of authorities.
func readCA(file string) (*x509.CertPool, error) {
	text, err := files.Read(file, 1<<20)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate; it should have the authority's, between BEGIN CERTIFICATE and END CERTIFICATE", file)
	}
	return pool, nil
}
