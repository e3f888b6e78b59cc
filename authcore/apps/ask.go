package apps

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/decide"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Ask is an app's wish that a person prove an address or a number. What it
// makes is bound to no browser: whoever holds the code together with the
// contact, or the link, has proved it.
type Ask struct {
	Caller Caller
	Whom   person.Whom // who is asked
	// PreferText asks for a text message where this instance can send any and the
	// person has a number, added once Whom.Email had been proved; else the address
	// is asked. Whoever enters a number beside an address that nobody has proved
	// could be anybody, and would be taken for its holder.
	PreferText bool

	// Create makes the person, with Draft, when nobody has Whom.Email or
	// Whom.Phone: at once for a secret key, else by the proof.
	Create bool
	Draft  person.Draft
	// Attached asks also who only has Whom.Email or Whom.Phone attached, beside what
	// they have proved; not with Create.
	Attached bool

	Known Terms  // for a person who was there before
	New   *Terms // for one made by this call; nil: as Known

	// Slot names the kind of proof: challenges of one slot and contact
	// supersede each other if Supersede is set, and codes are answered by slot.
	Slot      string
	Supersede bool

	Deliver bool         // have it sent; else the caller delivers, and no mail limit counts
	Poll    bool         // make a token to wait with
	Pair    bool         // the link counts only with two digits that are shown where it was asked for
	Repeat  []limit.Rate // in place of the parts of per_recipient up to a minute
	Window  *Window

	Handle   string        // from Service.Handle: codes are answered with it
	Shows    string        // with Deliver: what a link begins with that shows the code, once wrong ones are used up
	Origin   origin.Origin // where the API stands
	Client   netip.Addr    // who asked, for the log
	EndUser  bool          // Client is the end user's own, and counts for per_client and the Window
	Agent    string        // the end user's browser
	Language string
	Note     string // the wire format's own, returned when the proof is made

	invite *organization.Invite // what the mail invites to; with an ID: the one to send again
}

// Terms say what is sent and how long it lives.
type Terms struct {
	Digits   int           // length of a code; 0: a link
	Hex      bool          // the code is of hexadecimal digits
	Lifetime time.Duration // more than 0
	Before   string        // the link is Before, the token or code, After
	After    string
	Letter   outbox.LetterKind
	Redirect string // where the link leads in the end, "" for nowhere
	Use      origin.RedirectUse
}

// Window is an app's own rule on repeats: at most Count challenges for one
// contact, and from one end user's client, within Per. Count is at least 1 and at most
// MaxWindow.
type Window struct {
	Count int
	Per   time.Duration
}

// MaxWindow bounds Window.Count.
const MaxWindow = 500

// Asked is what came of an Ask.
type Asked struct {
	// Verdict is Accepted; Unknown when there is no such person and none was to
	// be made; Limited, MailDown or Locked (the handle is spent).
	Verdict    event.Verdict
	RetryAfter time.Duration
	ByClient   bool // with Limited: the Window's count of the client was over

	Person    person.Person
	Created   bool
	Contact   person.Contact
	Challenge string // its id, for logs
	AskedAt   time.Time
	Expires   time.Time
	Attempts  int // of the contact within the Window, this one included

	// What proves it, for callers that deliver it themselves.
	Code, Token, Link, PollToken string
	Pair                         string // to be shown to who asked

	invite organization.Invite  // as stored, with Ask.invite
	made   *challenge.Challenge // with Accepted, nil while the recipient wants none
	mail   *outbox.Entry        // of made, with Ask.Deliver
}

// apiPart is what a challenge made for an app has beside the rest.
type apiPart struct {
	Realm   person.Realm `json:"realm"`
	Subject string       `json:"sub"`
	Contact string       `json:"contact"` // its id
	// AskedBy is the contact that the person was asked for with, if it is another:
	// a number gets the code, and who asked is told the address.
	AskedBy  person.ContactRef  `json:"asked_by,omitzero"`
	Slot     string             `json:"slot"`
	Before   string             `json:"before,omitempty"`
	After    string             `json:"after,omitempty"`
	Letter   outbox.LetterKind  `json:"letter,omitempty"`
	Redirect string             `json:"redirect,omitempty"`
	Use      origin.RedirectUse `json:"use,omitempty"`
	Note     string             `json:"note,omitempty"`
	IP       string             `json:"ip,omitempty"`
	Shows    string             `json:"shows,omitempty"`
	Current  bool               `json:"current,omitempty"` // dead once another is in its slot
	Invite   string             `json:"invite,omitempty"`  // id of the invitation that the link accepts
	Paired   bool               `json:"paired,omitempty"`  // see Ask.Pair
	// New: who answers becomes one of the people, which auto_create lets anybody do.
	New bool `json:"new,omitempty"`
}

// apiKept is how much longer than itself a challenge's record stays, so that
// late answers can be told that they are late.
const apiKept = 24 * time.Hour

// Ask makes a challenge for an app and has it sent, in one transaction.
func (s *View) Ask(ctx context.Context, in Ask) (Asked, error) {
	out, _, err := decide.Update(ctx, s.core.store, func(tx store.Tx) (Asked, event.Verdict, error) {
		t := &asking{s: s, tx: tx, in: in, now: s.core.now()}
		if in.invite != nil {
			wish := *in.invite // each run has its own
			t.in.invite = &wish
		}
		out, err := t.run()
		if t.in.invite != nil {
			out.invite = *t.in.invite
		}
		return out, out.Verdict, err
	})
	if err != nil {
		return Asked{}, err
	}
	s.observe(s.askEvent(in, out)) // before its mail is
	if out.mail != nil {
		s.core.outbox.Add(out.mail)
	}
	return out, nil
}

func (s *View) askEvent(in Ask, out Asked) event.Event {
	e := event.Event{Name: event.Refused, App: in.Caller.App.ID, Address: out.Contact.Address(), Subject: out.Person.Subject,
		Challenge: out.Challenge, Origin: in.Origin.String(), Client: in.Client, Method: in.Slot}
	if e.Address.IsZero() {
		e.Address = in.Whom.Email
	}
	switch {
	case out.Verdict != event.Accepted:
		e.Reason = out.Verdict.String()
	case out.made == nil:
		e.Reason = "paused"
	case out.made.Decoy:
		e.Reason = string(out.made.Unsent)
	case !in.Deliver:
		e.Reason = "delivered_by_app"
	}
	if out.made != nil {
		e.Name, e.Expires = event.Begin, out.made.Expires
	}
	return e
}

// asking is one run of the transaction of an Ask.
type asking struct {
	s       *View
	tx      store.Tx
	in      Ask
	now     time.Time
	p       *person.Record
	to      person.Contact
	text    bool              // to is a number
	instead bool              // a mail, in place of a text message that could not be answered
	beside  bool              // somebody who is not known by it has the address attached
	by      person.ContactRef // the contact that the person was asked for with, if it is not to

	terms    Terms
	seen     *windowCounts // with a Window
	networks challenge.Networks
}

// from is the network of the end user who asks, "" where the app's server does not
// tell: with a handle whoever calls holds it.
func (t *asking) from() string {
	if !t.in.EndUser && t.in.Handle == "" {
		return ""
	}
	return challenge.NetworkID(t.in.Client)
}

// known tells whether what is asked for was proved from there before.
func (t *asking) known() bool { return t.networks.Knows(t.from()) }

func (t *asking) run() (_ Asked, err error) {
	if v, err := t.begin(); err != nil || v != event.Accepted {
		return Asked{Verdict: v}, err
	}
	created, err := t.person()
	if err != nil || t.p == nil || !t.pickContact() {
		return Asked{Verdict: event.Unknown}, err
	}
	if t.tx, err = store.ReadAhead(t.tx, t.keysOf(t.to.Value)...); err != nil {
		return Asked{}, err
	}
	if t.from() != "" {
		if t.networks, err = challenge.LoadNetworks(t.tx, networksKey(t.in.Caller.Realm(), t.to.Value)); err != nil {
			return Asked{}, err
		}
	}
	if t.terms = t.in.Known; created && t.in.New != nil {
		t.terms = *t.in.New
	}
	if created {
		if err := t.keep(); err != nil {
			return Asked{}, err
		}
	}
	out := Asked{Person: t.p.View(), Created: created, Contact: t.to}
	if spent, err := handleSpent(t.tx, t.in.Handle); err != nil || spent {
		out.Verdict = event.Locked
		return out, err
	}
	if t.in.Deliver {
		if wait, down := t.s.core.outbox.Down(t.text); down {
			out.Verdict, out.RetryAfter = event.MailDown, wait
			return out, nil
		}
	}
	if v, err := t.window(&out); err != nil || v != event.Accepted {
		out.Verdict = v
		return out, err
	}
	if wait, err := t.limits(); err != nil || wait > 0 {
		if err == nil {
			err = t.outstanding(&out)
		}
		out.Verdict, out.RetryAfter = event.Limited, wait
		return out, err
	}
	if t.terms.Letter == outbox.LetterInvite || t.in.invite != nil {
		if paused, err := invitesPaused(t.tx, t.in.Caller.Realm(), t.to.Address(), t.now); err != nil || paused {
			return out, err
		}
	}
	return out, t.make(&out)
}

// begin reads what is known to be read, and makes the invitation that is mailed.
func (t *asking) begin() (v event.Verdict, err error) {
	invite := t.in.invite
	if invite != nil && invite.ID != "" {
		if v, err := t.renew(); err != nil || v != event.Accepted {
			return v, err
		}
	}
	if t.tx, err = store.ReadAhead(t.tx, t.keys()...); err != nil || invite == nil {
		return event.Accepted, err
	}
	return t.s.orgs.PutInvite(t.tx, invite)
}

// person finds or makes who is asked. Asked is who is nobody yet.
func (t *asking) person() (asked bool, err error) {
	realm, w := t.in.Caller.Realm(), t.in.Whom
	if t.p, err = w.Find(t.tx, realm); err != nil || t.p != nil || !t.in.Create && !t.in.Attached {
		return false, err
	}
	if t.p, err = w.Holder(t.tx, realm); err != nil || !t.in.Create {
		return false, err
	}
	t.beside = t.p != nil
	if t.p, err = w.LoadAsked(t.tx, realm); err == nil && t.p == nil {
		t.p = w.NewAsked(realm, t.in.Caller.App.FirstPlan(), t.in.Draft, t.now)
	}
	return true, err
}

// keep stores who is nobody yet: what an app's server asks for makes a person at
// once, of whom it has said more if it gave a name, unless somebody has the address attached, what anybody else does, an
// invitation too, by its proof.
func (t *asking) keep() error {
	until := t.now.Add(t.terms.Lifetime + apiKept)
	if t.beside || !t.in.Caller.Key.isSecret() || t.in.invite != nil {
		return t.p.SaveAsked(t.tx, until)
	}
	if t.p.Profile.Names == (person.Names{}) {
		t.p.Profile.Asked = until
	}
	_, err := t.p.Settle(t.tx, t.now)
	return err
}

// pickContact chooses what is proved: the one that was named, else by what can
// be sent. It tells whether there is any.
func (t *asking) pickContact() bool {
	p := t.p.View()
	w := t.in.Whom
	wanted := []string{w.Contact, w.Email.String(), w.Phone.String(), p.Shown(address.Address{}).String()}
	if t.in.PreferText && t.s.cfg.Texts {
		if number, ok := p.Trusted(w.Email); ok {
			wanted = append([]string{number}, wanted...)
		}
	}
	for _, want := range wanted {
		if c, ok := p.Contact(want); ok {
			t.to, t.text = c, slices.Contains(p.Phones, c)
			if by, ok := p.Contact(cmp.Or(w.Contact, w.Email.String(), w.Phone.String())); ok && by.ID != c.ID {
				t.by = person.ContactRef{ID: by.ID, Value: by.Value}
			}
			return true
		}
	}
	return false
}

// SendsTexts tells whether this instance is configured to send text messages.
func (s *View) SendsTexts() bool { return s.cfg.Texts }
