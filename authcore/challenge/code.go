package challenge

import (
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Parse reads the code of c in the form that was sent: decimal digits however a
// person typed them, hexadecimal ones as they are.
func (c *Challenge) Parse(text string) (code string, found int, ok bool) {
	return parse(text, c.Digits, c.Hex)
}

// IsCode tells whether there is a code of the given form in text.
func IsCode(text string, digits int, hex bool) bool {
	_, _, ok := parse(text, digits, hex)
	return ok
}

func parse(text string, digits int, hex bool) (code string, found int, ok bool) {
	if !hex {
		return ParseCode(text, digits)
	}
	for i := range len(text) {
		if d := text[i]; (d < '0' || d > '9') && (d < 'a' || d > 'f') {
			return "", i, false
		}
	}
	return text, len(text), len(text) == digits
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
