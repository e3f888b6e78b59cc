package reflex_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/mailgun"
)

const alice = "alice@example.com"

type fields map[string]any

func house(t testing.TB, options reflex.Options, change func(*apitest.House)) *apitest.House {
	return apitest.New(t, change, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{reflex.New(reflex.Config{Service: h.Service, Log: h.Logger(), Options: options})}
	})
}

func otp(h *apitest.House, in fields) apitest.Answer {
	h.T.Helper()
	return h.Do("POST", "/reflex/otp", in, "Authorization", "Bearer "+apitest.LiveKey)
}

func generated(h *apitest.House, in fields) apitest.Answer {
	h.T.Helper()
	a := otp(h, in)
	if a.Status != 200 {
		h.T.Fatalf("%d %s", a.Status, a.Text)
	}
	return a
}

func validate(h *apitest.House, email, otp string) apitest.Answer {
	h.T.Helper()
	return h.Do("POST", "/reflex/validate", fields{"email": email, "otp": otp})
}

func signIn(h *apitest.House, email string) string {
	h.T.Helper()
	token := validate(h, email, generated(h, fields{"email": email}).String("otp")).String("session_token")
	if token == "" {
		h.T.Fatal("no session")
	}
	return token
}

// pair is which of record and otp an answer has.
func pair(a apitest.Answer) string {
	p := [2]string{"none", "none"}
	if a.Get("record") != nil {
		p[0] = "record"
	}
	if a.Get("otp") != nil {
		p[1] = "otp"
	}
	return p[0] + "," + p[1]
}

func isPair(t *testing.T, a apitest.Answer, status int, want string) {
	t.Helper()
	_, hasRecord := a.JSON["record"]
	_, hasOTP := a.JSON["otp"]
	if a.Status != status || pair(a) != want || !hasRecord || !hasOTP {
		t.Errorf("status %d %s, want %d %s: %s", a.Status, pair(a), status, want, a.Text)
	}
}

// submit presses the button of the page that a link opens.
func submit(h *apitest.House, link string, headers ...string) apitest.Answer {
	h.T.Helper()
	u, err := url.Parse(link)
	if err != nil {
		h.T.Fatal(err)
	}
	return h.Do("POST", u.Path, u.Query(), append([]string{"Sec-Fetch-Site", "same-origin"}, headers...)...)
}

func wrong(code string) string {
	if code == "00000000" {
		return "00000001"
	}
	return "00000000"
}

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
			code := generated(h, fields{"email": alice, "client_ip": fmt.Sprintf("198.51.100.%d", i%250)}).String("otp")
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
		generated(h, fields{"email": alice})
		generated(h, fields{"email": alice})
		isPair(t, otp(h, fields{"email": alice}), 429, "none,none")
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
			isPair(t, otp(h, fields{"email": alice}), 200, "record,otp")
		}
		a := otp(h, fields{"email": alice})
		isPair(t, a, 429, "none,none")
		if a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		isPair(t, otp(h, fields{"email": "bob@example.com"}), 429, "none,none")
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
			generated(h, fields{"email": alice, "expiration_seconds": 60})
		}
		isPair(t, otp(h, fields{"email": alice, "expiration_seconds": 60}), 429, "none,none")
		h.Sleep(61 * time.Second)
		isPair(t, otp(h, fields{"email": alice, "expiration_seconds": 60}), 200, "record,otp")
		isPair(t, otp(h, fields{"email": alice, "expiration_seconds": 600}), 429, "none,none") // six within ten minutes
	})
	t.Run("REFLEX-16", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		for range 8 {
			generated(h, fields{"email": alice, "rate_limit": 8})
		}
		isPair(t, otp(h, fields{"email": alice, "rate_limit": 8}), 429, "none,none")
		isPair(t, otp(h, fields{"email": alice, "rate_limit": 9}), 200, "record,otp")
		for _, bad := range []any{0, -1, 1.5, "5"} {
			isPair(t, otp(h, fields{"email": alice, "rate_limit": bad}), 400, "none,none")
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

func TestLinks(t *testing.T) {
	h := house(t, reflex.Options{}, func(h *apitest.House) {
		var err error
		if h.App.Callbacks, err = authcore.ParseCallbacks([]string{"https://app.example.com/*"}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("REFLEX-27 REFLEX-28 REFLEX-29 REFLEX-30", func(t *testing.T) {
		a := generated(h, fields{"email": "a+b@ex.com"})
		want := h.Origin.String() + "/magic-link-auth?email=a%2Bb%40ex.com&otp=" + a.String("otp") + "&redir=%2F"
		if a.String("magic_link") != want {
			t.Errorf("%s, want %s", a.String("magic_link"), want)
		}
	})
	t.Run("REFLEX-41", func(t *testing.T) {
		for redir, ok := range map[string]bool{
			"/": true, "/in?a=b": true, "https://app.example.com/x": true,
			"https://evil.test/": false, "//evil.test/": false, "/\\evil.test": false, "javascript:alert(1)": false,
			"https://app.example.com@evil.test/": false, "/\t/evil.test": false, "https://app.example.com.evil.test/": false,
		} {
			a := otp(h, fields{"email": "b@ex.com", "redir": redir, "rate_limit": 100})
			if (a.Status == 200) != ok {
				t.Errorf("redir %q: %d", redir, a.Status)
			}
		}
		link := generated(h, fields{"email": "c@ex.com", "redir": "/in", "rate_limit": 100}).String("magic_link")
		a := submit(h, strings.Replace(link, "redir=%2Fin", "redir=https%3A%2F%2Fevil.test%2F", 1))
		if a.Status != 303 || a.Header.Get("Location") != "/" {
			t.Errorf("a link that was changed leads to %q", a.Header.Get("Location"))
		}
	})
}

func TestThePage(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	t.Run("REFLEX-42", func(t *testing.T) {
		link := generated(h, fields{"email": alice, "redir": "/in?a=b"}).String("magic_link")
		path := strings.TrimPrefix(link, h.Origin.String())
		for _, method := range []string{"GET", "HEAD", "GET"} {
			a := h.Do(method, path, nil)
			if a.Status != 200 || len(a.Header.Values("Set-Cookie")) != 0 {
				t.Errorf("%s: %d %v", method, a.Status, a.Header)
			}
			if method == "GET" && (!strings.Contains(a.Text, "<form method=\"post\" action=\"/magic-link-auth\">") || !strings.Contains(a.Text, alice)) {
				t.Error(a.Text)
			}
			if !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'none'") || a.Header.Get("Cache-Control") != "no-store" {
				t.Error(a.Header)
			}
		}
		if a := h.Do("POST", "/magic-link-auth", query(link), "Sec-Fetch-Site", "cross-site"); a.Status != 403 || len(a.Header.Values("Set-Cookie")) != 0 {
			t.Errorf("another site signs the browser in: %d", a.Status)
		}
		if a := h.Do("POST", "/magic-link-auth", query(link)); a.Status != 403 {
			t.Errorf("a request from nowhere: %d", a.Status)
		}
		a := submit(h, link)
		if a.Status != 303 || a.Header.Get("Location") != "/in?a=b" {
			t.Errorf("%d %v", a.Status, a.Header)
		}
	})
	t.Run("REFLEX-33", func(t *testing.T) {
		a := submit(h, generated(h, fields{"email": alice, "redir": "/app"}).String("magic_link"))
		if a.Status != 303 || a.Header.Get("Location") != "/app" || !valid(h, cookie(a)) {
			t.Errorf("%d %v", a.Status, a.Header)
		}
	})
	t.Run("REFLEX-34", func(t *testing.T) {
		link := generated(h, fields{"email": alice}).String("magic_link")
		a := submit(h, strings.TrimSuffix(link, "&redir=%2F"))
		if a.Status != 200 || !strings.Contains(a.Text, "Login successful!") || !valid(h, cookie(a)) {
			t.Errorf("%d %s", a.Status, a.Text)
		}
	})
	t.Run("REFLEX-35", func(t *testing.T) {
		link := generated(h, fields{"email": alice}).String("magic_link")
		code := query(link).Get("otp")
		for _, half := range []string{"/magic-link-auth", "/magic-link-auth?email=" + url.QueryEscape(alice), "/magic-link-auth?otp=" + code, "/magic-link-auth?email=&otp=" + code} {
			for _, a := range []apitest.Answer{h.Do("GET", half, nil), submit(h, half)} {
				if !strings.Contains(a.Text, "Login failed!") || a.Status < 400 {
					t.Errorf("%s: %d %s", half, a.Status, a.Text)
				}
			}
		}
		if a := submit(h, link); a.Status != 303 {
			t.Error("something was consumed")
		}
	})
	t.Run("REFLEX-36", func(t *testing.T) {
		link := generated(h, fields{"email": alice}).String("magic_link")
		code := query(link).Get("otp")
		if a := submit(h, strings.Replace(link, code, wrong(code), 1)); !strings.Contains(a.Text, "Login failed!") || len(a.Header.Values("Set-Cookie")) != 0 {
			t.Error(a.Text)
		}
		h.Sleep(31 * time.Minute)
		if a := submit(h, link); !strings.Contains(a.Text, "Login failed!") {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-37", func(t *testing.T) {
		code := generated(h, fields{"email": alice}).String("otp")
		if a := submit(h, "/magic-link-auth?email=ALICE%40Example.Com&otp="+code+"&redir=%2F"); a.Status != 303 {
			t.Error(a.Text)
		}
	})
}

func query(link string) url.Values {
	u, err := url.Parse(link)
	if err != nil {
		panic(err)
	}
	return u.Query()
}

func cookie(a apitest.Answer) string {
	for _, c := range (&http.Response{Header: a.Header}).Cookies() {
		if c.Name == "reflex_session" && c.HttpOnly && c.Path == "/" && c.SameSite == http.SameSiteLaxMode {
			return c.Value
		}
	}
	return ""
}

func valid(h *apitest.House, token string) bool {
	h.T.Helper()
	return h.Do("GET", "/reflex/session", nil, "Authorization", "Bearer "+token).Get("session_is_valid") == true
}

func TestValidate(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	t.Run("REFLEX-38", func(t *testing.T) {
		code := generated(h, fields{"email": alice}).String("otp")
		if a := validate(h, alice, code); a.Get("valid") != true {
			t.Fatal(a.Text)
		}
		if a := validate(h, alice, code); a.Get("valid") != false || a.Get("session_token") != nil {
			t.Error("twice")
		}
		for range 5 { // the counts began anew
			isPair(t, otp(h, fields{"email": alice}), 200, "record,otp")
		}
	})
	t.Run("REFLEX-39", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		code := generated(h, fields{"email": alice}).String("otp")
		for range 4 {
			if a := validate(h, alice, wrong(code)); a.Get("valid") != false {
				t.Error(a.Text)
			}
		}
		if a := validate(h, alice, code); a.Get("valid") != true {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-40", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		code := generated(h, fields{"email": alice}).String("otp")
		for range 5 {
			validate(h, alice, wrong(code))
		}
		if a := validate(h, alice, code); a.Get("valid") != false {
			t.Error("the right one after five wrong ones")
		}
	})
	t.Run("one guess for several apps counts once", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		mine := generated(h, fields{"email": alice}).String("otp")
		theirs := h.Do("POST", "/reflex/otp", fields{"email": alice, "client_ip": "203.0.113.5"}, "Authorization", "Bearer "+apitest.OtherKey).String("otp")
		for range 3 {
			validate(h, alice, wrong(mine))
		}
		if a := validate(h, alice, theirs); a.Get("valid") != true {
			t.Error(a.Text)
		}
		if a := validate(h, alice, mine); a.Get("valid") != true {
			t.Error(a.Text)
		}
	})
	t.Run("with a key only that app's", func(t *testing.T) {
		code := generated(h, fields{"email": "dora@example.com", "client_ip": "203.0.113.6"}).String("otp")
		if a := h.Do("POST", "/reflex/validate", fields{"email": "dora@example.com", "otp": code}, "Authorization", "Bearer "+apitest.OtherKey); a.Get("valid") != false {
			t.Error(a.Text)
		}
	})
}

func TestSessions(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	token := signIn(h, "Foo@Example.com")
	a := h.Do("GET", "/reflex/session", nil, "Authorization", "Bearer "+token)
	t.Run("REFLEX-43", func(t *testing.T) {
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(token) {
			t.Error(token)
		}
	})
	t.Run("REFLEX-46", func(t *testing.T) {
		if a.Get("session_is_valid") != true || a.Get("email") != "foo@example.com" || a.String("created") == "" || a.String("expiration") == "" {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-48 REFLEX-49", func(t *testing.T) {
		const want = "321ba197033e81286fedb719d60d4ed5cecaed170733cb4a92013811afc0e3b6"
		if a.Get("persistent_id") != want {
			t.Error(a.Text)
		}
		for _, email := range []string{"Foo%40Example.com", "foo%40example.com", "FOO%40EXAMPLE.COM"} {
			if b := h.Do("GET", "/reflex/persistent-id?email="+email, nil); b.Get("persistent_id") != want {
				t.Error(b.Text)
			}
		}
		again := h.Do("GET", "/reflex/session", nil, "Authorization", "Bearer "+signIn(h, "FOO@example.com"))
		if again.Get("persistent_id") != want {
			t.Error(again.Text)
		}
	})
	t.Run("REFLEX-47", func(t *testing.T) {
		for _, odd := range []string{"", token[1:], token + "0", strings.ToUpper(token), strings.Repeat("0", 64)} {
			if valid(h, odd) {
				t.Errorf("%q is valid", odd)
			}
		}
		other := signIn(h, "g@example.com")
		for _, e := range h.Events(authcore.EventSignedIn) {
			if _, err := h.Core.End(t.Context(), e.Session, "by_operator"); err != nil {
				t.Fatal(err)
			}
		}
		if valid(h, other) || valid(h, token) {
			t.Error("an ended session is still valid")
		}
	})
	t.Run("REFLEX-44", func(t *testing.T) {
		token := signIn(h, "h@example.com")
		h.Sleep(7*24*time.Hour - time.Minute)
		if !valid(h, token) {
			t.Error("ended too early")
		}
		h.Sleep(2 * time.Minute)
		if valid(h, token) {
			t.Error("goes on too long")
		}
	})
	t.Run("REFLEX-50 REFLEX-51", func(t *testing.T) {
		one, two := signIn(h, "i@example.com"), signIn(h, "i@example.com")
		b := h.Do("POST", "/reflex/logout", nil, "Authorization", "Bearer "+one)
		if b.Status != 204 || valid(h, one) {
			t.Errorf("%d", b.Status)
		}
		if c := b.Header.Get("Set-Cookie"); !strings.Contains(c, "reflex_session=;") || !strings.Contains(c, "Max-Age=0") {
			t.Errorf("the cookie stays: %q", c)
		}
		if !valid(h, two) {
			t.Error("the other session has ended too")
		}
		if b := h.Do("POST", "/reflex/logout", nil, "Cookie", "reflex_session="+two, "Sec-Fetch-Site", "cross-site"); b.Status != 403 || !valid(h, two) {
			t.Errorf("another site signs the browser out: %d", b.Status)
		}
		if b := h.Do("POST", "/reflex/logout", nil, "Cookie", "reflex_session="+two, "Sec-Fetch-Site", "same-origin"); b.Status != 204 || valid(h, two) {
			t.Errorf("by cookie: %d", b.Status)
		}
	})
	t.Run("REFLEX-52 REFLEX-53", func(t *testing.T) {
		// One tab waits and asks; the link is opened in another: the cookie is
		// the browser's.
		link := generated(h, fields{"email": "j@example.com"}).String("magic_link")
		if a := h.Do("GET", "/reflex/session", nil); a.Get("session_is_valid") != false {
			t.Error(a.Text)
		}
		token := cookie(submit(h, link))
		a := h.Do("GET", "/reflex/session", nil, "Cookie", "reflex_session="+token)
		if a.Get("session_is_valid") != true || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %v", a.Text, a.Header)
		}
		if a := h.Do("GET", "/reflex/session", nil, "Cookie", "reflex_session="+token+"; reflex_session=x"); a.Get("session_is_valid") != false {
			t.Error("of two cookies one counts")
		}
	})
	t.Run("REFLEX-54", func(t *testing.T) {
		form := map[string]string{"k@example.com": "a ZIP code"} // what the app has asked for
		a := h.Do("GET", "/reflex/session", nil, "Authorization", "Bearer "+signIn(h, "k@example.com"))
		if form[a.String("email")] != "a ZIP code" {
			t.Error(a.Text)
		}
	})
}

func TestDelivery(t *testing.T) {
	t.Run("REFLEX-55", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		for _, in := range []fields{{"email": alice}, {"email": alice, "deliver": "return"}} {
			generated(h, in)
		}
		h.Quiet()
		if len(h.Mail.Sent()) != 0 {
			t.Error("a mail was sent that the caller delivers")
		}
		if a := otp(h, fields{"email": alice, "deliver": "pigeon"}); a.Status != 400 {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-57", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		link := generated(h, fields{"email": alice, "deliver": "email"}).String("magic_link")
		m := h.LastMail()
		escaped := strings.ReplaceAll(link, "&", "&amp;")
		if m.Subject != "Magic Login Link" || m.To.String() != alice || m.HTML != "Click this link to log in: <a href='"+escaped+"'>"+escaped+"</a>" {
			t.Errorf("%q %q", m.Subject, m.HTML)
		}
	})
	t.Run("REFLEX-56 REFLEX-58", func(t *testing.T) {
		var path, user, body string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseMultipartForm(1 << 20)
			path = r.URL.Path
			user, _, _ = r.BasicAuth()
			file, _, err := r.FormFile("message")
			if err == nil {
				data := make([]byte, 64<<10)
				n, _ := file.Read(data)
				body = string(data[:n])
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"id":"<1@mg.example.com>","message":"Queued. Thank you."}`)
		}))
		defer server.Close()
		sender, err := mailgun.New(mailgun.Config{Domain: "mg.example.com", APIKey: "key-1", BaseURL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		h := house(t, reflex.Options{}, func(h *apitest.House) { h.Config.Senders = []authcore.Sender{sender} })
		generated(h, fields{"email": alice, "deliver": "email"})
		h.Quiet()
		if !strings.HasPrefix(path, "/v3/mg.example.com/messages") || user != "api" {
			t.Errorf("%s by %q", path, user)
		}
		for _, want := range []string{"From: ", "To: <" + alice, "Subject: Magic Login Link", "text/html"} {
			if !strings.Contains(body, want) {
				t.Errorf("the message lacks %q: %s", want, body)
			}
		}
		for _, c := range []mailgun.Config{{APIKey: "key-1"}, {Domain: "mg.example.com"}} {
			if _, err := mailgun.New(c); err == nil {
				t.Errorf("no error for %v", c.Domain)
			}
		}
	})
	t.Run("mails are limited whatever the call says", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		for i := range 6 {
			a := otp(h, fields{"email": alice, "deliver": "email", "rate_limit": 100})
			if i < 5 {
				isPair(t, a, 200, "record,otp")
			} else {
				isPair(t, a, 429, "record,none")
			}
		}
	})
	t.Run("REFLEX-59", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		a := otp(h, fields{"email": alice, "deliver": "email", "captcha": false})
		isPair(t, a, 403, "none,none")
		if a.String("message") != "Captcha verification failed. Please try again." {
			t.Error(a.Text)
		}
		isPair(t, otp(h, fields{"email": alice, "captcha": true}), 200, "record,otp")
	})
}

func TestNothingSecretIsLogged(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	a := generated(h, fields{"email": alice})
	token := validate(h, alice, a.String("otp")).String("session_token")
	h.Store.FailWith(errors.New("down"))
	validate(h, alice, a.String("otp"))
	h.Store.FailWith(nil)
	for _, text := range []string{a.String("otp"), token, alice, apitest.LiveKey} {
		if strings.Contains(h.Log.String(), text) {
			t.Errorf("the log has %q", text)
		}
	}
	if strings.Contains(h.Dump(), token) {
		t.Error("the store has the token")
	}
}

func FuzzReflex(f *testing.F) {
	f.Add(`{"email":"a@example.com","otp":"00000000"}`, "email=a%40example.com&otp=1&redir=%2F")
	h := house(f, reflex.Options{}, nil)
	f.Fuzz(func(t *testing.T, body, form string) {
		h.T = t
		for _, path := range []string{"/reflex/otp", "/reflex/validate"} {
			if a := h.Do("POST", path, body, "Authorization", "Bearer "+apitest.LiveKey); a.Status >= 500 || a.Status >= 400 && a.String("message") == "" || a.JSON == nil {
				t.Fatalf("%s: %d %s", path, a.Status, a.Text)
			}
		}
		a := h.Do("POST", "/magic-link-auth", form, "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
		if a.Status >= 500 || a.Status == 303 {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
	})
}
