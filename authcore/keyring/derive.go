package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
)

// CodeFor derives the code of a challenge: HMAC-SHA-256 of its id,
// rejection-sampled, so that every code is equally likely.
func (s Secret) CodeFor(challenge string, digits int) string {
	modulus := uint64(math.Pow10(digits))
	limit := math.MaxUint64 - math.MaxUint64%modulus
	for round := uint32(0); ; round++ {
		mac := hmac.New(sha256.New, s.code)
		mac.Write([]byte(challenge))
		mac.Write(binary.BigEndian.AppendUint32(nil, round))
		sum := mac.Sum(nil)
		for i := 0; i < len(sum); i += 8 {
			if v := binary.BigEndian.Uint64(sum[i:]); v < limit {
				return fmt.Sprintf("%0*d", digits, v%modulus)
			}
		}
	}
}

// LinkFor derives the link token of a challenge: 32 bytes in base64url. It is
// independent of the code: mail scanners spend links.
func (s Secret) LinkFor(challenge string) string {
	mac := hmac.New(sha256.New, s.link)
	mac.Write([]byte(challenge))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// SameCode compares two codes in constant time.
func SameCode(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// RandomToken returns n random bytes in base64url.
func RandomToken(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// IsToken tells whether s has the form of n bytes as RandomToken has them.
func IsToken(s string, n int) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == n
}

// RandomID returns the name of a session or a person: 144 random bits in
// base64url, which no command line takes for an option.
func RandomID() string {
	for {
		if id := RandomToken(18); id[0] != '-' {
			return id
		}
	}
}

// Hash is how the store knows a token that only its holder has.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}
