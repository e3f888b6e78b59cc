package senders

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smswebhook"
	"github.com/gatehouse-auth/gatehouse/authcore/twilio"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

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

// UnmarshalCaddyfile reads "twilio <account>" and its block.
func (t *Twilio) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := option.Arguments(d, 1, 1, "sms twilio AC… {\n        auth_token {file./run/secrets/twilio}\n        from +15005550006\n    }")
	if err != nil {
		return err
	}
	t.Account = args[0]
	return readAll(d, t, twilioWords)
}

var twilioWords = option.Block[*Twilio]{
	Of: "sms twilio",
	Words: []option.Word[*Twilio]{
		option.Text("auth_token {file./run/secrets/twilio}", func(t *Twilio) *string { return &t.AuthToken }),
		option.Text("from +15005550006", func(t *Twilio) *string { return &t.From }),
		option.Text("base_url https://api.twilio.com", func(t *Twilio) *string { return &t.BaseURL }),
	},
}

// CaddyModule returns the Caddy module information.
func (*Twilio) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: smsNamespace + ".twilio", New: func() caddy.Module { return new(Twilio) }}
}

// Validate finds out what is wrong without the machine.
func (t *Twilio) Validate() error { _, err := t.sender(keepOrStandIn); return err }

// NewTextSender implements SMSModule.
func (t *Twilio) NewTextSender() (outbox.TextSender, error) { return t.sender(option.ExpandSecret) }

func (t *Twilio) sender(expand expander) (outbox.TextSender, error) {
	token, err := expand("sms twilio: auth_token", t.AuthToken)
	if err != nil {
		return nil, err
	}
	return twilio.New(twilio.Config{Account: t.Account, AuthToken: outbox.Credential(strings.TrimSpace(token)), From: t.From, BaseURL: t.BaseURL})
}

// SMSWebhook hands text messages to a service of one's own, by signed POST.
type SMSWebhook struct {
	// URL is where messages are posted.
	URL string `json:"url,omitempty"`
	// Secret signs them, by the Standard Webhooks specification: whsec_ and
	// base64, or at least 24 bytes of text. Takes {env.NAME} and {file./path}.
	Secret string `json:"secret,omitempty"`
}

// UnmarshalCaddyfile reads "webhook <url>" and its block.
func (s *SMSWebhook) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := option.Arguments(d, 1, 1, "sms webhook https://sms.example.com/send {\n        secret {file./run/secrets/sms}\n    }")
	if err != nil {
		return err
	}
	s.URL = args[0]
	return readAll(d, s, smsWebhookWords)
}

var smsWebhookWords = option.Block[*SMSWebhook]{
	Of: "sms webhook",
	Words: []option.Word[*SMSWebhook]{
		option.Text("secret {file./run/secrets/sms}", func(s *SMSWebhook) *string { return &s.Secret }),
	},
}

// CaddyModule returns the Caddy module information.
func (*SMSWebhook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: smsNamespace + ".webhook", New: func() caddy.Module { return new(SMSWebhook) }}
}

// Validate finds out what is wrong without the machine.
func (s *SMSWebhook) Validate() error { _, err := s.sender(keepOrStandIn); return err }

// NewTextSender implements SMSModule.
func (s *SMSWebhook) NewTextSender() (outbox.TextSender, error) { return s.sender(option.ExpandSecret) }

func (s *SMSWebhook) sender(expand expander) (outbox.TextSender, error) {
	secret, err := expand("sms webhook: secret", s.Secret)
	if err != nil {
		return nil, err
	}
	return smswebhook.New(smswebhook.Config{URL: s.URL, Secret: outbox.Credential(strings.TrimSpace(secret))})
}

// keepOrStandIn keeps a value that is written and puts something of the right
// form in the place of one that only the machine knows.
func keepOrStandIn(_, value string) (string, error) {
	if option.IsPlaceholder(value) {
		return "00000000000000000000000000000000", nil
	}
	return value, nil
}

// expander puts in what placeholders stand for.
type expander func(option, value string) (string, error)
