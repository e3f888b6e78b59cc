package caddymodule

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// Benchmarks measure what the gate costs in CPU time of the server's process,
// which holds still on a busy machine where requests per second do not. The server is a child process (this test binary, run again);
// load and upstream are in this one and don't count. The baseline is another
// site of the same process with no gate.

// measured is one server process under measurement.
type measured struct {
	t         testing.TB
	in        io.WriteCloser
	out       *bufio.Reader
	cmd       *exec.Cmd
	off, on   string // base URLs: without and with the gate
	same      string // without the gate, and with the headers that it sets
	dir       string
	client    *http.Client
	upstreams []*httptest.Server
}

// childEnv turns a run of the test binary into the server.
const childEnv = "GATEHOUSE_BENCH_CONFIG"

// TestMeasuredServer is the server when benchmarks run this binary again; by
// itself it has nothing to test.
func TestMeasuredServer(t *testing.T) {
	config := os.Getenv(childEnv)
	if config == "" {
		return
	}
	text, err := os.ReadFile(config)
	must(t, err)
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": config})
	must(t, err)
	must(t, caddy.Load(adapted, true))
	s := &measuredServer{codes: map[string]string{}}
	s.sent.L = &s.mu
	if app, err := caddy.ActiveContext().AppIfConfigured("gatehouse"); err == nil {
		run, err := app.(*App).house.Await(t.Context())
		must(t, err)
		cfg, err := app.(*App).serviceConfig()
		must(t, err)
		cfg.Composer, err = app.(*App).composer()
		must(t, err)
		cfg.Senders = []outbox.Sender{s}
		s.service = run.Core.Use(cfg) // the newest one's senders get the mail
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(s.answer(lines.Text()))
	}
	_ = caddy.Stop()
}

// measuredServer answers questions on standard input and is a sender that
// discards mails: only the code, or the link of one without a code, is kept until
// it is asked for.
type measuredServer struct {
	service *authcore.Service
	mu      sync.Mutex
	sent    sync.Cond // a mail
	codes   map[string]string
}

func (s *measuredServer) Name() string { return "discard" }

func (s *measuredServer) Send(_ context.Context, m outbox.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[m.To.String()] = cmp.Or(m.Code, m.Link)
	s.sent.Broadcast()
	return nil
}

func (s *measuredServer) answer(question string) string {
	word, rest, _ := strings.Cut(question, " ")
	switch word {
	case "cpu":
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return fmt.Sprint(u.Utime.Nano() + u.Stime.Nano())
	case "rss":
		text, _ := os.ReadFile("/proc/self/status")
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "RssAnon:" {
				return fields[1]
			}
		}
	case "code":
		s.mu.Lock()
		defer s.mu.Unlock()
		for s.codes[rest] == "" {
			s.sent.Wait()
		}
		code := s.codes[rest]
		delete(s.codes, rest)
		return code
	case "sessions":
		n := 0
		_, _ = fmt.Sscan(rest, &n)
		if err := s.makeSessions(n); err != nil {
			return err.Error()
		}
		return "made"
	}
	return "?"
}

// makeSessions signs n people in, without HTTP.
func (s *measuredServer) makeSessions(n int) error {
	site, err := origin.Parse("http://localhost")
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Pointer[error]
	for range 64 {
		all.Go(func() {
			for i := next.Add(1); int(i) <= n; i = next.Add(1) {
				address := fmt.Sprintf("person%d@example.com", i)
				if err := s.makeSession(address, site); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	all.Wait()
	if p := failed.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *measuredServer) makeSession(addr string, site origin.Origin) error {
	a, err := address.Parse(addr)
	if err != nil {
		return err
	}
	b := session.Browser{Origin: site}
	begun, err := s.service.Flows().Begin(context.Background(), b, authcore.Start{Address: a})
	if err != nil || begun.Verdict != event.Accepted {
		return fmt.Errorf("begin: %v %w", begun.Verdict, err)
	}
	b.Flow = begun.FlowCookie
	answered, err := s.service.Flows().AnswerCode(context.Background(), b, "", s.answer("code "+addr))
	if err != nil || answered.SignIn == nil {
		return fmt.Errorf("answer: %v %w", answered.Verdict, err)
	}
	return nil
}

// upstream starts an app and returns its address. Each site has one of its own:
// the same app with a gate and without is refused.
func (m *measured) upstream(app http.HandlerFunc) string {
	upstream := httptest.NewServer(app)
	m.upstreams = append(m.upstreams, upstream)
	return upstream.Listener.Addr().String()
}

// startMeasured starts a server; gate is false for bare Caddy.
func startMeasured(t testing.TB, dir string, gate bool) *measured {
	m := &measured{t: t, dir: dir}
	body := strings.Repeat("x", 1024)
	app := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	for _, base := range []*string{&m.off, &m.on, &m.same} {
		*base = "http://localhost:" + caddytest.FreePort(t)
	}
	config := fmt.Sprintf("{\n\tadmin off\n\tlog {\n\t\tlevel ERROR\n\t}\n%s}\n%s {\n\treverse_proxy %s\n}\n", "%s", m.off, m.upstream(app))
	global := ""
	if gate {
		global = fmt.Sprintf("\tgatehouse {\n\t\tmail log\n\t\tstore badger %s\n\t\tsecret %s\n\t\tlimits {\n\t\t\tper_client 100000000 10m\n\t\t\tglobal 100000000 1m\n\t\t}\n\t}\n",
			filepath.Join(dir, "store"), strings.Repeat("s", 32))
		config += fmt.Sprintf("%s {\n\tgatehouse any\n\treverse_proxy %s\n}\n", m.on, m.upstream(app))
		config += fmt.Sprintf("%s {\n\trequest_header -Cookie\n\trequest_header Remote-User visitor1@example.com\n\trequest_header Remote-Email visitor1@example.com\n\treverse_proxy %s\n}\n", m.same, m.upstream(app))
	}
	path := filepath.Join(dir, "Caddyfile")
	must(t, os.WriteFile(path, fmt.Appendf(nil, config, global), 0o600))
	m.start(path)
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(addr)
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
	}}
	m.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return m
}

func (m *measured) start(config string) {
	m.cmd = exec.Command(os.Args[0], "-test.run=^TestMeasuredServer$")
	if profile := os.Getenv("GATEHOUSE_BENCH_PROFILE"); profile != "" {
		m.cmd.Args = append(m.cmd.Args, "-test.cpuprofile="+profile)
	}
	m.cmd.Env = append(os.Environ(), childEnv+"="+config, "HOME="+m.dir, "XDG_DATA_HOME="+m.dir, "XDG_CONFIG_HOME="+m.dir)
	in, err := m.cmd.StdinPipe()
	must(m.t, err)
	out, err := m.cmd.StdoutPipe()
	must(m.t, err)
	m.cmd.Stderr = os.Stderr
	must(m.t, m.cmd.Start())
	m.in, m.out = in, bufio.NewReader(out)
	for line := ""; line != "ready"; line = m.line() {
	}
}

func (m *measured) line() string {
	line, err := m.out.ReadString('\n')
	if err != nil {
		m.t.Fatalf("the server under measurement is gone: %v", err)
	}
	return strings.TrimSpace(line)
}

func (m *measured) ask(question string) string {
	_, err := io.WriteString(m.in, question+"\n")
	must(m.t, err)
	return m.line()
}

func (m *measured) number(question string) (n int64) {
	_, err := fmt.Sscan(m.ask(question), &n)
	must(m.t, err)
	return n
}

func (m *measured) stop() {
	_ = m.in.Close()
	_ = m.cmd.Wait()
	for _, upstream := range m.upstreams {
		upstream.Close()
	}
}

// signIn goes through the pages as a browser does, four requests, and returns
// the Cookie header that the app's pages are then asked with.
func (m *measured) signIn(email string) string {
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Transport: m.client.Transport, Jar: jar, CheckRedirect: m.client.CheckRedirect}
	m.must(client, "GET", "/_gatehouse/login", nil, 200)
	m.must(client, "POST", "/_gatehouse/login", url.Values{"email": {email}, "return_to": {"/"}}, 303)
	m.must(client, "GET", "/_gatehouse/code", nil, 200)
	m.must(client, "POST", "/_gatehouse/code", url.Values{"code": {m.code(email)}}, 303)
	u, _ := url.Parse(m.on)
	for _, c := range jar.Cookies(u) {
		if c.Name == "gatehouse" {
			return c.Name + "=" + c.Value
		}
	}
	m.t.Fatal("no session cookie")
	return ""
}

var asking sync.Mutex

func (m *measured) code(email string) string {
	asking.Lock()
	defer asking.Unlock()
	return m.ask("code " + email)
}

func (m *measured) must(client *http.Client, method, path string, form url.Values, status int) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, _ := http.NewRequest(method, m.on+path, body)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != status {
		m.t.Fatalf("%s %s: %d, want %d", method, path, resp.StatusCode, status)
	}
}

// load asks base for n answers over 32 connections and returns the server's CPU
// time per request.
func (m *measured) load(base string, n int, cookies []string) time.Duration {
	before := m.number("cpu")
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for i := next.Add(1); int(i) <= n; i = next.Add(1) {
				r, _ := http.NewRequest("GET", base+"/", nil)
				r.Header.Set("Cookie", cookies[int(i)%len(cookies)])
				resp, err := m.client.Do(r)
				if err != nil {
					m.t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					m.t.Errorf("%s answered %d", base, resp.StatusCode)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Duration(m.number("cpu")-before) / time.Duration(n)
}

// contest measures targets, each with n requests in a round, and returns the
// shares of base by round. Rounds are short and many, and their order changes, so
// that noisy neighbours and the garbage of one target hit all alike; what counts
// is the median.
func contest(rounds, n int, base string, targets map[string]func(n int) time.Duration) map[string][]float64 {
	names := slices.Collect(maps.Keys(targets))
	ratios := map[string][]float64{}
	for range rounds {
		took := map[string]time.Duration{}
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			took[name] = targets[name](n)
		}
		for _, name := range names {
			ratios[name] = append(ratios[name], float64(took[name])/float64(took[base]))
		}
	}
	return ratios
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
