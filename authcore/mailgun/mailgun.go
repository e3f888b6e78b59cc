// Package mailgun sends mail through Mailgun's HTTP API.
//
// The message is built by package rfc5322 and handed over whole
// (messages.mime), so that it has the same headers and parts as by SMTP.
// Click and open tracking are switched off in each request: with them Mailgun
// rewrites the sign-in link, and a scanner that follows the copy tells a third
// party who signs in where.
//
// Everything that knows mailgun-go is in this file.
//
// It keeps nothing.
package mailgun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/mailgun/mailgun-go/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/outgoing"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

// DefaultTimeout bounds one request. The library's own client has none.
const DefaultTimeout = 20 * time.Second

// Config says which account to send with.
type Config struct {
	Domain  string // the sending domain registered with Mailgun
	APIKey  outbox.Credential
	Region  string        // "us" (also when empty) or "eu": where the domain was registered
	BaseURL string        // instead of Region: https://host with or without /v3
	Timeout time.Duration // zero means DefaultTimeout
}

// Sender sends with one account. It is safe for concurrent use.
type Sender struct {
	domain string
	client *mailgun.MailgunImpl
}

var domainName = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)

// New checks c. It makes no request.
func New(c Config) (*Sender, error) {
	if !domainName.MatchString(c.Domain) {
		return nil, fmt.Errorf("mail mailgun: %q is not a domain; write the sending domain, for example mg.example.com", c.Domain)
	}
	if c.APIKey == "" || strings.ContainsAny(string(c.APIKey), " \t\r\n") {
		return nil, errors.New("mail mailgun: api_key is missing or holds white space; write the key from the dashboard, for example api_key {env.MAILGUN_API_KEY}")
	}
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	client := mailgun.NewMailgun(c.Domain, string(c.APIKey))
	client.SetAPIBase(base)
	client.SetClient(httpClient(c.Timeout))
	return &Sender{domain: c.Domain, client: client}, nil
}

func (c Config) base() (string, error) {
	if c.BaseURL != "" {
		if c.Region != "" {
			return "", errors.New("mail mailgun: region and base_url exclude each other; remove one")
		}
		return parseBase(c.BaseURL)
	}
	switch c.Region {
	case "", "us":
		return mailgun.APIBaseUS, nil
	case "eu":
		return mailgun.APIBaseEU, nil
	}
	return "", fmt.Errorf("mail mailgun: region %q is unknown; write us or eu", c.Region)
}

var apiVersion = regexp.MustCompile(`/v[1-5]$`)

// parseBase accepts plain http for localhost only: the key goes with every
// request.
func parseBase(base string) (string, error) {
	u, err := outgoing.ParseURL(base)
	if err == nil && u.RawQuery != "" {
		err = errors.New("it has a query; write it without")
	}
	if err != nil {
		return "", fmt.Errorf("mail mailgun: base_url: %w", err)
	}
	base = strings.TrimRight(base, "/")
	if !apiVersion.MatchString(base) {
		base += "/v3"
	}
	return base, nil
}

// httpClient is what senders over HTTP share: the API's own has no time limit.
func httpClient(timeout time.Duration) *http.Client {
	client := outgoing.Client(timeout)
	client.Transport = limited{client.Transport}
	return client
}

// limited cuts answers off at outgoing.MaxAnswer, because the library reads them whole.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, outgoing.MaxAnswer), resp.Body}
	}
	return resp, err
}

// Name implements outbox.Sender.
func (s *Sender) Name() string { return "mailgun " + s.domain }

// Send hands m to Mailgun. nil means Mailgun answered that it has queued it.
func (s *Sender) Send(ctx context.Context, m outbox.Message) error {
	data, err := rfc5322.Encode(m)
	if err != nil {
		return err
	}
	mail := mailgun.NewMIMEMessage(io.NopCloser(bytes.NewReader(data)), m.To.String())
	mail.SetTracking(false)
	mail.SetTrackingClicks(false)
	mail.SetTrackingOpens(false)
	ctx, wrote := outgoing.Watch(ctx)
	_, id, err := s.client.Send(ctx, mail)
	if err != nil {
		return s.sendError(err, wrote(), m)
	}
	m.Rename(id)
	return nil
}

// sendError words what became of m, with Mailgun's own text.
func (s *Sender) sendError(err error, handedOver bool, m outbox.Message) error {
	fault, what := classify(err)
	out := &outbox.SendError{Fault: fault, Reason: what, Maybe: handedOver && !answered(err), Err: err}
	if said := text(err); said != "" {
		out.Reason += ": " + m.Said(said, s.client.APIKey(), "api:"+s.client.APIKey())
		out.Recipient = fault == outbox.Rejected && badRecipient.MatchString(said)
	}
	return out
}

// answered tells whether err is an answer, of whomever.
func answered(err error) bool {
	var network *url.Error
	return !errors.As(err, &network)
}

// badRecipient is how Mailgun says that an address can't be written to.
var badRecipient = regexp.MustCompile(`(?i)\bto'? parameter`)

// text is what Mailgun says in an answer, empty for nothing.
func text(err error) string {
	var answer *mailgun.UnexpectedResponseError
	if !errors.As(err, &answer) {
		return ""
	}
	var data struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(answer.Data, &data) == nil {
		return data.Message
	}
	if strings.HasPrefix(strings.TrimSpace(string(answer.Data)), "<") {
		return "" // a page of something in between
	}
	return string(answer.Data)
}

func classify(err error) (outbox.SendFault, string) {
	var answer *mailgun.UnexpectedResponseError
	var network interface{ Timeout() bool }
	switch {
	case errors.As(err, &answer):
		return classifyStatus(answer.Actual)
	case errors.Is(err, context.Canceled):
		return outbox.SenderDown, "stopped"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return outbox.SenderDown, "no answer in time"
	case errors.As(err, new(*url.Error)):
		// The text holds our URL and what the network or TLS said, no more.
		return outbox.SenderDown, err.Error()
	}
	return outbox.SenderDown, "the answer was not Mailgun's"
}

// classifyStatus decides what an HTTP status means. 404 is how Mailgun answers
// for a domain the account does not have, often because it lives in the other
// region, and 3xx comes from something else than the API: both would meet
// every message alike, so they count as the sender's own failure.
func classifyStatus(status int) (outbox.SendFault, string) {
	what := fmt.Sprintf("answered HTTP %d", status)
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return outbox.SenderDown, what + "; check api_key and region"
	case status == http.StatusNotFound:
		return outbox.SenderDown, what + "; check the domain, region and base_url"
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status < 400, status >= 500:
		return outbox.SenderDown, what
	}
	return outbox.Rejected, what
}
