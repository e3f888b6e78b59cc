package authcore

import (
	"context"
	"errors"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

// Text is one finished text message to one number.
type Text struct {
	ID   string // the same for every attempt at one message
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

// courier hands the message of a challenge to one sender, of mail or of text.
type courier struct {
	name  string
	text  bool
	send  func(ctx context.Context, c *challenge, m Message) error
	check func(ctx context.Context) error // nil: it can be tried by sending alone
}

// couriers are the senders of each kind, in the order in which they are tried.
type couriers struct{ mail, text []courier }

func newCouriers(cfg Config) (all couriers) {
	for _, sender := range cfg.Senders {
		mail := courier{name: sender.Name(), send: func(ctx context.Context, _ *challenge, m Message) error {
			return sender.Send(ctx, m)
		}}
		if checker, can := sender.(Checker); can {
			mail.check = checker.Check
		}
		all.mail = append(all.mail, mail)
	}
	for _, sender := range cfg.Texts {
		all.text = append(all.text, courier{name: "sms " + sender.Name(), text: true, send: func(ctx context.Context, c *challenge, m Message) error {
			return sender.SendText(ctx, Text{ID: keyring.Hash("text " + c.ID)[:32], To: c.API.Phone, Body: m.Text, Code: m.Code, Link: m.Link})
		}})
	}
	return all
}

func (s *Service) couriersOf(text bool) []courier {
	if text {
		return s.couriers.text
	}
	return s.couriers.mail
}

// text tells whether the challenge goes out as a text message.
func (c *challenge) text() bool { return c.API != nil && !c.API.Phone.IsZero() }

// mark completes what is reported about a challenge's message.
func (c *challenge) mark(e *event.Event) {
	if c.API != nil {
		e.App, e.Subject = c.API.Realm.App, c.API.Subject
	}
	if c.text() {
		e.Name = event.TextSent
	}
}

// errGone: what a message was about is not configured any more.
var errGone = errors.New("the app that asked, or the redirect it asked for, is not in the configuration any more")

// composeAPI rebuilds the message of a challenge made for an app. A redirect
// that is not allowed any more is not sent.
func (s *Service) composeAPI(c *challenge, secret keyring.Secret) (Message, error) {
	a := c.API
	app := s.cfg.Apps.Find(a.Realm.App)
	if app == nil || a.Redirect != "" && !app.MayRedirect(a.Use, a.Redirect) {
		return Message{}, errGone
	}
	letter := Letter{
		Kind: a.Letter, To: c.Address, Site: c.Origin, Language: c.Language,
		Lifetime: c.Expires.Sub(c.AskedAt), AskedAt: c.AskedAt, Agent: c.Agent, Network: c.Network,
		Thread: strings.ToLower(keyring.RandomToken(12)), App: app.DisplayName(), Phone: a.Phone, Into: a.Into,
	}
	if a.Link {
		letter.Link = a.link(secret.APILink(c.ID))
	} else {
		letter.Code = c.codeOf(secret)
		letter.Link = a.link(letter.Code)
	}
	if a.Invite != "" {
		letter.NotMe = a.link(stopPrefix + secret.APIStop(c.ID))
	}
	message, err := s.cfg.Composer.Compose(letter)
	message.Code, message.Link = letter.Code, letter.Link
	return message, err
}
