package operate

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// Status tells how the instance is. It asks memory and the store's files alone.
func (i *Instance) Status() Status {
	s := i.Core.Status()
	out := Status{
		Version: i.Version, Sessions: s.Sessions, People: s.People, CountedAt: moment(s.CountedAt), Streams: s.Streams,
		Mail:  MailStatus{Waiting: s.MailWaiting, Down: s.MailDown, Delayed: s.MailDelayed, Senders: []SenderStatus{}},
		Store: i.Store(), Keys: []KeyStatus{}, Gates: []GateStatus{},
	}
	out.Mail.Senders, out.Texts = append(out.Mail.Senders, fared(s.Senders)...), fared(s.Texts)
	for _, k := range s.Keys {
		out.Keys = append(out.Keys, KeyStatus{k.ID, k.Alg, k.Created.UTC(), k.Signs})
	}
	for _, g := range i.Gates {
		out.Gates = append(out.Gates, GateStatus{g.At, g.ReportOnly})
	}
	return out
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
	h = Health{Status: "ok", Store: "ok", Mail: "ok", Senders: []SenderHealth{}}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	if err := i.Core.Ping(ctx); err != nil {
		h.Status, h.Store = "down", "down"
	}
	status := i.Core.Status()
	if status.MailDown {
		h.Status, h.Mail = "down", "down"
	}
	if status.MailDelayed {
		h.Mail = "delayed"
	}
	for _, s := range status.Senders {
		kind, _, _ := strings.Cut(s.Name, " ")
		sender := SenderHealth{kind, "ok"}
		switch {
		case s.Down:
			sender.Status = "down"
		case s.Unfit:
			sender.Status = "unfit"
		}
		h.Senders = append(h.Senders, sender)
	}
	return h, h.Status == "ok"
}
