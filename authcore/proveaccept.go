package authcore

import "github.com/gatehouse-auth/gatehouse/authcore/event"

// consume uses the challenge up: the contact is proved, and the invitation that
// came with it accepted.
func (t *proving) consume(method string) (event.Verdict, error) {
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

// accepted is the answer for verdict v, with a session if it is Accepted and
// one was asked for.
func (t *proving) accepted(v event.Verdict) (Proved, error) {
	out := t.view(v)
	if v != event.Accepted || t.in.Session == nil && t.in.Extend == "" {
		return out, nil
	}
	proof := Factor{Contact: out.Contact.ID, Method: out.Method, At: t.now}
	if t.in.Extend != "" {
		lifetime := sessionExtension(t.in.Session)
		r, err := loadAppSession(t.tx, out.Person.Realm, t.in.Extend)
		if err != nil {
			return Proved{}, err
		}
		stands, err := t.s.core.judge(t.tx, r)
		if err != nil {
			return Proved{}, err
		}
		if stands == isLive && r.Subject == t.p.Subject {
			r.gain(proof, lifetime, t.now)
			out.Session = t.s.appSession(t.s.core.bound(r), t.p)
			return out, t.s.core.saveAppSession(t.tx, r)
		}
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
