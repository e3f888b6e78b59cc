package pages

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

func TestLanguageGoesAlong(t *testing.T) {
	b := newHouse(t).browser()
	b.get("/_gatehouse/login?ui_locales=ar&return_to=/x")
	b.wants(200, `<html lang="ar" dir="rtl">`, `name="ui_locales" value="ar"`, `hreflang="pl"`, `?return_to=%2Fx&amp;ui_locales=de"`)
	if got := b.last.Header.Get("Content-Language"); got != "ar" {
		t.Errorf("Content-Language is %q", got)
	}
	m := b.start("alice@example.com", "ui_locales", "ar")
	if m.Language != "ar" || !strings.Contains(m.HTML, `dir="rtl"`) {
		t.Errorf("the mail is in %s", m.Language)
	}
	b.get("/_gatehouse/code")
	b.wants(200, `lang="ar"`)
	b.get(linkPath(m))
	b.wants(200, `lang="ar"`)
	b.post("/_gatehouse/code", "code", "1")
	b.wants(422, `lang="ar"`, "خطأ")
}

// TestSwitcherKeepsWhatThePageKnows: another language is the same page.
func TestSwitcherKeepsWhatThePageKnows(t *testing.T) {
	b := newHouse(t).browser()
	b.get("/_gatehouse/login?return_to=/x%3Fa%3D1%26b&login_hint=bob%40example.com&max_age=60&other=1")
	b.wants(200, `/_gatehouse/login?login_hint=bob%40example.com&amp;max_age=60&amp;return_to=%2Fx%3Fa%3D1%26b&amp;ui_locales=de" lang="de" hreflang="de">Deutsch<`)
	if strings.Contains(b.body, "other=1") {
		t.Error("the links carry on what is not theirs")
	}
}

func TestBrandThatIsRight(t *testing.T) {
	logos := map[string]string{
		"image/png":  picture1(t, func(b *bytes.Buffer, i image.Image) error { return png.Encode(b, i) }),
		"image/jpeg": picture1(t, func(b *bytes.Buffer, i image.Image) error { return jpeg.Encode(b, i, nil) }),
		"image/webp": "RIFF\x24\x00\x00\x00WEBPVP8 " + strings.Repeat("\x00", 20),
		"image/svg+xml": `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>x</title>
			<defs><linearGradient id="a"><stop offset="0"/></linearGradient></defs><path fill="url(#a)" d="M0 0h9v9z"/></svg>`,
	}
	for contentType, content := range logos {
		look, err := screen.NewLook(screen.Brand{Name: "Ácme <Wiki>", Logo: file(t, "logo", content), Accent: "#b3261e", Support: "help@example.com"})
		check(t, err)
		h := newHouse(t, func(_ *authcore.Config, c *Config) { c.Look = look })
		b := h.browser()
		b.get("/_gatehouse/login")
		b.wants(200, `alt="Ácme &lt;Wiki&gt;"`, "/_gatehouse/logo-", "mailto:help@example.com", ":root{--a:#b3261e}")
		logo := regexp.MustCompile(`/_gatehouse/logo-[0-9a-f]+\.[a-z]+`).FindString(b.body)
		if policy := b.last.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "img-src data: "+b.h.origin.String()+"/_gatehouse/;") {
			t.Errorf("the policy does not admit the logo: %s", policy)
		}
		b.get(logo)
		b.wants(200)
		if got := b.last.Header.Get("Content-Type"); got != contentType || b.body != content {
			t.Errorf("the logo comes as %s, want %s", got, contentType)
		}
		if policy := b.last.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "sandbox") {
			t.Errorf("a logo opened by itself may run: %s", policy)
		}
	}
}

func TestOwnTemplatesAndCatalogs(t *testing.T) {
	dir := with(t, "login.html", `{{/* gatehouse templates 1 */}}{{define "main"}}<p>Hello {{.Site}}</p>{{end}}`)
	english, err := os.ReadFile("screen/locales/en.json")
	check(t, err)
	check(t, os.Mkdir(filepath.Join(dir, "locales"), 0o700))
	pirate := strings.ReplaceAll(string(english), "Check your email", "Look to yer bottle post")
	check(t, os.WriteFile(filepath.Join(dir, "locales", "sv.json"), []byte(pirate), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "README.md"), nil, 0o600))
	look, err := screen.NewLook(screen.Brand{Pages: dir})
	check(t, err)
	h := newHouse(t, func(_ *authcore.Config, c *Config) { c.Look = look })
	b := h.browser()
	b.get("/_gatehouse/login")
	b.wants(200, "<p>Hello app.example.com</p>")
	b.headers.Set("Accept-Language", "sv")
	b.start("alice@example.com")
	b.get("/_gatehouse/code")
	b.wants(200, "Look to yer bottle post", `lang="sv"`)
}

func TestPreview(t *testing.T) {
	get := func(b screen.Brand, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		Preview(b).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost:8080"+path, nil))
		return w
	}
	list := get(screen.Brand{}, "/")
	for _, want := range []string{"login malformed", "problem not_allowed", "mail new_device", "/page/0?lang=zh-Hans&amp;scheme=dark"} {
		if !strings.Contains(strings.ReplaceAll(list.Body.String(), "&scheme", "&amp;scheme"), want) {
			t.Errorf("the list lacks %q", want)
		}
	}
	dark := get(screen.Brand{}, "/page/0?lang=ar&scheme=dark")
	if dark.Code != 200 || !strings.Contains(dark.Body.String(), `dir="rtl"`) || !strings.Contains(dark.Body.String(), "@media all") {
		t.Errorf("the dark page: %d", dark.Code)
	}
	mail := get(screen.Brand{}, "/mail/0?lang=de&part=text")
	if !strings.Contains(mail.Body.String(), "Subject: 482913 ist Ihr Code") {
		t.Errorf("the mail:\n%s", mail.Body)
	}
	for _, path := range []string{"/page/-1", "/page/999", "/mail/x", "/_gatehouse/login"} {
		if w := get(screen.Brand{}, path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := get(screen.Brand{Accent: "blue"}, "/"); w.Code != 500 || !strings.Contains(w.Body.String(), "accent") {
		t.Errorf("a wrong brand: %d %s", w.Code, w.Body)
	}
}

// file writes a file into a directory of the test and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.FromSlash(name))
	check(t, os.MkdirAll(filepath.Dir(path), 0o700))
	check(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// with is a pages directory with one file in it.
func with(t *testing.T, name, content string) string {
	t.Helper()
	return strings.TrimSuffix(file(t, name, content), filepath.FromSlash("/"+name))
}
func picture1(t *testing.T, encode func(*bytes.Buffer, image.Image) error) string {
	t.Helper()
	var b bytes.Buffer
	check(t, encode(&b, image.NewRGBA(image.Rect(0, 0, 4, 4))))
	return b.String()
}
