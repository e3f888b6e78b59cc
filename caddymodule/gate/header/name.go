package header

import (
	"slices"
	"strings"
)

// MaxName bounds the name of a header that says who somebody is, in bytes.
const MaxName = 64

// IsName tells whether a header that says who somebody is can be called s: by letters,
// digits and hyphens.
func IsName(s string) bool {
	strange := func(r rune) bool { return r != '-' && (r >= 0x80 || folded(byte(r)) == 0) }
	return Fold(s) != "" && len(s) <= MaxName && !strings.ContainsFunc(s, strange)
}

// IsSpokenFor tells whether a name has a meaning of its own to browsers, servers or
// proxies.
func IsSpokenFor(s string) bool {
	first, _, _ := strings.Cut(strings.ToLower(s), "-")
	return ClaimOf(s) != NoClaim || slices.Contains(spokenFor, Fold(s)) || slices.Contains(spokenForFirst, first)
}

// Fold is a header's name as names are compared.
func Fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 {
			if c := folded(byte(r)); c != 0 {
				return rune(c)
			}
		}
		return -1
	}, name)
}

// spokenForFirst begin names that HTTP, browsers and proxies speak with.
var spokenForFirst = []string{"accept", "access", "caddy", "content", "cross", "if", "proxy", "sec"}

// spokenFor are further names of HTTP, WebDAV, Caddy and proxies, folded.
var spokenFor = []string{
	"age", "allow", "altsvc", "altused", "authenticationinfo", "authorization", "cachecontrol", "cfaccessclientid", "cfaccessclientsecret",
	"cfconnectingip", "cfray", "clearsitedata", "connection", "contentencoding", "contentlength", "contenttype", "cookie", "cookie2", "date", "depth",
	"destination", "dnt", "earlydata", "etag", "expect", "expires", "forwarded", "from", "host", "http2settings", "ifmatch",
	"ifmodifiedsince", "ifnonematch", "ifrange", "ifunmodifiedsince", "keepalive", "lasteventid", "lastmodified", "link", "location", "locktoken",
	"maxforwards", "origin", "overwrite", "pragma", "priority", "proxyauthorization", "range", "referer", "refererpolicy", "referrerpolicy",
	"retryafter", "savedata", "server", "setcookie", "te", "timeout", "traceparent", "tracestate", "trailer", "transferencoding",
	"trueclientip", "upgrade", "upgradeinsecurerequests", "useragent", "vary", "via", "warning", "wwwauthenticate",
	"xclientip", "xcsrftoken", "xforwardedfor", "xforwardedhost", "xforwardedport", "xforwardedproto", "xforwardedserver", "xforwardedssl",
	"xgatehousetoken", "xrealip", "xrequestedwith", "xrequestid", "xsendfile", "xaccelredirect",
}

// Value writes s so that every server reads the same: visible ASCII and
// inner spaces stay, every other byte of its UTF-8 form and the percent sign
// become %XX, which decodeURIComponent and its like undo. It is for names, which
// may have anything in them; addresses and groups are plain ASCII.
func Value(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		inner := c == ' ' && i > 0 && i < len(s)-1
		if c > ' ' && c < 0x7f && c != '%' || inner {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
