// Package gmail sends mail through Gmail's HTTP API, for Google Workspace.
//
// The message is built by package rfc5322 and handed over whole. Gmail keeps a
// copy in the mailbox's Sent folder and can't be told not to: the mailbox should
// be nobody's own.
//
// It keeps nothing.
package gmail

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

// DefaultBaseURL is where the API stands.
const DefaultBaseURL = "https://gmail.googleapis.com"

// Sender sends from one mailbox. It is safe for concurrent use.
type Sender struct{ *oauth.Poster }

// New makes a Sender for a mailbox. It makes no request.
func New(from oauth.Mailbox) (*Sender, error) {
	poster, err := from.Poster("gmail", DefaultBaseURL, "gmail", "v1", "users", url.PathEscape(from.User), "messages", "send")
	return &Sender{poster}, err
}

// Send hands m to Gmail. nil means Gmail answered that it has taken it. It puts a
// Message-ID of its own in the place of ours and keeps ours beside it
// (X-Google-Original-Message-ID); of its own it tells no more than how its API
// calls the mail.
func (s *Sender) Send(ctx context.Context, m outbox.Message) error {
	data, err := rfc5322.Encode(m)
	if err != nil {
		return err
	}
	answer, err := s.Post(ctx, m, map[string]string{"raw": base64.URLEncoding.EncodeToString(data)})
	if err != nil {
		return err
	}
	var taken struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(answer, &taken) == nil {
		m.Rename(taken.ID)
	}
	return nil
}
