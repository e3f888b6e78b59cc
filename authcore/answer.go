package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Answer is what came of a code, a link or a wish to get the mail again.
type Answer struct {
	Verdict    event.Verdict
	TriesLeft  int           // with Wrong
	Found      int           // with Malformed: how many digits there were
	RetryAfter time.Duration // with Limited; with Expired, Locked and CodesOff: when a new mail may be asked for
	Resent     bool          // with Expired: a new mail is on its way
	Flow       *Flow         // the sign-in this was about, nil with NoFlow
	SignIn     *SignIn       // with Accepted from a code or a link
}

// SignIn is a proof of address just made.
type SignIn struct {
	Session      *session.Session
	Token        string // the session cookie's value
	DeviceCookie string // the device cookie's value, to be set anew; empty on a public computer, after a hand-over and with an operator's code
	ReturnTo     origin.ReturnTo
}

// An answer is one transaction, which may run again. It reads what the browser's
// cookies name, then what its flows or the link lead to, each at once; compares,
// counts and consumes (package challenge); and makes the session. Mails, events
// and what this process remembers follow once it is on disk.

// AnswerCode compares text with the code of the flow (empty: the newest) of
// this browser, counts a wrong answer and consumes a right one, in one
// transaction: of any number of answers at once at most one is accepted, and
// no more than the allowed tries are compared.
func (all Flows) AnswerCode(ctx context.Context, b session.Browser, flow, text string) (Answer, error) {
	s := all.s
	return s.answer(ctx, b, func(t *run) (Answer, error) {
		if err := t.find(flow); err != nil || t.c == nil {
			return Answer{Verdict: event.NoFlow}, err
		}
		result, err := s.challenges.Answer(t.tx, t.c, text, challenge.By{})
		if err != nil {
			return Answer{}, err
		}
		switch result.Verdict {
		case event.Accepted:
			return t.accept("code")
		case event.Expired:
			return t.renewExpired()
		case event.Locked, event.CodesOff:
			return Answer{Verdict: result.Verdict, RetryAfter: t.resendWait()}, nil
		}
		return Answer{Verdict: result.Verdict, Found: result.Found, TriesLeft: result.TriesLeft}, nil
	})
}

// AnswerLink uses a link in the browser that asked for it. In any other it
// changes nothing.
func (all Flows) AnswerLink(ctx context.Context, b session.Browser, token string) (Answer, error) {
	s := all.s
	return s.answer(ctx, b, func(t *run) (Answer, error) {
		c, err := t.findLink(token)
		if err != nil || c == nil {
			return Answer{Verdict: event.Unknown}, err
		}
		t.about = c
		if v := c.State(t.now); v != event.Accepted && v != event.CodesOff {
			return Answer{Verdict: v}, nil
		}
		if t.c == nil {
			return Answer{Verdict: event.OtherBrowser}, nil
		}
		return t.accept("link")
	})
}

// run is one run of a transaction about a flow.
type run struct {
	s     *Service
	tx    store.Tx
	b     session.Browser
	now   time.Time
	flows *challenge.Flows
	f     *challenge.Flow
	c     *challenge.Challenge
	about *challenge.Challenge // what was answered; c may be a new one in its place
	out   Answer

	resend   bool               // nothing is answered: the mail is wanted again
	again    string             // with an event of its own: what came of the wish for a mail
	mails    []*outbox.Entry    // to be sent, once committed
	newcomer bool               // the person is new
	began    *session.Beginning // the session, made known once committed
}

func (s *Service) answer(ctx context.Context, b session.Browser, do func(*run) (Answer, error)) (Answer, error) {
	t, err := store.Update(ctx, s.core.store, func(tx store.Tx) (t *run, err error) {
		t = &run{s: s, tx: tx, b: b, now: s.core.now()}
		if t.out, err = do(t); err == nil {
			t.out.Flow = t.view()
		}
		return t, err
	})
	if err != nil {
		return Answer{}, err
	}
	t.committed(ctx, t.out)
	return t.out, nil
}

// load reads what the browser's cookies name, and keys.
func (t *run) load(keys ...string) (err error) {
	if t.b.Flow != "" {
		keys = append(keys, challenge.FlowsKey(t.b.Flow))
	}
	if t.b.Device != "" {
		keys = append(keys, challenge.DeviceKey(t.b.Device))
	}
	if t.b.Session != nil {
		keys = append(keys, store.KeySession+t.b.Session.ID, store.KeyPerson+t.b.Session.Subject)
	}
	if t.tx, err = store.ReadAhead(t.tx, keys...); err != nil {
		return err
	}
	t.flows, err = challenge.LoadFlows(t.tx, t.b.Flow)
	return err
}

// find loads the flow with id, or the newest of this site, and its challenge; and
// what is at keys.
func (t *run) find(id string, keys ...string) error {
	if err := t.load(keys...); err != nil {
		return err
	}
	flows := t.flows.At(t.b.Origin, id)
	tx, err := challenge.Follow(t.tx, challenge.Leads(flows)...)
	if err != nil {
		return err
	}
	for _, f := range flows {
		c, err := challenge.Open(tx, f.Challenge)
		if err != nil {
			return err
		}
		if c != nil && t.asked(c) {
			t.f, t.c, t.about = f, c, c
			return nil
		}
	}
	return nil
}

// findLink loads the challenge of a link token, nil for none, and in the browser
// that asked for it the flow.
func (t *run) findLink(token string) (*challenge.Challenge, error) {
	key := challenge.LinkKey(token)
	if key == "" {
		return nil, nil
	}
	if err := t.load(key); err != nil {
		return nil, err
	}
	lead, err := challenge.LoadLead(t.tx, key)
	if err != nil {
		return nil, err
	}
	tx, err := challenge.Follow(t.tx, lead)
	if err != nil {
		return nil, err
	}
	c, err := challenge.OpenLink(tx, lead)
	if err != nil || c == nil {
		return nil, err
	}
	for _, f := range t.flows.At(t.b.Origin, "") {
		if t.f == nil && f.Challenge == c.ID && t.asked(c) {
			t.f, t.c = f, c
		}
	}
	return c, nil
}

// asked tells whether c was asked for by this browser at this site. Sites on
// one host share the flow cookie (ports don't part cookies); what was asked for
// at one must not sign in at the other.
func (t *run) asked(c *challenge.Challenge) bool {
	return c.Browser == t.flows.Browser && c.Origin == t.b.Origin
}

// accept consumes the challenge: a session is made, the one before it in this
// browser ends, and the browser is remembered for the address.
func (t *run) accept(method string) (Answer, error) {
	person, err := person.ForAddress(t.tx, t.c.Address, t.now)
	if err != nil {
		return Answer{}, err
	}
	unseen, err := t.isUnseen(person)
	if err != nil {
		return Answer{}, err
	}
	signIn, err := t.signIn(person, method)
	if err != nil {
		return Answer{}, err
	}
	if unseen {
		notice := noticeOf(t.c, outbox.LetterNewDevice)
		t.mails = append(t.mails, notice)
		if err := t.s.core.outbox.Put(t.tx, notice); err != nil {
			return Answer{}, err
		}
	}
	t.newcomer = !person.Created.Before(t.now)
	return Answer{Verdict: event.Accepted, SignIn: signIn}, t.s.challenges.Use(t.tx, t.c, method, signIn.Session.ID)
}

// committed does what must wait until the transaction is on disk.
func (t *run) committed(ctx context.Context, out Answer) {
	core := t.s.core
	if t.began != nil {
		core.sessions.Begun(ctx, t.began)
		if t.newcomer {
			core.census.people.Add(1)
		}
	}
	if out.Verdict == event.Wrong || out.Verdict == event.Locked {
		t.s.wrongCode()
	}
	t.report(out)
	for _, mail := range t.mails {
		core.outbox.Add(mail)
	}
}

// report tells what came of the answer, and then of a wish for another mail.
func (t *run) report(out Answer) {
	e := t.s.event(event.Answer, t.b, address.Address{}, out.Verdict.String())
	if t.about != nil {
		e.Address, e.Challenge = t.about.Address, t.about.ID
	}
	if out.SignIn != nil {
		e.Name, e.Reason, e.Mail = event.SignedIn, "", t.about.Mail()
		e.Session, e.Subject, e.Method = out.SignIn.Session.ID, out.SignIn.Session.Subject, out.SignIn.Session.Method()
	}
	if t.resend {
		e.Name = event.Refused
	}
	if !t.resend || out.Verdict != event.Accepted {
		t.s.observe(e)
	}
	if t.again != "" {
		e := t.s.event(event.Begin, t.b, t.c.Address, t.again)
		e.Challenge, e.Expires = t.c.ID, t.c.Expires
		t.s.observe(e)
	}
}

// wrongCode counts a wrong code for the alarm, once it is on disk.
func (s *Service) wrongCode() {
	if s.core.alarm.Count(s.core.now()) {
		s.observe(event.Event{Name: event.Alarm, Reason: "wrong codes today above the usual"})
	}
}

// signIn makes a session for p, in the place of the one before it in this
// browser, and remembers the browser for the address.
func (t *run) signIn(p *person.Record, method string) (_ *SignIn, err error) {
	t.began, err = t.s.sessions.Begin(t.tx, session.Proof{Person: p, Method: method, ByMail: t.byMail(method), At: t.now, Browser: t.b, Public: t.f.Public, Challenge: t.c.ID})
	if err != nil {
		return nil, err
	}
	cookie, err := t.rememberDevice(p, method)
	if err != nil {
		return nil, err
	}
	return &SignIn{Session: t.began.Session, Token: t.began.Token, DeviceCookie: cookie, ReturnTo: t.f.ReturnTo}, nil
}

// byMail tells whether an answer proves that its mail was read: an operator may have
// told the code, the link nobody.
func (t *run) byMail(method string) bool { return !t.c.Admitted || method != "code" }

// rememberDevice remembers a browser of the person's own: a public computer
// would give its next user their budget of mails and tries, and whoever talked an
// operator into a code would keep them.
func (t *run) rememberDevice(p *person.Record, method string) (cookie string, err error) {
	if t.f.Public || !t.byMail(method) {
		return "", nil
	}
	d, err := challenge.LoadDevice(t.tx, t.b.Device)
	if err != nil {
		return "", err
	}
	cookie = t.b.Device
	if d.Hash == "" {
		cookie = challenge.NewDeviceCookie()
		d.Hash = keyring.Hash(cookie)
	}
	return cookie, d.Prove(t.tx, p.Address, p.Subject, t.now)
}
