package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"

	"github.com/go-jose/go-jose/v4"
)

// rsaBits is the size of an RS256 key: what RFC 7518 asks for, and what every
// verifier takes.
const rsaBits = 2048

// marshalPrivate is a private key in the form that is wrapped: the seed of
// Ed25519, PKCS #8 of the others.
func marshalPrivate(private crypto.Signer) ([]byte, error) {
	if key, ok := private.(ed25519.PrivateKey); ok {
		return key.Seed(), nil
	}
	return x509.MarshalPKCS8PrivateKey(private)
}

func parsePrivate(alg jose.SignatureAlgorithm, plain []byte) (crypto.Signer, error) {
	if alg == jose.EdDSA {
		if len(plain) != ed25519.SeedSize {
			return nil, errUnseal
		}
		return ed25519.NewKeyFromSeed(plain), nil
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, err
	}
	switch private := key.(type) {
	case *rsa.PrivateKey:
		if alg == jose.RS256 {
			return private, nil
		}
	case *ecdsa.PrivateKey:
		if alg == jose.ES256 && private.Curve == elliptic.P256() {
			return private, nil
		}
	}
	return nil, errUnseal
}

func generateKey(alg jose.SignatureAlgorithm) (crypto.Signer, error) {
	switch alg {
	case jose.RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}
