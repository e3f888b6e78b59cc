package address

import (
	"log/slog"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

// Lengths in bytes: RFC 5321 section 4.5.3.1 for the local part and the whole
// (a path of 256 less its angle brackets), RFC 1035 for a label.
const (
	maxLocal   = 64
	MaxAddress = 254
	maxLabel   = 63

	// maxAddressInput bounds what is looked at at all. A domain in Unicode may
	// be longer than its ASCII form, but never four times as long.
	maxAddressInput = 4 * MaxAddress
)

// Address is one mailbox in its one canonical form: lower-case ASCII, the
// domain as an A-label, nothing folded. Two addresses are the same person's
// exactly if they are ==. The zero value is no address.
type Address struct {
	s string // local@domain; empty for the zero value
}

// Error says why a text is not an address, in words for the person who
// typed it. It never repeats the text.
type Error struct {
	Problem string
}

func (e *Error) Error() string { return e.Problem }

// The problems of an address. Everything that has no sentence of its own gets
// the first one, which is the one that helps most people.
var (
	errNotAddress    = &Error{"write an address like name@example.com"}
	errAddressLong   = &Error{"this address is too long"}
	errAddressOneAt  = &Error{"an address has exactly one @, as in name@example.com"}
	errAddressLocal  = &Error{"the part before the @ has a character or a dot that can't stand there"}
	errAddressDomain = &Error{"the part after the @ is not a domain like example.com"}
)

// Parse reads one address and nothing else: no display name, no list,
// no comment, no quotes, no IP literal. Spaces (U+0020) around it are dropped.
// The error is an *Error. Input of any size is answered at once.
func Parse(s string) (Address, error) {
	s = strings.Trim(s, " ")
	if len(s) > maxAddressInput {
		return Address{}, errAddressLong
	}
	local, domain, found := strings.Cut(s, "@")
	if !found {
		return Address{}, errNotAddress
	}
	if strings.Contains(domain, "@") {
		return Address{}, errAddressOneAt
	}
	if len(local) > maxLocal {
		return Address{}, errAddressLong
	}
	if !isDotAtom(local) {
		return Address{}, errAddressLocal
	}
	text, ok := mailDomain(domain)
	if !ok {
		return Address{}, errAddressDomain
	}
	if len(local)+1+len(text) > MaxAddress {
		return Address{}, errAddressLong
	}
	local = ascii.Lower(local)
	if s[:len(local)] == local && s[len(local)+1:] == text {
		return Address{s}, nil // canonical as it came: no copy, for lists of thousands
	}
	return Address{local + "@" + text}, nil
}

// isDotAtom reports whether s is RFC 5322 atext in atoms joined by single
// dots. A leading hyphen would be read as an option by programs that are
// handed the address as an argument.
func isDotAtom(s string) bool {
	if s == "" || s[0] == '-' {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !isAtext(atom[i]) {
				return false
			}
		}
	}
	return true
}

func isAtext(c byte) bool {
	return ascii.IsLetterOrDigit(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// mailDomain returns the A-label form of a mail domain. What a mapping would
// change (full-width letters, other dots, invisible characters, capital
// letters outside ASCII) is refused instead of mapped, so that nobody can type
// a domain that looks like one and is another.
func mailDomain(s string) (string, bool) {
	lower := ascii.Lower(s)
	ascii, err := idna.Lookup.ToASCII(lower)
	if err != nil || !IsHostname(ascii) || !strings.Contains(ascii, ".") {
		return "", false
	}
	if EndsInNumber(ascii) {
		return "", false
	}
	if lower == ascii {
		return ascii, true
	}
	unicode, err := idna.Lookup.ToUnicode(ascii)
	return ascii, err == nil && lower == unicode
}

// IsHostname reports whether s is at most 253 bytes of labels of a to z, 0 to
// 9, hyphen (not at an end) and underscore (which DNS and every browser
// allow), joined by single dots.
func IsHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !ascii.IsLetterOrDigit(c) && c != '-' && c != '_' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// EndsInNumber reports whether browsers and resolvers would take the host for
// an IPv4 address in one of its spellings (127.1, 0x7f.1, 2130706433).
func EndsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.HasPrefix(last, "0x") {
		return true
	}
	return last != "" && !strings.ContainsFunc(last, func(r rune) bool { return r < '0' || r > '9' })
}

// AddressOf is the address that a record keeps in the form of String.
func AddressOf(kept string) Address { return Address{kept} }

// IsZero reports whether a is no address.
func (a Address) IsZero() bool { return a.s == "" }

// String returns the canonical form: ASCII, for SMTP, keys and headers. It is
// personal: logs take Masked.
func (a Address) String() string { return a.s }

// Local returns the part before the @.
func (a Address) Local() string {
	local, _, _ := strings.Cut(a.s, "@")
	return local
}

// Domain returns the part after the @ as an A-label.
func (a Address) Domain() string {
	_, domain, _ := strings.Cut(a.s, "@")
	return domain
}

// Display returns the form for people: the domain in its own script.
func (a Address) Display() string {
	domain, err := idna.Lookup.ToUnicode(a.Domain())
	if a.IsZero() || err != nil {
		return a.s
	}
	return a.Local() + "@" + domain
}

// Told is Display, with the A-label beside a domain whose letters are of several
// scripts: in a domain with Cyrillic letters like Latin ones, exаmple.com, nobody sees a typo of
// their own, or where a mail really goes.
func (a Address) Told() string {
	shown := a.Display()
	if shown == a.s || !mixesScripts(shown[len(a.Local()):]) {
		return shown
	}
	return shown + " (" + a.Domain() + ")"
}

// mixesScripts tells whether there are letters of several scripts that are seldom
// written together.
func mixesScripts(text string) bool {
	var first *unicode.RangeTable
	for _, r := range text {
		for _, script := range []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee, unicode.Georgian, unicode.Hebrew, unicode.Arabic} {
			if !unicode.Is(script, r) {
				continue
			}
			if first != nil && first != script {
				return true
			}
			first = script
		}
	}
	return false
}

// Masked returns what logs may hold, as in a***@e***.com: enough to recognize
// an address one knows. At most 73 bytes; empty for no address.
func (a Address) Masked() string {
	if a.IsZero() {
		return ""
	}
	domain := a.Domain()
	top := domain[strings.LastIndexByte(domain, '.'):]
	return a.s[:1] + "***@" + domain[:1] + "***" + top
}

// LogValue masks the address in log/slog.
func (a Address) LogValue() slog.Value { return slog.StringValue(a.Masked()) }

// MarshalText returns the canonical form; empty for no address.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.s), nil }

// UnmarshalText parses as Parse does, and reads empty text as no
// address.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}
