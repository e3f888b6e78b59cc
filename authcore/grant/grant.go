package grant

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const (
	// CodeLifetime is how long a code is good: a browser carries it over in one
	// redirect.
	CodeLifetime = time.Minute
	// accessLifetime is the most that an access token lives. It dies sooner with
	// its session.
	accessLifetime = time.Hour
	// grace is how long after its use a code or refresh token that comes again is
	// taken for a repeat: a lost answer, or two tabs. Later it was stolen.
	grace = 10 * time.Second
	// codeKept is how long the record of a code tells of its reuse.
	codeKept = time.Hour
)

// Grants are all grants of a store. They are safe for concurrent use.
type Grants struct {
	cfg Config

	mu    sync.Mutex
	means []*Means // in use, the newest last
	inUse atomic.Pointer[Means]

	work work
	salt atomic.Pointer[[]byte]
}

// Config is what the grants need of the house.
type Config struct {
	Store    store.Store
	Secrets  keyring.Secrets
	Sessions *session.Core
	Now      func() time.Time
	Log      *slog.Logger
	Observe  func(event.Event)
}

// New returns the grants of a store.
func New(c Config) *Grants {
	g := &Grants{cfg: c, work: newWork()}
	g.inUse.Store(&Means{})
	return g
}

// Means are what one configuration says of grants.
type Means struct {
	Clients []*Client
	// Notify tells a client that a session has ended. An error means that it can't
	// be told now. nil: nobody is told.
	Notify func(context.Context, Notice) error
}

// Use puts a configuration into use, until release. The newest decides.
func (g *Grants) Use(m *Means) (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.means = append(g.means, m)
	g.inUse.Store(m)
	g.work.lookAtAll() // the policy of a client may be another
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.means = slices.DeleteFunc(g.means, func(o *Means) bool { return o == m })
		if n := len(g.means); n > 0 {
			g.inUse.Store(g.means[n-1])
		} else {
			g.inUse.Store(&Means{})
		}
	}
}

// Client returns the client with this id, nil for none.
func (g *Grants) Client(id string) *Client {
	for _, c := range g.inUse.Load().Clients {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// Clients are those of the configuration in use.
func (g *Grants) Clients() []*Client { return g.inUse.Load().Clients }

// Grant is one sign-in of a person at a client, with what it may learn.
type Grant struct {
	ID       string    `json:"id"`
	Issuer   string    `json:"iss"`
	Client   string    `json:"client"`
	Subject  string    `json:"sub"`
	Session  string    `json:"sid"`              // that it came from; another may have taken its place
	Sector   string    `json:"sector,omitempty"` // whose names the client knows both by (Names)
	AuthTime time.Time `json:"auth_time"`
	ByMail   bool      `json:"by_mail,omitempty"` // the sign-in proved the mailbox
	Expires  time.Time `json:"expires"`           // with the session, at the latest
	Wish

	Secret  string    `json:"secret"`           // id of the one that refresh tokens are derived from
	Number  int       `json:"number,omitempty"` // of the refresh token in force; 0: there is none
	Rotated time.Time `json:"rotated,omitzero"`
	Answer  []byte    `json:"answer,omitempty"` // the access token of the last rotation, sealed

	Ended  time.Time `json:"ended,omitzero"` // nothing is good any more
	Reason string    `json:"reason,omitempty"`
	Over   bool      `json:"over,omitempty"` // the sign-in, too: the client is to be told
	Tries  int       `json:"tries,omitempty"`
	Node   string    `json:"node,omitempty"` // that tells it, of those that share the store
}

// offline tells whether the grant outlasts a time without use of its session.
func (gr *Grant) offline() bool { return slices.Contains(gr.Scope, ScopeOffline) }

// The scopes that mean something here. Others are ignored.
const (
	ScopeOpenID  = "openid"
	ScopeEmail   = "email"
	ScopeProfile = "profile"
	ScopeOffline = "offline_access"
)

func (gr *Grant) save(tx store.Tx) error {
	until := gr.Expires.Add(keyring.ClockSkew)
	tx.Put(store.KeyPersonGrant+gr.Subject+"/"+gr.ID, []byte("{}"), until)
	return store.Save(tx, store.KeyGrant+gr.ID, gr, until)
}

func (gr *Grant) remove(tx store.Tx) {
	tx.Delete(store.KeyPersonGrant + gr.Subject + "/" + gr.ID)
	tx.Delete(store.KeyGrant + gr.ID)
}

func loadGrant(tx store.Tx, id string) (*Grant, error) {
	gr := &Grant{}
	ok, err := store.Load(tx, store.KeyGrant+id, gr)
	if err != nil || !ok || gr.ID != id {
		return nil, err
	}
	return gr, nil
}

// standing is how a grant stands.
type standing struct {
	client *Client
	person *person.Record // while it is live
	said   *Consent       // nil: nothing
	until  time.Time      // the session's absolute end
	why    string         // empty: live
	over   bool           // the client is to be told
}

// The reasons why a grant is good for nothing.
const (
	reasonEnded   = "session_ended"
	reasonExpired = "session_expired" // of which no client is told
	reasonRefused = "not_allowed"
	reasonClient  = "client_gone"
	reasonReused  = "reused"
	reasonRevoked = "revoked"
	reasonTaken   = "consent_withdrawn"
)

// stands tells how a grant stands: it lives while its session does, and its
// client is configured and admits the person, who has said yes where they are to
// be asked. With offline_access a session without use is live until its absolute end.
func (g *Grants) stands(tx store.Tx, gr *Grant) (s standing, err error) {
	switch s.client = g.Client(gr.Client); {
	case s.client == nil:
		s.why = reasonClient
		return s, nil
	case gr.Over: // whatever the session does since
		s.why, s.over = gr.Reason, true
		return s, nil
	}
	if tx, err = store.ReadAhead(tx, store.KeySession+gr.Session, store.KeyPerson+gr.Subject, store.KeyConsent+gr.Subject+"/"+gr.Client); err != nil {
		return s, err
	}
	r, stands, err := g.cfg.Sessions.Lasting(tx, gr.Subject, gr.Session, gr.offline())
	if err != nil {
		return s, err
	}
	switch {
	case stands == session.Ended:
		s.why, s.over = reasonEnded, true
		return s, nil
	case stands != session.Live || !g.cfg.Now().Before(gr.Expires):
		s.why = reasonExpired
		return s, nil
	}
	s.until = r.Expires
	if s.person, err = person.Load(tx, gr.Subject); err != nil {
		return s, err
	}
	if s.said, err = loadConsent(tx, gr.Subject, gr.Client); err != nil {
		return s, err
	}
	switch {
	case s.person == nil:
		s.why, s.over = reasonEnded, true
	case !s.client.Admits(s.person.Address):
		s.why, s.over = reasonRefused, true
	case !gr.Ended.IsZero():
		s.why = gr.Reason
	case s.client.asks(s.said, s.person.Address, Terms{}) != NoQuestion:
		s.why, s.over = reasonTaken, true
	}
	return s, nil
}

// tells is what the client is told under a grant, by a token of this scope.
func (s *standing) tells(gr *Grant, scope []string) (userInfo, idToken Facts) {
	w := gr.Wish
	w.Scope = scope
	userInfo, idToken = s.client.learns(w)
	if s.client.isBoundBy(s.said) {
		userInfo, idToken = s.said.within(userInfo, s.person.Name), s.said.within(idToken, s.person.Name)
	}
	return userInfo, idToken
}

// Names are what a client is told that a person and their session are called. They
// are the sector's own where the client is pairwise, so that two clients that compare
// theirs don't learn that the person is the same.
type Names struct{ Subject, Session string }

// Names are those of a grant. They stay what they were when it began, in ID tokens,
// at userinfo and in notices, whatever the configuration says since.
func (g *Grants) Names(ctx context.Context, gr *Grant) (n Names, err error) {
	if n.Subject, err = g.pseudonym(ctx, gr.Sector, "sub", gr.Subject); err == nil {
		n.Session, err = g.pseudonym(ctx, gr.Sector, "sid", gr.Session)
	}
	return n, err
}

// Subject is what a client is told that a person is called who signs in now.
func (g *Grants) Subject(ctx context.Context, c *Client, sub string) (string, error) {
	return g.pseudonym(ctx, c.sectorNow(), "sub", sub)
}

// pseudonym is what id is called in a sector; without one it has that name itself.
func (g *Grants) pseudonym(ctx context.Context, sector, kind, id string) (string, error) {
	if sector == "" {
		return id, nil
	}
	salt, err := g.pairwiseSalt(ctx)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(sector + "\x00" + kind + "\x00" + id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

// SessionOf finds the session of the person sub of which a client was told by these
// names, which it has proven; empty for none.
func (g *Grants) SessionOf(ctx context.Context, c *Client, sub string, told Names) (string, error) {
	if told.Subject == sub {
		return told.Session, nil
	}
	ids, err := g.familiesOf(ctx, sub)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		gr, err := store.View(ctx, g.cfg.Store, func(tx store.Tx) (*Grant, error) { return loadGrant(tx, id) })
		if err != nil {
			return "", err
		}
		if gr == nil || gr.Client != c.ID {
			continue
		}
		if names, err := g.Names(ctx, gr); err != nil || names == told {
			return gr.Session, err
		}
	}
	return "", nil
}

// Salt is what pairwise subjects are derived with. It stays the same when the
// secret is changed, or everybody would become somebody else.
type Salt struct {
	Salt []byte `json:"salt"`
}

func (g *Grants) pairwiseSalt(ctx context.Context) ([]byte, error) {
	if salt := g.salt.Load(); salt != nil {
		return *salt, nil
	}
	fresh := []byte(keyring.RandomToken(32))
	salt, err := store.Update(ctx, g.cfg.Store, func(tx store.Tx) ([]byte, error) {
		var known Salt
		if ok, err := store.Load(tx, store.KeyPairwise, &known); err != nil || ok {
			return known.Salt, err
		}
		return fresh, store.Save(tx, store.KeyPairwise, Salt{fresh}, time.Time{})
	})
	if err == nil {
		g.salt.Store(&salt)
	}
	return salt, err
}

func (g *Grants) observe(name string, gr *Grant, reason string) {
	g.cfg.Observe(event.Event{Name: name, Subject: gr.Subject, Session: gr.Session, App: gr.Client, Reason: reason})
}
