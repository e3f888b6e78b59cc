package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/authcore/maildir"
	"github.com/gatehouse-auth/gatehouse/authcore/mailgun"
	"github.com/gatehouse-auth/gatehouse/authcore/maillog"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
)

// Mail is one way to send mail. Exactly one of its fields is set.
type Mail struct {
	// SMTP sends through a mail server.
	SMTP *SMTP `json:"smtp,omitempty"`
	// Mailgun sends through the HTTP API of Mailgun.
	Mailgun *Mailgun `json:"mailgun,omitempty"`
	// Graph sends through Microsoft Graph.
	Graph *Graph `json:"graph,omitempty"`
	// Gmail sends through Gmail's API.
	Gmail *Gmail `json:"gmail,omitempty"`
	// Log shows mails on the terminal. For development: whoever reads the
	// terminal can sign in as anybody.
	Log *MailLog `json:"log,omitempty"`
	// Dir writes mails as .eml files. For development.
	Dir *MailDir `json:"dir,omitempty"`
}

// SMTP is a mail server that takes mail for others.
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
}

// Mailgun is an account at Mailgun.
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

// MailLog has no options.
type MailLog struct{}

// MailDir says where to put mails.
type MailDir struct {
	// Path is a directory; it is made if need be.
	Path string `json:"path,omitempty"`
}

// checkMail finds out what is missing for mail to be sent.
func (a *App) checkMail() error {
	if len(a.Mail) == 0 {
		return errors.New("the global gatehouse block does not say how mail is sent; write for example\n    mail smtp smtp.example.com:587\nor, to see codes and links on the terminal while you try it out,\n    mail log")
	}
	if a.From == nil && a.mailLeaves() {
		return errors.New("the global gatehouse block does not say who the mails are from; write for example\n    from \"Example sign-in\" <login@example.com>")
	}
	return nil
}

// mailLeaves tells whether mail reaches people, and not just a developer.
func (a *App) mailLeaves() bool {
	for _, m := range a.Mail {
		if m.Log == nil && m.Dir == nil {
			return true
		}
	}
	return false
}

// checkSenders makes every sender as far as that goes without the machine.
func (a *App) checkSenders() error {
	for _, m := range a.Mail {
		if m.kinds() != 1 {
			return errors.New("mail: each entry has exactly one of smtp, mailgun, graph, gmail, log and dir")
		}
		if _, err := m.sender(nil); err != nil {
			return err
		}
	}
	return nil
}

// senders makes the senders in the order in which they are tried.
func (a *App) senders() ([]outbox.Sender, error) {
	var senders []outbox.Sender
	on := &outside{keeper: &a.keeper}
	for _, m := range a.Mail {
		sender, err := m.sender(on)
		if err != nil {
			return nil, err
		}
		senders = append(senders, sender)
	}
	return senders, nil
}

// sender makes one sender. Without a machine it only finds out what is wrong.
func (m Mail) sender(on *outside) (outbox.Sender, error) {
	switch {
	case m.SMTP != nil:
		return m.SMTP.sender(on)
	case m.Mailgun != nil:
		return m.Mailgun.sender(on)
	case m.Graph != nil:
		return m.Graph.sender(on)
	case m.Gmail != nil:
		return m.Gmail.sender(on)
	case m.Log != nil:
		return maillog.New(nil), nil
	default:
		return maildir.New(m.Dir.Path)
	}
}

// kinds counts the kinds of sender that are given.
func (m Mail) kinds() (n int) {
	for _, given := range []bool{m.SMTP != nil, m.Mailgun != nil, m.Graph != nil, m.Gmail != nil, m.Log != nil, m.Dir != nil} {
		if given {
			n++
		}
	}
	return n
}

func (s *SMTP) sender(on *outside) (outbox.Sender, error) {
	host, portText, err := net.SplitHostPort(s.Address)
	port, err2 := strconv.Atoi(portText)
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

func (g *Mailgun) sender(on *outside) (outbox.Sender, error) {
	key, err := on.expand("mail mailgun "+g.Domain+": api_key", g.APIKey)
	if err != nil {
		return nil, err
	}
	return mailgun.New(mailgun.Config{
		Domain: g.Domain, APIKey: mailgun.APIKey(key), Region: g.Region, BaseURL: g.BaseURL,
	})
}
