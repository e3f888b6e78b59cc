package authcore

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
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// codeFor derives the code of a challenge: HMAC-SHA-256 of its id,
// rejection-sampled, so that every code is equally likely.
func (s Secret) codeFor(challenge string, digits int) string {
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

// linkFor derives the link token of a challenge: 32 bytes in base64url. It is
// independent of the code: mail scanners spend links.
func (s Secret) linkFor(challenge string) string {
	mac := hmac.New(sha256.New, s.link)
	mac.Write([]byte(challenge))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func sameCode(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// ParseCode finds a code of the given number of digits in what a person typed
// or pasted: "482 913", "Your code is 482913.", Arabic-Indic or full-width
// digits. ok is false when there is no such code; found then says how many
// digits there were.
func ParseCode(text string, digits int) (code string, found int, ok bool) {
	if len(text) > 1024 {
		return "", 0, false
	}
	var all, run []byte
	var runs []string
	flush := func() {
		if len(run) == digits {
			runs = append(runs, string(run))
		}
		run = run[:0]
	}
	for _, r := range norm.NFKC.String(text) {
		if d, isDigit := digitOf(r); isDigit {
			all, run = append(all, d), append(run, d)
			continue
		}
		flush()
	}
	flush()
	switch {
	case len(all) == digits:
		return string(all), digits, true
	case len(runs) == 1:
		return runs[0], len(all), true
	}
	return "", len(all), false
}

// digitOf returns the ASCII digit that a Unicode decimal digit stands for.
// Decimal digits (Nd) come in blocks of ten, in order, zero first.
func digitOf(r rune) (byte, bool) {
	if r >= '0' && r <= '9' {
		return byte(r), true
	}
	if r < 0x80 || !unicode.Is(unicode.Nd, r) {
		return 0, false
	}
	for _, rng := range unicode.Nd.R16 {
		if r >= rune(rng.Lo) && r <= rune(rng.Hi) {
			return '0' + byte((r-rune(rng.Lo))%10), true
		}
	}
	for _, rng := range unicode.Nd.R32 {
		if r >= rune(rng.Lo) && r <= rune(rng.Hi) {
			return '0' + byte((r-rune(rng.Lo))%10), true
		}
	}
	return 0, false
}

// randomToken returns n random bytes in base64url.
func randomToken(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// randomID returns the name of a session or a person: 144 random bits in
// base64url, which no command line takes for an option.
func randomID() string {
	for {
		if id := randomToken(18); id[0] != '-' {
			return id
		}
	}
}

// hashToken is how the store knows a token that only its holder has.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}
