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
	secret  string   // id of the one that wraps it in the store, as last read or written here
	signers sync.Map // Kind → jose.Signer
}

// KeyRecord is a key in the store, its private half wrapped. One that was revoked has
// neither Secret nor Wrapped, and stands there for KeyKept, so that each node knows
// that the key is not to come back.
type KeyRecord struct {
	ID      string    `json:"kid"`
	Alg     string    `json:"alg"`
	Created time.Time `json:"created,omitzero"`
	Signs   time.Time `json:"signs,omitzero"`
	Secret  string    `json:"secret,omitempty"` // id of the secret that wraps it
	Wrapped []byte    `json:"wrapped,omitempty"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// IsRevoked tells whether the key verifies nothing any more.
func (r KeyRecord) IsRevoked() bool { return !r.Revoked.IsZero() }

// ring holds the keys of one algorithm that sign and verify, the oldest first.
type ring struct {
	cfg  Config
	alg  jose.SignatureAlgorithm
	max  int        // length of the longest token that is looked at
	mu   sync.Mutex // one rotation at a time
	keys atomic.Pointer[[]*signingKey]
	// sealed are why keys in the store can't be opened here, by their ids.
	sealed atomic.Pointer[map[string]error]

	goneMu sync.Mutex
	gone   map[string]time.Time // since when those are revoked that the store has named so: they never come back

	lookMu sync.Mutex
	looked time.Time // when catchUp began to read last
	saw    error     // what came of that
}

func newRing(cfg Config, alg jose.SignatureAlgorithm, most int) *ring {
	k := &ring{cfg: cfg, alg: alg, max: most, gone: map[string]time.Time{}}
	k.sealed.Store(&map[string]error{})
	k.use(nil)
	return k
}

// isEmpty tells whether the ring has no key: nobody has asked for one yet.
func (k *ring) isEmpty() bool { return len(*k.keys.Load()) == 0 }

// use puts keys into use.
func (k *ring) use(keys []*signingKey) { k.keys.Store(&keys) }

func (k *ring) isGone(id string) bool {
	k.goneMu.Lock()
	defer k.goneMu.Unlock()
	return !k.gone[id].IsZero()
}

// revoked are the records of all keys that are known to be revoked.
func (k *ring) revoked() (out []KeyRecord) {
	k.goneMu.Lock()
	defer k.goneMu.Unlock()
	for id, at := range k.gone {
		out = append(out, KeyRecord{ID: id, Alg: string(k.alg), Revoked: at})
	}
	return out
}

// remember notes those of records that are revoked.
func (k *ring) remember(records []KeyRecord) {
	k.goneMu.Lock()
	defer k.goneMu.Unlock()
	for _, r := range records {
		if r.IsRevoked() {
			k.gone[r.ID] = r.Revoked
		}
	}
}

// records are the keys of the ring in the store, revoked ones, too.
func (k *ring) records(tx store.Tx) ([]KeyRecord, error) {
	items, err := tx.Scan(store.KeySigning, "", 1000)
	if err != nil {
		return nil, err
	}
	var out []KeyRecord
	for _, item := range items {
		var r KeyRecord
		if _, err := store.Decode(item.Key, item.Value, &r); err != nil {
			return nil, err
		}
		if r.Alg == string(k.alg) {
			out = append(out, r)
		}
	}
	return out, nil
}

// isSealed is why the key with an id, or with "" any, is in the store and can't be opened
// here. Nothing that a token says makes it so.
func (k *ring) isSealed(id string) error {
	sealed := *k.sealed.Load()
	if id != "" {
		return sealed[id]
	}
	for _, err := range sealed {
		return err
	}
	return nil
}

// seal notes which keys can't be opened, and tells when that begins and ends.
func (k *ring) seal(keys map[string]error) {
	before := k.isSealed("")
	k.sealed.Store(&keys)
	switch err := k.isSealed(""); {
	case err != nil && before == nil:
		k.cfg.Log.Error("keys are in the store that this node can't open; what they have signed is answered with 503", "error", err)
	case err == nil && before != nil:
		k.cfg.Log.Info("all keys in the store can be opened again")
	}
}

// read takes the keys in s into use that can be opened.
func (k *ring) read(ctx context.Context, s store.Store) error {
	records, err := store.View(ctx, s, k.records)
	if err != nil {
		return fmt.Errorf("reading the signing keys: %w", err)
	}
	k.remember(records)
	var keys []*signingKey
	sealed := map[string]error{}
	for _, r := range records {
		if k.isGone(r.ID) {
			continue
		}
		key, err := k.unsealed(r)
		if err != nil { // another node may have wrapped anew what was opened here before
			if key = k.find(r.ID); key == nil {
				sealed[r.ID] = fmt.Errorf("a signing key: %w", err)
				continue
			}
		}
		keys = append(keys, key)
	}
	k.seal(sealed)
	slices.SortFunc(keys, func(a, b *signingKey) int { return a.created.Compare(b.created) })
	k.use(keys)
	return nil
}

func (k *ring) unsealed(r KeyRecord) (*signingKey, error) {
	secret, err := k.cfg.Secrets.Find(r.Secret)
	if err != nil {
		return nil, err
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
	key.signs, key.secret = r.Signs, r.Secret
	if key.id != r.ID {
		return nil, errUnseal
	}
	return key, nil
}

func (k *ring) save(ctx context.Context, key *signingKey) error {
	r, err := k.record(key)
	if err != nil {
		return err
	}
	err = k.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := k.cfg.changed(tx); err != nil {
			return err
		}
		return r.save(tx)
	})
	if err == nil {
		key.secret = r.Secret
	}
	return err
}

// save writes the record, for KeyKept if the key is revoked.
func (r KeyRecord) save(tx store.Tx) error {
	var until time.Time
	if r.IsRevoked() {
		until = r.Revoked.Add(KeyKept)
	}
	return store.Save(tx, store.KeySigning+r.ID, r, until)
}

func (k *ring) record(key *signingKey) (KeyRecord, error) {
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

// signer returns what signs tokens of a kind.
func (key *signingKey) signer(kind Kind) (jose.Signer, error) {
	if signer, ok := key.signers.Load(kind); ok {
		return signer.(jose.Signer), nil
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: key.alg, Key: jose.JSONWebKey{Key: key.private, KeyID: kind.KeyPrefix + key.id}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(kind.Typ)))
	if err != nil {
		return nil, err
	}
	key.signers.Store(kind, signer)
	return signer, nil
}

// find returns the key with id, nil if there is none.
func (k *ring) find(id string) *signingKey {
	for _, key := range *k.keys.Load() {
		if key.id == id {
			return key
		}
	}
	return nil
}

// signingKey is the newest key that was announced long enough.
func (k *ring) signingKey() *signingKey {
	keys := *k.keys.Load()
	for _, key := range slices.Backward(keys) {
		if !k.cfg.Now().Before(key.signsFrom()) {
			return key
		}
	}
	return keys[0]
}

// rotateIfDue adds a key a day before the newest one's time is up, and forgets
// keys that no session can rest on any more.
func (k *ring) rotateIfDue(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys, now := slices.Clone(*k.keys.Load()), k.cfg.Now()
	due := func() bool { return len(keys) == 0 || now.After(keys[len(keys)-1].created.Add(keyLifetime)) }
	if due() { // another node may have made one
		if err := k.read(ctx, k.cfg.Store); err != nil {
			return err
		}
		keys = slices.Clone(*k.keys.Load())
	}
	if due() {
		if err := k.isSealed(""); err != nil {
			return err // one of those may be the newest
		}
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
		k.cfg.Rotated(scheduled)
	}
	return k.forget(ctx, keys, now)
}

// forget drops the keys whose successor has signed for longer than KeyKept.
func (k *ring) forget(ctx context.Context, keys []*signingKey, now time.Time) error {
	first := 0
	for i := 1; i < len(keys); i++ {
		if now.After(keys[i].signsFrom().Add(KeyKept)) {
			first = i
		}
	}
	dropped := keys[:first]
	k.use(keys[first:])
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

// public returns the public halves; prefix goes before their ids.
func (k *ring) public(prefix string) jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, key := range *k.keys.Load() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.private.Public(), KeyID: prefix + key.id, Algorithm: string(key.alg), Use: "sig"})
	}
	return set
}

// rotate adds a key that signs at once. With revoke the old keys are gone and
// verify nothing any more. Verifiers that keep a copy of jwks.json meet an unknown
// kid and fetch it again.
func (k *ring) rotate(ctx context.Context, revoke bool) (id string, removed int, err error) {
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
	var gone []KeyRecord
	if revoke {
		for _, o := range old {
			gone = append(gone, KeyRecord{ID: o.id, Alg: string(k.alg), Revoked: now})
		}
		for id := range *k.sealed.Load() {
			gone = append(gone, KeyRecord{ID: id, Alg: string(k.alg), Revoked: now})
		}
	}
	stored, err := store.Update(ctx, k.cfg.Store, func(tx store.Tx) (stored func(), err error) {
		for _, r := range append(gone, record) {
			if err := r.save(tx); err != nil {
				return nil, err
			}
		}
		if revoke {
			if stored, err = k.cfg.Revoked(tx); err != nil {
				return nil, err
			}
		}
		return stored, k.cfg.changed(tx)
	})
	if err != nil {
		return "", 0, fmt.Errorf("storing a new signing key: %w", err)
	}
	key.secret = record.Secret
	if !revoke {
		k.use(append(slices.Clone(old), key))
		return key.id, 0, nil
	}
	k.remember(gone)
	k.use([]*signingKey{key})
	k.seal(map[string]error{})
	stored()
	return key.id, len(gone), nil
}

// rewrap wraps the keys with the current secret. Only a start does: of nodes that are
// given a new secret one after another each would undo what another has done.
func (k *ring) rewrap(ctx context.Context) error {
	for _, key := range *k.keys.Load() {
		if key.secret != k.cfg.Secrets.Current.id {
			if err := k.save(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookPause is the least between two looks for unknown keys: whoever makes tokens up
// could have the store read at each request.
const lookPause = 50 * time.Millisecond

// catchUp reads the keys anew, for a token whose key another node may have just made.
// Those who ask at once are answered by one look.
func (k *ring) catchUp() error {
	asked := time.Now()
	k.lookMu.Lock()
	defer k.lookMu.Unlock()
	if k.looked.After(asked) {
		return k.saw
	}
	<-time.After(lookPause - time.Since(k.looked))
	k.looked = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	k.saw = k.reload(ctx)
	return k.saw
}

// reload reads the keys of the ring anew.
func (k *ring) reload(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.read(ctx, k.cfg.Store)
}

// putBack has s, which has lost what was written last, have the keys in use, wrapped as
// they were, and name those that were revoked.
func (k *ring) putBack(ctx context.Context, s store.Store) error {
	err := s.Update(ctx, func(tx store.Tx) error {
		records, err := k.records(tx)
		if err != nil {
			return err
		}
		there := map[string]KeyRecord{}
		for _, r := range records {
			there[r.ID] = r
		}
		var lost []KeyRecord
		for _, r := range k.revoked() {
			if !there[r.ID].IsRevoked() {
				lost = append(lost, r)
			}
		}
		for _, key := range *k.keys.Load() {
			// A secret that is not this node's current one may be newer than this node.
			was, is := there[key.id]
			if is && (was.IsRevoked() || was.Secret == key.secret || key.secret != k.cfg.Secrets.Current.id) {
				continue
			}
			r, err := k.record(key)
			if err != nil {
				return err
			}
			lost = append(lost, r)
		}
		if len(lost) == 0 {
			return nil
		}
		for _, r := range lost {
			if err := r.save(tx); err != nil {
				return err
			}
		}
		return k.cfg.changed(tx)
	})
	if err != nil {
		return err
	}
	return k.read(ctx, s)
}
