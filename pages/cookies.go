package pages

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// The names of the cookies, without their prefix. Over https they carry
// __Host- (which a browser takes only from this very host, over https), or
// __Secure- for the session of a whole domain.
const (
	sessionCookie = "gatehouse"
	flowCookie    = "gatehouse-flow"
	deviceCookie  = "gatehouse-device"

	hostPrefix   = "__Host-"
	securePrefix = "__Secure-"
)

// SessionTokens appends to buf the values of the request's session cookies and
// returns it: at most one more than session.MaxTokens, and that one
// only tells that there are too many. Only the one name that belongs to the
// scheme is read. domain is the domain that shares one session, empty for a
// host that is not under it.
func SessionTokens(r *http.Request, secure bool, domain string, buf []string) []string {
	return cookieValues(r.Header, sessionName(secure, domain), buf, session.MaxTokens+1)
}

// presentedSessions are the session cookies of a request in every spelling: signing
// out ends them all, not only the one that counts here.
func presentedSessions(r *http.Request) (tokens []string) {
	for _, name := range []string{hostPrefix + sessionCookie, securePrefix + sessionCookie, sessionCookie} {
		tokens = cookieValues(r.Header, name, tokens, len(tokens)+session.MaxTokens)
	}
	return tokens
}

func sessionName(secure bool, domain string) string {
	switch {
	case !secure:
		return sessionCookie
	case domain != "":
		return securePrefix + sessionCookie
	}
	return hostPrefix + sessionCookie
}

// cookieValues appends up to most values of the cookies called name.
func cookieValues(h http.Header, name string, buf []string, most int) []string {
	for _, line := range h["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			key, value, _ := strings.Cut(pair, "=")
			if trim(key) != name || trim(value) == "" {
				continue
			}
			if len(buf) == most {
				return buf
			}
			buf = append(buf, trim(value))
		}
	}
	return buf
}

// trim drops the white space that cookie parsers drop.
func trim(s string) string { return strings.Trim(s, " \t") }

// IsOwnCookie tells whether name is one of ours in any of its prefix forms. An
// app must neither see nor set these. Case does not count: some apps ignore it.
func IsOwnCookie(name string) bool {
	name = trim(name)
	if len(name) < len(sessionCookie) {
		return false
	}
	for _, prefix := range [...]string{hostPrefix, securePrefix} {
		if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			name = name[len(prefix):]
			break
		}
	}
	return strings.EqualFold(name, sessionCookie) || strings.EqualFold(name, flowCookie) || strings.EqualFold(name, deviceCookie)
}

// StripOwnCookies removes our cookies from the Cookie headers and leaves the
// others byte for byte. It does nothing, and allocates nothing, when there is
// none of ours.
func StripOwnCookies(h http.Header) {
	lines := h["Cookie"]
	var kept []string // what is left of lines, once something was removed
	removed := false
	for i, line := range lines {
		rest, own := withoutOwn(line)
		if own && !removed {
			removed = true
			kept = slices.Clone(lines[:i]) // the slice may be remembered by others
		}
		if removed && rest != "" {
			kept = append(kept, rest)
		}
	}
	if removed && len(kept) == 0 {
		delete(h, "Cookie")
	} else if removed {
		h["Cookie"] = kept
	}
}

// withoutOwn returns the Cookie header line without our cookies, and tells
// whether there were any.
func withoutOwn(line string) (rest string, own bool) {
	var few [4]string
	kept := few[:0]
	from := 0 // where what is kept goes on
	for at := 0; at <= len(line); {
		end := len(line)
		if i := strings.IndexByte(line[at:], ';'); i >= 0 {
			end = at + i
		}
		if name, _, _ := strings.Cut(line[at:end], "="); IsOwnCookie(name) {
			own = true
			kept = append(kept, line[from:at])
			from = end + 1
		}
		at = end + 1
	}
	switch {
	case !own:
		return line, false
	case from <= len(line):
		rest = strings.Join(append(kept, line[from:]), "")
	default:
		rest = strings.TrimSuffix(strings.Join(kept, ""), ";")
	}
	return strings.TrimLeft(rest, " \t"), true
}

// jar sets and expires our cookies for one origin.
type jar struct {
	header http.Header
	origin origin.Origin
	domain string // that shares one session, if the origin is under it
}

func newJar(h http.Header, o origin.Origin, domain string) jar {
	if !o.Under(domain) {
		domain = ""
	}
	return jar{h, o, domain}
}

// setSession hands the session to the browser until its absolute end.
func (j jar) setSession(s *session.Session, token string, now time.Time) {
	c := j.cookie(sessionName(j.origin.Secure(), j.domain), token, s.Expires.Sub(now))
	c.Domain = j.domain
	c.Expires = s.Expires.UTC()
	if s.Public { // it also ends with the browser
		c.MaxAge, c.Expires = 0, time.Time{}
	}
	j.write(c)
}

func (j jar) setFlow(value string) {
	j.write(j.cookie(j.hostName(flowCookie), value, challenge.FlowLifetime))
}
func (j jar) setDevice(value string) {
	j.write(j.cookie(j.hostName(deviceCookie), value, challenge.DeviceLifetime))
}

// expireSession takes the session cookie back, in every form it may have: the
// host's own, and one for the domain that may have been planted by a neighbour.
func (j jar) expireSession() { j.expire(sessionName(j.origin.Secure(), j.domain)) }
func (j jar) expireDevice()  { j.expire(j.hostName(deviceCookie)) }
func (j jar) expireFlow()    { j.expire(j.hostName(flowCookie)) }

func (j jar) expire(name string) {
	c := j.cookie(name, "", 0)
	c.MaxAge, c.Expires = -1, time.Unix(1, 0).UTC()
	j.write(c)
	if strings.HasPrefix(name, hostPrefix) {
		return // such a cookie can't have a Domain
	}
	for _, domain := range j.domains() {
		c.Domain = domain
		j.write(c)
	}
}

// domains are those a neighbour could have set a cookie of ours for.
func (j jar) domains() []string {
	name := j.origin.Hostname()
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	var all []string
	for strings.Contains(name, ".") && len(all) < 4 {
		all = append(all, name)
		_, name, _ = strings.Cut(name, ".")
	}
	return all
}

func (j jar) hostName(name string) string {
	if j.origin.Secure() {
		return hostPrefix + name
	}
	return name
}

func (j jar) cookie(name, value string, life time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, Secure: j.origin.Secure(), SameSite: http.SameSiteLaxMode,
	}
}

func (j jar) write(c *http.Cookie) { j.header.Add("Set-Cookie", c.String()) }

// ownCookie returns the value of the flow or device cookie. Of two nobody
// knows which is the browser's own, so they count as none.
func (j jar) ownCookie(h http.Header, name string) (value string, several bool) {
	values := cookieValues(h, j.hostName(name), nil, 2)
	if len(values) != 1 {
		return "", len(values) > 1
	}
	return values[0], false
}
