package apitest

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Store is a store that can be made to fail, and to let others go first.
type Store struct {
	store.Store
	mu     sync.Mutex
	fail   error
	before func()
}

// FailWith makes later calls fail; nil mends it.
func (s *Store) FailWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *Store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail
}

// BeforeUpdate has do called once, before the next Update begins.
func (s *Store) BeforeUpdate(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = do
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.Store.View(ctx, fn)
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.failure(); err != nil {
		return err
	}
	s.mu.Lock()
	before := s.before
	s.before = nil
	s.mu.Unlock()
	if before != nil {
		before()
	}
	return s.Store.Update(ctx, fn)
}

// Dump returns all keys and values of the store, as text.
func (h *House) Dump() string {
	h.T.Helper()
	var b strings.Builder
	err := h.Store.View(h.T.Context(), func(tx store.Tx) error {
		items, err := tx.Scan("", "", 100_000)
		for _, item := range items {
			b.WriteString(item.Key + " " + string(item.Value) + "\n")
		}
		return err
	})
	if err != nil {
		h.T.Fatal(err)
	}
	return b.String()
}

// Log keeps what was logged.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Answer is an answer, read whole.
type Answer struct {
	Status int
	Header http.Header
	Text   string
	JSON   map[string]any // nil if the body is not a JSON object
}

// Get returns a value inside the JSON, by names joined with dots; nil if it is
// not there.
func (a Answer) Get(path string) any {
	var v any = a.JSON
	for name := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// String is Get for text; "" for anything else.
func (a Answer) String(path string) string {
	s, _ := a.Get(path).(string)
	return s
}

// Mail keeps mails.
type Mail struct {
	mu   sync.Mutex
	sent []outbox.Message
	fail error
}

// Name implements outbox.Sender.
func (*Mail) Name() string { return "mail" }

// Send implements outbox.Sender.
func (m *Mail) Send(_ context.Context, msg outbox.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.sent = append(m.sent, msg)
	return nil
}

// FailWith makes later mails fail; nil mends it.
func (m *Mail) FailWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// Sent returns the mails so far.
func (m *Mail) Sent() []outbox.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]outbox.Message(nil), m.sent...)
}

// Texts keeps text messages.
type Texts struct {
	mu   sync.Mutex
	sent []outbox.Text
}

// Name implements outbox.TextSender.
func (*Texts) Name() string { return "texts" }

// SendText implements outbox.TextSender.
func (m *Texts) SendText(_ context.Context, t outbox.Text) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = append(m.sent, t)
	return nil
}

// Sent returns the text messages so far.
func (m *Texts) Sent() []outbox.Text {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]outbox.Text(nil), m.sent...)
}
