// Package apitest is a whole instance for tests of the dialects: a store in
// memory, senders that keep what they are given, and an HTTP server whose
// clients can be anybody.
//
// State of the process: an RSA key that all its houses share, and what it has read of the
// OpenAPI documents.
package apitest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Keys of the app "shop", and a live one of the app "other".
const (
	LiveKey  = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef"
	TestKey  = "sk_test_0123456789abcdef0123456789abcdef0123456789abcdef"
	LivePub  = "pk_live_0123456789abcdef0123456789abcdef0123456789abcdef"
	TestPub  = "pk_test_0123456789abcdef0123456789abcdef0123456789abcdef"
	OtherKey = "sk_live_ffffffffffffffffffffffffffffffffffffffffffffffff"
)

// House is an instance with one API.
type House struct {
	T       testing.TB
	Core    *authcore.Core
	Service *authcore.Service
	Config  authcore.Config
	App     *apps.App // "shop"
	Alone   bool      // there is no app "other"
	Nodes   bool      // others use the store, too
	Server  *httptest.Server
	Mail    *Mail
	Texts   *Texts
	Log     *Log // what the dialects and the core logged
	Origin  origin.Origin
	Store   *Store

	// Undescribed is a path that a setting has made, which no document knows.
	Undescribed string

	mu      sync.Mutex
	offset  time.Duration
	client  netip.Addr
	events  []event.Event
	handler *api.Handler

	dialects []api.Dialect
}

// New makes a House. change may alter the app and the configuration before they
// are used; dialects makes what is served.
func New(t testing.TB, change func(*House), dialects func(*House) []api.Dialect) *House {
	t.Helper()
	h := &House{T: t, Mail: &Mail{}, Texts: &Texts{}, Log: &Log{}, client: netip.MustParseAddr("192.0.2.1")}
	h.App = &apps.App{ID: "shop", Name: "Shop", Keys: Keys(t, LiveKey, TestKey, LivePub, TestPub), AutoCreate: true}
	h.Config = authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule, Limits: limit.Default(),
		MayReceive: func(address.Address) bool { return true },
		Protects:   func(o origin.Origin) bool { return o == h.Origin },
		Senders:    []outbox.Sender{h.Mail}, Texts: []outbox.TextSender{h.Texts},
		Composer: mails(t),
		Observe:  h.observe,
	}
	if change != nil {
		change(h)
	}
	list := []*apps.App{h.App}
	if !h.Alone {
		list = append(list, &apps.App{ID: "other", Keys: Keys(t, OtherKey)})
	}
	apps, err := apps.NewList(list...)
	if err != nil {
		t.Fatal(err)
	}
	h.Config.Apps = apps
	h.open(dialects)
	return h
}

func mails(t testing.TB) *screen.Mails {
	t.Helper()
	m, err := screen.NewMails(screen.MailConfig{FromAddress: "login@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// FromAnotherNode is a signed token as another node of the instance could have made it
// a moment ago: with a key that this one does not know.
func FromAnotherNode(t testing.TB, token string) string {
	t.Helper()
	head, rest, _ := strings.Cut(token, ".")
	plain, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]string
	if err := json.Unmarshal(plain, &header); err != nil {
		t.Fatal(err)
	}
	kid := header["kid"]
	header["kid"] = kid[:len(kid)-len(keyring.RandomToken(32))] + keyring.RandomToken(32)
	if plain, err = json.Marshal(header); err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(plain) + "." + rest
}

// Keys reads keys.
func Keys(t testing.TB, keys ...string) []apps.Key {
	t.Helper()
	var out []apps.Key
	for _, text := range keys {
		key, err := apps.ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, key)
	}
	return out
}

// secrets are those of every house.
var secrets = sync.OnceValue(func() keyring.Secrets {
	secret, err := keyring.NewSecret([]byte(strings.Repeat("s", keyring.MinSecretBytes)))
	if err != nil {
		panic(err)
	}
	return keyring.Secrets{Current: secret}
})

// rsaKey is one that all houses have, as a store keeps it: to make one takes longer
// than most tests.
var rsaKey = sync.OnceValues(func() (item store.Item, err error) {
	engine := memstore.New()
	keys := keyring.NewKeys(keyring.Config{Store: engine, Secrets: secrets(), Now: time.Now, Rotated: func(keyring.RotationReason) {}})
	if _, err = keys.Public(context.Background(), keyring.Kind{Alg: "RS256", Typ: "JWT"}); err != nil {
		return item, err
	}
	err = engine.View(context.Background(), func(tx store.Tx) error {
		found, err := tx.Scan(store.KeySigning, "", 1)
		item = found[0]
		return err
	})
	return item, err
})

func (h *House) open(dialects func(*House) []api.Dialect) {
	made, err := rsaKey()
	if err != nil {
		h.T.Fatal(err)
	}
	h.Store = &Store{Store: memstore.New(memstore.WithNow(h.Now))}
	var engine store.Store = h.Store
	if h.Nodes {
		engine = &storetest.Away{Store: engine}
	}
	log := h.Logger()
	h.Core, err = authcore.Open(h.T.Context(), engine, secrets(), authcore.Options{Now: h.Now, Logger: log})
	if err == nil {
		err = h.Store.Store.Update(h.T.Context(), func(tx store.Tx) error {
			tx.Put(made.Key, made.Value, made.Expires)
			return nil
		})
	}
	if err != nil {
		h.T.Fatal(err)
	}
	h.Service = h.Core.Use(h.Config)
	// Started last: clients in other processes share no memory order with us.
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visit := api.Visit{Origin: h.Origin, Named: h.Origin, Client: h.clientAddr()}
		if !h.handler.Serve(w, r, visit) {
			h.handler.NotFound(w, r, visit)
		}
	}))
	h.Origin, err = origin.Parse("http://" + h.Server.Listener.Addr().String())
	if err != nil {
		h.T.Fatal(err)
	}
	h.dialects = dialects(h)
	h.handler = api.NewHandler(h.dialects...)
	h.Server.Start()
	h.T.Cleanup(func() {
		h.Server.Close()
		h.Service.Close()
		h.Core.Close()
	})
}

// Parts are what dialects are made of.
func (h *House) Parts() api.Config {
	h.T.Helper()
	shown, err := pages.New(pages.Config{Service: h.Service, Log: h.Logger()})
	if err != nil {
		h.T.Fatal(err)
	}
	return api.Config{Service: h.Service, Pages: shown, Log: h.Logger()}
}

// Logger is for the dialects.
func (h *House) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(h.Log, nil)) }

// Now is the instance's time: the real one, and what Sleep has added.
func (h *House) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.offset)
}

// Sleep moves the instance's clock.
func (h *House) Sleep(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offset += d
}

// From makes later requests come from another client.
func (h *House) From(addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.client = netip.MustParseAddr(addr)
}

func (h *House) clientAddr() netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.client
}

func (h *House) observe(e event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// Events returns what was reported with this name.
func (h *House) Events(name string) []event.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []event.Event
	for _, e := range h.events {
		if e.Name == name {
			out = append(out, e)
		}
	}
	return out
}

// Do sends a request. body is text as it stands, url.Values for a form, nil for
// none, or anything else as JSON. Headers are pairs of name and value. A form
// comes from a page of this origin if they do not say from where.
func (h *House) Do(method, path string, body any, headers ...string) Answer {
	h.T.Helper()
	var reader io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
		kind = ""
	case string:
		reader = strings.NewReader(b)
	case url.Values:
		reader, kind = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		data, err := json.Marshal(body)
		if err != nil {
			h.T.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(h.T.Context(), method, h.Server.URL+path, reader)
	if err != nil {
		h.T.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Content-Type" {
			r.Header.Del("Content-Type")
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	if _, form := body.(url.Values); form && r.Header["Origin"] == nil && r.Header["Referer"] == nil && r.Header["Sec-Fetch-Site"] == nil {
		r.Header.Set("Origin", h.Origin.String())
	}
	return h.send(r)
}

var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (h *House) send(r *http.Request) Answer {
	h.T.Helper()
	resp, err := client.Do(r)
	if err != nil {
		h.T.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.T.Fatal(err)
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Text: string(data)}
	if json.Unmarshal(data, &a.JSON) != nil {
		a.JSON = nil
	}
	h.conform(r, a)
	return a
}

// Quiet waits until nothing is left to send.
func (h *House) Quiet() {
	h.T.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for h.Core.Status().MailWaiting > 0 {
		if time.Now().After(deadline) {
			h.T.Fatal("messages still wait after 10 s")
		}
		time.Sleep(time.Millisecond)
	}
}

// LastMail waits for the queue and returns the newest mail.
func (h *House) LastMail() outbox.Message {
	h.T.Helper()
	h.Quiet()
	sent := h.Mail.Sent()
	if len(sent) == 0 {
		h.T.Fatal("no mail was sent")
	}
	return sent[len(sent)-1]
}

// Prove makes the app's person with address prove it. No mail is sent.
func (h *House) Prove(address address.Address) {
	h.T.Helper()
	caller := apps.Caller{App: h.App}
	asked, err := h.Service.Apps().Ask(h.T.Context(), apps.Ask{
		Caller: caller, Whom: person.Whom{Email: address}, Slot: "test", Origin: h.Origin, Known: apps.Terms{Lifetime: time.Minute},
	})
	if err != nil || asked.Verdict != event.Accepted {
		h.T.Fatal(asked.Verdict, err)
	}
	proved, err := h.Service.Apps().Prove(h.T.Context(), apps.Proof{Caller: caller, Slot: "test", Token: asked.Token, Origin: h.Origin})
	if err != nil || proved.Verdict != event.Accepted {
		h.T.Fatal(proved.Verdict, err)
	}
	h.Sleep(time.Second)
}

// AddPhone gives the app's person with address a number.
func (h *House) AddPhone(addr address.Address, number address.Phone) {
	h.T.Helper()
	_, v, err := h.Service.Apps().UpdatePerson(h.T.Context(), person.Realm{App: h.App.ID}, person.Whom{Email: addr}, person.Draft{Phones: []address.Phone{number}})
	if err != nil || v != event.Accepted {
		h.T.Fatal(v, err)
	}
}

// LastText waits for the queue and returns the newest text message.
func (h *House) LastText() outbox.Text {
	h.T.Helper()
	h.Quiet()
	sent := h.Texts.Sent()
	if len(sent) == 0 {
		h.T.Fatal("no text message was sent")
	}
	return sent[len(sent)-1]
}
