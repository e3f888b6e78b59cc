package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
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
	Session      *Session
	Token        string // the session cookie's value
	DeviceCookie string // the device cookie's value, to be set anew; empty on a public computer and after a hand-over
	ReturnTo     origin.ReturnTo
}

// AnswerCode compares text with the code of the flow (empty: the newest) of
// this browser, counts a wrong answer and consumes a right one, in one
// transaction: of any number of answers at once at most one is accepted, and
// no more than the allowed tries are compared.
func (s *Service) AnswerCode(ctx context.Context, b Browser, flow, text string) (Answer, error) {
	return s.answer(ctx, b, func(t *attempt) (Answer, error) {
		if err := t.find(flow); err != nil || t.c == nil {
			return Answer{Verdict: event.NoFlow}, err
		}
		return t.answerCode(text)
	})
}

// AnswerLink uses a link in the browser that asked for it. In any other it
// changes nothing.
func (s *Service) AnswerLink(ctx context.Context, b Browser, token string) (Answer, error) {
	return s.answer(ctx, b, func(t *attempt) (Answer, error) {
		c, err := loadLink(t.tx, token, t.now)
		if err != nil || c == nil {
			return Answer{Verdict: event.Unknown}, err
		}
		t.about = c
		if v := c.state(t.now); v != event.Accepted && v != event.CodesOff {
			return Answer{Verdict: v}, nil
		}
		if err := t.load(); err != nil {
			return Answer{}, err
		}
		if t.c, t.f = c, t.flows.pickChallenge(c.ID); t.f == nil || !t.asked(c) {
			return Answer{Verdict: event.OtherBrowser}, nil
		}
		return t.accept("link")
	})
}

// attempt is one run of a transaction about a flow.
type attempt struct {
	s     *Service
	tx    store.Tx
	b     Browser
	now   time.Time
	flows *browserFlows
	f     *flowRecord
	c     *challenge
	about *challenge // what was answered; c may be a new one in its place

	resend   bool            // nothing is answered: the mail is wanted again
	again    string          // with an event of its own: what came of the wish for a mail
	mails    []*outbox.Entry // to be sent, once committed
	newcomer bool            // the person is new
	ended    []ending        // sessions to cut off, once committed
}

func (s *Service) answer(ctx context.Context, b Browser, do func(*attempt) (Answer, error)) (Answer, error) {
	var out Answer
	var t *attempt
	err := s.core.store.Update(ctx, func(tx store.Tx) (err error) {
		t = &attempt{s: s, tx: tx, b: b, now: s.core.now()}
		out, err = do(t)
		if err == nil {
			out.Flow = t.view()
		}
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	t.committed(ctx, out)
	return out, nil
}

func (t *attempt) load() (err error) {
	t.flows, err = loadFlows(t.tx, t.b.Flow)
	return err
}

// find loads the flow with id, or the newest of this site, and its challenge.
func (t *attempt) find(id string) error {
	if err := t.load(); err != nil {
		return err
	}
	for i := len(t.flows.Flows) - 1; i >= 0; i-- {
		f := &t.flows.Flows[i]
		if id != "" && f.ID != id {
			continue
		}
		c, err := loadOpen(t.tx, f.Challenge, t.now)
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

// asked tells whether c was asked for by this browser at this site. Sites on
// one host share the flow cookie (ports don't part cookies); what was asked for
// at one must not sign in at the other.
func (t *attempt) asked(c *challenge) bool {
	return c.Browser == t.flows.Browser && c.Origin == t.b.Origin
}

func (t *attempt) answerCode(text string) (Answer, error) {
	switch v := t.c.state(t.now); v {
	case event.Expired:
		return t.renewExpired()
	case event.Used:
		return Answer{Verdict: v}, nil
	case event.Locked, event.CodesOff:
		return Answer{Verdict: v, RetryAfter: t.resendWait()}, nil
	}
	code, found, ok := ParseCode(text, t.c.Digits)
	if !ok {
		return Answer{Verdict: event.Malformed, Found: found}, nil
	}
	failures := t.s.cfg.Limits.WrongCodes(t.c.Address, t.c.Known)
	if err := (limit.Counters{failures}).Load(t.tx); err != nil {
		return Answer{}, err
	}
	left := failures.Left(t.now)
	if left == 0 { // used up by other challenges meanwhile
		return Answer{Verdict: event.CodesOff, RetryAfter: t.resendWait()}, nil
	}
	if t.rightCode(code) {
		return t.accept("code")
	}
	t.c.Tries--
	limit.Counters{failures}.Count(t.tx, t.now)
	triesLeft := min(t.c.Tries, left-1)
	if triesLeft <= 0 {
		t.c.Locked = true
		return Answer{Verdict: event.Locked, RetryAfter: t.resendWait()}, t.keep(OutcomeLocked)
	}
	return Answer{Verdict: event.Wrong, TriesLeft: triesLeft}, t.keep(OutcomeWrongCode)
}

// keep saves the challenge after a wrong answer.
func (t *attempt) keep(outcome Outcome) error {
	if err := t.s.core.note(t.tx, t.c, Step{At: t.now, Outcome: outcome}); err != nil {
		return err
	}
	return t.c.save(t.tx)
}

// rightCode compares also for a decoy, so that both take the same time.
func (t *attempt) rightCode(code string) bool {
	secret, known := t.s.core.secrets.Find(t.c.Secret)
	if !known {
		secret = t.s.core.secrets.Current
	}
	same := keyring.SameCode(code, secret.CodeFor(t.c.ID, t.c.Digits))
	return same && known && !t.c.Decoy
}

// accept consumes the challenge: a session is made, the one before it in this
// browser ends, and the browser is remembered for the address.
func (t *attempt) accept(method string) (Answer, error) {
	person, err := t.s.personFor(t.tx, t.c.Address)
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
		notice := t.c.entry(outbox.LetterNewDevice)
		t.mails = append(t.mails, notice)
		if err := t.s.core.outbox.Put(t.tx, notice); err != nil {
			return Answer{}, err
		}
	}
	t.c.Used, t.c.Session = true, signIn.Session.ID
	t.newcomer = t.isNew(person)
	if err := t.s.core.noteUsed(t.tx, t.c, t.now, method); err != nil {
		return Answer{}, err
	}
	return Answer{Verdict: event.Accepted, SignIn: signIn}, t.c.save(t.tx)
}

// committed does what must wait until the transaction is on disk.
func (t *attempt) committed(ctx context.Context, out Answer) {
	core := t.s.core
	core.endedAll(ctx, t.ended)
	if out.SignIn != nil {
		core.cache.put(out.SignIn.Session)
		core.census.sessions.Add(1)
		if t.newcomer {
			core.census.people.Add(1)
		}
	}
	if out.Verdict == event.Wrong || out.Verdict == event.Locked {
		core.alarm.count(t.s)
	}
	t.report(out)
	for _, mail := range t.mails {
		core.outbox.Add(mail)
	}
}

// report tells what came of the answer, and then of a wish for another mail.
func (t *attempt) report(out Answer) {
	e := t.s.event(event.Answer, t.b, address.Address{}, out.Verdict.String())
	if t.about != nil {
		e.Address, e.Challenge = t.about.Address, t.about.ID
	}
	if out.SignIn != nil {
		e.Name, e.Reason = event.SignedIn, ""
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
