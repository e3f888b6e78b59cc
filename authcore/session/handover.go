package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// The portal's session becomes one at a site of another host, where the browser
// shows none of its cookies:
//
//  1. The site marks the browser (HandoverState): a cookie there, whose hash goes to
//     the portal as the state.
//  2. The portal gives the browser a ticket for this site and this state (GiveTicket).
//  3. The site takes the ticket, which is spent by that (TakeTicket). It is worth a
//     session in the browser with the mark alone: else somebody could sign others in
//     as himself, and read what they write (login CSRF).
//
// A hand-over proves nothing anew: the site's session hangs on the portal's
// (family.go), ends with it and has its times.

// HandoverLifetime is how long a ticket is good. A browser carries it over in
// one redirect.
const HandoverLifetime = 30 * time.Second

// ticketRandom is how many random bytes a ticket has.
const ticketRandom = 32

// Handover is what a site asks of the portal: a session for one browser.
type Handover struct {
	Site     origin.Origin
	ReturnTo origin.ReturnTo // on Site
	State    string          // the mark of the browser at Site, from HandoverState
}

// HandoverState marks the browser b at a site before it goes to the portal. The
// cookie is set there as its flow cookie; the state is shown to the portal,
// which binds the ticket to it. Who sees the state can't make the cookie of it.
func (s *View) HandoverState(b Browser) (cookie, state string) {
	cookie = b.Flow
	if !challenge.IsFlowCookie(cookie) {
		cookie = challenge.NewFlowCookie()
	}
	return cookie, handoverState(cookie, b.Origin)
}

func handoverState(cookie string, site origin.Origin) string {
	sum := sha256.Sum256([]byte("gatehouse handover\n" + site.String() + "\n" + cookie))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ticket is a hand-over under way. It is kept by the hash of what the browser
// carries, and longer than it is good: "used" is a record.
type ticket struct {
	Hash    string          `json:"hash"`
	Session string          `json:"sid"` // the portal's
	Site    origin.Origin   `json:"site"`
	Return  origin.ReturnTo `json:"return_to"`
	State   string          `json:"state"`
	Made    time.Time       `json:"made"`
	Used    bool            `json:"used,omitempty"`
}

func (t *ticket) save(tx store.Tx) error {
	return store.Save(tx, store.KeyHandover+t.Hash, t, t.Made.Add(HandoverLifetime+2*keyring.ClockSkew))
}

// live tells whether the ticket is good at now. A clock set back revives none.
func (t *ticket) live(now time.Time) bool {
	return !t.Used && now.Before(t.Made.Add(HandoverLifetime)) && !now.Before(t.Made.Add(-time.Second))
}

// GiveTicket makes a one-time ticket for the session of b, the portal's. It is
// Unknown, and nothing is stored, for a site that is not protected here, a
// state that is none, and a browser without a session that may be handed over.
func (s *View) GiveTicket(ctx context.Context, b Browser, h Handover) (string, event.Verdict, error) {
	from := b.Session
	if from == nil || from.Parent != "" || from.Machine != nil || !keyring.IsToken(h.State, sha256.Size) ||
		h.Site.Audience(s.cfg.Domain) == from.Audience || !s.cfg.Protects(h.Site) {
		return "", event.Unknown, nil
	}
	value := keyring.RandomToken(ticketRandom)
	err := s.core.store.Update(ctx, func(tx store.Tx) error {
		t := ticket{Hash: keyring.Hash(value), Session: from.ID, Site: h.Site, Return: h.ReturnTo, State: h.State, Made: s.core.now()}
		return t.save(tx)
	})
	if err != nil {
		return "", event.Unknown, err
	}
	return value, event.Accepted, nil
}

// Taken is what came of a ticket.
type Taken struct {
	Verdict  event.Verdict
	Session  *Session // with Accepted
	Token    string   // the session cookie's value
	ReturnTo origin.ReturnTo

	began *Beginning
}

// TakeTicket uses a ticket at the site it was made for, in the browser it was
// made for: a session begins there that hangs on the portal's. It is Unknown
// for a ticket that is used, too old, for another site or of a sign-in that has
// ended, NoFlow for a browser that shows no mark, and OtherBrowser for one that
// shows another's. Whatever comes of it, the ticket is spent.
func (s *View) TakeTicket(ctx context.Context, b Browser, value string) (Taken, error) {
	out, err := store.Update(ctx, s.core.store, func(tx store.Tx) (Taken, error) { return s.takeTicket(tx, b, value) })
	if err != nil {
		return Taken{}, err
	}
	e := event.Event{Name: event.HandedOver, Origin: b.Origin.String(), Client: b.Client, Reason: out.Verdict.String()}
	if out.began != nil {
		out.Session, out.Token = out.began.Session, out.began.Token
		s.core.Begun(ctx, out.began)
		e.Reason, e.Address, e.Session, e.Subject, e.Method = "", out.Session.Address, out.Session.ID, out.Session.Subject, out.Session.Method()
	}
	s.core.observe(e)
	return out, nil
}

func (s *View) takeTicket(tx store.Tx, b Browser, value string) (Taken, error) {
	if !keyring.IsToken(value, ticketRandom) {
		return Taken{Verdict: event.Unknown}, nil
	}
	found := &ticket{}
	ok, err := store.Load(tx, store.KeyHandover+keyring.Hash(value), found)
	if err != nil || !ok || found.Hash != keyring.Hash(value) || !found.live(s.core.now()) {
		return Taken{Verdict: event.Unknown}, err
	}
	found.Used = true
	if err := found.save(tx); err != nil {
		return Taken{}, err
	}
	switch {
	case found.Site != b.Origin:
		return Taken{Verdict: event.Unknown}, nil
	case b.Flow == "":
		return Taken{Verdict: event.NoFlow}, nil
	case handoverState(b.Flow, b.Origin) != found.State:
		// Somebody else's ticket: opened here it would sign this browser in as
		// them, and what is typed after that would be theirs.
		return Taken{Verdict: event.OtherBrowser}, nil
	}
	return s.handOver(tx, b, found)
}

// handOver makes the site's session out of the portal's.
func (s *View) handOver(tx store.Tx, b Browser, from *ticket) (Taken, error) {
	parent, err := Load(tx, from.Session)
	if err != nil {
		return Taken{}, err
	}
	if stands, err := s.core.Stands(tx, parent); err != nil || stands != Live {
		return Taken{Verdict: event.Unknown}, err
	}
	p, err := person.Load(tx, parent.Subject)
	if err != nil || p == nil {
		return Taken{Verdict: event.Unknown}, err
	}
	if err := adopt(tx, parent.ID); err != nil {
		return Taken{}, err
	}
	r := s.recordAt(b, s.core.now())
	r.Subject, r.Parent, r.AuthTime, r.Expires = parent.Subject, parent.ID, parent.AuthTime, parent.Expires
	r.AMR, r.Challenge, r.Public = parent.AMR, parent.Challenge, parent.Public
	began, err := s.begin(tx, b, r, p)
	return Taken{Verdict: event.Accepted, ReturnTo: from.Return, began: began}, err
}
