// Package keyring holds the keys of an instance: the master secret, which stands
// outside the store, what is derived from it (codes, links, ids that only the
// instance can make), and rings of signing keys, which stand in the store
// wrapped with it and rotate by themselves.
//
//	secret, err := keyring.NewSecret(value)
//	keys := keyring.NewKeys(config)
//	err = keys.Open(ctx)
//	token, err := keys.Sign(ctx, kind, claims)
//	claims, ok, err := keys.Verify(kind, token)
//
// It knows no challenge and no session: who derives names purpose and id, and
// who ends what revoked keys have signed listens to Config.Revoked.
//
// State of the process: the keys, as last read from the store. What another node
// rotates is seen with Keys.Reload, of which Config.Changed tells it. Which were revoked
// stands in the store for KeyKept, and is remembered by each process that has read it: see Keys.PutBack.
package keyring
