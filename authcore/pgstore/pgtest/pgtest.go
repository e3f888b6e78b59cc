// Package pgtest runs a real PostgreSQL, and a real PgBouncer before it, for tests:
// in a directory and on a port of their own, thrown away when the process ends,
// however it does.
//
//	dsn := pgtest.Database(t)   // a new, empty database
//	dsn = pgtest.Pooled(t, dsn) // the same through a pool of transactions
//	old := pgtest.Copy(t, dsn)  // what it has now, for old.PutBack
//	s := pgtest.Start(t)        // a server to end, with replicas to promote
//
// What the tests need is installed by .ci/tools; without it they fail. State of the
// process: the servers that run, and the names of their databases.
package pgtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Password is that of the owner of all test databases.
const Password = "not@secret/x"

// Server is a running PostgreSQL.
type Server struct {
	Port string
	dir  string
	stop io.Closer // held, or the garbage collector closes it
}

var shared = sync.OnceValues(func() (*Server, error) { return start() })

var databases atomic.Int64

// Shared is the server that the tests of a process share.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("PostgreSQL does not start (.ci/tools installs it): %v", err)
	}
	return s
}

// Database makes an empty database and returns its DSN.
func Database(t testing.TB) string {
	t.Helper()
	s := Shared(t)
	name := fmt.Sprintf("test%d", databases.Add(1))
	Exec(t, s.DSN("postgres"), "CREATE DATABASE "+name)
	t.Cleanup(func() { Exec(t, s.DSN("postgres"), "DROP DATABASE "+name+" WITH (FORCE)") })
	return s.DSN(name)
}

// DSN is the address of a database of the server.
func (s *Server) DSN(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("owner", Password), Host: s.Addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Exec runs SQL beside the store.
func Exec(t testing.TB, dsn, sql string, args ...any) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Hold runs SQL in a transaction that goes on until it is told to end.
func Hold(t testing.TB, dsn, sql string) (end func()) {
	t.Helper()
	conn := connect(t, dsn)
	for _, statement := range []string{"BEGIN", sql} {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	end = sync.OnceFunc(func() { conn.Close(context.Background()) })
	t.Cleanup(end)
	return end
}

// Old is what a database was.
type Old struct{ dsn string }

var copied = []string{"gatehouse_record", "gatehouse_attempt", "gatehouse_node"}

// Copy keeps what a store has in its database.
func Copy(t testing.TB, dsn string) Old {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	if err := inOne(conn, pgx.RepeatableRead, "DROP TABLE IF EXISTS old_%[1]s", "CREATE TABLE old_%[1]s (LIKE %[1]s INCLUDING ALL)", "INSERT INTO old_%[1]s TABLE %[1]s"); err != nil {
		t.Fatal(err)
	}
	return Old{dsn}
}

// PutBack puts the older copy in the place of the database, once and between two
// statements, as a pool does that has turned to another server.
func (o Old) PutBack(t testing.TB) {
	t.Helper()
	conn := connect(t, o.dsn)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "SET lock_timeout = '20ms'"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		// Who waits for long is part of a deadlock: statements take the tables as they like.
		err := inOne(conn, pgx.ReadCommitted, "LOCK TABLE %[1]s",
			"ALTER TABLE %[1]s RENAME TO gone_%[1]s", "ALTER TABLE old_%[1]s RENAME TO %[1]s", "DROP TABLE gone_%[1]s")
		if err == nil {
			return
		}
		if pg := new(pgconn.PgError); !errors.As(err, &pg) || pg.Code != "55P03" || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// Disconnect ends all connections to a database, as a failover does.
func Disconnect(t testing.TB, dsn string) {
	t.Helper()
	Exec(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
}

// inOne runs statements for each table in one transaction.
func inOne(conn *pgx.Conn, level pgx.TxIsoLevel, statements ...string) error {
	return pgx.BeginTxFunc(context.Background(), conn, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
		for _, statement := range statements {
			for _, table := range copied {
				if _, err := tx.Exec(context.Background(), fmt.Sprintf(statement, table)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Rows runs a query and returns each row as text.
func Rows(t testing.TB, dsn, sql string, args ...any) (all []string) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSuffix(fmt.Sprintln(values...), "\n"))
	}
	if rows.Err() != nil {
		t.Fatalf("%s: %v", sql, rows.Err())
	}
	return all
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Start runs a server of its own, for a test that ends it.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	return s.of(t, err)
}

// Replica runs a server that follows s. It reaches s at addr, which is s.Addr or that
// of a proxy before it.
func (s *Server) Replica(t testing.TB, addr string) *Server {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	replica, err := run(`"$1/pg_basebackup" -D "$2/data" -R -X stream --checkpoint=fast --no-sync -d "$4"`,
		fmt.Sprintf("host=%s port=%s user=owner password=%s", host, port, Password))
	return replica.of(t, err)
}

func (s *Server) of(t testing.TB, err error) *Server {
	t.Helper()
	if err != nil {
		t.Fatalf("PostgreSQL does not start (.ci/tools installs it): %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Promote makes of a replica a server that can be written to.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if promoted := Rows(t, s.DSN("postgres"), "SELECT pg_promote(true, 60)"); promoted[0] != "true" {
		t.Fatal("the replica was not promoted within a minute")
	}
}

// Kill ends the server at once: its connections end where they are, and what it has not
// sent to a replica it sends no more.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("PostgreSQL does not end")
		}
	}
}

// Close ends the server and deletes what it has.
func (s *Server) Close() { s.stop.Close() }

// Addr is where the server listens.
func (s *Server) Addr() string { return "127.0.0.1:" + s.Port }

// start makes a cluster and runs it.
func start() (*Server, error) {
	return run(`"$1/initdb" -D "$2/data" -U owner --auth=scram-sha-256 --pwfile="$2/password" --encoding=UTF8 --locale=C.UTF-8 --no-sync`, "")
}

// run runs a server in the directory that a command of the shell makes of $1, where the
// programs are, $2 and $4. fsync is off: what these tests are about is not the disk.
func run(command, from string) (*Server, error) {
	dir, err := os.MkdirTemp("", "gatehouse-pg")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, Port: freePort()}
	if err := s.certify(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(Password), 0o600); err != nil {
		return nil, err
	}
	if err := give(dir); err != nil {
		return nil, err
	}
	s.stop, err = keep(dir, unprivileged("sh", "-c", command+`
		exec "$1/postgres" -D "$2/data" -p "$3" -k '' -c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file="$2/server.crt" -c ssl_key_file="$2/server.key" \
			-c fsync=off -c full_page_writes=off -c max_connections=200 -c wal_level=replica -c max_wal_size=128MB`,
		"sh", filepath.Dir(program("postgres")), dir, s.Port, from))
	if err != nil {
		return nil, err
	}
	return s, waitFor(s.DSN("postgres"), dir)
}

// Certificate is the file with the server's certificate, which signs itself.
func (s *Server) Certificate() string { return filepath.Join(s.dir, "server.crt") }

func (s *Server) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.Certificate(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "server.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}

// Pooled is dsn through a PgBouncer that lends connections for one transaction, to
// so few of its own that each of them serves many of ours.
func Pooled(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "gatehouse-bouncer") //nolint:usetesting // the server's user must get at it
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	port := freePort()
	files := map[string]string{
		"users": fmt.Sprintf("%q %q\n", u.User.Username(), password),
		"ini": fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s/users
pool_mode = transaction
default_pool_size = 3
server_reset_query_always = 0
`, u.Hostname(), u.Port(), port, dir),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := give(dir); err != nil {
		t.Fatal(err)
	}
	stop, err := keep(dir, unprivileged(program("pgbouncer"), "-q", filepath.Join(dir, "ini")))
	if err != nil {
		t.Fatalf("PgBouncer does not start (.ci/tools installs it): %v", err)
	}
	t.Cleanup(func() { stop.Close() })
	u.Host = "127.0.0.1:" + port
	if err := waitFor(u.String(), dir); err != nil {
		t.Fatal(err)
	}
	return u.String()
}

// waitFor waits until a database answers; one that is starting refuses.
func waitFor(dsn, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return fmt.Errorf("%w\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// keep runs a server until what it returns is closed, or this process ends: then
// the shell around it reads the end of its input, stops the server and deletes dir.
// The shell has a session of its own: who ends the tests with a signal to all their
// processes would end it, too, and leave dir behind. The server is told until it is
// gone: a shell that still makes the cluster hears nothing.
func keep(dir string, server *exec.Cmd) (io.Closer, error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("sh", append([]string{"-c", `dir=$1; shift; "$@" </dev/null & cat >/dev/null; while kill -INT $! 2>/dev/null; do kill -TERM $!; sleep 0.05; done; rm -rf "$dir"`, "sh", dir}, server.Args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = "/", log, log, &syscall.SysProcAttr{Setsid: true}
	end, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &kept{end, cmd}, nil
}

type kept struct {
	end io.Closer
	cmd *exec.Cmd
}

func (k *kept) Close() error {
	k.end.Close()
	return k.cmd.Wait()
}

// unprivileged is a command as the user that Debian made for it: neither server runs
// as root.
func unprivileged(name string, args ...string) *exec.Cmd {
	if os.Getuid() == 0 {
		args = append([]string{"--reuid=postgres", "--regid=postgres", "--clear-groups", name}, args...)
		name = "setpriv"
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	return cmd
}

// give has that user own dir.
func give(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	out, err := exec.Command("chown", "-R", "postgres:", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("chown: %w: %s", err, out)
	}
	return nil
}

// program finds what Debian does not put on the PATH.
func program(name string) string {
	for _, dir := range []string{"/usr/lib/postgresql/15/bin", "/usr/sbin"} {
		if path := filepath.Join(dir, name); isFile(path) {
			return path
		}
	}
	return name
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
