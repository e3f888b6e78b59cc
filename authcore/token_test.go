package authcore_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// forge signs claims as an attacker would who has key.
func forge(t *testing.T, alg jose.SignatureAlgorithm, key any, header map[jose.HeaderKey]any, claims any) string {
	t.Helper()
	options := &jose.SignerOptions{ExtraHeaders: header}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := claims.([]byte)
	if !ok {
		payload, _ = json.Marshal(claims)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestForgedTokensAreRefused(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		token := h.browser().signIn(alice).Token
		claims := claimsOf(t, token)
		private, kid := h.core.SigningKey()
		public := private.Public().(ed25519.PublicKey)
		_, stranger, _ := ed25519.GenerateKey(nil)
		session := map[jose.HeaderKey]any{"typ": "gatehouse-session+jwt", "kid": kid}
		with := func(name string, value any) map[string]any {
			changed := map[string]any{}
			for k, v := range claims {
				changed[k] = v
			}
			changed[name] = value
			if value == nil {
				delete(changed, name)
			}
			return changed
		}
		parts := strings.Split(token, ".")
		bad := map[string]string{
			"alg none":          base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"gatehouse-session+jwt","kid":"`+kid+`"}`)) + "." + parts[1] + ".",
			"HMAC with our key": forge(t, jose.HS256, append([]byte{}, public...), session, claims),
			"another key":       forge(t, jose.EdDSA, stranger, session, claims),
			"unknown kid":       forge(t, jose.EdDSA, private, map[jose.HeaderKey]any{"typ": "gatehouse-session+jwt", "kid": "../../dev/null"}, claims),
			"no typ":            forge(t, jose.EdDSA, private, map[jose.HeaderKey]any{"kid": kid}, claims),
			"assertion's typ":   forge(t, jose.EdDSA, private, map[jose.HeaderKey]any{"typ": "gatehouse-assertion+jwt", "kid": kid}, claims),
			"plain JWT's typ":   forge(t, jose.EdDSA, private, map[jose.HeaderKey]any{"typ": "JWT", "kid": kid}, claims),
			"unknown crit":      forge(t, jose.EdDSA, private, map[jose.HeaderKey]any{"typ": "gatehouse-session+jwt", "kid": kid, "crit": []string{"x"}, "x": 1}, claims),
			"embedded jwk": forge(t, jose.EdDSA, stranger, map[jose.HeaderKey]any{"typ": "gatehouse-session+jwt", "kid": kid,
				"jwk": jose.JSONWebKey{Key: stranger.Public()}}, claims),
			"exp a string":     forge(t, jose.EdDSA, private, session, with("exp", "4102444800")),
			"exp huge":         forge(t, jose.EdDSA, private, session, with("exp", 1e30)),
			"exp past":         forge(t, jose.EdDSA, private, session, with("exp", time.Now().Unix())),
			"iat tomorrow":     forge(t, jose.EdDSA, private, session, with("iat", time.Now().Add(24*time.Hour).Unix())),
			"another sub":      forge(t, jose.EdDSA, private, session, with("sub", "somebody")),
			"another aud":      forge(t, jose.EdDSA, private, session, with("aud", other.String())),
			"unknown sid":      forge(t, jose.EdDSA, private, session, with("sid", "AAAAAAAAAAAAAAAAAAAAAA")),
			"payload null":     forge(t, jose.EdDSA, private, session, []byte("null")),
			"a newline":        token + "\n",
			"padding":          token + "=",
			"JSON form":        `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
			"detached":         parts[0] + ".." + parts[2],
			"five parts":       "a.b.c.d.e",
			"dots":             "..",
			"long":             strings.Repeat("A", 1<<20) + ".A.A",
			"duplicate member": forge(t, jose.EdDSA, private, session, bytes.Replace(mustJSON(claims), []byte(`{`), []byte(`{"sub":"somebody",`), 1)),
		}
		for _, missing := range []string{"iss", "aud", "sub", "sid", "iat", "exp", "auth_time"} {
			bad["no "+missing] = forge(t, jose.EdDSA, private, session, with(missing, nil))
		}
		for name, forged := range bad {
			if s, err := h.service.Sessions().Check(t.Context(), forged, site); s != nil || err != nil {
				t.Errorf("%s: got session %v, error %v", name, s, err)
			}
		}
		for i := range token {
			if s, _ := h.service.Sessions().Check(t.Context(), token[:i], site); s != nil {
				t.Errorf("the first %d bytes of a token pass", i)
			}
		}
		if s, _ := h.service.Sessions().Check(t.Context(), token, site); s == nil {
			t.Error("the genuine token is refused")
		}
	})
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestTokenSaysNothingPersonal(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		signIn := h.browser().signIn(alice)
		claims := claimsOf(t, signIn.Token)
		for _, name := range []string{"iss", "aud", "sub", "sid", "iat", "exp", "auth_time", "amr"} {
			if claims[name] == nil {
				t.Errorf("no %s", name)
			}
			delete(claims, name)
		}
		want(t, len(claims), 0)
		want(t, len(signIn.Token) < 1024, true)
		// Any JOSE library verifies it with jwks.json.
		jws, err := jose.ParseSignedCompact(signIn.Token, []jose.SignatureAlgorithm{jose.EdDSA})
		want(t, err, nil)
		_, err = jws.Verify(h.core.Keys().AllPublic())
		want(t, err, nil)
	})
}

func TestAssertion(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		session := h.browser().signIn(alice).Session
		token, err := h.service.Sessions().Assert(t.Context(), session, site, site, []string{"staff"})
		want(t, err, nil)
		claims := claimsOf(t, token)
		want(t, claims["aud"].(string), site.String())
		want(t, claims["email"].(string), "alice@example.com")
		want(t, claims["exp"].(float64)-claims["iat"].(float64), 120)
		s, _ := h.service.Sessions().Check(t.Context(), token, site)
		want(t, s, nil) // an assertion is no session
	})
}

// A signature of 64 bytes leaves four bits of its last base64 digit unused, so
// that one token has sixteen spellings that decode alike. Each was held apart
// in memory: after signing out, all but one went on until their next read from
// the store.
func TestTokenHasOneSpelling(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		token := h.browser().signIn(alice).Token
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := len(token) - 1
		for _, digit := range digits {
			spelling := token[:last] + string(digit)
			s, err := h.service.Sessions().Check(t.Context(), spelling, site)
			want(t, err, nil)
			if (s != nil) != (spelling == token) {
				t.Errorf("%q instead of %q as the last digit: session %v", digit, token[last], s)
			}
		}
	})
}

func TestOneOfSeveralTokens(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		a := h.browser().signIn(alice).Token
		b := h.browser().signIn(mustAddress("bob@example.com")).Token
		for _, c := range []struct {
			tokens []string
			live   bool
		}{
			{[]string{a}, true}, {[]string{"junk", a}, true}, {[]string{a, "junk"}, true}, {[]string{a, a}, true},
			{[]string{a, b}, false}, {[]string{b, a}, false}, {[]string{"1", "2", "3", "4", a}, false}, {nil, false},
		} {
			s, err := h.service.Sessions().Find(t.Context(), c.tokens, site)
			want(t, err, nil)
			want(t, s != nil, c.live)
		}
	})
}

// Codes must be as likely as one another; chi-square over the leading two
// digits, with a bound that a uniform source misses once in a million.
func TestCodesAreUniform(t *testing.T) {
	secret := secretOf(t, 'u')
	const n, cells = 200_000, 100
	var count [cells]float64
	for i := range n {
		code := secret.CodeFor(fmt.Sprint("challenge ", i), 6)
		if len(code) != 6 {
			t.Fatalf("code %q", code)
		}
		count[int(code[0]-'0')*10+int(code[1]-'0')]++
	}
	chi := 0.0
	for _, c := range count {
		chi += math.Pow(c-n/cells, 2) / (n / cells)
	}
	if chi > 180 {
		t.Fatalf("chi-square %.1f over %d cells", chi, cells)
	}
}

func BenchmarkCheck(b *testing.B) {
	h := benchHouse(b)
	var tokens []string
	for range 2000 {
		tokens = append(tokens, h.makeSession(b))
	}
	for _, n := range []int{1, 2000} {
		b.Run(map[int]string{1: "one", 2000: "2000"}[n], func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if s, err := h.service.Sessions().Check(b.Context(), tokens[i%n], site); s == nil || err != nil {
					b.Fatal(s, err)
				}
			}
		})
	}
}
