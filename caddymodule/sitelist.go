package caddymodule

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// sitesFor lists the sites that the person of session may open from client, each
// once and in order: where a gate admits them, and none refuses them the front
// page. A site whose name has a star is not one to open. Without a client, its
// address is not asked about.
func (a *App) sitesFor(session *session.Session, client netip.Addr) []origin.Origin {
	if session == nil {
		return nil
	}
	var open []origin.Origin
	for _, g := range a.allGates() {
		if !g.opensFor(session, client) {
			continue
		}
		for _, o := range g.guard.Place.Addresses() {
			if !slices.Contains(open, o) && a.frontPageOpens(o, session, client) {
				open = append(open, o)
			}
		}
	}
	slices.SortFunc(open, func(x, y origin.Origin) int { return strings.Compare(x.Host(), y.Host()) })
	return open
}

// mayOpen is sitesFor from anywhere: what a person may make tokens for.
func (a *App) mayOpen(session *session.Session) []origin.Origin {
	return a.sitesFor(session, netip.Addr{})
}

// opens tells whether the person of session may open o, from anywhere.
func (a *App) opens(session *session.Session, o origin.Origin) bool {
	return slices.ContainsFunc(a.allGates(), func(g *Gate) bool {
		return g.at(o) && g.opensFor(session, netip.Addr{}) && a.frontPageOpens(o, session, netip.Addr{})
	})
}

// frontPageOpens tells whether no gate at o refuses its front page.
func (a *App) frontPageOpens(o origin.Origin, session *session.Session, client netip.Addr) bool {
	return a.passes(session, origin.ParseReturnTo("/", o, nil), client)
}

// passes tells whether no gate refuses the person of s, from client, the address to.
func (a *App) passes(s *session.Session, to origin.ReturnTo, client netip.Addr) bool {
	at, err := url.Parse(to.Path())
	if err != nil {
		return false
	}
	target := session.Target{Origin: to.Origin(), Method: http.MethodGet, Path: at.Path, Escaped: at.EscapedPath()}
	return !slices.ContainsFunc(a.allGates(), func(g *Gate) bool {
		allowed, _ := g.gate.Rule.Explain(s.Address, target)
		return g.at(target.Origin) && g.guard.OnPath(target.Path) && !g.ReportOnly && !(allowed && g.isNear(client))
	})
}

// opensFor tells whether the gate admits the person from client. Who only has to
// sign in again may open the site.
func (g *Gate) opensFor(session *session.Session, client netip.Addr) bool {
	return g.ReportOnly || g.isNear(client) && g.gate.Rule.Policy.Admits(session.Address)
}

// isNear tells whether client, unless it is unknown, is one that the gate lets in.
func (g *Gate) isNear(client netip.Addr) bool {
	return len(g.gate.Clients) == 0 || !client.IsValid() || slices.ContainsFunc(g.gate.Clients, func(n netip.Prefix) bool { return n.Contains(client) })
}
