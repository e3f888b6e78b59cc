package gate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// cleanRequest takes from a request what no client may say, whatever becomes
// of it. It comes before anything that can fail, and tells whether what is left
// asks for a WebSocket.
func (q *request) cleanRequest() (webSocket bool) {
	r, trusted := q.r, q.trusted()
	for name := range r.Header {
		claim := q.house.fields.ClaimOf(name)
		q.relayed = q.relayed || !trusted && claim.IsOfProxy(name)
		switch claim {
		case header.IdentityClaim:
			delete(r.Header, name)
		case header.RouteClaim:
			if !q.keeps(name) {
				delete(r.Header, name)
			}
		case header.WayClaim:
			if !trusted {
				q.tellOfWay(name)
				delete(r.Header, name)
			}
		case header.HostClaim:
			q.namesHost = true
		}
	}
	header.CleanTrailer(r.Trailer, q.house.fields)
	webSocket = header.CleanUpgrade(r)
	header.CleanConnection(r.Header)
	return webSocket
}

// nameHost has X-Forwarded-Host name the host that was judged: a trusted proxy hands
// on what its clients say there, and many apps serve the site that it names.
func (q *request) nameHost() {
	if !q.namesHost {
		return
	}
	for name := range q.r.Header {
		if header.ClaimOf(name) == header.HostClaim {
			delete(q.r.Header, name)
		}
	}
	q.r.Header["X-Forwarded-Host"] = []string{q.r.Host}
}

// keeps tells whether a header passes that says that the request is for another
// path or method. Proxies hand on what their clients say there unless they set it
// themselves: so a trusted one's passes where keep names it, in this spelling, once.
func (q *request) keeps(name string) bool {
	if !q.trusted() {
		return false
	}
	if len(q.r.Header[name]) == 1 && slices.ContainsFunc(q.keep, func(kept string) bool { return strings.EqualFold(kept, name) }) {
		return true
	}
	if _, known := q.house.takenAway.LoadOrStore(header.Fold(name), true); !known {
		q.house.log().Warn(fmt.Sprintf("a trusted proxy's request had the header %[1]s, which was taken away, because apps may serve the path that it names and not the one that was judged; if the app needs it, and that proxy sets it on every request, write in the block of the gate, or of what cleans before it: keep %[1]s", strings.Trim(web.Quoted(name), `"`)))
	}
	return false
}

// tellOfWay tells once what an app does not hear of a proxy that nobody listed.
func (q *request) tellOfWay(name string) {
	if peer, err := netip.ParseAddrPort(q.r.RemoteAddr); err != nil || !isNear(peer.Addr()) {
		return // what strangers send is no news
	}
	if _, known := q.house.takenAway.LoadOrStore(header.Fold(name), true); !known {
		q.house.log().Warn(fmt.Sprintf("a request from a private address had the header %s, which was taken away: only proxies in Caddy's trusted_proxies may say which way a request has come; if a proxy of yours sets it, write in the global options servers { trusted_proxies static <its networks> }", strings.Trim(web.Quoted(name), `"`)))
	}
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
