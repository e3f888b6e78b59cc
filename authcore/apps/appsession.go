package apps

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
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

// SessionTerms say what session is made.
type SessionTerms struct {
	Lifetime time.Duration // absolute; more than 0
	Form     session.TokenForm
	Org      string // id of the organization it acts for, "" for none
	Note     string // the wire format's own
}

// Session is a session of an app's person: a session of the core like any
// other, which has a token for the app instead of a cookie.
type Session struct {
	ID          string // 27 letters and digits
	SignIn      string // the same for all sessions of a sign-in, see SwitchOrg
	Person      person.Person
	Address     address.Address // that was proved: the session speaks for no other; zero for none
	Token       string          // the opaque token
	Started     time.Time
	Expires     time.Time
	LastActive  time.Time
	Updated     time.Time
	Factors     []session.Factor
	Fingerprint *session.Fingerprint
	Org         string
	OrgRole     organization.Role // at the time of the call; "" when Org is empty
	Note        string
}

type newAppSession struct {
	p           *person.Record
	terms       SessionTerms
	factor      session.Factor
	origin      origin.Origin
	client      netip.Addr
	agent       string
	fingerprint *session.Fingerprint
	now         time.Time
}

// startAppSession stores a session in the same records as those of the gates,
// so that whoever lists and ends sessions sees them all. Its audience is no
// origin: it never passes a gate.
func (s *View) startAppSession(tx store.Tx, in newAppSession) (*session.Record, error) {
	r := &session.Record{
		ID: keyring.NewID(in.now), Subject: in.p.Subject, Issuer: in.origin.String(), Audience: "app:" + in.p.Realm.String(),
		AuthTime: in.now, Expires: in.now.Add(in.terms.Lifetime), LastSeen: in.now,
		AMR: []string{"email"}, Agent: challenge.ShortAgent(in.agent), Network: challenge.CoarseNetwork(in.client),
		API: &session.AppPart{
			Realm: in.p.Realm, Secret: s.core.secrets.Current.ID(), Form: in.terms.Form,
			Factors: []session.Factor{in.factor}, Fingerprint: in.fingerprint,
			Org: in.terms.Org, Note: in.terms.Note, Updated: in.now,
		},
	}
	if in.factor.Method == "code" {
		r.AMR = append(r.AMR, "otp")
	}
	return r, s.core.SaveAppSession(tx, s.core.sessions.Bound(r))
}

// saveAppSession stores a session, and what it is found by: its person, and its
// token if the secret of that is known here.
func (c *Core) SaveAppSession(tx store.Tx, r *session.Record) error {
	kept := r.Expires.Add(keyring.ClockSkew)
	tx.Put(store.KeyPersonSession+r.Subject+"/"+r.ID, []byte("{}"), kept)
	if token := c.sessionToken(r); token != "" {
		if err := store.Save(tx, store.KeyAPISession+keyring.Hash(token), r.ID, kept); err != nil {
			return err
		}
	}
	return r.Save(tx)
}

// sessionToken derives the session's opaque token again, "" when the secret it
// came from is gone.
func (c *Core) sessionToken(r *session.Record) string {
	secret, err := c.secrets.Find(r.API.Secret)
	if err != nil {
		return ""
	}
	return secret.APISession(r.ID, r.API.Form == session.TokenHex)
}

// findsToken tells whether the session is found by its token. One whose secret
// is not known here has none to be found by.
func (c *Core) FindsToken(tx store.Tx, r *session.Record) (bool, error) {
	token := c.sessionToken(r)
	if token == "" {
		return true, nil
	}
	var sid string
	return store.Load(tx, store.KeyAPISession+keyring.Hash(token), &sid)
}

// loadAppSession reads a session of realm, nil if there is none.
func loadAppSession(tx store.Tx, realm person.Realm, sid string) (*session.Record, error) {
	if !keyring.IsID(sid) {
		return nil, nil
	}
	r, err := session.Load(tx, sid)
	if err != nil || r == nil || r.API == nil || r.API.Realm != realm {
		return nil, err
	}
	return r, nil
}

// verdict tells whether an app's session is live: Accepted, Expired, or Unknown
// for one that was ended or never was.
func (c *Core) verdict(tx store.Tx, r *session.Record) (event.Verdict, error) {
	stands, err := c.sessions.Stands(tx, r)
	return [...]event.Verdict{session.Live: event.Accepted, session.Ended: event.Unknown, session.Expired: event.Expired}[stands], err
}

// gain adds a proof, and more time if extend is more than 0.
func gain(r *session.Record, f session.Factor, extend time.Duration, now time.Time) {
	r.API.Factors = slices.DeleteFunc(r.API.Factors, func(o session.Factor) bool { return o.Contact == f.Contact && o.Method == f.Method })
	r.API.Factors = append(r.API.Factors, f)
	if f.Method == "code" && !slices.Contains(r.AMR, "otp") {
		r.AMR = append(r.AMR, "otp")
	}
	touch(r, extend, now)
}

func touch(r *session.Record, extend time.Duration, now time.Time) {
	r.LastSeen, r.API.Updated = now, now
	if extend > 0 {
		r.Expires = now.Add(extend)
	}
}

func sessionExtension(terms *SessionTerms) time.Duration {
	if terms == nil {
		return 0
	}
	return terms.Lifetime
}

func (s *View) appSession(r *session.Record, p *person.Record) *Session {
	a := r.API
	return &Session{
		ID: r.ID, SignIn: r.Root(), Person: p.View(), Address: r.Address(p), Token: s.core.sessionToken(r), Started: r.AuthTime, Expires: r.Expires,
		LastActive: r.LastSeen, Updated: a.Updated, Factors: slices.Clone(a.Factors),
		Fingerprint: a.Fingerprint, Org: a.Org, Note: a.Note,
	}
}

// SessionRef names a session: by its opaque token or its id.
type SessionRef struct {
	Token string
	SID   string
}

func (ref SessionRef) find(tx store.Tx, realm person.Realm) (*session.Record, error) {
	sid := ref.SID
	if ref.Token != "" {
		if len(ref.Token) != keyring.APISessionLen {
			return nil, nil
		}
		sid = ""
		if _, err := store.Load(tx, store.KeyAPISession+keyring.Hash(ref.Token), &sid); err != nil {
			return nil, err
		}
	}
	return loadAppSession(tx, realm, sid)
}

// live finds a session, and says what is to be said of it.
func (s *View) live(tx store.Tx, realm person.Realm, ref SessionRef) (*session.Record, event.Verdict, error) {
	r, err := ref.find(tx, realm)
	if err != nil {
		return nil, event.Unknown, err
	}
	v, err := s.core.verdict(tx, r)
	return r, v, err
}

// Session returns a live session of realm. Verdict is Accepted, Expired, or
// Unknown for one that was ended or never was; the session is nil then. Expired
// is told only for a minute, then the record is gone.
func (s *View) Session(ctx context.Context, realm person.Realm, ref SessionRef) (*Session, event.Verdict, error) {
	return decide.View(ctx, s.core.store, func(tx store.Tx) (*Session, event.Verdict, error) {
		r, v, err := s.live(tx, realm, ref)
		if err != nil || v != event.Accepted {
			return nil, v, err
		}
		return s.withPerson(tx, r)
	})
}

// SessionOfAny is Session for a token that may be of any app: whose it is
// stands in the session's Person.Realm.
func (s *View) SessionOfAny(ctx context.Context, token string) (*Session, event.Verdict, error) {
	return decide.View(ctx, s.core.store, func(tx store.Tx) (*Session, event.Verdict, error) {
		var sid string
		if len(token) != keyring.APISessionLen {
			return nil, event.Unknown, nil
		}
		if _, err := store.Load(tx, store.KeyAPISession+keyring.Hash(token), &sid); err != nil || sid == "" {
			return nil, event.Unknown, err
		}
		r, err := session.Load(tx, sid)
		if err != nil || r == nil || r.API == nil {
			return nil, event.Unknown, err
		}
		if v, err := s.core.verdict(tx, r); err != nil || v != event.Accepted {
			return nil, v, err
		}
		return s.withPerson(tx, r)
	})
}

// withPerson completes a live session with its person and role. Verdict is
// Accepted, or Unknown if the person is gone.
func (s *View) withPerson(tx store.Tx, r *session.Record) (*Session, event.Verdict, error) {
	p, err := person.LoadIn(tx, r.API.Realm, r.Subject)
	if err != nil || p == nil {
		return nil, event.Unknown, err
	}
	out := s.appSession(r, p)
	if app := s.cfg.List.Find(r.API.Realm.App); app == nil || !app.Organizations {
		out.Org = ""
	}
	if out.Org != "" {
		if out.OrgRole, err = organization.RoleIn(tx, out.Org, p.Subject); out.OrgRole == "" {
			out.Org = "" // not a member any more
		}
	}
	return out, event.Accepted, err
}
