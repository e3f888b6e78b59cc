package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Flow is a sign-in under way, as the browser that asked may see it.
type Flow struct {
	ID        string
	Challenge string // its id: for logs, not for pages
	Address   address.Address
	Site      origin.Origin
	ReturnTo  origin.ReturnTo
	Language  string
	State     event.Verdict // Accepted (a code is awaited), MailDown (an operator is), CodesOff, Expired, Locked or Used
	TriesLeft int
	Digits    int
	AskedAt   time.Time
	Expires   time.Time     // of code and link
	Delay     time.Duration // part of that: what mail to the address usually takes
	ResendIn  time.Duration // how long until the mail may be asked for again; 0: now, or Used
	MailDown  bool
	Reference string // by which an operator finds it, once there was one to be asked

	MailDelayed bool // no sender is fit: the mail may come late or not at all
}

// Flow returns the flow with id (empty: the newest) of this browser, or nil.
// It changes nothing.
func (all Flows) Flow(ctx context.Context, b session.Browser, id string) (*Flow, error) {
	s := all.s
	if b.Flow == "" {
		return nil, nil
	}
	return store.View(ctx, s.core.store, func(tx store.Tx) (*Flow, error) {
		t := &run{s: s, tx: tx, b: session.Browser{Origin: b.Origin, Flow: b.Flow}, now: s.core.now()}
		err := t.find(id)
		return t.view(), err
	})
}

// view is the flow that the run is about, nil for none.
func (t *run) view() *Flow {
	if t.f == nil || t.c == nil {
		return nil
	}
	f := &Flow{
		ID: t.f.ID, Challenge: t.c.ID, Address: t.c.Address, Site: t.c.Origin,
		ReturnTo: t.f.ReturnTo, Language: t.f.Language,
		State: t.c.State(t.now), TriesLeft: t.c.Tries, Digits: t.c.Digits,
		AskedAt: t.c.AskedAt, Expires: t.c.Expires, Delay: t.c.Delay, Reference: t.c.Reference,
	}
	_, f.MailDown = t.s.core.outbox.Down(false) // for decoys as for the rest
	f.MailDelayed = !f.MailDown && t.s.core.outbox.Delayed()
	if f.State != event.Used {
		f.ResendIn = t.resendWait()
	}
	return f
}

// LinkView is what a link's page may show before anything is decided.
type LinkView struct {
	// Verdict is Accepted in the browser that asked, OtherBrowser elsewhere;
	// Used, Expired, Locked or Unknown when the link is dead.
	Verdict  event.Verdict
	Address  address.Address
	Site     origin.Origin
	For      origin.Origin // where it leads; zero: Site
	AskedAt  time.Time
	Expires  time.Time
	Agent    string // the User-Agent that asked
	Network  string // where it was asked for, coarsely
	Language string
	HasCode  bool  // the mail has a code to type in the browser that asked
	Flow     *Flow // in the browser that asked

	c      *challenge.Challenge // nil: no such link
	opened bool                 // before
}

// Link looks at a link and changes nothing: mail scanners open links too.
func (all Flows) Link(ctx context.Context, b session.Browser, token string) (LinkView, error) {
	s := all.s
	out, err := store.View(ctx, s.core.store, func(tx store.Tx) (out LinkView, err error) {
		t := &run{s: s, tx: tx, b: session.Browser{Origin: b.Origin, Flow: b.Flow}, now: s.core.now()}
		c, err := t.findLink(token)
		if err != nil || c == nil {
			return LinkView{Verdict: event.Unknown}, err
		}
		out = LinkView{
			c:       c,
			Verdict: event.OtherBrowser, Address: c.Address, Site: c.Origin, For: c.For, AskedAt: c.AskedAt, Expires: c.Expires,
			Agent: c.Agent, Network: c.Network, Language: c.Language, HasCode: !c.LinkOnly, Flow: t.view(),
		}
		if out.Flow != nil {
			out.Verdict = event.Accepted
		}
		if !c.Live(t.now) {
			out.Verdict = c.State(t.now)
		}
		out.opened, err = challenge.WasOpened(t.tx, c)
		return out, err
	})
	c := out.c
	if err != nil || c == nil {
		return out, err
	}
	// Scanners open links again and again: the first time is written, and a page is
	// shown also where nothing can be.
	if !out.opened && (out.Verdict == event.Accepted || out.Verdict == event.OtherBrowser) {
		if err := s.core.history.Opened(ctx, c); err != nil && ctx.Err() == nil {
			s.core.log.Warn("that a link was opened can't be written to its history", "challenge", c.ID, "error", err)
		}
	}
	e := s.event(event.Link, b, c.Address, out.Verdict.String())
	e.Challenge = c.ID
	s.observe(e)
	return out, nil
}
