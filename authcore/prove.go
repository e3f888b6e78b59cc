package authcore

import (
	"context"
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Proof is what an app shows to prove that a person holds a contact: the Token
// of a link or a Code together with the Contact, either of the Slot that it was
// asked for with, or a Code together with the Handle.
type Proof struct {
	Caller  Caller
	Among   []Caller // instead of Caller, with a Code: whoever's it is
	Token   string
	Code    string
	Slot    string
	Contact string // id of the contact, or its value
	Handle  string
	Pair    string // with a Token: the digits that bind it to who waits for it

	Fingerprint *Fingerprint   // the device at verification, nil for unknown
	Match       FingerprintUse // what must be the same as when it was asked for

	Session *SessionTerms // makes a session; nil for none
	Extend  string        // sid of the session that gains the proof instead
	Origin  origin.Origin
	Client  netip.Addr // who shows it, for the log
	Agent   string
	Forget  bool // the contact's Window begins anew
}

// Fingerprint is what is known of a device.
type Fingerprint struct {
	IP        string `json:"ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

// Proved is what came of a Proof.
type Proved struct {
	// Verdict is Accepted, Unknown (no such token, contact or code),
	// Malformed (not the form of a code; no try), Wrong, Locked, CodesOff,
	// Expired (also: superseded), Used or Mismatch. What was sent to a contact
	// that is not the person's any more is Unknown.
	Verdict   event.Verdict
	TriesLeft int    // with Wrong
	Paired    bool   // a link that needs Proof.Pair
	Method    string // "code" or "link"
	Person    Person
	Contact   Contact
	Challenge string
	Note      string
	Invite    string // id of the invitation that came with it, "" for none
	Redirect  string // still allowed now
	Gone      bool   // there was a Redirect, which is not allowed any more
	Session   *AppSession
}

// Prove compares, counts and consumes, in one transaction: of any number of
// proofs at once at most one is accepted, and no more than the allowed tries
// are compared.
func (s *Service) Prove(ctx context.Context, in Proof) (Proved, error) {
	var out Proved
	var t *proving
	err := s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		t = &proving{s: s, tx: tx, in: in, now: s.core.now()}
		out, err = t.run()
		return err
	})
	if err != nil {
		return Proved{}, err
	}
	t.report(out)
	if t.anew {
		err = s.endUnfounded(ctx, t.p, t.p.Address, "contact_proved")
	}
	return out, err
}

// Look tells what Prove would find behind the token of a link of slot, and
// changes nothing: mail scanners open links too.
func (s *Service) Look(ctx context.Context, caller Caller, slot, token string) (Proved, error) {
	var out Proved
	err := s.core.store.View(ctx, func(tx store.Tx) error {
		t := &proving{s: s, tx: tx, in: Proof{Caller: caller, Slot: slot, Token: token}, now: s.core.now()}
		v, err := t.find()
		out = t.view(v)
		return err
	})
	return out, err
}

// proving is one run of the transaction of a Proof.
type proving struct {
	s   *Service
	tx  store.Tx
	in  Proof
	now time.Time
	c   *challenge
	p   *person

	started bool // a session was made, not extended
	joined  bool // an organization, as invited
	anew    bool // sessions from before have ended
}

func (t *proving) run() (Proved, error) {
	v, err := t.choose()
	if err == nil && v == event.Accepted && t.in.Token == "" {
		return t.code()
	}
	if err == nil && v == event.Accepted {
		if v, err = t.pair(); err == nil && v == event.Accepted {
			v, err = t.consume("link")
		}
	}
	if err != nil {
		return Proved{}, err
	}
	return t.accepted(v)
}

// choose finds the challenge that the proof is about: of several apps' the one
// that the code is right for, else the first that could be answered. So a wrong
// code counts once, however many were asked.
func (t *proving) choose() (event.Verdict, error) {
	if len(t.in.Among) == 0 {
		return t.find()
	}
	first, firstVerdict := *t, event.Unknown
	for _, caller := range t.in.Among {
		one := *t
		one.in.Caller = caller
		v, err := one.find()
		if err != nil {
			return v, err
		}
		if v == event.Accepted && one.right() {
			*t = one
			return v, nil
		}
		if firstVerdict == event.Unknown || firstVerdict != event.Accepted && v == event.Accepted {
			first, firstVerdict = one, v
		}
	}
	*t = first
	return firstVerdict, nil
}

// find loads the challenge and its person, and tells whether it can be
// answered.
func (t *proving) find() (event.Verdict, error) {
	id, err := t.locate()
	if err != nil || id == "" {
		return event.Unknown, err
	}
	c, p, err := loadSent(t.tx, id)
	if err != nil || c == nil || c.API.Realm != t.in.Caller.Realm() || c.API.Slot != t.in.Slot && t.in.Handle == "" || c.API.Link != (t.in.Token != "") {
		return event.Unknown, err
	}
	t.c, t.p = c, p
	if v, err := c.standing(t.tx, t.now); err != nil || v != event.Accepted {
		return v, err
	}
	if !t.sameDevice() {
		return event.Mismatch, nil
	}
	return event.Accepted, nil
}

// locate finds the id of the challenge that the proof is about, "" for none.
func (t *proving) locate() (id string, err error) {
	switch {
	case t.in.Token != "":
		if len(t.in.Token) != keyring.APILinkLen {
			return "", nil
		}
		_, err = store.Load(t.tx, store.KeyAPILink+keyring.Hash(t.in.Token), &id)
	case t.in.Handle != "":
		var state handleState
		_, err = store.Load(t.tx, store.KeyAPIHandle+keyring.Hash(t.in.Handle), &state)
		id = state.Challenge
	default:
		var contact Contact
		if contact, err = t.contact(); err == nil && contact.ID != "" {
			part := &apiPart{Realm: t.in.Caller.Realm(), Slot: t.in.Slot, Contact: contact.ID}
			_, err = store.Load(t.tx, slotKey(part), &id)
		}
	}
	return id, err
}

// contact reads the contact that a code is for.
func (t *proving) contact() (Contact, error) {
	kind := indexValue
	if keyring.IsID(t.in.Contact) {
		kind = indexContact
	}
	p, err := findPerson(t.tx, t.in.Caller.Realm(), kind, t.in.Contact)
	if err != nil || p == nil {
		return Contact{}, err
	}
	v := p.view()
	c, _ := v.Contact(t.in.Contact)
	return c, nil
}

// standing is what c, made for an app, can still do at now: Accepted, or why it
// can't be answered. Who answers it and who sends its mail ask the same.
func (c *challenge) standing(tx store.Tx, now time.Time) (event.Verdict, error) {
	if v := c.state(now); v != event.Accepted {
		return v, nil
	}
	if superseded, err := c.superseded(tx); err != nil || superseded {
		return event.Expired, err
	}
	return c.inviteState(tx)
}

// superseded tells whether another challenge took c's place.
func (c *challenge) superseded(tx store.Tx) (bool, error) {
	if !c.API.Current {
		return false, nil
	}
	var id string
	_, err := store.Load(tx, slotKey(c.API), &id)
	return id != c.ID, err
}

func (t *proving) sameDevice() bool {
	match := t.in.Match
	if !match.IP && !match.UserAgent {
		return true
	}
	f := t.in.Fingerprint
	if f == nil {
		return false
	}
	return (!match.IP || f.IP == t.c.API.IP) && (!match.UserAgent || shortAgent(f.UserAgent) == t.c.Agent)
}

// code compares a code, and counts a wrong one where it can't be forgotten.
func (t *proving) code() (Proved, error) {
	if _, ok := t.parse(); !ok {
		return t.accepted(event.Malformed)
	}
	contact := t.c.value()
	failures := t.s.cfg.Limits.WrongCodesOf(t.c.API.Realm.Test, contact)
	if err := (limit.Counters{failures}).Load(t.tx); err != nil {
		return Proved{}, err
	}
	left := failures.Left(t.now)
	if left == 0 {
		return t.accepted(event.CodesOff)
	}
	if t.right() {
		v, err := t.consume("code")
		if err != nil {
			return Proved{}, err
		}
		return t.accepted(v)
	}
	limit.Counters{failures}.Count(t.tx, t.now)
	t.c.Tries--
	out, step := t.view(event.Wrong), Step{At: t.now, Outcome: OutcomeWrongCode}
	if out.TriesLeft = min(t.c.Tries, left-1); out.TriesLeft <= 0 {
		t.c.Locked, out.Verdict, out.TriesLeft, step.Outcome = true, event.Locked, 0, OutcomeLocked
		if err := lockHandle(t.tx, t.in.Handle, t.c); err != nil {
			return Proved{}, err
		}
	}
	if err := t.s.core.note(t.tx, t.c, step); err != nil {
		return Proved{}, err
	}
	return out, t.c.save(t.tx)
}

// right compares the code.
func (t *proving) right() bool {
	code, ok := t.parse()
	secret, known := t.s.core.secrets.Find(t.c.Secret)
	return ok && known && keyring.SameCode(code, t.c.codeOf(secret))
}

// parse reads the code in the form that was sent.
func (t *proving) parse() (string, bool) {
	if !t.c.API.Hex {
		code, _, ok := ParseCode(t.in.Code, t.c.Digits)
		return code, ok
	}
	if len(t.in.Code) != t.c.Digits {
		return "", false
	}
	for i := range len(t.in.Code) {
		if c := t.in.Code[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return t.in.Code, true
}

// value is the address or number that the challenge is about.
func (c *challenge) value() string {
	if c.API != nil && !c.API.Phone.IsZero() {
		return c.API.Phone.String()
	}
	return c.Address.String()
}
