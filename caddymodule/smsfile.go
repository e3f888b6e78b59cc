package caddymodule

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// readSMS reads one way to send text messages. Further lines are fallbacks.
func (a *App) readSMS(d *caddyfile.Dispenser) error {
	return readSender(d, &a.SMSRaw, smsNamespace, "sms", "write for example\n    sms log")
}

// UnmarshalCaddyfile reads "twilio <account>" and its block.
func (t *Twilio) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := arguments(d, 1, 1, "sms twilio AC… {\n        auth_token {file./run/secrets/twilio}\n        from +15005550006\n    }")
	if err != nil {
		return err
	}
	t.Account = args[0]
	return readAll(d, t, twilioWords)
}

// UnmarshalCaddyfile reads "webhook <url>" and its block.
func (s *SMSWebhook) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := arguments(d, 1, 1, "sms webhook https://sms.example.com/send {\n        secret {file./run/secrets/sms}\n    }")
	if err != nil {
		return err
	}
	s.URL = args[0]
	return readAll(d, s, smsWebhookWords)
}

// UnmarshalCaddyfile reads "log".
func (*SMSLog) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	_, err := arguments(d, 0, 0, "sms log")
	return err
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
