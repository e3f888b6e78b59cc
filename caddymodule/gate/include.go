package gate

import (
	"crypto/rand"
	"net/http"
	"net/netip"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Caddy's templates ask for the parts of a page ({{httpInclude}}) with a request that
// they make themselves: without a connection, TLS or context, from 127.0.0.1, with
// the visitor's headers as the gate has left them. So a gate gives each request
// that passes a name that nobody guesses, in a header which Connection lists: no
// proxy hands it on. A request made by a handler that bears the name is the
// visitor's: session, scheme, port and client are those of the request that came in.
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
	scheme    string
	port      uint16
	client    netip.Addr
	early     bool
	firstHand bool
	found
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
	}
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
	o := &outing{
		cookies: v.cookies, machine: v.machine, basic: v.basic, found: v.found,
		scheme: scheme, port: q.localPort(), client: q.client(), early: q.isEarly(), firstHand: q.isFirstHand(),
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
