package session

import (
	"slices"
	"sync/atomic"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// MaxSites bounds how many sites are remembered for one session.
const MaxSites = 32

// siteSet is the sites at which a session was used. It is read at every
// request and grows a few times in its life.
type siteSet struct {
	p atomic.Pointer[[]origin.Origin]
}

func (s *siteSet) list() []origin.Origin {
	if p := s.p.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *siteSet) add(o origin.Origin) {
	for {
		old := s.p.Load()
		list := s.list()
		if len(list) >= MaxSites || slices.Contains(list, o) {
			return
		}
		longer := append(slices.Clone(list), o)
		if s.p.CompareAndSwap(old, &longer) {
			return
		}
	}
}

// names adds the sites to those of a record.
func (s *siteSet) names(recorded []string) []string {
	for _, o := range s.list() {
		if name := o.String(); len(recorded) < MaxSites && !slices.Contains(recorded, name) {
			recorded = append(recorded, name)
		}
	}
	return recorded
}

// Opened is Used at a site, which the session's owner is shown as one they
// opened. A gate calls it once it has admitted the request.
func (s *View) Opened(session *Session, at origin.Origin) {
	session.live.sites.add(at)
	s.Used(session)
}
