package outbox

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// Message is one finished mail to one recipient.
type Message struct {
	FromName    string // display name, may be empty
	FromAddress string
	To          address.Address
	ReplyTo     string // an address, or empty
	Subject     string
	Text        string // plain text part, lines end in \n
	HTML        string // HTML part; empty for a text-only mail
	Language    string // BCP 47, for Content-Language
	MessageID   string // without angle brackets
	References  string // without angle brackets; may be empty
	EntityRef   string // for X-Entity-Ref-ID; may be empty
	Date        time.Time

	// Code and Link repeat what is in the text, for senders that show them to
	// a developer instead of sending mail. Never logged by any other sender.
	Code, Link string

	renamed *string // where Rename writes; nil: nobody asks
}

// Rename is for senders whose mail system puts a Message-ID of its own in the
// place of m's, and says which, with or without angle brackets. A bounce names
// that one.
func (m Message) Rename(id string) {
	id = strings.Trim(OneLine(id), "<> ")
	if m.renamed != nil && len(id) <= maxRenamed {
		*m.renamed = id
	}
}

// maxRenamed bounds what a mail system can make the store keep, in bytes.
const maxRenamed = 256

// Sender hands messages to a mail system. It must be safe for concurrent use,
// respect the context and set a time limit of its own. nil means the mail
// system took responsibility for the message. Any other outcome is a
// *SendError; an error of another type counts as SenderDown.
type Sender interface {
	// Name tells senders apart in logs and metrics, for example
	// "smtp smtp.example.com:587". It holds no secret.
	Name() string
	Send(ctx context.Context, m Message) error
}

// Checker is a Sender that can be tried without a mail: Check connects and signs
// in as Send does. While mail is down it is asked in place of a mail.
type Checker interface {
	Check(ctx context.Context) error
}

// Witness is a Sender that shows a developer also what is not sent to somebody, and
// why, in one word. Whoever may read that could read the codes.
type Witness interface {
	Unsent(to, why string)
}

// Wide is a Sender or TextSender that says how many messages it can be given at a
// time; any other is given four.
type Wide interface {
	AtOnce() int
}

// Credential is what a sender signs in with: a password, a key, a token. It never
// shows in a log, an error or JSON.
type Credential string

const redacted = "[redacted]"

// Format implements fmt.Formatter for every verb.
func (Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText covers JSON and structured logs.
func (Credential) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// SendFault says what a failed Send means for the message and for the sender.
type SendFault int

const (
	// SenderDown: the sender itself failed before it heard of the recipient, so
	// no other message would have fared better: no connection, TLS or sign-in
	// refused, SMTP 421 in the greeting or to EHLO, no answer before MAIL FROM
	// was accepted, HTTP 401, 403, 429 or 5xx. The next sender is tried, and this
	// one again later; when all are down, new sign-ins are refused. Nothing that
	// a recipient's server can bring about may count as this, or one address
	// closes sign-in for everybody.
	SenderDown SendFault = iota
	// Deferred: a temporary answer to this message or recipient (SMTP 4xx to MAIL
	// FROM or later), or none once MAIL FROM was accepted. The next sender is
	// tried, and this one again later.
	Deferred
	// Rejected: a permanent answer to this message or recipient (SMTP 5xx to
	// MAIL FROM or later, other HTTP 4xx). This sender is not asked again; the next one
	// is, and the mail is given up when all have refused it.
	Rejected
)

func (f SendFault) String() string {
	switch f {
	case SenderDown:
		return "sender_down"
	case Deferred:
		return "deferred"
	case Rejected:
		return "rejected"
	}
	return fmt.Sprintf("SendFault(%d)", int(f))
}

// HTTPFault says what an HTTP status other than 2xx means when nothing more is
// known: statuses that would meet every message alike are the service's own
// failure, the rest is about the message.
func HTTPFault(status int) (SendFault, string) {
	what := fmt.Sprintf("answered HTTP %d", status)
	switch status {
	case 401, 403, 404, 408, 429:
		return SenderDown, what
	}
	if status < 400 || status >= 500 {
		return SenderDown, what
	}
	return Rejected, what
}

// SendError is why a Send failed. Reason is for operators, who see it beside the
// sender's name: it names the step and the server's own words and never holds a
// recipient, a code, a link or a credential, even when the server echoed one
// (Message.Said blanks them).
type SendError struct {
	Fault  SendFault
	Reason string
	// Recipient says that the answer is about this recipient's mailbox or domain
	// (RFC 3463 x.1.x, x.2.x, x.4.x), so that it tells nothing about the sender.
	// Other refusals, of several domains in a row, make a sender unfit.
	Recipient bool
	// Maybe says that the whole message was handed over and no answer came, so that
	// it may be delivered all the same. It is sent once more at most, by the next
	// sender.
	Maybe bool
	// Late, with Maybe, waits for the answer if it may still come, until ctx ends, and
	// returns what Send would have. It holds what it waits with: whoever is given it
	// calls it once.
	Late func(ctx context.Context) error
	Err  error // the cause, for errors.Is; its text is never logged
}

// giveUp lets go of an answer that may still come.
func (e *SendError) giveUp() {
	if e != nil && e.Late != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Late(ctx)
	}
}

// Word tells in one word what failed: maybe, or its Fault.
func (e *SendError) Word() string {
	if e.Maybe {
		return "maybe"
	}
	return e.Fault.String()
}

func (e *SendError) Error() string { return e.Word() + ": " + e.Reason }

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }

// Text is one finished text message to one number.
type Text struct {
	ID   string // the same for every attempt at one message, and unguessable
	To   address.Phone
	Body string // plain text

	// Code and Link repeat what is in the body, for senders that show them to a
	// developer instead of sending. Never logged by any other sender.
	Code, Link string
}

// TextSender hands text messages to whoever carries them. What Sender promises
// holds here too: safe for concurrent use, a time limit of its own, nil when
// the message was taken, else a *SendError.
type TextSender interface {
	// Name tells senders apart in logs and metrics, for example "twilio
	// AC0123". It holds no secret.
	Name() string
	SendText(ctx context.Context, t Text) error
}
