package caddymodule

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// serviceConfig is this configuration in the words of authcore.
func (a *App) serviceConfig(senders []authcore.Sender) authcore.Config {
	return authcore.Config{
		Code: a.codeRule(), Session: a.sessionRule(), Limits: a.limits(), Domain: a.Domain,
		MayReceive: a.mayReceive, Protects: a.protects, Allows: a.allows,
		Senders: senders, Observe: a.observe,
	}
}

// mayReceive: who is admitted by at least one gate gets mail.
func (a *App) mayReceive(address authcore.Address) bool {
	for _, g := range a.gates {
		if g.policy.Admits(address) {
			return true
		}
	}
	return false
}

// protects tells whether a gate stands at o.
func (a *App) protects(o authcore.Origin) bool {
	for _, g := range a.gates {
		if g.place.covers(o) {
			return true
		}
	}
	return false
}

// allows tells whether a stream may go on with this session: by the gate that
// let it pass, as this configuration has it; if that gate is gone, by those
// that stand at the same host and path now; if none does, nothing guards it
// any more and it goes on.
func (a *App) allows(st *authcore.Stream, session *authcore.Session) bool {
	guarded := false
	for _, g := range a.gates {
		if g.place.key == st.Gate {
			return g.letsGoOn(session)
		}
	}
	for _, g := range a.gates {
		if !g.place.covers(st.Origin) || !g.guards(st.Path) {
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
	if g.SessionMax > 0 && time.Since(session.AuthTime) >= time.Duration(g.SessionMax) {
		return false
	}
	return g.policy.Admits(session.Address)
}
