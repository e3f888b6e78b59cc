package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Flows are the sign-ins under way in browsers, by the rules of one configuration:
// Begin, then AnswerCode or AnswerLink. Flow and Link look and change nothing.
type Flows struct{ s *Service }

// Flows returns the sign-ins under way in browsers.
func (s *Service) Flows() Flows { return Flows{s} }

// Start is a wish to sign in.
type Start struct {
	Address  address.Address
	ReturnTo origin.ReturnTo
	Language string // BCP 47, as the page had it; the mail uses the same
	// Public says that others use this computer too: the session ends within an
	// hour, or with the browser, and the browser is not remembered.
	Public bool
}

// Begun is what came of a Start.
type Begun struct {
	Verdict    event.Verdict // Accepted, Limited or MailDown
	RetryAfter time.Duration
	FlowCookie string // with Accepted and MailDown: the browser's flow cookie, to be set anew
	Flow       string // with Accepted and MailDown: which of the browser's flows this is
	Reference  string // with MailDown: by which an operator finds it

	c    *challenge.Challenge // with Accepted and MailDown
	mail *outbox.Entry        // of c, if it is new
}

// Begin starts a sign-in: a challenge is stored and its mail queued, in one
// transaction. To whoever asks, an address that may not sign in looks the same
// in every respect: a decoy is stored and its mail dropped.
//
// A start for an address for which this browser holds a live challenge sends
// nothing and leads to that challenge. Over a limit nothing is stored. While mail
// is down a start waits for an operator, and is sent nothing either.
func (all Flows) Begin(ctx context.Context, b session.Browser, in Start) (Begun, error) {
	s := all.s
	wait, down := s.core.outbox.Down(false)
	out, err := store.Update(ctx, s.core.store, func(tx store.Tx) (Begun, error) {
		out, err := s.begin(tx, b, in, down)
		if out.Verdict == event.MailDown {
			out.RetryAfter = wait
		}
		return out, err
	})
	if err != nil {
		return Begun{}, err
	}
	s.began(b, in, out)
	return out, nil
}

// begin is one run of Begin's transaction.
func (s *Service) begin(tx store.Tx, b session.Browser, in Start, down bool) (Begun, error) {
	now := s.core.now()
	tx, err := store.ReadAhead(tx, s.beginKeys(b, in.Address)...)
	if err != nil {
		return Begun{}, err
	}
	flows, err := challenge.LoadFlows(tx, b.Flow)
	if err != nil {
		return Begun{}, err
	}
	dev, err := challenge.LoadDevice(tx, b.Device)
	if err != nil {
		return Begun{}, err
	}
	live, err := flows.Live(tx, in.Address, b.Origin, now)
	if err != nil {
		return Begun{}, err
	}
	known, err := dev.Knows(tx, in.Address)
	if err != nil {
		return Begun{}, err
	}
	limits := s.startLimits(b, in.Address, known, live != nil || down)
	if err := limits.Load(tx); err != nil {
		return Begun{}, err
	}
	if wait := limits.Wait(now); wait > 0 {
		return Begun{Verdict: event.Limited, RetryAfter: wait}, nil
	}
	limits.Count(tx, now)
	out := Begun{FlowCookie: b.Flow, Flow: keyring.RandomToken(9), c: live}
	if flows.Browser == "" { // a cookie we did not make is never taken over
		out.FlowCookie = challenge.NewFlowCookie()
		flows.Browser = keyring.Hash(out.FlowCookie)
	}
	wish := s.wish(b, in)
	wish.Browser, wish.Known = flows.Browser, known
	switch {
	case down && (live == nil || !live.Admitted):
		out.Verdict = event.MailDown
		if out.c, err = s.wait(tx, flows, live, wish); err == nil {
			out.Reference = out.c.Reference
		}
	case live == nil:
		out.c, out.mail, err = s.newChallenge(tx, wish)
	}
	if err != nil {
		return Begun{}, err
	}
	lead, err := s.leadTo(tx, out.c)
	if err != nil {
		return Begun{}, err
	}
	flows.Add(challenge.Flow{ID: out.Flow, Lead: lead, Origin: b.Origin, ReturnTo: in.ReturnTo, Language: in.Language, Public: in.Public})
	return out, flows.Save(tx, now)
}

// beginKeys are what a start reads, whatever comes of it. Only a browser with a
// device cookie can be known.
func (s *Service) beginKeys(b session.Browser, a address.Address) []string {
	keys := []string{challenge.PauseKey(a), store.KeyAddress + a.String()}
	if b.Flow != "" {
		keys = append(keys, challenge.FlowsKey(b.Flow))
	}
	groups := []bool{false}
	if b.Device != "" {
		keys, groups = append(keys, challenge.DeviceKey(b.Device)), []bool{false, true}
	}
	counters := s.cfg.Limits.Client(b.Client)
	for _, known := range groups {
		counters = append(counters, s.cfg.Limits.Recipient(a, known), s.cfg.Limits.WrongCodes(a.String(), known, false))
	}
	return append(append(keys, counters.Keys()...), s.mailKeys(b)...)
}

// mailKeys are the counters of a mail that b asks for, whether it is known or not.
func (s *Service) mailKeys(b session.Browser) []string {
	share := apps.NetworkShare(challenge.CoarseNetwork(b.Client))
	keys := s.core.outbox.Keys(s.cfg.Limits, share, false)
	if b.Device != "" {
		keys = append(keys, s.core.outbox.Keys(s.cfg.Limits, share, true)...)
	}
	return keys
}

// wish is what a browser's challenge is made of.
func (s *Service) wish(b session.Browser, in Start) challenge.Wish {
	delay := s.core.delivery.Delay(in.Address)
	return challenge.Wish{
		Address: in.Address, Origin: b.Origin, For: in.ReturnTo.Origin(), Language: in.Language, Agent: b.UserAgent, Client: b.Client,
		Digits: s.cfg.Code.Digits, Lifetime: s.cfg.Code.Lifetime + delay, Delay: delay, Kept: challenge.FlowLifetime,
	}
}

// startLimits are the counters that a start must fit and counts for. A browser
// that has proved the address does not count for its network; a start that
// sends nothing counts for nothing else.
func (s *Service) startLimits(b session.Browser, a address.Address, known, live bool) limit.Counters {
	var limits limit.Counters
	if !known {
		limits = s.cfg.Limits.Client(b.Client)
	}
	if !live {
		limits = append(limits, s.cfg.Limits.Recipient(a, known))
	}
	return limits
}

func (s *Service) began(b session.Browser, in Start, out Begun) {
	name, reason := event.Begin, ""
	switch {
	case out.Verdict != event.Accepted:
		name, reason = event.Refused, out.Verdict.String()
		if out.c == nil {
			s.core.history.TurnedAway(s.wish(b, in), challenge.Outcome(reason))
		}
	case out.mail == nil:
		reason = "already_sent"
	case out.c.Decoy:
		reason = string(out.c.Unsent)
	}
	e := s.event(name, b, in.Address, reason)
	if out.c != nil {
		e.Challenge, e.Expires = out.c.ID, out.c.Expires
	}
	s.observe(e) // before its mail is
	if out.mail != nil {
		s.core.outbox.Add(out.mail)
	}
}

// event is the common part of what is reported about a browser's request.
func (s *Service) event(name string, b session.Browser, a address.Address, reason string) event.Event {
	return event.Event{Name: name, Address: a, Origin: b.Origin.String(), Client: b.Client, Reason: reason}
}

// newChallenge stores a browser's challenge with its link and its mail.
func (s *Service) newChallenge(tx store.Tx, wish challenge.Wish) (*challenge.Challenge, *outbox.Entry, error) {
	c, _, err := s.challenges.New(tx, wish)
	if err != nil {
		return nil, nil, err
	}
	mail := apps.MailOf(c, apps.NetworkShare(c.Network))
	if !c.Decoy { // a decoy sends nothing, and must cost real people nothing
		if err := apps.Spend(tx, s.core.outbox, s.cfg.Limits, c, mail); err != nil {
			return nil, nil, err
		}
	}
	lead, err := s.leadTo(tx, c)
	if err != nil {
		return nil, nil, err
	}
	if err := store.Save(tx, challenge.LinkKey(s.core.secrets.Current.LinkFor(c.ID)), lead, c.Kept); err != nil {
		return nil, nil, err
	}
	if err := s.challenges.Put(tx, c, true); err != nil {
		return nil, nil, err
	}
	return c, mail, s.core.outbox.Put(tx, mail)
}

// leadTo leads to a browser's challenge, with all that an answer to it reads. Who
// signs in for the first time has no record yet.
func (s *Service) leadTo(tx store.Tx, c *challenge.Challenge) (challenge.Lead, error) {
	with := s.challenges.Keys(c)
	var sub string
	known, err := store.Load(tx, store.KeyAddress+c.Address.String(), &sub)
	if known {
		with = append(with, store.KeyPerson+sub)
	}
	return challenge.LeadTo(c.ID, with...), err
}
