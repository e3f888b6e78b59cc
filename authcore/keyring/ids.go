package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

const (
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	hex16  = "0123456789abcdef"
)

// idLen is the length of NewID's ids: 20 bytes in base 62.
const idLen = 27

// idEpoch is where the time in an id begins, in unix seconds, as KSUIDs have
// it.
const idEpoch = 1_400_000_000

// NewID returns an id of 27 characters out of 0-9A-Za-z: the seconds of now and
// 128 random bits, in the form of a KSUID, so that ids sort by the time they
// were made. It is a name, never a secret.
func NewID(now time.Time) string {
	var raw [20]byte
	binary.BigEndian.PutUint32(raw[:], uint32(now.Unix()-idEpoch))
	rand.Read(raw[4:])
	// Long division by 62, the way one converts by hand.
	out := make([]byte, idLen)
	for i := idLen - 1; i >= 0; i-- {
		rest := 0
		for j, b := range raw {
			acc := rest<<8 | int(b)
			raw[j], rest = byte(acc/len(base62)), acc%len(base62)
		}
		out[i] = base62[rest]
	}
	return string(out)
}

// IsID tells whether s can be an id: what comes from outside becomes part of a
// key in the store only in this form.
func IsID(s string) bool {
	if len(s) != idLen {
		return false
	}
	for i := range len(s) {
		if !ascii.IsLetterOrDigit(s[i]) {
			return false
		}
	}
	return true
}

// derive returns n characters of alphabet that only the holder of key can make
// from purpose and id, all equally likely. Different purposes give independent
// texts: purpose and id have no NUL.
func derive(key []byte, purpose, id, alphabet string, n int) string {
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	for round := uint32(0); len(out) < n; round++ {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s\x00%s\x00%d", purpose, id, round)
		for _, b := range mac.Sum(nil) {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// Lengths of the tokens that apps get, in characters: what the clients of the
// wire formats expect. Each has more than 256 bits.
const (
	APILinkLen    = 48
	APIPollLen    = 128
	APISessionLen = 64
)

// APIHexCode derives the code of an app's challenge in hexadecimal digits.
func (s Secret) APIHexCode(challenge string, digits int) string {
	return derive(s.code, "api code", challenge, hex16, digits)
}

// APILink derives the link token of an app's challenge.
func (s Secret) APILink(challenge string) string {
	return derive(s.link, "api link", challenge, base62, APILinkLen)
}

// APIPoll derives the token of who waits for an app's challenge to be answered.
func (s Secret) APIPoll(challenge string) string {
	return derive(s.link, "api poll", challenge, base62, APIPollLen)
}

// APISession derives the opaque token of a session, so that it can be shown
// again to who holds another proof of the same session.
func (s Secret) APISession(sid string, inHex bool) string {
	alphabet := base62
	if inHex {
		alphabet = hex16
	}
	return derive(s.link, "api session", sid, alphabet, APISessionLen)
}

// APIStop derives the token by which a person stops the invitations of an app.
func (s Secret) APIStop(challenge string) string {
	return derive(s.link, "api stop", challenge, base62, APILinkLen)
}

// Grant derives what an app holds of a sign-in, or a browser of its request, by
// its purpose: 43 characters, more than 256 bits.
func (s Secret) Grant(purpose, id string) string {
	return derive(s.link, "grant "+purpose, id, base62, 43)
}
