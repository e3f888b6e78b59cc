package authcore

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
)

const (
	// keyLifetime is how long one key signs: the rotation is so frequent that
	// it can't be forgotten how, and so rare that nobody notices.
	keyLifetime = 90 * 24 * time.Hour
	// keyAnnounced is how long a new key stands in jwks.json before it signs,
	// so that verifiers with a cached copy know it in time.
	keyAnnounced = 24 * time.Hour
	// keyKept is how long a key verifies after it has stopped signing: the
	// longest life of a session, and a day.
	keyKept = 31 * 24 * time.Hour
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

// header is what tells our tokens apart before they are read.
type header struct {
	typ    string
	prefix string // of kid, for wire formats whose key ids have one
}

// keyRecord is a key in the store, its private half wrapped.
type keyRecord struct {
	ID      string    `json:"kid"`
	Alg     string    `json:"alg"`
	Created time.Time `json:"created"`
	Signs   time.Time `json:"signs,omitzero"`
	Secret  string    `json:"secret"` // id of the secret that wraps it
	Wrapped []byte    `json:"wrapped"`
}

// keyring holds the keys of one algorithm that sign and verify, the oldest
// first, and rotates by itself. The ring of EdDSA gets its first key when the
// store is new; the ring of RS256, which only some clients need, when it is
// first asked for one.
type keyring struct {
	core *Core
	alg  jose.SignatureAlgorithm
	max  int        // length of the longest token that is looked at
	mu   sync.Mutex // one rotation at a time
	keys atomic.Pointer[[]*signingKey]
}

// open reads the ring, makes the first key, wraps old keys with the current
// secret and rotates if it is time.
func (k *keyring) open(ctx context.Context) error {
	if err := k.read(ctx); err != nil {
		return err
	}
	return k.rotateIfDue(ctx)
}

func (k *keyring) read(ctx context.Context) error {
	var records []keyRecord
	err := k.core.store.View(ctx, func(tx Tx) error {
		items, err := tx.Scan(keySigning, "", 1000)
		if err != nil {
			return err
		}
		records = make([]keyRecord, len(items))
		for i, item := range items {
			if _, err := decode(item.Key, item.Value, &records[i]); err != nil {
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
func (k *keyring) unwrap(ctx context.Context, r keyRecord) (*signingKey, error) {
	key, err := k.unsealed(r)
	if err == nil && r.Secret != k.core.secrets.Current.id {
		err = k.save(ctx, key)
	}
	return key, err
}

func (k *keyring) unsealed(r keyRecord) (*signingKey, error) {
	secret, ok := k.core.secrets.find(r.Secret)
	if !ok {
		return nil, ErrWrongSecret
	}
	plain, err := secret.unseal(r.Wrapped, r.ID)
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

func (k *keyring) save(ctx context.Context, key *signingKey) error {
	r, err := k.record(key)
	if err != nil {
		return err
	}
	return k.core.store.Update(ctx, func(tx Tx) error {
		return save(tx, keySigning+key.id, r, time.Time{})
	})
}

func (k *keyring) record(key *signingKey) (keyRecord, error) {
	current := k.core.secrets.Current
	plain, err := marshalPrivate(key.private)
	return keyRecord{
		ID: key.id, Alg: string(key.alg), Created: key.created, Signs: key.signs,
		Secret: current.id, Wrapped: current.seal(plain, key.id),
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
func (key *signingKey) signer(h header) (jose.Signer, error) {
	if signer, ok := key.signers.Load(h); ok {
		return signer.(jose.Signer), nil
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: key.alg, Key: jose.JSONWebKey{Key: key.private, KeyID: h.prefix + key.id}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(h.typ)))
	if err != nil {
		return nil, err
	}
	key.signers.Store(h, signer)
	return signer, nil
}

// find returns the key with id, nil if there is none.
func (k *keyring) find(id string) *signingKey {
	for _, key := range *k.keys.Load() {
		if key.id == id {
			return key
		}
	}
	return nil
}

// signingKey is the newest key that was announced long enough.
func (k *keyring) signingKey() *signingKey {
	keys := *k.keys.Load()
	for _, key := range slices.Backward(keys) {
		if !k.core.now().Before(key.signsFrom()) {
			return key
		}
	}
	return keys[0]
}

// rotateIfDue adds a key a day before the newest one's time is up, and forgets
// keys that no session can rest on any more.
func (k *keyring) rotateIfDue(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys, now := slices.Clone(*k.keys.Load()), k.core.now()
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
		k.core.observe(Event{Name: EventKeys, Reason: "scheduled"})
	}
	return k.forget(ctx, keys, now)
}

// forget drops the keys whose successor has signed for longer than keyKept.
func (k *keyring) forget(ctx context.Context, keys []*signingKey, now time.Time) error {
	first := 0
	for i := 1; i < len(keys); i++ {
		if now.After(keys[i].signsFrom().Add(keyKept)) {
			first = i
		}
	}
	dropped := keys[:first]
	kept := keys[first:]
	k.keys.Store(&kept)
	if len(dropped) == 0 {
		return nil
	}
	return k.core.store.Update(ctx, func(tx Tx) error {
		for _, key := range dropped {
			tx.Delete(keySigning + key.id)
		}
		return nil
	})
}

// run looks once an hour whether it is time to rotate.
func (k *keyring) run(ctx context.Context) {
	every(ctx, time.Hour, func() {
		if len(*k.keys.Load()) == 0 {
			return // nobody has asked for one yet
		}
		if err := k.rotateIfDue(ctx); err != nil && ctx.Err() == nil {
			k.core.log.Error("rotating the signing keys failed; the old ones stay in use and it is tried again in an hour", "error", err)
		}
	})
}

// JWKS returns the public keys, as a JSON Web Key Set (RFC 7517), for whoever
// verifies session cookies and assertions.
func (c *Core) JWKS() jose.JSONWebKeySet {
	set := c.keys.public("")
	set.Keys = append(set.Keys, c.rsaKeys.public("").Keys...)
	return set
}

// public returns the public halves; prefix goes before their ids.
func (k *keyring) public(prefix string) jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, key := range *k.keys.Load() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.private.Public(), KeyID: prefix + key.id, Algorithm: string(key.alg), Use: "sig"})
	}
	return set
}
