package grant

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What a client learns of a person comes of what it asks for and of what it may
// (learns); what the person agrees to is that as the page names it (Terms). A
// client with consent, and one that the person has signed up for, is told what both
// have (isBoundBy): what was asked for later, a name that was not there to be named,
// or that is another since, waits for the next yes.

// Facts are what a client learns of a person beside that it is the same one.
type Facts struct {
	Email bool `json:"email,omitempty"`
	Name  bool `json:"name,omitempty"`
}

// Wish is what a client asks for: by scopes, and fact by fact.
type Wish struct {
	Scope    []string `json:"scope"`
	UserInfo Facts    `json:"userinfo,omitzero"` // asked for there
	IDToken  Facts    `json:"id_token,omitzero"` // and in ID tokens
}

// learns is what the client is told that asks for w: at userinfo, and in ID tokens.
func (c *Client) learns(w Wish) (userInfo, idToken Facts) {
	email, profile := slices.Contains(w.Scope, ScopeEmail), slices.Contains(w.Scope, ScopeProfile)
	userInfo = Facts{Email: email || w.UserInfo.Email, Name: c.Profile && (profile || w.UserInfo.Name)}
	idToken = Facts{Email: email && c.EmailInIDToken || w.IDToken.Email, Name: c.Profile && w.IDToken.Name}
	return userInfo, idToken
}

// Terms are what a person is asked to agree to.
type Terms struct {
	Facts
	Named   string // the name, where that is learned
	Offline bool   // the sign-in lasts while the person is away
}

// terms are what the wish of a client comes to for somebody with this name, which
// may be empty.
func (c *Client) terms(w Wish, name string) Terms {
	userInfo, idToken := c.learns(w)
	t := Terms{
		Facts:   Facts{Email: userInfo.Email || idToken.Email, Name: name != "" && (userInfo.Name || idToken.Name)},
		Offline: slices.Contains(w.Scope, ScopeOffline),
	}
	if t.Name {
		t.Named = name
	}
	return t
}

// scope says the same in scopes.
func (t Terms) scope() []string {
	scope := []string{ScopeOpenID}
	for _, one := range []struct {
		name string
		is   bool
	}{{ScopeEmail, t.Email}, {ScopeProfile, t.Name}, {ScopeOffline, t.Offline}} {
		if one.is {
			scope = append(scope, one.name)
		}
	}
	return scope
}

// Consent is what a person has said to a client.
type Consent struct {
	Subject   string    `json:"sub"`
	Client    string    `json:"client"`
	Scope     []string  `json:"scope"`          // Terms that were agreed to; none: all was withdrawn
	Name      string    `json:"name,omitempty"` // hash of the one that the page named last
	SignedUp  bool      `json:"signed_up,omitempty"`
	At        time.Time `json:"at"`
	Withdrawn time.Time `json:"withdrawn,omitzero"` // last: codes from before are good for nothing
}

// IsGiven tells whether anything is agreed to.
func (c *Consent) IsGiven() bool { return c != nil && len(c.Scope) > 0 }

// covers tells whether all of t was agreed to.
func (c *Consent) covers(t Terms) bool {
	return c != nil && (!t.Name || c.names(t.Named)) &&
		!slices.ContainsFunc(t.scope(), func(s string) bool { return !slices.Contains(c.Scope, s) })
}

// names tells whether it was this name that was agreed to.
func (c *Consent) names(name string) bool {
	return slices.Contains(c.Scope, ScopeProfile) && c.Name == keyring.Hash(name)
}

// within are those of the facts that were agreed to, of a person with this name.
func (c *Consent) within(f Facts, name string) Facts {
	return Facts{Email: f.Email && slices.Contains(c.Scope, ScopeEmail), Name: f.Name && c.names(name)}
}

func (c *Consent) save(tx store.Tx, until time.Time) error {
	return store.Save(tx, store.KeyConsent+c.Subject+"/"+c.Client, c, until)
}

// Question is what a person has to be asked before a client learns who they are.
type Question uint8

// The questions. A sign-up includes what is to be learned.
const (
	NoQuestion Question = iota
	AskConsent
	AskSignUp
	// AskProof comes before a sign-up: a code that an operator told shows nobody to
	// have the mailbox, and the app would go on knowing them by it.
	AskProof
)

// asks tells what somebody with this address has to be asked who has said this.
func (c *Client) asks(said *Consent, a address.Address, t Terms) Question {
	switch {
	case c.SignUp && !c.names(a) && (said == nil || !said.SignedUp):
		return AskSignUp
	case c.isBoundBy(said) && !said.covers(t):
		return AskConsent
	}
	return NoQuestion
}

// isBoundBy tells whether the client learns of a person who has said this what they
// have agreed to alone. Who signs up agrees to what that page names.
func (c *Client) isBoundBy(said *Consent) bool {
	return c.Consent || c.SignUp && said != nil && said.SignedUp
}

// Asking is a question to the person of a session.
type Asking struct {
	Question
	Terms
	Mark string // comes back with the answer

	subject string
	client  *Client
}

// Asks tells what the person of a session has to be asked before a code is sent to
// a redirect URI by a portal. always asks for consent even if it was given.
func (g *Grants) Asks(ctx context.Context, portal origin.Origin, c *Client, uri string, s *session.Session, w Wish, always bool) (Asking, error) {
	out := Asking{Terms: c.terms(w, s.Name), subject: s.Subject, client: c}
	unproven := c.mayBeAnother(uri, portal)
	if !c.Consent && !c.SignUp && !unproven {
		return out, nil
	}
	said, err := store.View(ctx, g.cfg.Store, func(tx store.Tx) (*Consent, error) { return loadConsent(tx, s.Subject, c.ID) })
	if err != nil {
		return out, err
	}
	if out.Question = c.asks(said, s.Address, out.Terms); out.Question == NoQuestion && (unproven || always && c.isBoundBy(said)) {
		out.Question = AskConsent
	}
	if out.Question != NoQuestion && c.SignUp && (said == nil || !said.SignedUp) && !s.IsByMail() {
		out.Question = AskProof
	}
	if out.Question == NoQuestion || out.Question == AskProof {
		return out, nil // there is no mark, so nothing can be agreed to
	}
	out.Mark = g.cfg.Secrets.Current.Grant("asking", strings.Join(append(out.scope(), s.Subject, c.ID, out.Named), "\x00"))
	return out, nil
}

// Agree notes that the person has agreed. It reports false if mark is of another
// question: the page named somebody else, or less.
func (g *Grants) Agree(ctx context.Context, to Asking, mark string) (bool, error) {
	if mark == "" || !keyring.SameCode(to.Mark, mark) {
		return false, nil
	}
	err := g.cfg.Store.Update(ctx, func(tx store.Tx) error {
		said, err := loadConsent(tx, to.subject, to.client.ID)
		if err != nil {
			return err
		}
		if said == nil {
			said = &Consent{Subject: to.subject, Client: to.client.ID}
		}
		for _, s := range to.scope() {
			if !slices.Contains(said.Scope, s) {
				said.Scope = append(said.Scope, s)
			}
		}
		if to.Name {
			said.Name = keyring.Hash(to.Named)
		}
		said.SignedUp, said.At = said.SignedUp || to.client.SignUp, g.cfg.Now()
		return said.save(tx, time.Time{})
	})
	return err == nil, err
}

func loadConsent(tx store.Tx, sub, client string) (*Consent, error) {
	c := &Consent{}
	ok, err := store.Load(tx, store.KeyConsent+sub+"/"+client, c)
	if err != nil || !ok || c.Subject != sub || c.Client != client {
		return nil, err
	}
	return c, nil
}

// maxConsents bounds how many of one person are looked at.
const maxConsents = 500

// consents are all that a person has said.
func (g *Grants) consents(ctx context.Context, sub string) ([]Consent, error) {
	return store.View(ctx, g.cfg.Store, func(tx store.Tx) (all []Consent, err error) {
		items, err := tx.Scan(store.KeyConsent+sub+"/", "", maxConsents)
		for _, item := range items {
			var c Consent
			if _, err := store.Decode(item.Key, item.Value, &c); err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		return all, err
	})
}

// Held are the clients that a person can withdraw from: what they have agreed to,
// and sign-ins that last while they are away, for which nobody had to be asked.
func (g *Grants) Held(ctx context.Context, sub string) ([]Consent, error) {
	all, err := g.consents(ctx, sub)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c Consent) bool { return !c.IsGiven() })
	ids, err := g.familiesOf(ctx, sub)
	if err != nil {
		return nil, err
	}
	return store.View(ctx, g.cfg.Store, func(tx store.Tx) ([]Consent, error) {
		held := slices.Clone(all)
		for _, id := range ids {
			gr, err := loadGrant(tx, id)
			if err != nil {
				return nil, err
			}
			if gr == nil || !gr.offline() || slices.ContainsFunc(held, func(c Consent) bool { return c.Client == gr.Client }) {
				continue
			}
			stands, err := g.stands(tx, gr)
			if err != nil {
				return nil, err
			}
			if stands.why == "" {
				held = append(held, Consent{Subject: sub, Client: gr.Client, Scope: gr.Scope, At: gr.AuthTime})
			}
		}
		return held, nil
	})
}

// Withdraw takes a person's consent back: what the client holds is good for
// nothing, and it is told that the person has signed out. That it was taken back
// is written first: a code becomes a grant before that, and ends with the others,
// or never.
func (g *Grants) Withdraw(ctx context.Context, sub, client string) error {
	if !store.IsKeyPart(sub) || !store.IsKeyPart(client) {
		return nil
	}
	now := g.cfg.Now()
	err := g.cfg.Store.Update(ctx, func(tx store.Tx) error {
		return (&Consent{Subject: sub, Client: client, At: now, Withdrawn: now}).save(tx, now.Add(codeKept))
	})
	if err != nil {
		return err
	}
	grants, err := g.familiesOf(ctx, sub)
	if err != nil {
		return err
	}
	ended, err := store.Update(ctx, g.cfg.Store, func(tx store.Tx) (ended []*Grant, err error) {
		for _, id := range grants {
			gr, err := loadGrant(tx, id)
			if err != nil {
				return nil, err
			}
			if gr == nil || gr.Client != client || gr.Over {
				continue
			}
			gr.Ended, gr.Reason, gr.Over = now, reasonTaken, true
			if err := gr.save(tx); err != nil {
				return nil, err
			}
			ended = append(ended, gr)
		}
		return ended, nil
	})
	for _, gr := range ended {
		g.observe(event.GrantEnded, gr, reasonTaken)
	}
	g.Changed(sub)
	return err
}

// Forget takes the consents of somebody who is deleted out of the store. Their
// grants go once their clients were told.
func (g *Grants) Forget(ctx context.Context, p *person.Record) error {
	all, err := g.consents(ctx, p.Subject)
	if err != nil || len(all) == 0 {
		return err
	}
	return g.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for _, c := range all {
			tx.Delete(store.KeyConsent + c.Subject + "/" + c.Client)
		}
		return nil
	})
}

// waitLifetime is how long a request waits for its person to sign in, which is as
// long as a browser remembers its sign-ins.
const waitLifetime = time.Hour

// waiting is a request that is too long to be carried along.
type waiting struct {
	Hash  string `json:"hash"`
	Query string `json:"query"`
}

// Keep puts a request aside that is too long for the address of the sign-in page,
// and returns what finds it again. It holds no more than the browser has sent,
// and stands for nothing.
func (g *Grants) Keep(ctx context.Context, query string) (string, error) {
	name := keyring.RandomToken(16)
	return name, g.cfg.Store.Update(ctx, func(tx store.Tx) error {
		hash := keyring.Hash(name)
		return store.Save(tx, store.KeyRequest+hash, waiting{hash, query}, g.cfg.Now().Add(waitLifetime))
	})
}

// Kept returns a request that was put aside, empty for none.
func (g *Grants) Kept(ctx context.Context, name string) (string, error) {
	if !store.IsKeyPart(name) {
		return "", nil
	}
	hash := keyring.Hash(name)
	return store.View(ctx, g.cfg.Store, func(tx store.Tx) (string, error) {
		var w waiting
		ok, err := store.Load(tx, store.KeyRequest+hash, &w)
		if err != nil || !ok || w.Hash != hash {
			return "", err
		}
		return w.Query, nil
	})
}

// Since marks the moment at which a new sign-in was asked for, for the request
// about: who has signed in later has done what was asked. Nobody else can make
// the mark.
func (g *Grants) Since(about string) string {
	at := strconv.FormatInt(g.cfg.Now().UnixMilli(), 10)
	return at + "." + g.cfg.Secrets.Current.Grant("since", at+"\x00"+about)
}

// Marked is when a mark of Since was made, zero for none of ours or one that is
// too old.
func (g *Grants) Marked(mark, about string) time.Time {
	at, _, _ := strings.Cut(mark, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || len(mark) > 128 {
		return time.Time{}
	}
	made := time.UnixMilli(ms)
	if age := g.cfg.Now().Sub(made); age < 0 || age > waitLifetime {
		return time.Time{}
	}
	for _, secret := range append([]keyring.Secret{g.cfg.Secrets.Current}, g.cfg.Secrets.Old...) {
		if keyring.SameCode(at+"."+secret.Grant("since", at+"\x00"+about), mark) {
			return made
		}
	}
	return time.Time{}
}
