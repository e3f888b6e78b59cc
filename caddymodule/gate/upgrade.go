package gate

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// cleanUpgrade leaves the handshake of a WebSocket alone and removes every
// other wish to switch protocols; the request goes on as a plain one. Behind
// "Upgrade: h2c" there would be a connection on which anything can be asked of
// the app, past every gate.
func cleanUpgrade(r *http.Request) (webSocket bool) {
	if isExtendedConnect(r) {
		return true
	}
	h := r.Header
	delete(h, ":protocol")
	delete(h, "Http2-Settings")
	if len(h["Upgrade"]) == 0 {
		return false
	}
	if isHandshake(r) {
		// One token, so that nothing else of the list can be chosen.
		h["Upgrade"], h["Connection"] = []string{"websocket"}, []string{"Upgrade"}
		return true
	}
	delete(h, "Upgrade")
	return false
}

// isHandshake tells whether r is the handshake of RFC 6455.
func isHandshake(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoMinor >= 1 && r.Method == http.MethodGet && r.ContentLength == 0 &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") &&
		httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket")
}

// isExtendedConnect tells whether r asks for a WebSocket over HTTP/2 (RFC 8441)
// or HTTP/3 (RFC 9220).
func isExtendedConnect(r *http.Request) bool {
	if r.Method != http.MethodConnect {
		return false
	}
	protocol := r.Header[":protocol"]
	return r.ProtoMajor == 2 && len(protocol) == 1 && protocol[0] == "websocket" ||
		r.ProtoMajor == 3 && r.Proto == "websocket"
}

// isWebSocket tells whether a request with these headers is for a WebSocket. Any
// sign will do: over HTTP/2 there is no Sec-WebSocket-Key, and a proxy makes a
// GET of the CONNECT and keeps Upgrade to itself. Browsers let no page's script
// write these names.
func isWebSocket(h http.Header) bool {
	for _, name := range [...]string{"Sec-Websocket-Version", "Sec-Websocket-Key", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol", ":protocol"} {
		if len(h[name]) > 0 {
			return true
		}
	}
	for _, name := range [...]string{"Sec-Fetch-Mode", "Sec-Fetch-Dest", "Upgrade"} {
		if httpguts.HeaderValuesContainsToken(h[name], "websocket") {
			return true
		}
	}
	return false
}

// isPassable tells whether a gate passes requests of this method on. TRACE
// shows a page's script the cookies that HttpOnly hides from it; CONNECT, unless
// for a WebSocket, asks for a tunnel that nobody watches.
func isPassable(method string, webSocket bool) bool {
	return method != http.MethodTrace && (method != http.MethodConnect || webSocket)
}

// fromOwnPage tells whether a WebSocket is opened by a page that may: one of
// this site, or of a protected one that shares its session. Browsers send
// cookies with the handshakes of every site's pages and don't ask for CORS.
func (q *request) fromOwnPage() bool {
	lines := q.r.Header["Origin"]
	if len(lines) == 0 {
		return true // no browser
	}
	if len(lines) > 1 {
		return false
	}
	from, err := origin.Parse(lines[0])
	if err != nil || strings.HasSuffix(lines[0], "/") {
		return false
	}
	domain := q.run.Domain
	return from == q.origin || q.origin.Under(domain) && from.Under(domain) && q.run.Service.Protects(from)
}
