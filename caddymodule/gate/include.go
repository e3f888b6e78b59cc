package gate

import (
	"crypto/rand"
	"crypto/tls"
	"net/http"
	"net/netip"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Caddy's templates ask for the parts of a page ({{httpInclude}}) with a request that
// they make themselves: without a connection, TLS or context, from 127.0.0.1, with
// the visitor's headers as the gate has left them. So a gate gives each request
// that passes a name that nobody guesses, in a header which Connection lists: no
// proxy hands it on. A request made by a handler that bears the name is the
// visitor's: session, scheme, port and client are those of the request that came in,
// also for what stands behind the gate. A part that the visitor may not see is
// empty: of any status that says so the templates would make an empty 500 of the
// whole page.
//
// Any other request without an address on this side comes from nobody: it has no
// client, and its peer is no proxy that is believed.

// includeHeader is in ClaimOf, too: what clients send under this name goes away.
const includeHeader = "X-Gatehouse-Include"

// outing is the request that came in, as those see it that are made for it.
type outing struct {
	cookies   []string
	machine   []string
	basic     bool
	origin    origin.Origin // that found is about
	scheme    string
	port      uint16
	client    netip.Addr
	early     bool
	firstHand bool
	disputed  bool
	peer      peer
	found
}

// peer is whose connection a request came over.
type peer struct {
	address string
	tls     *tls.ConnectionState
	client  string // as Server has it
	trusted bool
}

// isMade tells whether a handler made the request: it came in nowhere.
func (q *request) isMade() bool { return q.r.Context().Value(http.LocalAddrContextKey) == nil }

// recall finds the request that this one was made for.
func (q *request) recall() {
	if q.outer != nil {
		q.made = q.outer.made
	}
	names := q.r.Header[includeHeader]
	if len(names) != 1 || !q.isMade() {
		return
	}
	if known, ok := q.house.outings.Load(names[0]); ok {
		q.made = known.(*outing)
		q.presented, q.basic = q.made.machine, q.made.basic
		// So proxies tell the app whose request it is.
		from := q.made.peer
		q.r.RemoteAddr, q.r.TLS = from.address, from.tls
		q.house.server().SetPeer(q.shared, from.client, from.trusted)
	}
}

// showNothing answers with an empty part of a page.
func (q *request) showNothing() error {
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// name names the request, as it passes on, for those that are made for it; "" where
// none is. The name counts until it is taken out of House.outings.
func (q *request) name(v *visitor) string {
	if !q.house.Includes {
		return ""
	}
	scheme, ok := q.scheme()
	if !ok {
		return ""
	}
	from := peer{address: q.r.RemoteAddr, tls: q.r.TLS}
	from.client, from.trusted = q.house.server().Peer(q.shared)
	o := &outing{
		cookies: v.cookies, machine: v.machine, basic: v.basic, found: v.found, origin: q.origin,
		scheme: scheme, port: q.localPort(), client: q.client(), early: q.isEarly(), firstHand: q.isFirstHand(), disputed: q.isDisputed(), peer: from,
	}
	if !from.trusted { // 127.0.0.1, where the request that is made seems to come from, may be
		for name := range q.r.Header {
			if header.ClaimOf(name) == header.ForwardedClaim {
				delete(q.r.Header, name)
			}
		}
	}
	name := rand.Text()
	q.house.outings.Store(name, o)
	h := q.r.Header
	h[includeHeader] = []string{name}
	h["Connection"] = append(h["Connection"][:len(h["Connection"]):len(h["Connection"])], includeHeader)
	return name
}

// isEarly tells whether somebody else may have sent the request, from anywhere.
func (q *request) isEarly() bool { return web.IsEarly(q.r) || q.made != nil && q.made.early }
