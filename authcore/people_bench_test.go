package authcore_test

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
)

// BenchmarkPeople loads people into PostgreSQL, one in ten of them with a session, and
// measures at 10 thousand, a million and ten million of them what each takes, and what a
// check and a sign-in cost. By default it ends at 100,000; ten million need 8 GB where
// temporary files are, and half an hour:
//
//	GATEHOUSE_BENCH_PEOPLE=10000000 go test ./authcore -run - -bench People -benchtime 1x -timeout 2h
//
// Somebody signs in for real; what that left in the database is what is loaded, with
// other names. That whoever was loaded is known is checked with each sign-in that
// is measured.
func BenchmarkPeople(b *testing.B) {
	most, err := strconv.Atoi(cmp.Or(os.Getenv("GATEHOUSE_BENCH_PEOPLE"), "100000"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		dsn := pgtest.Database(b)
		t := newTown(b, dsn)
		for _, people := range []int{10_000, 1_000_000, 10_000_000} {
			t.grow(min(people, most))
			t.measure()
			if people >= most {
				break
			}
		}
	}
}

// town is many people in a database.
type town struct {
	*testing.B
	dsn    string
	rows   string // what a sign-in leaves for good, as COPY writes it
	more   string // what it leaves for as long as the session is good
	whose  townsman
	people int // so far

	measured int // how often
}

// tell prints: what a benchmark logs is cut.
func (t *town) tell(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// everyTenth has a session.
const everyTenth = 10

// townsman is what differs between what two people leave.
type townsman struct{ sub, address, sid, device, challenge string }

func (p townsman) names() []string {
	return []string{p.sub, p.address, keyring.Hash(p.address), p.sid, p.device, p.challenge}
}

// person is the i-th.
func (t *town) person(i int) townsman {
	id := func(kind, like string) string {
		sum := sha256.Sum256(fmt.Append(nil, kind, i))
		return ("A" + base64.RawURLEncoding.EncodeToString(sum[:]))[:len(like)]
	}
	return townsman{
		sub: id("sub", t.whose.sub), sid: id("sid", t.whose.sid), challenge: id("challenge", t.whose.challenge),
		address: fmt.Sprintf("%s.%d@example.com", keyring.Hash(strconv.Itoa(i))[:6], i), device: keyring.Hash("device" + strconv.Itoa(i)),
	}
}

func newTown(b *testing.B, dsn string) *town {
	t := &town{B: b, dsn: dsn}
	h, end := t.node()
	defer end()
	tab := h.browser()
	tab.UserAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0"
	address := mustAddress("the.first.of.all@example.com")
	want(b, tab.begin(address).Verdict, event.Accepted)
	in := tab.answer(h.waitMail(1).Code)
	want(b, in.Verdict, event.Accepted)
	s := in.SignIn.Session
	t.whose = townsman{sub: s.Subject, address: address.String(), sid: s.ID, device: keyring.Hash(in.SignIn.DeviceCookie), challenge: in.Flow.Challenge}
	const all = "SELECT key, value, raw, expires, ahead, version FROM gatehouse_record WHERE "
	var mine []string
	for _, name := range t.whose.names() {
		mine = append(mine, fmt.Sprintf("strpos(key, '%s') > 0", name))
	}
	isMine := "(" + strings.Join(mine, " OR ") + ")"
	t.rows = string(pgtest.CopyOut(b, dsn, all+isMine+" AND expires IS NULL"))
	t.more = string(pgtest.CopyOut(b, dsn, all+isMine+" AND expires > now() + interval '1 day'"))
	t.tell("a person is\n%sand a session\n%s", t.rows, t.more)
	return t
}

// grow loads people until there are so many.
func (t *town) grow(people int) {
	t.Helper()
	began := time.Now()
	const loaders = 2
	var all sync.WaitGroup
	for n := range loaders {
		out, in := io.Pipe()
		all.Go(func() {
			w := bufio.NewWriterSize(in, 1<<20)
			for i := t.people + n; i < people; i += loaders {
				text := t.rows
				if i%everyTenth == 0 {
					text += t.more
				}
				_, _ = w.WriteString(t.as(t.person(i), text))
			}
			_ = w.Flush()
			_ = in.Close()
		})
		all.Go(func() { pgtest.CopyIn(t, t.dsn, "gatehouse_record (key, value, raw, expires, ahead, version)", out) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	loaded := time.Since(began)
	t.people = people
	pgtest.Exec(t, t.dsn, "VACUUM (ANALYZE) gatehouse_record")
	pgtest.Exec(t, t.dsn, "CHECKPOINT")
	t.tell("%d people, loaded in %v", people, loaded.Round(time.Second))
}

// as is text with the names of somebody else.
func (t *town) as(p townsman, text string) string {
	var pairs []string
	for i, name := range t.whose.names() {
		pairs = append(pairs, name, p.names()[i])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// node is a node that limits nobody.
func (t *town) node() (h *house, end func()) {
	t.Helper()
	engine, err := pgstore.Open(t.Context(), t.dsn, pgstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h = newHouse(t)
	h.mu.Lock()
	h.clock = engine.Now
	h.mu.Unlock()
	h.config.Limits = limit.Limits{}
	h.reopenOn(engine)
	return h, func() {
		h.close()
		engine.Close()
	}
}

// measure tells what people take and what calls cost.
func (t *town) measure() {
	t.Helper()
	for _, row := range pgtest.Rows(t, t.dsn, fmt.Sprintf(`SELECT split_part(key, '/', 1), count(*), avg(pg_column_size(r.*) + 4)::int
		FROM gatehouse_record AS r TABLESAMPLE SYSTEM (%d) REPEATABLE (1) GROUP BY 1 ORDER BY 1`, max(2, min(100, 10_000_000/t.people)))) {
		t.tell("| %d | kind, rows in the sample, bytes of one | %s |", t.people, row)
	}
	for _, row := range pgtest.Rows(t, t.dsn, `SELECT relname, pg_relation_size(oid), reltuples::bigint, round(pg_relation_size(oid) / nullif(reltuples, 0)::numeric, 1)::text
		FROM pg_class WHERE relname LIKE 'gatehouse_record%' ORDER BY 1`) {
		t.tell("| %d | relation, bytes, rows, bytes of each | %s |", t.people, row)
	}
	const calls = 500
	tabs, whose, codes := make([]*tab, calls), make([]townsman, calls), make([]string, calls)
	t.cost("check of a session that is not in the cache", calls, func(h *house, i int) {
		if err := h.core.ReadSession(t.Context(), t.person(rand.IntN(t.people)/everyTenth*everyTenth).sid); err != nil {
			t.Fatal(err)
		}
	}, nil)
	t.cost("start, with its mail", calls, func(h *house, i int) {
		whose[i], tabs[i] = t.person((t.measured*calls+i)*104_729%t.people), h.browser()
		want(t, tabs[i].begin(mustAddress(whose[i].address)).Verdict, event.Accepted)
	}, func(h *house, i int) { codes[i] = h.waitMail(i + 1).Code })
	t.cost("answer, at another node", calls, func(h *house, i int) {
		in := tabs[i].atNode(h).answer(codes[i])
		want(t, in.Verdict, event.Accepted)
		want(t, in.SignIn.Session.Subject, whose[i].sub)
	}, nil)
	t.measured++
}

// cost tells what so many calls take, one after the other: on the clock, of the
// database's CPU, and of its pages.
func (t *town) cost(name string, calls int, call, then func(h *house, i int)) {
	t.Helper()
	pages := t.pages()
	h, end := t.node()
	cpu := pgtest.CPU(t, t.dsn)
	var took times
	for i := range calls {
		began := time.Now()
		call(h, i)
		took.add(began)
		if then != nil {
			then(h, i)
		}
	}
	cpu = pgtest.CPU(t, t.dsn) - cpu
	end()
	pages = t.pages() - pages
	slices.Sort(took)
	t.tell("| %d | %s | median %.2f ms | p99 %.2f ms | %d µs of the database's CPU | %.1f pages |", t.people, name,
		took[calls/2].Seconds()*1000, took[calls*99/100].Seconds()*1000, cpu.Microseconds()/int64(calls), float64(pages)/float64(calls))
}

// pages is how many pages of records, attempts and their indexes were looked at so far, by
// connections that have ended: the others tell later.
func (t *town) pages() (n int64) {
	t.Helper()
	within(t, 20*time.Second, "no connection is left", func() bool {
		return len(pgtest.Rows(t, t.dsn, "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")) == 0
	})
	_, _ = fmt.Sscan(pgtest.Rows(t, t.dsn, `SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint
		FROM pg_statio_user_tables WHERE relname IN ('gatehouse_record', 'gatehouse_attempt')`)[0], &n)
	return n
}
