package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
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
	State     event.Verdict // Accepted (a code is awaited), CodesOff, Expired, Locked or Used
	TriesLeft int
	Digits    int
	AskedAt   time.Time
	Expires   time.Time     // of code and link
	ResendIn  time.Duration // how long until the mail may be asked for again; 0: now, or Used
	MailDown  bool

	MailDelayed bool // no sender is fit: the mail may come late or not at all
}

// Flow returns the flow with id (empty: the newest) of this browser, or nil.
// It changes nothing.
func (s *Service) Flow(ctx context.Context, b Browser, id string) (*Flow, error) {
	if b.Flow == "" {
		return nil, nil
	}
	var out *Flow
	err := s.core.store.View(ctx, func(tx store.Tx) error {
		t := &attempt{s: s, tx: tx, b: b, now: s.core.now()}
		err := t.find(id)
		if err == nil {
			out = t.view()
		}
		return err
	})
	return out, err
}

// view is the flow that the attempt is about, nil for none.
func (t *attempt) view() *Flow {
	if t.f == nil || t.c == nil {
		return nil
	}
	f := &Flow{
		ID: t.f.ID, Challenge: t.c.ID, Address: t.c.Address, Site: t.c.Origin,
		ReturnTo: t.f.ReturnTo, Language: t.f.Language,
		State: t.c.state(t.now), TriesLeft: t.c.Tries, Digits: t.c.Digits,
		AskedAt: t.c.AskedAt, Expires: t.c.Expires,
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
	AskedAt  time.Time
	Expires  time.Time
	Agent    string // the User-Agent that asked
	Network  string // where it was asked for, coarsely
	Language string
	HasCode  bool  // the mail has a code to type in the browser that asked
	Flow     *Flow // in the browser that asked
}

// Link looks at a link and changes nothing: mail scanners open links too.
func (s *Service) Link(ctx context.Context, b Browser, token string) (LinkView, error) {
	var out LinkView
	var c *challenge
	err := s.core.store.View(ctx, func(tx store.Tx) (err error) {
		c, err = loadLink(tx, token, s.core.now())
		if err != nil || c == nil {
			out = LinkView{Verdict: event.Unknown}
			return err
		}
		t := &attempt{s: s, tx: tx, b: b, now: s.core.now()}
		if err := t.load(); err != nil {
			return err
		}
		out = LinkView{
			Verdict: event.OtherBrowser, Address: c.Address, Site: c.Origin, AskedAt: c.AskedAt, Expires: c.Expires,
			Agent: c.Agent, Network: c.Network, Language: c.Language, HasCode: !c.LinkOnly,
		}
		if v := c.state(t.now); v != event.Accepted && v != event.CodesOff {
			out.Verdict = v
		}
		t.f = t.flows.pickChallenge(c.ID)
		if t.f == nil || !t.asked(c) {
			return nil
		}
		t.c = c
		if out.Verdict == event.OtherBrowser {
			out.Verdict = event.Accepted
		}
		out.Flow = t.view()
		return err
	})
	if err == nil && c != nil {
		s.opened(ctx, b, c, out.Verdict)
	}
	return out, err
}

// opened notes that the page of a link was shown, to a person or to a scanner:
// the first time in its history too. That costs one write however often a
// scanner does it, and a page that is shown where nothing can be written.
func (s *Service) opened(ctx context.Context, b Browser, c *challenge, v event.Verdict) {
	if v == event.Accepted || v == event.OtherBrowser {
		if err := s.core.noteOpened(ctx, c); err != nil && ctx.Err() == nil {
			s.core.log.Warn("that a link was opened can't be written to its history", "challenge", c.ID, "error", err)
		}
	}
	e := s.event(event.Link, b, c.Address, v.String())
	e.Challenge = c.ID
	s.observe(e)
}

// loadLink finds the challenge of a link token, nil for none. A decoy's link
// was never sent, so nobody can hold it.
func loadLink(tx store.Tx, token string, now time.Time) (*challenge, error) {
	if len(token) != linkTokenLen {
		return nil, nil
	}
	var id string
	ok, err := store.Load(tx, store.KeyLink+keyring.Hash(token), &id)
	if err != nil || !ok {
		return nil, err
	}
	c, err := loadOpen(tx, id, now)
	if err != nil || c == nil || c.Decoy {
		return nil, err
	}
	return c, nil
}

// linkTokenLen is the length of 32 bytes in base64url.
const linkTokenLen = 43
