package gate

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// Claim is what a header of a request claims that only we may say.
type Claim int

const (
	NoClaim Claim = iota
	IdentityClaim
	// RouteClaim: that the request is for another path or method than it is.
	// Frameworks that believe it would serve a protected page under a public
	// path (X-Rewrite-URL, X-Original-URL and their kin).
	RouteClaim
	// MethodClaim: that the request has another method than it has. It is the
	// app's to believe, and passes, but not beside a token or a gate limited to methods.
	MethodClaim
	// WayClaim: which way the request has come: from whom, over what, to which
	// host. That is a proxy's to say, and passes from trusted ones alone.
	WayClaim
	// ForwardedClaim is a WayClaim that Caddy's reverse_proxy says itself, unless
	// it believes the peer.
	ForwardedClaim
	// HostClaim is X-Forwarded-Host: the app is told the host that was judged.
	HostClaim
)

// longestClaim is the length of the longest name in ClaimOf.
const longestClaim = len("cfaccessauthenticateduseremail")

// ClaimOf tells what a header called name claims. Names are compared after
// dropping every byte that is not a letter or a digit, because CGI, WSGI, PHP
// and Rack fold separators: Remote_Email, remote.email and Remote-Email are one
// variable to an app. It does not allocate.
func ClaimOf(name string) Claim {
	var buf [longestClaim]byte
	n := 0
	for i := range len(name) {
		c := folded(name[i])
		if c == 0 {
			continue
		}
		if n == len(buf) || n == 0 && c != 'x' && c != 'r' && c != 'c' && c != 'f' && c != 't' && c != 'h' {
			return NoClaim // most headers end here, at their first letter
		}
		buf[n] = c
		n++
	}
	switch string(buf[:n]) {
	case "remoteuser", "remoteemail", "remotename", "remotegroups",
		"xforwardeduser", "xforwardedemail", "xforwardedpreferredusername", "xforwardedgroups",
		"xauthrequestuser", "xauthrequestemail", "xauthrequestpreferredusername", "xauthrequestgroups",
		"cfaccessauthenticateduseremail", "cfaccessjwtassertion",
		"xgatehouseassertion", "xgatehousetoken", "xgatehouseinclude":
		return IdentityClaim
	case "xoriginalurl", "xoriginaluri", "xoriginalpath", "xoriginalmethod",
		"xrewriteurl", "xrewriteuri", "xoverrideurl", "xreplacedpath",
		"xforwardeduri", "xforwardedpath", "xforwardedprefix", "xforwardedmethod",
		"xscriptname", "xforwardedscriptname", "xrewritepath", "xenvoyoriginalpath", "xwawsunencodedurl",
		"xhost", "xoriginalhost", "xhttphostoverride", "xsendfiletype", "xaccelmapping":
		return RouteClaim
	case "xhttpmethodoverride", "xhttpmethodoverrides", "xhttpmethod", "xhttpverb", "xhttpverboverride", "xmethod",
		"xmethodoverride", "xmethodoverrides", "xtunneledmethod", "httpmethodoverride", "httpmethod", "httpxhttpmethodoverride",
		"xrequestmethod", "xrequestedmethod", "xoverridemethod", "xverb":
		return MethodClaim
	case "forwarded", "forwardedfor", "xforwarded", "xforwardedby", "xforwardedport", "xforwardedscheme", "xforwardedserver", "xforwardedssl",
		"xrealip", "xremoteip", "xremoteaddr", "xclientip", "xclusterclientip", "xoriginatingip", "xoriginalforwardedfor",
		"trueclientip", "fastlyclientip", "clientip", "cfconnectingip", "cfconnectingipv6",
		"xenvoyexternaladdress", "xazureclientip", "xappengineuserip":
		return WayClaim
	case "xforwardedfor", "xforwardedproto":
		return ForwardedClaim
	case "xforwardedhost":
		return HostClaim
	}
	return NoClaim
}

// folded is a byte of a header's name as names are compared, 0 for one that does
// not count.
func folded(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return 0
}

// claimOf is ClaimOf, which also knows the headers that gates of this
// configuration set beside the presets. What one gate sets nobody may send to the
// app behind another: both may be the same.
func (h *House) claimOf(name string) Claim {
	if claim := ClaimOf(name); claim != NoClaim || len(h.fields) == 0 {
		return claim
	}
	var buf [maxFieldName]byte
	n := 0
	for i := range len(name) {
		c := folded(name[i])
		if c == 0 {
			continue
		}
		if n == len(buf) {
			return NoClaim
		}
		buf[n] = c
		n++
	}
	if _, ok := h.fields[string(buf[:n])]; ok {
		return IdentityClaim
	}
	return NoClaim
}

// DropMethods takes away what would have the app read another method than a
// token was judged by, and tells whether there was anything.
func DropMethods(h http.Header) (dropped bool) {
	for name := range h {
		if ClaimOf(name) == MethodClaim {
			delete(h, name)
			dropped = true
		}
	}
	return dropped
}

// cleanRequest takes from a request what no client may say, whatever becomes
// of it. It comes before anything that can fail, and tells whether what is left
// asks for a WebSocket.
func (q *request) cleanRequest() (webSocket bool) {
	r, trusted := q.r, q.trusted()
	for name := range r.Header {
		claim := q.house.claimOf(name)
		q.relayed = q.relayed || !trusted && claim.isOfProxy(name)
		switch claim {
		case IdentityClaim:
			delete(r.Header, name)
		case RouteClaim:
			if !q.keeps(name) {
				delete(r.Header, name)
			}
		case WayClaim:
			if !trusted {
				q.tellOfWay(name)
				delete(r.Header, name)
			}
		case HostClaim:
			q.namesHost = true
		}
	}
	q.house.cleanTrailer(r.Trailer)
	webSocket = cleanUpgrade(r)
	cleanConnection(r.Header)
	return webSocket
}

// nameHost has X-Forwarded-Host name the host that was judged: a trusted proxy hands
// on what its clients say there, and many apps serve the site that it names.
func (q *request) nameHost() {
	if !q.namesHost {
		return
	}
	for name := range q.r.Header {
		if ClaimOf(name) == HostClaim {
			delete(q.r.Header, name)
		}
	}
	q.r.Header["X-Forwarded-Host"] = []string{q.r.Host}
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

// CheckKept finds what is wrong with the names of headers to keep.
func CheckKept(names []string) error {
	for _, name := range names {
		switch ClaimOf(name) {
		case RouteClaim, WayClaim:
		case IdentityClaim:
			return fmt.Errorf("keep %s: who somebody is nobody says but Gatehouse; leave it out", name)
		default:
			return fmt.Errorf("keep %s: this header is not taken away; keep is for what says that a request is for another path, as in\n    keep X-Forwarded-Prefix", name)
		}
	}
	return nil
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
	if _, known := q.house.takenAway.LoadOrStore(fold(name), true); !known {
		q.house.log().Warn(fmt.Sprintf("a trusted proxy's request had the header %[1]s, which was taken away, because apps may serve the path that it names and not the one that was judged; if the app needs it, and that proxy sets it on every request, write in the block of the gate, or of what cleans before it: keep %[1]s", strings.Trim(web.Quoted(name), `"`)))
	}
	return false
}

// isRelayed tells whether a proxy has handed a request with these headers on.
func isRelayed(h http.Header) bool {
	for name := range h {
		if ClaimOf(name).isOfProxy(name) {
			return true
		}
	}
	return false
}

// isOfProxy tells whether proxies write the header with this name.
func (c Claim) isOfProxy(name string) bool {
	return c == WayClaim || c == ForwardedClaim || c == HostClaim || name == "Via"
}

// tellOfWay tells once what an app does not hear of a proxy that nobody listed.
func (q *request) tellOfWay(name string) {
	if peer, err := netip.ParseAddrPort(q.r.RemoteAddr); err != nil || !isNear(peer.Addr()) {
		return // what strangers send is no news
	}
	if _, known := q.house.takenAway.LoadOrStore(fold(name), true); !known {
		q.house.log().Warn(fmt.Sprintf("a request from a private address had the header %s, which was taken away: only proxies in Caddy's trusted_proxies may say which way a request has come; if a proxy of yours sets it, write in the global options servers { trusted_proxies static <its networks> }", strings.Trim(web.Quoted(name), `"`)))
	}
}

// cleanTrailer removes what claims anything from trailers, and credentials,
// which have no place there and may be ours: first their announcement, later
// what came.
func (h *House) cleanTrailer(t http.Header) {
	for name := range t {
		if h.claimOf(name) != NoClaim || strings.EqualFold(name, "Cookie") || strings.EqualFold(name, "Authorization") {
			delete(t, name)
		}
	}
}

// cleanConnection removes the headers that the client declares to be for this
// hop alone, as the proxy behind us would. Left to that proxy, "Connection:
// Remote-Email" would remove the header that the gate sets in between.
func cleanConnection(h http.Header) {
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
