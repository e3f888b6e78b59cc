// Package graph sends mail through Microsoft Graph, for tenants that have closed
// SMTP.
//
// The message goes as JSON, not as the MIME text that other senders share: only
// so can Graph be told to leave no copy in Sent Items, where codes and links
// would lie open to everybody who reads that mailbox. Exchange makes the plain
// text part from the HTML.
//
// It keeps nothing.
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

// Sender sends from one mailbox. It is safe for concurrent use.
type Sender struct{ *oauth.Poster }

// New makes a Sender for a mailbox. It makes no request.
func New(from oauth.Mailbox) (*Sender, error) {
	poster, err := from.Poster("graph", DefaultBaseURL, "v1.0", "users", url.PathEscape(from.User), "sendMail")
	return &Sender{poster}, err
}

// Send hands m to Graph. nil means Graph answered that it has accepted it. That
// answer is empty: where Exchange puts another Message-ID in the place of ours it
// says so nowhere, but it keeps X-Entity-Ref-ID, which is the same.
func (s *Sender) Send(ctx context.Context, m outbox.Message) error {
	if err := rfc5322.Check(m); err != nil {
		return err
	}
	_, err := s.Post(ctx, m, sendMail{Message: compose(m)})
	return err
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
