package gate

import (
	"net/http"
	"net/netip"
)

// client returns the client's address as trusted proxies make it out, the peer's
// if that is none; the zero address if neither is one. IPv4 in IPv6
// and zones are taken off, so that one client has one address.
func (q *request) client() netip.Addr {
	switch {
	case q.made != nil:
		return q.made.client
	case q.isMade():
		return netip.Addr{}
	}
	text, _ := q.house.server().Peer(q.shared)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		peer, _ := netip.ParseAddrPort(q.r.RemoteAddr)
		addr = peer.Addr()
	}
	return addr.Unmap().WithZone("")
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
