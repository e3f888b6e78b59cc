package link_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

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
		h.Sleep(apps.HandleLifetime)
		failed(t, start(h, s, alice), 401)
	})
}

// TestANumberBesideAnUnprovedAddressProvesNothing: whoever enters somebody else's
// address with a number of their own does not become them.
func TestANumberBesideAnUnprovedAddressProvesNothing(t *testing.T) {
	const victim = "victim@example.com"
	number, err := address.ParsePhone("+15005550006")
	if err != nil {
		t.Fatal(err)
	}
	both := person.Draft{Emails: emails(t, victim), Phones: []address.Phone{number}}
	for name, begin := range map[string]func(h *apitest.House){
		"entered together": func(h *apitest.House) { create(h, person.Realm{App: "shop"}, both) },
		"added before the address is proved": func(h *apitest.House) {
			create(h, person.Realm{App: "shop"}, person.Draft{Emails: emails(t, victim)})
			h.AddPhone(emails(t, victim)[0], number)
		},
		"the address is proved later, by its holder": func(h *apitest.House) {
			create(h, person.Realm{App: "shop"}, both)
			h.Sleep(time.Second)
			h.Prove(emails(t, victim)[0])
		},
		"another address is proved, too": func(h *apitest.House) {
			create(h, person.Realm{App: "shop"}, person.Draft{Emails: emails(t, "mallory@example.com", victim)})
			h.Prove(emails(t, "mallory@example.com")[0])
			h.AddPhone(emails(t, "mallory@example.com")[0], number)
		},
		"the number is proved, too": func(h *apitest.House) {
			create(h, person.Realm{App: "shop"}, both)
			asked, err := h.Service.Apps().Ask(t.Context(), apps.Ask{
				Caller: apps.Caller{App: h.App}, Whom: person.Whom{Phone: number}, Slot: "sms", Origin: h.Origin,
				Known: apps.Terms{Digits: 6, Lifetime: time.Minute},
			})
			if err != nil {
				t.Fatal(err)
			}
			proved, err := h.Service.Apps().Prove(t.Context(), apps.Proof{Caller: apps.Caller{App: h.App}, Slot: "sms", Contact: asked.Contact.ID, Code: asked.Code, Origin: h.Origin})
			if err != nil || proved.Verdict != event.Accepted {
				t.Fatal(proved.Verdict, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := house(t, nil)
			begin(h)
			s := h.Do("GET", lookupPath(victim, apitest.LivePub), nil).String("client_secret")
			if s == "" && strings.HasSuffix(name, ", too") {
				return // the address is nobody's
			}
			a := start(h, s, victim)
			if a.Get("smsSent") != false || a.Get("emailSent") != true {
				t.Errorf("a text message proves the address: %s", a.Text)
			}
			if h.Quiet(); len(h.Texts.Sent()) != 0 {
				t.Fatal("a text message was sent")
			}
			if m := h.LastMail(); m.To.String() != victim || authenticate(h, s, victim, m.Code).Get("user.email") != victim {
				t.Errorf("the mail to %s proves nothing", m.To)
			}
		})
	}
}

func TestStartVerificationSendsNothingToStrangers(t *testing.T) {
	h := house(t, nil)
	t.Run("LINK-22", func(t *testing.T) {
		s := secret(h, bob)
		p, err := h.Service.Apps().Person(t.Context(), person.Realm{App: "shop"}, person.Whom{Email: emails(t, bob)[0]})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Service.Core().Apps().Delete(t.Context(), apps.Deletion{Realm: person.Realm{App: "shop"}, Subject: p.Subject}); err != nil {
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
		for range 5 { // of a network that has proved the address
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
		limits := limit.Default()
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
		if m := a.String("errorMessage"); !strings.HasPrefix(m, "Too many attempts. Please try again in a few minutes: look the email up again") {
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

// TestTestDataProvesNothingLive: whoever holds a test key, or another app's,
// proves any address to it without a mail, and has a page hand the client_secret
// to the app's server.
func TestTestDataProvesNothingLive(t *testing.T) {
	const other = "test@example.com"
	begun := func(h *apitest.House, pub, email string) fields {
		s := h.Do("GET", lookupPath(email, pub), nil).String("client_secret")
		if a := h.Do("POST", "/api/start_verification", fields{"client_secret": s, "email": email}); a.String("result") != "success" {
			t.Fatal(a.Text)
		}
		return fields{"client_secret": s, "email": email, "code": h.LastMail().Code}
	}
	for _, path := range []string{"/api/authenticate", "/authenticate"} {
		h := house(t, nil)
		in := begun(h, apitest.TestPub, other)
		for _, headers := range [][]string{nil, {"Authorization", "Bearer " + apitest.LivePub}, {"Authorization", "Bearer " + apitest.LiveKey}} {
			if a := failed(t, h.Do("POST", path, in, headers...), 401); !strings.Contains(a.String("errorMessage"), "or of test data: send a key") {
				t.Error(a.Text)
			}
		}
		if a := h.Do("POST", path, in, "Authorization", "Bearer "+apitest.TestPub); a.Get("user.email") != other {
			t.Errorf("with the test key: %s", a.Text)
		}
		failed(t, h.Do("POST", path, begun(h, apitest.LivePub, bob), "Authorization", "Bearer "+apitest.TestKey), 401)
	}
	t.Run("several apps", func(t *testing.T) {
		h := house(t, func(h *apitest.House) { h.Alone = false })
		in := begun(h, apitest.LivePub, bob)
		if a := failed(t, h.Do("POST", "/api/authenticate", in), 401); !strings.Contains(a.String("errorMessage"), "send the app's key as Authorization: Bearer <key>.") {
			t.Error(a.Text)
		}
		failed(t, h.Do("POST", "/api/authenticate", in, "Authorization", "Bearer "+apitest.OtherKey), 401)
		if a := h.Do("POST", "/api/authenticate", in, "Authorization", "Bearer "+apitest.LivePub); a.Get("user.email") != bob {
			t.Error(a.Text)
		}
	})
}

// Who is known at a gate is the app's person by the proof, not by a code that
// anybody asks for.
func TestPeopleOfTheGatesAreMadeByTheProof(t *testing.T) {
	const carol = "carol@example.com"
	h := house(t, func(h *apitest.House) { h.App.AutoCreate = false })
	signInAtGate(h, emails(t, carol)[0])
	h.Sleep(2 * time.Minute)
	known := func() bool {
		p, err := h.Service.Apps().Person(t.Context(), person.Realm{App: "shop"}, person.Whom{Email: emails(t, carol)[0]})
		if err != nil {
			t.Fatal(err)
		}
		return p != nil
	}
	s := secret(h, carol)
	if a := start(h, s, carol); a.Status != 200 || known() {
		t.Errorf("a code makes a person: %s", a.Text)
	}
	code := h.LastMail().Code
	if a := authenticate(h, s, carol, wrong(code)); a.Get("authenticationSuccessful") != false || known() {
		t.Errorf("a wrong code makes a person: %s", a.Text)
	}
	if a := authenticate(h, s, carol, code); a.Get("user.email") != carol || !known() {
		t.Errorf("the proof makes nobody: %s", a.Text)
	}
}

// TestStrangersLockNobodyOut: whoever has the publishable key looks anybody's address
// up, has codes sent and guesses.
func TestStrangersLockNobodyOut(t *testing.T) {
	for who, network := range map[string]string{"from elsewhere": "203.0.113.66", "from the same network": "192.0.2.1"} {
		for _, email := range []string{alice, bob} { // by text message, and by mail
			t.Run(who+" "+email, func(t *testing.T) {
				h := house(t, nil)
				mine := secret(h, email)
				if a := start(h, mine, email); a.Status != 200 {
					t.Fatal(a.Text)
				}
				last := func() (code string) {
					h.Quiet()
					if email == alice && len(h.Texts.Sent()) > 0 {
						return h.LastText().Code
					}
					return h.LastMail().Code
				}
				code := last()
				h.Sleep(11 * time.Second)
				h.From(network)
				for range 2 {
					s := secret(h, email)
					start(h, s, email)
					for range 5 {
						authenticate(h, s, email, wrong(last()))
					}
					h.Sleep(11 * time.Second)
				}
				h.From("192.0.2.1")
				typed := authenticate(h, mine, email, code)
				if network != "192.0.2.1" && typed.Get("authenticationSuccessful") != true {
					t.Errorf("the code that was being typed: %s", typed.Text)
				}
				h.Sleep(11 * time.Second)
				before := len(h.Mail.Sent()) + len(h.Texts.Sent())
				again := secret(h, email)
				if a := start(h, again, email); a.Status != 200 {
					t.Fatal(a.Text)
				}
				h.Quiet()
				if len(h.Mail.Sent())+len(h.Texts.Sent()) != before+1 {
					t.Fatal("nothing was sent")
				}
				code = last()
				if network == "192.0.2.1" { // strangers have used the budget up: the mail leads to the code
					if m := h.LastMail(); m.Code != "" || m.Link == "" {
						t.Fatalf("the mail has the code %q and the link %q", m.Code, m.Link)
					}
					code = shown(t, h)
				}
				if a := authenticate(h, again, email, code); a.Get("authenticationSuccessful") != true {
					t.Error(a.Text)
				}
			})
		}
	}
}

// shown opens the link of the last mail, presses the button and reads the code.
func shown(t *testing.T, h *apitest.House) string {
	t.Helper()
	link := strings.TrimPrefix(h.LastMail().Link, h.Origin.String())
	page := h.Do("GET", link, nil)
	if page.Status != 200 || regexp.MustCompile(`>\d{6}<`).MatchString(page.Text) || !strings.Contains(page.Text, "<button>") {
		t.Fatalf("the page: %d %s", page.Status, page.Text)
	}
	if a := h.Do("POST", link, nil, "Sec-Fetch-Site", "cross-site"); a.Status != 403 {
		t.Errorf("another site presses the button: %d", a.Status)
	}
	pressed := h.Do("POST", link, nil, "Sec-Fetch-Site", "same-origin")
	found := regexp.MustCompile(`>(\d{6})<`).FindStringSubmatch(pressed.Text)
	if pressed.Status != 200 || found == nil {
		t.Fatalf("the page with the code: %d %s", pressed.Status, pressed.Text)
	}
	if a := h.Do("GET", link[:len(link)-1]+"-", nil); a.Status != 410 {
		t.Errorf("another link: %d", a.Status)
	}
	return found[1]
}

// TestTextsAreTrue: nothing "was sent a moment ago" when it was not, and refusals say
// what to do.
func TestTextsAreTrue(t *testing.T) {
	h := house(t, nil)
	s, _ := started(h, bob)
	moment := failed(t, start(h, s, bob), 429)
	if moment.String("errorMessage") != "A code was sent a moment ago. Please wait before asking for another." {
		t.Error(moment.Text)
	}
	for range 4 {
		h.Sleep(11 * time.Second)
		if a := start(h, s, bob); a.Status != 200 {
			t.Fatal(a.Text)
		}
	}
	h.Sleep(11 * time.Second)
	hour := failed(t, start(h, s, bob), 429)
	if m := hour.String("errorMessage"); strings.Contains(m, "a moment ago") || !strings.Contains(m, "60 minutes") && !strings.Contains(m, "59 minutes") {
		t.Error(hour.Text)
	}
}
