package gate

import (
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Home is a network whose clients need no sign-in (the option trust). It is as
// ambient as a cookie: pages of other sites make requests from there, and a tunnel
// or a proxy that nobody listed would put everybody there. So it counts only where
// somebody who knows no session asks, and
//
//   - nothing says that the request came through a proxy which is not trusted, and
//     a trusted one says who the client is, and says it in one way;
//   - the connection is a real one, with an address on this side;
//   - it is no request that a page of another site makes, but for a link that is
//     followed;
//   - the gate asks for no fresh sign-in.
type Home struct {
	Networks []netip.Prefix
	// As is the person whom the app is told of; zero: nobody. It is no session, and
	// signs nothing.
	As address.Address
}

// ownNetworks are those of this machine and its containers. They are at home only
// where one of them is written: everybody may come through there, and a network
// that holds them was seldom meant to.
var ownNetworks = func() (all []netip.Prefix) {
	for _, text := range []string{"127.0.0.0/8", "::1/128", "10.42.0.0/16", "10.43.0.0/16", "10.88.0.0/16", "10.244.0.0/16"} {
		all = append(all, netip.MustParsePrefix(text))
	}
	for n := byte(17); n < 32; n++ { // Docker's
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, n, 0, 0}), 16))
	}
	return all
}()

// holds tells whether a client is at home.
func (h *Home) holds(client netip.Addr) bool {
	for _, network := range h.Networks {
		if !network.Contains(client) {
			continue
		}
		exact := true
		for _, own := range ownNetworks {
			if own.Contains(client) {
				exact = network.Bits() >= own.Bits()
			}
		}
		if exact {
			return true
		}
	}
	return false
}

// Trusts tells whether a client passes without a session, in the name of as. It is
// what session.SiteRule asks for streams that began so.
func (g *Gate) Trusts(client netip.Addr, as address.Address) bool {
	for i := range g.Homes {
		if h := &g.Homes[i]; h.As == as && h.holds(client) && (as.IsZero() || g.Rule.Policy.Admits(as)) {
			return true
		}
	}
	return false
}

// atHome is the Home of a request that may pass without a session, nil for none.
func (q *request) atHome() *Home {
	g := q.gate
	if len(g.Homes) == 0 || g.Rule.Fresh > 0 || q.hasToken() || !q.isFirstHand() || q.isFromAnotherPage() {
		return nil
	}
	client := q.client()
	q.house.homes.count(client)
	for i := range g.Homes {
		h := &g.Homes[i]
		if h.holds(client) && (h.As.IsZero() || g.Rule.Policy.Admits(h.As)) {
			q.reportHome(h, client)
			return h
		}
	}
	return nil
}

// isFirstHand tells whether the client's address is certain.
func (q *request) isFirstHand() bool {
	switch {
	case q.made != nil:
		return q.made.firstHand
	case q.isMade() || q.isEarly():
		return false // made by a handler, or perhaps sent again by somebody else
	}
	if q.trusted() {
		peer, err := netip.ParseAddrPort(q.r.RemoteAddr)
		client := q.client()
		if err != nil || peer.Addr().Unmap().WithZone("") == client {
			return false // the proxy does not say whose it is
		}
		return header.OtherClient(q.r.Header, func(addr netip.Addr) bool { return addr == client }) == ""
	}
	return !q.relayed && !header.IsRelayed(q.r.Header) // the latter behind another proxy, where nothing was cleaned
}

// isFromAnotherPage tells whether a page of another site makes the request, and
// not by a link that the visitor has followed. Browsers say so on https; elsewhere
// Origin and Referer do.
func (q *request) isFromAnotherPage() bool {
	if q.webSocket && !q.fromOwnPage() {
		return true
	}
	h := q.r.Header
	if len(h["Origin"]) > 0 && q.namesAnotherSite() {
		return true
	}
	follows := q.reads() && q.navigates()
	if site := h.Get("Sec-Fetch-Site"); site != "" { // another port or a sibling name is another site
		return site != "same-origin" && site != "none" && !follows
	}
	return q.namesAnotherSite() && !follows
}

// namesAnotherSite tells whether the page that makes the request is of another
// site, by its Origin or, where there is none, by its Referer.
func (q *request) namesAnotherSite() bool {
	for _, name := range [...]string{"Origin", "Referer"} {
		if lines := q.r.Header[name]; len(lines) > 0 {
			return len(lines) > 1 || !q.isOwn(lines[0])
		}
	}
	return false
}

// isOwn tells whether an address is of the site that is asked for.
func (q *request) isOwn(at string) bool {
	u, err := url.Parse(at)
	if err != nil {
		return false
	}
	o, err := origin.New(u.Scheme, u.Host)
	return err == nil && o == q.origin
}

// identifyHome has the app told of the person whom the network stands for.
func (q *request) identifyHome(h *Home) {
	if h.As.IsZero() {
		return
	}
	groups := q.run.groupsOf(h.As)
	email := h.As.String()
	q.identity = &identity{answers: map[string]string{
		userKeys + "id": email, userKeys + "email": email, userKeys + "groups": strings.Join(groups, ","),
	}}
	q.identity.fill(q.gate.headerSet(), map[part]string{
		userPart: email, emailPart: email, localPart: h.As.Local(), groupsPart: strings.Join(groups, ","),
	})
}

// EventHome is the event of requests that passed because of the client's network.
const EventHome = "access_trusted"

// reportHome tells of it at most once a minute for each client.
func (q *request) reportHome(h *Home, client netip.Addr) {
	missed, ok := q.house.Lines.Allow(client, EventHome, h.As.String(), time.Now())
	if !ok {
		return
	}
	q.run.Service.Report(event.Event{Name: EventHome, Origin: q.origin.String(), Client: client, Address: h.As})
	q.house.log().Info("a client passes without a sign-in, because its network is trusted", slog.String("client_ip", client.String()),
		slog.String("host", web.Quoted(q.r.Host)), slog.Int("suppressed", missed))
}

// homes counts the clients of gates that trust a network.
type homes struct {
	mu      sync.Mutex
	all     int
	clients map[netip.Addr]int
}

// maxHomes bounds the memory: a house has fewer clients.
const maxHomes = 1024

func (h *homes) count(client netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clients == nil {
		h.clients = map[netip.Addr]int{}
	}
	if h.all++; h.clients[client] > 0 || len(h.clients) < maxHomes {
		h.clients[client]++
	}
}

// MostlyOne returns the private address that most requests at gates with a Home
// come from, once there were some: more likely a proxy, a tunnel or a container's
// bridge than a person.
func (h *House) MostlyOne() (client netip.Addr, ok bool) {
	const few = 20
	h.homes.mu.Lock()
	defer h.homes.mu.Unlock()
	for client, n := range h.homes.clients {
		if h.homes.all >= few && 2*n > h.homes.all && (client.IsPrivate() || client.IsLoopback()) {
			return client, true
		}
	}
	return client, false
}
