package pages

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// outbox is a sender that keeps what it is given.
type outboxes struct {
	mails chan outbox.Message
	mu    sync.Mutex
	fault error
}

func (o *outboxes) Name() string { return "outbox" }
func (o *outboxes) Send(_ context.Context, m outbox.Message) error {
	o.mu.Lock()
	fault := o.fault
	o.mu.Unlock()
	if fault == nil {
		o.mails <- m
	}
	return fault
}

func (o *outboxes) breakDown() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = &outbox.SendError{Fault: outbox.SenderDown, Reason: "no connection"}
}

// brokenStore fails on demand, as a full disk or a lost server does.
type brokenStore struct {
	store.Store
	mu     sync.Mutex
	broken bool
	full   bool // writes alone fail
}

func (s *brokenStore) fail(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

func (s *brokenStore) fill(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

func (s *brokenStore) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return store.ErrFull
	}
	return nil
}

func (s *brokenStore) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.View(ctx, fn)
}

func (s *brokenStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.err(); err != nil {
		return err
	}
	s.mu.Lock()
	full := s.full
	s.mu.Unlock()
	if full {
		return store.ErrFull
	}
	return s.Store.Update(ctx, fn)
}

// house is a whole instance: core, service, pages and a server in front.
type house struct {
	*testing.T
	core    *authcore.Core
	service *authcore.Service
	pages   *Pages
	outbox  *outboxes
	store   *brokenStore
	origin  origin.Origin
	portal  bool    // whether origin is one
	account Account // what its account page may show
	mu      sync.Mutex
	at      time.Time
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

type houseOption func(*authcore.Config, *Config)

func newHouse(t *testing.T, options ...houseOption) *house {
	t.Helper()
	h := &house{T: t, outbox: &outboxes{mails: make(chan outbox.Message, 1000)}, at: time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC)}
	h.origin, h.account = mustOrigin(t, "https://app.example.com"), Account{Whole: true}
	secret, err := keyring.NewSecret([]byte("0123456789abcdef0123456789abcdef"))
	check(t, err)
	h.store = &brokenStore{Store: memstore.New(memstore.WithNow(h.now))}
	h.core, err = authcore.Open(t.Context(), h.store, keyring.Secrets{Current: secret}, authcore.Options{Now: h.now})
	check(t, err)
	t.Cleanup(h.core.Close)
	mails, err := screen.NewMails(screen.MailConfig{FromAddress: "login@example.com", SubjectCode: true})
	check(t, err)
	cfg := authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule, Limits: limit.Default(),
		MayReceive: func(a address.Address) bool { return a.Domain() == "example.com" },
		Protects: func(o origin.Origin) bool {
			return o == h.origin || o.String() == "https://wiki.example.com"
		},
		Senders: []outbox.Sender{h.outbox}, Composer: mails,
	}
	page := Config{}
	for _, o := range options {
		o(&cfg, &page)
	}
	h.service = h.core.Use(cfg)
	t.Cleanup(h.service.Close)
	page.Service = h.service
	h.pages, err = New(page)
	check(t, err)
	return h
}

// ServeHTTP does what the gate does before it hands a request to the pages.
func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme := "https"
	if r.TLS == nil {
		scheme = "http"
	}
	origin, err := origin.New(scheme, r.Host)
	check(h.T, err)
	domain := ""
	if origin.Under(h.service.Domain()) {
		domain = h.service.Domain()
	}
	tokens := defaultCookies.SessionTokens(r, origin.Secure(), domain, nil)
	sess, _ := h.service.Sessions().Find(r.Context(), tokens, origin)
	if sess != nil {
		h.service.Sessions().Used(sess)
	}
	h.pages.ServeHTTP(w, r, Visit{Origin: origin, Client: netip.MustParseAddr("203.0.113.9"), Session: sess, SessionCookies: len(tokens), IsPortal: h.portal, Account: h.account})
}

// browser is a client with cookies of its own.
type browser struct {
	h       *house
	jar     http.CookieJar
	headers http.Header
	last    *http.Response
	body    string
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	check(h.T, err)
	return &browser{h: h, jar: jar, headers: http.Header{
		"Sec-Fetch-Site": {"same-origin"},
		"User-Agent":     {"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0"},
	}}
}

func (b *browser) do(method, target string, body io.Reader) *http.Response {
	b.h.Helper()
	u, err := url.Parse(b.h.origin.String())
	check(b.h.T, err)
	u, err = u.Parse(target)
	check(b.h.T, err)
	r := httptest.NewRequest(method, u.String(), body)
	if r.TLS != nil {
		r.TLS.HandshakeComplete = true
	}
	for name, values := range b.headers {
		r.Header[name] = values
	}
	if body != nil && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range b.jar.Cookies(u) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	b.last = w.Result()
	b.body = w.Body.String()
	b.jar.SetCookies(u, b.last.Cookies())
	return b.last
}

func (b *browser) get(path string) *http.Response {
	b.h.Helper()
	return b.do("GET", path, nil)
}

func (b *browser) post(path string, fields ...string) *http.Response {
	b.h.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return b.do("POST", path, strings.NewReader(form.Encode()))
}

// wants fails the test unless the last answer had this status and holds all of
// these texts.
func (b *browser) wants(status int, texts ...string) {
	b.h.Helper()
	if b.last.StatusCode != status {
		b.h.Fatalf("%d, want %d; location %q, body:\n%s", b.last.StatusCode, status, b.last.Header.Get("Location"), b.body)
	}
	for _, text := range texts {
		if !strings.Contains(b.body, text) {
			b.h.Fatalf("the page does not say %q:\n%s", text, b.body)
		}
	}
}

// wantsTo fails the test unless the last answer leads there.
func (b *browser) wantsTo(location string) {
	b.h.Helper()
	b.wants(http.StatusSeeOther)
	if got := b.last.Header.Get("Location"); got != location {
		b.h.Fatalf("leads to %q, want %q", got, location)
	}
}

// start asks for a code and returns the mail with it.
func (b *browser) start(email string, fields ...string) outbox.Message {
	b.h.Helper()
	b.post("/_gatehouse/login", append([]string{"email", email}, fields...)...)
	b.wantsTo("/_gatehouse/code")
	return b.h.mail()
}

// mail waits for the next mail.
func (h *house) mail() outbox.Message {
	h.Helper()
	select {
	case m := <-h.outbox.mails:
		return m
	case <-time.After(20 * time.Second):
		h.Fatal("no mail came")
		return outbox.Message{}
	}
}

// signIn signs the browser in.
func (b *browser) signIn(email string) {
	b.h.Helper()
	b.post("/_gatehouse/code", "code", b.start(email).Code)
	b.wantsTo("/")
}

func (b *browser) cookie(name string) *http.Cookie {
	for _, c := range b.last.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

func linkPath(m outbox.Message) string {
	u, _ := url.Parse(m.Link)
	return u.Path
}

func mustOrigin(t testing.TB, s string) origin.Origin {
	t.Helper()
	o, err := origin.Parse(s)
	check(t, err)
	return o
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
