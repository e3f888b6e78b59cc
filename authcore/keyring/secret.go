package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// MinSecretBytes is the least length of a master secret: 256 bits, the size of
// the keys derived from it.
const MinSecretBytes = 32

// Secret is a master key. Codes and link tokens are derived from it and signing
// keys in the store are wrapped with it; it is never in the store itself. It
// prints as its id, which tells secrets apart and nothing else.
type Secret struct {
	id                                     string
	code, link, notMe, wrap, mark, message []byte
}

// NewSecret makes a Secret of value, which must have at least MinSecretBytes.
func NewSecret(value []byte) (Secret, error) {
	if len(value) < MinSecretBytes {
		return Secret{}, fmt.Errorf("a secret needs at least %d bytes, this one has %d; make one with: openssl rand -hex 32", MinSecretBytes, len(value))
	}
	sub := func(purpose string) []byte {
		key, err := hkdf.Key(sha256.New, value, nil, "gatehouse "+purpose, 32)
		if err != nil {
			panic(err) // only for impossible lengths
		}
		return key
	}
	return Secret{
		id:   hex.EncodeToString(sub("id")[:8]),
		code: sub("code"), link: sub("link"), notMe: sub("not-me"), wrap: sub("wrap"), mark: sub("mark"), message: sub("message"),
	}, nil
}

// ID names the secret in records, so that rotation spoils nothing made before.
func (s Secret) ID() string { return s.id }

// String and LogValue keep the key itself out of every log and error.
func (s Secret) String() string { return "secret " + s.id }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return s.String() }

// Mark is a keyed hash of an address, 16 hex digits: it ties log lines about
// one person together without naming the person.
func (s Secret) Mark(a address.Address) string {
	mac := hmac.New(sha256.New, s.mark)
	mac.Write([]byte(a.String()))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// MessageID derives the first part of a mail's Message-ID from what the mail is
// called in the outbox: 32 hex digits that nobody else can make.
func (s Secret) MessageID(entry string) string {
	mac := hmac.New(sha256.New, s.message)
	mac.Write([]byte(entry))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// LikeMessageID tells whether s has the form of what MessageID returns, whichever
// instance made it.
func LikeMessageID(s string) bool {
	sum, err := hex.DecodeString(s)
	return err == nil && len(sum) == 16
}

// Secrets is the current secret and the ones before it.
type Secrets struct {
	Current Secret
	Old     []Secret
}

// Find returns the secret that a record of the store names by its id, or ErrWrongSecret.
func (s Secrets) Find(id string) (Secret, error) {
	if id == s.Current.id {
		return s.Current, nil
	}
	for _, old := range s.Old {
		if id == old.id {
			return old, nil
		}
	}
	return Secret{}, ErrWrongSecret
}

// Seal encrypts a signing key with AES-256-GCM; context binds the result to
// one record, so that it can't be moved to another.
func (s Secret) Seal(plain []byte, context string) []byte {
	aead := s.aead()
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, []byte(context))
}

var errUnseal = errors.New("a signing key in the store can't be unwrapped: the record was changed or the secret is not the one it was wrapped with")

// Unseal opens what Seal made for the same context.
func (s Secret) Unseal(sealed []byte, context string) ([]byte, error) {
	aead := s.aead()
	if len(sealed) < aead.NonceSize() {
		return nil, errUnseal
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(context))
	if err != nil {
		return nil, errUnseal
	}
	return plain, nil
}

func (s Secret) aead() cipher.AEAD {
	block, err := aes.NewCipher(s.wrap)
	if err != nil {
		panic(err) // the key always has 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// ErrWrongSecret: the store has something that was made with a secret which is not among
// those given. Starting all the same would refuse every session and spoil the keys; a
// node that runs when another one gets a new secret can't tell what it does not open
// from what is wrong, and refuses none of it.
var ErrWrongSecret = errors.New("the store has what no secret of this node opens: give it the same secret lines as the others")

const (
	// notMeLifetime is how long a mail can be used to say so: long enough for
	// who reads mail on Monday, and not for ever.
	notMeLifetime = 72 * time.Hour
)

// NotMeFor derives the token for "this wasn't me" in a mail to a. It stands in
// no record: whoever uses it types the address, and both together verify.
func (s Secret) NotMeFor(a address.Address, at time.Time) string {
	token := binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(token, s.notMeMAC(a, token)...))
}

func (s Secret) notMeMAC(a address.Address, at []byte) []byte {
	mac := hmac.New(sha256.New, s.notMe)
	mac.Write(at)
	mac.Write([]byte(a.String()))
	return mac.Sum(nil)[:16]
}

// IsNotMe reports whether token stood in a mail to a, of the last three days, and
// when that was asked for.
func (s Secrets) IsNotMe(token string, a address.Address, now time.Time) (asked time.Time, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 8+16 || a.IsZero() {
		return time.Time{}, false
	}
	asked = time.Unix(int64(binary.BigEndian.Uint64(raw)), 0)
	if age := now.Sub(asked); age > notMeLifetime || age < -ClockSkew {
		return time.Time{}, false
	}
	for _, secret := range append([]Secret{s.Current}, s.Old...) {
		if hmac.Equal(secret.notMeMAC(a, raw[:8]), raw[8:]) {
			return asked, true
		}
	}
	return time.Time{}, false
}

// PairOf derives the digits of a challenge.
func (s Secret) PairOf(challenge string, digits int) string {
	return derive(s.code, "api pair", challenge, base62[:10], digits)
}

// ClockSkew is how far clocks may differ: the most that a token's iat may lie
// ahead.
const ClockSkew = time.Minute
