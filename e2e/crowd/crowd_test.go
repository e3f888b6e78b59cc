// Package crowd measures many people who sign in at once, at whole nodes: what waits,
// who is refused, what others feel, and what it takes of the nodes and of the database.
//
//	go test ./e2e/crowd -run - -bench . -benchtime 1x
package crowd_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// The test binary is a node, too, and who asks for pages beside the crowd: in a process
// of its own nothing but the server keeps them waiting.
func TestMain(m *testing.M) {
	switch os.Getenv("GATEHOUSE_BENCH_AS") {
	case "node":
		caddycmd.Main()
	case "traffic":
		visit(os.Getenv("GATEHOUSE_BENCH_BASE"), os.Getenv("GATEHOUSE_BENCH_COOKIE"), os.Getenv("GATEHOUSE_BENCH_FOR"))
	default:
		os.Exit(m.Run())
	}
}

// BenchmarkCrowd has people start evenly within ten seconds, beside 300 requests a second
// with a session: at one node on Badger, at three on PostgreSQL, and there all from one
// client's address, too.
func BenchmarkCrowd(b *testing.B) {
	for _, at := range []string{"badger", "postgres", "postgres-one-client"} {
		for _, people := range []int{5_000, 10_000} {
			b.Run(fmt.Sprintf("%s/people=%d", at, people), func(b *testing.B) {
				for b.Loop() {
					crowd(b, at, people)
				}
			})
		}
	}
}

func crowd(b *testing.B, at string, people int) {
	store, nodes := "badger", 1
	if at != store {
		store, nodes = "postgres", 3
	}
	s := newSite(b, store, nodes)
	s.together = at == "postgres-one-client"
	base := s.bases[0]
	if nodes > 1 {
		base = s.balance()
	}
	cookie, err := s.signIn(base, "first@example.com")
	if err != nil {
		b.Fatal(err)
	}
	quiet, before := s.traffic(base, cookie, 8*time.Second), s.databaseCPU()
	during := make(chan string, 1)
	go func() { during <- s.traffic(base, cookie, 15*time.Second) }()
	began, took, refused := time.Now(), make([]time.Duration, people), atomic.Int64{}
	var all sync.WaitGroup
	for i := range people {
		time.Sleep(time.Until(began.Add(10 * time.Second * time.Duration(i) / time.Duration(people))))
		all.Go(func() {
			start := time.Now()
			if _, err := s.signIn(base, fmt.Sprintf("p%d@example.com", i)); err != nil && refused.Add(1) == 1 {
				b.Log(err)
			}
			took[i] = time.Since(start)
		})
	}
	all.Wait()
	slices.Sort(took)
	fmt.Printf("%s, %d nodes, %d people: %d refused, all in after %v, p50 %v, p99 %v; others: quiet %s, crowd %s; CPU of nodes %v, of the database %v\n",
		at, nodes, people, refused.Load(), time.Since(began).Round(100*time.Millisecond),
		took[people/2].Round(time.Millisecond), took[people*99/100].Round(time.Millisecond), quiet, <-during, s.nodesCPU(), s.databaseCPU()-before)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkNodes tells what sign-ins and checks take of the nodes' CPU and of the
// database's, by how many nodes and how many cores of the database there are.
func BenchmarkNodes(b *testing.B) {
	for _, cores := range []string{"0", "0,1"} {
		for nodes := range 3 {
			b.Run(fmt.Sprintf("cores=%s/nodes=%d", cores, nodes+1), func(b *testing.B) {
				s := newSite(b, "postgres", nodes+1)
				s.pin(cores)
				for b.Loop() {
					s.measure(b)
				}
			})
		}
	}
}

func (s *site) measure(b *testing.B) {
	const people, each = 32, 60
	var cookie atomic.Value
	sign := func(round string) {
		var all sync.WaitGroup
		for p := range people {
			all.Go(func() {
				for i := range each {
					got, err := s.signIn(s.bases[(p+i)%len(s.bases)], fmt.Sprintf("%s-%d-%d@example.com", round, p, i))
					if err != nil {
						b.Error(err)
					}
					cookie.Store(got)
				}
			})
		}
		all.Wait()
	}
	sign("warm-up")
	nodes, database, began := s.nodesCPU(), s.databaseCPU(), time.Now()
	sign("then")
	took := time.Since(began)
	nodes, database = s.nodesCPU()-nodes, s.databaseCPU()-database
	const n = people * each
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(nodes.Seconds()*1000/n, "ms-nodes/sign-in")
	b.ReportMetric(database.Seconds()*1000/n, "ms-database/sign-in")
	b.ReportMetric(n/took.Seconds(), "sign-ins/s")

	const checks = 30_000
	nodes, database, began = s.nodesCPU(), s.databaseCPU(), time.Now()
	var all sync.WaitGroup
	for p := range people {
		all.Go(func() {
			for i := range checks / people {
				if status, _ := ask(s.bases[(p+i)%len(s.bases)]+"/", "", cookie.Load().(string), nil); status != http.StatusOK {
					b.Errorf("a request that should pass: %d", status)
				}
			}
		})
	}
	all.Wait()
	took = time.Since(began)
	b.ReportMetric(float64((s.nodesCPU()-nodes).Microseconds())/checks, "µs-nodes/request")
	b.ReportMetric(float64((s.databaseCPU()-database).Microseconds())/checks, "µs-database/request")
	b.ReportMetric(checks/took.Seconds(), "requests/s")
}

// site is nodes that answer for one name.
type site struct {
	testing.TB
	dir, dsn string
	bases    []string // of each node
	pids     []int
	mail     net.Listener
	codes    sync.Map // by address: a channel
	together bool     // all come from one client's address
}

func newSite(t testing.TB, store string, nodes int) *site {
	s := &site{TB: t, dir: t.TempDir()}
	s.receive()
	if store == "postgres" {
		s.dsn = pgtest.Database(t)
	}
	for n := range nodes {
		s.start(fmt.Sprint(n), caddytest.FreePort(t))
	}
	return s
}

// start runs a node with the configuration of e2e/history: mail goes to us, many
// people come from one machine, and what passes is answered by a fixed text.
func (s *site) start(name, port string) {
	s.Helper()
	edits := []string{
		"admin off", "admin off\n\tstorage file_system " + filepath.Join(s.dir, name) + "\n\tlog {\n\t\tlevel ERROR\n\t}",
		"\t\tmail log\n", fmt.Sprintf("\t\tmail smtp %s {\n\t\t\ttls off\n\t\t}\n\t\tfrom \"Example\" <login@example.com>\n\t\tlimits {\n\t\t\tper_client 1000000 1m\n\t\t\tglobal 1000000 1m\n\t\t}\n", s.mail.Addr()),
		"gatehouse_whoami", "respond ok",
	}
	if s.dsn == "" {
		edits = append(edits, "store postgres {env.GATEHOUSE_DATABASE}", "store badger "+filepath.Join(s.dir, "store"))
	}
	config := filepath.Join(s.dir, name+".caddyfile")
	s.write(config, strings.NewReplacer(edits...).Replace(s.example("Caddyfile")))
	s.pids = append(s.pids, s.run(s.self("node", "GATEHOUSE_DATABASE="+s.dsn, "GATEHOUSE_SECRET=0123456789abcdef0123456789abcdef", "PORT="+port,
		"XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir), "run", "--config", config, "--adapter", "caddyfile"))
	base := "http://app.localhost:" + port
	s.bases = append(s.bases, base)
	s.await(base)
}

// balance puts HAProxy before the nodes.
func (s *site) balance() (base string) {
	s.Helper()
	port := caddytest.FreePort(s)
	config := strings.Replace(s.example("haproxy.cfg"), "127.0.0.1:8080", "127.0.0.1:"+port, 1)
	for i, base := range s.bases {
		config = strings.Replace(config, fmt.Sprintf("127.0.0.1:800%d", i+1), strings.Replace(base, "http://app.localhost", "127.0.0.1", 1), 1)
	}
	path := filepath.Join(s.dir, "haproxy.cfg")
	s.write(path, config)
	program, err := exec.LookPath("haproxy")
	if err != nil {
		program = "/usr/sbin/haproxy"
	}
	s.run(exec.Command(program), "-db", "-f", path)
	base = "http://app.localhost:" + port
	s.await(base)
	return base
}

func (s *site) self(as string, env ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), "GATEHOUSE_BENCH_AS="+as), env...)
	return cmd
}

// run starts a program that ends with the benchmark.
func (s *site) run(cmd *exec.Cmd, args ...string) (pid int) {
	s.Helper()
	var out bytes.Buffer
	cmd.Args = append(cmd.Args, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.Failed() {
			s.Logf("%s said:\n%s", cmd.Path, out.Bytes()[max(0, out.Len()-2000):])
		}
	})
	return cmd.Process.Pid
}

func (s *site) await(base string) {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if status, _ := ask(base+"/_gatehouse/jwks.json", "", "", nil); status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s does not get ready", base)
		}
	}
}

func (s *site) example(name string) string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join("../history/testdata", name))
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

func (s *site) write(path, text string) {
	s.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// pin has the database use these cores only.
func (s *site) pin(cores string) {
	s.Helper()
	for _, pid := range pgtest.Processes(s, s.dsn) {
		// One that has ended meanwhile needs none.
		_ = exec.Command("taskset", "-p", "-c", cores, fmt.Sprint(pid)).Run()
	}
}

func (s *site) nodesCPU() (used time.Duration) {
	for _, pid := range s.pids {
		used += pgtest.ProcessCPU(pid)
	}
	return used
}

func (s *site) databaseCPU() time.Duration {
	if s.dsn == "" {
		return 0
	}
	return pgtest.CPU(s, s.dsn)
}

// signIn is somebody who types an address and then the code of the mail.
func (s *site) signIn(base, address string) (cookie string, err error) {
	sum := sha256.Sum256([]byte(address))
	from := fmt.Sprintf("10.%d.%d.%d", sum[0], sum[1], sum[2]) // each at home
	if s.together {
		from = ""
	}
	code := make(chan string, 8)
	s.codes.Store(address, code)
	defer s.codes.Delete(address)
	status, cookie := ask(base+"/_gatehouse/login", from, "", url.Values{"email": {address}, "return_to": {"/"}})
	if status != http.StatusSeeOther {
		return "", fmt.Errorf("the form was answered with %d", status)
	}
	select {
	case text := <-code:
		status, session := ask(base+"/_gatehouse/code", from, cookie, url.Values{"code": {text}})
		if status != http.StatusSeeOther {
			return "", fmt.Errorf("the code was answered with %d", status)
		}
		return session, nil
	case <-time.After(time.Minute):
		return "", fmt.Errorf("no mail came within a minute")
	}
}

// receive is a mail server, no more of one than sign-in needs.
func (s *site) receive() {
	var err error
	if s.mail, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = s.mail.Close() })
	go func() {
		for {
			conn, err := s.mail.Accept()
			if err != nil {
				return
			}
			go s.converse(conn)
		}
	}()
}

var codeOf = regexp.MustCompile(`(?m)^Subject: .*?(\d{6})`)

func (s *site) converse(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	lines.Split(bufio.ScanLines)
	to, answer := "", "220 localhost ESMTP"
	for {
		if _, err := io.WriteString(conn, answer+"\r\n"); err != nil || !lines.Scan() {
			return
		}
		answer = "250 ok"
		switch word, rest, _ := strings.Cut(lines.Text(), ":"); strings.ToUpper(word) {
		case "RCPT TO":
			to = strings.Trim(strings.Fields(rest)[0], "<>")
		case "DATA":
			_, _ = io.WriteString(conn, "354 go on\r\n")
			var text strings.Builder
			for lines.Scan() && lines.Text() != "." {
				text.WriteString(lines.Text() + "\n")
			}
			found := codeOf.FindStringSubmatch(text.String())
			if code, waits := s.codes.Load(strings.ToLower(to)); waits && found != nil {
				code.(chan string) <- found[1]
			}
		case "QUIT":
			_, _ = io.WriteString(conn, "221 bye\r\n")
			return
		}
	}
}

var client = &http.Client{
	Timeout:       time.Minute,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000},
}

// ask returns the status, 0 for no answer, and all cookies from then on.
func ask(address, from, cookie string, form url.Values) (status int, cookies string) {
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, ""
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if from != "" {
		r.Header.Set("X-Forwarded-For", from)
	}
	r.Header.Set("Cookie", cookie)
	// *.localhost is this machine.
	r.Host = r.URL.Host
	r.URL.Host = "127.0.0.1:" + r.URL.Port()
	resp, err := client.Do(r)
	if err != nil {
		return 0, ""
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	var kept []string
	for _, c := range resp.Cookies() {
		kept = append(kept, c.Name+"="+c.Value)
	}
	return resp.StatusCode, strings.Join(append(kept, cookie), "; ")
}

// traffic has another process ask for pages, and tells how long those took.
func (s *site) traffic(base, cookie string, d time.Duration) string {
	out, err := s.self("traffic", "GATEHOUSE_BENCH_BASE="+base, "GATEHOUSE_BENCH_COOKIE="+cookie, "GATEHOUSE_BENCH_FOR="+d.String()).Output()
	if err != nil {
		s.Error(err)
	}
	return string(bytes.TrimSpace(out))
}

// visit asks for 300 pages a second.
func visit(base, cookie, during string) {
	d, _ := time.ParseDuration(during)
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	bad, tick := 0, time.NewTicker(time.Second/300)
	for end := time.Now().Add(d); time.Now().Before(end); {
		<-tick.C
		all.Go(func() {
			began := time.Now()
			status, _ := ask(base+"/", "", cookie, nil)
			mu.Lock()
			defer mu.Unlock()
			if took = append(took, time.Since(began)); status != http.StatusOK {
				bad++
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	fmt.Printf("p50 %v p99 %v bad %d", took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond), bad)
}
