package authcore

import (
	"strings"
	"testing"
	"time"
)

func TestNotMeToken(t *testing.T) {
	secret, err := NewSecret([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	newer, err := NewSecret([]byte(strings.Repeat("n", 32)))
	if err != nil {
		t.Fatal(err)
	}
	alice, err := ParseAddress("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := ParseAddress("bob@example.com")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC)
	token := secret.notMeFor(alice, at)
	secrets := Secrets{Current: newer, Old: []Secret{secret}}
	for name, c := range map[string]struct {
		token string
		who   Address
		at    time.Time
		want  bool
	}{
		"fresh":             {token, alice, at, true},
		"two days on":       {token, alice, at.Add(48 * time.Hour), true},
		"four days on":      {token, alice, at.Add(96 * time.Hour), false},
		"from the future":   {token, alice, at.Add(-time.Hour), false},
		"another address":   {token, bob, at, false},
		"no address":        {token, Address{}, at, false},
		"truncated":         {token[:31], alice, at, false},
		"longer":            {token + "AAAA", alice, at, false},
		"another character": {"A" + strings.ToUpper(token[1:]), alice, at, false},
		"empty":             {"", alice, at, false},
	} {
		if got := secrets.isNotMe(c.token, c.who, c.at); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if (Secrets{Current: newer}).isNotMe(token, alice, at) {
		t.Error("a token of a secret that is gone is accepted")
	}
}
