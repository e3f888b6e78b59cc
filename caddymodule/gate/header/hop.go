package header

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// CleanTrailer removes what claims anything from trailers, and credentials,
// which have no place there and may be ours: first their announcement, later
// what came.
func CleanTrailer(t http.Header, names Names) {
	for name := range t {
		if names.ClaimOf(name) != NoClaim || strings.EqualFold(name, "Cookie") || strings.EqualFold(name, "Authorization") {
			delete(t, name)
		}
	}
}

// CleanConnection removes the headers that the client declares to be for this
// hop alone, as the proxy behind us would. Left to that proxy, "Connection:
// Remote-Email" would remove the header that the gate sets in between.
func CleanConnection(h http.Header) {
	lines := h["Connection"]
	if len(lines) == 0 || len(lines) == 1 && isConnectionOption(lines[0]) {
		return
	}
	var kept []string
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.Trim(token, " \t")
			if isConnectionOption(token) {
				kept = append(kept, token)
			} else if token != "" {
				h.Del(token)
			}
		}
	}
	if kept == nil {
		delete(h, "Connection")
		return
	}
	h["Connection"] = []string{strings.Join(kept, ", ")}
}

// isConnectionOption tells whether token speaks of the connection itself. TE
// stays, for gRPC's "TE: trailers".
func isConnectionOption(token string) bool {
	for _, option := range [...]string{"keep-alive", "close", "upgrade", "te"} {
		if strings.EqualFold(token, option) {
			return true
		}
	}
	return false
}

// CleanUpgrade leaves the handshake of a WebSocket alone and removes every
// other wish to switch protocols; the request goes on as a plain one. Behind
// "Upgrade: h2c" there would be a connection on which anything can be asked of
// the app, past every gate.
func CleanUpgrade(r *http.Request) (webSocket bool) {
	if IsExtendedConnect(r) {
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

// IsExtendedConnect tells whether r asks for a WebSocket over HTTP/2 (RFC 8441)
// or HTTP/3 (RFC 9220).
func IsExtendedConnect(r *http.Request) bool {
	if r.Method != http.MethodConnect {
		return false
	}
	protocol := r.Header[":protocol"]
	return r.ProtoMajor == 2 && len(protocol) == 1 && protocol[0] == "websocket" ||
		r.ProtoMajor == 3 && r.Proto == "websocket"
}

// IsWebSocket tells whether a request with these headers is for a WebSocket. Any
// sign will do: over HTTP/2 there is no Sec-WebSocket-Key, and a proxy makes a
// GET of the CONNECT and keeps Upgrade to itself. Browsers let no page's script
// write these names.
func IsWebSocket(h http.Header) bool {
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

// IsPassable tells whether a gate passes requests of this method on. TRACE
// shows a page's script the cookies that HttpOnly hides from it; CONNECT, unless
// for a WebSocket, asks for a tunnel that nobody watches.
func IsPassable(method string, webSocket bool) bool {
	return method != http.MethodTrace && (method != http.MethodConnect || webSocket)
}

// Destination is the second path of a request: where WebDAV's COPY and MOVE are to
// put things. nil: there is none.
func Destination(r *http.Request) *url.URL {
	lines := r.Header["Destination"]
	if len(lines) == 0 {
		return nil
	}
	if to, err := url.Parse(lines[0]); err == nil && len(lines) == 1 && strings.HasPrefix(to.Path, "/") {
		return to
	}
	return &url.URL{Path: "/"} // nobody can tell
}
