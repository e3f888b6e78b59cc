package caddymodule

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore/maillog"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smswebhook"
	"github.com/gatehouse-auth/gatehouse/authcore/twilio"
)

const smsNamespace = "gatehouse.sms"

// SMSModule is what a module in the namespace gatehouse.sms has to be: a way to
// send text messages, for the JSON APIs.
type SMSModule interface {
	// NewTextSender is for texts what MailModule.NewSender is for mails.
	NewTextSender() (outbox.TextSender, error)
}

// Twilio sends through the HTTP API of Twilio.
type Twilio struct {
	// Account is the account's SID, AC and 32 hexadecimal digits.
	Account string `json:"account,omitempty"`
	// AuthToken takes {env.NAME} and {file./path}.
	AuthToken string `json:"auth_token,omitempty"`
	// From is a number in E.164, a messaging service (MG…) or a sender's name.
	From string `json:"from,omitempty"`
	// BaseURL replaces the address of the API, for a proxy or a test server.
	BaseURL string `json:"base_url,omitempty"`
}

// SMSWebhook hands text messages to a service of one's own, by signed POST.
type SMSWebhook struct {
	// URL is where messages are posted.
	URL string `json:"url,omitempty"`
	// Secret signs them, by the Standard Webhooks specification: whsec_ and
	// base64, or at least 24 bytes of text. Takes {env.NAME} and {file./path}.
	Secret string `json:"secret,omitempty"`
}

// SMSLog shows text messages on the terminal. For development: whoever reads the
// terminal can sign in as anybody. It has no options.
type SMSLog struct{}

// keepOrStandIn keeps a value that is written and puts something of the right
// form in the place of one that only the machine knows.
func keepOrStandIn(_, value string) (string, error) {
	if isPlaceholder(value) {
		return "00000000000000000000000000000000", nil
	}
	return value, nil
}

// texts makes the senders in the order in which they are tried.
func (a *App) texts() ([]outbox.TextSender, error) {
	var senders []outbox.TextSender
	for _, m := range a.sms {
		sender, err := m.NewTextSender()
		if err != nil {
			return nil, err
		}
		senders = append(senders, sender)
	}
	return senders, nil
}

// expander puts in what placeholders stand for.
type expander func(option, value string) (string, error)

// CaddyModule returns the Caddy module information.
func (*Twilio) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: smsNamespace + ".twilio", New: func() caddy.Module { return new(Twilio) }}
}

// Validate finds out what is wrong without the machine.
func (t *Twilio) Validate() error { _, err := t.sender(keepOrStandIn); return err }

// NewTextSender implements SMSModule.
func (t *Twilio) NewTextSender() (outbox.TextSender, error) { return t.sender(expandSecret) }

func (t *Twilio) sender(expand expander) (outbox.TextSender, error) {
	token, err := expand("sms twilio: auth_token", t.AuthToken)
	if err != nil {
		return nil, err
	}
	return twilio.New(twilio.Config{Account: t.Account, AuthToken: twilio.Token(trimSpace(token)), From: t.From, BaseURL: t.BaseURL})
}

// CaddyModule returns the Caddy module information.
func (*SMSWebhook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: smsNamespace + ".webhook", New: func() caddy.Module { return new(SMSWebhook) }}
}

// Validate finds out what is wrong without the machine.
func (s *SMSWebhook) Validate() error { _, err := s.sender(keepOrStandIn); return err }

// NewTextSender implements SMSModule.
func (s *SMSWebhook) NewTextSender() (outbox.TextSender, error) { return s.sender(expandSecret) }

func (s *SMSWebhook) sender(expand expander) (outbox.TextSender, error) {
	secret, err := expand("sms webhook: secret", s.Secret)
	if err != nil {
		return nil, err
	}
	return smswebhook.New(smswebhook.Config{URL: s.URL, Secret: smswebhook.Secret(trimSpace(secret))})
}

// CaddyModule returns the Caddy module information.
func (*SMSLog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: smsNamespace + ".log", New: func() caddy.Module { return new(SMSLog) }}
}

// NewTextSender implements SMSModule.
func (*SMSLog) NewTextSender() (outbox.TextSender, error) { return maillog.New(nil), nil }
