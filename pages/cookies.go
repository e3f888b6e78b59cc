package pages

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// Cookies are what our cookies are called: the session's by the name alone, the
// others by the name and a word. Over https they carry __Host- (which a browser takes
// only from this very host, over https), or __Secure- for the session of a whole
// domain. The zero value has the name gatehouse.
type Cookies struct {
	name string
	// session is the name for http, __Host- and __Secure-: a request asks for one of
	// them, and must not make it anew.
	session [3]string
}

const (
	defaultName = "gatehouse"
	flowWord    = "-flow"
	deviceWord  = "-device"

	hostPrefix   = "__Host-"
	securePrefix = "__Secure-"
)

var defaultCookies = Cookies{defaultName, [3]string{defaultName, hostPrefix + defaultName, securePrefix + defaultName}}

// CookiesNamed has the cookies called name, for an instance that shares a host or a
// domain with another. "" is the default.
func CookiesNamed(name string) (Cookies, error) {
	if name == "" {
		return Cookies{}, nil
	}
	for _, c := range []byte(name) {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return Cookies{}, fmt.Errorf("cookie %q: a name has lower-case letters, digits, - and _", name)
		}
	}
	if len(name) > 32 || strings.HasPrefix(name, "__") || strings.HasSuffix(name, "-") || strings.HasSuffix(name, flowWord) || strings.HasSuffix(name, deviceWord) {
		return Cookies{}, fmt.Errorf("cookie %q: a name has at most 32 characters, does not begin with __ and does not end in -, %s or %s", name, flowWord, deviceWord)
	}
	return Cookies{name, [3]string{name, hostPrefix + name, securePrefix + name}}, nil
}

func (c Cookies) or() Cookies {
	if c.name == "" {
		return defaultCookies
	}
	return c
}

// SessionTokens appends to buf the values of the request's session cookies: at most
// one more than session.MaxTokens, and that one only tells that there are too many.
// Only the one name that belongs to the scheme is read. domain is the domain that
// shares one session, empty for a host that is not under it.
func (c Cookies) SessionTokens(r *http.Request, secure bool, domain string, buf []string) []string {
	return cookieValues(r.Header, c.sessionName(secure, domain), buf, session.MaxTokens+1)
}

// presentedSessions are the session cookies of a request in every spelling and under
// every name they may have had: signing out ends all, not only the one that counts.
func (c Cookies) presentedSessions(r *http.Request) (tokens []string) {
	for _, name := range c.or().session {
		tokens = cookieValues(r.Header, name, tokens, len(tokens)+session.MaxTokens)
	}
	most := len(tokens) + session.MaxTokens
	for _, other := range r.Cookies() {
		if len(tokens) < most && session.TokenKind.Names(other.Value) && !slices.Contains(tokens, other.Value) {
			tokens = append(tokens, other.Value)
		}
	}
	return tokens
}

func (c Cookies) sessionName(secure bool, domain string) string {
	c = c.or()
	switch {
	case !secure:
		return c.session[0]
	case domain != "":
		return c.session[2]
	}
	return c.session[1]
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

// IsOwn tells whether name is one of ours in any of its prefix forms, or of another
// instance: with the default name, or one that begins with gatehouse-. An app must
// neither see nor set these. Case does not count: some apps ignore it.
func (c Cookies) IsOwn(name string) bool {
	name = trim(name)
	for _, prefix := range [...]string{hostPrefix, securePrefix} {
		if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			name = name[len(prefix):]
			break
		}
	}
	if rest, ok := cutFold(name, defaultName); ok && (rest == "" || rest[0] == '-') {
		return true
	}
	rest, ok := cutFold(name, c.or().name)
	return ok && (rest == "" || strings.EqualFold(rest, flowWord) || strings.EqualFold(rest, deviceWord))
}

func cutFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// StripOwn removes our cookies from the Cookie headers and leaves the others byte for
// byte; it allocates nothing when there is none of ours. A cookie is ours by its value,
// too: after another name was configured, browsers go on sending the former ones.
func (c Cookies) StripOwn(h http.Header) {
	lines := h["Cookie"]
	var kept []string // what is left of lines, once something was removed
	removed := false
	for i, line := range lines {
		rest, own := c.withoutOwn(line)
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
func (c Cookies) withoutOwn(line string) (rest string, own bool) {
	var few [4]string
	kept := few[:0]
	from := 0 // where what is kept goes on
	for at := 0; at <= len(line); {
		end := len(line)
		if i := strings.IndexByte(line[at:], ';'); i >= 0 {
			end = at + i
		}
		if name, value, _ := strings.Cut(line[at:end], "="); c.IsOwn(name) || session.IsCookie(trim(value)) {
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
	names  Cookies
}

func newJar(h http.Header, o origin.Origin, domain string, names Cookies) jar {
	if !o.Under(domain) {
		domain = ""
	}
	return jar{h, o, domain, names.or()}
}

// setSession hands the session to the browser until its absolute end.
func (j jar) setSession(s *session.Session, token string, now time.Time) {
	c := j.cookie(j.names.sessionName(j.origin.Secure(), j.domain), token, s.Expires.Sub(now))
	c.Domain = j.domain
	c.Expires = s.Expires.UTC()
	if s.Public { // it also ends with the browser
		c.MaxAge, c.Expires = 0, time.Time{}
	}
	j.write(c)
}

func (j jar) setFlow(value string) {
	j.write(j.cookie(j.hostName(flowWord), value, challenge.FlowLifetime))
}
func (j jar) setDevice(value string) {
	j.write(j.cookie(j.hostName(deviceWord), value, challenge.DeviceLifetime))
}

// expireSession takes the session cookie back, in every form it may have: the
// host's own, and one for the domain that may have been planted by a neighbour.
func (j jar) expireSession() { j.expire(j.names.sessionName(j.origin.Secure(), j.domain)) }
func (j jar) expireDevice()  { j.expire(j.hostName(deviceWord)) }
func (j jar) expireFlow()    { j.expire(j.hostName(flowWord)) }

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

func (j jar) hostName(word string) string { return j.names.sessionName(j.origin.Secure(), "") + word }

func (j jar) cookie(name, value string, life time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, Secure: j.origin.Secure(), SameSite: http.SameSiteLaxMode,
	}
}

func (j jar) write(c *http.Cookie) { j.header.Add("Set-Cookie", c.String()) }

// ownCookie returns the value of the flow or device cookie. Of two nobody
// knows which is the browser's own, so they count as none.
func (j jar) ownCookie(h http.Header, word string) (value string, several bool) {
	values := cookieValues(h, j.hostName(word), nil, 2)
	if len(values) != 1 {
		return "", len(values) > 1
	}
	return values[0], false
}
