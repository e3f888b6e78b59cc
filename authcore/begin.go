package authcore

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

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
	FlowCookie string // with Accepted: the browser's flow cookie, to be set anew
	Flow       string // with Accepted: which of the browser's flows this is
}

// Begin starts a sign-in: a challenge is stored and its mail queued, in one
// transaction. To whoever asks, an address that may not sign in looks the same
// in every respect: a decoy is stored and its mail dropped.
//
// A start for an address for which this browser holds a live challenge sends
// nothing and leads to that challenge. Over a limit nothing is stored.
func (s *Service) Begin(ctx context.Context, b Browser, in Start) (Begun, error) {
	if wait, down := s.core.outbox.Down(false); down {
		out := Begun{Verdict: event.MailDown, RetryAfter: wait}
		s.began(b, in, out, nil, false)
		return out, nil
	}
	var out Begun
	var c *challenge
	var isNew bool
	err := s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		out, c, isNew, err = s.begin(tx, b, in)
		return err
	})
	if err != nil {
		return Begun{}, err
	}
	s.began(b, in, out, c, isNew)
	return out, nil
}

// begin is one run of Begin's transaction. Unless the start is refused it also
// returns the challenge, and whether that is a new one.
func (s *Service) begin(tx store.Tx, b Browser, in Start) (out Begun, c *challenge, isNew bool, err error) {
	now := s.core.now()
	flows, err := loadFlows(tx, b.Flow)
	if err != nil {
		return Begun{}, nil, false, err
	}
	dev, err := loadDevice(tx, b.Device)
	if err != nil {
		return Begun{}, nil, false, err
	}
	live, err := liveChallenge(tx, flows, in.Address, b.Origin, now)
	if err != nil {
		return Begun{}, nil, false, err
	}
	known := dev.knows(in.Address)
	limits := s.startLimits(b, in.Address, known, live != nil)
	if err := limits.Load(tx); err != nil {
		return Begun{}, nil, false, err
	}
	if wait := limits.Wait(now); wait > 0 {
		return Begun{Verdict: event.Limited, RetryAfter: wait}, nil, false, nil
	}
	if c = live; c == nil {
		c, err = s.newChallenge(tx, challengeFor{b, in.Address, in.Language, known})
		if err != nil {
			return Begun{}, nil, false, err
		}
		isNew = true
	}
	limits.Count(tx, now)
	cookie := b.Flow
	if flows.Browser == "" { // a cookie we did not make is never taken over
		cookie = keyring.RandomToken(32)
		flows.Browser = keyring.Hash(cookie)
	}
	if isNew {
		c.Browser = flows.Browser
		if err := c.save(tx); err != nil {
			return Begun{}, nil, false, err
		}
	}
	f := flowRecord{ID: keyring.RandomToken(9), Challenge: c.ID, ReturnTo: in.ReturnTo, Language: in.Language, Public: in.Public}
	flows.add(f)
	return Begun{Verdict: event.Accepted, FlowCookie: cookie, Flow: f.ID}, c, isNew, flows.save(tx, now)
}

// startLimits are the counters that a start must fit and counts for. A browser
// that has proved the address does not count for its network; a start that
// sends nothing counts for nothing else.
func (s *Service) startLimits(b Browser, a address.Address, known, live bool) limit.Counters {
	var limits limit.Counters
	if !known {
		limits = s.cfg.Limits.Client(b.Client)
	}
	if !live {
		limits = append(limits, s.cfg.Limits.Recipient(a, known))
	}
	return limits
}

// liveChallenge finds the challenge for a that this browser can still answer at
// the site at.
func liveChallenge(tx store.Tx, flows *browserFlows, a address.Address, at origin.Origin, now time.Time) (*challenge, error) {
	var seen []string
	for i := len(flows.Flows) - 1; i >= 0; i-- {
		id := flows.Flows[i].Challenge
		if slices.Contains(seen, id) {
			continue
		}
		seen = append(seen, id)
		c, err := loadOpen(tx, id, now)
		if err != nil {
			return nil, err
		}
		if c != nil && c.Address == a && c.Origin == at && c.live(now) {
			return c, nil
		}
	}
	return nil, nil
}

func (s *Service) began(b Browser, in Start, out Begun, c *challenge, isNew bool) {
	name, reason := event.Begin, ""
	switch {
	case out.Verdict != event.Accepted:
		name, reason = event.Refused, out.Verdict.String()
		s.core.turnedAway.add(b, in.Address, s.core.now(), Outcome(reason))
	case !isNew:
		reason = "already_sent"
	case c.Decoy:
		reason = string(s.decoyOutcome(c))
	}
	e := s.event(name, b, in.Address, reason)
	if c != nil {
		e.Challenge, e.Expires = c.ID, c.Expires
	}
	s.observe(e) // before its mail is
	if isNew {
		s.core.outbox.Add(c.mail)
	}
}

// event is the common part of what is reported about a browser's request.
func (s *Service) event(name string, b Browser, a address.Address, reason string) event.Event {
	return event.Event{Name: name, Address: a, Origin: b.Origin.String(), Client: b.Client, Reason: reason}
}

// challengeFor is what a new challenge is made of.
type challengeFor struct {
	browser  Browser
	address  address.Address
	language string
	known    bool
}

// newChallenge stores a challenge with its link and its mail.
func (s *Service) newChallenge(tx store.Tx, in challengeFor) (*challenge, error) {
	now := s.core.now()
	failures := s.cfg.Limits.WrongCodes(in.address, in.known)
	if err := (limit.Counters{failures}).Load(tx); err != nil {
		return nil, err
	}
	paused, err := loadPause(tx, in.address, now)
	if err != nil {
		return nil, err
	}
	tries := min(s.cfg.Code.Attempts, failures.Left(now))
	c := &challenge{
		ID: keyring.RandomToken(16), Secret: s.core.secrets.Current.ID(),
		Address: in.address, Origin: in.browser.Origin, Language: in.language,
		AskedAt: now, Expires: now.Add(s.cfg.Code.Lifetime), Kept: now.Add(s.cfg.Code.Lifetime + FlowLifetime),
		Digits: s.cfg.Code.Digits, Tries: tries, LinkOnly: tries == 0,
		Known: in.known, Decoy: !s.cfg.MayReceive(in.address) || paused != nil && !in.known,
		Agent: shortAgent(in.browser.UserAgent), Network: coarseNetwork(in.browser.Client),
	}
	c.mail = c.entry("")
	if !c.Decoy { // a decoy sends nothing, and must cost real people nothing
		if c.mail, err = s.spend(tx, c); err != nil {
			return nil, err
		}
	}
	link := s.core.secrets.Current.LinkFor(c.ID)
	if err := store.Save(tx, store.KeyLink+keyring.Hash(link), c.ID, c.Kept); err != nil {
		return nil, err
	}
	if err := s.remember(tx, c); err != nil {
		return nil, err
	}
	return c, s.core.outbox.Put(tx, c.mail)
}
