package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// readSMS reads one way to send text messages. Further lines are fallbacks.
func (a *App) readSMS(d *caddyfile.Dispenser) error {
	const kinds = "there are twilio, webhook and log; write for example\n    sms log"
	if !d.NextArg() {
		return fmt.Errorf("sms: how to send it is missing; %s", kinds)
	}
	var s SMS
	switch d.Val() {
	case "twilio":
		args, err := arguments(d, 1, 1, "sms twilio AC… {\n        auth_token {file./run/secrets/twilio}\n        from +15005550006\n    }")
		if err != nil {
			return err
		}
		s.Twilio = &Twilio{Account: args[0]}
		if err := twilioWords.read(d, s.Twilio); err != nil {
			return err
		}
	case "webhook":
		args, err := arguments(d, 1, 1, "sms webhook https://sms.example.com/send {\n        secret {file./run/secrets/sms}\n    }")
		if err != nil {
			return err
		}
		s.Webhook = &SMSWebhook{URL: args[0]}
		if err := smsWebhookWords.read(d, s.Webhook); err != nil {
			return err
		}
	case "log":
		if _, err := arguments(d, 0, 0, "sms log"); err != nil {
			return err
		}
		s.Log = &SMSLog{}
	default:
		return fmt.Errorf("sms %q: no text message can be sent that way; %s", d.Val(), kinds)
	}
	a.SMS = append(a.SMS, s)
	return a.checkSMS()
}

var twilioWords = words[*Twilio]{
	block: "sms twilio",
	known: []word[*Twilio]{
		{"auth_token", func(t *Twilio, d *caddyfile.Dispenser) error {
			return oneOf(d, &t.AuthToken, "auth_token {file./run/secrets/twilio}")
		}},
		{"from", func(t *Twilio, d *caddyfile.Dispenser) error { return oneOf(d, &t.From, "from +15005550006") }},
		{"base_url", func(t *Twilio, d *caddyfile.Dispenser) error {
			return oneOf(d, &t.BaseURL, "base_url https://api.twilio.com")
		}},
	},
}

var smsWebhookWords = words[*SMSWebhook]{
	block: "sms webhook",
	known: []word[*SMSWebhook]{
		{"secret", func(s *SMSWebhook, d *caddyfile.Dispenser) error {
			return oneOf(d, &s.Secret, "secret {file./run/secrets/sms}")
		}},
	},
}
