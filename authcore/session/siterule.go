package session

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
)

// SiteRule is what one site asks of whoever has a live session. Whether a
// session is live is asked of all sites alike before it (over.go).
//
// Judge is the one place that applies it: to a request, to an answer under way,
// to another proxy's question and to what an operator asks. Each of them puts
// the Judgement into its own words: a page, a cut, a status, a sentence. The zero
// value admits no person.
type SiteRule struct {
	Policy  *policy.Policy
	Public  *origin.PublicPaths // that need no sign-in; nil: none
	Session Rule                // limits beyond those of all sites
	Fresh   time.Duration       // how old the sign-in may be when a request begins; 0: any age
	// Trusts tells whether a client passes without a session, in the name of as (zero:
	// of nobody); nil: none does.
	Trusts func(client netip.Addr, as address.Address) bool
}

// Target is which request is judged, as the client sent it.
type Target struct {
	Origin  origin.Origin
	Method  string
	Path    string // decoded
	Escaped string // as it was sent
}

// Visitor is who is judged, as far as that could be found out.
type Visitor struct {
	Session *Session  // nil: nobody is signed in
	LastUse time.Time // of the session, before this request
	Err     error     // why it can't be told whose the request is
	// UnderWay: the request was admitted before and its answer goes on. It is a
	// use of the session itself, and the sign-in was fresh when it began.
	UnderWay bool
}

// Decision is what a site's rule comes to.
type Decision uint8

// The decisions. Only Allowed lets anybody pass by name; what a request for a
// public path may do without it is said by SiteRule.Public.
const (
	NotAllowed  Decision = iota // the policy does not admit this person
	BeyondToken                 // the machine token is not good for this site, path or method
	SignInFirst                 // nobody is signed in, or the sign-in is over or too old for this site
	CannotTell                  // an outage, see Judgement.Err
	Allowed
)

// Judgement is a decision with what its words need.
type Judgement struct {
	Decision
	MaxAge time.Duration // with SignInFirst: how old the sign-in may be, 0 for any age
	Err    error         // with CannotTell
	Beyond string        // with BeyondToken: site, path or method
}

// IsPublic tells whether t needs no sign-in.
func (r *SiteRule) IsPublic(t Target) bool {
	return r.Public != nil && r.Public.Match(t.Path, t.Escaped)
}

// Judge applies rule. Limits come first, then the policy, then whether the
// sign-in is fresh enough: nobody signs in again only to be refused.
func (s *View) Judge(rule *SiteRule, v *Visitor, t Target) Judgement {
	switch {
	case v.Err != nil:
		return Judgement{Decision: CannotTell, Err: v.Err}
	case v.Session == nil:
		return Judgement{Decision: SignInFirst}
	case v.Session.Machine != nil:
		return rule.judgeMachine(v, t)
	}
	var now time.Time
	if rule.Session != (Rule{}) || rule.Fresh > 0 {
		now = s.core.now()
		used := v.LastUse
		if v.UnderWay {
			used = now
		}
		if limit := rule.Session.passed(v.Session.AuthTime, used, now); limit > 0 {
			return Judgement{Decision: SignInFirst, MaxAge: limit}
		}
	}
	if !rule.Policy.Admits(v.Session.Address) {
		return Judgement{Decision: NotAllowed}
	}
	if rule.Fresh > 0 && !v.UnderWay && !v.Session.youngerThan(rule.Fresh, now) {
		return Judgement{Decision: SignInFirst, MaxAge: rule.Fresh}
	}
	return Judgement{Decision: Allowed}
}

// judgeMachine asks what a machine token may. One of the configuration passes
// the gates of its sites by that alone; one that a person made also needs what
// the person needs, and can't sign in again where that is asked for.
func (r *SiteRule) judgeMachine(v *Visitor, t Target) Judgement {
	beyond := v.Session.Machine.Beyond(t)
	switch {
	case beyond != "":
		return Judgement{Decision: BeyondToken, Beyond: beyond}
	case v.Session.Address.IsZero():
		return Judgement{Decision: Allowed}
	case !r.Policy.Admits(v.Session.Address):
		return Judgement{Decision: NotAllowed}
	case r.Fresh > 0 && !v.UnderWay:
		return Judgement{Decision: SignInFirst, MaxAge: r.Fresh}
	}
	return Judgement{Decision: Allowed}
}

// RulePublic is what Explain names for a path that needs no sign-in.
const RulePublic = "public"

// Explain tells whether a person who has just signed in passes, and by which
// entry of the policy; the rule is RulePublic where nobody needs to.
func (r *SiteRule) Explain(a address.Address, t Target) (allowed bool, rule string) {
	if r.IsPublic(t) {
		return true, RulePublic
	}
	return r.Policy.Explain(a)
}

// IsFresh tells whether the sign-in of a session is younger than age, and showed
// that its person reads their mail.
func (s *View) IsFresh(session *Session, age time.Duration) bool {
	return session.youngerThan(age, s.core.now())
}

func (s *Session) youngerThan(age time.Duration, now time.Time) bool {
	return s.IsByMail() && now.Sub(s.AuthTime) < age
}

// IsByMail tells whether the sign-in showed that its person reads their mail. A code
// that an operator told them does not.
func (s *Session) IsByMail() bool { return slices.Contains(s.AMR, byMail) }
