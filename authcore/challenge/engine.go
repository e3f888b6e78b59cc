package challenge

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Guessing is bounded twice: a challenge bears a few wrong answers, and a
// recipient a few more over all its challenges (limit.Limits.Failures). Both are
// counted in the transaction that compares, so that of a hundred answers at once
// no more are compared than are allowed, and of several right ones one counts.
//
// A stranger who uses both up must not lock a person out. At a gate the person
// has the link, and a browser that is known counts apart. At an app a network that
// has proved the contact is what a known browser is (Known), what another network
// guesses at a challenge takes no try from it (By) though the right code counts from
// there, too, and once the budget is used up the mail leads to the code in place of
// bearing it (Wish.Shows, Open).

// Config is what an Engine makes challenges by.
type Config struct {
	Secrets  keyring.Secrets
	Now      func() time.Time
	Limits   limit.Limits
	Attempts int // wrong answers that a challenge bears
	// MayReceive says who gets a mail that a browser asked for.
	MayReceive func(address.Address) bool
}

// Engine makes and answers challenges by the rules of one configuration.
type Engine struct{ Config }

// Wish is what a challenge is made of.
type Wish struct {
	Address  address.Address
	Phone    address.Phone // in place of Address
	Origin   origin.Origin
	For      origin.Origin // where it leads; zero: Origin
	Language string
	Agent    string
	Client   netip.Addr
	Digits   int // of the code; 0: a link alone
	Hex      bool
	Lifetime time.Duration // of code and link
	Delay    time.Duration // part of Lifetime: what mail to the address usually takes
	Kept     time.Duration // of the record, beyond that

	Browser string // hash of the flow cookie
	Known   bool   // the browser, or the network From, has proved the address
	From    string // of an app's: the network that asks, "" for not told
	Shows   bool   // of an app's: a link can show the code, see Challenge.LinkOnly
	Only    bool   // with Shows: nothing else may

	Test bool            // test data of an app
	Part json.RawMessage // of an app
}

// New makes a challenge, not stored yet. wait is more than 0 when no code can be
// answered, because too many wrong ones were given to the recipient: a browser's
// challenge is answered by its link alone then.
func (e *Engine) New(tx store.Tx, w Wish) (c *Challenge, wait time.Duration, err error) {
	now := e.Now()
	c = &Challenge{
		ID: keyring.RandomToken(16), Secret: e.Secrets.Current.ID(),
		Address: w.Address, Phone: w.Phone, Browser: w.Browser, Origin: w.Origin, For: w.For, Language: w.Language,
		AskedAt: now, Expires: now.Add(w.Lifetime), Kept: now.Add(w.Lifetime + w.Kept),
		Digits: w.Digits, Hex: w.Hex, Known: w.Known, From: w.From, Test: w.Test, Delay: w.Delay,
		Agent: ShortAgent(w.Agent), Network: CoarseNetwork(w.Client), Part: w.Part,
	}
	if c.Digits > 0 {
		failures, err := e.failures(tx, c, By{})
		if err != nil {
			return nil, 0, err
		}
		wait, c.Tries = failures.Wait(now), min(e.Attempts, failures.Left(now))
	}
	if c.Part != nil {
		if c.LinkOnly = w.Shows && (wait > 0 || w.Only); c.LinkOnly {
			wait = 0
		}
		return c, wait, nil
	}
	c.LinkOnly = c.Tries == 0
	stopped, err := Stopped(tx, c.Address, now)
	switch {
	case !e.MayReceive(c.Address):
		c.Unsent = OutcomeNotAllowed
	case !c.Known:
		c.Unsent = stopped
	}
	c.Decoy = c.Unsent != ""
	return c, wait, err
}

// By is who answers a challenge of an app, as far as the wire tells. The zero By is
// whoever asked for it: who holds its handle, the app's own server, or a network
// that is the same or has proved the contact.
type By struct {
	Away    bool   // another network than the one that asked
	Network string // which, with Away
}

// failures loads the counters of wrong codes that an answer to c counts for.
func (e *Engine) failures(tx store.Tx, c *Challenge, by By) (limit.Counters, error) {
	all := e.counters(c, by)
	return all, all.Load(tx)
}

func (e *Engine) counters(c *Challenge, by By) limit.Counters {
	l, to := e.Limits, c.Recipient()
	switch {
	case c.Opened, c.Admitted: // no wrong code of a stranger stands in the way of who was shown or told this one
		return nil
	case c.Hex && by.Away:
		return limit.Counters{e.awayTries(c.ID, by), l.StrongCodes(to, true, c.Test)}
	case c.Hex && c.From != "":
		return limit.Counters{l.StrongCodes(to, false, c.Test)}
	case by.Away && by.Network != "": // no network has more, whether it asks or guesses at what others asked for
		return limit.Counters{l.AwayCodes(to, c.Test), l.NetworkCodes(to, by.Network, c.Test), l.WrongCodes(to, false, c.Test)}
	case by.Away:
		return limit.Counters{l.AwayCodes(to, c.Test), l.WrongCodes(to, false, c.Test)}
	}
	all := limit.Counters{l.WrongCodes(to, c.Known, c.Test)}
	if c.From != "" && !c.Known {
		all = append(all, l.NetworkCodes(to, c.From, c.Test))
	}
	return all
}

// awayTries are what another network may guess at one challenge.
func (e *Engine) awayTries(id string, by By) *limit.Counter {
	return limit.NewCounter("failures/try/"+id+"/"+by.Network, []limit.Rate{{Count: e.Attempts, Per: 24 * time.Hour}})
}

// NetworkKeys are what is read for an answer of a network to whatever was sent to a
// contact.
func (e *Engine) NetworkKeys(contact string, test bool, network string) []string {
	return limit.Counters{e.Limits.NetworkCodes(contact, network, test)}.Keys()
}

// TriesKeys are what is read, beside Keys, for an answer of a network in hexadecimal
// digits to the challenge with id.
func (e *Engine) TriesKeys(id, network string) []string {
	return limit.Counters{e.awayTries(id, By{Network: network})}.Keys()
}

// Put stores a new challenge, and with a mail the beginning of its history.
func (e *Engine) Put(tx store.Tx, c *Challenge, mailed bool) error {
	if mailed {
		if err := e.remember(tx, c); err != nil {
			return err
		}
	}
	return c.Save(tx)
}

// Keys are what is read with c to answer it, or to send its mail again.
func (e *Engine) Keys(c *Challenge) []string {
	var all limit.Counters
	if c.Digits > 0 {
		if all = e.counters(c, By{}); c.Part != nil {
			all = append(all, e.counters(c, By{Away: true})...)
		}
	}
	switch {
	case c.IsText():
		return all.Keys()
	case c.Part != nil:
		return append(all.Keys(), HistoryKey(c))
	}
	all = append(all, e.Limits.Recipient(c.Address, c.Known))
	return append(all.Keys(), HistoryKey(c), PauseKey(c.Address), store.KeyAddress+c.Address.String())
}

// Result is what came of an answer.
type Result struct {
	// Verdict is Accepted for a right answer, which Use must follow; Malformed,
	// Wrong, Locked, CodesOff, or what the challenge's State was.
	Verdict   event.Verdict
	Found     int // with Malformed: how many digits there were
	TriesLeft int // with Wrong
}

// Answer compares text with the code of c, and counts a wrong one.
func (e *Engine) Answer(tx store.Tx, c *Challenge, text string, by By) (Result, error) {
	now := e.Now()
	if v := c.State(now); v != event.Accepted {
		return Result{Verdict: v}, nil
	}
	code, found, ok := c.Parse(text)
	if !ok {
		return Result{Verdict: event.Malformed, Found: found}, nil
	}
	failures, err := e.failures(tx, c, by)
	if err != nil {
		return Result{}, err
	}
	left := failures.Left(now)
	if left == 0 { // used up by other challenges meanwhile
		return Result{Verdict: event.CodesOff}, nil
	}
	right, err := e.IsRight(c, code)
	if err != nil {
		return Result{}, err
	}
	if right {
		return Result{Verdict: event.Accepted}, nil
	}
	failures.Count(tx, now)
	if by.Away { // whoever it is takes no try away from who asked
		return Result{Verdict: event.Wrong, TriesLeft: left - 1}, Note(tx, c, Step{At: now, Outcome: OutcomeWrongCode})
	}
	return e.wrong(tx, c, left-1)
}

// MayAnswer tells whether an answer that was compared with so many others is
// compared with c, too.
func (e *Engine) MayAnswer(tx store.Tx, c *Challenge, by By, others int) (bool, error) {
	failures, err := e.failures(tx, c, by)
	if c.Hex { // each is counted apart
		others = 0
	}
	return err == nil && (c.Admitted || failures.Left(e.Now()) > others), err
}

// CountBeside counts an answer that was compared with c too, and was wrong: a
// guess at one of several challenges is one at each.
func (e *Engine) CountBeside(tx store.Tx, c *Challenge, by By) error {
	failures, err := e.failures(tx, c, by)
	if err == nil {
		failures.Count(tx, e.Now())
	}
	return err
}

// Open lets the code of a challenge be answered whose recipient opened its link,
// which nobody can guess. The code is shown there.
func (e *Engine) Open(tx store.Tx, c *Challenge) error {
	now := e.Now()
	if c.LinkOnly {
		c.LinkOnly, c.Opened, c.Tries = false, true, e.Attempts
		if lives := now.Add(c.Expires.Sub(c.AskedAt)); lives.After(c.Expires) {
			c.Expires, c.Kept = lives, c.Kept.Add(lives.Sub(c.Expires))
		}
		if err := Note(tx, c, Step{At: now, Outcome: OutcomeLinkOpened}); err != nil {
			return err
		}
	}
	return c.Save(tx)
}

// ShownCode is the code of a challenge that was opened.
func (e *Engine) ShownCode(c *Challenge) (code string, ok bool, err error) {
	if !c.Opened {
		return "", false, nil
	}
	secret, err := e.Secrets.Find(c.Secret)
	if err != nil {
		return "", false, err
	}
	return c.Code(secret), true, nil
}

// AnswerNobody does what Answer does with a wrong code of the given form, for a
// recipient who has no challenge that bears an answer: how long it takes tells
// nobody that somebody signs in just now. What it writes are a few records that all
// such recipients share.
func (e *Engine) AnswerNobody(tx store.Tx, recipient string, digits int, hex bool, text string) error {
	now := e.Now()
	c := &Challenge{
		ID: "nobody-" + keyring.Hash(recipient)[:2], Secret: e.Secrets.Current.ID(), Digits: digits, Hex: hex,
		AskedAt: now, Expires: now, Kept: now.Add(time.Hour), Tries: 1, Part: json.RawMessage("{}"),
	}
	if code, _, ok := c.Parse(text); ok {
		if _, err := e.IsRight(c, code); err != nil {
			return err
		}
	}
	limit.Counters{limit.NewCounter("nobody/"+c.ID, e.Limits.Failures)}.Count(tx, now)
	return c.Save(tx)
}

// AnswerPair compares the two digits that bind a link to who waits for it, and
// counts wrong ones.
func (e *Engine) AnswerPair(tx store.Tx, c *Challenge, text string) (Result, error) {
	digits, found, ok := ParseCode(text, PairDigits)
	if !ok {
		return Result{Verdict: event.Malformed, Found: found}, nil
	}
	secret, err := e.Secrets.Find(c.Secret)
	if err != nil {
		return Result{}, err
	}
	if keyring.SameCode(digits, secret.PairOf(c.ID, PairDigits)) {
		return Result{Verdict: event.Accepted}, nil
	}
	return e.wrong(tx, c, c.Tries)
}

// PairDigits are how many digits bind a link to who waits for it.
const PairDigits = 2

// wrong counts a wrong answer to c; its recipient bears left more.
func (e *Engine) wrong(tx store.Tx, c *Challenge, left int) (Result, error) {
	c.Tries--
	out, outcome := Result{Verdict: event.Wrong, TriesLeft: min(c.Tries, left)}, OutcomeWrongCode
	if out.TriesLeft <= 0 {
		c.Locked, out, outcome = true, Result{Verdict: event.Locked}, OutcomeLocked
	}
	if err := Note(tx, c, Step{At: e.Now(), Outcome: outcome}); err != nil {
		return Result{}, err
	}
	return out, c.Save(tx)
}

// IsRight compares a parsed code, also for a decoy: both take the same time. An error
// means that it cannot be told, and nothing is to be counted.
func (e *Engine) IsRight(c *Challenge, code string) (bool, error) {
	secret, err := e.Secrets.Find(c.Secret)
	if err != nil {
		return false, err
	}
	return keyring.SameCode(code, c.Code(secret)) && !c.Decoy, nil
}

// Use consumes c for a session, "" for none yet.
func (e *Engine) Use(tx store.Tx, c *Challenge, method, session string) error {
	c.Used, c.UsedAt, c.Method, c.Session = true, e.Now(), method, session
	if err := noteUsed(tx, c); err != nil {
		return err
	}
	return c.Save(tx)
}
