package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

// idTokenLifetime is how long an ID token is good. It tells who has signed in and
// when; the session at the client is the client's to limit.
const idTokenLifetime = time.Hour

// tokens is the answer of the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
	Refresh string `json:"refresh_token,omitempty"`
	Scope   string `json:"scope"`
	ID      string `json:"id_token"`
}

// token gives a client tokens for a code or for a refresh token.
func token(c *call) {
	client := c.client()
	if client == nil {
		return
	}
	var issued *grant.Issued
	var err error
	switch kind := c.form.get("grant_type"); kind {
	case "":
		c.refuse(http.StatusBadRequest, "invalid_request", "grant_type is missing")
		return
	case "authorization_code":
		if c.lacks("code", "redirect_uri") {
			return
		}
		issued, err = c.h.grants.Redeem(c.r.Context(), grant.Redemption{
			Issuer: c.issuer, Client: client, Code: c.form.get("code"), RedirectURI: c.form.get("redirect_uri"), Verifier: c.form.get("code_verifier"),
		})
	case "refresh_token":
		if c.lacks("refresh_token") {
			return
		}
		issued, err = c.h.grants.Refresh(c.r.Context(), c.issuer, client, c.form.get("refresh_token"), c.form.words("scope"))
	default:
		c.refuse(http.StatusBadRequest, "unsupported_grant_type", "grant_type is authorization_code or refresh_token here")
		return
	}
	switch {
	case errors.Is(err, grant.ErrRefused):
		c.refuse(http.StatusBadRequest, "invalid_grant", "the code or token is not good, or not any more")
		return
	case errors.Is(err, grant.ErrScope):
		c.refuse(http.StatusBadRequest, "invalid_scope", "the scope is more than was granted")
		return
	case err != nil:
		c.unavailable(err)
		return
	}
	id, err := c.idToken(issued)
	if err != nil {
		c.unavailable(err)
		return
	}
	c.json(http.StatusOK, tokens{
		Access: issued.Access, Type: "Bearer", Expires: int(issued.Lifetime.Seconds()), Refresh: issued.Refresh,
		Scope: strings.Join(issued.Scope, " "), ID: id,
	})
}

// lacks refuses a call that lacks a parameter.
func (c *call) lacks(names ...string) bool {
	for _, name := range names {
		if c.form.get(name) == "" {
			c.refuse(http.StatusBadRequest, "invalid_request", name+" is missing")
			return true
		}
	}
	return false
}

// client finds out which client calls, by client_secret_basic, client_secret_post
// or, for a public one, its id alone. It answers itself, and returns nil, if that
// is not proven.
func (c *call) client() *grant.Client {
	id, secret := c.form.get("client_id"), c.form.get("client_secret")
	header := c.r.Header["Authorization"]
	if len(header) > 0 {
		name, password, ok := basic(header)
		switch {
		case !ok:
			c.badClient("the Authorization header can't be read: it is Basic, with id and secret encoded as in a form")
			return nil
		case secret != "":
			c.refuse(http.StatusBadRequest, "invalid_request", "the client's secret comes in the header or in the body, not in both")
			return nil
		case id != "" && id != name:
			c.badClient("client_id is not the one of the Authorization header")
			return nil
		}
		id, secret = name, password
	}
	client := c.h.grants.Client(id)
	c.share(client)
	switch {
	case id == "":
		c.badClient("the client does not say who it is")
	case c.form.get("client_assertion") != "" || client == nil || client.IsPublic() != (secret == "") || !client.IsPublic() && !client.Knows(secret):
		c.badClient("there is no such client, or its secret is another")
	default:
		return client
	}
	return nil
}

func (c *call) badClient(description string) {
	c.w.Header().Set("WWW-Authenticate", `Basic realm="`+c.issuer+`"`)
	c.refuse(http.StatusUnauthorized, "invalid_client", description)
}

// basic reads client_secret_basic: both parts are encoded as in a form before
// they are encoded in base64 (RFC 6749, 2.3.1).
func basic(header []string) (id, secret string, ok bool) {
	if len(header) != 1 {
		return "", "", false
	}
	name, password, ok := (&http.Request{Header: http.Header{"Authorization": header}}).BasicAuth()
	if !ok {
		return "", "", false
	}
	id, err := url.QueryUnescape(name)
	if err != nil {
		return "", "", false
	}
	secret, err = url.QueryUnescape(password)
	return id, secret, err == nil && id != ""
}

// idClaims are the claims of an ID token.
type idClaims struct {
	Issuer     string   `json:"iss"`
	Subject    string   `json:"sub"`
	Audience   string   `json:"aud"`
	Expires    int64    `json:"exp"`
	IssuedAt   int64    `json:"iat"`
	AuthTime   int64    `json:"auth_time"`
	Nonce      string   `json:"nonce,omitempty"`
	ACR        string   `json:"acr,omitempty"` // none without a proof of the mailbox
	AMR        []string `json:"amr"`
	Session    string   `json:"sid"`
	AccessHash string   `json:"at_hash,omitempty"`
	personClaims
}

// amr is how everybody signs in here: by a code or a link that they were sent, or
// told (RFC 8176).
var amr = []string{"otp"}

// idToken signs who has signed in.
func (c *call) idToken(in *grant.Issued) (string, error) {
	names, err := c.h.grants.Names(c.r.Context(), in.Grant)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(in.Access))
	claims := idClaims{
		Issuer: c.issuer, Subject: names.Subject, Audience: in.Client.ID, IssuedAt: in.At.Unix(), Expires: in.At.Add(idTokenLifetime).Unix(),
		AuthTime: in.Grant.AuthTime.Unix(), Nonce: in.Nonce, AMR: amr, Session: names.Session,
		AccessHash: base64.RawURLEncoding.EncodeToString(sum[:16]), personClaims: claimsOf(in.Grant, in.Person, in.IDToken),
	}
	if in.Grant.ByMail {
		claims.ACR = acr
	}
	return c.h.service.Core().Keys().Sign(c.r.Context(), idTokenKind(in.Client), claims)
}

// hint reads an ID token that was given out before, expired or not; nil for
// anything else. A token that the same key has signed for another purpose has no
// client of ours for its audience, or lacks the session.
func (c *call) hint(text string) (*idClaims, error) {
	for _, kind := range []keyring.Kind{idTokenRS256, idTokenES256} {
		payload, ok, err := c.h.service.Core().Keys().Verify(kind, text)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		claims := &idClaims{}
		if err := json.Unmarshal(payload, claims); err != nil {
			return nil, nil
		}
		if claims.Issuer != c.issuer || claims.Session == "" || claims.Subject == "" || c.h.grants.Client(claims.Audience) == nil {
			return nil, nil
		}
		return claims, nil
	}
	return nil, nil
}

// revoke ends a token of the client's (RFC 7009). Whatever the token is, the
// answer is the same.
func revoke(c *call) {
	client := c.client()
	if client == nil || c.lacks("token") {
		return
	}
	if err := c.h.grants.Revoke(c.r.Context(), client, c.form.get("token")); err != nil {
		c.unavailable(err)
		return
	}
	c.json(http.StatusOK, struct{}{})
}

// introspected is what a token stands for (RFC 7662). Of one that is not active
// nothing else is told.
type introspected struct {
	Active   bool   `json:"active"`
	Scope    string `json:"scope,omitempty"`
	Client   string `json:"client_id,omitempty"`
	Type     string `json:"token_type,omitempty"`
	Expires  int64  `json:"exp,omitempty"`
	IssuedAt int64  `json:"iat,omitempty"`
	Subject  string `json:"sub,omitempty"`
	Audience string `json:"aud,omitempty"`
	Issuer   string `json:"iss,omitempty"`
	Username string `json:"username,omitempty"`
}

// introspect tells a client with a secret what a token of its own stands for.
func introspect(c *call) {
	client := c.client()
	if client == nil {
		return
	}
	if client.IsPublic() {
		c.badClient("only a client with a secret may ask what a token is")
		return
	}
	if c.lacks("token") {
		return
	}
	a, err := c.h.grants.Read(c.r.Context(), c.issuer, c.form.get("token"), true)
	if err != nil {
		c.unavailable(err)
		return
	}
	if a == nil || a.Client.ID != client.ID {
		if q := c.h.service.Core().CountFrom("oidc failures", c.v.Client, failures); q.Over {
			c.refuse(http.StatusTooManyRequests, "slow_down", "")
			return
		}
		c.json(http.StatusOK, introspected{})
		return
	}
	names, err := c.h.grants.Names(c.r.Context(), a.Grant)
	if err != nil {
		c.unavailable(err)
		return
	}
	out := introspected{
		Active: true, Scope: strings.Join(a.Scope, " "), Client: client.ID, Type: "Bearer", Expires: a.Expires.Unix(), IssuedAt: a.Made.Unix(),
		Subject: names.Subject, Audience: client.ID, Issuer: c.issuer,
	}
	if a.Refresh {
		out.Type = ""
	}
	if a.Told.Email {
		out.Username = a.Person.Address.String()
	}
	c.json(http.StatusOK, out)
}
