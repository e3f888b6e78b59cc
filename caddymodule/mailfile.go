package caddymodule

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// readMail reads one way to send mail. Further lines are fallbacks.
func (a *App) readMail(d *caddyfile.Dispenser) error {
	return readSender(d, &a.MailRaw, mailNamespace, "mail", "write for example\n    mail smtp smtp.example.com:587\nor, to see codes and links on the terminal while you try it out,\n    mail log")
}

// readSender reads the line of a module, whose name comes next.
func readSender(d *caddyfile.Dispenser, into *[]json.RawMessage, namespace, what, try string) error {
	var names []string
	for _, m := range caddy.GetModules(namespace) {
		names = append(names, m.ID.Name())
	}
	last := len(names) - 1
	kinds := "there are " + strings.Join(names[:last], ", ") + " and " + names[last] + "; " + try
	if !d.NextArg() {
		return fmt.Errorf("%s: how to send it is missing; %s", what, kinds)
	}
	name := d.Val()
	if _, err := caddy.GetModule(namespace + "." + name); err != nil || strings.Contains(name, ".") {
		return fmt.Errorf("%s %q: this build has no such way to send; %s", what, name, kinds)
	}
	module, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
	if err != nil {
		return err
	}
	*into = append(*into, caddyconfig.JSONModuleObject(module, "sender", name, nil))
	return nil
}

// readAll reads the block of a sender of ours and checks it whole.
func readAll[T caddy.Validator](d *caddyfile.Dispenser, into T, w words[T]) error {
	if err := w.read(d, into); err != nil {
		return err
	}
	return into.Validate()
}

// UnmarshalCaddyfile reads "log".
func (*MailLog) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	_, err := arguments(d, 0, 0, "mail log")
	return err
}

// UnmarshalCaddyfile reads "dir <path>".
func (m *MailDir) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := arguments(d, 1, 1, "mail dir ./mails")
	if err != nil {
		return err
	}
	m.Path = args[0]
	return m.Validate()
}

// UnmarshalCaddyfile reads "smtp <host:port>" and its block.
func (s *SMTP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := arguments(d, 1, 1, "mail smtp smtp.example.com:587")
	if err != nil {
		return err
	}
	s.Address = args[0]
	return readAll(d, s, smtpWords)
}

var smtpWords = words[*SMTP]{
	block: "mail smtp",
	known: []word[*SMTP]{
		{"username", func(s *SMTP, d *caddyfile.Dispenser) error {
			return oneOf(d, &s.Username, "username mailer@example.com")
		}},
		{"password", func(s *SMTP, d *caddyfile.Dispenser) error {
			return oneOf(d, &s.Password, "password {file./run/secrets/smtp}")
		}},
		{"oauth2", readOAuth2},
		{"tls", func(s *SMTP, d *caddyfile.Dispenser) error { return oneOf(d, &s.TLS, "tls implicit") }},
		{"ca", func(s *SMTP, d *caddyfile.Dispenser) error { return oneOf(d, &s.CA, "ca /etc/gatehouse/mail-ca.pem") }},
		{"server_name", func(s *SMTP, d *caddyfile.Dispenser) error {
			return oneOf(d, &s.ServerName, "server_name mail.example.com")
		}},
		{"hello", func(s *SMTP, d *caddyfile.Dispenser) error { return oneOf(d, &s.Hello, "hello gate.example.com") }},
		{"auth", func(s *SMTP, d *caddyfile.Dispenser) error { return oneOf(d, &s.Auth, "auth PLAIN") }},
		{"connections", readConnections},
	},
}

func readConnections(s *SMTP, d *caddyfile.Dispenser) error {
	text := ""
	if s.Connections != 0 {
		return once("connections", true)
	}
	if err := oneOf(d, &text, "connections 2"); err != nil {
		return err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return fmt.Errorf("connections: %q is not a number from 1; write for example\n    connections 2", text)
	}
	s.Connections = n
	return nil
}

// UnmarshalCaddyfile reads "mailgun <domain>" and its block.
func (g *Mailgun) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := arguments(d, 1, 1, "mail mailgun mg.example.com")
	if err != nil {
		return err
	}
	g.Domain = args[0]
	return readAll(d, g, mailgunWords)
}

var mailgunWords = words[*Mailgun]{
	block: "mail mailgun",
	known: []word[*Mailgun]{
		{"api_key", func(g *Mailgun, d *caddyfile.Dispenser) error {
			return oneOf(d, &g.APIKey, "api_key {file./run/secrets/mailgun}")
		}},
		{"region", func(g *Mailgun, d *caddyfile.Dispenser) error { return oneOf(d, &g.Region, "region eu") }},
		{"base_url", func(g *Mailgun, d *caddyfile.Dispenser) error {
			return oneOf(d, &g.BaseURL, "base_url https://api.eu.mailgun.net/v3")
		}},
	},
}
