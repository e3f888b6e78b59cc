package caddymodule

import (
	"errors"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
	"github.com/gatehouse-auth/gatehouse/hooks"
)

// Hooks is what mail systems may tell, at the host of gatehouse_portal: mails that
// came back or were called spam hold further mail to that address for seven days,
// unless a browser asks for it that has signed in with it before.
type Hooks struct {
	// MailgunKey is Mailgun's HTTP webhook signing key. Mailgun posts to
	// /_gatehouse/hooks/mailgun. Takes {env.NAME} and {file./path}.
	MailgunKey string `json:"mailgun_key,omitempty"`
}

// readHooks reads
//
//	hooks {
//	    mailgun_key <key>
//	}
func (a *App) readHooks(d *caddyfile.Dispenser) error {
	const try = "hooks {\n        mailgun_key {file./run/secrets/mailgun-hook}\n    }"
	if err := option.Once("hooks", a.Hooks != nil); err != nil {
		return err
	}
	if _, err := option.Arguments(d, 0, 0, try); err != nil {
		return err
	}
	a.Hooks = new(Hooks)
	return hooksWords.Read(d, a.Hooks)
}

var hooksWords = option.Block[*Hooks]{
	Of: "hooks",
	Words: []option.Word[*Hooks]{
		option.Text("mailgun_key {file./run/secrets/mailgun-hook}", func(h *Hooks) *string { return &h.MailgunKey }),
	},
}

// checkHooks: a mail system needs somebody who may report.
func (a *App) checkHooks() error {
	if a.Hooks != nil && a.Hooks.MailgunKey == "" {
		return errors.New("hooks names nobody who may report; write\n    hooks {\n        mailgun_key {file./run/secrets/mailgun-hook}\n    }")
	}
	return nil
}

// placeHooks: they need an address to post to.
func (a *App) placeHooks() error {
	if a.Hooks != nil && len(a.portals) == 0 {
		return errors.New("hooks: mail systems report to the host of a gatehouse_portal, and there is none; add a site such as\n    auth.example.com {\n        gatehouse_portal\n    }")
	}
	return nil
}

// hooksKey is the key that is configured, "" for none.
func (a *App) hooksKey() (string, error) {
	if a.Hooks == nil {
		return "", nil
	}
	return option.ExpandSecret("hooks: mailgun_key", a.Hooks.MailgunKey)
}

// openHooks gives portals their hooks, if there are any.
func (a *App) openHooks(service *authcore.Service, key string) {
	if a.Hooks == nil {
		return
	}
	all := hooks.New(hooks.Config{MailgunKey: key, Take: service.Core().Delivery().Take, Now: service.Now, Log: a.ctx.Slogger()})
	for _, p := range a.portals {
		p.portal.Hooks = all
	}
}
