package operate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// Config is one running configuration, as far as operators ask about it.
type Config struct {
	Service *authcore.Service
	Core    *authcore.Core
	Groups  *policy.Groups
	Version string
	Store   func() StoreStatus
	Lists   func() map[string]policy.ListEvent // what became of the files of people, by path
	Gates   []Gate
	Open    []string        // addresses to open in a browser: of sign-in hosts, then of sites
	Senders []outbox.Sender // of mail, in the order in which they are tried
	Setup   Setup
	// Routes, Portals and Proxies are the doctor's checks of the server in front.
	Routes, Portals, Proxies func() []Finding
	Asks                     *Asks // nil: no other proxy asks here
	DNS                      Resolver
}

// Gate is one gate, or a site that another proxy asks about.
type Gate struct {
	At         string // where it stands, in words
	ReportOnly bool   // it stops nobody
	Rule       *session.SiteRule
	ClientIP   []string // the networks that clients must come from; none: any
	Trust      []string // those whose clients need no sign-in
	Hosts      []string // that have sign-in pages of their own
	Covers     func(origin.Origin) bool
	OnPath     func(path string) bool
}

// Setup is what the configuration says that the doctor has an opinion on.
type Setup struct {
	Mail         []MailLine
	FromName     string
	From         string // the address of the sender; empty where no mail leaves this machine
	InsecureHTTP bool
	AuditOff     bool
	Domain       string // whose hosts share sessions; empty: each host has its own
}

// MailLine is one way to send mail.
type MailLine struct {
	Kind    string // log, dir, smtp, …
	Address string // of smtp: host:port
	Clear   bool   // without TLS
}

// Instance is what operators ask and tell.
type Instance struct{ Config }

// New makes an instance of c.
func New(c Config) *Instance { return &Instance{c} }

// Refusal is a no to the operator, with what to do instead. It names nobody who
// was not in the question. Any other error is an outage.
type Refusal struct {
	Kind Kind
	text string
}

// Kind is why an operator is refused.
type Kind uint8

// The kinds of refusals.
const (
	Malformed Kind = iota // the question can't be understood
	NotFound
	Conflict // the answer depends on what was not said
)

func (r *Refusal) Error() string { return r.text }

func refuse(kind Kind, format string, args ...any) error {
	return &Refusal{kind, fmt.Errorf(format, args...).Error()}
}

// audit reports what the operator at by did, to whom.
func (i *Instance) audit(by netip.Addr, action string, to *apps.Holder, detail string) {
	e := event.Event{Name: event.Admin, Reason: action, Detail: detail, Client: by}
	if to != nil {
		e.Address, e.Subject, e.App = to.Address, to.Subject, to.Realm.App
	}
	i.Service.Report(e)
}

// holders finds everybody whom a subject or address names, those whom only an
// app knows too.
func (i *Instance) holders(ctx context.Context, who string) ([]apps.Holder, error) {
	list, err := i.Service.Apps().Holders(ctx, who)
	if err == nil && len(list) == 0 {
		return nil, refuse(NotFound, "nobody with this subject or address is known here")
	}
	return list, err
}

// moment is a time for JSON, nil for never.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// reasonOf is why a sender failed.
func reasonOf(err error) string {
	if failed := new(outbox.SendError); errors.As(err, &failed) {
		return failed.Reason
	}
	return err.Error()
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }
