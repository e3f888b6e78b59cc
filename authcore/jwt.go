package authcore

import (
	"context"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

// maxJWTBytes bounds an RS256 token: it may carry a whole session twice.
const maxJWTBytes = 8 << 10

// TokenKind is one kind of signed token beside our own cookies: its algorithm
// and what its header says. Two kinds must differ in Alg or Typ, or in the
// claims that their verifier asks for.
type TokenKind struct {
	Alg string // "EdDSA" or "RS256"
	Typ string // the header's typ
	// KeyPrefix goes before the header's kid, for wire formats whose ids have
	// one. The kind's JWKS has it too.
	KeyPrefix string
}

func (k TokenKind) header() keyring.Header { return keyring.Header{Typ: k.Typ, Prefix: k.KeyPrefix} }

// SignJWT makes a compact JWS of claims (encoded as JSON) with the key in use
// for k.Alg. The first RS256 token makes the key for it.
func (c *Core) SignJWT(ctx context.Context, k TokenKind, claims any) (string, error) {
	ring, err := c.ring(ctx, k.Alg)
	if err != nil {
		return "", err
	}
	return ring.Sign(k.header(), claims)
}

// VerifyJWT returns the claims of a compact JWS that this instance signed as
// kind k; ok is false for any other text. It looks at nothing but the
// signature, the algorithm, kid and typ: iss, aud, exp and the rest are the
// caller's to check.
func (c *Core) VerifyJWT(k TokenKind, token string) (claims []byte, ok bool) {
	ring := c.keys
	if k.Alg == string(jose.RS256) {
		ring = c.rsaKeys
	}
	claims, err := ring.Verify(k.header(), token)
	return claims, err == nil
}

// JWKSFor returns the public keys that verify tokens of kind k.
func (c *Core) JWKSFor(ctx context.Context, k TokenKind) (jose.JSONWebKeySet, error) {
	ring, err := c.ring(ctx, k.Alg)
	if err != nil {
		return jose.JSONWebKeySet{}, err
	}
	return ring.Public(k.KeyPrefix), nil
}

// ring returns the ring for alg, with at least one key in it.
func (c *Core) ring(ctx context.Context, alg string) (*keyring.Ring, error) {
	if alg != string(jose.RS256) {
		return c.keys, nil
	}
	if !c.rsaKeys.IsEmpty() {
		return c.rsaKeys, nil
	}
	return c.rsaKeys, c.rsaKeys.RotateIfDue(ctx)
}

// JWKS returns the public keys, as a JSON Web Key Set (RFC 7517), for whoever
// verifies session cookies and assertions.
func (c *Core) JWKS() jose.JSONWebKeySet {
	set := c.keys.Public("")
	set.Keys = append(set.Keys, c.rsaKeys.Public("").Keys...)
	return set
}
