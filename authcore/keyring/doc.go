// Package keyring holds the keys of an instance: the master secret, which stands
// outside the store, what is derived from it (codes, links, ids that only the
// instance can make), and rings of signing keys, which stand in the store
// wrapped with it and rotate by themselves.
//
//	secret, err := keyring.NewSecret(value)
//	ring := keyring.New(config, jose.EdDSA, max)
//	err = ring.Open(ctx)
//	token, err := ring.Sign(keyring.Header{Typ: "…"}, claims)
//	claims, err := ring.Verify(header, token)
//
// It knows no challenge and no session: who derives names purpose and id, and
// who revokes keys ends the sessions, in the transaction of Ring.Rotate.
//
// State of the process: the keys of each ring, as last read from the store. What
// another node rotates is not seen before Ring.Reload.
package keyring
