package authcore

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// Config is what one configuration says about signing in. Every field without
// a default must be set.
type Config struct {
	Code    CodeRule
	Session session.Rule
	Limits  limit.Limits
	Domain  string // one session for all hosts under it; empty: one a host

	// MayReceive says who gets a mail: an address that at least one gate, site
	// or app of this instance admits.
	MayReceive func(address.Address) bool
	// Protects says whether an origin is one of this instance.
	Protects func(origin.Origin) bool
	// Rules are those of the sites that an open stream is at now: it goes on
	// while one of them admits it, and where there are none. Asked every second.
	// nil: there are none.
	Rules func(*session.Stream) []*session.SiteRule

	// AccountAt says on which origin who signs in at one finds the whole account
	// page. nil: on the same.
	AccountAt func(origin.Origin) origin.Origin

	// Machines are the machine tokens of the configuration.
	Machines []session.ConfiguredMachine

	Senders  []outbox.Sender     // in the order in which they are tried
	Texts    []outbox.TextSender // the same for text messages; may be empty
	Composer outbox.Composer
	Apps     *apps.List        // clients of the JSON APIs; nil for none
	Observe  func(event.Event) // nil: nobody listens; must not block
}

// CodeRule is the form of a code. The zero value is not usable; see DefaultCode.
type CodeRule struct {
	Digits   int           // 6 to 10
	Lifetime time.Duration // of code and link, at most 10 min; what mail to a domain usually takes is added
	Attempts int           // wrong answers that a challenge bears, at most 10
}

// DefaultCode is six digits for ten minutes and five tries: the field's norm.
var DefaultCode = CodeRule{Digits: 6, Lifetime: 10 * time.Minute, Attempts: 5}

// terms are what the configuration says of sessions.
func (c *Config) terms() session.Terms {
	return session.Terms{
		Session: c.Session, Domain: c.Domain, Protects: c.Protects, Rules: c.Rules, Machines: c.Machines,
		App: func(id string) (most time.Duration, ok bool) {
			app := c.Apps.Find(id)
			if app == nil {
				return 0, false
			}
			return app.SessionLifetime, true
		},
	}
}

// Service is one configuration's view of a Core. It is safe for concurrent use
// and stays usable for requests that outlive it.
type Service struct {
	core *Core
	cfg  Config

	challenges *challenge.Engine
	sessions   *session.View
	apps       *apps.View
	orgs       *organization.Organizations
}

// Close takes the configuration out of use.
func (s *Service) Close() { s.core.unuse(s) }

// Core returns what outlives this configuration.
func (s *Service) Core() *Core { return s.core }

// Sessions are the sessions as this configuration has them.
func (s *Service) Sessions() *session.View { return s.sessions }

// CodeRule returns the form of codes.
func (s *Service) CodeRule() CodeRule { return s.cfg.Code }

// Domain returns the domain that shares one session, or "".
func (s *Service) Domain() string { return s.cfg.Domain }

// Apps are the people and proofs of the clients of the JSON APIs.
func (s *Service) Apps() *apps.View { return s.apps }

// Organizations are those of the clients of the JSON APIs.
func (s *Service) Organizations() *organization.Organizations { return s.orgs }

// Protects tells whether o is an origin of this instance.
func (s *Service) Protects(o origin.Origin) bool { return s.cfg.Protects(o) }

// Now returns the time by the clock of this instance.
func (s *Service) Now() time.Time { return s.core.now() }

// Report passes an event on that happened outside this package, as if it had
// happened here.
func (s *Service) Report(e event.Event) { s.observe(e) }

// Mark is the keyed hash by which events name an address.
func (c *Core) Mark(a address.Address) string { return c.secrets.Current.Mark(a) }

func (s *Service) observe(e event.Event) {
	s.core.delivery.Hear(e)
	if s.cfg.Observe == nil {
		return
	}
	if e.At.IsZero() {
		e.At = s.core.now()
	}
	if !e.Address.IsZero() {
		e.Mark = s.core.secrets.Current.Mark(e.Address)
	}
	s.cfg.Observe(e)
}
