package reflex_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
)

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
		h := house(t, reflex.Options{}, withOther)
		mine := generated(h, fields{"email": alice})
		theirs := h.Do("POST", "/reflex/otp", fields{"email": alice, "client_ip": "203.0.113.5"}, "Authorization", "Bearer "+apitest.OtherKey)
		for range 3 {
			submit(h, strings.Replace(mine.String("magic_link"), mine.String("otp"), wrong(mine.String("otp")), 1))
		}
		for _, a := range []apitest.Answer{theirs, mine} {
			if a := submit(h, a.String("magic_link")); a.Status != 303 {
				t.Error(a.Text)
			}
		}
	})
	t.Run("with a key only that app's", func(t *testing.T) {
		h := house(t, reflex.Options{}, withOther)
		code := generated(h, fields{"email": "dora@example.com", "client_ip": "203.0.113.6"}).String("otp")
		if a := h.Do("POST", "/reflex/validate", fields{"email": "dora@example.com", "otp": code}, "Authorization", "Bearer "+apitest.OtherKey); a.Get("valid") != false {
			t.Error(a.Text)
		}
	})
}

// TestTestDataIsNotLive: who holds a test key makes passwords for any address
// without a mail. Without a test key they are none, and neither are the sessions
// that come of them.
func TestTestDataIsNotLive(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	made := func() apitest.Answer {
		return h.Do("POST", "/reflex/otp", fields{"email": alice}, "Authorization", "Bearer "+apitest.TestKey)
	}
	in := fields{"email": alice, "otp": made().String("otp")}
	for _, headers := range [][]string{nil, {"Authorization", "Bearer " + apitest.LiveKey}} {
		if a := h.Do("POST", "/reflex/validate", in, headers...); a.Status != 200 || a.Get("valid") != false {
			t.Errorf("a password of test data is good for %v: %s", headers, a.Text)
		}
	}
	proved := h.Do("POST", "/reflex/validate", in, "Authorization", "Bearer "+apitest.TestPub).String("session_token")
	opened := cookie(submit(h, made().String("magic_link")))
	for _, token := range []string{proved, opened} {
		for key, want := range map[string]bool{"": false, apitest.LiveKey: false, apitest.LivePub: false, apitest.TestKey: true, apitest.TestPub: true} {
			headers := []string{"Authorization", "Bearer " + token}
			if key != "" {
				headers = append(headers, "X-API-Key", key)
			}
			if a := h.Do("GET", "/reflex/session", nil, headers...); a.Status != 200 || a.Get("session_is_valid") != want {
				t.Errorf("with key %.7q: %s", key, a.Text)
			}
		}
	}
	if a := h.Do("GET", "/reflex/session", nil, "Cookie", "reflex_session="+opened); a.Get("session_is_valid") != false {
		t.Errorf("by cookie: %s", a.Text)
	}
	if b := h.Do("POST", "/reflex/logout", nil, "Authorization", "Bearer "+proved); b.Status != 204 {
		t.Error(b.Status)
	}
	if a := h.Do("GET", "/reflex/session", nil, "Authorization", "Bearer "+proved, "X-API-Key", apitest.TestKey); a.Get("session_is_valid") != false {
		t.Error("it goes on after its end")
	}
}

// TestSessionsOfOneAppAreNoneOfAnother: where there are several, the key tells
// which one asks, and without one nobody is told anything.
func TestSessionsOfOneAppAreNoneOfAnother(t *testing.T) {
	h := house(t, reflex.Options{}, withOther)
	code := h.Do("POST", "/reflex/otp", fields{"email": alice}, "Authorization", "Bearer "+apitest.OtherKey).String("otp")
	in := fields{"email": alice, "otp": code}
	if a := h.Do("POST", "/reflex/validate", in); a.Status != 401 || a.Get("valid") != false || !strings.Contains(a.String("message"), "send the app's key as Authorization: Bearer <key>.") {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	token := h.Do("POST", "/reflex/validate", in, "Authorization", "Bearer "+apitest.OtherKey).String("session_token")
	if a := h.Do("GET", "/reflex/session", nil, "Authorization", "Bearer "+token); a.Status != 401 || a.Get("session_is_valid") != false || !strings.Contains(a.String("message"), "send the app's key as X-API-Key") {
		t.Errorf("%d %s", a.Status, a.Text)
	}
	for key, want := range map[string]bool{apitest.LiveKey: false, apitest.TestKey: false, apitest.OtherKey: true} {
		if a := h.Do("GET", "/reflex/session", nil, "Authorization", "Bearer "+token, "X-API-Key", key); a.Status != 200 || a.Get("session_is_valid") != want {
			t.Errorf("with key %.9q: %d %s", key, a.Status, a.Text)
		}
	}
	for _, keys := range [][]string{{"X-API-Key", "sk_live_x"}, {"X-API-Key", apitest.LiveKey, "X-API-Key", apitest.OtherKey}} {
		if a := h.Do("GET", "/reflex/session", nil, append(keys, "Authorization", "Bearer "+token)...); a.Status != 401 || a.Get("session_is_valid") != false {
			t.Errorf("%d %s", a.Status, a.Text)
		}
	}
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
		for _, e := range h.Events(event.SignedIn) {
			if _, err := h.Core.Sessions().End(t.Context(), e.Session, "by_operator"); err != nil {
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

// TestSessionOfAnAppThatIsNotConfigured: it is over, and begins again with the
// app.
func TestSessionOfAnAppThatIsNotConfigured(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	token := validate(h, alice, generated(h, fields{"email": alice}).String("otp")).String("session_token")
	if !valid(h, token) {
		t.Fatal("it is not valid at all")
	}
	with := h.Config.Apps
	for _, apps := range []*apps.List{{}, with} {
		h.Config.Apps = apps
		old := h.Core.Use(h.Config)
		defer old.Close()
		if got := valid(h, token); got != (apps == with) {
			t.Errorf("valid is %t", got)
		}
	}
}

// TestStrangersLockNobodyOut: anybody may give passwords, without a key or with a
// publishable one, and on the page behind a link.
func TestStrangersLockNobodyOut(t *testing.T) {
	guesses := func(h *apitest.House, otp string) {
		for range 10 {
			validate(h, alice, wrong(otp))
			h.Do("POST", "/reflex/validate", fields{"email": alice, "otp": wrong(otp)}, "Authorization", "Bearer "+apitest.LivePub)
			h.Do("POST", "/magic-link-auth", url.Values{"email": {alice}, "otp": {wrong(otp)}})
		}
	}
	with := func(h *apitest.House, in fields) apitest.Answer {
		return h.Do("POST", "/reflex/validate", in, "Authorization", "Bearer "+apitest.LiveKey)
	}
	for name, in := range map[string]fields{
		"the app names its user": {"email": alice, "client_ip": "192.0.2.1"},
		"the app names nobody":   {"email": alice},
	} {
		t.Run(name, func(t *testing.T) {
			h := house(t, reflex.Options{}, nil)
			for _, network := range []string{"203.0.113.66", "203.0.113.67", "203.0.113.68"} {
				made := generated(h, in)
				h.From(network)
				guesses(h, made.String("otp"))
				h.From("192.0.2.1")
				if a := submit(h, made.String("magic_link")); a.Status != 303 {
					t.Errorf("the link, after guesses from %s: %d", network, a.Status)
				}
				made = generated(h, in)
				h.From(network)
				guesses(h, made.String("otp"))
				if a := with(h, fields{"email": alice, "otp": made.String("otp")}); a.Get("valid") != true {
					t.Errorf("by the app's server, after guesses from %s: %s", network, a.Text)
				}
				h.From("192.0.2.1")
			}
			made := generated(h, in)
			guesses(h, made.String("otp")) // in the person's own network
			if a := submit(h, generated(h, in).String("magic_link")); a.Status != 303 {
				t.Errorf("the link of the next mail, after guesses in the same network: %d", a.Status)
			}
		})
	}
	t.Run("a stranger asks for a password, too", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		mine := generated(h, fields{"email": alice, "client_ip": "192.0.2.1"})
		generated(h, fields{"email": alice, "client_ip": "203.0.113.66"})
		if a := submit(h, mine.String("magic_link")); a.Status != 303 {
			t.Errorf("the person's link: %d", a.Status)
		}
	})
	t.Run("one client's guesses are bounded", func(t *testing.T) {
		h := house(t, reflex.Options{}, func(h *apitest.House) { h.Config.Limits.PerClient = []limit.Rate{{Count: 3, Per: time.Minute}} })
		otp := generated(h, fields{"email": alice}).String("otp")
		for range 3 {
			validate(h, alice, wrong(otp))
		}
		if a := validate(h, alice, wrong(otp)); a.Status != 429 || a.Header.Get("Retry-After") == "" {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		if a := h.Do("POST", "/magic-link-auth", url.Values{"email": {alice}, "otp": {wrong(otp)}}); a.Status != 429 {
			t.Errorf("the page: %d", a.Status)
		}
		if a := with(h, fields{"email": alice, "otp": otp, "client_ip": "192.0.2.1"}); a.Get("valid") != true {
			t.Errorf("the app's server: %s", a.Text)
		}
	})
	t.Run("client_ip is an address", func(t *testing.T) {
		h := house(t, reflex.Options{}, nil)
		if a := with(h, fields{"email": alice, "otp": "00000000", "client_ip": "x"}); a.Status != 400 {
			t.Errorf("%d %s", a.Status, a.Text)
		}
	})
}

// A link is opened elsewhere than where it was asked for, also where a password of
// the person's own is or was.
func TestLinksAreOpenedAnywhere(t *testing.T) {
	const laptop, phone = "192.0.2.1", "198.51.100.1"
	for name, before := range map[string]func(h *apitest.House) (former string){
		"a password was asked for": func(h *apitest.House) string {
			return generated(h, fields{"email": alice, "client_ip": phone}).String("otp")
		},
		"somebody signed in": func(h *apitest.House) string {
			made := generated(h, fields{"email": alice, "client_ip": phone})
			if a := submit(h, made.String("magic_link")); a.Status != 303 {
				h.T.Fatal(a.Text)
			}
			return made.String("otp")
		},
		"a password has expired": func(h *apitest.House) string {
			otp := generated(h, fields{"email": alice, "client_ip": phone, "expiration_seconds": 2}).String("otp")
			h.Sleep(time.Minute)
			return otp
		},
	} {
		for _, by := range []string{"link", "code"} {
			t.Run(name+", "+by, func(t *testing.T) {
				h := house(t, reflex.Options{}, nil)
				h.From(phone)
				former := before(h)
				made := generated(h, fields{"email": alice, "client_ip": laptop})
				var opened bool
				if by == "link" {
					opened = submit(h, made.String("magic_link")).Status == 303
				} else {
					opened = h.Do("POST", "/reflex/validate", fields{"email": alice, "otp": made.String("otp"), "client_ip": phone}, "Authorization", "Bearer "+apitest.LiveKey).Get("valid") == true
				}
				if !opened {
					t.Error("what was asked for on the laptop does not count on the phone")
				}
				if a := validate(h, alice, former); a.Get("valid") != false { // REFLEX-38
					t.Errorf("the phone's password after the sign-in: %s", a.Text)
				}
			})
		}
	}
}
