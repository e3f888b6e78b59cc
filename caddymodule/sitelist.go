package caddymodule

import (
	"fmt"
	"net/netip"
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
		for _, o := range g.place.addresses() {
			if !slices.Contains(open, o) && (g.place.Behind || a.frontPageOpens(o, session, client)) {
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
		return g.place.covers(o) && g.opensFor(session, netip.Addr{}) && (g.place.Behind || a.frontPageOpens(o, session, netip.Addr{}))
	})
}

// frontPageOpens tells whether no gate at o refuses its front page.
func (a *App) frontPageOpens(o origin.Origin, session *session.Session, client netip.Addr) bool {
	return !slices.ContainsFunc(a.gates, func(g *Gate) bool {
		return g.place.covers(o) && g.onPath("/") && !g.opensFor(session, client)
	})
}

// opensFor tells whether the gate admits the person from client. Who only has to
// sign in again may open the site.
func (g *Gate) opensFor(session *session.Session, client netip.Addr) bool {
	near := len(g.gate.Clients) == 0 || !client.IsValid() || slices.ContainsFunc(g.gate.Clients, func(n netip.Prefix) bool { return n.Contains(client) })
	return near && g.gate.Rule.Policy.Admits(session.Address)
}

// addresses are the origins that a browser can open: those of the origin option
// or else each host on the server's own port.
func (p *place) addresses() []origin.Origin {
	if len(p.Origins) > 0 {
		return p.Origins
	}
	scheme := "http"
	if p.tls {
		scheme = "https"
	}
	var all []origin.Origin
	for _, host := range p.Hosts {
		if strings.Contains(host, "*") {
			continue
		}
		host = bracketed(host)
		if port := p.port(); port != 0 {
			host = fmt.Sprintf("%s:%d", host, port)
		}
		if o, err := origin.New(scheme, host); err == nil {
			all = append(all, o)
		}
	}
	return all
}

// bracketed is a host name as it stands in an address.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + strings.Trim(host, "[]") + "]"
	}
	return host
}
