package authcore_test

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// house is a whole instance on a store in memory, with a sender that keeps what
// it is given.
type house struct {
	t       testing.TB
	store   store.Store
	core    *authcore.Core
	service *authcore.Service
	config  authcore.Config
	sender  *recorder
	secrets keyring.Secrets
	logger  *slog.Logger // nil: no log

	mu     sync.Mutex
	clock  func() time.Time // nil: time.Now
	ahead  time.Duration    // of the clock
	events []event.Event
}

var (
	site  = mustOrigin("https://app.example.com")
	other = mustOrigin("https://wiki.example.com")
	alice = mustAddress("alice@example.com")
	mal   = mustAddress("mallory@evil.test")
)

func mustCallbacks(t testing.TB, patterns ...string) origin.Callbacks {
	t.Helper()
	c, err := origin.ParseCallbacks(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustOrigin(s string) origin.Origin {
	o, err := origin.Parse(s)
	if err != nil {
		panic(err)
	}
	return o
}

func mustAddress(s string) address.Address {
	a, err := address.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

func secretOf(t testing.TB, c byte) keyring.Secret {
	t.Helper()
	s, err := keyring.NewSecret([]byte(strings.Repeat(string(c), keyring.MinSecretBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newHouse(t testing.TB) *house {
	h := &house{t: t, store: memstore.New(), sender: &recorder{}, secrets: keyring.Secrets{Current: secretOf(t, 'a')}}
	h.config = authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule, Limits: limit.Default(),
		MayReceive: func(a address.Address) bool { return a.Domain() == "example.com" },
		Protects:   func(o origin.Origin) bool { return o == site || o == other },
		Senders:    []outbox.Sender{h.sender}, Composer: composer{},
		Observe: func(e event.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		},
	}
	h.open()
	return h
}

func (h *house) open() {
	h.t.Helper()
	core, err := authcore.Open(h.t.Context(), h.store, h.secrets, authcore.Options{Now: h.now, Logger: h.logger})
	if err != nil {
		h.t.Fatal(err)
	}
	h.core, h.service = core, core.Use(h.config)
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clock != nil {
		return h.clock().Add(h.ahead)
	}
	return time.Now().Add(h.ahead)
}

// setClock puts the clock of the house ahead of the real one, or behind it.
func (h *house) setClock(ahead time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ahead = ahead
}

func (h *house) close() {
	h.service.Close()
	h.core.Close()
}

// reload takes the configuration into use as it is now.
func (h *house) reload() {
	old := h.service
	h.service = h.core.Use(h.config)
	old.Close()
}

func (h *house) reopen() { h.reopenOn(h.store) }

func (h *house) reopenOn(store store.Store) {
	h.t.Helper()
	h.close()
	h.store = store
	h.open()
}

type composer struct{}

func (composer) Compose(l outbox.Letter) (outbox.Message, error) {
	return outbox.Message{To: l.To, FromName: l.Into, Subject: l.Code, Text: l.Link, HTML: l.NotMe}, nil
}

// recorder is a sender that keeps messages, or fails as told.
type recorder struct {
	mu   sync.Mutex
	sent []outbox.Message
	fail error
	name string
}

func (r *recorder) Name() string { return cmp.Or(r.name, "recorder") }

func (r *recorder) Send(_ context.Context, m outbox.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.sent = append(r.sent, m)
	return nil
}

func (r *recorder) failWith(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent)
}

// last waits until everything that could be sent was, and returns the newest.
func (r *recorder) last(t testing.TB) outbox.Message {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sent) == 0 {
		t.Fatal("no mail was sent")
	}
	return r.sent[len(r.sent)-1]
}

// code is that of the newest mail with one: the note of a new device may come after it.
func (r *recorder) code(t testing.TB) string {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range slices.Backward(r.sent) {
		if m.Code != "" {
			return m.Code
		}
	}
	t.Fatal("no mail with a code was sent")
	return ""
}

// tab is a browser: it keeps its cookies.
type tab struct {
	h *house
	session.Browser
}

func (h *house) browser() *tab {
	return &tab{h, session.Browser{Origin: site, Client: netip.MustParseAddr("192.0.2.1"), UserAgent: "Test/1"}}
}

func (b *tab) begin(a address.Address) authcore.Begun {
	b.h.t.Helper()
	out, err := b.h.service.Flows().Begin(b.h.t.Context(), b.Browser, authcore.Start{
		Address: a, ReturnTo: origin.ParseReturnTo("/page", b.Origin, b.h.config.Protects), Language: "en",
	})
	if err != nil {
		b.h.t.Fatal(err)
	}
	if out.Verdict == event.Accepted {
		b.Flow = out.FlowCookie
	}
	return out
}

func (b *tab) answer(code string) authcore.Answer {
	b.h.t.Helper()
	return b.took(b.h.service.Flows().AnswerCode(b.h.t.Context(), b.Browser, "", code))
}

func (b *tab) link(token string) authcore.Answer {
	b.h.t.Helper()
	return b.took(b.h.service.Flows().AnswerLink(b.h.t.Context(), b.Browser, token))
}

func (b *tab) resend() authcore.Answer {
	b.h.t.Helper()
	return b.took(b.h.service.Flows().Resend(b.h.t.Context(), b.Browser, ""))
}

func (b *tab) took(out authcore.Answer, err error) authcore.Answer {
	b.h.t.Helper()
	if err != nil {
		b.h.t.Fatal(err)
	}
	if out.SignIn != nil {
		b.Session, b.Device = out.SignIn.Session, out.SignIn.DeviceCookie
	}
	return out
}

func (b *tab) signIn(a address.Address) *authcore.SignIn {
	b.h.t.Helper()
	want(b.h.t, b.begin(a).Verdict, event.Accepted)
	out := b.answer(b.h.sender.code(b.h.t))
	want(b.h.t, out.Verdict, event.Accepted)
	return out.SignIn
}

func tokenOf(m outbox.Message) string { return m.Link[strings.LastIndexByte(m.Link, '/')+1:] }

// wrong returns a code that is not code.
func wrong(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

func want[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// run tests in a bubble of fake time, with a house that is closed at the end.
func run(t *testing.T, test func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		defer func() { h.close() }()
		test(t, h)
	})
}
