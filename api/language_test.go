package api_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
)

// Mails, texts and pages of apps come in the language that the call, or the
// visitor's browser, names in Accept-Language.
func TestAppsSpeakTheLanguageAskedFor(t *testing.T) {
	const server = "Bearer " + apitest.LiveKey
	asks := map[string]struct {
		path  string
		body  object
		words map[string]string // in the subject or the text, by Accept-Language
	}{
		"Streambird link": {"/v1/auth/magic_links/email/login_or_create", object{"email": "a@example.com"},
			map[string]string{"de-CH, de;q=0.9, en;q=0.8": "Bei Shop anmelden", "ja": "Shop にログイン", "": "Sign in to Shop", "*": "Sign in to Shop", "tlh": "Sign in to Shop"}},
		"Streambird code": {"/v1/auth/otps/email/login_or_create", object{"email": "b@example.com"},
			map[string]string{"fr": "votre code", "en-US": "your Shop code"}},
		"Streambird text": {"/v1/auth/otps/sms/login_or_create", object{"phone_number": "+14155550123"},
			map[string]string{"es": "es tu código para Shop", "en": "is your Shop code"}},
		"Streambird invitation": {"/v1/auth/magic_links/email/invite", object{"email": "c@example.com"},
			map[string]string{"nl": "Je bent uitgenodigd voor Shop"}},
		"StackBE link": {"/auth/magic-link", object{"email": "d@example.com"},
			map[string]string{"ar": "تسجيل الدخول إلى Shop"}},
		"reflex": {"/reflex/otp", object{"email": "e@example.com", "deliver": "email"},
			map[string]string{"it": "Il tuo link per accedere", "en": "Magic Login Link"}},
	}
	for name, ask := range asks {
		for accept, want := range ask.words {
			w := newRightsHouse(t, true)
			w.Sleep(time.Minute)
			texts := len(w.Texts.Sent())
			headers := []string{"Authorization", server}
			if accept != "" {
				headers = append(headers, "Accept-Language", accept)
			}
			if a := w.Do("POST", ask.path, ask.body, headers...); a.Status != 200 {
				t.Fatalf("%s: %d %s", name, a.Status, a.Text)
			}
			w.Quiet()
			m := w.LastMail()
			said := m.Subject
			if sent := w.Texts.Sent(); len(sent) > texts {
				said = sent[len(sent)-1].Body
			}
			if !strings.Contains(said, want) {
				t.Errorf("%s in %q: %q, want %q", name, accept, said, want)
			}
			if strings.Contains(m.HTML, `dir="rtl"`) != (accept == "ar") {
				t.Errorf("%s in %q: its direction is wrong", name, accept)
			}
		}
	}
}

func TestPagesOfAppsSpeakTheVisitorsLanguage(t *testing.T) {
	w := newRightsHouse(t, true)
	show := func(path, accept string) apitest.Answer {
		return w.Do("GET", path, nil, "Accept-Language", accept, "User-Agent", "Mozilla/5.0 Firefox/150.0", "Accept", "text/html")
	}
	w.Sleep(time.Minute)
	w.ask("POST", "/auth/magic-link", object{"email": "d@example.com"})
	button, err := url.Parse(w.LastMail().Link)
	if err != nil {
		t.Fatal(err)
	}
	password, err := url.Parse(w.ask("POST", "/reflex/otp", object{"email": "e@example.com"}).String("magic_link"))
	if err != nil {
		t.Fatal(err)
	}
	for path, words := range map[string]map[string]string{
		button.RequestURI():                                     {"de": "Bei Shop anmelden", "he": "כניסה אל Shop", "en": "Sign in to Shop", "": "Sign in to Shop"},
		"/v1/apps/shop/auth/verify?token=stop-x":                {"ar": `dir="rtl"`, "pl": "Zatrzymaj te e-maile"},
		"/v1/apps/shop/auth/verify?token=nobodys":               {"zh-CN": "该链接无法使用", "en": "does not work"},
		"/v1/apps/shop/auth/verify?token=nobodys&ui_locales=fr": {"de": "Ce lien ne fonctionne pas"},
		"/v1/auth/magic_links/hosted/shop?token=nobodys":        {"pt": "Este link não funciona"},
		password.RequestURI():                                   {"ja": "としてログインしようとしています"},
		"/magic-link-auth":                                      {"de": "Anmeldung fehlgeschlagen!", "en": "Login failed!"},
	} {
		for accept, want := range words {
			a := show(path, accept)
			policy := a.Header.Get("Content-Security-Policy")
			if !strings.Contains(a.Text, want) || a.Header.Get("Content-Language") == "" || strings.Contains(a.Text, "<script") ||
				strings.Contains(policy, "script-src") || !strings.Contains(policy, "default-src 'none'") {
				t.Errorf("%s in %q: want %q, got %v\n%s", path, accept, want, a.Header, a.Text)
			}
		}
	}
}
