package authcore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/move"
	"github.com/gatehouse-auth/gatehouse/authcore/notice"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// format is the version of the records in the store.
const format = 1

// Core is what outlives a configuration: the store and its signing keys, the
// cache of sessions, the open streams and the outbox. One process has one
// Core for a store. It is safe for concurrent use.
type Core struct {
	store   store.Store
	secrets keyring.Secrets
	now     func() time.Time
	log     *slog.Logger

	keys     *keyring.Keys
	sessions *session.Core
	grants   *grant.Grants
	apps     *apps.Core
	outbox   *outbox.Outbox
	alarm    challenge.Alarm
	census   census
	history  *challenge.History
	delivery *delivery.Book

	board *notice.Board // what other nodes tell

	meter *limit.Meter

	mu       sync.Mutex
	services []*Service              // in use, the newest last
	current  atomic.Pointer[Service] // the newest, nil for none

	stop context.CancelFunc
	done sync.WaitGroup
}

// Options change what Open does. The zero value is right for a server.
type Options struct {
	Logger *slog.Logger     // nil: no log
	Now    func() time.Time // nil: time.Now; for tests with clocks that jump
}

// IsNew tells whether nothing was ever written to store, so that a secret may
// be made for it.
func IsNew(ctx context.Context, engine store.Store) (bool, error) {
	found, err := store.View(ctx, engine, func(tx store.Tx) ([]store.Item, error) { return tx.Scan("", "", 1) })
	return err == nil && len(found) == 0, err
}

// Open takes engine into use with secrets. It makes the signing key of a new
// store, wraps keys anew after the secret changed, and starts the work that
// goes on beside requests; Close ends it. The engine stays the caller's to
// close, after Close.
func Open(ctx context.Context, engine store.Store, secrets keyring.Secrets, o Options) (*Core, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Core{store: engine, secrets: secrets, now: o.Now, log: o.Logger}
	shared, isShared := engine.(store.Shared)
	c.board = notice.New(notice.Config{Store: engine, Now: o.Now, Log: o.Logger, Hear: c.hear, Missed: c.missed, Blind: func() { c.sessions.CutAll() }})
	c.history = &challenge.History{Store: engine, Now: o.Now}
	c.outbox = outbox.New(outbox.Config{Store: engine, Secrets: secrets, Now: o.Now, Log: o.Logger, Observe: c.observe, Tell: c.tell})
	c.delivery = delivery.New(delivery.Config{Store: engine, Now: o.Now, Sent: c.outbox.Sent, Observe: c.observe})
	c.keys = keyring.NewKeys(keyring.Config{Store: engine, Secrets: secrets, Now: o.Now, Log: o.Logger, Rotated: c.rotated, Revoked: c.revoke, Changed: c.tellKeys, Shared: isShared})
	c.sessions = session.New(session.Config{
		Store: engine, Keys: c.keys, Now: o.Now, Log: o.Logger, Observe: c.observe,
		Count: func(n int) { c.census.add(n, 0) }, Tell: c.tellEnded, Blind: c.board.Blind,
	})
	c.grants = grant.New(grant.Config{Store: engine, Secrets: secrets, Sessions: c.sessions, Now: o.Now, Log: o.Logger, Observe: c.observe})
	c.apps = apps.New(apps.Config{
		Store: engine, Secrets: secrets, Now: o.Now, Log: o.Logger, Sessions: c.sessions, Outbox: c.outbox,
		History: c.history, Grants: c.grants, Delivery: c.delivery, Observe: c.observe, Count: c.census.add,
	})
	c.meter = limit.NewMeter()
	// Behind a burst of mails there is much to skip: it is read beside the rest.
	queued := make(chan error, 1)
	go func() { queued <- c.outbox.Load(ctx) }()
	err := c.read(ctx)
	if queueErr := <-queued; err == nil {
		err = queueErr
	}
	if err != nil {
		return nil, err
	}
	if isShared {
		shared.OnLost(c.putRight)
	}
	background, stop := context.WithCancel(context.Background())
	c.stop = stop
	for _, work := range []func(context.Context){c.outbox.Run, c.delivery.Run, c.sessions.Run, c.grants.Run, c.takeCensus, c.rotateKeys, c.board.Run} {
		c.done.Go(func() { work(background) })
	}
	return c, nil
}

// read takes up what the store has but for the outbox.
func (c *Core) read(ctx context.Context) error {
	if err := c.claim(ctx); err != nil {
		return err
	}
	if err := c.keys.Open(ctx); err != nil {
		return err
	}
	if err := c.outbox.Rewrap(ctx); err != nil {
		return err
	}
	if err := c.delivery.Load(ctx); err != nil {
		return err
	}
	return c.sessions.Load(ctx)
}

// meta is the record that says whose store it is.
type meta struct {
	Format int    `json:"format"`
	Secret string `json:"secret"` // id of the secret that wraps the keys
}

// claim checks that the store is ours and was written with a secret we have.
func (c *Core) claim(ctx context.Context) error {
	var content []store.Item
	// In one snapshot: another node may be about to claim the same new store.
	m, err := store.View(ctx, c.store, func(tx store.Tx) (m meta, err error) {
		content = nil
		known, err := store.Load(tx, store.KeyMeta, &m)
		if err == nil && !known {
			content, err = tx.Scan("", "", 1)
		}
		return m, err
	})
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	known := m != meta{}
	if known && m.Format != format {
		return fmt.Errorf("the store has format %d, this Gatehouse reads format %d: run the Gatehouse that wrote it and \"gatehouse export\", then \"gatehouse import\" into an empty directory with this one", m.Format, format)
	}
	if len(content) > 0 {
		return errors.New("the store has content but does not say which secret it was written with: it is damaged or not Gatehouse's")
	}
	if known {
		if _, err := c.secrets.Find(m.Secret); err != nil {
			return err
		}
	}
	return c.store.Update(ctx, func(tx store.Tx) error {
		return store.Save(tx, store.KeyMeta, meta{format, c.secrets.Current.ID()}, time.Time{})
	})
}

// Outbox returns what must go out and survive a restart.
func (c *Core) Outbox() *outbox.Outbox { return c.outbox }

// Close stops the work beside requests and writes what it still holds. Mail
// that waits stays in the store and is sent by the next Core.
func (c *Core) Close() {
	c.stop()
	c.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c.sessions.Flush(ctx)
	c.delivery.Flush(ctx)
	c.census.keep(ctx, c)
}

// Use puts a configuration into use. The newest Service in use provides what
// goes on beside requests: senders, words of mails, what cuts a stream. When it
// is closed the one before it takes over, so that a configuration that was
// refused halfway leaves the old one in charge.
func (c *Core) Use(cfg Config) *Service {
	s := &Service{core: c, cfg: cfg, sessions: c.sessions.Use(cfg.terms())}
	s.challenges = &challenge.Engine{Config: challenge.Config{
		Secrets: c.secrets, Now: c.now, Limits: cfg.Limits, Attempts: cfg.Code.Attempts, MayReceive: cfg.MayReceive,
	}}
	s.orgs = organization.New(c.store, c.now, s.observe)
	s.apps = c.apps.Use(apps.Setup{
		List: cfg.Apps, Limits: cfg.Limits, Challenges: s.challenges, Orgs: s.orgs, Texts: len(cfg.Texts) > 0, Observe: s.observe, WrongCode: s.wrongCode,
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services = append(c.services, s)
	c.lead()
	return s
}

func (c *Core) unuse(s *Service) {
	s.sessions.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services = slices.DeleteFunc(c.services, func(o *Service) bool { return o == s })
	c.lead()
}

// lead puts the newest configuration in charge; c.mu is held.
func (c *Core) lead() {
	n := len(c.services)
	if n == 0 {
		c.current.Store(nil)
		c.outbox.Use(nil)
		return
	}
	s := c.services[n-1]
	c.current.Store(s)
	c.outbox.Use(&outbox.Means{Mail: s.cfg.Senders, Texts: s.cfg.Texts, Letters: s, Composer: s.cfg.Composer, Limits: s.cfg.Limits})
}

// Delivery is how mail fares at the domains it goes to.
func (c *Core) Delivery() *delivery.Book { return c.delivery }

// History is what became of the wishes to sign in.
func (c *Core) History() *challenge.History { return c.history }

// Grants are what apps hold of people who have signed in.
func (c *Core) Grants() *grant.Grants { return c.grants }

// observe reports an event to the configuration in charge. What apps hold of a
// session ends with it.
func (c *Core) observe(e event.Event) {
	switch e.Name {
	case event.SignedOut, event.Ended, event.Revoked:
		c.grants.Changed(e.Subject)
	}
	if s := c.current.Load(); s != nil {
		s.observe(e)
	}
}

// Apps are the people and organizations of apps, whatever the configuration.
func (c *Core) Apps() *apps.Core { return c.apps }

// Move takes the state of the instance out and in.
func (c *Core) Move() *move.Mover {
	return move.New(move.Config{
		Store: c.store, Format: format, Now: c.now, Keys: c.keys, Sessions: c.sessions, Apps: c.apps,
		Recount: func(ctx context.Context) error { return c.count(ctx, 0) },
	})
}

// Sessions are all sessions, whatever the configuration.
func (c *Core) Sessions() *session.Core { return c.sessions }

// Keys are what cookies and assertions are signed with.
func (c *Core) Keys() *keyring.Keys { return c.keys }

// rotateKeys looks once an hour whether it is time for new signing keys.
func (c *Core) rotateKeys(ctx context.Context) {
	every(ctx, time.Hour, func() {
		if err := c.keys.RotateIfDue(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("rotating the signing keys failed; the old ones stay in use and it is tried again in an hour", "error", err)
		}
	})
}

// rotated reports a new signing key.
func (c *Core) rotated(reason keyring.RotationReason) {
	c.observe(event.Event{Name: event.Keys, Reason: string(reason)})
	if reason == keyring.Revoked {
		c.observe(event.Event{Name: event.Revoked, Reason: "keys_revoked"})
	}
}

// revoke ends all sessions with the keys that they were signed with.
func (c *Core) revoke(tx store.Tx) (stored func(), err error) {
	ended, err := c.sessions.Revoke(tx)
	if err == nil {
		err = c.board.Tell(tx, notice.Revoked, "")
	}
	return func() { c.census.sessions.Store(0); ended() }, err
}

// tellEnded tells other nodes that a session has ended.
func (c *Core) tellEnded(tx store.Tx, sid string, replaced bool) error {
	if replaced {
		return c.board.Tell(tx, notice.Replaced, sid)
	}
	return c.board.Tell(tx, notice.Ended, sid)
}

// tellKeys tells other nodes that there are other signing keys.
func (c *Core) tellKeys(tx store.Tx) error { return c.board.Tell(tx, notice.Keys, "") }

// hear takes up what another node tells.
func (c *Core) hear(ctx context.Context, n notice.Notice) error {
	switch n.Kind {
	case notice.Ended, notice.Replaced:
		c.sessions.HasEnded(n.ID, n.Kind == notice.Replaced)
	case notice.Keys:
		return c.keys.Reload(ctx)
	case notice.Revoked:
		return errors.Join(c.keys.Reload(ctx), c.sessions.Load(ctx))
	}
	return nil
}

// missed reads anew all that notices would have told.
func (c *Core) missed(ctx context.Context) error {
	return errors.Join(c.keys.Reload(ctx), c.sessions.Load(ctx), c.sessions.Recheck(ctx))
}

// every calls do each time d has passed, until ctx ends.
func every(ctx context.Context, d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}
