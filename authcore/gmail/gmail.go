// Package gmail sends mail through Gmail's HTTP API, for Google Workspace.
//
// The message is built by package rfc5322 and handed over whole. Gmail keeps a
// copy in the mailbox's Sent folder and can't be told not to: the mailbox should
// be nobody's own.
package gmail

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/outgoing"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

// DefaultBaseURL is where the API stands.
const DefaultBaseURL = "https://gmail.googleapis.com"

// Config says whose mailbox to send from.
type Config struct {
	User    string        // the mailbox: its address
	Tokens  *oauth.Source // for the API
	BaseURL string        // empty: DefaultBaseURL
}

// Sender sends from one mailbox. It is safe for concurrent use.
type Sender struct {
	user, endpoint string
	poster         *oauth.Poster
}

var userName = regexp.MustCompile(`^[^\s/@]+@[^\s/@]+$`)

// Check says what is wrong with c but for the tokens.
func (c Config) Check() error {
	if !userName.MatchString(c.User) {
		return fmt.Errorf("mail gmail: user %q is not a mailbox; write its address, for example user login@example.com", c.User)
	}
	if c.BaseURL != "" {
		if _, err := outgoing.ParseURL(c.BaseURL); err != nil {
			return fmt.Errorf("mail gmail: base_url: %w", err)
		}
	}
	return nil
}

// New checks c. It makes no request.
func New(c Config) (*Sender, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Tokens == nil {
		return nil, errors.New("mail gmail: there is nothing to get tokens with")
	}
	if c.BaseURL == "" {
		c.BaseURL = DefaultBaseURL
	}
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, err
	}
	return &Sender{
		user: c.User, endpoint: base.JoinPath("gmail", "v1", "users", url.PathEscape(c.User), "messages", "send").String(),
		poster: oauth.NewPoster(c.Tokens),
	}, nil
}

// Name implements authcore.Sender.
func (s *Sender) Name() string { return "gmail " + s.user }

// Check has a token ready, and sends nothing.
func (s *Sender) Check(ctx context.Context) error { return s.poster.Check(ctx) }

// Send hands m to Gmail. nil means Gmail answered that it has taken it.
func (s *Sender) Send(ctx context.Context, m authcore.Message) error {
	data, err := rfc5322.Encode(m)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"raw": base64.URLEncoding.EncodeToString(data)})
	if err != nil {
		return err
	}
	return s.poster.Post(ctx, m, s.endpoint, "application/json", body)
}
