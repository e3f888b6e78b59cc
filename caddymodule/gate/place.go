package gate

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Place is where a gate or another handler stands.
type Place struct {
	// Key names the place across configurations: a stream goes on under the rule
	// of the gate with the same key.
	Key string
	// Hosts are names, with * for one label. Origins come in addition, and may
	// have any port.
	Hosts   []string
	Origins []origin.Origin
	// Behind tells that another proxy stands there, and asks.
	Behind bool

	usual atomic.Pointer[requestAddress] // see locate
}

// locate finds the origin that the request is for. A host, port or scheme that
// is not the site's is refused: sign-in, mails and cookies would be made for it.
// needsSignIn says whether anything of that can happen with this request.
func (q *request) locate(needsSignIn bool) refusal {
	scheme, ok := q.scheme()
	if !ok {
		return refusal{kind: badOrigin, detail: "X-Forwarded-Proto from a trusted proxy must be https or http, and the same in every place."}
	}
	port := q.localPort()
	if usual := q.place.usualAddress(); usual != nil && *usual == (requestAddress{scheme, q.r.Host, port, usual.origin}) {
		q.origin = usual.origin
		return refusal{}
	}
	origin, err := origin.New(scheme, q.r.Host)
	if err != nil {
		return refusal{kind: badOrigin, detail: fmt.Sprintf("Host %s can't be read: %s.", web.Quoted(q.r.Host), err)}
	}
	insecure := !origin.Secure() && !q.run.InsecureHTTP && !origin.IsLocalhost()
	if !q.place.Has(origin, port) && !(insecure && q.place.hasSecure(origin, port)) {
		return refusal{kind: badOrigin, detail: q.unknownHost(origin)}
	}
	if insecure && needsSignIn {
		return refusal{kind: insecureHTTP, detail: q.insecureDetail()}
	}
	q.origin = origin
	if !insecure {
		q.place.remember(requestAddress{scheme, q.r.Host, port, origin})
	}
	return refusal{}
}

// address is where a request may come in, and the origin that this stands for.
type requestAddress struct {
	scheme, host string
	port         uint16
	origin       origin.Origin
}

// usualAddress is the first that was good here: most sites have just one.
func (p *Place) usualAddress() *requestAddress {
	if p == nil {
		return nil
	}
	return p.usual.Load()
}

func (p *Place) remember(a requestAddress) {
	if p.usual.Load() == nil {
		a.host = strings.Clone(a.host) // else it keeps the request's headers
		p.usual.CompareAndSwap(nil, &a)
	}
}

// scheme is the one that the browser used: what a trusted proxy says, else
// whether TLS ends here. Proxies call a WebSocket's wss or ws.
func (q *request) scheme() (scheme string, ok bool) {
	if q.made != nil {
		return q.made.scheme, true
	}
	scheme = "http"
	if q.r.TLS != nil {
		scheme = "https"
	}
	lines := q.r.Header["X-Forwarded-Proto"]
	if len(lines) == 0 || !q.trusted() {
		return scheme, true
	}
	said := ""
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.ToLower(strings.Trim(token, " \t"))
			switch token {
			case "wss":
				token = "https"
			case "ws":
				token = "http"
			}
			if token != "https" && token != "http" || said != "" && said != token {
				return "", false
			}
			said = token
		}
	}
	return said, true
}

// orInsecure comes last: most who read it have https, and a proxy in front that
// does not say so.
const orInsecure = "To sign in over plain http all the same, write \"insecure_http on\" in the global gatehouse block."

// unknownHost says what to do about a host that is not the site's. The scheme is
// known only of a proxy that is believed.
func (q *request) unknownHost(o origin.Origin) string {
	seen := "Host " + web.Quoted(q.r.Host) + " is not one of this site's: "
	if q.r.TLS == nil && len(q.r.Header["X-Forwarded-Proto"]) > 0 && !q.trusted() {
		return seen + "have the proxy in front pass the Host header on, and list it in Caddy's trusted_proxies, so that its X-Forwarded-Proto is believed; or, if browsers see that host, write \"origin https://" + o.Host() + "\" in the block of its gate."
	}
	return seen + "write \"origin " + o.String() + "\" in the block of its gate, or have the proxy in front pass the Host header on."
}

// insecureDetail says what to do about plain http.
func (q *request) insecureDetail() string {
	if len(q.r.Header["X-Forwarded-Proto"]) > 0 && !q.trusted() {
		return "X-Forwarded-Proto came from a peer that is not listed in Caddy's trusted_proxies, so it was not believed: list the proxy in front there."
	}
	if q.r.TLS == nil && len(q.r.Header["X-Forwarded-Proto"]) == 0 {
		return "Use https. Behind a proxy that ends it, let the proxy send X-Forwarded-Proto, and list its address in Caddy's trusted_proxies. " + orInsecure
	}
	return "Use https. " + orInsecure
}

// localPort is the port that the request came in on, 0 if it is not known.
func (q *request) localPort() uint16 {
	if q.made != nil {
		return q.made.port
	}
	switch addr := q.r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.TCPAddr:
		return uint16(addr.Port)
	case *net.UDPAddr:
		return uint16(addr.Port)
	case net.Addr:
		parsed, _ := netip.ParseAddrPort(addr.String())
		return parsed.Port()
	}
	return 0
}

// Has tells whether o is an origin of this place for a request that came in on
// port: one that the origin option names, or a host of the matchers above with
// no port, this port or, on localhost, any.
func (p *Place) Has(o origin.Origin, port uint16) bool {
	if p == nil {
		return false
	}
	anyPort := o.IsLocalhost()
	name := o.Hostname()
	for _, named := range p.Origins {
		if named == o || anyPort && named.Scheme() == o.Scheme() && named.Hostname() == name {
			return true
		}
	}
	if !anyPort && !isPort(o, port) {
		return false
	}
	for _, pattern := range p.Hosts {
		if MatchesHost(pattern, name) {
			return true
		}
	}
	return false
}

// named is o where the configuration names its host, not with * alone, else the
// first origin that it does name; the zero one for none.
func (p *Place) named(o origin.Origin) (first origin.Origin) {
	for _, named := range p.Origins {
		if named.Hostname() == o.Hostname() {
			return o
		}
		if first == (origin.Origin{}) {
			first = named
		}
	}
	for _, host := range p.Hosts {
		if strings.Contains(host, "*") {
			continue
		}
		if strings.EqualFold(host, o.Hostname()) {
			return o
		}
		if first == (origin.Origin{}) {
			port := strings.TrimPrefix(o.Host(), o.Hostname()) // ":8443" or none
			first, _ = origin.New(o.Scheme(), host+port)
		}
	}
	return first
}

// hasSecure tells whether the https origin with the host of o is of this place.
// A request for it over plain http is told so, not that its host is unknown.
func (p *Place) hasSecure(o origin.Origin, port uint16) bool {
	secure, err := origin.New("https", o.Host())
	return err == nil && p.Has(secure, port)
}

// isPort tells whether o has its scheme's own port, which is the one that
// browsers don't write, or port.
func isPort(o origin.Origin, port uint16) bool {
	if !strings.Contains(o.Host(), ":") {
		return true
	}
	n, err := strconv.ParseUint(o.Port(), 10, 16)
	return err == nil && (uint16(n) == port || o.Secure() && n == 443 || !o.Secure() && n == 80)
}

// MatchesHost is Caddy's host matcher for one pattern: * stands for one label.
func MatchesHost(pattern, name string) bool {
	for strings.Contains(pattern, "*") {
		want, restPattern, morePattern := strings.Cut(pattern, ".")
		label, restName, moreName := strings.Cut(name, ".")
		if morePattern != moreName || want != "*" && !strings.EqualFold(want, label) {
			return false
		}
		if !morePattern {
			return true
		}
		pattern, name = restPattern, restName
	}
	return strings.EqualFold(pattern, name)
}
