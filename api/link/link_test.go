package link_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/link"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

const (
	alice = "alice@example.com" // has a number
	bob   = "bob@example.com"   // has none
)

func house(t *testing.T, change func(*apitest.House)) *apitest.House {
	h := apitest.New(t, func(h *apitest.House) {
		h.Alone = true
		if change != nil {
			change(h)
		}
	}, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{link.New(h.Parts())}
	})
	number, err := address.ParsePhone("+390123456790")
	if err != nil {
		t.Fatal(err)
	}
	name := "Alice Example"
	live := person.Realm{App: "shop"}
	create(h, live, person.Draft{Name: &name, Emails: emails(t, alice, "alice.second@example.com"), Metadata: json.RawMessage(`{"city":"San Francisco, California 94114"}`)})
	h.Prove(emails(t, alice)[0])
	h.AddPhone(emails(t, alice)[0], number)
	create(h, live, person.Draft{Emails: emails(t, bob)})
	create(h, person.Realm{App: "shop", Test: true}, person.Draft{Emails: emails(t, "test@example.com")})
	return h
}

func create(h *apitest.House, realm person.Realm, d person.Draft) {
	h.T.Helper()
	if _, v, err := h.Service.Apps().CreatePerson(h.T.Context(), h.App, realm, d); err != nil || v != event.Accepted {
		h.T.Fatal(v, err)
	}
}

func emails(t *testing.T, list ...string) []address.Address {
	t.Helper()
	var out []address.Address
	for _, text := range list {
		a, err := address.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
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
func failed(t *testing.T, a apitest.Answer, status int) apitest.Answer {
	t.Helper()
	if a.Status != status || a.Get("authenticationSuccessful") != false || a.String("errorMessage") == "" || a.Get("user") != nil {
		t.Errorf("status %d, want %d: %s", a.Status, status, a.Text)
	}
	return a
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
		return []api.Dialect{link.New(h.Parts())}
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
