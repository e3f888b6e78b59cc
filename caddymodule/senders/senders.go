// Package senders has the ways to send in Caddy's words: modules in the namespaces
// gatehouse.mail and gatehouse.sms, each with its lines in a Caddyfile. A build can
// have others: the Caddyfile names one as mail <name> or sms <name> ([Read]), JSON in
// the key sender.
//
// A module is checked without the machine (Validate), and makes its sender when a
// configuration starts ([MailModule], [SMSModule]): only then are secrets read. The
// sending itself is in packages that know no Caddy (authcore/smtp and others). It
// keeps nothing.
package senders

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

const (
	mailNamespace = "gatehouse.mail"
	smsNamespace  = "gatehouse.sms"
)

func init() {
	for _, m := range []caddy.Module{new(SMTP), new(Mailgun), new(Graph), new(Gmail), new(MailLog), new(MailDir), new(Twilio), new(SMSWebhook), new(SMSLog)} {
		caddy.RegisterModule(m)
	}
}

// MailModule is what a module in the namespace gatehouse.mail has to be. One that
// is a caddyfile.Unmarshaler can stand in a Caddyfile.
type MailModule interface {
	// NewSender makes the sender, when the configuration is taken into use: not
	// sooner, because a configuration is also checked on other machines. keep is
	// where it can keep secrets that change, and works once the store is open.
	NewSender(keep oauth.Keeper) (outbox.Sender, error)
}

// SMSModule is what a module in the namespace gatehouse.sms has to be: a way to
// send text messages, for the JSON APIs.
type SMSModule interface {
	// NewTextSender is for texts what MailModule.NewSender is for mails.
	NewTextSender() (outbox.TextSender, error)
}

// Read reads the line of a module for what, mail or sms, whose name comes next.
func Read(d *caddyfile.Dispenser, into *[]json.RawMessage, what, try string) error {
	namespace := "gatehouse." + what
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
func readAll[T caddy.Validator](d *caddyfile.Dispenser, into T, w option.Block[T]) error {
	if err := w.Read(d, into); err != nil {
		return err
	}
	return into.Validate()
}

// outside is what stands outside of the configuration; nil while that is only
// looked at.
type outside struct {
	keeper oauth.Keeper
}

// expand puts in what placeholders stand for.
func (o *outside) expand(name, value string) (string, error) {
	if o == nil {
		return value, nil
	}
	return option.ExpandSecret(name, value)
}
