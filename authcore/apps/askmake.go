package apps

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// keys are what an ask reads at once: who is asked, and what is known beforehand
// of their contact.
func (t *asking) keys() (keys []string) {
	realm, w := t.in.Caller.Realm(), t.in.Whom
	if t.in.invite != nil {
		keys = append(keys, t.in.invite.Keys("")...)
	}
	if t.in.Handle != "" {
		keys = append(keys, handleKey(t.in.Handle))
	}
	switch {
	case w.Subject != "":
		if keyring.IsID(w.Subject) {
			keys = append(keys, store.KeyPerson+w.Subject)
		}
	case !w.Email.IsZero():
		keys = append(append(keys, w.AskedKeys(realm)...), t.keysOf(w.Email.String())...)
	case !w.Phone.IsZero():
		keys = append(append(keys, w.AskedKeys(realm)...), t.keysOf(w.Phone.String())...)
	}
	return keys
}

// keysOf are what is read of a contact, whatever comes of the ask.
func (t *asking) keysOf(value string) (keys []string) {
	realm := t.in.Caller.Realm()
	keys = append(keys, slotKey(realm, t.in.Slot, value))
	counters := t.recipient(value, false)
	if t.in.EndUser && t.in.Client.IsValid() {
		counters = append(counters, t.s.cfg.Limits.Client(t.in.Client)...)
	}
	counters = append(counters, t.s.cfg.Limits.WrongCodes(value, false, realm.Test))
	if from := t.from(); from != "" {
		keys = append(keys, networksKey(realm, value))
		counters = append(append(counters, t.recipient(value, true)...), t.s.cfg.Limits.WrongCodes(value, true, realm.Test),
			t.s.cfg.Limits.NetworkCodes(value, from, realm.Test))
	}
	if t.in.Deliver {
		keys = append(keys, t.s.core.outbox.Keys(t.s.cfg.Limits, t.share(), false)...)
		if strings.Contains(value, "@") {
			keys = append(keys, store.KeyAddress+value)
		}
	}
	if t.in.Window != nil {
		contact, client := windowKeys(realm, value, t.client())
		keys = append(keys, contact, client)
	}
	if t.in.invite != nil {
		keys = append(keys, invitePauseKey(realm, t.in.invite.Email), challenge.PauseKey(t.in.invite.Email))
	}
	return append(keys, counters.Keys()...)
}

// share names whose part of Limits.Global the mail is from: a network's, or that
// of all invitations. It is "" for what an app's server asks for: an app's own
// limits are those of its key.
func (t *asking) share() string {
	switch {
	case t.in.invite != nil:
		return "invitations"
	case !t.in.EndUser && t.in.Caller.Key.isSecret():
		return ""
	}
	return NetworkShare(challenge.CoarseNetwork(t.in.Client))
}

// recipient counts the mails of a contact, from a network that it was proved from
// apart.
func (t *asking) recipient(value string, known bool) limit.Counters {
	limits := t.s.cfg.Limits
	if t.in.invite != nil {
		return invitationCounters(limits, t.in.invite, t.in)
	} else if t.in.Deliver {
		all := limit.Counters{limit.RecipientCounter(value, known, limits.Repeated(t.in.Repeat))}
		if from := t.from(); from != "" && !known {
			all = append(all, limits.NetworkMails(value, from))
		}
		return all
	}
	return nil
}

// limits returns how long until the limits on recipients and clients take one
// more, and counts it if they do. Over Limits.Global the mail waits, see make.
func (t *asking) limits() (time.Duration, error) {
	all := t.recipient(t.to.Value, t.known())
	if t.in.EndUser && t.in.Client.IsValid() {
		all = append(all, t.s.cfg.Limits.Client(t.in.Client)...)
	}
	if len(all) == 0 {
		return 0, nil
	}
	if err := all.Load(t.tx); err != nil {
		return 0, err
	}
	if wait := all.Wait(t.now); wait > 0 {
		return wait, nil
	}
	all.Count(t.tx, t.now)
	return 0, nil
}

// make stores the challenge with all that leads to it.
func (t *asking) make(out *Asked) error {
	c, wait, err := t.challenge()
	if err != nil {
		return err
	}
	if wait > 0 && t.mailInstead() {
		if wait, err = t.limits(); err == nil && wait == 0 {
			out.Contact = t.to
			c, wait, err = t.challenge()
		}
		if err != nil {
			return err
		}
	}
	if wait > 0 { // a code could not be answered: none is sent
		out.Verdict, out.RetryAfter = event.Limited, wait
		return t.outstanding(out)
	}
	out.made, out.Challenge, out.AskedAt, out.Expires = c.Challenge, c.ID, c.AskedAt, c.Expires
	if t.in.Deliver {
		out.mail = MailOf(c.Challenge, t.share())
		if err := Spend(t.tx, t.s.core.outbox, t.s.cfg.Limits, c.Challenge, out.mail); err != nil {
			return err
		}
		if err := t.s.core.outbox.Put(t.tx, out.mail); err != nil {
			return err
		}
	}
	if err := t.lead(c, out); err != nil {
		return err
	}
	if err := t.note(c.Challenge); err != nil {
		return err
	}
	return t.s.challenges.Put(t.tx, c.Challenge, t.in.Deliver && !t.text)
}

// mailInstead asks by mail, for a link that shows the code, what no text message can
// say any more.
func (t *asking) mailInstead() bool {
	p := t.p.View()
	to, ok := p.Contact(t.in.Whom.Email.String())
	if !t.text || t.in.Shows == "" || !t.in.Deliver || !ok {
		return false
	}
	t.to, t.by, t.text, t.instead = to, person.ContactRef{}, false, true
	return true
}

// challenge is what is to be stored; wait is more than 0 when too many wrong
// codes were given for the contact.
func (t *asking) challenge() (c *sent, wait time.Duration, err error) {
	in, terms := t.in, t.terms
	part := apiPart{
		Realm: in.Caller.Realm(), Subject: t.p.Subject, Contact: t.to.ID, AskedBy: t.by, Slot: in.Slot,
		Before: terms.Before, After: terms.After, Letter: terms.Letter,
		Redirect: terms.Redirect, Use: terms.Use, Note: in.Note,
		Current: in.Handle == "" && (in.Supersede || terms.Digits > 0), Paired: in.Pair && terms.Digits == 0, Shows: in.Shows,
	}
	if in.invite != nil {
		part.Invite = in.invite.ID
	} else if in.Handle == "" && !in.Caller.Key.isSecret() {
		part.New = t.p.IsNobody()
	}
	if in.Client.IsValid() {
		part.IP = in.Client.Unmap().WithZone("").String()
	}
	text, err := json.Marshal(part)
	if err != nil {
		return nil, 0, err
	}
	wish := challenge.Wish{
		Origin: in.Origin, Language: in.Language, Agent: in.Agent, Client: in.Client,
		Digits: terms.Digits, Hex: terms.Hex, Lifetime: terms.Lifetime, Kept: apiKept, Test: part.Realm.Test, Part: text,
		From: t.from(), Known: t.known(), Shows: in.Deliver && !t.text && in.Shows != "", Only: t.instead,
	}
	if t.text {
		wish.Phone = address.PhoneOf(t.to.Value)
	} else {
		wish.Address = address.AddressOf(t.to.Value)
	}
	made, wait, err := t.s.challenges.New(t.tx, wish)
	if err != nil || wait > 0 {
		return nil, wait, err
	}
	if part.Paired {
		made.Tries = pairTries
	}
	return &sent{Challenge: made, apiPart: part, person: t.p}, 0, nil
}

// link is the URL that a mail shows, "" for a challenge without one.
func (a *apiPart) link(secret string) string {
	if a.Before == "" {
		return ""
	}
	return a.Before + secret + a.After
}

// lead derives what the challenge is answered with, and stores what leads to it
// from there: tokens, the contact in its slot, the handle.
func (t *asking) lead(c *sent, out *Asked) error {
	secret := t.s.core.secrets.Current
	var keys []string
	if c.isLink() || c.LinkOnly {
		out.Token = secret.APILink(c.ID)
		keys = append(keys, store.KeyAPILink+keyring.Hash(out.Token))
	}
	if !c.isLink() {
		out.Code = c.Code(secret)
	}
	out.Link = c.link(out.Token + out.Code)
	if t.in.Poll {
		out.PollToken = secret.APIPoll(c.ID)
		keys = append(keys, store.KeyAPIPoll+keyring.Hash(out.PollToken))
	}
	if c.Paired {
		out.Pair = secret.PairOf(c.ID, challenge.PairDigits)
	}
	lead := challenge.LeadTo(c.ID, t.with(c)...)
	for _, key := range keys {
		if err := store.Save(t.tx, key, lead, c.Kept); err != nil {
			return err
		}
	}
	if err := t.place(c, lead); err != nil {
		return err
	}
	if c.Invite != "" {
		if err := store.Save(t.tx, store.KeyAPIStop+keyring.Hash(stopPrefix+secret.APIStop(c.ID)), c.ID, c.Kept); err != nil {
			return err
		}
	}
	if t.in.Handle == "" {
		return nil
	}
	return store.Save(t.tx, handleKey(t.in.Handle), handleState{Lead: lead}, c.Kept)
}

// with are the keys of what an answer reads beside the challenge.
func (t *asking) with(c *sent) []string {
	keys := append(t.s.challenges.Keys(c.Challenge), store.KeyPerson+c.Subject)
	if !t.p.Profile.Asked.IsZero() {
		keys = append(keys, t.in.Whom.AskedKeys(c.Realm)...)
		if !c.IsText() {
			keys = append(keys, challenge.PauseKey(c.Address)) // see sentOf
		}
	}
	if c.Current {
		keys = append(keys, slotKey(c.Realm, c.Slot, c.Contact))
	}
	if c.From != "" || !c.isLink() {
		keys = append(keys, networksKey(c.Realm, c.Recipient()))
	}
	if t.in.invite != nil {
		keys = append(keys, t.in.invite.Keys(c.Subject)...)
	}
	if t.seen != nil {
		keys = append(keys, t.seen.contactKey)
	}
	return keys
}
