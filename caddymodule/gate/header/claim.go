package header

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
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
		"xrealip", "xproxyuserip", "xremoteip", "xremoteaddr", "xclientip", "xclusterclientip", "xoriginatingip", "xoriginalforwardedfor",
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

// Names are further headers that only we may say, beside those of the presets: what
// one gate sets nobody may send to the app behind another, for both may be the same.
// The zero value has none.
type Names map[string]struct{}

// Add adds a header.
func (n *Names) Add(name string) {
	if *n == nil {
		*n = Names{}
	}
	(*n)[Fold(name)] = struct{}{}
}

// ClaimOf is ClaimOf, which also knows the Names. It does not allocate.
func (n Names) ClaimOf(name string) Claim {
	if claim := ClaimOf(name); claim != NoClaim || len(n) == 0 {
		return claim
	}
	var buf [MaxName]byte
	length := 0
	for i := range len(name) {
		c := folded(name[i])
		if c == 0 {
			continue
		}
		if length == len(buf) {
			return NoClaim
		}
		buf[length] = c
		length++
	}
	if _, ok := n[string(buf[:length])]; ok {
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

// IsRelayed tells whether a proxy has handed a request with these headers on.
func IsRelayed(h http.Header) bool {
	for name := range h {
		if ClaimOf(name).IsOfProxy(name) {
			return true
		}
	}
	return false
}

// IsOfProxy tells whether proxies write the header with this name.
func (c Claim) IsOfProxy(name string) bool {
	return c == WayClaim || c == ForwardedClaim || c == HostClaim || name == "Via"
}

// clients are the headers, beside X-Forwarded-For, in which proxies write one address
// as their client's.
var clients = [...]string{"X-Real-Ip", "X-Proxyuser-Ip", "X-Envoy-External-Address", "Cf-Connecting-Ip", "True-Client-Ip"}

// OtherClient returns the name of a header that says the request is of a client who is
// none of those meant, "" for none. A proxy sets one header and hands on what its clients
// say in the others: of two that contradict each other nobody knows which is the proxy's.
func OtherClient(h http.Header, meant func(netip.Addr) bool) (name string) {
	for _, name := range clients {
		for _, line := range h[name] {
			if client, err := netip.ParseAddr(strings.TrimSpace(line)); err != nil || !meant(client.Unmap().WithZone("")) {
				return name
			}
		}
	}
	for _, line := range h["Forwarded"] {
		last := strings.LastIndex(strings.ToLower(line), "for=") // RFC 7239
		if last < 0 {
			continue
		}
		node, _, _ := strings.Cut(line[last+len("for="):], ";")
		if client, ok := addressOf(strings.Trim(node, `" `)); !ok || !meant(client) {
			return "Forwarded"
		}
	}
	return ""
}

// HidesClient tells whether X-Forwarded-For has something else than an address before,
// read from its end, the first that is not a proxy's: a proxy that knows no address, as
// of a client at a Unix socket, writes a word, and what stands before that is the client's own.
func HidesClient(h http.Header, isProxy func(netip.Addr) bool) bool {
	entries := strings.Split(strings.Join(h["X-Forwarded-For"], ","), ",")
	for _, entry := range slices.Backward(entries) {
		addr, ok := addressOf(strings.TrimSpace(entry))
		if !ok {
			return len(h["X-Forwarded-For"]) > 0
		}
		if !isProxy(addr) {
			return false
		}
	}
	return false
}

// addressOf is the address of a node as proxies write it, with a port or without.
func addressOf(text string) (netip.Addr, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return addr.Unmap().WithZone(""), err == nil
}
