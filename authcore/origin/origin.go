package origin

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

// Origin is where a browser says it is: scheme, host and port. It has one
// canonical form, so two origins are the same exactly if they are ==, and it
// serves as a map key: lower case, the default port left out, no trailing dot,
// international names as A-labels, IPv6 in its short form in brackets. The
// zero value is no origin.
type Origin struct {
	secure    bool
	localhost bool   // told by host, and asked for at every request
	host      string // host[:port]; empty for the zero value
}

// Error says why a text is not an origin and what to write.
type Error struct {
	Problem string
}

func (e *Error) Error() string { return e.Problem }

var (
	errOriginScheme = &Error{"an origin begins with https:// or http://, as in https://app.example.com"}
	errOriginRest   = &Error{"an origin is scheme, host and port alone, as in https://app.example.com:8443, without path, query or user name"}
	errOriginHost   = &Error{"the host is not a host name or IP address, as in app.example.com or [2001:db8::1]"}
	errOriginPort   = &Error{"the port is not a number from 1 to 65535"}
)

// Parse reads an origin such as https://app.example.com or
// http://localhost:8080, as people write it in a configuration and browsers in
// the Origin header. A single slash at the end is allowed. The error is an
// *Error.
func Parse(s string) (Origin, error) {
	scheme, rest, ok := cutScheme(s)
	if !ok {
		return Origin{}, errOriginScheme
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, `/\?#@`) {
		return Origin{}, errOriginRest
	}
	if !ascii.Valid(rest) {
		name, _, _ := strings.Cut(rest, ":")
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil || !utf8.ValidString(name) { // idna takes invalid bytes for U+FFFD
			return Origin{}, errOriginHost
		}
		rest = ascii + rest[len(name):]
	}
	return New(scheme, rest)
}

// New returns the origin of a request that came over scheme (http or
// https, in lower case) with this Host header. It refuses every header that a
// browser would not send for the host: user info, spaces, control bytes, more
// than one port, a port out of range, numbers that only look like an IPv4
// address. It does not allocate when the header is canonical already, which it
// is on every request but a few. The error is an *Error.
func New(scheme, hostHeader string) (Origin, error) {
	if scheme != "https" && scheme != "http" {
		return Origin{}, errOriginScheme
	}
	secure := scheme == "https"
	name, port, err := cutPort(hostHeader)
	if err != nil {
		return Origin{}, err
	}
	canonical, ok := canonicalHost(name)
	if !ok {
		return Origin{}, errOriginHost
	}
	if port == defaultPort(secure) {
		port = ""
	}
	return Origin{secure, isLocalhost(canonical), joinPort(hostHeader, canonical, port)}, nil
}

// cutScheme splits off http:// or https:// in any case.
func cutScheme(s string) (scheme, rest string, ok bool) {
	for _, scheme := range []string{"https", "http"} {
		n := len(scheme)
		if len(s) > n+3 && strings.EqualFold(s[:n], scheme) && s[n:n+3] == "://" {
			return scheme, s[n+3:], true
		}
	}
	return "", "", false
}

// cutPort splits a Host header into host (an IPv6 literal with its brackets)
// and port, which is empty when there is none.
func cutPort(s string) (host, port string, err error) {
	if host = withoutPort(s); host == s {
		return s, "", nil
	}
	port = s[len(host)+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '0' || port[0] == '+' {
		return "", "", errOriginPort
	}
	return host, port, nil
}

// withoutPort is cutPort without a look at the port.
func withoutPort(host string) string {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.HasSuffix(host, "]") {
		return host
	}
	return host[:colon]
}

// canonicalHost returns the one form of a host name or an IP address.
func canonicalHost(s string) (string, bool) {
	if strings.HasPrefix(s, "[") {
		return canonicalIPv6(s)
	}
	s = strings.TrimSuffix(ascii.Lower(s), ".")
	if !address.IsHostname(s) {
		return "", false
	}
	if address.EndsInNumber(s) {
		// Browsers read 127.1 and 2130706433 as 127.0.0.1: a form that they
		// would change is not one we compare with.
		_, err := netip.ParseAddr(s)
		return s, err == nil
	}
	return s, true
}

func canonicalIPv6(s string) (string, bool) {
	inner := strings.TrimSuffix(s[1:], "]")
	addr, err := netip.ParseAddr(inner)
	if err != nil || !addr.Is6() || addr.Zone() != "" || len(inner) != len(s)-2 {
		return "", false
	}
	var buf [64]byte
	text := append(buf[:0], '[')
	text = append(addr.AppendTo(text), ']')
	if string(text) == s {
		return s, true
	}
	return string(text), true
}

// joinPort puts host and port together again, as a part of whole, the text
// they came from, where that is possible.
func joinPort(whole, host, port string) string {
	if port == "" {
		return host
	}
	if len(whole) == len(host)+1+len(port) && strings.HasPrefix(whole, host) {
		return whole
	}
	return host + ":" + port
}

func defaultPort(secure bool) string {
	if secure {
		return "443"
	}
	return "80"
}

// IsZero reports whether o is no origin.
func (o Origin) IsZero() bool { return o.host == "" }

// String returns the origin as browsers write it, without a slash at the end;
// empty for no origin.
func (o Origin) String() string {
	if o.IsZero() {
		return ""
	}
	return o.Scheme() + "://" + o.host
}

// Secure reports whether the scheme is https.
func (o Origin) Secure() bool { return o.secure }

// Scheme returns https or http.
func (o Origin) Scheme() string {
	if o.secure {
		return "https"
	}
	return "http"
}

// Host returns the host, with its port unless that is the scheme's default.
func (o Origin) Host() string { return o.host }

// Hostname returns the host alone, an IPv6 address without its brackets.
func (o Origin) Hostname() string { return withoutBrackets(withoutPort(o.host)) }

func withoutBrackets(host string) string {
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// Port returns the port that is in effect: 443 or 80 when none is written.
func (o Origin) Port() string {
	_, port, _ := cutPort(o.host)
	if port == "" {
		return defaultPort(o.secure)
	}
	return port
}

// IsLocalhost reports whether the host can only be this machine: localhost and
// names under it, 127.0.0.0/8, [::1].
func (o Origin) IsLocalhost() bool { return o.localhost }

func isLocalhost(host string) bool {
	name := withoutBrackets(host)
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if !address.EndsInNumber(name) && !strings.Contains(name, ":") {
		return false
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.IsLoopback() && !addr.Is4In6()
}

// Under reports whether the host is domain or lies below it, by whole labels.
// domain is in canonical form: lower-case ASCII without dots at its ends.
// Nothing is under the empty domain.
func (o Origin) Under(domain string) bool {
	if domain == "" {
		return false
	}
	name := o.Hostname()
	if !strings.HasSuffix(name, domain) {
		return false
	}
	above := name[:len(name)-len(domain)]
	return above == "" || above[len(above)-1] == '.'
}

// Audience returns the aud of sessions at this origin: the domain where one
// cookie serves all hosts under it, else the origin; on localhost without the
// port, because cookies have none and people run several things there.
func (o Origin) Audience(domain string) string {
	if o.Under(domain) {
		return domain
	}
	if o.IsLocalhost() {
		return o.Scheme() + "://" + withoutPort(o.host)
	}
	return o.String()
}

// HasAudience tells whether aud is what Audience returns, without making it.
func (o Origin) HasAudience(aud, domain string) bool {
	if o.Under(domain) {
		return aud == domain
	}
	host := o.host
	if o.localhost {
		host = withoutPort(host)
	}
	rest, ok := strings.CutPrefix(aud, o.Scheme())
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(rest, "://")
	return ok && rest == host
}

// MarshalText returns the same as String.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText parses as Parse does, and reads empty text as no origin.
func (o *Origin) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*o = Origin{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*o = parsed
	return nil
}
