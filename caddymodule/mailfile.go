package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// readMail reads one way to send mail. Further lines are fallbacks.
func (a *App) readMail(d *caddyfile.Dispenser) error {
	const kinds = "there are smtp, mailgun, graph, gmail, log and dir; write for example\n    mail smtp smtp.example.com:587\nor, to see codes and links on the terminal while you try it out,\n    mail log"
	if !d.NextArg() {
		return fmt.Errorf("mail: how to send it is missing; %s", kinds)
	}
	var mail Mail
	var err error
	switch d.Val() {
	case "smtp":
		mail.SMTP, err = readSMTP(d)
	case "mailgun":
		mail.Mailgun, err = readMailgun(d)
	case "graph":
		mail.Graph, err = readGraph(d)
	case "gmail":
		mail.Gmail, err = readGmail(d)
	case "log":
		_, err = arguments(d, 0, 0, "mail log")
		mail.Log = &MailLog{}
	case "dir":
		mail.Dir = &MailDir{}
		err = mail.Dir.read(d)
	default:
		return fmt.Errorf("mail %q: no mail can be sent that way; %s", d.Val(), kinds)
	}
	if err != nil {
		return err
	}
	a.Mail = append(a.Mail, mail)
	return a.checkSenders()
}

func (m *MailDir) read(d *caddyfile.Dispenser) error {
	args, err := arguments(d, 1, 1, "mail dir ./mails")
	if err != nil {
		return err
	}
	m.Path = args[0]
	return nil
}

func readSMTP(d *caddyfile.Dispenser) (*SMTP, error) {
	args, err := arguments(d, 1, 1, "mail smtp smtp.example.com:587")
	if err != nil {
		return nil, err
	}
	s := &SMTP{Address: args[0]}
	return s, smtpWords.read(d, s)
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
	},
}

func readMailgun(d *caddyfile.Dispenser) (*Mailgun, error) {
	args, err := arguments(d, 1, 1, "mail mailgun mg.example.com")
	if err != nil {
		return nil, err
	}
	g := &Mailgun{Domain: args[0]}
	return g, mailgunWords.read(d, g)
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
