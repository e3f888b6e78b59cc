package reflex_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/reflex"
)

func TestGenerate(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	t.Run("REFLEX-2 REFLEX-3", func(t *testing.T) {
		for _, email := range []string{"", "noat", "@x", "a@", "x@@", "a b@example.com"} {
			isPair(t, otp(h, fields{"email": email}), 400, "none,none")
		}
		isPair(t, otp(h, fields{}), 400, "none,none")
	})
	a := otp(h, fields{"email": "Alice@Example.com"})
	t.Run("REFLEX-1", func(t *testing.T) { isPair(t, a, 200, "record,otp") })
	t.Run("REFLEX-4", func(t *testing.T) {
		if a.Get("record.email") != alice {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-6", func(t *testing.T) {
		if !regexp.MustCompile(`^[0-9a-f]{8}$`).MatchString(a.String("otp")) {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-9", func(t *testing.T) {
		if d := lifeOf(t, a); d != 30*time.Minute {
			t.Error(d)
		}
	})
	t.Run("REFLEX-24", func(t *testing.T) {
		if a.Get("record.recent_attempts") != 1.0 {
			t.Error(a.Text)
		}
		if b := generated(h, fields{"email": alice}); b.Get("record.recent_attempts") != 2.0 || b.Get("record.id") == a.Get("record.id") {
			t.Error(b.Text)
		}
	})
	t.Run("key", func(t *testing.T) {
		for _, header := range []string{"", "Bearer " + apitest.LivePub, "Bearer x", apitest.LiveKey} {
			a := h.Do("POST", "/reflex/otp", fields{"email": alice}, "Authorization", header)
			if a.Status != 401 && a.Status != 403 || pair(a) != "none,none" {
				t.Errorf("%q: %d %s", header, a.Status, a.Text)
			}
		}
	})
}

func lifeOf(t *testing.T, a apitest.Answer) time.Duration {
	t.Helper()
	created, err1 := time.Parse(time.RFC3339Nano, a.String("record.created"))
	expires, err2 := time.Parse(time.RFC3339Nano, a.String("record.expiration"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return expires.Sub(created)
}

func TestStorageFailure(t *testing.T) {
	t.Run("REFLEX-5", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		h.Store.FailWith(errors.New("no migration"))
		a := otp(h, fields{"email": alice})
		isPair(t, a, 503, "none,none")
		if strings.Contains(a.Text, "migration") || a.Header.Get("X-Request-Id") == "" || !strings.Contains(h.Log.String(), "no migration") {
			t.Errorf("%s %v", a.Text, a.Header)
		}
		h.Store.FailWith(nil)
		isPair(t, otp(h, fields{"email": alice}), 200, "record,otp")
	})
}

func TestPasswordsAreRandomAndNotStored(t *testing.T) {
	h := house(t, reflex.Options{RateLimit: 500}, nil)
	t.Run("REFLEX-7", func(t *testing.T) {
		seen := map[string]bool{}
		counts := map[rune]int{}
		for i := range 400 {
			code := generated(h, fields{"email": fmt.Sprintf("p%d@example.com", i), "client_ip": fmt.Sprintf("198.51.100.%d", i%250)}).String("otp")
			if seen[code] {
				t.Fatalf("%q twice", code)
			}
			seen[code] = true
			for _, c := range code {
				counts[c]++
			}
		}
		for _, c := range "0123456789abcdef" { // 3200 digits: 200 of each
			if counts[c] < 140 || counts[c] > 260 {
				t.Errorf("%q came %d times", c, counts[c])
			}
		}
	})
	t.Run("REFLEX-8", func(t *testing.T) {
		code := generated(h, fields{"email": alice, "client_ip": "203.0.113.9"}).String("otp")
		if strings.Contains(h.Dump(), code) {
			t.Error("the password stands in the store")
		}
	})
}

func TestLifetimes(t *testing.T) {
	t.Run("REFLEX-10", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		a := generated(h, fields{"email": alice, "expiration_seconds": 1.5})
		if d := lifeOf(t, a); d != 1500*time.Millisecond {
			t.Error(d)
		}
		h.Sleep(2 * time.Second)
		if b := validate(h, alice, a.String("otp")); b.Get("valid") != false {
			t.Error(b.Text)
		}
		for _, bad := range []any{0, -1, "1", 1e99, true} {
			isPair(t, otp(h, fields{"email": alice, "expiration_seconds": bad}), 400, "none,none")
		}
	})
	env := func(name, value string) func(string) string {
		return func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}
	}
	read := func(t *testing.T, name, value string) reflex.Options {
		t.Helper()
		o, err := reflex.OptionsFromEnv(env(name, value))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	t.Run("REFLEX-11", func(t *testing.T) {
		h := house(t, read(t, "MAGIC_LINK_AUTH_OTP_EXPIRATION_SECONDS", "90.5"), nil)
		if d := lifeOf(t, generated(h, fields{"email": alice})); d != 90500*time.Millisecond {
			t.Error(d)
		}
	})
	t.Run("REFLEX-17", func(t *testing.T) {
		h := house(t, read(t, "MAGIC_LINK_AUTH_OTP_RATE_LIMIT", "2"), nil)
		generated(h, fields{"client_ip": "203.0.113.1", "email": alice})
		generated(h, fields{"client_ip": "203.0.113.1", "email": alice})
		isPair(t, otp(h, fields{"client_ip": "203.0.113.1", "email": alice}), 429, "none,none")
	})
	t.Run("REFLEX-31", func(t *testing.T) {
		h := house(t, read(t, "MAGIC_LINK_AUTH_ROUTE", "/in/here"), nil)
		h.Undescribed = "/in/here"
		link := generated(h, fields{"email": alice}).String("magic_link")
		if !strings.HasPrefix(link, h.Origin.String()+"/in/here?email=") {
			t.Error(link)
		}
		if a := submit(h, link); a.Status != 303 {
			t.Error(a.Status)
		}
		if _, err := reflex.OptionsFromEnv(env("MAGIC_LINK_AUTH_ROUTE", "in")); err == nil {
			t.Error("a route without / is accepted")
		}
	})
	t.Run("REFLEX-45", func(t *testing.T) {
		h := house(t, read(t, "MAGIC_LINK_AUTH_SESSION_EXPIRATION_SECONDS", "60"), nil)
		token := signIn(h, alice)
		h.Sleep(59 * time.Second)
		if !valid(h, token) {
			t.Error("ended too early")
		}
		h.Sleep(2 * time.Second)
		if valid(h, token) {
			t.Error("goes on too long")
		}
		code := generated(h, fields{"email": alice}).String("otp")
		body := fields{"email": alice, "otp": code, "session_expiration_seconds": 5}
		if a := h.Do("POST", "/reflex/validate", body); a.Status != 403 {
			t.Errorf("without a key: %d", a.Status)
		}
		token = h.Do("POST", "/reflex/validate", body, "Authorization", "Bearer "+apitest.LiveKey).String("session_token")
		if !valid(h, token) {
			t.Fatal("no session")
		}
		h.Sleep(6 * time.Second)
		if valid(h, token) {
			t.Error("goes on too long")
		}
	})
	t.Run("REFLEX-32", func(t *testing.T) {
		for _, name := range []string{"MAGIC_LINK_AUTH_OTP_EXPIRATION_SECONDS", "MAGIC_LINK_AUTH_SESSION_EXPIRATION_SECONDS", "MAGIC_LINK_AUTH_OTP_RATE_LIMIT"} {
			for _, bad := range []string{"0", "-1", "x", "NaN", "1e99"} {
				if _, err := reflex.OptionsFromEnv(env(name, bad)); err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s=%s: %v", name, bad, err)
				}
			}
			if o := read(t, name, "  "); o != (reflex.Options{}) {
				t.Errorf("blank: %+v", o)
			}
		}
		for _, bad := range []string{"//x", "/a?b", "/a#b", "/_gatehouse/x", "/reflex/otp", "/a/../b", "/", "https://x"} {
			if _, err := reflex.OptionsFromEnv(env("MAGIC_LINK_AUTH_ROUTE", bad)); err == nil {
				t.Errorf("route %q is accepted", bad)
			}
		}
	})
}

func TestOnlyTheNewestPasswordCounts(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	first, second := generated(h, fields{"email": alice}), generated(h, fields{"email": alice})
	t.Run("REFLEX-12", func(t *testing.T) {
		if a := validate(h, alice, first.String("otp")); a.Get("valid") != false || a.Get("session_token") != nil {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-13", func(t *testing.T) {
		if a := submit(h, first.String("magic_link")); !strings.Contains(a.Text, "Login failed!") {
			t.Error(a.Text)
		}
		if a := submit(h, second.String("magic_link")); a.Status != 303 {
			t.Error(a.Status)
		}
	})
}

func TestRateLimits(t *testing.T) {
	t.Run("REFLEX-14 REFLEX-19 REFLEX-20", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		for range 5 {
			isPair(t, otp(h, fields{"client_ip": "203.0.113.1", "email": alice}), 200, "record,otp")
		}
		a := otp(h, fields{"client_ip": "203.0.113.1", "email": alice})
		isPair(t, a, 429, "none,none")
		if a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		isPair(t, otp(h, fields{"client_ip": "203.0.113.1", "email": "bob@example.com"}), 429, "none,none")
	})
	six := func(h *apitest.House, t *testing.T) apitest.Answer {
		for i := range 5 {
			isPair(t, otp(h, fields{"email": alice, "client_ip": fmt.Sprintf("198.51.100.%d", i)}), 200, "record,otp")
		}
		return otp(h, fields{"email": alice, "client_ip": "198.51.100.99"})
	}
	t.Run("REFLEX-18 REFLEX-21", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		a := six(h, t)
		isPair(t, a, 429, "record,none")
		if a.Get("record.recent_attempts") != 5.0 || a.Get("record.email") != alice {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-60", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		if a := six(h, t); a.String("message") != "Too many attempts. Please try again later." {
			t.Error(a.Text)
		}
		if a := otp(h, fields{"email": "x"}); a.String("message") != "Invalid email, or too many attempts. Please try again later." {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-22 REFLEX-23", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		six(h, t)
		for range 4 {
			h.Sleep(6 * time.Minute)
			isPair(t, otp(h, fields{"email": alice, "client_ip": "198.51.100.99"}), 429, "record,none")
		}
		h.Sleep(7 * time.Minute) // 31 after the first five
		a := otp(h, fields{"email": alice, "client_ip": "198.51.100.99"})
		isPair(t, a, 200, "record,otp")
		if a.Get("record.recent_attempts") != 1.0 {
			t.Errorf("refused ones were counted: %s", a.Text)
		}
	})
	t.Run("REFLEX-15", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		for range 5 {
			generated(h, fields{"client_ip": "203.0.113.1", "email": alice, "expiration_seconds": 60})
		}
		isPair(t, otp(h, fields{"client_ip": "203.0.113.1", "email": alice, "expiration_seconds": 60}), 429, "none,none")
		h.Sleep(61 * time.Second)
		isPair(t, otp(h, fields{"client_ip": "203.0.113.1", "email": alice, "expiration_seconds": 60}), 200, "record,otp")
		isPair(t, otp(h, fields{"client_ip": "203.0.113.1", "email": alice, "expiration_seconds": 600}), 429, "none,none") // six within ten minutes
	})
	t.Run("REFLEX-16", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		for range 8 {
			generated(h, fields{"client_ip": "203.0.113.1", "email": alice, "rate_limit": 8})
		}
		isPair(t, otp(h, fields{"client_ip": "203.0.113.1", "email": alice, "rate_limit": 8}), 429, "none,none")
		isPair(t, otp(h, fields{"client_ip": "203.0.113.1", "email": alice, "rate_limit": 9}), 200, "record,otp")
		for _, bad := range []any{0, -1, 1.5, "5"} {
			isPair(t, otp(h, fields{"client_ip": "203.0.113.1", "email": alice, "rate_limit": bad}), 400, "none,none")
		}
	})
	t.Run("REFLEX-25", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		for range 5 {
			generated(h, fields{"email": alice})
		}
		h.From("203.0.113.7") // the server has told apart whom a trusted proxy named
		isPair(t, otp(h, fields{"email": "bob@example.com"}), 200, "record,otp")
	})
	t.Run("REFLEX-26", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		for i := range 6 {
			a := h.Do("POST", "/reflex/otp", fields{"email": alice}, "Authorization", "Bearer "+apitest.LiveKey, "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i))
			if want := i < 5; (a.Status == 200) != want {
				t.Errorf("request %d: %d", i+1, a.Status)
			}
		}
	})
}

// All users of an app's server have its address: only what the server says of
// theirs counts for a client.
func TestServerIsNoClient(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	for i := range 12 {
		isPair(t, otp(h, fields{"email": fmt.Sprintf("user%d@example.com", i)}), 200, "record,otp")
	}
	for i := range 6 {
		want := 200
		if i == 5 {
			want = 429
		}
		if a := otp(h, fields{"email": fmt.Sprintf("guest%d@example.com", i), "client_ip": "203.0.113.77"}); a.Status != want {
			t.Errorf("the client's %d. start: %d %s", i+1, a.Status, a.Text)
		}
	}
}

// The app's link_lifetime is that of passwords where the call says nothing.
func TestLifetimeOfTheApp(t *testing.T) {
	h := house(t, reflex.Options{}, func(h *apitest.House) { h.App.LinkLifetime = 10 * time.Minute })
	if d := lifeOf(t, otp(h, fields{"email": alice})); d != 10*time.Minute {
		t.Error(d)
	}
	if d := lifeOf(t, otp(h, fields{"email": "bob@example.com", "expiration_seconds": 60})); d != time.Minute {
		t.Error(d)
	}
}

// Others compute the id from the address as people write it.
func TestPersistentIDOfInternationalDomains(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	sum := sha256.Sum256([]byte("zoe@bücher.example"))
	for _, email := range []string{"zoe@bücher.example", "Zoe@bücher.example", "zoe@xn--bcher-kva.example"} {
		if a := h.Do("GET", "/reflex/persistent-id?email="+url.QueryEscape(email), nil); a.Get("persistent_id") != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: %d %s", email, a.Status, a.Text)
		}
	}
}
