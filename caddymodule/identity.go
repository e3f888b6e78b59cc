package caddymodule

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// presets are the identity headers that a gate can set. Which of them are
// removed from requests stands in claimOf, for all presets at once.
var presets = map[string][]headerField{
	"remote": {
		{"Remote-User", userPart}, {"Remote-Email", emailPart},
		{"Remote-Name", namePart}, {"Remote-Groups", groupsPart},
	},
	"forwarded": {
		{"X-Forwarded-User", userPart}, {"X-Forwarded-Email", emailPart},
		{"X-Forwarded-Preferred-Username", namePart}, {"X-Forwarded-Groups", groupsPart},
	},
	"auth_request": {
		{"X-Auth-Request-User", userPart}, {"X-Auth-Request-Email", emailPart},
		{"X-Auth-Request-Preferred-Username", namePart}, {"X-Auth-Request-Groups", groupsPart},
	},
	"cloudflare": {{"Cf-Access-Authenticated-User-Email", emailPart}, {"Cf-Access-Jwt-Assertion", accessPart}},
	"assertion":  {{"X-Gatehouse-Assertion", assertionPart}},
	"none":       {},
}

// headerField is one header of a preset and what stands in it.
type headerField struct {
	name string
	part part
}

type part int

const (
	userPart part = iota // the address, or which machine token
	emailPart
	namePart
	groupsPart
	assertionPart
	accessPart // as Cloudflare Access signs it
)

// headerSet is what a gate's presets come to. It outlives the gate in the memos
// of sessions, and holds nothing that would keep a configuration in memory.
type headerSet struct {
	fields []headerField
	signed []part // those that must be signed anew from time to time
}

func newHeaderSet(names []string) *headerSet {
	if len(names) == 0 {
		names = []string{"remote"}
	}
	s := &headerSet{}
	for _, name := range names {
		s.fields = append(s.fields, presets[name]...)
	}
	for _, f := range s.fields {
		if f.part == assertionPart || f.part == accessPart {
			s.signed = append(s.signed, f.part)
		}
	}
	return s
}

// headerSet is made at the first request.
func (g *Gate) headerSet() *headerSet {
	g.headersOnce.Do(func() { g.headers = newHeaderSet(g.Headers) })
	return g.headers
}

// memoKey is under which a session remembers an identity. Only what is signed
// differs from one host of a gate to the next.
func (s *headerSet) memoKey(at origin.Origin) any {
	if len(s.signed) == 0 {
		return s
	}
	return struct {
		set *headerSet
		at  origin.Origin
	}{s, at}
}

// identity is a session in the words of one gate's headers and of Caddy's
// placeholders, made once and used for many requests.
type identity struct {
	version uint64 // of the lists that its groups rest on

	fields       []identityField
	placeholders caddy.ReplacerFunc

	few   [4]identityField // room for fields, at the same place in memory
	until time.Time        // with an assertion: when it must be signed anew
}

// identityField is a header with its value.
type identityField struct{ name, value string }

// identify finds the words for the session. An error means that they can't be
// made.
func (v *visit) identify() error {
	set := v.g.headerSet()
	key := set.memoKey(v.origin)
	version := v.run.lists.Version()
	id, _ := v.session.Memo(key).(*identity)
	if id == nil || id.version != version || len(set.signed) > 0 && !v.run.service.Now().Before(id.until) {
		var err error
		if id, err = v.newIdentity(set, version); err != nil {
			return err
		}
		v.session.SetMemo(key, id)
	}
	v.identity = id
	return nil
}

func (v *visit) newIdentity(set *headerSet, version uint64) (*identity, error) {
	s := v.session
	groups := v.run.groups.Of(s.Address)
	id := &identity{version: version, placeholders: userPlaceholders(s, groups)}
	parts := map[part]string{
		userPart: s.User(), emailPart: s.Address.String(), namePart: headerValue(s.Name), groupsPart: strings.Join(groups, ","),
	}
	if len(set.signed) > 0 {
		id.until = v.run.service.Now().Add(authcore.AssertionReuse)
	}
	for _, p := range set.signed {
		var err error
		if parts[p], err = v.sign(p, groups); err != nil {
			return nil, err
		}
	}
	id.fields = id.few[:0]
	for _, f := range set.fields {
		if value := parts[f.part]; value != "" {
			id.fields = append(id.fields, identityField{f.name, value})
		}
	}
	return id, nil
}

// sign makes a signed statement about the visitor.
func (v *visit) sign(p part, groups []string) (string, error) {
	issuer := v.origin
	if !v.login.IsZero() { // the site's proxy may lead no path to us
		issuer = v.login
	}
	if p == accessPart {
		return v.run.service.AssertAccess(v.r.Context(), v.session, issuer, v.origin)
	}
	return v.run.service.Assert(v.r.Context(), v.session, issuer, v.origin, groups)
}

// write sets the headers. The values are copied, because handlers further in
// may change them in place.
func (id *identity) write(h http.Header) {
	values := make([]string, len(id.fields))
	for i, f := range id.fields {
		values[i] = f.value
		h[f.name] = values[i : i+1 : i+1]
	}
}

// headerValue writes s so that every server reads the same: visible ASCII and
// inner spaces stay, every other byte of its UTF-8 form and the percent sign
// become %XX, which decodeURIComponent and its like undo. It is for names, which
// may have anything in them; addresses and groups are plain ASCII.
func headerValue(s string) string {
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

// userPlaceholders answers {http.auth.user.*}. The id is the address, or which
// machine token it was, so that access logs carry it as user_id.
func userPlaceholders(s *authcore.Session, groups []string) caddy.ReplacerFunc {
	email := s.Address.String()
	values := map[string]any{
		"http.auth.user.id": s.User(), "http.auth.user.email": email, "http.auth.user.sub": s.Subject,
		"http.auth.user.name": headerValue(s.Name), "http.auth.user.groups": strings.Join(groups, ","),
		"http.auth.user.sid": s.ID, "http.auth.user.amr": strings.Join(s.AMR, ","),
	}
	return func(key string) (any, bool) {
		value, ok := values[key]
		return value, ok
	}
}
