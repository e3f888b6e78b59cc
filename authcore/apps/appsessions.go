package apps

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/decide"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// TouchSession is Session that notes a use, and with extend more than 0
// moves the end to that long from now.
func (s *View) TouchSession(ctx context.Context, realm person.Realm, ref SessionRef, extend time.Duration) (*Session, event.Verdict, error) {
	return s.changeAppSession(ctx, realm, ref, func(_ store.Tx, r *session.Record) (*session.Record, error) {
		touch(r, extend, s.core.now())
		return r, nil
	})
}

// SwitchOrg makes another session of the same sign-in that acts for the
// organization with id org; empty: for nobody but the person. The old one stays, and
// they end together. Verdict is also Forbidden, for who is not a member.
func (s *View) SwitchOrg(ctx context.Context, realm person.Realm, ref SessionRef, org string) (*Session, event.Verdict, error) {
	out, v, err := s.changeAppSession(ctx, realm, ref, func(tx store.Tx, old *session.Record) (*session.Record, error) {
		role, err := organization.RoleIn(tx, org, old.Subject)
		if err != nil || org != "" && role == "" {
			return nil, err
		}
		r, err := old.Another(tx, s.core.now())
		if err != nil {
			return nil, err
		}
		part := *old.API
		part.Secret, part.Org, part.Updated = s.core.secrets.Current.ID(), org, r.LastSeen
		r.API = &part
		return r, nil
	})
	if err == nil && out != nil {
		s.core.count(1, 0)
	}
	return out, v, err
}

// changeAppSession loads a live session and stores what do makes of it; nil is
// Forbidden.
func (s *View) changeAppSession(ctx context.Context, realm person.Realm, ref SessionRef, do func(store.Tx, *session.Record) (*session.Record, error)) (*Session, event.Verdict, error) {
	return decide.Update(ctx, s.core.store, func(tx store.Tx) (*Session, event.Verdict, error) {
		r, v, err := s.live(tx, realm, ref)
		if err != nil || v != event.Accepted {
			return nil, v, err
		}
		if r, err = do(tx, r); err != nil || r == nil {
			return nil, event.Forbidden, err
		}
		if err := s.core.SaveAppSession(tx, s.core.sessions.Bound(r)); err != nil {
			return nil, event.Unknown, err
		}
		return s.withPerson(tx, r)
	})
}

// Sessions returns the live sessions of a person, the oldest first, at most
// 1000.
func (s *View) Sessions(ctx context.Context, realm person.Realm, sub string) ([]*Session, error) {
	return store.View(ctx, s.core.store, func(tx store.Tx) (out []*Session, err error) {
		p, err := person.LoadIn(tx, realm, sub)
		if err != nil || p == nil {
			return nil, err
		}
		prefix := store.KeyPersonSession + sub + "/"
		items, err := tx.Scan(prefix, "", 1000)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			r, err := loadAppSession(tx, realm, item.Key[len(prefix):])
			if err != nil {
				return nil, err
			}
			if v, err := s.core.verdict(tx, r); err != nil {
				return nil, err
			} else if v == event.Accepted {
				out = append(out, s.appSession(r, p))
			}
		}
		return out, nil
	})
}

// EndSession ends a session of realm, and tells whether there was one to
// end.
func (s *View) EndSession(ctx context.Context, realm person.Realm, ref SessionRef, reason string) (bool, error) {
	r, err := store.View(ctx, s.core.store, func(tx store.Tx) (*session.Record, error) { return ref.find(tx, realm) })
	if err != nil || r == nil {
		return false, err
	}
	return s.core.sessions.End(ctx, r.ID, reason)
}

// Poll is the wish of who asked for a link to hear that it was used.
type Poll struct {
	Caller  Caller
	Contact string // id of the contact
	Token   string // Asked.PollToken
	Paired  bool   // only a link that two digits bind to who waits
	Session SessionTerms
	Origin  origin.Origin
}

// Poll waits, one question at a time, for a link to be used. Once it was, the
// session is made and handed out, one time only. Verdict is Accepted, NotYet,
// Expired (before the link was used), Used (handed out already) or Unknown.
func (s *View) Poll(ctx context.Context, in Poll) (Proved, error) {
	out, err := store.Update(ctx, s.core.store, func(tx store.Tx) (Proved, error) {
		t := &proving{s: s, tx: tx, in: Proof{Caller: in.Caller, Origin: in.Origin, Session: &in.Session}, now: s.core.now()}
		v, err := t.findPolled(in)
		if err != nil || v != event.Accepted {
			return Proved{Verdict: v}, err
		}
		t.c.Fetched = true
		if err := t.c.Save(tx); err != nil {
			return Proved{}, err
		}
		return t.accepted()
	})
	if err != nil {
		return Proved{}, err
	}
	if out.Session != nil {
		s.core.count(1, 0)
		s.observe(event.Event{Name: event.SignedIn, App: in.Caller.App.ID, Address: out.Contact.Address(),
			Subject: out.Person.Subject, Challenge: out.Challenge, Session: out.Session.ID, Method: out.Method})
	}
	return out, nil
}

func (t *proving) findPolled(in Poll) (event.Verdict, error) {
	if len(in.Token) != keyring.APIPollLen {
		return event.Unknown, nil
	}
	lead, err := challenge.LoadLead(t.tx, store.KeyAPIPoll+keyring.Hash(in.Token))
	if err != nil || lead.Challenge == "" {
		return event.Unknown, err
	}
	if t.tx, err = challenge.Follow(t.tx, lead); err != nil {
		return event.Unknown, err
	}
	c, err := loadSent(t.tx, lead.Challenge)
	if err != nil || c == nil || c.Realm != in.Caller.Realm() || c.Contact != in.Contact || in.Paired && !c.Paired {
		return event.Unknown, err
	}
	t.c = c
	switch v := c.State(t.now); {
	case c.isOff(in.Caller.App):
		return event.Expired, nil
	case c.Fetched:
		return event.Used, nil
	case c.Used && (t.s.core.sessions.Revoked(c.UsedAt) || !c.UsedAt.After(c.person.Ended)):
		return event.Expired, nil // what all was ended for may have been this proof
	case c.Used:
		return event.Accepted, nil
	case v == event.Accepted:
		return event.NotYet, nil
	default:
		return v, nil
	}
}
