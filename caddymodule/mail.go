package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/caddymodule/senders"
)

// readMail reads one way to send mail. Further lines are fallbacks.
func (a *App) readMail(d *caddyfile.Dispenser) error {
	return senders.Read(d, &a.MailRaw, "mail", "write for example\n    mail smtp smtp.example.com:587\nor, to see codes and links on the terminal while you try it out,\n    mail log")
}

// readSMS reads one way to send text messages. Further lines are fallbacks.
func (a *App) readSMS(d *caddyfile.Dispenser) error {
	return senders.Read(d, &a.SMSRaw, "sms", "write for example\n    sms log")
}

// checkMail finds out what is missing for mail to be sent.
func (a *App) checkMail() error {
	names := a.senderNames()
	if len(names) == 0 {
		return errors.New("the global gatehouse block does not say how mail is sent; write for example\n    mail smtp smtp.example.com:587\nor, to see codes and links on the terminal while you try it out,\n    mail log")
	}
	if a.From == nil && leaves(names) {
		return errors.New("the global gatehouse block does not say who the mails are from; write for example\n    from \"Example sign-in\" <login@example.com>")
	}
	return nil
}

// senderNames are the names of the ways to send mail, loaded or not.
func (a *App) senderNames() (names []string) {
	for _, m := range a.mail {
		names = append(names, any(m).(caddy.Module).CaddyModule().ID.Name())
	}
	for _, raw := range a.MailRaw {
		var m struct{ Sender string }
		_ = json.Unmarshal(raw, &m) // what it is not is said when it is loaded
		names = append(names, m.Sender)
	}
	return names
}

// leaves tells whether mail reaches people, and not just a developer.
func leaves(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return name != "log" && name != "dir" })
}

// loadSenders loads the modules of mails and of text messages.
func (a *App) loadSenders(ctx caddy.Context) (err error) {
	if a.mail, err = loadList[senders.MailModule](ctx, a, "MailRaw"); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if a.sms, err = loadList[senders.SMSModule](ctx, a, "SMSRaw"); err != nil {
		return fmt.Errorf("sms: %w", err)
	}
	return nil
}

func loadList[T any](ctx caddy.Context, a *App, field string) ([]T, error) {
	loaded, err := ctx.LoadModule(a, field)
	if err != nil {
		return nil, err
	}
	list, _ := loaded.([]any)
	var all []T
	for _, m := range list {
		module, ok := m.(T)
		if !ok {
			return nil, fmt.Errorf("the module %T sends none: it is no %T", m, new(T))
		}
		all = append(all, module)
	}
	return all, nil
}

// senders makes the senders in the order in which they are tried.
func (a *App) senders() ([]outbox.Sender, error) {
	var ways []outbox.Sender
	for _, m := range a.mail {
		if s, ok := m.(*senders.SMTP); ok && a.From != nil {
			from, _ := address.Parse(a.From.Address) // checkFrom has
			s.Hello = cmp.Or(s.Hello, from.Domain())
		}
		sender, err := m.NewSender(&a.keeper)
		if err != nil {
			return nil, err
		}
		ways = append(ways, sender)
	}
	return ways, nil
}

// texts makes the senders in the order in which they are tried.
func (a *App) texts() ([]outbox.TextSender, error) {
	var ways []outbox.TextSender
	for _, m := range a.sms {
		sender, err := m.NewTextSender()
		if err != nil {
			return nil, err
		}
		ways = append(ways, sender)
	}
	return ways, nil
}

// keeper is where senders keep replaced refresh tokens: the store, which is
// opened after they are made.
type keeper struct {
	core atomic.Pointer[authcore.Core]
}

var errNotOpen = errors.New("the store is not open yet")

// Keep implements oauth.Keeper.
func (k *keeper) Keep(ctx context.Context, name, value string) error {
	if core := k.core.Load(); core != nil {
		return core.Outbox().Keep(ctx, name, value)
	}
	return errNotOpen
}

// Kept implements oauth.Keeper.
func (k *keeper) Kept(ctx context.Context, name string) (string, error) {
	if core := k.core.Load(); core != nil {
		return core.Outbox().Kept(ctx, name)
	}
	return "", errNotOpen
}
