package challenge_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
)

func TestParseCode(t *testing.T) {
	good := []string{"482913", "482 913", "482-913", " 482913\n", "Your code is 482913.", "４８２９１３", "٤٨٢٩١٣", "482\u00a0913", "4\u200b82913",
		"12 people asked; the code is 482913 today", "४८२९१३"}
	for _, text := range good {
		code, _, ok := challenge.ParseCode(text, 6)
		if !ok || code != "482913" {
			t.Errorf("%q: %q, %v", text, code, ok)
		}
	}
	bad := []string{"", "48291", "4829133", "+12345", "1e5", "null", "true", "482913 482914", strings.Repeat("1", 5000), "½½½½½½"}
	for _, text := range bad {
		if code, _, ok := challenge.ParseCode(text, 6); ok {
			t.Errorf("%q: %q", text, code)
		}
	}
	if code, _, ok := challenge.ParseCode("000042", 6); !ok || code != "000042" {
		t.Errorf("leading zeros: %q", code)
	}
}

// Hexadecimal digits are taken as they were sent, and nothing else is.
func TestParseHexCode(t *testing.T) {
	c := &challenge.Challenge{Digits: 6, Hex: true}
	for text, good := range map[string]bool{
		"0a1b2c": true, "000000": true, "0A1B2C": false, "0a1b2": false, "0a1b2cd": false, "": false, "0a1b2g": false, "0a 1b2": false, "４82913": false,
	} {
		if code, _, ok := c.Parse(text); ok != good || ok && code != text {
			t.Errorf("%q: %q, %v", text, code, ok)
		}
	}
}
