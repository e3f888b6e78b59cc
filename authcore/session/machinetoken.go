package session

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const (
	// machinePrefix begins every token that people make, so that scanners for
	// leaked secrets find it and logs can be searched for it.
	machinePrefix = "ght_"
	machineRandom = 32 // bytes after it, in base64
	// MachineFresh is how long ago a person who makes a token may have signed
	// in.
	MachineFresh = 5 * time.Minute
	// MachineLifetime is how long a token lives at most.
	MachineLifetime = 366 * 24 * time.Hour
	// OwnSiteLifetime is the same for one that is made on a site's own origin,
	// where a script of its app can make it too.
	OwnSiteLifetime = 30 * 24 * time.Hour
	// machineKnown is how long a token is known to be over after its end.
	machineKnown = 30 * 24 * time.Hour
	// MaxMachines is how many live tokens a person may have for the same sites.
	MaxMachines = 20
)

// IsMachineToken tells whether s is meant to be a token that a person made. It
// need not be a good or a whole one.
func IsMachineToken(s string) bool { return strings.HasPrefix(s, machinePrefix) }

// HoldsMachineToken tells whether what looks like a whole token that a person made
// stands anywhere in text.
func HoldsMachineToken(text string) bool {
	whole := base64.RawURLEncoding.EncodedLen(machineRandom)
	for {
		_, rest, found := strings.Cut(text, machinePrefix)
		if !found {
			return false
		}
		if len(rest) >= whole && store.IsKeyPart(rest[:whole]) {
			return true
		}
		text = rest
	}
}

// Refusal is why no token was made: a stable word, empty for no refusal.
type Refusal string

// The refusals of MakeToken.
const (
	NotFresh     Refusal = "not_fresh"   // the sign-in is older than MachineFresh
	NotHere      Refusal = "not_here"    // only where the person signed in themselves, or for a site on its own origin
	BadMachine   Refusal = "bad_machine" // name, path or method is none
	BadSite      Refusal = "bad_site"    // not a site of this instance, or none that it may be made for here
	BadUntil     Refusal = "bad_until"   // in the past, or too far ahead
	NameTaken    Refusal = "name_taken"  // by two live tokens of the person for the same sites
	TooManyMade  Refusal = "too_many"    // MaxMachines are live
	refusalNone  Refusal = ""
	machineEnded         = "token_ended"
)

// MachineToken is a token that a person made, as they may see it again.
type MachineToken struct {
	ID string // its sid
	Machine
	Made     time.Time
	Until    time.Time
	LastUsed time.Time // before Made, if it was never used
}

// machineList is which tokens a person has made.
type machineList struct {
	Subject string   `json:"sub"`
	Tokens  []string `json:"tokens"` // sids
}

// MakeToken makes a machine token for the person of session. The secret is
// returned once and never again: the store keeps its hash. own is the site on
// whose own origin it is made, zero where the person may make any: a token that
// is made there is good there alone, and for OwnSiteLifetime at most.
func (s *View) MakeToken(ctx context.Context, session *Session, own origin.Origin, m Machine, until time.Time) (secret string, made MachineToken, no Refusal, err error) {
	now := s.core.now()
	if no := s.refuseToken(session, own, m, until, now); no != refusalNone {
		return "", made, no, nil
	}
	secret = machinePrefix + keyring.RandomToken(machineRandom)
	r := &Record{
		ID: keyring.RandomID(), Subject: session.Subject, Machine: &m,
		AuthTime: now, Expires: until, LastSeen: now.Add(-time.Second), AMR: []string{"token"}, // not used yet: uses are noted to the second
		Issuer: session.Issuer, Audience: session.Audience,
	}
	no, err = store.Update(ctx, s.core.store, func(tx store.Tx) (Refusal, error) {
		return s.core.addMachine(tx, r, HashMachine(secret).String())
	})
	if err != nil || no != refusalNone {
		return "", made, no, err
	}
	s.core.count(1)
	s.core.observe(event.Event{Name: event.Token, Reason: "made", Session: r.ID, Subject: r.Subject, Address: session.Address, Detail: m.Name})
	return secret, r.machineToken(), refusalNone, nil
}

func (s *View) refuseToken(session *Session, own origin.Origin, m Machine, until, now time.Time) Refusal {
	longest := MachineLifetime
	if !own.IsZero() {
		longest = OwnSiteLifetime
	}
	switch {
	case session.Parent != "" && own.IsZero() || session.Machine != nil:
		return NotHere
	case !session.youngerThan(MachineFresh, now):
		return NotFresh
	case m.Check() != nil:
		return BadMachine
	case !until.After(now) || until.After(now.Add(longest)):
		return BadUntil
	case !own.IsZero() && !m.onlyAt(own):
		return BadSite
	}
	for _, p := range m.Sites {
		if !p.Exact() || !s.cfg.Protects(p.Origin(session.scheme())) {
			return BadSite
		}
	}
	return refusalNone
}

// scheme is that of the site where the session was signed in.
func (s *Session) scheme() string {
	scheme, _, _ := strings.Cut(s.Issuer, "://")
	return scheme
}

// onlyAt tells whether the token is good at o and nowhere else.
func (m *Machine) onlyAt(o origin.Origin) bool {
	return len(m.Sites) > 0 && !slices.ContainsFunc(m.Sites, func(p origin.SitePattern) bool {
		return !p.IsOnly(o)
	})
}

// addMachine adds a token to those of its person. Two may have one name, so that a
// program can be given the new one before the old one ends. Names and numbers are counted
// among those for the same sites: a script of one site's app must neither learn
// the names of others nor use up their number.
func (c *Core) addMachine(tx store.Tx, r *Record, hash string) (Refusal, error) {
	list, live, err := c.loadMachines(tx, r.Subject)
	if err != nil {
		return refusalNone, err
	}
	list.Tokens = nil
	count, named := 0, 0
	for _, other := range live {
		if list.Tokens = append(list.Tokens, other.ID); !slices.Equal(other.Machine.Sites, r.Machine.Sites) {
			continue
		}
		if count++; other.Machine.Name == r.Machine.Name {
			named++
		}
	}
	if named > 1 {
		return NameTaken, nil
	}
	if count >= MaxMachines {
		return TooManyMade, nil
	}
	list.Tokens = append(list.Tokens, r.ID)
	if err := store.Save(tx, store.KeyMachines+r.Subject, list, time.Time{}); err != nil {
		return refusalNone, err
	}
	// Beyond its end, so that whoever still sends it is told that it is over.
	if err := store.Save(tx, store.KeyMachine+hash, r.ID, r.Expires.Add(machineKnown)); err != nil {
		return refusalNone, err
	}
	tx.Put(store.KeyPersonSession+r.Subject+"/"+r.ID, []byte("{}"), r.Expires.Add(keyring.ClockSkew))
	return refusalNone, r.Save(tx)
}

// loadMachines reads the live tokens of a person.
func (c *Core) loadMachines(tx store.Tx, sub string) (*machineList, []*Record, error) {
	list := &machineList{}
	if _, err := store.Load(tx, store.KeyMachines+sub, list); err != nil {
		return nil, nil, err
	}
	if list.Subject != sub {
		list = &machineList{Subject: sub}
	}
	var live []*Record
	for _, sid := range list.Tokens {
		r, err := Load(tx, sid)
		if err != nil {
			return nil, nil, err
		}
		stands, err := c.Stands(tx, r)
		if err != nil {
			return nil, nil, err
		}
		if stands == Live && r.Machine != nil && r.Subject == sub {
			live = append(live, r)
		}
	}
	return list, live, nil
}

func (r *Record) machineToken() MachineToken {
	return MachineToken{ID: r.ID, Machine: *r.Machine, Made: r.AuthTime, Until: r.Expires, LastUsed: r.LastSeen}
}

// Tokens returns the live tokens of the person with subject sub, in the order
// in which they were made: all, or those that are good at own alone.
func (s *View) Tokens(ctx context.Context, sub string, own origin.Origin) ([]MachineToken, error) {
	return store.View(ctx, s.core.store, func(tx store.Tx) (all []MachineToken, err error) {
		_, live, err := s.core.loadMachines(tx, sub)
		for _, r := range live {
			if own.IsZero() || r.Machine.onlyAt(own) {
				all = append(all, r.machineToken())
			}
		}
		return all, err
	})
}

// EndToken ends a token of the person with subject sub at once, one of those
// that Tokens returns for the same own. It reports whether there was one.
func (s *View) EndToken(ctx context.Context, sub string, own origin.Origin, id string) (bool, error) {
	r, err := store.View(ctx, s.core.store, func(tx store.Tx) (*Record, error) { return Load(tx, id) })
	if err != nil || r == nil || r.Subject != sub || r.Machine == nil || !own.IsZero() && !r.Machine.onlyAt(own) {
		return false, err
	}
	return s.core.End(ctx, id, machineEnded)
}

// CheckToken returns the session that a machine token stands for, nil if it
// stands for none, and counts as a use of it; over: it stood for one, which has
// ended. Whether it is good for a request is asked of its Machine. An error means
// that it can't be told.
func (s *View) CheckToken(ctx context.Context, secret string) (session *Session, over bool, err error) {
	now := s.core.now()
	hash := HashMachine(secret).String()
	if session = s.machines[hash]; session == nil {
		if !IsMachineToken(secret) {
			return nil, false, nil
		}
		var live *liveSession
		live, now, err = s.core.lookUp(ctx, hash, func(ctx context.Context, hash string) (read *liveSession, err error) {
			read, over, err = s.core.machine(ctx, hash)
			return read, err
		})
		if err != nil || live == nil {
			return nil, over, err
		}
		session = live.snapshot.Load()
	}
	if !s.lives(session, now) {
		return nil, true, nil
	}
	s.Used(session)
	return session, false, nil
}

// KnowsMachine tells whether secret is that of a token of the configuration,
// also of one whose time is up.
func (s *View) KnowsMachine(secret string) bool {
	return s.machines[HashMachine(secret).String()] != nil
}

// machine reads a token that a person made; known: there was one.
func (c *Core) machine(ctx context.Context, hash string) (live *liveSession, known bool, err error) {
	began := c.now()
	sid, err := store.View(ctx, c.store, func(tx store.Tx) (sid string, err error) {
		_, err = store.Load(tx, store.KeyMachine+hash, &sid)
		return sid, err
	})
	if err != nil || sid == "" {
		return nil, false, err
	}
	r, p, err := c.ReadSession(ctx, sid)
	if err != nil || r == nil || r.Machine == nil {
		return nil, true, err
	}
	return c.cache.put(newSession(r, p, hash).readAt(began)), true, nil
}
