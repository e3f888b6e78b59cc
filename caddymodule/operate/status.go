package operate

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// Status tells how the instance is. It asks memory and the store's files alone.
func (i *Instance) Status() Status {
	s := i.Core.Status()
	out := Status{
		Version: i.Version, Sessions: s.Sessions, People: s.People, CountedAt: moment(s.CountedAt), Streams: s.Streams,
		Mail: mailOf(s), Texts: fared(s.Texts), Store: i.Store(), Keys: []KeyStatus{}, Gates: []GateStatus{},
	}
	for _, k := range s.Keys {
		out.Keys = append(out.Keys, KeyStatus{k.ID, k.Alg, k.Created.UTC(), k.Signs})
	}
	for _, d := range i.Core.Delivery().Domains(mostDomains) {
		out.Mail.Domains = append(out.Mail.Domains, domainStatus(d))
	}
	for _, g := range i.Gates {
		out.Gates = append(out.Gates, GateStatus{g.At, g.ReportOnly})
	}
	return out
}

// mostDomains bounds the domains that are told of.
const mostDomains = 20

func domainStatus(d delivery.Domain) DomainStatus {
	out := DomainStatus{
		Name: d.Name, Accepted: d.Accepted, Delivered: d.Delivered, Deferred: d.Deferred, Bounced: d.Bounced, Complained: d.Complained,
		SignedIn: d.SignedIn, Delay: d.Delay.Seconds(),
	}
	if d.Known {
		out.Wait = new(d.Wait.Seconds())
	}
	if d.SignIn > 0 {
		out.SignIn = new(d.SignIn.Seconds())
	}
	return out
}

func mailOf(s authcore.Status) MailStatus {
	return MailStatus{Waiting: s.MailWaiting, Maybe: s.MailMaybe, Down: s.MailDown, Delayed: s.MailDelayed, Domains: []DomainStatus{}, Senders: append([]SenderStatus{}, fared(s.Senders)...)}
}

// fared tells how senders have.
func fared(list []outbox.SenderStatus) (out []SenderStatus) {
	for _, s := range list {
		out = append(out, SenderStatus{s.Name, s.Down, s.Unfit, moment(s.SentAt), moment(s.Failed), s.Reason})
	}
	return out
}

// Health is what a monitor may know: words, never addresses or names.
type Health struct {
	Status  string         `json:"status"` // ok or down
	Store   string         `json:"store"`
	Mail    string         `json:"mail"` // ok, delayed or down
	Senders []SenderHealth `json:"senders"`
}

// SenderHealth is a sender without its address.
type SenderHealth struct {
	Kind   string `json:"kind"`
	Status string `json:"status"` // ok, unfit or down
}

// healthPatience bounds how long a monitor waits for the store.
const healthPatience = 2 * time.Second

// Health tells whether people can sign in; ok: they can.
func (i *Instance) Health(ctx context.Context) (h Health, ok bool) {
	h = Health{Status: "ok", Store: "ok", Senders: []SenderHealth{}}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	if err := i.Core.Ping(ctx); err != nil {
		h.Status, h.Store = "down", "down"
	}
	mail := mailOf(i.Core.Status())
	if h.Mail = mail.State(); mail.Down {
		h.Status = "down"
	}
	for _, s := range mail.Senders {
		kind, _, _ := strings.Cut(s.Name, " ")
		h.Senders = append(h.Senders, SenderHealth{kind, s.State()})
	}
	return h, h.Status == "ok"
}
