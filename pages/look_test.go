package pages

import (
	"bytes"
	"encoding/json"
	"image"
	"image/jpeg"
	"image/png"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

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

func TestBuiltinTemplatesAndCatalogs(t *testing.T) {
	l, err := NewLook(Brand{})
	check(t, err)
	check(t, l.tryOut())
	for _, c := range l.languages.all {
		if err := c.check(l.languages.all[0]); err != nil {
			t.Error(err)
		}
	}
	if n := len(l.languages.all); n < 12 || l.languages.all[0].lang() != "en" {
		t.Errorf("%d languages, the first is %s", n, l.languages.all[0].lang())
	}
}

func TestBrandThatIsWrong(t *testing.T) {
	english, err := builtinCatalogs.ReadFile("locales/en.json")
	check(t, err)
	catalog := func(change func(map[string]any)) string {
		all := map[string]any{}
		check(t, json.Unmarshal(english, &all))
		change(all)
		b, err := json.Marshal(all)
		check(t, err)
		return string(b)
	}
	svg := func(inside string) string {
		return file(t, "l.svg", `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">`+inside+`</svg>`)
	}
	for name, c := range map[string]struct {
		brand Brand
		says  []string
	}{
		"name":             {Brand{Name: "a\nb"}, []string{"name", "control character"}},
		"long name":        {Brand{Name: strings.Repeat("a", 61)}, []string{"name", "60"}},
		"support":          {Brand{Support: "help"}, []string{"support", `"help"`, "name@example.com"}},
		"accent, no color": {Brand{Accent: "blue"}, []string{"accent", `"#1d4ed8"`, `"blue"`}},
		"accent, short":    {Brand{Accent: "#12345"}, []string{"accent"}},
		"accent, sign":     {Brand{Accent: "#+1234a"}, []string{"accent"}},
		"accent, pale":     {Brand{Accent: "#ffd400"}, []string{"accent", "#ffd400", "contrast of 1.", "4.5", "can be read"}},
		"logo, none":       {Brand{Logo: "/nowhere/l.png"}, []string{"logo", "/nowhere/l.png", "no such file"}},
		"logo, big":        {Brand{Logo: file(t, "big.png", strings.Repeat("x", 50<<20))}, []string{"logo", "big.png", "51200 KiB", "256 KiB"}},
		"logo, text":       {Brand{Logo: file(t, "l.png", "hello")}, []string{"logo", "no PNG, JPEG, WebP or SVG"}},
		"logo, script":     {Brand{Logo: svg("<script>alert(1)</script>")}, []string{"logo", "l.svg", "<script>"}},
		"logo, event":      {Brand{Logo: svg(`<path onload="alert(1)"/>`)}, []string{"onload"}},
		"logo, html":       {Brand{Logo: svg(`<foreignObject/>`)}, []string{"<foreignObject>"}},
		"logo, link":       {Brand{Logo: svg(`<use xlink:href="https://evil.test/x"/>`)}, []string{"elsewhere"}},
		"logo, animation":  {Brand{Logo: svg(`<animate attributeName="href"/>`)}, []string{"<animate>"}},
		"logo, style":      {Brand{Logo: svg(`<style>@import "x"</style>`)}, []string{"elsewhere"}},
		"logo, url":        {Brand{Logo: svg(`<rect fill="url(https://evil.test)"/>`)}, []string{"elsewhere"}},
		"logo, entity":     {Brand{Logo: file(t, "l.svg", `<!DOCTYPE svg [<!ENTITY a "b">]><svg/>`)}, []string{"DOCTYPE"}},
		"logo, sheet":      {Brand{Logo: file(t, "l.svg", `<?xml-stylesheet href="x"?><svg/>`)}, []string{"xml-stylesheet"}},
		"logo, broken":     {Brand{Logo: file(t, "l.svg", `<svg><path></svg>`)}, []string{"broken"}},
		"pages, none":      {Brand{Pages: "/nowhere"}, []string{"pages /nowhere", "no such directory", "pages export"}},
		"pages, a file":    {Brand{Pages: file(t, "login.html", "x")}, []string{"no such directory"}},
		"pages, file":      {Brand{Pages: with(t, "logn.html", "")}, []string{"logn.html", "neither a template nor a catalog", "login.html"}},
		"pages, syntax":    {Brand{Pages: with(t, "login.html", "{{define \"main\"}}\n{{if}}{{end}}")}, []string{"login.html:2", "missing value for if"}},
		"pages, field":     {Brand{Pages: with(t, "login.html", "{{define \"main\"}}\n{{.Emial}}{{end}}")}, []string{"login.html:2", ".Emial", "docs/templates.md"}},
		"pages, deep":      {Brand{Pages: with(t, "login.html", `{{define "main"}}{{if .Detail}}{{with .Email}}{{$.Nope}}{{end}}{{end}}{{end}}`)}, []string{"login.html:1", ".Nope"}},
		"pages, no text":   {Brand{Pages: with(t, "login.html", `{{define "main"}}{{if .Detail}}{{.T "login.nope"}}{{end}}{{end}}`)}, []string{`"login.nope"`}},
		"pages, no main":   {Brand{Pages: with(t, "login.html", `hello`)}, []string{"login", "main"}},
		"pages, mail":      {Brand{Pages: with(t, "mail/sign_in.txt", `{{.Kode}}`)}, []string{"sign_in.txt:1", ".Kode"}},
		"pages, context":   {Brand{Pages: with(t, "login.html", `{{define "main"}}<a href="{{if .Email}}"{{end}}>x</a>{{end}}`)}, []string{"login.html"}},
		"pages, version":   {Brand{Pages: with(t, "login.html", `{{/* gatehouse templates 7 */}}`)}, []string{"login.html", "version 7", "version 1"}},
		"pages, big":       {Brand{Pages: with(t, "style.css", strings.Repeat("x", 257<<10))}, []string{"style.css", "256 KiB"}},
		"catalog, key":     {Brand{Pages: with(t, "locales/de.json", catalog(func(c map[string]any) { delete(c, "login.title") }))}, []string{"locales/de.json", `missing key "login.title"`}},
		"catalog, extra":   {Brand{Pages: with(t, "locales/de.json", catalog(func(c map[string]any) { c["login.titel"] = "x" }))}, []string{"locales/de.json", `unknown key "login.titel"`}},
		"catalog, empty":   {Brand{Pages: with(t, "locales/de.json", catalog(func(c map[string]any) { c["login.title"] = " " }))}, []string{`"login.title" has no text`}},
		"catalog, value":   {Brand{Pages: with(t, "locales/de.json", catalog(func(c map[string]any) { c["code.resent"] = "Sent" }))}, []string{`"code.resent" must show {address}`}},
		"catalog, typo":    {Brand{Pages: with(t, "locales/de.json", catalog(func(c map[string]any) { c["code.resent"] = "{adresse} {address}" }))}, []string{"{adresse}"}},
		"catalog, plural":  {Brand{Pages: with(t, "locales/pl.json", string(english))}, []string{"locales/pl.json", `"few"`}},
		"catalog, JSON":    {Brand{Pages: with(t, "locales/de.json", "{")}, []string{"locales/de.json", "not a catalog"}},
		"catalog, name":    {Brand{Pages: with(t, "locales/PT_br.json", "{}")}, []string{"PT_br.json", "BCP 47"}},
		"catalog, array":   {Brand{Pages: with(t, "locales/de.json", `{"login.title": ["x"]}`)}, []string{"locales/de.json", "plural forms"}},
	} {
		_, err := NewLook(c.brand)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range append(c.says, "brand: ") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not say %q: %v", name, want, err)
			}
		}
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
		look, err := NewLook(Brand{Name: "Ácme <Wiki>", Logo: file(t, "logo", content), Accent: "#b3261e", Support: "help@example.com"})
		check(t, err)
		h := newHouse(t, func(_ *authcore.Config, c *Config) { c.Look = look })
		b := h.browser()
		b.get("/_gatehouse/login")
		b.wants(200, `alt="Ácme &lt;Wiki&gt;"`, look.logoPath, "mailto:help@example.com", ":root{--a:#b3261e}")
		if policy := b.last.Header.Get("Content-Security-Policy"); !strings.Contains(policy, look.logoPath) {
			t.Errorf("the policy does not admit the logo: %s", policy)
		}
		b.get(look.logoPath)
		b.wants(200)
		if got := b.last.Header.Get("Content-Type"); got != contentType || b.body != content {
			t.Errorf("the logo comes as %s, want %s", got, contentType)
		}
		if policy := b.last.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "sandbox") {
			t.Errorf("a logo opened by itself may run: %s", policy)
		}
	}
}

func TestAccentsCanBeRead(t *testing.T) {
	for _, s := range []string{"#000000", "#1d4ed8", "#b3261e", "#00f", "#006400", "#767600"} {
		light, dark, err := accents(s)
		if err != nil {
			continue
		}
		if light.worst(lightBackgrounds) < minContrast || dark.worst(darkBackgrounds) < minContrast {
			t.Errorf("%s: light %s, dark %s", s, light, dark)
		}
	}
	if _, _, err := accents("#ffd400"); err != nil {
		near := err.Error()[strings.LastIndex(err.Error(), ": #")+2:][:7]
		if _, _, err := accents(near); err != nil {
			t.Errorf("the colour that the error proposes is wrong too: %v", err)
		}
	}
}

func TestOwnTemplatesAndCatalogs(t *testing.T) {
	dir := with(t, "login.html", `{{/* gatehouse templates 1 */}}{{define "main"}}<p>Hello {{.Site}}</p>{{end}}`)
	english, err := builtinCatalogs.ReadFile("locales/en.json")
	check(t, err)
	check(t, os.Mkdir(filepath.Join(dir, "locales"), 0o700))
	pirate := strings.ReplaceAll(string(english), "Check your email", "Look to yer bottle post")
	check(t, os.WriteFile(filepath.Join(dir, "locales", "sv.json"), []byte(pirate), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "README.md"), nil, 0o600))
	look, err := NewLook(Brand{Pages: dir})
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

// TestExport writes what comes with Gatehouse and uses it: it must make no
// difference.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	check(t, Export(dir))
	own, err := NewLook(Brand{Pages: dir})
	check(t, err)
	builtin, err := NewLook(Brand{})
	check(t, err)
	for i, v := range own.Samples("ar") {
		var a, b strings.Builder
		check(t, own.render(&a, v))
		check(t, builtin.render(&b, builtin.Samples("ar")[i]))
		if a.String() != b.String() {
			t.Fatalf("%s %s differs", v.Screen, v.State)
		}
	}
	if err := Export(dir); err == nil || !strings.Contains(err.Error(), "would be overwritten") {
		t.Errorf("a second export: %v", err)
	}
}

func TestPreview(t *testing.T) {
	get := func(b Brand, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		Preview(b).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost:8080"+path, nil))
		return w
	}
	list := get(Brand{}, "/")
	for _, want := range []string{"login malformed", "problem not_allowed", "mail new_device", "/page/0?lang=zh-Hans&amp;scheme=dark"} {
		if !strings.Contains(strings.ReplaceAll(list.Body.String(), "&scheme", "&amp;scheme"), want) {
			t.Errorf("the list lacks %q", want)
		}
	}
	dark := get(Brand{}, "/page/0?lang=ar&scheme=dark")
	if dark.Code != 200 || !strings.Contains(dark.Body.String(), `dir="rtl"`) || !strings.Contains(dark.Body.String(), "@media all") {
		t.Errorf("the dark page: %d", dark.Code)
	}
	mail := get(Brand{}, "/mail/0?lang=de&part=text")
	if !strings.Contains(mail.Body.String(), "Subject: 482913 ist Ihr Code") {
		t.Errorf("the mail:\n%s", mail.Body)
	}
	for _, path := range []string{"/page/-1", "/page/999", "/mail/x", "/_gatehouse/login"} {
		if w := get(Brand{}, path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := get(Brand{Accent: "blue"}, "/"); w.Code != 500 || !strings.Contains(w.Body.String(), "accent") {
		t.Errorf("a wrong brand: %d %s", w.Code, w.Body)
	}
}

func BenchmarkNewLook(b *testing.B) {
	for b.Loop() {
		if _, err := NewLook(Brand{}); err != nil {
			b.Fatal(err)
		}
	}
}
