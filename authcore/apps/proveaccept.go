package apps

import (
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// consume uses the challenge up, and ends what else is in its slot: the contact is
// proved, and the invitation that came with it accepted.
func (t *proving) consume(method string) error {
	if err := t.clear(); err != nil {
		return err
	}
	if err := t.settle(); err != nil {
		return err
	}
	if err := t.own(); err != nil {
		return err
	}
	if t.c.person.IsNamedBy(t.c.Contact) {
		if err := t.c.person.Prove(t.tx, t.c.Contact, t.now); err != nil {
			return err
		}
		if err := t.c.person.Save(t.tx); err != nil {
			return err
		}
	}
	if err := t.remember(); err != nil {
		return err
	}
	if t.in.Forget {
		if err := forgetWindow(t.tx, t.c.Realm, t.c.Recipient(), t.now.Add(apiKept)); err != nil {
			return err
		}
	}
	if t.c.Invite != "" {
		_, v, err := t.s.orgs.AcceptIn(t.tx, t.c.Realm, t.c.Invite, t.c.Subject)
		if err != nil {
			return err
		}
		t.joined = v == event.Accepted
	}
	return t.s.challenges.Use(t.tx, t.c.Challenge, method, "")
}

// remember notes the network that asked for what it proves itself, whose next
// challenges and guesses strangers elsewhere can't use up.
func (t *proving) remember() error {
	if t.c.From == "" || t.in.Handle == "" && t.from() != t.c.From {
		return nil
	}
	key := networksKey(t.c.Realm, t.c.Recipient())
	n, err := challenge.LoadNetworks(t.tx, key)
	if err != nil {
		return err
	}
	return n.Prove(t.tx, key, t.c.From, t.now)
}

// shown is the live session that came with the proof, whosever it is; nil for none.
func (t *proving) shown() (*session.Record, error) {
	if t.in.Extend == "" {
		return nil, nil
	}
	r, err := loadAppSession(t.tx, t.c.person.Realm, t.in.Extend)
	if err != nil {
		return nil, err
	}
	stands, err := t.s.core.sessions.Stands(t.tx, r)
	if err != nil || stands != session.Live {
		return nil, err
	}
	return r, nil
}

// extended is the session that gains the proof, nil for none: the person's own.
func (t *proving) extended() (*session.Record, error) {
	r, err := t.shown()
	if err != nil || r == nil || r.Subject != t.c.person.Subject {
		return nil, err
	}
	return r, nil
}

// settle makes somebody of who was nobody until the proof: who has the address or
// number attached and shows their session, else a person of its own.
func (t *proving) settle() error {
	asked := t.c.person
	if asked.Profile.Asked.IsZero() {
		return nil
	}
	r, err := t.shown()
	if err != nil {
		return err
	}
	if r != nil {
		p, err := person.LoadIn(t.tx, asked.Realm, r.Subject)
		if err != nil || p == nil {
			return err
		}
		v := p.View()
		if c, ok := v.Contact(t.c.Recipient()); ok && p.Subject != asked.Subject {
			asked.Unask(t.tx)
			t.c.person, t.c.Contact = p, c.ID
			return t.c.readdress()
		}
	}
	_, err = asked.Settle(t.tx, t.now)
	return err
}

// own settles whose a contact is that is proved first. Where another one of the
// account was proved, who proves this one is not known to be who is there already,
// and might be prepared for: an account of somebody else with a stranger's address
// beside their own. Without a session of the account the contact leaves it, as a
// person of its own. A number that was texted in an address's place stays what it
// is: the answer is about the address.
func (t *proving) own() error {
	if t.c.person.IsNamedBy(t.c.Contact) || t.c.AskedBy != (person.ContactRef{}) {
		return nil
	}
	if r, err := t.extended(); err != nil {
		return err
	} else if r != nil {
		return t.c.person.Prove(t.tx, t.c.Contact, t.now)
	}
	p, err := t.c.person.Part(t.tx, t.c.Contact, t.in.Caller.App.FirstPlan(), t.now)
	if err != nil {
		return err
	}
	t.c.person = p
	return t.c.readdress()
}

// accepted is the answer to a proof, with a session if one was asked for.
func (t *proving) accepted() (Proved, error) {
	out := t.view(event.Accepted)
	if t.in.Session == nil && t.in.Extend == "" {
		return out, nil
	}
	proof := session.Factor{Contact: out.Contact.ID, Method: out.Method, At: t.now}
	if r, err := t.extended(); err != nil {
		return Proved{}, err
	} else if r != nil {
		gain(r, proof, sessionExtension(t.in.Session), t.now)
		out.Session = t.s.appSession(t.s.core.sessions.Bound(r), t.c.person)
		return out, t.s.core.SaveAppSession(t.tx, r)
	}
	if t.in.Session == nil {
		return out, nil
	}
	r, err := t.s.startAppSession(t.tx, newAppSession{
		p: t.c.person, terms: *t.in.Session, factor: proof, origin: t.in.Origin,
		client: t.in.Client, agent: t.in.Agent, fingerprint: t.in.Fingerprint, now: t.now,
	})
	if err != nil {
		return Proved{}, err
	}
	t.c.Session, t.started = r.ID, true
	out.Session = t.s.appSession(r, t.c.person)
	return out, t.c.Save(t.tx)
}

// view is what may be told about the challenge.
func (t *proving) view(v event.Verdict) Proved {
	if t.c == nil {
		return Proved{Verdict: v}
	}
	a := t.c
	out := Proved{Verdict: v, Method: "code", Person: a.person.View(), Challenge: a.ID, Note: a.Note, Invite: a.Invite}
	if a.isLink() {
		out.Method = "link"
	}
	if a.Paired {
		out.Paired, out.TriesLeft = true, a.Tries
	}
	if c, ok := out.Person.Contact(a.Contact); ok {
		out.Contact = c
	}
	if a.Redirect != "" {
		if t.in.Caller.App.MayRedirect(a.Use, a.Redirect) {
			out.Redirect = a.Redirect
		} else {
			out.Gone = true
		}
	}
	return out
}

// report does what must wait until the transaction is on disk.
func (t *proving) report(out Proved) {
	e := event.Event{
		Name: event.Answer, App: t.in.Caller.App.ID, Address: out.Contact.Address(), Subject: out.Person.Subject,
		Challenge: out.Challenge, Origin: t.in.Origin.String(), Client: t.in.Client, Reason: out.Verdict.String(),
	}
	if out.Verdict == event.Accepted {
		e.Name, e.Reason, e.Method = event.SignedIn, "", out.Method
		if out.Session != nil {
			e.Session = out.Session.ID
		}
	}
	if t.started {
		t.s.core.count(1, 0)
	}
	if out.Verdict == event.Wrong || out.Verdict == event.Locked && t.in.Token == "" {
		t.s.wrongCode()
	}
	t.s.observe(e)
	if t.joined {
		t.s.orgs.Joined(out.Person)
	}
}
