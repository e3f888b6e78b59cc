// Package smswebhook hands text messages to a service of one's own: a signed
// POST for each.
//
//	POST /send
//	Content-Type: application/json
//	webhook-id: 9f2c…           the same for every attempt at one message
//	webhook-timestamp: 1795392000
//	webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=
//
//	{"type":"sms","to":"+15005550009","text":"482913 is your Shop code. …"}
//
// The signature is that of the Standard Webhooks specification, so that its
// libraries verify it: HMAC-SHA-256 over id, timestamp and body, joined with
// dots, in base64. Any answer of 2xx means that the service took the message.
//
// It keeps nothing.
package smswebhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/outgoing"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// Config says where to send.
type Config struct {
	URL     string
	Secret  outbox.Credential // whsec_ and base64, or any text; at least 24 bytes
	Timeout time.Duration     // zero: 20 s
}

// minSecretBytes is the least length of a secret: what the specification asks
// for.
const minSecretBytes = 24

// Sender posts to one URL. It is safe for concurrent use.
type Sender struct {
	url, host string
	key       []byte
	client    *http.Client
	now       func() time.Time
}

// New checks c. It makes no request.
func New(c Config) (*Sender, error) {
	u, err := outgoing.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("sms webhook: %q: %w", c.URL, err)
	}
	key := []byte(c.Secret)
	if encoded, ok := strings.CutPrefix(string(c.Secret), "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("sms webhook: what follows whsec_ in the secret is not base64")
		}
	}
	if len(key) < minSecretBytes {
		return nil, fmt.Errorf("sms webhook: the secret needs at least %d bytes, this one has %d; make one with: echo whsec_$(openssl rand -base64 32)", minSecretBytes, len(key))
	}
	if c.Timeout == 0 {
		c.Timeout = outgoing.Timeout
	}
	return &Sender{url: u.String(), host: u.Host, key: key, client: outgoing.Client(c.Timeout), now: time.Now}, nil
}

// Name implements outbox.TextSender.
func (s *Sender) Name() string { return "webhook " + s.host }

type message struct {
	Type string `json:"type"`
	To   string `json:"to"`
	Text string `json:"text"`
}

// SendText posts t. nil means the service answered 2xx.
func (s *Sender) SendText(ctx context.Context, t outbox.Text) error {
	body, err := json.Marshal(message{"sms", t.To.String(), t.Body})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(s.now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", t.ID)
	r.Header.Set("Webhook-Timestamp", stamp)
	r.Header.Set("Webhook-Signature", "v1,"+s.sign(t.ID, stamp, body))
	resp, err := outgoing.Do(s.client, r)
	if err != nil {
		return outgoing.NoAnswer(s.Name(), err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, outgoing.MaxAnswer))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	fault, what := outbox.HTTPFault(resp.StatusCode)
	return &outbox.SendError{Fault: fault, Reason: what, Err: fmt.Errorf("status %d", resp.StatusCode)}
}

func (s *Sender) sign(id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, s.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
