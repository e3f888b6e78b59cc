package apps

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// A proof is one transaction, which may run again. It reads what the app shows, then
// all that this leads to; chooses the challenge that it is about, of several apps'
// too (choose); compares and counts (package challenge); and uses it up: the contact
// is proved, who was nobody becomes somebody, an invitation is accepted, a session
// made (proveaccept.go). Where anybody may try, nothing to answer takes as long as
// something (blind).

// Proof is what an app shows to prove that a person holds a contact: the Token
// of a link or a Code together with the Contact, either of the Slot that it was
// asked for with, or a Code together with the Handle.
type Proof struct {
	Caller  Caller
	Among   []Caller // instead of Caller, with a Code: whoever's it is
	Token   string
	Code    string
	Digits  int  // with a Contact: the form of codes of the Slot, see blind
	Hex     bool // as Digits
	Slot    string
	Contact string // id of the contact, or its value
	Handle  string
	Pair    string // with a Token: the digits that bind it to who waits for it

	Fingerprint *session.Fingerprint // the device at verification, nil for unknown
	Match       FingerprintUse       // what must be the same as when it was asked for

	Session *SessionTerms // makes a session; nil for none
	Extend  string        // sid of the session that gains the proof instead
	Origin  origin.Origin
	Client  netip.Addr // who shows it, for the log
	// EndUser: Client is the end user's own. Where the wire has no handle, another
	// network than the one that asked takes no try from it.
	EndUser bool
	Agent   string
	Forget  bool // the contact's Window begins anew
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
	Person    person.Person
	Contact   person.Contact
	Challenge string
	Note      string
	Invite    string // id of the invitation that came with it, "" for none
	Redirect  string // still allowed now
	Gone      bool   // there was a Redirect, which is not allowed any more
	Session   *Session
}

// Prove compares, counts and consumes, in one transaction: of any number of
// proofs at once at most one is accepted, and no more than the allowed tries
// are compared.
func (s *View) Prove(ctx context.Context, in Proof) (Proved, error) {
	if in.Token == "" && in.Digits > 0 && !challenge.IsCode(in.Code, in.Digits, in.Hex) {
		return Proved{Verdict: event.Malformed}, nil // whoever it is for: nothing is looked up
	}
	type run struct {
		*proving
		out Proved
	}
	last, err := store.Update(ctx, s.core.store, func(tx store.Tx) (run, error) {
		t := &proving{s: s, tx: tx, in: in, now: s.core.now()}
		out, err := t.run()
		return run{t, out}, err
	})
	if err != nil {
		return Proved{}, err
	}
	last.report(last.out)
	return last.out, nil
}

// Look tells what Prove would find behind the token of a link of slot, and
// changes nothing: mail scanners open links too.
func (s *View) Look(ctx context.Context, caller Caller, slot, token string) (Proved, error) {
	return store.View(ctx, s.core.store, func(tx store.Tx) (Proved, error) {
		t := &proving{s: s, tx: tx, in: Proof{Caller: caller, Slot: slot, Token: token}, now: s.core.now()}
		v, err := t.choose()
		return t.view(v), err
	})
}

// proving is one run of the transaction of a Proof.
type proving struct {
	s   *View
	tx  store.Tx
	in  Proof
	now time.Time
	c   *sent
	// beside are what a code was compared with, and was not right for, beside c.
	beside []*proving
	by     challenge.By // who answers c

	started bool // a session was made, not extended
	joined  bool // an organization, as invited
}

func (t *proving) run() (Proved, error) {
	v, err := t.choose()
	if err == nil && v != event.Accepted {
		err = t.blind()
	}
	if err != nil || v != event.Accepted {
		return t.view(v), err
	}
	var result challenge.Result
	method := "code"
	switch {
	case t.in.Token == "":
		if result, err = t.s.challenges.Answer(t.tx, t.c.Challenge, t.in.Code, t.by); err == nil && result.Verdict != event.Malformed {
			err = t.countBeside()
		}
	case t.c.Paired:
		method = "link"
		result, err = t.s.challenges.AnswerPair(t.tx, t.c.Challenge, t.in.Pair)
	default:
		method = "link"
	}
	if err != nil {
		return Proved{}, err
	}
	if result.Verdict == event.Accepted {
		if err := t.consume(method); err != nil {
			return Proved{}, err
		}
		return t.accepted()
	}
	switch result.Verdict {
	case event.CodesOff:
		err = t.blind()
	case event.Locked:
		err = lockHandle(t.tx, t.in.Handle, t.c.Challenge)
	}
	out := t.view(result.Verdict)
	out.TriesLeft = max(out.TriesLeft, result.TriesLeft)
	return out, err
}

// blind takes as long for a contact without a code that can be answered as for
// one that has it, where anybody may try.
func (t *proving) blind() error {
	if t.in.Digits == 0 {
		return nil
	}
	if t.c == nil { // nothing was read beside what leads to it
		if _, err := store.ReadAhead(t.tx, store.KeyChallenge+shortHash(t.in.Contact)); err != nil {
			return err
		}
	}
	return t.s.challenges.AnswerNobody(t.tx, t.in.Contact, t.in.Digits, t.in.Hex, t.in.Code)
}

// choose finds the challenge that the proof is about: of several the one that the
// code is right for, else the first that could be answered. It is compared only
// with those for which who answers has guesses left. Of several apps a wrong code
// counts once, however many were asked.
func (t *proving) choose() (event.Verdict, error) {
	callers := t.in.Among
	if len(callers) == 0 {
		callers = []Caller{t.in.Caller}
	}
	leads, err := t.readAhead(callers)
	if err != nil {
		return event.Unknown, err
	}
	first, firstVerdict := *t, event.Unknown
	var compared []*proving
	var unread error // of one that can't be compared: beside others it takes no part, or their guesses went uncounted
	for i, caller := range callers {
		for _, lead := range leads[i] {
			one := *t
			one.in.Caller = caller
			v, err := one.find(lead)
			if err != nil {
				return v, err
			}
			if v == event.Accepted && (len(callers) > 1 || len(leads[i]) > 1) {
				if len(compared) > besideOwn && t.in.EndUser && compared[0].c.From == t.from() && !one.c.Hex {
					continue
				}
				may, err := t.s.challenges.MayAnswer(one.tx, one.c.Challenge, one.by, len(compared))
				if err != nil {
					return v, err
				}
				right := false
				if may {
					if right, err = one.right(); err != nil {
						unread = err
						continue
					}
				}
				if right {
					*t = one
					return v, nil
				}
				if may && len(leads[i]) > 1 {
					compared = append(compared, &one)
				}
			}
			if firstVerdict == event.Unknown || firstVerdict != event.Accepted && v == event.Accepted {
				first, firstVerdict = one, v
			}
		}
	}
	if unread != nil && firstVerdict != event.Accepted {
		return event.Unknown, unread
	}
	*t = first
	t.beside = slices.DeleteFunc(compared, func(other *proving) bool { return other.c == t.c })
	return firstVerdict, nil
}

// besideOwn is how many codes of others an answer is compared with besides one's own:
// a typo is a guess at each, and strangers can have many sent.
const besideOwn = 2

// countBeside counts a wrong code for what it was compared with besides.
func (t *proving) countBeside() error {
	for _, other := range t.beside {
		if err := t.s.challenges.CountBeside(t.tx, other.c.Challenge, other.by); err != nil {
			return err
		}
	}
	return nil
}

// readAhead reads what the proof names, and then all that it leads to.
func (t *proving) readAhead(callers []Caller) (leads [][]challenge.Lead, err error) {
	var keys []string
	for _, caller := range callers {
		if key := t.leadKey(caller); key != "" {
			keys = append(keys, key)
		}
		if from := t.from(); from != "" && t.in.Contact != "" {
			keys = append(keys, t.s.challenges.NetworkKeys(t.in.Contact, caller.Key.Test, from)...)
		}
	}
	if keyring.IsID(t.in.Extend) {
		keys = append(keys, store.KeySession+t.in.Extend)
	}
	if t.tx, err = store.ReadAhead(t.tx, keys...); err != nil {
		return nil, err
	}
	var all []challenge.Lead
	for _, caller := range callers {
		of, err := t.lead(caller)
		if err != nil {
			return nil, err
		}
		leads = append(leads, of)
		for _, l := range of {
			if t.in.Hex && t.from() != "" {
				l.With = slices.Concat(l.With, t.s.challenges.TriesKeys(l.Challenge, t.from()))
			}
			all = append(all, l)
		}
	}
	t.tx, err = challenge.Follow(t.tx, all...)
	return leads, err
}

// from is the network of the end user who answers, "" where it is not told.
func (t *proving) from() string {
	if !t.in.EndUser {
		return ""
	}
	return challenge.NetworkID(t.in.Client)
}

// asker tells how who answers stands to who asked.
func (t *proving) asker() (by challenge.By, err error) {
	from := t.from()
	if t.in.Handle != "" || t.in.Token != "" || from == "" || from == t.c.From {
		return challenge.By{}, nil
	}
	n, err := challenge.LoadNetworks(t.tx, networksKey(t.c.Realm, t.c.Recipient()))
	return challenge.By{Away: !n.Knows(from), Network: from}, err
}

// find loads the challenge and its person, and tells whether it can be
// answered.
func (t *proving) find(lead challenge.Lead) (event.Verdict, error) {
	if lead.Challenge == "" {
		return event.Unknown, nil
	}
	c, err := loadSent(t.tx, lead.Challenge)
	if err != nil || c == nil || c.Realm != t.in.Caller.Realm() || c.Slot != t.in.Slot && t.in.Handle == "" || c.isLink() != (t.in.Token != "") {
		return event.Unknown, err
	}
	t.c = c
	if t.by, err = t.asker(); err != nil {
		return event.Unknown, err
	}
	if c.isOff(t.in.Caller.App) {
		return event.Expired, nil
	}
	if v, err := c.standing(t.tx, t.now); err != nil || v != event.Accepted {
		return v, err
	}
	if !t.sameDevice() {
		return event.Mismatch, nil
	}
	return event.Accepted, nil
}

// leadKey is where what the proof shows leads from, "" for nowhere.
func (t *proving) leadKey(caller Caller) string {
	switch {
	case t.in.Token != "":
		if len(t.in.Token) != keyring.APILinkLen {
			return ""
		}
		return store.KeyAPILink + keyring.Hash(t.in.Token)
	case t.in.Handle != "":
		return handleKey(t.in.Handle)
	case t.in.Contact != "":
		return slotKey(caller.Realm(), t.in.Slot, t.in.Contact)
	}
	return ""
}

// lead finds what the proof may be about: one, or with a Contact several.
func (t *proving) lead(caller Caller) ([]challenge.Lead, error) {
	key := t.leadKey(caller)
	if key == "" {
		return nil, nil
	}
	if t.in.Token == "" && t.in.Handle == "" {
		in, err := loadSlot(t.tx, key)
		return in.leads(t.from()), err
	}
	l, err := challenge.LoadLead(t.tx, key)
	return []challenge.Lead{l}, err
}

// standing is what c, made for an app, can still do at now: Accepted, or why it
// can't be answered. Who answers it and who sends its mail ask the same.
func (c *sent) standing(tx store.Tx, now time.Time) (event.Verdict, error) {
	v := c.State(now)
	if v != event.Accepted && v != event.CodesOff {
		return v, nil
	}
	if superseded, err := c.superseded(tx); err != nil || superseded {
		return event.Expired, err
	}
	if v != event.Accepted {
		return v, nil
	}
	return c.inviteState(tx)
}

// isOff tells whether the configuration does not allow by now what c is for: to
// join an organization, to be signed in by who waits for it, or to become one of the
// people.
func (c *sent) isOff(app *App) bool {
	return c.Invite != "" && !app.Organizations || c.Paired && !app.AutoVerify || c.New && c.person.IsNobody() && !app.AutoCreate
}

// superseded tells whether another challenge took c's place.
func (c *sent) superseded(tx store.Tx) (bool, error) {
	if !c.Current {
		return false, nil
	}
	in, err := loadSlot(tx, slotKey(c.Realm, c.Slot, c.Contact))
	return !in.holds(c.ID), err
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
	return (!match.IP || f.IP == t.c.IP) && (!match.UserAgent || challenge.ShortAgent(f.UserAgent) == t.c.Agent)
}

// right tells whether the code is the right one, and counts nothing.
func (t *proving) right() (bool, error) {
	code, _, ok := t.c.Parse(t.in.Code)
	if !ok {
		return false, nil
	}
	return t.s.challenges.IsRight(t.c.Challenge, code)
}

// pairTries are the wrong pairs of digits that a link bears. A link that somebody
// waits for signs in who waits, not who opens it: a stranger can start a sign-in
// for anybody and wait for the click. Two digits bind the two ends: they are
// shown where the sign-in began, and typed where the link is opened.
const pairTries = 3
