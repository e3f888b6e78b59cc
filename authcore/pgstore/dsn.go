package pgstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	maxConns    = 8 // of one node
	maxConnLife = 5 * time.Minute
)

var errDSN = errors.New(`this is no address of a database: write postgres://user:password@host:5432/database?sslmode=verify-full, with special characters of the password percent-encoded (%40 for @)`)

// DSN is the address of a database, read.
type DSN struct {
	config *pgxpool.Config
	Name   string // where it leads, without a password
	Clear  bool   // what is said is not encrypted on its way to another machine
}

// ParseDSN reads the address of a database, in either form that PostgreSQL's own
// programs take. No error has any part of it that may be a password.
func ParseDSN(text string) (*DSN, error) {
	if err := CheckDSN(text); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, reason(err)
	}
	c := config.ConnConfig
	if c.Database == "" || c.User == "" {
		return nil, errors.New("the address of the database names no database or no user: postgres://user:password@host:5432/database")
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	// For each host: whoever waits for a connection must get to the last one in time
	// while those before it say nothing, as a machine without power does.
	most := patience / time.Duration(len(hostsOf(c))+1)
	if c.ConnectTimeout == 0 || c.ConnectTimeout > most {
		c.ConnectTimeout = most
	}
	// A standby can't be written to. Whoever asks for one anyway gets an error.
	c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "gatehouse"
	}
	config.MaxConns = min(config.MaxConns, maxConns)
	if !strings.Contains(text, "pool_max_conns") {
		config.MaxConns = maxConns
	}
	config.MinConns, config.MinIdleConns = 0, 0
	config.MaxConnLifetime, config.MaxConnLifetimeJitter = maxConnLife, maxConnLife/5
	config.MaxConnIdleTime = maxConnLife
	return newDSN(config), nil
}

func newDSN(config *pgxpool.Config) *DSN {
	c := config.ConnConfig
	inClear := isClear(c.Host, c.TLSConfig)
	for _, f := range c.Fallbacks {
		inClear = inClear || isClear(f.Host, f.TLSConfig)
	}
	return &DSN{config: config, Name: strings.Join(hostsOf(c), ",") + "/" + c.Database, Clear: inClear}
}

func hostsOf(c *pgx.ConnConfig) []string {
	hosts := []string{at(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		if host := at(f.Host, f.Port); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func at(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return host
	}
	return host + ":" + strconv.Itoa(int(port))
}

// isClear tells whether what is said to host goes over a network unencrypted.
func isClear(host string, t *tls.Config) bool {
	return t == nil && !strings.HasPrefix(host, "/") && host != "localhost" && host != "::1" && !strings.HasPrefix(host, "127.")
}

// CheckDSN looks for what is wrong with an address as text, without this machine's
// files and environment: what pgx would take for something else, or report with the
// text around it.
func CheckDSN(text string) error {
	scheme, _, isURL := strings.Cut(text, "://")
	if !isURL {
		if !strings.Contains(text, "=") {
			return errDSN
		}
		return nil
	}
	if scheme != "postgres" && scheme != "postgresql" {
		return errDSN
	}
	// What stands behind a @, / ? or # of a password would be taken for a host or a database.
	u, err := url.Parse(text)
	if err != nil || strings.Count(text, "@") > 1 || u.User == nil && strings.Contains(text, "@") || u.Fragment != "" || u.Host == "" && u.Query().Get("host") == "" {
		return errDSN
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errDSN
	}
	if mode, modes := query.Get("sslmode"), []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}; mode != "" && !slices.Contains(modes, mode) {
		return fmt.Errorf("sslmode is none of %s", strings.Join(modes, ", "))
	}
	if want := query.Get("target_session_attrs"); want != "" && want != "read-write" && want != "primary" {
		return errors.New("target_session_attrs must be read-write: Gatehouse writes")
	}
	return nil
}

// reason is what is wrong with an address, of what pgx says only the part that has
// nothing of the text.
func reason(err error) error {
	for _, of := range []struct{ part, says string }{
		{"invalid port", "the address of the database has a port that is none"},
		{"TLS", "what the address of the database says of TLS can't be used: look at sslmode, sslrootcert, sslcert and sslkey, and whether their files can be read"},
		{"service", "the service that the address of the database names can't be read"},
		{"passfile", "the password file can't be read"},
		{"pool_", "a pool_ parameter of the address of the database can't be read"},
	} {
		if strings.Contains(err.Error(), of.part) {
			return errors.New(of.says)
		}
	}
	return errDSN
}
