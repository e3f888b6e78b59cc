package authcore

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// consume uses the challenge up: the contact is proved, and the invitation that
// came with it accepted.
func (t *proving) consume(method string) (event.Verdict, error) {
	if err := t.own(); err != nil {
		return event.Unknown, err
	}
	t.p.prove(t.c.API.Contact, t.now)
	if err := t.p.save(t.tx); err != nil {
		return event.Unknown, err
	}
	t.c.Used, t.c.API.UsedAt, t.c.API.Method = true, t.now, method
	if err := t.s.core.note(t.tx, t.c, Step{At: t.now, Outcome: OutcomeUsed}); err != nil {
		return event.Unknown, err
	}
	if t.in.Forget {
		if err := forgetWindow(t.tx, t.c.API.Realm, t.c.value(), t.now.Add(apiKept)); err != nil {
			return event.Unknown, err
		}
	}
	if t.c.API.Invite != "" {
		v, err := t.s.acceptInvite(t.tx, t.c.API.Realm, t.c.API.Invite, t.p.Subject, &Membership{})
		if err != nil {
			return event.Unknown, err
		}
		t.joined = v == event.Accepted
	}
	return event.Accepted, t.c.save(t.tx)
}

// extended is the session that gains the proof, nil for none: a live one of the
// same person.
func (t *proving) extended() (*sessionRecord, error) {
	if t.in.Extend == "" {
		return nil, nil
	}
	r, err := loadAppSession(t.tx, t.p.Realm, t.in.Extend)
	if err != nil {
		return nil, err
	}
	stands, err := t.s.core.judge(t.tx, r)
	if err != nil || stands != isLive || r.Subject != t.p.Subject {
		return nil, err
	}
	return r, nil
}

// own settles whose the account is in which a contact is proved first. Without a
// session of the account who proves it is not known to be who is there already,
// and might be prepared for: an account made with a stranger's address beside
// one's own. A contact from before another one was proved leaves with who proves
// it, as a person of its own; with any other one the account begins anew, and no
// session from before goes on.
func (t *proving) own() error {
	c := t.p.contact(t.c.API.Contact)
	if c == nil || c.Verified {
		return nil
	}
	if r, err := t.extended(); err != nil || r != nil {
		return err
	}
	if !t.p.isStale(*c) {
		t.p.Profile.Anew, t.anew = t.now, true
		return nil
	}
	was := t.p
	t.p = t.s.newPerson(t.in.Caller.App, was.Realm)
	t.p.Profile.Emails, t.p.Profile.Phones = was.take(c.ID)
	t.c.API.Subject, t.c.API.AskedBy = t.p.Subject, contactRef{}
	was.choose()
	t.p.choose()
	was.Profile.Updated = t.now
	if err := was.save(t.tx); err != nil {
		return err
	}
	for _, entry := range t.p.entries() {
		if err := store.Save(t.tx, entry, t.p.Subject, time.Time{}); err != nil {
			return err
		}
	}
	return t.c.readdressInvite(t.tx, t.p.Subject)
}

// isStale tells whether c was p's before another contact was proved.
func (p *person) isStale(c Contact) bool {
	return slices.ContainsFunc(slices.Concat(p.Profile.Emails, p.Profile.Phones), func(o Contact) bool {
		return o.Verified && o.ID != c.ID && !c.Created.After(o.Updated)
	})
}

// take takes a contact out of p's.
func (p *person) take(id string) (emails, phones []Contact) {
	for _, list := range []struct{ from, to *[]Contact }{{&p.Profile.Emails, &emails}, {&p.Profile.Phones, &phones}} {
		if i := slices.IndexFunc(*list.from, func(c Contact) bool { return c.ID == id }); i >= 0 {
			*list.to = []Contact{(*list.from)[i]}
			*list.from = slices.Delete(*list.from, i, i+1)
		}
	}
	return emails, phones
}

// accepted is the answer for verdict v, with a session if it is Accepted and
// one was asked for.
func (t *proving) accepted(v event.Verdict) (Proved, error) {
	out := t.view(v)
	if v != event.Accepted || t.in.Session == nil && t.in.Extend == "" {
		return out, nil
	}
	proof := Factor{Contact: out.Contact.ID, Method: out.Method, At: t.now}
	if r, err := t.extended(); err != nil {
		return Proved{}, err
	} else if r != nil {
		r.gain(proof, sessionExtension(t.in.Session), t.now)
		out.Session = t.s.appSession(t.s.core.bound(r), t.p)
		return out, t.s.core.saveAppSession(t.tx, r)
	}
	if t.in.Session == nil {
		return out, nil
	}
	r, err := t.s.startAppSession(t.tx, newAppSession{
		p: t.p, terms: *t.in.Session, factor: proof, origin: t.in.Origin,
		client: t.in.Client, agent: t.in.Agent, fingerprint: t.in.Fingerprint, now: t.now,
	})
	if err != nil {
		return Proved{}, err
	}
	t.c.Session, t.started = r.ID, true
	out.Session = t.s.appSession(r, t.p)
	return out, t.c.save(t.tx)
}

// view is what may be told about the challenge.
func (t *proving) view(v event.Verdict) Proved {
	if t.c == nil {
		return Proved{Verdict: v}
	}
	a := t.c.API
	out := Proved{Verdict: v, Method: "code", Person: t.p.view(), Challenge: t.c.ID, Note: a.Note, Invite: a.Invite}
	if a.Link {
		out.Method = "link"
	}
	if a.Paired {
		out.Paired, out.TriesLeft = true, a.PairTries
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
		t.s.core.census.sessions.Add(1)
	}
	if out.Verdict == event.Wrong || out.Verdict == event.Locked && t.in.Token == "" {
		t.s.core.alarm.count(t.s)
	}
	t.s.observe(e)
	if t.joined {
		t.s.joined(out.Person)
	}
}
