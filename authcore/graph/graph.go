// Package graph sends mail through Microsoft Graph, for tenants that have closed
// SMTP.
//
// The message goes as JSON, not as the MIME text that other senders share: only
// so can Graph be told to leave no copy in Sent Items, where codes and links
// would lie open to everybody who reads that mailbox. Exchange makes the plain
// text part from the HTML.
package graph

import (
	"context"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

// DefaultBaseURL is where the API stands, but for national clouds.
const DefaultBaseURL = "https://graph.microsoft.com"

// Config says whose mailbox to send from: the user principal name.
type Config struct{ oauth.Mailbox }

// Check says what is wrong with c but for the tokens.
func (c Config) Check() error { return c.Mailbox.Check("mail graph") }

// Sender sends from one mailbox. It is safe for concurrent use.
type Sender struct {
	name   string
	poster *oauth.Poster
}

// New checks c. It makes no request.
func New(c Config) (*Sender, error) {
	poster, err := c.Poster("mail graph", DefaultBaseURL, "v1.0", "users", url.PathEscape(c.User), "sendMail")
	if err != nil {
		return nil, err
	}
	return &Sender{"graph " + c.Name(), poster}, nil
}

// Name implements outbox.Sender.
func (s *Sender) Name() string { return s.name }

// Check has a token ready, and sends nothing.
func (s *Sender) Check(ctx context.Context) error { return s.poster.Check(ctx) }

// Send hands m to Graph. nil means Graph answered that it has accepted it.
func (s *Sender) Send(ctx context.Context, m outbox.Message) error {
	if err := rfc5322.Check(m); err != nil {
		return err
	}
	return s.poster.Post(ctx, m, sendMail{Message: compose(m)})
}

// sendMail is the body of the call. What is left out of SaveToSentItems would be
// true.
type sendMail struct {
	Message message `json:"message"`
	Save    bool    `json:"saveToSentItems"`
}

type message struct {
	Subject   string      `json:"subject"`
	Body      content     `json:"body"`
	From      recipient   `json:"from"`
	To        []recipient `json:"toRecipients"`
	ReplyTo   []recipient `json:"replyTo,omitempty"`
	MessageID string      `json:"internetMessageId"`
	Headers   []header    `json:"internetMessageHeaders"`
}

type content struct {
	Type string `json:"contentType"`
	Text string `json:"content"`
}

type recipient struct {
	Address address `json:"emailAddress"`
}

type address struct {
	Name    string `json:"name,omitempty"`
	Address string `json:"address"`
}

// header is one of the headers that Graph takes: those that begin with X-.
type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func compose(m outbox.Message) message {
	out := message{
		Subject: m.Subject, Body: content{"html", m.HTML},
		From: recipient{address{m.FromName, m.FromAddress}}, To: []recipient{{address{"", m.To.String()}}},
		MessageID: "<" + m.MessageID + ">",
		Headers:   []header{{"X-Auto-Response-Suppress", "All"}},
	}
	if m.HTML == "" {
		out.Body = content{"text", m.Text}
	}
	if m.ReplyTo != "" {
		out.ReplyTo = []recipient{{address{"", m.ReplyTo}}}
	}
	if m.EntityRef != "" {
		out.Headers = append(out.Headers, header{"X-Entity-Ref-ID", m.EntityRef})
	}
	return out
}
