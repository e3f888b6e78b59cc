package keyring

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// errNotOurs is why a token is refused. It is a "no", never an outage.
var errNotOurs = errors.New("not a token that this ring has signed")

// errUnknownKey: nor can be, unless another node has made a key since.
var errUnknownKey = fmt.Errorf("%w: unknown key", errNotOurs)

// verify returns the payload of a compact JWS of a kind, signed with a key of
// this ring. An error that is not errNotOurs is no "no": the key is there, and sealed.
// Nothing in the token's header chooses a key but kid, and that only among our own; jwk,
// jku, x5u and x5c are ignored.
func (k *ring) verify(kind Kind, token string) ([]byte, error) {
	if len(token) > k.max || !compactJWS(token) {
		return nil, errNotOurs
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{k.alg})
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errNotOurs
	}
	protected := jws.Signatures[0].Protected
	if protected.ExtraHeaders[jose.HeaderType] != kind.Typ {
		return nil, errNotOurs // go-jose does not look at typ
	}
	id, ok := strings.CutPrefix(protected.KeyID, kind.KeyPrefix)
	if !ok {
		return nil, errNotOurs
	}
	key := k.find(id)
	if key == nil {
		return nil, cmp.Or(k.isSealed(id), errUnknownKey)
	}
	payload, err := jws.Verify(key.private.Public())
	if err != nil {
		return nil, errNotOurs
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

// Names tells whether token says of itself that it is of this kind, good or not, of
// this ring or of another one.
func (kind Kind) Names(token string) bool {
	if start := headerStarts[kind.Alg]; start == "" || !strings.HasPrefix(token, start) {
		return false
	}
	header, _, _ := strings.Cut(token, ".")
	plain, err := base64.RawURLEncoding.DecodeString(header)
	return err == nil && strings.Contains(string(plain), `"typ":"`+kind.Typ+`"`)
}

// headerStarts are how tokens that we sign begin: {"alg":"EdDSA",
var headerStarts = map[string]string{"EdDSA": "eyJhbGciOiJFZERTQSIs", "RS256": "eyJhbGciOiJSUzI1NiIs", "ES256": "eyJhbGciOiJFUzI1NiIs"}

// sign makes a compact JWS of claims with the key in use.
func (k *ring) sign(kind Kind, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signer, err := k.signingKey().signer(kind)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}
