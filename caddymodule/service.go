package caddymodule

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages"
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
	apps, err := a.apiApps(expandSecret)
	return authcore.Config{
		Code: a.codeRule(), Session: a.sessionRule(), Limits: a.limits(), Domain: a.Domain,
		Machines: machines, MayReceive: a.mayReceive, Protects: a.protects, Allows: a.allows, AccountAt: a.accountLink,
		Senders: senders, Texts: texts, Apps: apps, Observe: a.observe,
	}, err
}

// composer writes the mails, in the look that has been read.
func (a *App) composer() (authcore.Composer, error) {
	words := pages.MailConfig{SubjectCode: a.SubjectCode == nil || *a.SubjectCode, Look: a.look}
	if a.From != nil {
		words.FromName, words.FromAddress = a.From.Name, a.From.Address
	}
	mails, err := pages.NewMails(words)
	if err != nil {
		return nil, err
	}
	return &api.Words{Next: mails, FromName: words.FromName}, nil
}

// isOpen tells whether a gate admits whoever proves an address.
func (a *App) isOpen() bool {
	return slices.ContainsFunc(a.allGates(), func(g *Gate) bool {
		return len(g.Deny) == 0 && slices.Contains(g.Allow, "any")
	})
}

// mayReceive: who is admitted by at least one gate gets mail.
func (a *App) mayReceive(address address.Address) bool {
	for _, g := range a.allGates() {
		if g.policy.Admits(address) {
			return true
		}
	}
	return false
}

// protects tells whether a gate stands at o, where people can sign in, a portal,
// or another proxy that asks here.
func (a *App) protects(o origin.Origin) bool {
	if !o.Secure() && !o.IsLocalhost() && !a.insecureHTTP() {
		return false
	}
	for _, g := range a.gates {
		if g.place.covers(o) && g.place.speaks(o) {
			return true
		}
	}
	return a.isPortalPlace(o) || a.isSite(o)
}

func (a *App) insecureHTTP() bool { return a.InsecureHTTP != nil && *a.InsecureHTTP }

// allows tells whether a stream may go on with this session: by the gate that
// let it pass, as this configuration has it; if that gate is gone, by those
// that stand at the same host and path now; if none does, nothing guards it
// any more and it goes on.
func (a *App) allows(st *authcore.Stream, session *authcore.Session) bool {
	for _, g := range a.gates {
		if g.place.key == st.Gate {
			return g.letsGoOn(session)
		}
	}
	guarded := false
	for _, g := range a.gates {
		if !g.place.covers(st.Origin) || !g.onPath(st.Path) {
			continue
		}
		if g.letsGoOn(session) {
			return true
		}
		guarded = true
	}
	return !guarded
}

// letsGoOn is what a gate asks of a stream under way. fresh and idle are not
// asked: the one holds when a request begins, the other is met by the stream
// itself.
func (g *Gate) letsGoOn(session *authcore.Session) bool {
	if g.ReportOnly {
		return true
	}
	if session.Machine != nil {
		return session.Address.IsZero() || g.policy.Admits(session.Address)
	}
	now := time.Now()
	if g.sessionRule().Passed(session.AuthTime, now, now) != 0 {
		return false
	}
	return g.policy.Admits(session.Address)
}
