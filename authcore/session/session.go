package session

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Rule limits the life of a browser session.
type Rule struct {
	Idle time.Duration // without use (inactivity timeout)
	Max  time.Duration // since the sign-in (absolute lifetime)
}

// DefaultRule is a day without use and a week in all.
var DefaultRule = Rule{Idle: 24 * time.Hour, Max: 7 * 24 * time.Hour}

// publicLifetime is the most that a session on a public computer lives.
const publicLifetime = time.Hour

// Browser is what a request shows of the browser that sent it. Flow and Device
// are the values of its cookies, empty when absent or ambiguous.
type Browser struct {
	Origin    origin.Origin
	Flow      string
	Device    string
	Session   *Session   // its live session at Origin, nil for none
	Held      []string   // session cookies that it sent, also of those not used for too long
	Client    netip.Addr // the client's address
	UserAgent string
}

// Session is what a verified person holds. It is a snapshot: Check returns a
// newer one when the record behind it has changed. Safe for concurrent use.
type Session struct {
	ID      string // sid
	Subject string // sub
	Name    string // empty unless the person gave one
	Issuer  string
	AMR     []string // RFC 8176 where it has a word: "otp" for a code
	Agent   string
	Network string
	Public  bool // on a computer that others use too
	// Parent is the sid of the portal's session that this one was handed over
	// from, and with which it ends; empty for one that was signed in here.
	Parent string

	// From here on everything is looked at at each request, and lies together
	// with the beginning of live (see newSession).

	Address  address.Address
	Audience string
	AuthTime time.Time
	Expires  time.Time // absolute end
	// Machine is what a machine token stands for, nil for a person's session.
	Machine *Machine

	live *liveSession
}

// liveSession is the part of a session that changes while it is in use. All
// snapshots of one session share it. What a check looks at comes first.
type liveSession struct {
	token    string
	snapshot atomic.Pointer[Session]
	ended    atomic.Bool
	seen     *lastUse             // shared by all sessions of one sign-in
	ownSeen  lastUse              // seen of one that shares it with no earlier session
	readAt   atomic.Int64         // when the records were last read
	sites    siteSet              // where it was used, as far as this process saw
	memos    atomic.Pointer[memo] // the newest

	mu      sync.Mutex              // to change memos, and for reading
	reading *reread                 // under way, nil for none
	next    atomic.Pointer[Session] // the same person's session that took its place
	written atomic.Int64            // seen as it stands in the store
	hangsOn string                  // the session it hangs on; guarded by the cache's mu
}

// memo is one of a list that is never changed, only replaced.
type memo struct {
	key, value any
	older      *memo
}

// maxMemos bounds what is remembered for one session: a few sites, each for the
// configuration in use.
const maxMemos = 8

// Memo returns what SetMemo remembered under key for this session, or nil. It
// is for what is derived from a session and asked for at every request, as
// identity headers are.
func (s *Session) Memo(key any) any {
	for m := s.live.memos.Load(); m != nil; m = m.older {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// SetMemo remembers value under key until the session leaves the cache or more
// than a few other keys were set.
func (s *Session) SetMemo(key, value any) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	newest := &memo{key: key, value: value}
	last, n := newest, 1
	for m := s.live.memos.Load(); m != nil && n < maxMemos; m = m.older {
		if m.key != key {
			last.older = &memo{key: m.key, value: m.value}
			last, n = last.older, n+1
		}
	}
	s.live.memos.Store(newest)
}

// LastSeen is when the session was last used, at any site.
func (s *Session) LastSeen() time.Time { return time.UnixMilli(s.live.seen.Load()) }

// Method is how the person signed in: "code" or "link".
func (s *Session) Method() string { return methodOf(s.AMR) }

func methodOf(amr []string) string {
	if slices.Contains(amr, "otp") {
		return "code"
	}
	return "link"
}

// amr is what the token says of how p was made. Email is one factor, however it
// was used; only the code is a one-time password in the sense of RFC 8176.
func (p Proof) amr() (all []string) {
	if p.ByMail {
		all = append(all, byMail)
	}
	if p.Method == "code" {
		all = append(all, "otp")
	}
	return all
}

const byMail = "email"

// Record is a session in the store. An ended one stays until its cookie
// would have expired: "ended" is a record, never the absence of one.
type Record struct {
	ID       string    `json:"sid"`
	Subject  string    `json:"sub"`
	Issuer   string    `json:"iss"`
	Audience string    `json:"aud"`
	AuthTime time.Time `json:"auth_time"`
	Expires  time.Time `json:"expires"`
	LastSeen time.Time `json:"last_seen"`
	AMR      []string  `json:"amr"`
	Agent    string    `json:"agent,omitempty"`
	Network  string    `json:"network,omitempty"`
	EndedAt  time.Time `json:"ended_at,omitzero"`
	Reason   string    `json:"reason,omitempty"`
	Next     string    `json:"next,omitempty"` // sid of the same person's session that took its place
	Sites    []string  `json:"sites,omitempty"`
	// Uses are in how many minutes each of Sites was used.
	Uses   map[string]int `json:"uses,omitempty"`
	Public bool           `json:"public,omitempty"`
	// Challenge is what was answered for it, to follow both through the log.
	Challenge string `json:"challenge,omitempty"`

	Parent   string   `json:"parent,omitempty"`   // sid of the portal's session that this one hangs on
	Children bool     `json:"children,omitempty"` // others hang on this one
	Machine  *Machine `json:"machine,omitempty"`  // a machine token's

	API *AppPart `json:"api,omitempty"` // made for an app
}

// Save writes the record, kept as long as its token may be shown.
func (r *Record) Save(tx store.Tx) error {
	return store.Save(tx, store.KeySession+r.ID, r, r.Expires.Add(keyring.ClockSkew))
}

// Load reads a session's record, nil if there is none.
func Load(tx store.Tx, sid string) (*Record, error) {
	r := &Record{}
	ok, err := store.Load(tx, store.KeySession+sid, r)
	if err != nil || !ok || r.ID != sid {
		return nil, err
	}
	return r, nil
}

// Proof is what a new session rests on: a person who has just proved who
// they are.
type Proof struct {
	Person    *person.Record
	Method    string // "code" or "link"
	ByMail    bool   // they have read a mail; not with a code that an operator told them
	At        time.Time
	Browser   Browser
	Public    bool   // on a computer that others use too
	Challenge string // id of what was answered, to follow both through the log
}

// Beginning is a session that begins in a transaction. Once that is stored,
// Begun makes it known.
type Beginning struct {
	Session *Session
	Token   string // the session cookie's value
	ended   []Ending
}

// Begin makes a session, and ends the one before it in the browser.
func (s *View) Begin(tx store.Tx, p Proof) (*Beginning, error) {
	r := s.recordAt(p.Browser, p.At)
	r.Subject, r.AuthTime, r.Expires = p.Person.Subject, p.At, p.At.Add(s.cfg.Session.Max)
	r.AMR, r.Challenge = p.amr(), p.Challenge
	if p.Public {
		r.Public, r.Expires = true, earlier(r.Expires, p.At.Add(publicLifetime))
	}
	return s.begin(tx, p.Browser, r, p.Person)
}

// recordAt is a new record, used at one place and time.
func (s *View) recordAt(b Browser, at time.Time) *Record {
	return &Record{
		ID: keyring.RandomID(), Issuer: b.Origin.String(), Audience: b.Origin.Audience(s.cfg.Domain), LastSeen: at,
		Agent: challenge.ShortAgent(b.UserAgent), Network: challenge.CoarseNetwork(b.Client), Sites: []string{b.Origin.String()},
	}
}

// begin puts a session into the store, in the place of the one that this
// browser held.
func (s *View) begin(tx store.Tx, b Browser, r *Record, p *person.Record) (*Beginning, error) {
	token, err := s.core.keys.Sign(context.Background(), TokenKind, r.claims())
	if err != nil {
		return nil, err
	}
	if err := r.Save(tx); err != nil {
		return nil, err
	}
	tx.Put(store.KeyPersonSession+r.Subject+"/"+r.ID, []byte("{}"), r.Expires.Add(keyring.ClockSkew))
	session := newSession(r, p, token).readAt(s.core.now())
	began := &Beginning{Session: session, Token: token}
	held, err := s.core.held(b)
	if err != nil {
		return nil, err
	}
	for _, sid := range held {
		if err := s.core.replace(tx, sid, began); err != nil {
			return nil, err
		}
	}
	return began, nil
}

// held are the sids of the sessions that a browser holds. With offline_access
// what apps hold lives on one that was not used for too long.
func (c *Core) held(b Browser) (sids []string, err error) {
	if b.Session != nil {
		sids = append(sids, b.Session.ID)
	}
	for _, token := range b.Held {
		claims, err := c.verifySession(token)
		if err != nil {
			return nil, err
		}
		if claims != nil && !slices.Contains(sids, claims.Session) {
			sids = append(sids, claims.Session)
		}
	}
	return sids, nil
}

// replace ends a session that the browser held.
func (c *Core) replace(tx store.Tx, sid string, by *Beginning) error {
	old, err := Load(tx, sid)
	if err != nil || old == nil {
		return err
	}
	next := by.Session
	if old.Subject != next.Subject {
		next = nil
	}
	e, err := c.EndIn(tx, sid, "replaced", next)
	if err != nil || e == nil {
		return err
	}
	by.ended = append(by.ended, *e)
	if e.parent && next != nil {
		return adopt(tx, next.ID)
	}
	return nil
}

// Begun makes a session known that has begun in a transaction, and what ended
// for it.
func (c *Core) Begun(ctx context.Context, b *Beginning) {
	c.endedAll(ctx, b.ended)
	c.cache.put(b.Session)
	c.count(1)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func newSession(r *Record, p *person.Record, token string) *Session {
	// In one piece: what a check looks at lies together.
	var both struct {
		session Session
		live    liveSession
	}
	s, live := &both.session, &both.live
	s.ID, s.Subject, s.Address, s.Name = r.ID, r.Subject, p.Address, p.Name
	s.AuthTime, s.Expires, s.AMR = r.AuthTime, r.Expires, r.AMR
	s.Issuer, s.Audience = r.Issuer, unique.Make(r.Audience).Value() // of many sessions the same
	s.Agent, s.Network, s.Public = r.Agent, r.Network, r.Public
	s.Parent, s.Machine, s.live = r.Parent, r.Machine, live
	live.token, live.seen = token, &live.ownSeen
	live.snapshot.Store(s)
	live.seen.Store(r.LastSeen.UnixMilli())
	live.written.Store(r.LastSeen.UnixMilli())
	return s
}
