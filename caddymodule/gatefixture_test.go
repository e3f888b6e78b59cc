package caddymodule

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// fixture is an app that has started, on a store in memory, without a Caddy
// around it. Tests make gates in it and hand them requests.
type fixture struct {
	t     testing.TB
	app   *App
	run   *gate.Running
	store *breakable
	nodes bool // others use the store, too
	box   *mailbox
	clock *clock
	logs  *observer.ObservedLogs
}

const testSite = "https://app.example.com"

type fixtureOption func(*fixture, *authcore.Config)

// newFixture knows the groups staff (alice, bob) and admins (alice).
func newFixture(t testing.TB, options ...fixtureOption) *fixture {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	f := &fixture{t: t, store: &breakable{Store: memstore.New()}, box: &mailbox{codes: map[address.Address]chan string{}}, clock: &clock{}, logs: logs}
	f.app = &App{
		log: zap.New(core), lists: policy.NewLists(nil),
		Groups: map[string][]string{"staff": {"alice@example.com", "bob@example.com"}, "admins": {"alice@example.com"}},
	}
	f.app.furnish()
	f.app.house.Log = slog.New(zapslog.NewHandler(core, zapslog.AddStacktraceAt(slog.Level(127))))
	named, err := f.app.parseGroups()
	must(t, err)
	f.app.groups, err = policy.NewGroups(named, f.app.lists)
	must(t, err)
	wide := []limit.Rate{{Count: 1_000_000, Per: time.Minute}}
	cfg := authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule,
		Limits:     limit.Limits{PerRecipient: wide, PerClient: wide, Global: wide, Failures: wide},
		MayReceive: func(address.Address) bool { return true },
		Protects:   f.app.protects, Rules: f.app.rules,
		Senders: []outbox.Sender{f.box}, Composer: f.box,
	}
	f.run = &gate.Running{Groups: f.app.groups, Lists: f.app.lists}
	for _, option := range options {
		option(f, &cfg)
	}
	f.start(cfg)
	return f
}

func (f *fixture) start(cfg authcore.Config) {
	secret, err := keyring.NewSecret([]byte(strings.Repeat("s", keyring.MinSecretBytes)))
	must(f.t, err)
	var engine store.Store = f.store
	if f.nodes {
		engine = &storetest.Away{Store: engine}
	}
	f.run.Core, err = authcore.Open(context.Background(), engine, keyring.Secrets{Current: secret}, authcore.Options{Now: f.clock.now})
	must(f.t, err)
	f.run.Service = f.run.Core.Use(cfg)
	f.run.Pages, err = pages.New(pages.Config{Service: f.run.Service, Groups: f.app.groups})
	must(f.t, err)
	f.app.house.Open(f.run)
	f.t.Cleanup(func() {
		f.run.Service.Close()
		f.run.Core.Close()
	})
}

// gate makes a gate at app.example.com, as change has it.
func (f *fixture) gate(change func(*Gate)) *Gate {
	f.t.Helper()
	g := &Gate{Allow: []string{"*@example.com"}, app: f.app}
	if change != nil {
		change(g)
	}
	must(f.t, g.parse(f.app.groups))
	if g.guard.Place == nil {
		g.guard.Place = &routes.Place{Place: gate.Place{Key: f.t.Name(), Hosts: []string{"app.example.com"}, Origins: g.guard.Origins}}
	}
	g.gate.House = &f.app.house
	g.stand(g.guard.Place, g.guard.Place)
	f.app.gates = append(f.app.gates, g)
	return g
}

// signIn returns the session cookie of somebody who has signed in at site.
func (f *fixture) signIn(email, site string) string {
	f.t.Helper()
	return cookieName(mustOrigin(f.t, site), f.run.Domain) + "=" + f.signInFor(email, site).Token
}

func (f *fixture) signInFor(email, site string) *authcore.SignIn {
	f.t.Helper()
	address, err := address.Parse(email)
	must(f.t, err)
	return signIn(f.t, f.run.Service, address, mustOrigin(f.t, site), func() string { return f.box.code(address) })
}

func signIn(t testing.TB, s *authcore.Service, address address.Address, at origin.Origin, code func() string) *authcore.SignIn {
	t.Helper()
	b := session.Browser{Origin: at, Client: netip.MustParseAddr("192.0.2.7")}
	begun, err := s.Flows().Begin(context.Background(), b, authcore.Start{Address: address})
	must(t, err)
	b.Flow = begun.FlowCookie
	answer, err := s.Flows().AnswerCode(context.Background(), b, begun.Flow, code())
	must(t, err)
	if answer.SignIn == nil {
		t.Fatalf("signing %s in: %s", address.Masked(), answer.Verdict)
	}
	return answer.SignIn
}

func cookieName(o origin.Origin, domain string) string {
	switch {
	case !o.Secure():
		return "gatehouse"
	case domain != "" && o.Under(domain):
		return "__Secure-gatehouse"
	}
	return "__Host-gatehouse"
}

// handler is g in front of next, as Caddy would call it for a request that came in
// on a port. The client's address is 192.0.2.7; vars changes Caddy's variables, to
// play a trusted proxy.
func handler(g caddyhttp.MiddlewareHandler, next caddyhttp.Handler, vars ...func(map[string]any)) http.Handler {
	inner := prepared(g, next, vars...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(http.LocalAddrContextKey) == nil {
			r = withLocalPort(r, 0)
		}
		inner.ServeHTTP(w, r)
	})
}

// nowhere is h as Caddy would call it for a request that another handler made.
func nowhere(h caddyhttp.Handler) http.Handler {
	return prepared(caddyhttp.MiddlewareHandler(passing{}), h)
}

// passing is a handler that does nothing.
type passing struct{}

func (passing) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

func prepared(g caddyhttp.MiddlewareHandler, next caddyhttp.Handler, vars ...func(map[string]any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
		table := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
		table[caddyhttp.ClientIPVarKey] = "192.0.2.7"
		for _, change := range vars {
			change(table)
		}
		if err := g.ServeHTTP(w, r, next); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
}

// app records what reaches it and answers 200.
type recordingApp struct {
	mu       sync.Mutex
	requests []*http.Request
}

func (a *recordingApp) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	a.mu.Lock()
	a.requests = append(a.requests, r)
	a.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	return nil
}

// last returns the last request, nil if none came.
func (a *recordingApp) last() *http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.requests) == 0 {
		return nil
	}
	return a.requests[len(a.requests)-1]
}

// ask sends a request with headers ("Name: value") to a gate, and returns the
// answer and what reached the app.
func ask(g caddyhttp.MiddlewareHandler, method, target string, headers ...string) (*httptest.ResponseRecorder, *http.Request) {
	app := &recordingApp{}
	w := httptest.NewRecorder()
	handler(g, app).ServeHTTP(w, request(method, target, headers...))
	return w, app.last()
}

func request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value) // as it stands, not made canonical
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustOrigin(t testing.TB, s string) origin.Origin {
	t.Helper()
	o, err := origin.Parse(s)
	must(t, err)
	return o
}

// mailbox is sender and composer in one: it keeps the codes.
type mailbox struct {
	mu    sync.Mutex
	codes map[address.Address]chan string
}

func (b *mailbox) channel(a address.Address) chan string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.codes[a] == nil {
		b.codes[a] = make(chan string, 100)
	}
	return b.codes[a]
}

func (b *mailbox) code(a address.Address) string { return <-b.channel(a) }

func (b *mailbox) Compose(l outbox.Letter) (outbox.Message, error) {
	return outbox.Message{To: l.To, Code: l.Code}, nil
}

func (b *mailbox) Name() string { return "mailbox" }

func (b *mailbox) Send(_ context.Context, m outbox.Message) error {
	b.channel(m.To) <- m.Code
	return nil
}

// clock is real time plus what a test adds.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// breakable is a store that can be switched off.
type breakable struct {
	store.Store
	mu     sync.Mutex
	broken bool
}

func (s *breakable) breakDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = true
}

func (s *breakable) View(ctx context.Context, fn func(store.Tx) error) error {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken {
		return store.ErrClosed
	}
	return s.Store.View(ctx, fn)
}

// joined is a handler that works with the app.
func joined[H joiner](app *App, h H) H {
	h.join(app)
	return h
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

// withLocalPort is r as if it had come in on port.
func withLocalPort(r *http.Request, port int) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{Port: port})))
}
