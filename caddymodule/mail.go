package caddymodule

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore/maildir"
	"github.com/gatehouse-auth/gatehouse/authcore/mailgun"
	"github.com/gatehouse-auth/gatehouse/authcore/maillog"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
)

// The ways to send mail are modules in the namespace gatehouse.mail, so that a
// build can have others: the Caddyfile names one as mail <name>, JSON in the key
// sender.

func init() {
	for _, m := range []caddy.Module{new(SMTP), new(Mailgun), new(Graph), new(Gmail), new(MailLog), new(MailDir), new(Twilio), new(SMSWebhook), new(SMSLog)} {
		caddy.RegisterModule(m)
	}
}

const mailNamespace = "gatehouse.mail"

// MailModule is what a module in the namespace gatehouse.mail has to be. One that
// is a caddyfile.Unmarshaler can stand in a Caddyfile.
type MailModule interface {
	// NewSender makes the sender, when the configuration is taken into use: not
	// sooner, because a configuration is also checked on other machines. keep is
	// where it can keep secrets that change, and works once the store is open.
	NewSender(keep oauth.Keeper) (outbox.Sender, error)
}

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

	domain string // of from
}

// Mailgun sends through the HTTP API of Mailgun.
type Mailgun struct {
	// Domain is the sending domain registered there.
	Domain string `json:"domain,omitempty"`
	// APIKey takes {env.NAME} and {file./path}.
	APIKey string `json:"api_key,omitempty"`
	// Region is us or eu: where the domain was registered. Default: us.
	Region string `json:"region,omitempty"`
	// BaseURL replaces the address of the API, for a proxy or a test server.
	BaseURL string `json:"base_url,omitempty"`
}

// MailLog shows mails on the terminal. For development: whoever reads the terminal
// can sign in as anybody. It has no options.
type MailLog struct{}

// MailDir writes mails as .eml files. For development.
type MailDir struct {
	// Path is a directory; it is made if need be.
	Path string `json:"path,omitempty"`
}

// checkMail finds out what is missing for mail to be sent.
func (a *App) checkMail() error {
	senders := a.senderNames()
	if len(senders) == 0 {
		return errors.New("the global gatehouse block does not say how mail is sent; write for example\n    mail smtp smtp.example.com:587\nor, to see codes and links on the terminal while you try it out,\n    mail log")
	}
	if a.From == nil && leaves(senders) {
		return errors.New("the global gatehouse block does not say who the mails are from; write for example\n    from \"Example sign-in\" <login@example.com>")
	}
	return nil
}

// senderNames are the names of the ways to send mail, loaded or not.
func (a *App) senderNames() (names []string) {
	for _, m := range a.mail {
		names = append(names, any(m).(caddy.Module).CaddyModule().ID.Name())
	}
	for _, raw := range a.MailRaw {
		var m struct{ Sender string }
		_ = json.Unmarshal(raw, &m) // what it is not is said when it is loaded
		names = append(names, m.Sender)
	}
	return names
}

// leaves tells whether mail reaches people, and not just a developer.
func leaves(senders []string) bool {
	return slices.ContainsFunc(senders, func(name string) bool { return name != "log" && name != "dir" })
}

// loadSenders loads the modules of mails and of text messages.
func (a *App) loadSenders(ctx caddy.Context) (err error) {
	if a.mail, err = loadList[MailModule](ctx, a, "MailRaw"); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if a.sms, err = loadList[SMSModule](ctx, a, "SMSRaw"); err != nil {
		return fmt.Errorf("sms: %w", err)
	}
	return nil
}

func loadList[T any](ctx caddy.Context, a *App, field string) ([]T, error) {
	loaded, err := ctx.LoadModule(a, field)
	if err != nil {
		return nil, err
	}
	list, _ := loaded.([]any)
	var all []T
	for _, m := range list {
		module, ok := m.(T)
		if !ok {
			return nil, fmt.Errorf("the module %T sends none: it is no %T", m, new(T))
		}
		all = append(all, module)
	}
	return all, nil
}

// senders makes the senders in the order in which they are tried.
func (a *App) senders() ([]outbox.Sender, error) {
	var senders []outbox.Sender
	for _, m := range a.mail {
		if s, ok := m.(*SMTP); ok && a.From != nil {
			from, _ := address.Parse(a.From.Address) // checkFrom has
			s.domain = from.Domain()
		}
		sender, err := m.NewSender(&a.keeper)
		if err != nil {
			return nil, err
		}
		senders = append(senders, sender)
	}
	return senders, nil
}

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
		Username: username, Password: smtp.Password(password),
		ServerName: s.ServerName, Hello: cmp.Or(s.Hello, s.domain), Auth: s.Auth, Connections: s.Connections,
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
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate; it should have the authority's, between BEGIN CERTIFICATE and END CERTIFICATE", file)
	}
	return pool, nil
}

func (g *Mailgun) sender(on *outside) (outbox.Sender, error) {
	key, err := on.expand("mail mailgun "+g.Domain+": api_key", g.APIKey)
	if err != nil {
		return nil, err
	}
	return mailgun.New(mailgun.Config{
		Domain: g.Domain, APIKey: mailgun.APIKey(key), Region: g.Region, BaseURL: g.BaseURL,
	})
}

// CaddyModule returns the Caddy module information.
func (*SMTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".smtp", New: func() caddy.Module { return new(SMTP) }}
}

// Validate finds out what is wrong without the machine.
func (s *SMTP) Validate() error { _, err := s.sender(nil); return err }

// NewSender implements MailModule.
func (s *SMTP) NewSender(keep oauth.Keeper) (outbox.Sender, error) { return s.sender(&outside{keep}) }

// CaddyModule returns the Caddy module information.
func (*Mailgun) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".mailgun", New: func() caddy.Module { return new(Mailgun) }}
}

// Validate finds out what is wrong without the machine.
func (g *Mailgun) Validate() error { _, err := g.sender(nil); return err }

// NewSender implements MailModule.
func (g *Mailgun) NewSender(oauth.Keeper) (outbox.Sender, error) { return g.sender(&outside{}) }

// CaddyModule returns the Caddy module information.
func (*MailLog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".log", New: func() caddy.Module { return new(MailLog) }}
}

// NewSender implements MailModule.
func (*MailLog) NewSender(oauth.Keeper) (outbox.Sender, error) { return maillog.New(nil), nil }

// CaddyModule returns the Caddy module information.
func (*MailDir) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".dir", New: func() caddy.Module { return new(MailDir) }}
}

// Validate finds out what is wrong without the machine.
func (m *MailDir) Validate() error { _, err := maildir.New(m.Path); return err }

// NewSender implements MailModule.
func (m *MailDir) NewSender(oauth.Keeper) (outbox.Sender, error) { return maildir.New(m.Path) }
