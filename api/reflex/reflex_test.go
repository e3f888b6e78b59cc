package reflex_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/authcore/mailgun"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

const alice = "alice@example.com"

type fields map[string]any

func house(t testing.TB, options reflex.Options, change func(*apitest.House)) *apitest.House {
	return apitest.New(t, func(h *apitest.House) {
		h.Alone = true
		if change != nil {
			change(h)
		}
	}, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{reflex.New(h.Parts(), options)}
	})
}

// withOther has a second app with a live key.
func withOther(h *apitest.House) { h.Alone = false }

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
		h := house(t, reflex.Options{}, func(h *apitest.House) { h.Config.Senders = []outbox.Sender{sender} })
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
