package pgstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// A commit whose answer is lost was done once, whatever became of it on its way.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]cut{
		"done, and the answer lost":        answerLost,
		"never arrived":                    neverArrived,
		"arrives when nobody waits for it": arrivesLate,
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.Database(t)
			p := newProxy(t, dsn)
			s := openTest(t, p.dsn, pgstore.Options{})
			put(t, s, "count", `1`)
			for range 3 {
				p.cutNext(mode)
				before := number(t, s, "count")
				runs := 0
				if err := s.Update(t.Context(), func(tx store.Tx) error {
					runs++
					return count(tx, "count")
				}); err != nil {
					t.Fatal(err)
				}
				p.late.Wait()
				if got := number(t, s, "count"); got != before+1 {
					t.Errorf("counted %d times, want once", got-before)
				}
				if want := map[cut]int{answerLost: 1, neverArrived: 2, arrivesLate: 2}[mode]; runs != want {
					t.Errorf("the function ran %d times, want %d", runs, want)
				}
			}
		})
	}
}

// Where nobody can tell, the caller hears so.
func TestUnknownOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	p := newProxy(t, dsn)
	s := openTest(t, p.dsn, pgstore.Options{})
	put(t, s, "k", `1`)
	p.cutNext(answerLost)
	p.closeAfter = true
	err := s.Update(t.Context(), func(tx store.Tx) error { return count(tx, "k") })
	if err == nil || !strings.Contains(err.Error(), "is not known") {
		t.Errorf("%v", err)
	}
}

// What keeps a database from answering costs each call a few seconds, and those that come
// later none, until a second or two behind its end.
func TestDatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, dsn string, p *proxy) (end func()){
		"a network that swallows all": func(_ *testing.T, _ string, p *proxy) func() {
			p.silence(true)
			return func() { p.mute.Store(0) }
		},
		"nobody listens": func(t *testing.T, _ string, p *proxy) func() {
			p.refuse(t)
			return func() { p.listen(t) }
		},
		"a locked table": func(t *testing.T, dsn string, _ *proxy) func() {
			return pgtest.Hold(t, dsn, "LOCK TABLE gatehouse_record IN ACCESS EXCLUSIVE MODE")
		},
		"a table locked for those who write": func(t *testing.T, dsn string, _ *proxy) func() {
			return pgtest.Hold(t, dsn, "LOCK TABLE gatehouse_record IN EXCLUSIVE MODE")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Database(t)
			p := newProxy(t, dsn)
			s := openTest(t, p.dsn, pgstore.Options{})
			put(t, s, "k", `1`)
			calls := func() (longest time.Duration) {
				var all sync.WaitGroup
				var mu sync.Mutex
				for i := range 20 {
					all.Go(func() {
						began := time.Now()
						err := s.Update(t.Context(), func(tx store.Tx) error {
							if i%2 == 0 { // with nothing to be read
								tx.Put("k", []byte(`1`), time.Time{})
								return nil
							}
							return count(tx, "k")
						})
						if err == nil {
							t.Error("what has answered?")
						}
						mu.Lock()
						defer mu.Unlock()
						longest = max(longest, time.Since(began))
					})
				}
				all.Wait()
				return longest
			}
			end := start(t, dsn, p)
			began := time.Now()
			if took := calls(); took > 9*time.Second {
				t.Errorf("calls took %v", took)
			}
			waitUntil(t, func() bool { return s.Ping(t.Context()) != nil })
			if took := time.Since(began); took > 12*time.Second {
				t.Errorf("the health tells so after %v", took)
			}
			waitUntil(t, func() bool { return calls() < time.Second })
			if took := calls(); took > 2*time.Second {
				t.Errorf("later calls took %v", took)
			}
			end()
			began = time.Now()
			waitUntil(t, func() bool {
				return s.Update(t.Context(), func(tx store.Tx) error { return count(tx, "k") }) == nil
			})
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("calls come through %v after the end", took)
			}
			waitUntil(t, func() bool { return s.Ping(t.Context()) == nil })
		})
	}
}

// Connections whose other end is gone, as behind a firewall that was started anew, are
// given up for new ones.
func TestHalfOpenConnections(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*pgstore.Store) error{
		"read": func(s *pgstore.Store) error {
			return s.View(t.Context(), func(tx store.Tx) error { _, err := tx.Get("k"); return err })
		},
		"count": func(s *pgstore.Store) error {
			return s.Update(t.Context(), func(tx store.Tx) error { return count(tx, "k") })
		},
		"write": func(s *pgstore.Store) error {
			return s.Update(t.Context(), func(tx store.Tx) error { tx.Put("w", []byte(`1`), time.Time{}); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, pgtest.Database(t))
			s := openTest(t, p.dsn, pgstore.Options{})
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() { put(t, s, "k", `1`) })
			}
			all.Wait()
			p.silence(false)
			for range 8 { // as many as there are connections
				all.Go(func() {
					if err := call(s); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if err := s.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// What keeps a sign-in from being written shows in the health: the probe meets it, or a
// call has.
func TestRefusedWritesAreUnhealthy(t *testing.T) {
	t.Parallel()
	refuse := func(dsn, code string, larger int) (mend func()) {
		pgtest.Exec(t, dsn, fmt.Sprintf(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN IF coalesce(length(NEW.value::text), length(NEW.raw), 0) >= %d THEN RAISE EXCEPTION 'refused' USING ERRCODE = '%s'; END IF; RETURN NEW; END $$`, larger, code))
		pgtest.Exec(t, dsn, "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON gatehouse_record FOR EACH ROW EXECUTE FUNCTION refuse()")
		return func() { pgtest.Exec(t, dsn, "DROP TRIGGER refuse ON gatehouse_record") }
	}
	for _, code := range []string{"53100", "42501", "57014", "55P03"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Database(t)
			s := openTest(t, dsn, pgstore.Options{})
			mend := refuse(dsn, code, 0)
			waitUntil(t, func() bool { return s.Ping(t.Context()) != nil })
			mend()
			waitUntil(t, func() bool { return s.Ping(t.Context()) == nil })
		})
	}
	for _, code := range []string{"53100", "57014"} {
		t.Run(code+" for what is large", func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Database(t)
			s := openTest(t, dsn, pgstore.Options{})
			mend := refuse(dsn, code, 500)
			if s.Update(t.Context(), func(tx store.Tx) error {
				tx.Put("large", []byte(`"`+strings.Repeat("x", 1000)+`"`), time.Time{})
				return nil
			}) == nil || s.Ping(t.Context()) == nil {
				t.Error("a refused commit does not show")
			}
			refused := time.Now()
			waitUntil(t, func() bool { // longer than it shows for itself
				put(t, s, "small", `1`)
				if s.Ping(t.Context()) == nil {
					t.Fatal("healthy, though nothing of that size can be written")
				}
				return time.Since(refused) > 13*time.Second
			})
			mend()
			waitUntil(t, func() bool { return s.Ping(t.Context()) == nil })
		})
	}
}

// A server that is shut down, or demoted, costs no call and keeps no connection.
func TestServerGoesAway(t *testing.T) {
	dsn := pgtest.Database(t)
	s := openTest(t, dsn, pgstore.Options{})
	backends := func() []string {
		return pgtest.Rows(t, dsn, "SELECT pid FROM pg_stat_activity WHERE application_name = 'gatehouse' AND datname = current_database() ORDER BY pid")
	}
	busy := func() { // has several connections at once
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() { put(t, s, fmt.Sprint("k", i), `1`) })
		}
		all.Wait()
	}
	busy()
	before := backends()
	pgtest.Exec(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gatehouse' AND datname = current_database()")
	busy()
	for _, pid := range backends() {
		if slices.Contains(before, pid) {
			t.Errorf("connection %s is still in use", pid)
		}
	}
	readOnly := func(on string) {
		pgtest.Exec(t, pgtest.Shared(t).DSN("postgres")+"&options=-cdefault_transaction_read_only%3Doff", "ALTER SYSTEM SET default_transaction_read_only = "+on)
		pgtest.Exec(t, pgtest.Shared(t).DSN("postgres"), "SELECT pg_reload_conf()")
		waitUntil(t, func() bool { return pgtest.Rows(t, dsn, "SHOW default_transaction_read_only")[0] == on })
	}
	busy()
	before = backends()
	readOnly("on")
	t.Cleanup(func() { readOnly("off") })
	began := time.Now()
	err := s.Update(t.Context(), func(tx store.Tx) error { tx.Put("k", []byte(`2`), time.Time{}); return nil })
	if err == nil || time.Since(began) > 9*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	waitUntil(t, func() bool { return s.Health().Err != nil })
	waitUntil(t, func() bool { // nobody waits for what others have waited for
		began := time.Now()
		err := s.Update(t.Context(), func(tx store.Tx) error { tx.Put("k", []byte(`2`), time.Time{}); return nil })
		return err != nil && time.Since(began) < time.Second
	})
	readOnly("off")
	busy()
	for _, pid := range backends() {
		if slices.Contains(before, pid) {
			t.Errorf("connection %s to the demoted server is still in use", pid)
		}
	}
	waitUntil(t, func() bool { return s.Health().Err == nil })
}

// Many callers share few connections, and who can't have one in time is told so.
func TestFewConnections(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := openTest(t, dsn, pgstore.Options{})
	release := make(chan struct{})
	var inside, all sync.WaitGroup
	inside.Add(8)
	for range 8 {
		all.Go(func() {
			_ = s.View(t.Context(), func(tx store.Tx) error {
				_, err := tx.Scan("k", "", 1) // which has a connection for itself
				inside.Done()
				<-release
				return err
			})
		})
	}
	inside.Wait()
	if n := pgtest.Rows(t, dsn, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gatehouse' AND datname = current_database()"); n[0] != "8" {
		t.Errorf("%s connections, want 8", n[0])
	}
	began := time.Now()
	err := s.View(t.Context(), func(tx store.Tx) error { _, err := tx.Scan("k", "", 1); return err })
	if err == nil || !strings.Contains(err.Error(), "no connection") || time.Since(began) > 8*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	close(release)
	all.Wait()
	if get(t, s, "k") != "" {
		t.Error("what is that?")
	}
}

// As long as others come through a call waits, also for longer than where nothing moves.
func TestAQueueThatMoves(t *testing.T) {
	t.Parallel()
	s := openTest(t, pgtest.Database(t)+"&pool_max_conns=1", pgstore.Options{})
	var all sync.WaitGroup
	began := time.Now()
	for range 12 {
		all.Go(func() {
			if err := s.View(t.Context(), func(tx store.Tx) error {
				_, err := tx.Scan("k", "", 1)
				time.Sleep(time.Second / 2) // what others wait for
				return err
			}); err != nil {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.View(t.Context(), func(tx store.Tx) error {
		if _, err := tx.Scan("k", "", 1); err != nil {
			return err
		}
		time.AfterFunc(time.Second/10, cancel)
		err := s.View(ctx, func(tx store.Tx) error { _, err := tx.Scan("k", "", 1); return err })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone away waits: %v", err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// Who goes away costs no connection: else every impatient visitor would.
func TestCallersWhoGoAway(t *testing.T) {
	dsn := pgtest.Database(t)
	s := openTest(t, dsn, pgstore.Options{})
	put(t, s, "k", `1`)
	pids := func() []string {
		return pgtest.Rows(t, dsn, "SELECT pid FROM pg_stat_activity WHERE application_name = 'gatehouse' AND datname = current_database()")
	}
	before, want := pids(), 1
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel() // at any time
		switch err := s.Update(ctx, func(tx store.Tx) error { return count(tx, "k") }); {
		case err == nil:
			want++
		case !errors.Is(err, context.Canceled):
			t.Error(err)
		}
	}
	if !slices.Contains(pids(), before[0]) {
		t.Error("a connection was ended")
	}
	if got := number(t, s, "k"); got != want {
		t.Errorf("counted to %d, want %d: what had begun to be written is waited for", got, want)
	}
}

// Updates of the same records in any order wait for each other and never deadlock.
func TestNoDeadlocks(t *testing.T) {
	dsn := pgtest.Database(t)
	s := openTest(t, dsn, pgstore.Options{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				err := s.Update(t.Context(), func(tx store.Tx) error {
					for _, key := range []string{fmt.Sprint("k", (i*j)%5), fmt.Sprint("k", (i+j)%7), fmt.Sprint("k", (i*3+j*5)%11)} {
						if err := count(tx, key); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	total := 0
	for i := range 11 {
		total += number(t, s, fmt.Sprint("k", i))
	}
	if total != 8*20*3 {
		t.Errorf("counted %d, want %d", total, 8*20*3)
	}
	if n := pgtest.Rows(t, dsn, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n[0] != "0" {
		t.Errorf("%s deadlocks", n[0])
	}
}

func TestFullDisk(t *testing.T) {
	dsn := pgtest.Database(t)
	s := openTest(t, dsn, pgstore.Options{})
	put(t, s, "k", `1`)
	pgtest.Exec(t, dsn, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`)
	pgtest.Exec(t, dsn, "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON gatehouse_record FOR EACH ROW EXECUTE FUNCTION full_disk()")
	err := s.Update(t.Context(), func(tx store.Tx) error { return count(tx, "k") })
	if !errors.Is(err, store.ErrFull) || get(t, s, "k") != `1` {
		t.Errorf("%v, want ErrFull", err)
	}
	pgtest.Exec(t, dsn, "DROP TRIGGER full_disk ON gatehouse_record")
	put(t, s, "k", `2`)
}

func TestWrongDSN(t *testing.T) {
	server := pgtest.Shared(t)
	good := server.DSN("postgres")
	for dsn, words := range map[string]string{
		"":                                    "is no address of a database",
		"db.example.com":                      "is no address of a database",
		"mysql://u:hunter2@h/d":               "is no address of a database",
		"postgres://u:hunter%zz@h/d":          "is no address of a database",
		"postgres://u:hunter2@h:port/d":       "is no address of a database",
		"postgres://u:hunter2@h/d?sslmode=on": "sslmode is none of",
		"postgres://u:hunter2@h/d?target_session_attrs=read-only":            "target_session_attrs must be read-write",
		"postgres://u:hunter2@h/d?sslmode=verify-full&sslrootcert=/x":        "TLS",
		"host=h user=u password=hunter2 port=x dbname=d":                     "port",
		"postgres://u:pass@hunter2@h:5432/d":                                 "is no address of a database",
		"postgres://u:12/hunter2@h/d":                                        "is no address of a database",
		"postgres://u:12?hunter2@h/d":                                        "is no address of a database",
		"postgres://u:12#hunter2@h/d":                                        "is no address of a database",
		"postgres://u@h/d?password=hun@ter2":                                 "is no address of a database",
		"postgres://:hunter2@/":                                              "is no address of a database",
		strings.Replace(good, url.QueryEscape(pgtest.Password), "s3cr3t", 1): "look at user and password",
		strings.Replace(good, "/postgres", "/nowhere", 1):                    "CREATE DATABASE",
		strings.Replace(good, server.Port, "1", 1):                           "connection refused",
	} {
		refused(t, dsn, words)
	}
}

// Of several hosts the one is taken that can be written to.
func TestSeveralHosts(t *testing.T) {
	dsn := pgtest.Database(t)
	port := pgtest.Shared(t).Port
	s := openTest(t, strings.Replace(dsn, "127.0.0.1:"+port, "127.0.0.1:1,127.0.0.1:"+port, 1), pgstore.Options{})
	put(t, s, "k", `1`)
}

// A host without power says nothing: nobody who needs a connection to the other one
// waits for it in vain.
func TestASilentHost(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and leaves them there
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	at := "127.0.0.1:" + pgtest.Shared(t).Port
	s := openTest(t, strings.Replace(dsn, at, silent.Addr().String()+","+at, 1), pgstore.Options{})
	var all sync.WaitGroup
	for i := range 6 { // each on a connection of its own
		all.Go(func() { put(t, s, fmt.Sprint("k", i), `1`) })
	}
	all.Wait()
}

func TestTLS(t *testing.T) {
	dsn := strings.Replace(pgtest.Database(t), "sslmode=disable", "sslmode=verify-full&sslrootcert="+pgtest.Shared(t).Certificate(), 1)
	s := openTest(t, dsn, pgstore.Options{})
	put(t, s, "k", `1`)
	if got := pgtest.Rows(t, dsn, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'gatehouse' AND datname = current_database()"); got[0] != "true" {
		t.Error("not encrypted")
	}
	refused(t, strings.Replace(dsn, "sslrootcert="+pgtest.Shared(t).Certificate(), "", 1), "certificate")
	for dsn, clear := range map[string]bool{
		"postgres://u:p@db.example.com/d?sslmode=disable":     true,
		"postgres://u:p@db.example.com/d":                     true, // prefer falls back to it
		"postgres://u:p@db.example.com/d?sslmode=require":     false,
		"postgres://u:p@127.0.0.1/d?sslmode=disable":          false,
		"postgres://u:p@localhost,db.other/d?sslmode=disable": true,
	} {
		d, err := pgstore.ParseDSN(dsn)
		if err != nil || d.Clear != clear {
			t.Errorf("%s: clear %v, %v", d.Name, d.Clear, err)
		}
	}
}

// cut is what a proxy does with the next commit.
type cut int

const (
	passed cut = iota
	answerLost
	neverArrived
	arrivesLate
)

// proxy stands before a server and cuts connections.
type proxy struct {
	dsn        string
	closeAfter bool // no connection is taken once one was cut
	late       sync.WaitGroup

	mu       sync.Mutex
	next     cut
	down     bool
	server   string
	listener net.Listener
	open     []net.Conn

	born atomic.Int64 // connections so far
	mute atomic.Int64 // those up to this one say and hear nothing any more
}

// silence swallows all that is said on the connections that there are, and on those that
// come if it is for all.
func (p *proxy) silence(all bool) {
	if all {
		p.mute.Store(math.MaxInt64)
		return
	}
	p.mute.Store(p.born.Load())
}

// refuse ends all connections and takes no more, until listen.
func (p *proxy) refuse(t *testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.listener.Close(); err != nil {
		t.Error(err)
	}
	for _, conn := range p.open {
		conn.Close()
	}
}

func (p *proxy) listen(t *testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := "127.0.0.1:0"
	if p.listener != nil {
		at = p.listener.Addr().String()
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p.listener = l
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.open = append(p.open, client)
			p.mu.Unlock()
			go p.serve(client, p.server)
		}
	}()
}

func newProxy(t *testing.T, dsn string) *proxy {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: u.Host}
	p.listen(t)
	u.Host = p.listener.Addr().String()
	p.dsn = u.String()
	return p
}

func (p *proxy) cutNext(c cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next = c; c == arrivesLate {
		p.late.Add(1)
	}
}

// take tells what to do with what a client sends.
func (p *proxy) take(sent []byte) cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !bytes.Contains(sent, []byte("), attempt AS (")) { // a commit, and not what an idle node writes once a second
		return passed
	}
	c := p.next
	if p.next = passed; c != passed {
		p.down = p.closeAfter
	}
	return c
}

func (p *proxy) isDown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}

func (p *proxy) serve(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil || p.isDown() {
		return
	}
	number := p.born.Add(1)
	answers := make(chan struct{})
	var mute sync.Mutex
	go func() {
		defer close(answers)
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			mute.Lock()
			if number > p.mute.Load() {
				_, _ = client.Write(buffer[:n])
			}
			mute.Unlock()
			if err != nil {
				client.Close()
				return
			}
		}
	}()
	buffer := make([]byte, 1<<20)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			server.Close()
			return
		}
		if number <= p.mute.Load() {
			continue
		}
		switch p.take(buffer[:n]) {
		case passed:
			_, _ = server.Write(buffer[:n])
		case answerLost:
			mute.Lock() // for good
			_ = client.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			for ; err == nil; n, err = client.Read(buffer) { // the rest of it
				_, _ = server.Write(buffer[:n])
			}
			client.Close()
			time.AfterFunc(time.Second, func() { server.Close() })
			return
		case neverArrived:
			client.Close()
			server.Close()
			return
		case arrivesLate:
			client.Close()
			time.AfterFunc(500*time.Millisecond, func() {
				_, _ = server.Write(buffer[:n])
				time.AfterFunc(200*time.Millisecond, func() { server.Close(); p.late.Done() })
			})
			return
		}
	}
}

// Of commits that arrive together for a record that is not there yet one comes
// first: there is no row that the others could wait for.
func TestFirstsAtOnce(t *testing.T) {
	s := openTest(t, pgtest.Database(t), pgstore.Options{})
	for round := range 60 {
		key := fmt.Sprint("first", round)
		var read, all sync.WaitGroup
		read.Add(8)
		var won atomic.Int32
		for range 8 {
			all.Go(func() {
				runs, mine := 0, false
				err := s.Update(t.Context(), func(tx store.Tx) error {
					values, err := tx.Get(key)
					if runs++; runs == 1 {
						read.Done()
						read.Wait()
					}
					if mine = err == nil && values[0] == nil; mine {
						tx.Put(key, []byte(`1`), time.Time{})
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if mine {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d were first", round, won.Load())
		}
	}
}
