package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/caddymodule/metrics"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
	"github.com/gatehouse-auth/gatehouse/internal/files"
)

const tryPostgres = "store postgres postgres://gatehouse:{file./run/secrets/database}@db.example.com:5432/gatehouse?sslmode=verify-full"

func (a *App) readStore(d *caddyfile.Dispenser) error {
	const try = "store badger /var/lib/gatehouse"
	if err := option.Once("store", a.Store != nil); err != nil {
		return err
	}
	line := try
	if d.NextArg() {
		if d.Val() == "postgres" {
			line = tryPostgres
		}
		d.Prev()
	}
	args, err := option.Arguments(d, 1, 2, line)
	if err != nil {
		return err
	}
	switch {
	case args[0] == "badger" && len(args) == 2 && args[1] == "":
		return option.Missing("store badger: the directory is empty", try)
	case args[0] == "badger":
		a.Store = &Store{Badger: &BadgerStore{Dir: strings.Join(args[1:], "")}}
	case args[0] == "postgres":
		a.Store = &Store{Postgres: &PostgresStore{DSN: strings.Join(args[1:], "")}}
		return a.Store.Postgres.check()
	default:
		return fmt.Errorf("store %q: there is no such store; write for example\n    %s", args[0], try)
	}
	return nil
}

// checkStore checks what does not depend on the machine.
func (a *App) checkStore() error {
	switch {
	case a.Store == nil || a.Store.Postgres == nil:
		return nil
	case a.Store.Badger != nil:
		return errors.New("store: badger and postgres are both written; there can be one")
	case a.Secret == "":
		return errors.New("store postgres needs the option secret, kept outside of the database; write for example\n    secret {file./run/secrets/gatehouse}")
	}
	return a.Store.Postgres.check()
}

func (p *PostgresStore) check() error {
	if p.DSN == "" {
		return option.Missing("store postgres: the address of the database is missing", tryPostgres)
	}
	if option.IsPlaceholder(p.DSN) {
		return nil // known at start
	}
	if err := pgstore.CheckDSN(p.DSN); err != nil {
		return fmt.Errorf("store postgres: %w", err)
	}
	return nil
}

// expanded is the DSN with what its placeholders stand for: a whole DSN, or a part
// of one, which may have any character.
func (p *PostgresStore) expanded() (string, error) {
	const of = "store postgres"
	if option.Placeholders.FindString(p.DSN) == p.DSN {
		return option.ExpandSecret(of, p.DSN)
	}
	isURL := strings.Contains(p.DSN, "://")
	var failed error
	dsn := option.Placeholders.ReplaceAllStringFunc(p.DSN, func(part string) string {
		value, err := option.ExpandSecret(of, part)
		if failed == nil {
			failed = err
		}
		if isURL {
			return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
		}
		return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value)
	})
	return dsn, failed
}

// place is the address of the database as a start reads it, which connects to nothing.
func (p *PostgresStore) place() (string, error) {
	dsn, err := p.expanded()
	if err == nil {
		// sslrootcert and its like name files.
		_, err = files.Within(context.Background(), "store postgres", func() (*pgstore.DSN, error) { return pgstore.ParseDSN(dsn) })
		if err != nil {
			err = fmt.Errorf("store postgres: %w", err)
		}
	}
	return dsn, err
}

func openDatabase(dsn string) (*openStore, error) {
	const of = "store postgres"
	d, err := pgstore.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", of, err)
	}
	host, _ := os.Hostname()
	engine, err := pgstore.Open(context.Background(), dsn, pgstore.Options{
		Logger: slog.New(currentLog{}), Node: fmt.Sprintf("%s, process %d", host, os.Getpid()),
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", of, err)
	}
	return &openStore{option: of + " " + d.Name, where: d.Name, store: timedDatabase{metrics.Store{Store: engine}, engine}, now: engine.Now, status: func() operate.StoreStatus {
		h := engine.Health()
		return operate.StoreStatus{Database: d.Name, SizeBytes: h.SizeBytes, ClockBehind: h.Behind.Seconds(), Nodes: h.Others, Error: textOf(h.Err)}
	}}, nil
}

// timedDatabase is a metrics.Store that knows by itself whether it can be written.
type timedDatabase struct {
	metrics.Store
	engine *pgstore.Store
}

func (t timedDatabase) Ping(ctx context.Context) error { return t.engine.Ping(ctx) }
func (t timedDatabase) Node() string                   { return t.engine.Node() }
func (t timedDatabase) Gone(ctx context.Context, node string) (bool, error) {
	return t.engine.Gone(ctx, node)
}

func (t timedDatabase) OnLost(putRight func(context.Context, store.Store, store.Lost) error) {
	t.engine.OnLost(putRight)
}

// textOf is an error as text, empty for none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
