package authcore

import "crypto/ed25519"

// What tests need to see of the inside.

// CodeFor derives a challenge's code, as only the instance itself can.
func (s Secret) CodeFor(challenge string, digits int) string { return s.codeFor(challenge, digits) }

// SigningKey returns the private key in use and its id.
func (c *Core) SigningKey() (ed25519.PrivateKey, string) {
	k := c.keys.signingKey()
	return k.private.(ed25519.PrivateKey), k.id
}
