package address

import (
	"errors"
	"strings"
)

// Phone is a telephone number in E.164: a plus, a country code that does not
// begin with 0, 8 to 15 digits in all. The zero value is no number.
type Phone struct {
	s string
}

// ErrPhone: the text is not a number in E.164.
var ErrPhone = errors.New("write the number with its country code and nothing else, as in +14155550123")

// Lengths in digits. ITU-T E.164 allows at most 15; the shortest numbers in
// use that can take a text message have 8 with their country code.
const (
	minPhoneDigits = 8
	maxPhoneDigits = 15
)

// ParsePhone reads a number in E.164. It is judged by its pattern alone:
// whether the number is in use only a text message tells. The error is
// ErrPhone.
func ParsePhone(s string) (Phone, error) {
	digits, ok := strings.CutPrefix(s, "+")
	if !ok || len(digits) < minPhoneDigits || len(digits) > maxPhoneDigits || digits[0] == '0' {
		return Phone{}, ErrPhone
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return Phone{}, ErrPhone
		}
	}
	return Phone{s}, nil
}

// PhoneOf is the number that a record keeps in the form of String.
func PhoneOf(kept string) Phone { return Phone{kept} }

// String returns the whole number, for who sends the message.
func (p Phone) String() string { return p.s }

// IsZero reports whether p is no number.
func (p Phone) IsZero() bool { return p.s == "" }

// Redacted shows the first and the last two digits, as in +3*********90: enough
// for its owner to know it, too little to call it.
func (p Phone) Redacted() string {
	if p.IsZero() {
		return ""
	}
	return p.s[:2] + strings.Repeat("*", len(p.s)-4) + p.s[len(p.s)-2:]
}

// MarshalText returns the same as String.
func (p Phone) MarshalText() ([]byte, error) { return []byte(p.s), nil }

// UnmarshalText parses as ParsePhone does, and reads empty text as no number.
func (p *Phone) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*p = Phone{}
		return nil
	}
	*p, err = ParsePhone(string(text))
	return err
}
