package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/authcore/badgerstore"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// patience bounds every wait for something that must happen, so that a failure
// is a sentence instead of a hang. Generous, because test machines are busy.
const patience = 30 * time.Second

// rounds is how often a test does what only shows in many tries: few times in
// make test, many in make prove.
func rounds(few, many int) int {
	if os.Getenv("GATEHOUSE_PROVE") != "" {
		return many
	}
	return few
}

// server is a Caddy with a gate in front of an app.
type server struct {
	testing.TB
	dir  string
	port string
	url  string // of the site on localhost
	app  *upstream
	plan plan
	from int // where the logs of this server begin
}

// plan is what a test wants to say in its configuration; the rest is the same
// for all. PORT and APP in it stand for the server's port and the app's address.
type plan struct {
	global string // lines of the global gatehouse block, beside store, mail, from
	caddy  string // global options of Caddy
	site   string // the site on localhost; default: a gate that admits any
	sites  string // further sites
}

const limits = "limits {\n per_recipient 10000 1m\n per_client 1000000 1m\n global 1000000 1m\n}\n"

// start serves a plan until the end of the test.
func start(t testing.TB, p plan) *server {
	t.Helper()
	port := caddytest.FreePort(t)
	s := &server{TB: t, dir: t.TempDir(), port: port, url: "http://localhost:" + port, app: newUpstream(t)}
	s.from = logs.size()
	s.load(p)
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the logs:\n%s", lastLines(logs.since(s.from), 40))
		}
	})
	return s
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// load puts a plan into effect: at first, or instead of another one.
func (s *server) load(p plan) {
	s.Helper()
	if err := s.tryLoad(p); err != nil {
		s.Fatalf("loading the configuration: %v\n%s", err, s.caddyfile(p))
	}
}

func (s *server) tryLoad(p plan) error {
	config, err := adapt(s.caddyfile(p))
	if err != nil {
		return err
	}
	if err := caddytest.Load(config); err != nil {
		return err
	}
	s.plan = p
	return nil
}

func (s *server) stop() {
	if err := caddy.Stop(); err != nil {
		s.Errorf("stopping: %v", err)
	}
}

// restart is what a new process would do.
func (s *server) restart() {
	s.Helper()
	s.stop()
	s.load(s.plan)
}

func (s *server) caddyfile(p plan) string {
	if p.site == "" {
		p.site = "gatehouse any\nreverse_proxy APP"
	}
	if !strings.Contains(p.global, "limits") {
		p.global += "\n" + limits
	}
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	grace_period 10s
	storage file_system %[1]s/caddy
	log {
		output e2e
		format json {
			time_format rfc3339_nano
		}
		level DEBUG
	}
	%[2]s
	gatehouse {
		store badger %[1]s/store
		mail smtp %[3]s
		from "Example sign-in" <login@example.com>
		%[4]s
	}
}

http://localhost:PORT {
	bind 127.0.0.1
	log
	%[5]s
}

%[6]s
`, s.dir, p.caddy, mails.Addr, p.global, p.site, p.sites)
	return strings.NewReplacer("PORT", s.port, "APP", s.app.addr).Replace(text)
}

func adapt(text string) ([]byte, error) {
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	for _, w := range warnings {
		if !strings.Contains(w.Message, "formatted") {
			err = fmt.Errorf("%w; %s", err, w)
		}
	}
	return config, err
}

var people atomic.Int64

// person is an address of this test alone, so that nobody reads its mail.
func person(name string) string { return fmt.Sprintf("%s-%d@example.com", name, people.Add(1)) }

// pass lets time pass: the server is stopped, every record of its store is made
// older by d, and it is started again.
func (s *server) pass(d time.Duration) {
	s.Helper()
	s.stop()
	s.makeOlder(d)
	s.load(s.plan)
}

func (s *server) makeOlder(d time.Duration) {
	s.Helper()
	engine, err := badgerstore.Open(filepath.Join(s.dir, "store"), badgerstore.Options{})
	if err != nil {
		s.Fatal(err)
	}
	defer engine.Close()
	err = engine.Update(context.Background(), func(tx store.Tx) error {
		items, err := tx.Scan("", "", 10_000)
		for _, item := range items {
			if !item.Expires.IsZero() {
				item.Expires = item.Expires.Add(-d)
			}
			tx.Put(item.Key, older(item.Value, d), item.Expires)
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
}

var (
	timestamp = regexp.MustCompile(`"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)"`)
	unixMilli = regexp.MustCompile(`"t":[0-9]{13}\b`)
)

// older moves the times in a record back by d.
func older(value []byte, d time.Duration) []byte {
	value = timestamp.ReplaceAllFunc(value, func(b []byte) []byte {
		var at time.Time
		_ = json.Unmarshal(b, &at)
		b, _ = json.Marshal(at.Add(-d))
		return b
	})
	return unixMilli.ReplaceAllFunc(value, func(b []byte) []byte {
		n, _ := strconv.ParseInt(string(b[4:]), 10, 64)
		return fmt.Appendf(nil, `"t":%d`, n-d.Milliseconds())
	})
}
