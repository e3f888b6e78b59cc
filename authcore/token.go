package authcore

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// The typ of what we sign: one kind of token is never taken for another.
const (
	sessionTyp   = "gatehouse-session+jwt"
	assertionTyp = "gatehouse-assertion+jwt"
)

// clockSkew is how far clocks may differ: the most that a token's iat may lie
// ahead.
const clockSkew = time.Minute

// maxTokenBytes bounds what is parsed at all; ours have about 600 bytes.
const maxTokenBytes = 2048

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

func (r *sessionRecord) claims() sessionClaims {
	return sessionClaims{
		Issuer: r.Issuer, Audience: r.Audience, Subject: r.Subject, Session: r.ID,
		IssuedAt: r.AuthTime.Unix(), Expires: r.Expires.Unix(), AuthTime: r.AuthTime.Unix(), AMR: r.AMR,
	}
}

// errToken is why a token is refused. It is a "no", never an outage.
var errToken = errors.New("not a session token of ours")

// verifySession checks everything about a session token that needs no store:
// form, algorithm, key, typ, and that no claim is missing.
func (c *Core) verifySession(token string) (sessionClaims, error) {
	payload, err := c.keys.verify(header{typ: sessionTyp}, token)
	if err != nil {
		return sessionClaims{}, err
	}
	var claims sessionClaims
	// go-jose's JSON refuses duplicate and case-variant names.
	if err := json.Unmarshal(payload, &claims); err != nil {
		return sessionClaims{}, errToken
	}
	now := c.now()
	complete := claims.Issuer != "" && claims.Audience != "" && claims.Subject != "" && claims.Session != "" &&
		claims.IssuedAt != 0 && claims.Expires != 0 && claims.AuthTime != 0
	if !complete || now.Unix() >= claims.Expires || claims.IssuedAt > now.Add(clockSkew).Unix() {
		return sessionClaims{}, errToken
	}
	return claims, nil
}

// verify returns the payload of a compact JWS with header h, signed with a key
// of this ring. Nothing in the token's header chooses a key but kid, and that
// only among our own; jwk, jku, x5u and x5c are ignored.
func (k *keyring) verify(h header, token string) ([]byte, error) {
	if len(token) > k.max || !compactJWS(token) {
		return nil, errToken
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{k.alg})
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errToken
	}
	protected := jws.Signatures[0].Protected
	if protected.ExtraHeaders[jose.HeaderType] != h.typ {
		return nil, errToken // go-jose does not look at typ
	}
	id, ok := strings.CutPrefix(protected.KeyID, h.prefix)
	key := k.find(id)
	if !ok || key == nil {
		return nil, errToken
	}
	payload, err := jws.Verify(key.private.Public())
	if err != nil {
		return nil, errToken
	}
	return payload, nil
}

// compactJWS tells whether token is three parts of base64url and nothing else.
// Libraries forgive line ends and set bits that stand for nothing, we do not: a
// second spelling of a token would be held apart from the first one, and live
// on when that one ends.
func compactJWS(token string) bool {
	parts := 0
	for part := range strings.SplitSeq(token, ".") {
		parts++
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") || parts > 3 {
			return false
		}
	}
	return parts == 3
}

// sign makes a compact JWS of claims with the key in use.
func (k *keyring) sign(h header, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signer, err := k.signingKey().signer(h)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}
