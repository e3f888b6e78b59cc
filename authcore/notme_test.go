package authcore

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

func TestNotMeToken(t *testing.T) {
	secret, err := keyring.NewSecret([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	newer, err := keyring.NewSecret([]byte(strings.Repeat("n", 32)))
	if err != nil {
		t.Fatal(err)
	}
	alice, err := address.Parse("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := address.Parse("bob@example.com")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC)
	token := secret.NotMeFor(alice, at)
	secrets := keyring.Secrets{Current: newer, Old: []keyring.Secret{secret}}
	for name, c := range map[string]struct {
		token string
		who   address.Address
		at    time.Time
		want  bool
	}{
		"fresh":             {token, alice, at, true},
		"two days on":       {token, alice, at.Add(48 * time.Hour), true},
		"four days on":      {token, alice, at.Add(96 * time.Hour), false},
		"from the future":   {token, alice, at.Add(-time.Hour), false},
		"another address":   {token, bob, at, false},
		"no address":        {token, address.Address{}, at, false},
		"truncated":         {token[:31], alice, at, false},
		"longer":            {token + "AAAA", alice, at, false},
		"another character": {"A" + strings.ToUpper(token[1:]), alice, at, false},
		"empty":             {"", alice, at, false},
	} {
		if _, got := secrets.IsNotMe(c.token, c.who, c.at); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if _, ok := (keyring.Secrets{Current: newer}).IsNotMe(token, alice, at); ok {
		t.Error("a token of a secret that is gone is accepted")
	}
}
