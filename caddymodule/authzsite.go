package caddymodule

import (
	"maps"
	"strings"
	"sync/atomic"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// knownSite is what a scheme and a host come to that a proxy asks about.
type knownSite struct {
	origin origin.Origin
	site   *AuthzSite    // nil: none of ours
	login  origin.Origin // where its people sign in
}

// knownSites remembers those that were asked about, up to maxKnownSites: proxies
// ask about the same few at every request. The map is never changed, only
// replaced.
type knownSites struct {
	p atomic.Pointer[map[[2]string]knownSite]
}

const maxKnownSites = 100

// recognize finds the site that is asked about.
func (a *Authz) recognize(scheme, host, domain string) (k knownSite, problem string) {
	known := a.known.p.Load()
	if known != nil {
		if k, ok := (*known)[[2]string{scheme, host}]; ok {
			return k, ""
		}
	}
	if k.origin, problem = forwardedOrigin(scheme, host); problem != "" {
		return k, problem
	}
	if k.site = a.site(k.origin); k.site == nil {
		return k, ""
	}
	k.login = a.loginFor(k.origin, domain)
	a.known.add(known, [2]string{scheme, host}, k)
	return k, ""
}

// add remembers one more than old, unless somebody else was quicker.
func (s *knownSites) add(old *map[[2]string]knownSite, asked [2]string, k knownSite) {
	more := map[[2]string]knownSite{}
	if old != nil {
		if len(*old) >= maxKnownSites {
			return
		}
		more = maps.Clone(*old)
	}
	asked[0], asked[1] = strings.Clone(asked[0]), strings.Clone(asked[1]) // else they keep the request's headers
	more[asked] = k
	s.p.CompareAndSwap(old, &more)
}

// site returns the site that o is of, nil for none.
func (a *Authz) site(o origin.Origin) *AuthzSite {
	var starred *AuthzSite
	for _, s := range a.Sites {
		if !s.pattern.Covers(o) {
			continue
		}
		if s.pattern.Exact() {
			return s
		}
		if starred == nil {
			starred = s
		}
	}
	return starred
}

// loginFor is where people of the site o sign in: at the login host directly
// where the cookie set there is good for o, else at o itself, which has the
// session handed over.
func (a *Authz) loginFor(o origin.Origin, domain string) origin.Origin {
	if a.login.Audience(domain) == o.Audience(domain) {
		return a.login
	}
	return o
}
