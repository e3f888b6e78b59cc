package authcore

import "time"

// limits returns how long until the limits on recipients and clients take one
// more, and counts it if they do. Over Limits.Global the mail waits, see make.
func (t *asking) limits() (time.Duration, error) {
	var all counters
	limits := t.s.cfg.Limits
	if t.in.invite != nil {
		all = limits.invitations(t.in.invite, t.in)
	} else if t.in.Deliver {
		all = append(all, &counter{key: recipientKey(t.to.Value, false), rates: limits.repeated(t.in.Repeat)})
	}
	if t.in.EndUser && t.in.Client.IsValid() {
		all = append(all, limits.client(t.in.Client)...)
	}
	if len(all) == 0 {
		return 0, nil
	}
	if err := all.load(t.tx); err != nil {
		return 0, err
	}
	if wait := all.wait(t.now); wait > 0 {
		return wait, nil
	}
	all.count(t.tx, t.now)
	return 0, nil
}

// repeated is the rule on mails to one recipient for an app: its own in place
// of the parts up to a minute, never of the longer ones.
func (l Limits) repeated(own []Rate) []Rate {
	rates := append([]Rate(nil), own...)
	for _, r := range l.PerRecipient {
		if r.Per > time.Minute {
			rates = append(rates, r)
		}
	}
	return rates
}

// contactFailures counts wrong codes for a contact, with those for the same
// address at gates. Those of test data are apart.
func (l Limits) contactFailures(r Realm, contact string) *counter {
	where := group(false)
	if r.Test {
		where = "test/"
	}
	return &counter{key: keyLimit + "failures/" + where + hashToken(contact), rates: l.Failures}
}

// make stores the challenge with all that leads to it.
func (t *asking) make(out *Asked) error {
	c, wait, err := t.challenge()
	if err != nil {
		return err
	}
	if wait > 0 { // a code could not be answered: none is sent
		out.Verdict, out.RetryAfter = Limited, wait
		return t.outstanding(out)
	}
	if t.in.Deliver {
		if err := t.s.spend(t.tx, c, t.now); err != nil {
			return err
		}
	}
	secret := t.s.core.secrets.Current
	if c.API.Link {
		out.Token = secret.apiLink(c.ID)
		if err := save(t.tx, keyAPILink+hashToken(out.Token), c.ID, c.Kept); err != nil {
			return err
		}
	} else {
		out.Code = secret.apiCode(c)
	}
	out.Link = c.API.link(out.Token + out.Code)
	if t.in.Poll {
		out.PollToken = secret.apiPoll(c.ID)
		if err := save(t.tx, keyAPIPoll+hashToken(out.PollToken), c.ID, c.Kept); err != nil {
			return err
		}
	}
	if c.API.Paired {
		out.Pair = secret.pairOf(c.ID)
	}
	if c.API.Invite != "" {
		if err := save(t.tx, keyAPIStop+hashToken(secret.apiStop(c.ID)), c.ID, c.Kept); err != nil {
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
		if err := t.s.core.queue.put(t.tx, c); err != nil {
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
		failures := t.s.cfg.Limits.contactFailures(realm, t.to.Value)
		if err := (counters{failures}).load(t.tx); err != nil {
			return nil, 0, err
		}
		if wait := failures.t.wait(t.now, failures.rates); wait > 0 {
			return nil, wait, nil
		}
		tries = min(t.s.cfg.Code.Attempts, failures.t.left(t.now, failures.rates))
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
		ID: randomToken(16), Secret: t.s.core.secrets.Current.id,
		Origin: in.Origin, Language: in.Language, AskedAt: t.now,
		Expires: t.now.Add(terms.Lifetime), Kept: t.now.Add(terms.Lifetime + apiKept),
		Digits: terms.Digits, Tries: tries, Agent: shortAgent(in.Agent), Network: coarseNetwork(in.Client),
		API: part,
	}
	if t.text {
		part.Phone = Phone{t.to.Value}
	} else {
		c.Address = Address{t.to.Value}
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
		if err := save(t.tx, slotKey(c.API), c.ID, c.Kept); err != nil {
			return err
		}
	}
	if t.in.Handle == "" {
		return nil
	}
	return save(t.tx, keyAPIHandle+hashToken(t.in.Handle), handleState{Challenge: c.ID}, c.Kept)
}

func slotKey(a *apiPart) string {
	return keyAPISlot + a.Realm.String() + "/" + hashToken(a.Slot+"/"+a.Contact)
}
