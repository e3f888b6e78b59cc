package session

import (
	"github.com/go-jose/go-jose/v4/json"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

// What we sign: one kind of token is never taken for another.
var (
	TokenKind     = keyring.Kind{Alg: "EdDSA", Typ: "gatehouse-session+jwt"} // a session cookie's value
	assertionKind = keyring.Kind{Alg: "EdDSA", Typ: "gatehouse-assertion+jwt"}
	accessKind    = keyring.Kind{Alg: "RS256", Typ: "JWT"} // as Cloudflare Access signs for apps
)

// IsCookie tells whether value has the form of one of our cookies' values: a session's,
// a flow's or a device's, good or not, whatever name it comes along under.
func IsCookie(value string) bool {
	return TokenKind.Names(value) || challenge.IsFlowCookie(value) || challenge.IsDeviceCookie(value)
}

// sessionClaims are all that a session cookie says: nothing personal.
type sessionClaims struct {
	Issuer   string   `json:"iss"`
	Audience string   `json:"aud"`
	Subject  string   `json:"sub"`
	Session  string   `json:"sid"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	AuthTime int64    `json:"auth_time"`
	AMR      []string `json:"amr"`
}

func (r *Record) claims() sessionClaims {
	return sessionClaims{
		Issuer: r.Issuer, Audience: r.Audience, Subject: r.Subject, Session: r.ID,
		IssuedAt: r.AuthTime.Unix(), Expires: r.Expires.Unix(), AuthTime: r.AuthTime.Unix(), AMR: r.AMR,
	}
}

// verifySession checks everything about a session token that needs no session:
// form, algorithm, key, typ, and that no claim is missing. It returns nil for what is
// no token of ours. An error means that it cannot be told.
func (c *Core) verifySession(token string) (*sessionClaims, error) {
	payload, ok, err := c.keys.Verify(TokenKind, token)
	if !ok {
		return nil, err
	}
	claims := &sessionClaims{}
	now := c.now()
	// go-jose's JSON refuses duplicate and case-variant names.
	complete := json.Unmarshal(payload, claims) == nil && claims.Issuer != "" && claims.Audience != "" && claims.Subject != "" && claims.Session != "" &&
		claims.IssuedAt != 0 && claims.Expires != 0 && claims.AuthTime != 0
	if !complete || now.Unix() >= claims.Expires || claims.IssuedAt > now.Add(keyring.ClockSkew).Unix() {
		return nil, nil
	}
	return claims, nil
}
