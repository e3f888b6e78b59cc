package authcore

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// limits returns how long until the limits on recipients and clients take one
// more, and counts it if they do. Over Limits.Global the mail waits, see make.
func (t *asking) limits() (time.Duration, error) {
	var all limit.Counters
	limits := t.s.cfg.Limits
	if t.in.invite != nil {
		all = invitationCounters(limits, t.in.invite, t.in)
	} else if t.in.Deliver {
		all = append(all, limit.RecipientCounter(t.to.Value, false, limits.Repeated(t.in.Repeat)))
	}
	if t.in.EndUser && t.in.Client.IsValid() {
		all = append(all, limits.Client(t.in.Client)...)
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
	if wait > 0 { // a code could not be answered: none is sent
		out.Verdict, out.RetryAfter = event.Limited, wait
		return t.outstanding(out)
	}
	if t.in.Deliver {
		if c.mail, err = t.s.spend(t.tx, c); err != nil {
			return err
		}
	}
	secret := t.s.core.secrets.Current
	if c.API.Link {
		out.Token = secret.APILink(c.ID)
		if err := store.Save(t.tx, store.KeyAPILink+keyring.Hash(out.Token), c.ID, c.Kept); err != nil {
			return err
		}
	} else {
		out.Code = c.codeOf(secret)
	}
	out.Link = c.API.link(out.Token + out.Code)
	if t.in.Poll {
		out.PollToken = secret.APIPoll(c.ID)
		if err := store.Save(t.tx, store.KeyAPIPoll+keyring.Hash(out.PollToken), c.ID, c.Kept); err != nil {
			return err
		}
	}
	if c.API.Paired {
		out.Pair = secret.PairOf(c.ID, pairDigits)
	}
	if c.API.Invite != "" {
		if err := store.Save(t.tx, store.KeyAPIStop+keyring.Hash(stopPrefix+secret.APIStop(c.ID)), c.ID, c.Kept); err != nil {
			return err
		}
	}
	if err := t.lead(c); err != nil {
		return err
	}
	t.c, out.Challenge, out.AskedAt, out.Expires = c, c.ID, c.AskedAt, c.Expires
	if err := t.note(c); err != nil {
		return err
	}
	if t.in.Deliver {
		if err := t.s.core.outbox.Put(t.tx, c.mail); err != nil {
			return err
		}
		if !t.text {
			if err := t.s.remember(t.tx, c); err != nil {
				return err
			}
		}
	}
	return c.save(t.tx)
}

// challenge is what is to be stored; wait is more than 0 when too many wrong
// codes were given for the contact.
func (t *asking) challenge() (c *challenge, wait time.Duration, err error) {
	in, terms := t.in, t.terms
	realm := in.Caller.Realm()
	tries := 0
	if terms.Digits > 0 {
		failures := t.s.cfg.Limits.WrongCodesOf(realm.Test, t.to.Value)
		if err := (limit.Counters{failures}).Load(t.tx); err != nil {
			return nil, 0, err
		}
		if wait := failures.Waits(t.now); wait > 0 {
			return nil, wait, nil
		}
		tries = min(t.s.cfg.Code.Attempts, failures.Left(t.now))
	}
	part := &apiPart{
		Realm: realm, Subject: t.p.Subject, Contact: t.to.ID, AskedBy: t.by, Slot: in.Slot,
		Hex: terms.Hex, Link: terms.Digits == 0, Before: terms.Before, After: terms.After,
		Letter: terms.Letter, Into: terms.Into, Redirect: terms.Redirect, Use: terms.Use,
		Note: in.Note, Current: in.Supersede || terms.Digits > 0,
		Paired: in.Pair && terms.Digits == 0, Server: !in.EndUser && in.Caller.Key.isSecret(),
	}
	if in.invite != nil {
		part.Invite = in.invite.ID
	}
	if part.Paired {
		part.PairTries = pairTries
	}
	if in.Client.IsValid() {
		part.IP = in.Client.Unmap().WithZone("").String()
	}
	c = &challenge{
		ID: keyring.RandomToken(16), Secret: t.s.core.secrets.Current.ID(),
		Origin: in.Origin, Language: in.Language, AskedAt: t.now,
		Expires: t.now.Add(terms.Lifetime), Kept: t.now.Add(terms.Lifetime + apiKept),
		Digits: terms.Digits, Tries: tries, Agent: shortAgent(in.Agent), Network: coarseNetwork(in.Client),
		API: part,
	}
	if t.text {
		part.Phone = address.PhoneOf(t.to.Value)
	} else {
		c.Address = address.AddressOf(t.to.Value)
	}
	return c, 0, nil
}

// link is the URL that a mail shows, "" for a challenge without one.
func (a *apiPart) link(secret string) string {
	if a.Before == "" {
		return ""
	}
	return a.Before + secret + a.After
}

// lead makes the challenge the one in force in its slot, and for its handle.
func (t *asking) lead(c *challenge) error {
	if c.API.Current {
		if err := store.Save(t.tx, slotKey(c.API), c.ID, c.Kept); err != nil {
			return err
		}
	}
	if t.in.Handle == "" {
		return nil
	}
	return store.Save(t.tx, store.KeyAPIHandle+keyring.Hash(t.in.Handle), handleState{Challenge: c.ID}, c.Kept)
}

func slotKey(a *apiPart) string {
	return store.KeyAPISlot + a.Realm.String() + "/" + keyring.Hash(a.Slot+"/"+a.Contact)
}
