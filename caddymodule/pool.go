package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/exp/zapslog"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/badgerstore"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/caddymodule/metrics"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// stores holds what outlives a configuration. A new configuration starts before
// the old one stops, and a directory can be opened only once, so both use the
// same openStore; it is closed when the last one lets go of it.
var stores = caddy.NewUsagePool()

// openStore is an open store with the core on it. Its key in the pool is the
// canonical directory.
type openStore struct {
	option string // that names it, without a password
	where  string // it is, without a password
	store  store.Store
	now    func() time.Time // that all who use it share; nil: this machine's
	status func() operate.StoreStatus

	mu      sync.Mutex
	core    *authcore.Core
	secrets []string // ids, the current one first
}

// openCore takes the store into use, or joins the configuration that did.
func (a *App) openCore(p preparation) (*authcore.Core, error) {
	name, open, err := a.engine(p.store)
	if err != nil {
		return nil, err
	}
	value, _, err := stores.LoadOrNew(name, func() (caddy.Destructor, error) { return open() })
	if err != nil {
		return nil, err
	}
	a.releases = append(a.releases, func() {
		if _, err := stores.Delete(name); err != nil {
			a.log.Error("closing the store: " + err.Error())
		}
	})
	a.open = value.(*openStore)
	ctx := context.Background()
	secrets, err := a.secrets(ctx, p.secrets, a.open.where, func() (bool, error) { return authcore.IsNew(ctx, a.open.store) })
	if err != nil {
		return nil, err
	}
	return a.open.use(ctx, secrets)
}

// engine is the configured store: one name for it, and what opens it.
func (a *App) engine(place string) (name string, open func() (*openStore, error), err error) {
	if a.Store != nil && a.Store.Postgres != nil {
		return "postgres " + place, func() (*openStore, error) { return openDatabase(place) }, nil
	}
	dir, err := makeStoreDir(place)
	return dir, func() (*openStore, error) { return openStoreIn(dir) }, err
}

// storePlace is where the store is: the DSN of a database, or a directory.
func (a *App) storePlace() (string, error) {
	if a.Store != nil && a.Store.Postgres != nil {
		return a.Store.Postgres.place()
	}
	dir := filepath.Join(caddy.AppDataDir(), "gatehouse")
	if a.Store != nil && a.Store.Badger != nil && a.Store.Badger.Dir != "" {
		expanded, err := option.ExpandPath(a.Store.Badger.Dir)
		if err != nil {
			return "", fmt.Errorf("store badger %s: %w", a.Store.Badger.Dir, err)
		}
		dir = expanded
	}
	return dir, nil
}

// makeStoreDir makes the store's directory, and returns its one name.
func makeStoreDir(dir string) (string, error) {
	absolute, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(absolute, 0o700)
	}
	if err == nil {
		absolute, err = filepath.EvalSymlinks(absolute)
	}
	if err != nil {
		return "", badDir(dir, err)
	}
	return absolute, nil
}

// badDir says why a directory can't hold the store, and what to write if it never
// can.
func badDir(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store badger %s: %w; give it to the user that the server runs as, or name another one in the global gatehouse block:\n    store badger /var/lib/gatehouse", dir, err)
	}
	return fmt.Errorf("store badger %s: %w", dir, err)
}

func openStoreIn(dir string) (*openStore, error) {
	engine, err := badgerstore.Open(dir, badgerstore.Options{Logger: slog.New(currentLog{})})
	if err != nil {
		return nil, badDir(dir, err)
	}
	return &openStore{option: "store badger " + dir, where: dir, store: metrics.Store{Store: engine}, status: func() operate.StoreStatus {
		h := engine.Health()
		return operate.StoreStatus{Dir: dir, SizeBytes: h.SizeBytes, FreeBytes: h.FreeBytes, Error: textOf(h.Err)}
	}}, nil
}

// use returns the core. The first caller opens it; the secrets are its for
// good, because keys and codes in memory rest on them.
func (s *openStore) use(ctx context.Context, secrets keyring.Secrets) (*authcore.Core, error) {
	ids := secretIDs(secrets)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core != nil {
		if !slices.Equal(ids, s.secrets) {
			return nil, fmt.Errorf("secret: it has changed since the server was started with the store in %s; this needs a restart, a reload can't do it", s.where)
		}
		return s.core, nil
	}
	core, err := authcore.Open(ctx, s.store, secrets, authcore.Options{Logger: slog.New(currentLog{}), Now: s.now})
	if errors.Is(err, keyring.ErrWrongSecret) {
		return nil, fmt.Errorf("secret: the store was written with another secret than the one configured; write the right one, or name it after the new one if it was changed: secret <new> <old> (the store is in %s)", s.where)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.option, err)
	}
	s.core, s.secrets = core, ids
	return core, nil
}

// secretIDs tells sets of secrets apart: which one is current, and which are
// known besides.
func secretIDs(s keyring.Secrets) []string {
	var old []string
	for _, secret := range s.Old {
		if secret.ID() != s.Current.ID() {
			old = append(old, secret.ID())
		}
	}
	slices.Sort(old)
	return append([]string{s.Current.ID()}, slices.Compact(old)...)
}

// Destruct implements caddy.Destructor.
func (s *openStore) Destruct() error {
	if s.core != nil {
		s.core.Close()
	}
	return s.store.Close()
}

// currentLog is the log of whichever configuration is running: what outlives a
// configuration must not write to a log that was closed with it.
type currentLog struct{}

func (currentLog) handler() slog.Handler {
	return zapslog.NewHandler(caddy.Log().Core(), zapslog.WithName("gatehouse"))
}

func (l currentLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.handler().Enabled(ctx, level)
}

func (l currentLog) Handle(ctx context.Context, r slog.Record) error {
	return l.handler().Handle(ctx, r)
}

func (l currentLog) WithAttrs(attrs []slog.Attr) slog.Handler { return l.handler().WithAttrs(attrs) }
func (l currentLog) WithGroup(name string) slog.Handler       { return l.handler().WithGroup(name) }
