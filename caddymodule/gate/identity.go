package gate

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

// presets are the identity headers that a gate can set. Which of them are
// removed from requests stands in ClaimOf, for all presets at once.
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
	localPart // of the address
	subPart
	assertionPart
	accessPart // as Cloudflare Access signs it
)

// headerSet is what a gate's presets come to. It outlives the gate in the memos
// of sessions, and holds nothing that would keep a configuration in memory.
type headerSet struct {
	fields []headerField
	signed []part // those that must be signed anew from time to time
}

func newHeaderSet(names []string, more []Field) *headerSet {
	if len(names) == 0 {
		names = []string{"remote"}
	}
	s := &headerSet{}
	for _, name := range names {
		s.fields = append(s.fields, presets[name]...)
	}
	for _, f := range more {
		s.fields = append(s.fields, headerField{http.CanonicalHeaderKey(f.Name), fieldParts[f.Value]})
	}
	for _, f := range s.fields {
		if f.part == assertionPart || f.part == accessPart {
			s.signed = append(s.signed, f.part)
		}
	}
	return s
}

// HeaderNames are the headers that presets and fields set, each once.
func HeaderNames(presets []string, more []Field) []string {
	var names []string
	for _, f := range newHeaderSet(presets, more).fields {
		if !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	return names
}

// Presets are the names of all presets, none among them.
var Presets = []string{"remote", "forwarded", "auth_request", "cloudflare", "assertion", "none"}

// headerSet is made at the first request.
func (g *Gate) headerSet() *headerSet {
	g.headersOnce.Do(func() { g.headers = newHeaderSet(g.Headers, g.Fields) })
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

// identity is a session in the words of one gate's headers and of Server.Tell,
// made once and used for many requests.
type identity struct {
	version uint64 // of the lists that its groups rest on

	fields  []identityField
	answers map[string]string // by userKeys

	few   [4]identityField // room for fields, at the same place in memory
	until time.Time        // with an assertion: when it must be signed anew
}

// identityField is a header with its value.
type identityField struct{ name, value string }

// isNamed tells whether the app is told who asks.
func (q *request) isNamed() bool { return q.admitted || q.home != nil && q.identity != nil }

// identify finds the words for the session. An error means that they can't be
// made.
func (q *request) identify() error {
	set := q.gate.headerSet()
	key := set.memoKey(q.origin)
	version := q.run.version()
	id, _ := q.session.Memo(key).(*identity)
	if id == nil || id.version != version || len(set.signed) > 0 && !q.run.Service.Now().Before(id.until) {
		var err error
		if id, err = q.newIdentity(set, version); err != nil {
			return err
		}
		q.session.SetMemo(key, id)
	}
	q.identity = id
	return nil
}

func (q *request) newIdentity(set *headerSet, version uint64) (*identity, error) {
	s := q.session
	groups := q.run.groupsOf(s.Address)
	id := &identity{version: version, answers: userAnswers(s, groups)}
	parts := map[part]string{
		userPart: s.User(), emailPart: s.Address.String(), namePart: header.Value(s.Name), groupsPart: strings.Join(groups, ","),
		localPart: s.Address.Local(), subPart: s.Subject,
	}
	if len(set.signed) > 0 {
		id.until = q.run.Service.Now().Add(session.AssertionReuse)
	}
	for _, p := range set.signed {
		var err error
		if parts[p], err = q.sign(p, groups); err != nil {
			return nil, err
		}
	}
	id.fill(set, parts)
	return id, nil
}

// fill makes the headers.
func (id *identity) fill(set *headerSet, parts map[part]string) {
	id.fields = id.few[:0]
	for _, f := range set.fields {
		if value := parts[f.part]; value != "" {
			id.fields = append(id.fields, identityField{f.name, value})
		}
	}
}

// sign makes a signed statement about the visitor.
func (q *request) sign(p part, groups []string) (string, error) {
	issuer := q.origin
	if !q.login.IsZero() { // the site's proxy may lead no path to us
		issuer = q.login
	}
	if p == accessPart {
		return q.run.Service.Sessions().AssertAccess(q.r.Context(), q.session, issuer, q.origin)
	}
	return q.run.Service.Sessions().Assert(q.r.Context(), q.session, issuer, q.origin, groups)
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

// userKeys begins what Server.Tell hands on.
const userKeys = "http.auth.user."

// userAnswers are the answers for somebody. The id is the address, or which
// machine token it was, so that access logs carry it as user_id.
func userAnswers(s *session.Session, groups []string) map[string]string {
	return map[string]string{
		userKeys + "id": s.User(), userKeys + "email": s.Address.String(), userKeys + "sub": s.Subject,
		userKeys + "name": header.Value(s.Name), userKeys + "groups": strings.Join(groups, ","),
		userKeys + "sid": s.ID, userKeys + "amr": strings.Join(s.AMR, ","),
	}
}
