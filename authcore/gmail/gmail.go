// Package gmail sends mail through Gmail's HTTP API, for Google Workspace.
//
// The message is built by package rfc5322 and handed over whole. Gmail keeps a
// copy in the mailbox's Sent folder and can't be told not to: the mailbox should
// be nobody's own.
package gmail

import (
	"context"
	"encoding/base64"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

// DefaultBaseURL is where the API stands.
const DefaultBaseURL = "https://gmail.googleapis.com"

// Config says whose mailbox to send from.
type Config struct{ oauth.Mailbox }

// Check says what is wrong with c but for the tokens.
func (c Config) Check() error { return c.Mailbox.Check("mail gmail") }

// Sender sends from one mailbox. It is safe for concurrent use.
type Sender struct {
	name   string
	poster *oauth.Poster
}

// New checks c. It makes no request.
func New(c Config) (*Sender, error) {
	poster, err := c.Poster("mail gmail", DefaultBaseURL, "gmail", "v1", "users", url.PathEscape(c.User), "messages", "send")
	if err != nil {
		return nil, err
	}
	return &Sender{"gmail " + c.Name(), poster}, nil
}

// Name implements outbox.Sender.
func (s *Sender) Name() string { return s.name }

// Check has a token ready, and sends nothing.
func (s *Sender) Check(ctx context.Context) error { return s.poster.Check(ctx) }

// Send hands m to Gmail. nil means Gmail answered that it has taken it.
func (s *Sender) Send(ctx context.Context, m outbox.Message) error {
	data, err := rfc5322.Encode(m)
	if err != nil {
		return err
	}
	return s.poster.Post(ctx, m, map[string]string{"raw": base64.URLEncoding.EncodeToString(data)})
}
