package senders

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/maildir"
	"github.com/gatehouse-auth/gatehouse/authcore/maillog"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// MailLog shows mails on the terminal. For development: whoever reads the terminal
// can sign in as anybody. It has no options.
type MailLog struct{}

// UnmarshalCaddyfile reads "log".
func (*MailLog) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	_, err := option.Arguments(d, 0, 0, "mail log")
	return err
}

// CaddyModule returns the Caddy module information.
func (*MailLog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".log", New: func() caddy.Module { return new(MailLog) }}
}

// NewSender implements MailModule.
func (*MailLog) NewSender(oauth.Keeper) (outbox.Sender, error) { return maillog.New(nil), nil }

// MailDir writes mails as .eml files. For development.
type MailDir struct {
	// Path is a directory; it is made if need be.
	Path string `json:"path,omitempty"`
}

// UnmarshalCaddyfile reads "dir <path>".
func (m *MailDir) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := option.Arguments(d, 1, 1, "mail dir ./mails")
	if err != nil {
		return err
	}
	m.Path = args[0]
	return m.Validate()
}

// CaddyModule returns the Caddy module information.
func (*MailDir) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".dir", New: func() caddy.Module { return new(MailDir) }}
}

// Validate finds out what is wrong without the machine.
func (m *MailDir) Validate() error { _, err := maildir.New(m.Path); return err }

// NewSender implements MailModule.
func (m *MailDir) NewSender(oauth.Keeper) (outbox.Sender, error) { return maildir.New(m.Path) }

// SMSLog shows text messages on the terminal. For development: whoever reads the
// terminal can sign in as anybody. It has no options.
type SMSLog struct{}

// UnmarshalCaddyfile reads "log".
func (*SMSLog) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	_, err := option.Arguments(d, 0, 0, "sms log")
	return err
}

// CaddyModule returns the Caddy module information.
func (*SMSLog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: smsNamespace + ".log", New: func() caddy.Module { return new(SMSLog) }}
}

// NewTextSender implements SMSModule.
func (*SMSLog) NewTextSender() (outbox.TextSender, error) { return maillog.New(nil), nil }
