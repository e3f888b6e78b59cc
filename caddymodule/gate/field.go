package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Field is an identity header of any name, for apps that read none of a preset.
type Field struct {
	// Name is the header's: letters, digits and hyphens, such as X-WEBAUTH-USER.
	Name string `json:"name"`
	// Value is what stands in it: email, local (the part of the address before the
	// @), name, groups (comma separated) or sub.
	Value string `json:"value"`
}

// fieldParts are the words for Field.Value.
var fieldParts = map[string]part{"email": emailPart, "local": localPart, "name": namePart, "groups": groupsPart, "sub": subPart}

// maxFieldName bounds a name in bytes.
const maxFieldName = 64

// CheckFields finds what is wrong with the fields of one gate.
func CheckFields(all []Field) error {
	for i, f := range all {
		if err := f.check(); err != nil {
			return fmt.Errorf("header %s: %w", f.Name, err)
		}
		for _, other := range all[:i] {
			if fold(other.Name) == fold(f.Name) {
				return fmt.Errorf("header %s: %s is the same header to many apps: keep one of the two", f.Name, other.Name)
			}
		}
	}
	return nil
}

const tryField = "write for example\n    header X-WEBAUTH-USER email"

func (f Field) check() error {
	name := fold(f.Name)
	first, _, _ := strings.Cut(strings.ToLower(f.Name), "-")
	switch {
	case name == "" || len(f.Name) > maxFieldName || strings.ContainsFunc(f.Name, func(r rune) bool { return r != '-' && (r >= 0x80 || folded(byte(r)) == 0) }):
		return fmt.Errorf("a name has letters, digits and hyphens, at most %d; %s", maxFieldName, tryField)
	case ClaimOf(f.Name) == IdentityClaim:
		return errors.New("headers of presets are set by the option headers, as in\n    headers remote")
	case ClaimOf(f.Name) != NoClaim || slices.Contains(spokenFor, name) || slices.Contains(spokenForFirst, first):
		return fmt.Errorf("this name has a meaning of its own to browsers, servers or proxies, so it can't say who somebody is; %s", tryField)
	}
	if _, ok := fieldParts[f.Value]; !ok {
		return fmt.Errorf("%q is not what a header can say; there are email, local, name, groups and sub; %s", f.Value, tryField)
	}
	return nil
}

// fold is a header's name as names are compared.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 {
			if c := folded(byte(r)); c != 0 {
				return rune(c)
			}
		}
		return -1
	}, name)
}

// Claim has every handler of the house take these headers away from what clients
// send. It is called before the first request.
func (h *House) Claim(all []Field) {
	if h.fields == nil {
		h.fields = map[string]struct{}{}
	}
	for _, f := range all {
		h.fields[fold(f.Name)] = struct{}{}
	}
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
