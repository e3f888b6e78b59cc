package caddymodule

import (
	"errors"

	"github.com/gatehouse-auth/gatehouse/authcore/maillog"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smswebhook"
	"github.com/gatehouse-auth/gatehouse/authcore/twilio"
)

// SMS is one way to send text messages, for the JSON APIs. Exactly one of its
// fields is set.
type SMS struct {
	// Twilio sends through the HTTP API of Twilio.
	Twilio *Twilio `json:"twilio,omitempty"`
	// Webhook hands them to a service of one's own.
	Webhook *SMSWebhook `json:"webhook,omitempty"`
	// Log shows them on the terminal. For development: whoever reads the
	// terminal can sign in as anybody.
	Log *SMSLog `json:"log,omitempty"`
}

// Twilio is an account at Twilio.
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

// SMSWebhook is a service that takes text messages by signed POST.
type SMSWebhook struct {
	// URL is where messages are posted.
	URL string `json:"url,omitempty"`
	// Secret signs them, by the Standard Webhooks specification: whsec_ and
	// base64, or at least 24 bytes of text. Takes {env.NAME} and {file./path}.
	Secret string `json:"secret,omitempty"`
}

// SMSLog has no options.
type SMSLog struct{}

// checkSMS makes every sender as far as that goes without the machine.
func (a *App) checkSMS() error {
	for _, s := range a.SMS {
		if s.kinds() != 1 {
			return errors.New("sms: each entry has exactly one of twilio, webhook and log")
		}
		if _, err := s.sender(keepOrStandIn); err != nil {
			return err
		}
	}
	return nil
}

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
	for _, s := range a.SMS {
		sender, err := s.sender(expandSecret)
		if err != nil {
			return nil, err
		}
		senders = append(senders, sender)
	}
	return senders, nil
}

func (s SMS) kinds() (n int) {
	for _, given := range []bool{s.Twilio != nil, s.Webhook != nil, s.Log != nil} {
		if given {
			n++
		}
	}
	return n
}

func (s SMS) sender(expand func(option, value string) (string, error)) (outbox.TextSender, error) {
	switch {
	case s.Twilio != nil:
		token, err := expand("sms twilio: auth_token", s.Twilio.AuthToken)
		if err != nil {
			return nil, err
		}
		return twilio.New(twilio.Config{
			Account: s.Twilio.Account, AuthToken: twilio.Token(trimSpace(token)), From: s.Twilio.From, BaseURL: s.Twilio.BaseURL,
		})
	case s.Webhook != nil:
		secret, err := expand("sms webhook: secret", s.Webhook.Secret)
		if err != nil {
			return nil, err
		}
		return smswebhook.New(smswebhook.Config{URL: s.Webhook.URL, Secret: smswebhook.Secret(trimSpace(secret))})
	}
	return maillog.New(nil), nil
}
