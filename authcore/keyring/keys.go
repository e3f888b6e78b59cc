package keyring

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What is looked at of a token at all: ours of EdDSA have about 600 bytes, those
// for apps may carry a whole session twice.
const (
	maxEdDSABytes = 2048
	maxAppBytes   = 8 << 10
)

// Keys are the signing keys of an instance: a ring of EdDSA for cookies and
// assertions, which has a key from the first start on, and those of RS256 and
// ES256 for clients that know no other, each of which gets its first key when it
// is first asked for one.
type Keys struct {
	cfg               Config
	eddsa, rsa, ecdsa *ring
}

// Config is what the keys need of the house.
type Config struct {
	Store   store.Store
	Secrets Secrets
	Now     func() time.Time
	Log     *slog.Logger
	// Rotated is told that a new key signs, and why.
	Rotated func(RotationReason)
	// Revoked is called in the transaction in which all keys are replaced: who
	// listens ends there what was signed. What it returns is called once that is
	// stored.
	Revoked func(store.Tx) (stored func(), err error)
	// Changed is called in each transaction that adds keys or takes them away, for
	// other nodes; nil: there are none.
	Changed func(store.Tx) error
	// Shared says that other nodes make keys, too: one that is not known is looked for
	// in the store.
	Shared bool
}

// changed is Changed, where there is one.
func (c Config) changed(tx store.Tx) error {
	if c.Changed == nil {
		return nil
	}
	return c.Changed(tx)
}

// Kind is one kind of signed token: its algorithm and what its header says. Two
// kinds must differ in Alg or Typ, or in the claims that their verifier asks
// for.
type Kind struct {
	Alg string // "EdDSA", "RS256" or "ES256"
	Typ string // the header's typ
	// KeyPrefix goes before the header's kid, for wire formats whose ids have
	// one. The kind's JWKS has it too.
	KeyPrefix string
}

// NewKeys returns keys that are not open yet.
func NewKeys(cfg Config) *Keys {
	return &Keys{
		cfg: cfg, eddsa: newRing(cfg, jose.EdDSA, maxEdDSABytes),
		rsa: newRing(cfg, jose.RS256, maxAppBytes), ecdsa: newRing(cfg, jose.ES256, maxAppBytes),
	}
}

// Open reads the keys, makes the first one, wraps old ones with the current
// secret and rotates if it is time.
func (k *Keys) Open(ctx context.Context) error {
	if err := k.eddsa.read(ctx, k.cfg.Store); err != nil {
		return err
	}
	if err := errors.Join(k.rsa.read(ctx, k.cfg.Store), k.ecdsa.read(ctx, k.cfg.Store), k.Sealed()); err != nil {
		return err
	}
	for _, ring := range k.inUse() {
		if err := ring.rewrap(ctx); err != nil {
			return err
		}
	}
	return k.eddsa.rotateIfDue(ctx)
}

// Sealed is why keys in the store can't be opened here, nil if all can: another node has
// made or wrapped them with a secret that this one has not.
func (k *Keys) Sealed() error {
	return cmp.Or(k.eddsa.isSealed(""), k.rsa.isSealed(""), k.ecdsa.isSealed(""))
}

// Reload reads the keys anew.
func (k *Keys) Reload(ctx context.Context) error {
	return errors.Join(k.eddsa.reload(ctx), k.rsa.reload(ctx), k.ecdsa.reload(ctx))
}

// PutBack has s, a store that has lost what was written to it last, have the keys
// in use here, and none that this process knows to be revoked.
func (k *Keys) PutBack(ctx context.Context, s store.Store) error {
	return errors.Join(k.eddsa.putBack(ctx, s), k.rsa.putBack(ctx, s), k.ecdsa.putBack(ctx, s))
}

// Sign makes a compact JWS of claims (encoded as JSON) with the key in use.
func (k *Keys) Sign(ctx context.Context, kind Kind, claims any) (string, error) {
	ring, err := k.filled(ctx, kind)
	if err != nil {
		return "", err
	}
	return ring.sign(kind, claims)
}

// Verify returns the claims of a compact JWS that this instance signed as kind;
// ok is false for any other text. An error means that it cannot be told: the key is
// not known here, and whether another node has made it can't be read, or it has and no
// secret here opens it. Verify looks at
// nothing but the signature, the algorithm, kid and typ: iss, aud, exp and the rest
// are the caller's to check.
func (k *Keys) Verify(kind Kind, token string) (claims []byte, ok bool, err error) {
	ring := k.ring(kind.Alg)
	claims, no := ring.verify(kind, token)
	if k.cfg.Shared && errors.Is(no, errUnknownKey) {
		if err := ring.catchUp(); err != nil {
			return nil, false, err
		}
		claims, no = ring.verify(kind, token)
	}
	if no != nil && !errors.Is(no, errNotOurs) {
		return nil, false, no
	}
	return claims, no == nil, nil
}

// Public returns the public keys that verify tokens of kind.
func (k *Keys) Public(ctx context.Context, kind Kind) (jose.JSONWebKeySet, error) {
	ring, err := k.filled(ctx, kind)
	if err != nil {
		return jose.JSONWebKeySet{}, err
	}
	return ring.public(kind.KeyPrefix), nil
}

// AllPublic returns the public keys, as a JSON Web Key Set (RFC 7517), for
// whoever verifies session cookies and assertions.
func (k *Keys) AllPublic() jose.JSONWebKeySet {
	set := k.eddsa.public("")
	set.Keys = append(set.Keys, k.rsa.public("").Keys...)
	return set
}

// Private returns the key in use for EdDSA and its id.
func (k *Keys) Private() (crypto.Signer, string) {
	key := k.eddsa.signingKey()
	return key.private, key.id
}

func (k *Keys) ring(alg string) *ring {
	switch alg {
	case string(jose.RS256):
		return k.rsa
	case string(jose.ES256):
		return k.ecdsa
	}
	return k.eddsa
}

// filled returns the ring for kind, with at least one key in it.
func (k *Keys) filled(ctx context.Context, kind Kind) (*ring, error) {
	ring := k.ring(kind.Alg)
	if !ring.isEmpty() {
		return ring, nil
	}
	return ring, ring.rotateIfDue(ctx)
}

// inUse are the rings that somebody has asked for a key.
func (k *Keys) inUse() []*ring {
	return slices.DeleteFunc([]*ring{k.eddsa, k.rsa, k.ecdsa}, (*ring).isEmpty)
}

// RotateIfDue makes new keys where it is time.
func (k *Keys) RotateIfDue(ctx context.Context) (err error) {
	for _, ring := range k.inUse() {
		err = errors.Join(err, ring.rotateIfDue(ctx))
	}
	return err
}

// RotationReason is a stable word for why there is a new key.
type RotationReason string

// The reasons of a rotation.
const (
	scheduled  RotationReason = "scheduled"
	byOperator RotationReason = "by_operator"
	Revoked    RotationReason = "revoked" // all keys before it are gone
)

// Rotated is what came of Rotate.
type Rotated struct {
	Key     string // id of the key that signs from now on
	Removed int    // with revoke: how many old keys are gone
}

// Rotate makes a new signing key and signs with it from now on. Cookies signed
// with the old keys stay valid until their sessions end, and the old public keys
// stay in jwks.json as long.
//
// With revoke, for a key that has become known, the old keys verify nothing any
// more, and Config.Revoked hears of it.
func (k *Keys) Rotate(ctx context.Context, revoke bool) (out Rotated, err error) {
	for _, ring := range k.inUse() {
		key, removed, err := ring.rotate(ctx, revoke)
		if err != nil {
			return out, err
		}
		out.Removed += removed
		if ring == k.eddsa {
			out.Key = key
		}
	}
	reason := byOperator
	if revoke {
		reason = Revoked
	}
	k.cfg.Rotated(reason)
	return out, nil
}

// Check finds out whether a key from elsewhere can be used here: opened is
// whether it can be read with a secret of this instance.
func (k *Keys) Check(r KeyRecord) (known, opened bool) {
	ring := k.ring(r.Alg)
	if string(ring.alg) != r.Alg {
		return false, false
	}
	_, err := ring.unsealed(r)
	return true, err == nil
}

// Has tells whether the key is in use here.
func (k *Keys) Has(r KeyRecord) bool {
	return slices.ContainsFunc(k.Status(), func(s Status) bool { return s.ID == r.ID && s.Alg == r.Alg })
}

// Status is one key that cookies and assertions are signed with.
type Status struct {
	ID      string
	Alg     string
	Created time.Time
	Signs   bool // in use; the others only verify, or are announced
}

// Status tells about every key, those of one algorithm together, the oldest
// first.
func (k *Keys) Status() (out []Status) {
	for _, ring := range k.inUse() {
		signing := ring.signingKey()
		for _, key := range *ring.keys.Load() {
			out = append(out, Status{ID: key.id, Alg: string(key.alg), Created: key.created, Signs: key == signing})
		}
	}
	return out
}
