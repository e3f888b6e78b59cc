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

	"github.com/go-jose/go-jose/v4"
)

// format is the version of the records in the store.
const format = 1

// Core is what outlives a configuration: the store and its signing keys, the
// cache of sessions, the open streams and the mail queue. One process has one
// Core for a store. It is safe for concurrent use.
type Core struct {
	store   Store
	secrets Secrets
	now     func() time.Time
	log     *slog.Logger

	keys    *keyring // EdDSA: cookies and assertions
	rsaKeys *keyring // RS256, for clients that know nothing newer
	cache   *cache
	streams *streams
	queue   *queue
	alarm   alarm
	census  census

	late       lateSteps
	fresh      freshFlows
	turnedAway turnedAway
	revokedAt  atomic.Int64 // unix nanoseconds; sessions from before don't count

	meter   *meter
	keyUses keyUses

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
func IsNew(ctx context.Context, store Store) (bool, error) {
	var found []Item
	err := store.View(ctx, func(tx Tx) (err error) {
		found, err = tx.Scan("", "", 1)
		return err
	})
	return err == nil && len(found) == 0, err
}

// ErrWrongSecret: the store was written with a secret that is not among those
// given. Starting all the same would refuse every session and spoil the keys.
var ErrWrongSecret = errors.New("the store was written with another secret")

// Open takes store into use with secrets. It makes the signing key of a new
// store, wraps keys anew after the secret changed, and starts the work that
// goes on beside requests; Close ends it. The store stays the caller's to
// close, after Close.
func Open(ctx context.Context, store Store, secrets Secrets, o Options) (*Core, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Core{store: store, secrets: secrets, now: o.Now, log: o.Logger}
	c.cache = newCache(cacheSize)
	c.streams = newStreams()
	c.queue = newQueue(c)
	c.keys = &keyring{core: c, alg: jose.EdDSA, max: maxTokenBytes}
	c.rsaKeys = &keyring{core: c, alg: jose.RS256, max: maxJWTBytes}
	c.meter = newMeter()
	// Behind a burst of mails there is much to skip: it is read beside the rest.
	queued := make(chan error, 1)
	go func() { queued <- c.queue.load(ctx) }()
	err := c.read(ctx)
	if queueErr := <-queued; err == nil {
		err = queueErr
	}
	if err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	c.stop = stop
	for _, work := range []func(context.Context){c.queue.run, c.sweepStreams, c.flushSessions, c.takeCensus, c.keys.run, c.rsaKeys.run} {
		c.done.Go(func() { work(background) })
	}
	return c, nil
}

// read takes up what the store has but for the queue.
func (c *Core) read(ctx context.Context) error {
	if err := c.claim(ctx); err != nil {
		return err
	}
	if err := c.keys.open(ctx); err != nil {
		return err
	}
	if err := c.rsaKeys.read(ctx); err != nil {
		return err
	}
	if err := c.rewrapKept(ctx); err != nil {
		return err
	}
	return c.loadRevoked(ctx)
}

// meta is the record that says whose store it is.
type meta struct {
	Format int    `json:"format"`
	Secret string `json:"secret"` // id of the secret that wraps the keys
}

// claim checks that the store is ours and was written with a secret we have.
func (c *Core) claim(ctx context.Context) error {
	var m meta
	var known bool
	err := c.store.View(ctx, func(tx Tx) (err error) {
		known, err = load(tx, keyMeta, &m)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	if known && m.Format != format {
		return fmt.Errorf("the store has format %d, this version of Gatehouse reads format %d: use the version that wrote it, or start with an empty directory", m.Format, format)
	}
	if !known {
		if isNew, err := IsNew(ctx, c.store); err != nil || !isNew {
			return errors.Join(err, errors.New("the store has content but does not say which secret it was written with: it is damaged or not Gatehouse's"))
		}
	}
	if known {
		if _, ok := c.secrets.find(m.Secret); !ok {
			return ErrWrongSecret
		}
	}
	return c.store.Update(ctx, func(tx Tx) error {
		return save(tx, keyMeta, meta{format, c.secrets.Current.id}, time.Time{})
	})
}

// Close stops the work beside requests and writes what it still holds. Mail
// that waits stays in the store and is sent by the next Core.
func (c *Core) Close() {
	c.stop()
	c.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c.cache.flush(ctx, c)
	c.late.flush(ctx, c)
	c.census.keep(ctx, c)
}

// Use puts a configuration into use. The newest Service in use provides what
// goes on beside requests: senders, words of mails, what cuts a stream. When it
// is closed the one before it takes over, so that a configuration that was
// refused halfway leaves the old one in charge.
func (c *Core) Use(cfg Config) *Service {
	s := &Service{core: c, cfg: cfg, machines: newMachines(cfg.Machines, c.now()), couriers: newCouriers(cfg)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services = append(c.services, s)
	c.current.Store(s)
	c.queue.wake()
	return s
}

func (c *Core) unuse(s *Service) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services = slices.DeleteFunc(c.services, func(o *Service) bool { return o == s })
	if n := len(c.services); n > 0 {
		c.current.Store(c.services[n-1])
	} else {
		c.current.Store(nil)
	}
}

// observe reports an event to the configuration in charge.
func (c *Core) observe(e Event) {
	if s := c.current.Load(); s != nil {
		s.observe(e)
	}
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
