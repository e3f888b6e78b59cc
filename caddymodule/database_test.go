package caddymodule

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

const databaseSecret = "0123456789abcdef0123456789abcdef"

// onDatabase is m's configuration with its store in a database.
func (m *machine) onDatabase(dsn, global string) string {
	return strings.Replace(m.text("secret "+databaseSecret+"\n"+global, ""), "store badger "+m.dir+"/store", "store postgres "+dsn, 1)
}

// An instance in a database: signing in, a reload, a restart, its status.
func TestStorePostgres(t *testing.T) {
	dsn := pgtest.Database(t)
	m := newMachine(t)
	m.loadText(m.onDatabase(dsn, ""))
	sess := m.signIn("alice@example.com")
	m.wantSignedIn(sess)
	m.loadText(m.onDatabase(dsn, "subject_code off"))
	m.wantSignedIn(sess)
	must(t, caddy.Stop())
	m.loadText(m.onDatabase(dsn, ""))
	m.wantSignedIn(sess)
	s := runningApp(m).storeStatus()
	if u, _ := url.Parse(dsn); s.Place() != u.Host+u.Path || s.SizeBytes == 0 || s.Error != "" || s.Dir != "" {
		t.Errorf("status: %+v", s)
	}
	if h, ok := runningApp(m).instance.Health(t.Context()); !ok || h.Store != "ok" {
		t.Errorf("health: %+v", h)
	}
	for _, f := range runningApp(m).instance.Examine(t.Context()) {
		if f.Check == "store" && (f.Level != operate.LevelOK || !strings.Contains(f.Found, s.Database)) {
			t.Errorf("doctor: %+v", f)
		}
	}
	// Who asks the database in SQL.
	signedIn := pgtest.Rows(t, dsn, documented(t, "Who is signed in"))
	asked := pgtest.Rows(t, dsn, documented(t, "Who asked for codes today"))
	if len(signedIn) != 1 || !strings.Contains(signedIn[0], "alice@example.com") || len(asked) != 1 || !strings.Contains(asked[0], "alice@example.com") {
		t.Errorf("signed in: %q, asked: %q", signedIn, asked)
	}
}

// documented is a query of docs/operations.md.
func documented(t *testing.T, title string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	_, rest, ok := strings.Cut(string(text), "-- "+title)
	query, _, end := strings.Cut(rest, ";")
	if _, query, _ = strings.Cut(query, "\n"); !ok || !end {
		t.Fatalf("docs/operations.md has no query %q", title)
	}
	return query
}

// Each DSN of docs/operations.md is read as a start reads it, and is encrypted to a server
// that proves who it is.
func TestDocumentedDSNs(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	certificate, err := os.ReadFile(pgtest.Shared(t).Certificate())
	must(t, err)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	must(t, os.WriteFile(roots, certificate, 0o600))
	must(t, os.WriteFile(filepath.Join(filepath.Dir(roots), "password"), []byte(pgtest.Password), 0o600))
	rootFile, passwordFile := regexp.MustCompile(`sslrootcert=/[^&|`+"`"+`]+`), regexp.MustCompile(`\{file\.[^}]+\}`)
	all := regexp.MustCompile("(?m)^\\| ([^|]+) \\| `(postgres://[^`]+)`").FindAllStringSubmatch(string(text), -1)
	m := newMachine(t)
	for _, found := range all {
		name, dsn := found[1], found[2]
		m.adapt(m.onDatabase(dsn, "")) // as validate reads it
		dsn = passwordFile.ReplaceAllString(rootFile.ReplaceAllString(dsn, "sslrootcert="+roots), "{file."+filepath.Dir(roots)+"/password}")
		whole, err := (&PostgresStore{DSN: dsn}).place()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d, err := pgstore.ParseDSN(whole)
		must(t, err)
		if d.Clear || !strings.Contains(dsn, "sslmode=verify-full") || strings.Contains(d.Name, pgtest.Password) {
			t.Errorf("%s: in clear: %v, %s", name, d.Clear, d.Name)
		}
	}
	if len(all) < 8 {
		t.Errorf("found %d", len(all))
	}
}

// From a directory into a database and back: nobody is asked again.
func TestMoveToPostgresAndBack(t *testing.T) {
	dsn := pgtest.Database(t)
	m := newMachine(t)
	export := func() []byte {
		var out bytes.Buffer
		_, err := runningApp(m).house.Running().Core.Move().Export(context.Background(), &out, true)
		must(t, err)
		return out.Bytes()
	}
	load := func(lines []byte) {
		_, err := runningApp(m).house.Running().Core.Move().Import(context.Background(), bytes.NewReader(lines))
		must(t, err)
	}
	m.load("secret "+databaseSecret, "")
	alice, bob := m.signIn("alice@example.com"), m.signIn("bob@example.com")
	lines := export()
	must(t, caddy.Stop())

	m.loadText(m.onDatabase(dsn, ""))
	load(lines)
	m.wantSignedIn(alice)
	m.wantSignedIn(bob)
	carol := m.signIn("carol@example.com")
	lines = export()
	must(t, caddy.Stop())

	must(t, os.RemoveAll(filepath.Join(m.dir, "store")))
	m.load("secret "+databaseSecret, "")
	load(lines)
	m.wantSignedIn(alice)
	m.wantSignedIn(bob)
	m.wantSignedIn(carol)
}

// What can't be is told with what to write, and never with the password.
func TestStorePostgresRefused(t *testing.T) {
	m := newMachine(t)
	dsn := pgtest.Database(t)
	u, err := url.Parse(dsn)
	must(t, err)
	t.Setenv("GATEHOUSE_TEST_PASSWORD", pgtest.Password)
	t.Setenv("GATEHOUSE_TEST_DSN", dsn)
	refuses := func(dsn string, words ...string) {
		t.Helper()
		got := m.refuses(m.adapt(m.onDatabase(dsn, "")))
		for _, word := range words {
			if !strings.Contains(got, word) {
				t.Errorf("%q is not in: %s", word, got)
			}
		}
		if strings.Contains(got, pgtest.Password) || strings.Contains(got, "s3cr3t") {
			t.Errorf("the password is shown: %s", got)
		}
	}
	refuses("postgres://owner:s3cr3t@"+u.Host+u.Path+"?sslmode=disable", "store postgres", "look at user and password")
	refuses("{env.GATEHOUSE_TEST_NOTHING}", "resolves to nothing")
	refuses("postgres://owner:{env.GATEHOUSE_TEST_NOTHING}@"+u.Host+u.Path, "resolves to nothing")
	refuses("postgres://owner:{env.GATEHOUSE_TEST_PASSWORD}@"+u.Host+"/nowhere?sslmode=disable", "CREATE DATABASE")
	for _, loose := range []string{"user=owner password=s3cr3t host=127.0.0.1", "postgres://owner:a s3cr3t@" + u.Host + u.Path, "user=owner s3cr3t"} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(m.onDatabase(loose, "")), nil)
		if err == nil || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "badger") || !strings.Contains(err.Error(), "store postgres postgres://") {
			t.Errorf("%s: %v", loose, err)
		}
	}
	for _, good := range []string{
		"{env.GATEHOUSE_TEST_DSN}",
		"postgres://owner:{env.GATEHOUSE_TEST_PASSWORD}@" + u.Host + u.Path + "?sslmode=disable",
		`"host=127.0.0.1 port=` + u.Port() + ` user=owner password='{env.GATEHOUSE_TEST_PASSWORD}' dbname=` + strings.Trim(u.Path, "/") + ` sslmode=disable"`,
	} {
		m.loadText(m.onDatabase(good, ""))
		must(t, caddy.Stop())
	}
}
