package apps

import (
	"log/slog"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Config is what outlives a configuration.
type Config struct {
	Store    store.Store
	Secrets  keyring.Secrets
	Now      func() time.Time
	Log      *slog.Logger
	Sessions *session.Core
	Outbox   *outbox.Outbox
	History  *challenge.History
	Grants   *grant.Grants
	Delivery *delivery.Book
	Observe  func(event.Event)          // to the configuration in charge
	Count    func(sessions, people int) // more or less of them
}

// Core is what does not depend on a configuration: deletion, all people, when
// keys were used. It is safe for concurrent use.
type Core struct {
	store    store.Store
	secrets  keyring.Secrets
	now      func() time.Time
	log      *slog.Logger
	sessions *session.Core
	outbox   *outbox.Outbox
	history  *challenge.History
	grants   *grant.Grants
	delivery *delivery.Book
	observe  func(event.Event)
	count    func(sessions, people int)
	keyUses  keyUses
}

// New makes a Core of all that it needs.
func New(c Config) *Core {
	return &Core{
		store: c.Store, secrets: c.Secrets, now: c.Now, log: c.Log, sessions: c.Sessions, outbox: c.Outbox,
		history: c.History, grants: c.Grants, delivery: c.Delivery, observe: c.Observe, count: c.Count,
	}
}

// Setup is what one configuration says.
type Setup struct {
	List       *List // nil for none
	Limits     limit.Limits
	Challenges *challenge.Engine
	Orgs       *organization.Organizations
	Texts      bool // text messages can be sent, see SendsTexts
	Observe    func(event.Event)
	WrongCode  func() // hears of each wrong code, once it is on disk
}

// View is the people and proofs of apps as one configuration
// has them. It is safe for concurrent use.
type View struct {
	core       *Core
	cfg        Setup
	challenges *challenge.Engine
	orgs       *organization.Organizations
}

// Use is the view of a configuration.
func (c *Core) Use(cfg Setup) *View {
	return &View{core: c, cfg: cfg, challenges: cfg.Challenges, orgs: cfg.Orgs}
}

// Configured are the apps of the configuration.
func (s *View) Configured() *List { return s.cfg.List }

func (s *View) observe(e event.Event) { s.cfg.Observe(e) }

func (s *View) wrongCode() { s.cfg.WrongCode() }
