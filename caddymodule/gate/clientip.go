package gate

import (
	"net/http"
	"net/netip"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

// client returns the client's address as trusted proxies make it out, the peer's
// if that is none, or if another header of the proxy's says another one: whoever writes
// a new one each time counts as one client. The zero address if neither is one. IPv4 in
// IPv6 and zones are taken off, so that one client has one address.
func (q *request) client() netip.Addr {
	switch {
	case q.made != nil:
		return q.made.client
	case q.isMade():
		return netip.Addr{}
	}
	if client, ok := q.forwarded(); ok && q.disputed(client) == "" {
		return client
	}
	peer, _ := netip.ParseAddrPort(q.r.RemoteAddr)
	return peer.Addr().Unmap().WithZone("")
}

// forwarded is the client's address as the server makes it out.
func (q *request) forwarded() (client netip.Addr, ok bool) {
	text, _ := q.house.server().Peer(q.shared)
	client, err := netip.ParseAddr(text)
	return client.Unmap().WithZone(""), err == nil
}

// disputed is a header of a trusted proxy that names neither this client nor another
// trusted proxy, "" for none. One of these stands there behind two of them: nginx writes
// who has connected to it in X-Real-IP.
func (q *request) disputed(client netip.Addr) (name string) {
	if !q.trusted() {
		return ""
	}
	isProxy := func(addr netip.Addr) bool { return addr != client && q.house.server().IsProxy(q.r, addr) }
	if header.HidesClient(q.r.Header, isProxy) {
		return "X-Forwarded-For"
	}
	return header.OtherClient(q.r.Header, func(addr netip.Addr) bool { return addr == client || isProxy(addr) })
}

// behindUnknownProxy tells whether the peer looks like a proxy that nobody
// listed: all of its clients count as one.
func (q *request) behindUnknownProxy() bool {
	peer, err := netip.ParseAddrPort(q.r.RemoteAddr)
	return err == nil && isNear(peer.Addr()) && len(q.r.Header["X-Forwarded-For"]) > 0 && !q.trusted() && !q.isMade()
}

// isNear tells whether an address is of a network of one's own.
func isNear(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()
}

// limitWatch tells of a 429 that all people behind such a proxy share.
type limitWatch struct {
	http.ResponseWriter
	q *request
}

// WriteHeader implements http.ResponseWriter.
func (w *limitWatch) WriteHeader(status int) {
	if status == http.StatusTooManyRequests {
		w.q.note(unknownProxy, "")
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach deadlines.
func (w *limitWatch) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// toNameOne is what to do where a proxy's headers name different clients.
const toNameOne = "have it set X-Forwarded-For to the client's address, and remove or set X-Real-IP, Forwarded and their kin."

// isDisputed tells whether a trusted proxy's request names different clients.
func (q *request) isDisputed() bool {
	if q.made != nil {
		return q.made.disputed
	}
	client, ok := q.forwarded()
	return ok && q.disputed(client) != ""
}

// checkClient refuses clients outside the gate's networks.
func (q *request) checkClient() refusal {
	if len(q.gate.Clients) == 0 {
		return refusal{}
	}
	if q.isEarly() {
		// Until the handshake is through, anybody may have sent this from
		// anywhere (QUIC early data).
		return refusal{kind: tooEarly}
	}
	if q.isDisputed() {
		return refusal{kind: clientRefused, detail: "Headers of a trusted proxy name different clients, or none that can be believed: " + toNameOne}
	}
	client := q.client()
	for _, network := range q.gate.Clients {
		if network.Contains(client) {
			return refusal{}
		}
	}
	return refusal{kind: clientRefused}
}

// trusted tells whether the peer is a proxy that is believed.
func (q *request) trusted() bool {
	_, trusted := q.house.server().Peer(q.shared)
	return trusted && !q.isMade()
}
