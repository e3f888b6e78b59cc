package grant

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
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

// A code becomes a grant, and a refresh token the next one. Both are used once.
// Codes and access tokens are random and known to the store by their hash. A
// refresh token is derived of its grant and its number in it, so that nothing
// of it is kept, and the one before the newest is known when it comes again:
// within a few seconds its answer was lost, and is given once more; later
// somebody has a copy, and nobody can tell who, so that the grant ends.

// Ask is what a code is to stand for.
type Ask struct {
	Issuer      string
	Client      *Client
	Session     *session.Session
	RedirectURI string
	Challenge   string // of PKCE, S256; empty for none
	Nonce       string
	Wish        Wish
}

// code is a code in the store. It stays a while after its use: "used" is a
// record.
type code struct {
	Hash        string    `json:"hash"`
	Grant       Grant     `json:"grant"`
	RedirectURI string    `json:"redirect_uri"`
	Challenge   string    `json:"challenge,omitempty"`
	Nonce       string    `json:"nonce,omitempty"`
	Made        time.Time `json:"made"`
	Used        time.Time `json:"used,omitzero"`
}

func (c *code) save(tx store.Tx) error {
	return store.Save(tx, store.KeyCode+c.Hash, c, c.Made.Add(codeKept))
}

// Code makes a code for the person of a session.
func (g *Grants) Code(ctx context.Context, in Ask) (string, error) {
	value, s := keyring.RandomToken(32), in.Session
	c := code{
		Hash: keyring.Hash(value), RedirectURI: in.RedirectURI, Challenge: in.Challenge, Nonce: in.Nonce, Made: g.cfg.Now(),
		Grant: Grant{
			ID: keyring.RandomID(), Issuer: in.Issuer, Client: in.Client.ID, Subject: s.Subject, Session: s.ID, Sector: in.Client.sectorNow(),
			AuthTime: s.AuthTime, ByMail: s.IsByMail(), Wish: in.Wish, Expires: s.Expires, Secret: g.cfg.Secrets.Current.ID(),
		},
	}
	return value, g.cfg.Store.Update(ctx, c.save)
}

// Issued is what a client gets. Only one that was Refused has none.
type Issued struct {
	Grant    *Grant
	Client   *Client
	Person   *person.Record
	Nonce    string // of the request, once
	At       time.Time
	Access   string
	Lifetime time.Duration
	Scope    []string
	IDToken  Facts  // what stands in it
	Refresh  string // empty for none
}

// issuing is one run of a call for tokens.
type issuing struct {
	out    *Issued // nil: refused
	reused *Grant  // which what was shown has ended: it had been used before
}

var (
	// ErrRefused: what was shown is good for nothing. It is a "no", never an
	// outage.
	ErrRefused = errors.New("this is no code or token of the client's that is still good")
	// ErrScope: more is wanted than was granted.
	ErrScope = errors.New("the scope is more than was granted")
)

// Redemption is a client that shows a code.
type Redemption struct {
	Issuer      string
	Client      *Client
	Code        string
	RedirectURI string
	Verifier    string // of PKCE, empty for none
}

// Redeem begins a grant with a code. Of any number of calls one wins.
func (g *Grants) Redeem(ctx context.Context, in Redemption) (*Issued, error) {
	did, err := store.Update(ctx, g.cfg.Store, func(tx store.Tx) (issuing, error) { return g.redeem(tx, in) })
	if did.out != nil {
		g.observe(event.Granted, did.out.Grant, "")
	}
	return g.issued(did, err)
}

// issued reports a call.
func (g *Grants) issued(did issuing, err error) (*Issued, error) {
	if did.reused != nil {
		g.observe(event.GrantEnded, did.reused, reasonReused)
	}
	if err == nil && did.out == nil {
		err = ErrRefused
	}
	return did.out, err
}

func (g *Grants) redeem(tx store.Tx, in Redemption) (none issuing, err error) {
	c, hash, now := &code{}, keyring.Hash(in.Code), g.cfg.Now()
	ok, err := store.Load(tx, store.KeyCode+hash, c)
	if err != nil || !ok || c.Hash != hash || c.Grant.Client != in.Client.ID || c.Grant.Issuer != in.Issuer {
		return none, err
	}
	if !c.Used.IsZero() {
		if now.Sub(c.Used).Abs() < grace {
			return none, nil
		}
		reused, err := g.end(tx, c.Grant.ID, reasonReused)
		return issuing{reused: reused}, err
	}
	if !now.Before(c.Made.Add(CodeLifetime)) || c.RedirectURI != in.RedirectURI || !c.verifies(in.Verifier) {
		return none, nil
	}
	gr := c.Grant
	stands, err := g.stands(tx, &gr)
	if err != nil || stands.why != "" || stands.said != nil && !c.Made.After(stands.said.Withdrawn) {
		return none, err
	}
	c.Used = now
	if err := c.save(tx); err != nil {
		return none, err
	}
	if gr.offline() {
		gr.Number = 1
	}
	out := &Issued{Grant: &gr, Client: stands.client, Person: stands.person, Nonce: c.Nonce, At: now, Scope: gr.Scope}
	if err := g.access(tx, out, stands.until); err != nil {
		return none, err
	}
	_, out.IDToken = stands.tells(&gr, out.Scope)
	if out.Refresh, err = g.refreshToken(&gr, gr.Number); err != nil {
		return none, err
	}
	return issuing{out: out}, gr.save(tx)
}

// verifies tells whether verifier is the one that the challenge was made of. One
// that comes without a challenge is refused, too: somebody has taken the
// challenge out of the request (RFC 9700, 4.8.2).
func (c *code) verifies(verifier string) bool {
	if c.Challenge == "" || verifier == "" {
		return c.Challenge == verifier
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(c.Challenge)) == 1
}

// accessRecord is an access token in the store.
type accessRecord struct {
	Hash    string    `json:"hash"`
	Grant   string    `json:"grant"`
	Scope   []string  `json:"scope"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
}

// access makes an access token, unless there is one to be given again.
func (g *Grants) access(tx store.Tx, out *Issued, until time.Time) error {
	out.Access = keyring.RandomToken(32)
	end := out.At.Add(accessLifetime)
	if until.Before(end) {
		end = until
	}
	out.Lifetime = end.Sub(out.At)
	r := accessRecord{Hash: keyring.Hash(out.Access), Grant: out.Grant.ID, Scope: out.Scope, Made: out.At, Expires: end}
	return store.Save(tx, store.KeyAccess+r.Hash, r, r.Expires)
}

// refreshToken is the nth of a grant; empty for the 0th.
func (g *Grants) refreshToken(gr *Grant, n int) (string, error) {
	secret, err := g.cfg.Secrets.Find(gr.Secret)
	if err != nil || n == 0 {
		return "", err
	}
	id := gr.ID + "." + strconv.Itoa(n)
	return id + "." + secret.Grant("refresh token", id), nil
}

// refreshed finds the grant of a refresh token and its number; nil if it is
// none.
func (g *Grants) refreshed(tx store.Tx, token string) (*Grant, int, error) {
	parts := strings.Split(token, ".")
	if len(token) > 512 || len(parts) != 3 || !store.IsKeyPart(parts[0]) {
		return nil, 0, nil
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < 1 {
		return nil, 0, nil
	}
	gr, err := loadGrant(tx, parts[0])
	if err != nil || gr == nil {
		return nil, 0, err
	}
	right, err := g.refreshToken(gr, n)
	if err != nil || subtle.ConstantTimeCompare([]byte(right), []byte(token)) != 1 {
		return nil, 0, err
	}
	return gr, n, nil
}

// Refresh gives the next refresh token for one, with an access token for scope,
// nil for all that was granted.
func (g *Grants) Refresh(ctx context.Context, issuer string, client *Client, token string, scope []string) (*Issued, error) {
	return g.issued(store.Update(ctx, g.cfg.Store, func(tx store.Tx) (issuing, error) {
		gr, n, err := g.refreshed(tx, token)
		if err != nil || gr == nil || gr.Client != client.ID || gr.Issuer != issuer || !gr.Ended.IsZero() {
			return issuing{}, err
		}
		return g.refresh(tx, gr, n, scope)
	}))
}

func (g *Grants) refresh(tx store.Tx, gr *Grant, n int, scope []string) (none issuing, err error) {
	now := g.cfg.Now()
	again := n == gr.Number-1 && now.Sub(gr.Rotated).Abs() < grace
	if n != gr.Number && !again {
		if n > gr.Number {
			return none, nil // of a store that was put back to an earlier time
		}
		reused, err := g.end(tx, gr.ID, reasonReused)
		return issuing{reused: reused}, err
	}
	stands, err := g.stands(tx, gr)
	if err != nil || stands.why != "" {
		return none, err
	}
	out := &Issued{Grant: gr, Client: stands.client, Person: stands.person, At: now, Scope: gr.Scope}
	if scope != nil {
		if slices.ContainsFunc(scope, func(s string) bool { return !slices.Contains(gr.Scope, s) }) {
			return none, ErrScope
		}
		out.Scope = scope
	}
	if again {
		out.At = gr.Rotated
		if out.Refresh, err = g.refreshToken(gr, gr.Number); err != nil {
			return none, err
		}
		err := g.repeat(tx, out)
		_, out.IDToken = stands.tells(gr, out.Scope)
		return issuing{out: out}, err
	}
	_, out.IDToken = stands.tells(gr, out.Scope)
	gr.Number++
	gr.Rotated = now
	if err := g.access(tx, out, stands.until); err != nil {
		return none, err
	}
	secret, err := g.cfg.Secrets.Find(gr.Secret)
	if err != nil {
		return none, err
	}
	gr.Answer = secret.Seal([]byte(out.Access), gr.sealContext())
	if out.Refresh, err = g.refreshToken(gr, gr.Number); err != nil {
		return none, err
	}
	return issuing{out: out}, gr.save(tx)
}

func (gr *Grant) sealContext() string { return "answer " + gr.ID + "." + strconv.Itoa(gr.Number) }

// repeat gives the access token of the last rotation once more.
func (g *Grants) repeat(tx store.Tx, out *Issued) error {
	secret, err := g.cfg.Secrets.Find(out.Grant.Secret)
	if err != nil {
		return err
	}
	access, err := secret.Unseal(out.Grant.Answer, out.Grant.sealContext())
	if err != nil {
		return err
	}
	r := &accessRecord{}
	if _, err := store.Load(tx, store.KeyAccess+keyring.Hash(string(access)), r); err != nil {
		return err
	}
	out.Access, out.Scope, out.Lifetime = string(access), r.Scope, r.Expires.Sub(out.At)
	return nil
}

// end ends a grant, nil if there is none that is good for anything. Its record
// stays: the sign-in at the client goes on, and when that ends it is told.
func (g *Grants) end(tx store.Tx, id, reason string) (*Grant, error) {
	gr, err := loadGrant(tx, id)
	if err != nil || gr == nil || !gr.Ended.IsZero() {
		return nil, err
	}
	gr.Ended, gr.Reason, gr.Answer = g.cfg.Now(), reason, nil
	return gr, gr.save(tx)
}

// Access is what a token stands for.
type Access struct {
	Grant   *Grant
	Client  *Client
	Person  *person.Record
	Scope   []string
	Told    Facts // what userinfo tells
	Made    time.Time
	Expires time.Time
	Refresh bool // it is a refresh token
}

// Read returns what a token stands for at an issuer; nil for nothing, or nothing
// any more. With refresh it may be a refresh token.
func (g *Grants) Read(ctx context.Context, issuer, token string, refresh bool) (*Access, error) {
	if token == "" || len(token) > 512 {
		return nil, nil
	}
	type reading struct {
		out  *Access
		over string // whose sign-in is
	}
	got, err := store.View(ctx, g.cfg.Store, func(tx store.Tx) (none reading, err error) {
		out, err := g.read(tx, token, refresh)
		if err != nil || out == nil || out.Grant.Issuer != issuer {
			return none, err
		}
		stands, err := g.stands(tx, out.Grant)
		switch {
		case err != nil:
			return none, err
		case stands.over:
			return reading{over: out.Grant.Subject}, nil
		case stands.why != "":
			return none, nil
		}
		out.Client, out.Person = stands.client, stands.person
		out.Told, _ = stands.tells(out.Grant, out.Scope)
		return reading{out: out}, nil
	})
	if got.over != "" {
		g.Changed(got.over)
	}
	return got.out, err
}

func (g *Grants) read(tx store.Tx, token string, refresh bool) (*Access, error) {
	hash, r := keyring.Hash(token), &accessRecord{}
	ok, err := store.Load(tx, store.KeyAccess+hash, r)
	if err != nil {
		return nil, err
	}
	if ok && r.Hash == hash && g.cfg.Now().Before(r.Expires) {
		gr, err := loadGrant(tx, r.Grant)
		if err != nil || gr == nil {
			return nil, err
		}
		return &Access{Grant: gr, Scope: r.Scope, Made: r.Made, Expires: r.Expires}, nil
	}
	if !refresh {
		return nil, nil
	}
	gr, n, err := g.refreshed(tx, token)
	if err != nil || gr == nil || n != gr.Number {
		return nil, err
	}
	return &Access{Grant: gr, Scope: gr.Scope, Made: session.Later(gr.Rotated, gr.AuthTime), Expires: gr.Expires, Refresh: true}, nil
}

// Revoke ends what a token of the client's stands for: an access token alone, or
// with any refresh token its grant. It reports nothing: of others' tokens
// nobody learns whether they exist.
func (g *Grants) Revoke(ctx context.Context, client *Client, token string) error {
	if token == "" || len(token) > 512 {
		return nil
	}
	ended, err := store.Update(ctx, g.cfg.Store, func(tx store.Tx) (*Grant, error) {
		hash, r := keyring.Hash(token), &accessRecord{}
		if ok, err := store.Load(tx, store.KeyAccess+hash, r); err != nil {
			return nil, err
		} else if ok && r.Hash == hash {
			gr, err := loadGrant(tx, r.Grant)
			if err == nil && gr != nil && gr.Client == client.ID {
				tx.Delete(store.KeyAccess + hash)
			}
			return nil, err
		}
		gr, _, err := g.refreshed(tx, token)
		if err != nil || gr == nil || gr.Client != client.ID {
			return nil, err
		}
		return g.end(tx, gr.ID, reasonRevoked)
	})
	if err == nil && ended != nil {
		g.observe(event.GrantEnded, ended, reasonRevoked)
	}
	return err
}
