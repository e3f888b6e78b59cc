package link_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/link"
	"github.com/gatehouse-auth/gatehouse/authcore"
)

const (
	alice = "alice@example.com" // has a number
	bob   = "bob@example.com"   // has none
)

func house(t *testing.T, change func(*apitest.House)) *apitest.House {
	h := apitest.New(t, change, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{link.New(link.Config{Service: h.Service, Log: h.Logger()})}
	})
	number, err := authcore.ParsePhone("+390123456790")
	if err != nil {
		t.Fatal(err)
	}
	name := "Alice Example"
	live := authcore.Realm{App: "shop"}
	create(h, live, authcore.Draft{Name: &name, Emails: emails(t, alice, "alice.second@example.com"), Phones: []authcore.Phone{number}, Metadata: json.RawMessage(`{"city":"San Francisco, California 94114"}`)})
	create(h, live, authcore.Draft{Emails: emails(t, bob)})
	create(h, authcore.Realm{App: "shop", Test: true}, authcore.Draft{Emails: emails(t, "test@example.com")})
	return h
}

func create(h *apitest.House, realm authcore.Realm, d authcore.Draft) {
	h.T.Helper()
	if _, v, err := h.Service.CreatePerson(h.T.Context(), h.App, realm, d); err != nil || v != authcore.Accepted {
		h.T.Fatal(v, err)
	}
}

func emails(t *testing.T, list ...string) []authcore.Address {
	t.Helper()
	var out []authcore.Address
	for _, text := range list {
		a, err := authcore.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func lookupPath(email, key string) string {
	return "/api/lookup-email?email=" + url.QueryEscape(email) + "&STRIPE_PUBLIC_KEY=" + key
}

// secret looks email up and returns its client_secret.
func secret(h *apitest.House, email string) string {
	h.T.Helper()
	s := h.Do("GET", lookupPath(email, apitest.LivePub), nil).String("client_secret")
	if s == "" {
		h.T.Fatalf("no client_secret for %s", email)
	}
	return s
}

type fields map[string]any

func start(h *apitest.House, secret, email string) apitest.Answer {
	h.T.Helper()
	return h.Do("POST", "/api/start_verification", fields{"client_secret": secret, "email": email})
}

func authenticate(h *apitest.House, secret, email, code string) apitest.Answer {
	h.T.Helper()
	return h.Do("POST", "/api/authenticate", fields{"client_secret": secret, "email": email, "code": code})
}

// started looks up, starts, and returns the client_secret and the code.
func started(h *apitest.House, email string) (string, string) {
	h.T.Helper()
	s := secret(h, email)
	if a := start(h, s, email); a.Status != http.StatusOK {
		h.T.Fatalf("start: %d %s", a.Status, a.Text)
	}
	if email == bob {
		return s, h.LastMail().Code
	}
	return s, h.LastText().Code
}

func wrong(code string) string {
	if code == "111111" {
		return "111112"
	}
	return "111111"
}

// failed checks that an answer is the dialect's own "no".
func failed(t *testing.T, a apitest.Answer, status int) {
	t.Helper()
	if a.Status != status || a.Get("authenticationSuccessful") != false || a.String("errorMessage") == "" || a.Get("user") != nil {
		t.Errorf("status %d, want %d: %s", a.Status, status, a.Text)
	}
}

func TestLookup(t *testing.T) {
	h := house(t, nil)
	known := h.Do("GET", lookupPath(alice, apitest.LivePub), nil)
	unknown := h.Do("GET", lookupPath("nobody@example.com", apitest.LivePub), nil)
	t.Run("LINK-1", func(t *testing.T) {
		if known.Status != 200 || !strings.HasPrefix(known.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%d %v", known.Status, known.Header)
		}
	})
	t.Run("LINK-2", func(t *testing.T) {
		if a := h.Do("GET", strings.Replace(lookupPath(alice, apitest.LivePub), "/api/lookup-email", "/lookup", 1), nil); a.Get("userExistsOnLink") != true {
			t.Errorf("GET /lookup: %s", a.Text)
		}
		for _, path := range []string{"/lookup", "/api/lookup-email"} {
			if a := h.Do("POST", path, fields{"email": alice, "STRIPE_PUBLIC_KEY": apitest.LivePub}); a.Get("userExistsOnLink") != true {
				t.Errorf("POST %s: %s", path, a.Text)
			}
		}
	})
	t.Run("LINK-3", func(t *testing.T) {
		if known.Get("result") != "success" {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-4", func(t *testing.T) {
		if known.Get("parametersSubmitted.email") != alice {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-5", func(t *testing.T) {
		if known.Get("parametersSubmitted.STRIPE_PUBLIC_KEY") != apitest.LivePub {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-6", func(t *testing.T) {
		if known.Get("userExistsOnLink") != true {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-7", func(t *testing.T) {
		if unknown.Status != 200 || unknown.Get("userExistsOnLink") != false {
			t.Errorf("%d %s", unknown.Status, unknown.Text)
		}
	})
	t.Run("LINK-8", func(t *testing.T) {
		if known.String("client_secret") == "" {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-9", func(t *testing.T) {
		if known.Get("redacted_phone_number") != "+3*********90" {
			t.Error(known.Text)
		}
		if a := h.Do("GET", lookupPath(bob, apitest.LivePub), nil); a.Get("redacted_phone_number") != nil || a.String("client_secret") == "" {
			t.Errorf("who has no number: %s", a.Text)
		}
	})
	t.Run("LINK-10", func(t *testing.T) {
		if unknown.Get("client_secret") != nil {
			t.Error(unknown.Text)
		}
	})
	t.Run("LINK-11", func(t *testing.T) {
		h.Quiet()
		if len(h.Mail.Sent())+len(h.Texts.Sent()) != 0 {
			t.Error("looking up sends something")
		}
	})
	t.Run("LINK-12", func(t *testing.T) {
		if known.Header.Get("Access-Control-Allow-Origin") != "*" || known.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Error(known.Header)
		}
		if a := h.Do("GET", lookupPath("", "x"), nil); a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Error("a page can't read why it was refused")
		}
	})
	t.Run("LINK-13", func(t *testing.T) {
		for _, email := range []string{"", "noat", "a@b@c.example", "a b@example.com", "a@example.com,b@example.com", "<a@example.com>"} {
			failed(t, h.Do("GET", lookupPath(email, apitest.LivePub), nil), 400)
		}
		failed(t, h.Do("GET", "/api/lookup-email?STRIPE_PUBLIC_KEY="+apitest.LivePub, nil), 400)
		failed(t, h.Do("GET", lookupPath(alice, apitest.LivePub)+"&email=x@example.com", nil), 400)
	})
	t.Run("LINK-14", func(t *testing.T) {
		for _, key := range []string{"", "pk_live_unknown", apitest.LivePub[1:], apitest.LivePub + "0"} {
			failed(t, h.Do("GET", lookupPath(alice, key), nil), 401)
		}
		failed(t, h.Do("GET", lookupPath(alice, apitest.LiveKey), nil), 401)
		if a := h.Do("GET", lookupPath(alice, apitest.TestPub), nil); a.Get("userExistsOnLink") != false {
			t.Errorf("a test key sees live data: %s", a.Text)
		}
		if a := h.Do("GET", lookupPath("test@example.com", apitest.TestPub), nil); a.Get("userExistsOnLink") != true {
			t.Errorf("a test key does not see test data: %s", a.Text)
		}
	})
	t.Run("LINK-15", func(t *testing.T) {
		create(h, authcore.Realm{App: "shop"}, authcore.Draft{Emails: emails(t, "a+b&c=d@example.com")})
		a := h.Do("GET", "/api/lookup-email?email=a%2Bb%26c%3Dd%40example.com&STRIPE_PUBLIC_KEY="+apitest.LivePub, nil)
		if a.Get("parametersSubmitted.email") != "a+b&c=d@example.com" || a.Get("userExistsOnLink") != true {
			t.Error(a.Text)
		}
	})
}

func TestLookupKnowsPeopleOfTheGates(t *testing.T) {
	h := house(t, nil)
	carol := emails(t, "carol@example.com")[0]
	b := authcore.Browser{Origin: h.Origin}
	begun, err := h.Service.Begin(t.Context(), b, authcore.Start{Address: carol})
	if err != nil {
		t.Fatal(err)
	}
	b.Flow = begun.FlowCookie
	h.Quiet()
	code := h.LastMail().Code
	if out, err := h.Service.AnswerCode(t.Context(), b, "", code); err != nil || out.Verdict != authcore.Accepted {
		t.Fatal(out.Verdict, err)
	}
	s := secret(h, carol.String())
	h.Sleep(2 * time.Minute)
	if a := start(h, s, carol.String()); a.Get("emailSent") != true {
		t.Fatal(a.Text)
	}
	if a := authenticate(h, s, carol.String(), h.LastMail().Code); a.Get("authenticationSuccessful") != true {
		t.Error(a.Text)
	}
	if a := h.Do("GET", lookupPath(carol.String(), apitest.TestPub), nil); a.Get("userExistsOnLink") != false {
		t.Error("test keys see people of the gates")
	}
}

func TestStartVerification(t *testing.T) {
	h := house(t, nil)
	s := secret(h, alice)
	sent := start(h, s, alice)
	t.Run("LINK-16", func(t *testing.T) {
		text := h.LastText()
		if sent.Status != 200 || !regexp.MustCompile(`^\d{6}$`).MatchString(text.Code) || text.To.String() != "+390123456790" || !strings.Contains(text.Body, text.Code) {
			t.Errorf("%d %s", sent.Status, sent.Text)
		}
	})
	t.Run("LINK-17", func(t *testing.T) {
		if sent.Get("result") != "success" || sent.Get("smsSent") != true || sent.Get("redacted_phone_number") != "+3*********90" {
			t.Error(sent.Text)
		}
	})
	t.Run("LINK-18", func(t *testing.T) {
		h.Sleep(11 * time.Second)
		if a := h.Do("POST", "/start_verification", fields{"client_secret": s, "email": alice}); a.Status != 200 {
			t.Error(a.Text)
		}
		h.Quiet()
	})
	t.Run("LINK-19", func(t *testing.T) {
		h.Sleep(11 * time.Second)
		if a := h.Do("POST", "/api/start_verification", url.Values{"client_secret": {s}, "email": {alice}}); a.Status != 200 {
			t.Error(a.Text)
		}
		if a := h.Do("POST", "/api/authenticate", url.Values{"client_secret": {s}, "email": {alice}, "code": {h.LastText().Code}}); a.Get("authenticationSuccessful") != true {
			t.Error(a.Text)
		}
	})
	t.Run("LINK-20", func(t *testing.T) {
		failed(t, start(h, s, bob), 401)
		failed(t, start(h, secret(h, bob), alice), 401)
	})
	t.Run("LINK-21", func(t *testing.T) {
		for _, odd := range []string{"x", s[1:], s + "A", strings.ToUpper(s), strings.Repeat("A", 2000)} {
			failed(t, start(h, odd, alice), 401)
		}
		failed(t, start(h, "", alice), 400)
		h.Sleep(authcore.HandleLifetime)
		failed(t, start(h, s, alice), 401)
	})
}

func TestStartVerificationSendsNothingToStrangers(t *testing.T) {
	h := house(t, nil)
	t.Run("LINK-22", func(t *testing.T) {
		s := secret(h, bob)
		p, err := h.Service.Person(t.Context(), authcore.Realm{App: "shop"}, authcore.Whom{Email: emails(t, bob)[0]})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Service.DeletePerson(t.Context(), authcore.Realm{App: "shop"}, p.Subject); err != nil {
			t.Fatal(err)
		}
		failed(t, start(h, s, bob), 404)
		h.Quiet()
		if len(h.Mail.Sent()) != 0 {
			t.Error("a mail was sent")
		}
	})
}

func TestResend(t *testing.T) {
	h := house(t, nil)
	s, first := started(h, alice)
	t.Run("LINK-24", func(t *testing.T) {
		a := start(h, s, alice)
		failed(t, a, 429)
		if a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
	t.Run("LINK-23", func(t *testing.T) {
		h.Sleep(11 * time.Second)
		if a := start(h, s, alice); a.Status != 200 {
			t.Fatal(a.Text)
		}
		second := h.LastText().Code
		if first == second {
			t.Fatal("the same code again")
		}
		failed(t, authenticate(h, s, alice, first), 200)
		if a := authenticate(h, s, alice, second); a.Get("authenticationSuccessful") != true {
			t.Error(a.Text)
		}
	})
	t.Run("LINK-24 hour", func(t *testing.T) {
		for range 3 {
			h.Sleep(11 * time.Second)
			if a := start(h, s, alice); a.Status != 200 {
				t.Fatal(a.Text)
			}
		}
		h.Sleep(11 * time.Second)
		failed(t, start(h, s, alice), 429)
	})
}

func TestCodesAreSixDigits(t *testing.T) {
	t.Run("LINK-25", func(t *testing.T) {
		limits := authcore.DefaultLimits()
		limits.PerRecipient = nil
		h := house(t, func(h *apitest.House) { h.Config.Limits = limits })
		s := secret(h, alice)
		zero := false
		for range 100 {
			h.Sleep(11 * time.Second)
			if a := start(h, s, alice); a.Status != 200 {
				t.Fatal(a.Text)
			}
			code := h.LastText().Code
			if !regexp.MustCompile(`^\d{6}$`).MatchString(code) {
				t.Fatalf("code %q", code)
			}
			if zero = code[0] == '0'; zero {
				failed(t, authenticate(h, s, alice, code[1:]), 200) // five digits are no try
				if a := authenticate(h, s, alice, code); a.Get("authenticationSuccessful") != true {
					t.Error(a.Text)
				}
				break
			}
		}
		if !zero {
			t.Error("no code of 100 begins with 0")
		}
	})
}

func TestAuthenticate(t *testing.T) {
	h := house(t, nil)
	s, code := started(h, alice)
	t.Run("LINK-29 LINK-30", func(t *testing.T) {
		failed(t, authenticate(h, s, alice, wrong(code)), 200)
	})
	t.Run("LINK-39", func(t *testing.T) {
		for _, a := range []apitest.Answer{h.Do("GET", lookupPath(alice, apitest.LivePub), nil), authenticate(h, s, alice, wrong(code))} {
			if strings.Contains(a.Text, "390123456790") || strings.Contains(a.Text, code) {
				t.Error(a.Text)
			}
		}
	})
	a := authenticate(h, s, alice, code)
	t.Run("LINK-26", func(t *testing.T) {
		if a.Status != 200 || a.Get("authenticationSuccessful") != true {
			t.Error(a.Text)
		}
	})
	t.Run("LINK-27", func(t *testing.T) {
		if a.Get("user.email") != alice {
			t.Error(a.Text)
		}
	})
	t.Run("LINK-28", func(t *testing.T) {
		if a.Get("user.fullName") != nil || a.Get("user.city") != nil {
			t.Errorf("without approval: %s", a.Text)
		}
		approved := house(t, func(h *apitest.House) { h.App.Profile = true })
		s, code := started(approved, alice)
		b := authenticate(approved, s, alice, code)
		if b.Get("user.fullName") != "Alice Example" || b.Get("user.city") != "San Francisco, California 94114" {
			t.Errorf("with approval: %s", b.Text)
		}
		s, code = started(approved, bob)
		if b := authenticate(approved, s, bob, code); b.Get("user.fullName") != nil || b.Get("user.city") != nil {
			t.Errorf("who has no name: %s", b.Text)
		}
	})
	t.Run("LINK-33", func(t *testing.T) { failed(t, authenticate(h, s, alice, code), 200) })
	t.Run("LINK-37", func(t *testing.T) {
		if len(a.Header.Values("Set-Cookie")) != 0 || a.Get("session") != nil {
			t.Error("a session is made")
		}
	})
	t.Run("LINK-31", func(t *testing.T) {
		for _, field := range []string{"code", "verification_code", "otp", "sixDigitCode"} {
			h := house(t, nil)
			s, code := started(h, alice)
			if a := h.Do("POST", "/api/authenticate", fields{"client_secret": s, "email": alice, field: code}); a.Get("authenticationSuccessful") != true {
				t.Errorf("%s: %s", field, a.Text)
			}
		}
	})
	t.Run("LINK-32", func(t *testing.T) {
		h := house(t, nil)
		s, code := started(h, alice)
		if a := h.Do("POST", "/authenticate", fields{"client_secret": s, "email": alice, "code": code}); a.Get("authenticationSuccessful") != true {
			t.Error(a.Text)
		}
	})
}

func TestCodesExpireAndLock(t *testing.T) {
	t.Run("LINK-34", func(t *testing.T) {
		h := house(t, nil)
		s, code := started(h, alice)
		h.Sleep(11 * time.Minute)
		a := authenticate(h, s, alice, code)
		failed(t, a, 200)
		if a.String("errorMessage") != "The provided verification code has expired." {
			t.Error(a.Text)
		}
	})
	t.Run("LINK-35", func(t *testing.T) {
		h := house(t, nil)
		s, code := started(h, alice)
		for i := range 5 {
			failed(t, authenticate(h, s, alice, wrong(code)), map[bool]int{true: 429, false: 200}[i == 4])
		}
		a := authenticate(h, s, alice, code)
		failed(t, a, 429)
		if a.String("errorMessage") != "Too many attempts. Please try again in a few minutes." {
			t.Error(a.Text)
		}
		h.Sleep(11 * time.Second)
		failed(t, start(h, s, alice), 429)
	})
	t.Run("LINK-36", func(t *testing.T) {
		h := house(t, nil)
		failed(t, authenticate(h, secret(h, alice), alice, "123456"), 400)
	})
}

func TestLookupsAreThrottled(t *testing.T) {
	t.Run("LINK-40", func(t *testing.T) {
		const perClient = 30
		h := house(t, func(h *apitest.House) {
			h.Config.Limits.PerClient = []authcore.Rate{{Count: perClient, Per: 10 * time.Minute}}
		})
		// over looks addresses up until it is refused, and returns how many it
		// could.
		over := func() int {
			for i := range 100 {
				a := h.Do("GET", lookupPath(fmt.Sprintf("x%d@example.com", i), apitest.LivePub), nil)
				if a.Status == 429 {
					if a.Header.Get("Retry-After") == "" || a.Header.Get("X-RateLimit-Limit") == "" {
						t.Error(a.Header)
					}
					return i
				}
			}
			return 100
		}
		for client, want := range map[string]int{"192.0.2.1": perClient, "2001:db8::1": perClient} {
			h.From(client)
			if n := over(); n != want {
				t.Errorf("%s could look %d addresses up", client, n)
			}
		}
		h.From("2001:db8::2")
		if n := over(); n != 0 {
			t.Errorf("the same /64 could look %d more up", n)
		}
		key := apitest.Keys(t, apitest.LivePub)[0]
		for range 1000 - 2*perClient - 20 { // nearly all that a key has in a minute
			h.Core.Count("link key "+key.ID(), authcore.Rate{Count: 1000, Per: time.Minute})
		}
		h.From("192.0.2.2")
		if n := over(); n >= perClient {
			t.Error("one key has no limit")
		}
	})
}

func TestHeadless(t *testing.T) {
	t.Run("LINK-38", func(t *testing.T) {
		h := house(t, nil)
		s, code := started(h, bob) // by mail, who has no number
		if a := authenticate(h, s, bob, code); a.Get("authenticationSuccessful") != true || a.Get("user.email") != bob {
			t.Error(a.Text)
		}
	})
}

func TestNothingSecretIsLogged(t *testing.T) {
	t.Run("LINK-50", func(t *testing.T) {
		h := house(t, nil)
		s, code := started(h, alice)
		authenticate(h, s, alice, wrong(code))
		authenticate(h, s, alice, code)
		for _, text := range []string{s, code, alice, apitest.LivePub, "390123456790"} {
			if strings.Contains(h.Log.String(), text) {
				t.Errorf("the log has %q: %s", text, h.Log)
			}
		}
	})
}

func TestBadInput(t *testing.T) {
	h := house(t, nil)
	s, code := started(h, alice)
	for what, body := range map[string]string{
		"a name twice": `{"client_secret":"` + s + `","email":"` + alice + `","email":"` + bob + `","code":"` + code + `"}`,
		"case variant": `{"client_secret":"` + s + `","email":"` + alice + `","EMAIL":"` + bob + `","code":"` + code + `"}`,
		"trailing":     `{"client_secret":"` + s + `","email":"` + alice + `","code":"` + code + `"}{}`,
		"null":         `{"client_secret":"` + s + `","email":"` + alice + `","code":null}`,
		"a number":     `{"client_secret":"` + s + `","email":"` + alice + `","code":` + "1" + code[1:] + `}`,
		"true":         `{"client_secret":"` + s + `","email":"` + alice + `","code":true}`,
		"an array":     `[]`, "text": `"x"`, "nothing": ``, "broken": `{`, "not UTF-8": "{\"email\":\"\xff\"}",
		"deep": strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
	} {
		a := h.Do("POST", "/api/authenticate", body)
		failed(t, a, 400)
		if t.Failed() {
			t.Fatal(what)
		}
	}
	failed(t, h.Do("POST", "/api/authenticate", `{"email":"`+strings.Repeat("a", 70000)+`"}`), 413)
	for _, kind := range []string{"text/plain", "multipart/form-data; boundary=x", "application/xml", "application/json; charset=utf-16"} {
		failed(t, h.Do("POST", "/api/authenticate", `{"client_secret":"`+s+`","email":"`+alice+`","code":"`+code+`"}`, "Content-Type", kind), 415)
	}
	failed(t, h.Do("POST", "/api/authenticate", `{}`, "Content-Encoding", "gzip"), 415)
	for _, method := range []string{"GET", "PUT", "DELETE", "TRACE"} {
		if a := h.Do(method, "/api/authenticate", nil); a.Status != 405 || a.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d %s", method, a.Status, a.Header.Get("Allow"))
		}
	}
	for _, path := range []string{"/api/;x", "/api", "/api/other", "/lookup/x"} {
		if a := h.Do("GET", path, nil); a.Status != 404 {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
	if a := authenticate(h, s, alice, code); a.Get("authenticationSuccessful") != true {
		t.Errorf("after all that the code is still good: %s", a.Text)
	}
}

func FuzzAuthenticate(f *testing.F) {
	f.Add(`{"client_secret":"x","email":"a@example.com","code":"123456"}`, "application/json")
	f.Add("client_secret=x&email=a&code=1", "application/x-www-form-urlencoded")
	h := apitest.New(f, nil, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{link.New(link.Config{Service: h.Service})}
	})
	f.Fuzz(func(t *testing.T, body, kind string) {
		if strings.ContainsFunc(kind, func(r rune) bool { return r < ' ' || r > '~' }) {
			return // no client can send it
		}
		h.T = t
		for _, path := range []string{"/api/authenticate", "/api/start_verification", "/lookup"} {
			if a := h.Do("POST", path, body, "Content-Type", kind); a.Status >= 500 || a.Status >= 400 && (a.String("errorMessage") == "" || a.Get("authenticationSuccessful") != false) || a.JSON == nil {
				t.Fatalf("%s: %d %s", path, a.Status, a.Text)
			}
		}
	})
}
