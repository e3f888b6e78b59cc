package caddymodule

import (
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// serviceConfig is this configuration in the words of authcore, but for the
// composer.
func (a *App) serviceConfig() (authcore.Config, error) {
	senders, err := a.senders()
	if err != nil {
		return authcore.Config{}, err
	}
	machines, err := a.machines()
	if err != nil {
		return authcore.Config{}, err
	}
	texts, err := a.texts()
	if err != nil {
		return authcore.Config{}, err
	}
	if a.clients, err = a.oidcClients(a.groups, option.ExpandText); err != nil {
		return authcore.Config{}, err
	}
	apps, err := a.apiApps(option.ExpandText) // a file may hold several keys, one a line
	return authcore.Config{
		Code: a.codeRule(), Session: a.sessionRule(), Limits: a.limits(), Domain: a.Domain,
		Machines: machines, MayReceive: a.mayReceive, Protects: a.protects, Rules: a.rules, AccountAt: a.accountLink,
		Senders: senders, Texts: texts, Apps: apps, Observe: a.observe,
	}, err
}

// composer writes the mails, in the look that has been read.
func (a *App) composer() (outbox.Composer, error) {
	words := screen.MailConfig{SubjectCode: a.SubjectCode == nil || *a.SubjectCode, Look: a.look}
	if a.From != nil {
		words.FromName, words.FromAddress = a.From.Name, a.From.Address
	}
	mails, err := screen.NewMails(words)
	if err != nil {
		return nil, err
	}
	return mails, tryMails(mails, a.look.Languages())
}

// tryMails builds one mail of every kind in every language, so that no visitor is the
// first to find out that one can't be.
func tryMails(mails outbox.Composer, languages []string) error {
	for _, lang := range languages {
		for _, letter := range screen.SampleLetters(lang) {
			m, err := mails.Compose(letter)
			if err == nil {
				m.MessageID, m.Date = "sample@example.com", letter.AskedAt
				_, err = rfc5322.Encode(m)
			}
			if err != nil {
				return fmt.Errorf("a mail (%s, %s) can't be built with this from, brand and templates: %w", letter.Kind, lang, err)
			}
		}
	}
	return nil
}

// isOpen tells whether a gate, or an app that people sign in to here, admits
// whoever proves an address.
func (a *App) isOpen() bool {
	return slices.ContainsFunc(a.allGates(), func(g *Gate) bool {
		return len(g.Deny) == 0 && slices.Contains(g.Allow, "any")
	}) || slices.ContainsFunc(a.Apps, func(c *AppClient) bool { return slices.Contains(c.Allow, "any") })
}

// mayReceive: who is admitted by at least one gate, or app that people sign in to
// here, gets mail.
func (a *App) mayReceive(address address.Address) bool {
	for _, g := range a.allGates() {
		if g.gate.Rule.Policy.Admits(address) {
			return true
		}
	}
	return slices.ContainsFunc(a.clients, func(c *grant.Client) bool { return c.Admits(address) })
}

// protects tells whether a gate stands at o, where people can sign in, a portal,
// or another proxy that asks here.
func (a *App) protects(o origin.Origin) bool {
	if !o.Secure() && !o.IsLocalhost() && !a.insecureHTTP() {
		return false
	}
	for _, g := range a.gates {
		if g.at(o) && g.guard.Place.Speaks(o) {
			return true
		}
	}
	return a.isPortalPlace(o) || a.isSite(o)
}

func (a *App) insecureHTTP() bool { return a.InsecureHTTP != nil && *a.InsecureHTTP }

// rules are those by which a stream may go on: that of the gate that let it
// pass, as this configuration has it; if that gate is gone, those of the gates
// that stand at the same host and path now. There are none where a gate with
// report_only stops nobody.
func (a *App) rules(st *session.Stream) []*session.SiteRule {
	for _, g := range a.gates {
		if g.guard.Place.Key == st.Gate {
			return rulesOf(g)
		}
	}
	var there []*Gate
	for _, g := range a.gates {
		if g.at(st.Target.Origin) && g.guard.OnPath(st.Target.Path) {
			there = append(there, g)
		}
	}
	return rulesOf(there...)
}

func rulesOf(gates ...*Gate) []*session.SiteRule {
	rules := make([]*session.SiteRule, len(gates))
	for i, g := range gates {
		if g.ReportOnly {
			return nil
		}
		rules[i] = &g.gate.Rule
	}
	return rules
}
