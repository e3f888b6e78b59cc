package grant

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Consent is what a person has said to a client.
type Consent struct {
	Subject  string    `json:"sub"`
	Client   string    `json:"client"`
	Scope    []string  `json:"scope"`
	SignedUp bool      `json:"signed_up,omitempty"`
	At       time.Time `json:"at"`
}

// covers tells whether all of scope was agreed to.
func (c *Consent) covers(scope []string) bool {
	return c != nil && !slices.ContainsFunc(scope, func(s string) bool { return !slices.Contains(c.Scope, s) })
}

// Question is what a person has to be asked before a client learns who they are.
type Question uint8

// The questions. A sign-up includes what is to be learned.
const (
	NoQuestion Question = iota
	AskConsent
	AskSignUp
)

// Asks tells what the person of a session has to be asked. always asks for
// consent even if it was given.
func (g *Grants) Asks(ctx context.Context, c *Client, s *session.Session, scope []string, always bool) (Question, error) {
	signUp := c.SignUp && !c.Names(s.Address)
	if !c.Consent && !signUp {
		return NoQuestion, nil
	}
	said, err := store.View(ctx, g.cfg.Store, func(tx store.Tx) (*Consent, error) { return loadConsent(tx, s.Subject, c.ID) })
	switch {
	case err != nil:
		return NoQuestion, err
	case signUp && (said == nil || !said.SignedUp):
		return AskSignUp, nil
	case c.Consent && (always || !said.covers(scope)):
		return AskConsent, nil
	}
	return NoQuestion, nil
}

// Agree notes that a person has agreed to what a client asks for.
func (g *Grants) Agree(ctx context.Context, c *Client, sub string, scope []string) error {
	return g.cfg.Store.Update(ctx, func(tx store.Tx) error {
		said, err := loadConsent(tx, sub, c.ID)
		if err != nil {
			return err
		}
		if said == nil {
			said = &Consent{Subject: sub, Client: c.ID}
		}
		for _, s := range scope {
			if !slices.Contains(said.Scope, s) {
				said.Scope = append(said.Scope, s)
			}
		}
		said.SignedUp, said.At = said.SignedUp || c.SignUp, g.cfg.Now()
		return store.Save(tx, store.KeyConsent+sub+"/"+c.ID, said, time.Time{})
	})
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

// Consents are what a person has agreed to.
func (g *Grants) Consents(ctx context.Context, sub string) ([]Consent, error) {
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

// Withdraw takes a person's consent back: what the client holds is good for
// nothing, and it is told that the person has signed out.
func (g *Grants) Withdraw(ctx context.Context, sub, client string) error {
	if !store.IsKeyPart(sub) || !store.IsKeyPart(client) {
		return nil
	}
	grants, err := g.familiesOf(ctx, sub)
	if err != nil {
		return err
	}
	ended, err := store.Update(ctx, g.cfg.Store, func(tx store.Tx) (ended []*Grant, err error) {
		tx.Delete(store.KeyConsent + sub + "/" + client)
		for _, id := range grants {
			gr, err := loadGrant(tx, id)
			if err != nil {
				return nil, err
			}
			if gr == nil || gr.Client != client || gr.Over {
				continue
			}
			gr.Ended, gr.Reason, gr.Over = g.cfg.Now(), reasonTaken, true
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
	all, err := g.Consents(ctx, p.Subject)
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
