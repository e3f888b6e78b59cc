package keyring

import (
	"context"
	"crypto"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const (
	// keyLifetime is how long one key signs: the rotation is so frequent that
	// it can't be forgotten how, and so rare that nobody notices.
	keyLifetime = 90 * 24 * time.Hour
	// keyAnnounced is how long a new key stands in jwks.json before it signs,
	// so that verifiers with a cached copy know it in time.
	keyAnnounced = 24 * time.Hour
	// KeyKept is how long a key verifies after it has stopped signing: the
	// longest life of a session, and a day.
	KeyKept = 31 * 24 * time.Hour
)

// signingKey is one key of a ring.
type signingKey struct {
	id      string
	alg     jose.SignatureAlgorithm
	created time.Time // signs from keyAnnounced after this, unless it is the only one
	signs   time.Time // from when, if not from keyAnnounced after created
	private crypto.Signer
	signers sync.Map // header → jose.Signer
}

// Header is what tells our tokens apart before they are read.
type Header struct {
	Typ    string
	Prefix string // of kid, for wire formats whose key ids have one
}

// KeyRecord is a key in the store, its private half wrapped.
type KeyRecord struct {
	ID      string    `json:"kid"`
	Alg     string    `json:"alg"`
	Created time.Time `json:"created"`
	Signs   time.Time `json:"signs,omitzero"`
	Secret  string    `json:"secret"` // id of the secret that wraps it
	Wrapped []byte    `json:"wrapped"`
}

// Ring holds the keys of one algorithm that sign and verify, the oldest
// first, and rotates by itself. The ring of EdDSA gets its first key when the
// store is new; the ring of RS256, which only some clients need, when it is
// first asked for one.
type Ring struct {
	cfg  Config
	alg  jose.SignatureAlgorithm
	max  int        // length of the longest token that is looked at
	mu   sync.Mutex // one rotation at a time
	keys atomic.Pointer[[]*signingKey]
}

// Config is what a ring needs of the house.
type Config struct {
	Store   store.Store
	Secrets Secrets
	Now     func() time.Time
	Rotated func() // told when a key was made because it was time
}

// New returns a ring for alg that is not open yet; most is the length of the
// longest token that it looks at.
func New(cfg Config, alg jose.SignatureAlgorithm, most int) *Ring {
	k := &Ring{cfg: cfg, alg: alg, max: most}
	k.keys.Store(&[]*signingKey{})
	return k
}

// IsEmpty tells whether the ring has no key: nobody has asked for one yet.
func (k *Ring) IsEmpty() bool { return len(*k.keys.Load()) == 0 }

// Algorithm is what the ring signs with.
func (k *Ring) Algorithm() string { return string(k.alg) }

// Private returns the key in use and its id.
func (k *Ring) Private() (crypto.Signer, string) {
	key := k.signingKey()
	return key.private, key.id
}

// Check is nil if the key of a record can be opened.
func (k *Ring) Check(r KeyRecord) error {
	_, err := k.unsealed(r)
	return err
}

// Open reads the ring, makes the first key, wraps old keys with the current
// secret and rotates if it is time.
func (k *Ring) Open(ctx context.Context) error {
	if err := k.Read(ctx); err != nil {
		return err
	}
	return k.RotateIfDue(ctx)
}

func (k *Ring) Read(ctx context.Context) error {
	var records []KeyRecord
	err := k.cfg.Store.View(ctx, func(tx store.Tx) error {
		items, err := tx.Scan(store.KeySigning, "", 1000)
		if err != nil {
			return err
		}
		records = make([]KeyRecord, len(items))
		for i, item := range items {
			if _, err := store.Decode(item.Key, item.Value, &records[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the signing keys: %w", err)
	}
	var keys []*signingKey
	for _, r := range records {
		if r.Alg != string(k.alg) {
			continue
		}
		key, err := k.unwrap(ctx, r)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b *signingKey) int { return a.created.Compare(b.created) })
	k.keys.Store(&keys)
	return nil
}

// unwrap opens a record's key, and wraps it anew if the secret has changed.
func (k *Ring) unwrap(ctx context.Context, r KeyRecord) (*signingKey, error) {
	key, err := k.unsealed(r)
	if err == nil && r.Secret != k.cfg.Secrets.Current.id {
		err = k.save(ctx, key)
	}
	return key, err
}

func (k *Ring) unsealed(r KeyRecord) (*signingKey, error) {
	secret, ok := k.cfg.Secrets.Find(r.Secret)
	if !ok {
		return nil, ErrWrongSecret
	}
	plain, err := secret.Unseal(r.Wrapped, r.ID)
	if err != nil {
		return nil, err
	}
	private, err := parsePrivate(k.alg, plain)
	if err != nil {
		return nil, errUnseal
	}
	key, err := newSigningKey(k.alg, private, r.Created)
	if err != nil {
		return nil, err
	}
	key.signs = r.Signs
	if key.id != r.ID {
		return nil, errUnseal
	}
	return key, nil
}

func (k *Ring) save(ctx context.Context, key *signingKey) error {
	r, err := k.record(key)
	if err != nil {
		return err
	}
	return k.cfg.Store.Update(ctx, func(tx store.Tx) error {
		return store.Save(tx, store.KeySigning+key.id, r, time.Time{})
	})
}

func (k *Ring) record(key *signingKey) (KeyRecord, error) {
	current := k.cfg.Secrets.Current
	plain, err := marshalPrivate(key.private)
	return KeyRecord{
		ID: key.id, Alg: string(key.alg), Created: key.created, Signs: key.signs,
		Secret: current.id, Wrapped: current.Seal(plain, key.id),
	}, err
}

// signsFrom is when the key begins to sign.
func (key *signingKey) signsFrom() time.Time {
	if !key.signs.IsZero() {
		return key.signs
	}
	return key.created.Add(keyAnnounced)
}

// newSigningKey prepares a key for use. Its id is the RFC 7638 thumbprint.
func newSigningKey(alg jose.SignatureAlgorithm, private crypto.Signer, created time.Time) (*signingKey, error) {
	thumb, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return &signingKey{id: base64.RawURLEncoding.EncodeToString(thumb), alg: alg, created: created, private: private}, nil
}

// signer returns what signs tokens with header h.
func (key *signingKey) signer(h Header) (jose.Signer, error) {
	if signer, ok := key.signers.Load(h); ok {
		return signer.(jose.Signer), nil
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: key.alg, Key: jose.JSONWebKey{Key: key.private, KeyID: h.Prefix + key.id}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(h.Typ)))
	if err != nil {
		return nil, err
	}
	key.signers.Store(h, signer)
	return signer, nil
}

// find returns the key with id, nil if there is none.
func (k *Ring) find(id string) *signingKey {
	for _, key := range *k.keys.Load() {
		if key.id == id {
			return key
		}
	}
	return nil
}

// signingKey is the newest key that was announced long enough.
func (k *Ring) signingKey() *signingKey {
	keys := *k.keys.Load()
	for _, key := range slices.Backward(keys) {
		if !k.cfg.Now().Before(key.signsFrom()) {
			return key
		}
	}
	return keys[0]
}

// RotateIfDue adds a key a day before the newest one's time is up, and forgets
// keys that no session can rest on any more.
func (k *Ring) RotateIfDue(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys, now := slices.Clone(*k.keys.Load()), k.cfg.Now()
	if n := len(keys); n == 0 || now.After(keys[n-1].created.Add(keyLifetime)) {
		private, err := generateKey(k.alg)
		if err != nil {
			return err
		}
		key, err := newSigningKey(k.alg, private, now)
		if err != nil {
			return err
		}
		if err := k.save(ctx, key); err != nil {
			return fmt.Errorf("storing a new signing key: %w", err)
		}
		keys = append(keys, key)
		k.cfg.Rotated()
	}
	return k.forget(ctx, keys, now)
}

// forget drops the keys whose successor has signed for longer than KeyKept.
func (k *Ring) forget(ctx context.Context, keys []*signingKey, now time.Time) error {
	first := 0
	for i := 1; i < len(keys); i++ {
		if now.After(keys[i].signsFrom().Add(KeyKept)) {
			first = i
		}
	}
	dropped := keys[:first]
	kept := keys[first:]
	k.keys.Store(&kept)
	if len(dropped) == 0 {
		return nil
	}
	return k.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for _, key := range dropped {
			tx.Delete(store.KeySigning + key.id)
		}
		return nil
	})
}

// Public returns the public halves; prefix goes before their ids.
func (k *Ring) Public(prefix string) jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, key := range *k.keys.Load() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.private.Public(), KeyID: prefix + key.id, Algorithm: string(key.alg), Use: "sig"})
	}
	return set
}

// Rotate adds a key that signs at once. With drop, which runs in the same
// transaction, the old keys are gone and verify nothing any more. Verifiers that keep a copy of jwks.json
// meet an unknown kid and fetch it again.
func (k *Ring) Rotate(ctx context.Context, drop func(store.Tx) error) (id string, removed int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.cfg.Now()
	private, err := generateKey(k.alg)
	if err != nil {
		return "", 0, err
	}
	key, err := newSigningKey(k.alg, private, now)
	if err != nil {
		return "", 0, err
	}
	key.signs = now
	old := *k.keys.Load()
	record, err := k.record(key)
	if err != nil {
		return "", 0, err
	}
	err = k.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if drop != nil {
			for _, o := range old {
				tx.Delete(store.KeySigning + o.id)
			}
			if err := drop(tx); err != nil {
				return err
			}
		}
		return store.Save(tx, store.KeySigning+key.id, record, time.Time{})
	})
	if err != nil {
		return "", 0, fmt.Errorf("storing a new signing key: %w", err)
	}
	if drop == nil {
		keys := append(slices.Clone(old), key)
		k.keys.Store(&keys)
		return key.id, 0, nil
	}
	k.keys.Store(&[]*signingKey{key})
	return key.id, len(old), nil
}

// Reload reads the keys of the ring anew.
func (k *Ring) Reload(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.Read(ctx)
}

// Status is one key that cookies and assertions are signed with.
type Status struct {
	ID      string
	Alg     string
	Created time.Time
	Signs   bool // in use; the others only verify, or are announced
}

// Status tells about every key of the ring, the oldest first; nil for none.
func (k *Ring) Status() []Status {
	keys := *k.keys.Load()
	if len(keys) == 0 {
		return nil
	}
	var out []Status
	signing := k.signingKey()
	for _, key := range keys {
		out = append(out, Status{ID: key.id, Alg: string(key.alg), Created: key.created, Signs: key == signing})
	}
	return out
}
