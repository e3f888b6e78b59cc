package caddymodule

import (
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// client returns the client's address as Caddy's trusted_proxies make it out,
// the peer's if that is none; the zero address if neither is one. IPv4 in IPv6
// and zones are taken off, so that one client has one address.
func (v *visit) client() netip.Addr {
	text, _ := v.vars[caddyhttp.ClientIPVarKey].(string)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		peer, _ := netip.ParseAddrPort(v.r.RemoteAddr)
		addr = peer.Addr()
	}
	return addr.Unmap().WithZone("")
}

// behindUnknownProxy tells whether the peer looks like a proxy that nobody
// listed: all of its clients count as one.
func (v *visit) behindUnknownProxy() bool {
	peer, err := netip.ParseAddrPort(v.r.RemoteAddr)
	addr := peer.Addr().Unmap()
	return err == nil && (addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()) &&
		len(v.r.Header["X-Forwarded-For"]) > 0 && !fromTrustedProxy(v.vars)
}

// limitWatch tells of a 429 that all people behind such a proxy share.
type limitWatch struct {
	http.ResponseWriter
	v *visit
}

// WriteHeader implements http.ResponseWriter.
func (w *limitWatch) WriteHeader(status int) {
	if status == http.StatusTooManyRequests {
		w.v.note(unknownProxy, "")
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach deadlines.
func (w *limitWatch) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// checkClient refuses clients outside the gate's networks.
func (v *visit) checkClient() refusal {
	if len(v.g.clients) == 0 {
		return refusal{}
	}
	if v.r.TLS != nil && !v.r.TLS.HandshakeComplete {
		// Until the handshake is through, anybody may have sent this from
		// anywhere (QUIC early data).
		return refusal{kind: tooEarly}
	}
	client := v.client()
	for _, network := range v.g.clients {
		if network.Contains(client) {
			return refusal{}
		}
	}
	return refusal{kind: clientRefused}
}
