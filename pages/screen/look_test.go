package screen

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
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

func TestBuiltinTemplatesAndCatalogs(t *testing.T) {
	l, err := NewLook(Brand{})
	check(t, err)
	check(t, l.tryOut())
	for _, c := range l.languages.all {
		if err := c.check(l.languages.all[0]); err != nil {
			t.Error(err)
		}
		for key := range l.languages.all[0].texts {
			if !c.has(key) { // a catalog of somebody's own may leave it out
				t.Errorf("%s: missing key %q", c.file, key)
			}
		}
	}
	if n := len(l.languages.all); n < 12 || l.languages.all[0].Lang() != "en" {
		t.Errorf("%d languages, the first is %s", n, l.languages.all[0].Lang())
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
		"logo, big":        {Brand{Logo: file(t, "big.png", strings.Repeat("x", 50<<20))}, []string{"logo", "big.png", "more than 256 KiB"}},
		"logo, pipe":       {Brand{Logo: pipe(t, t.TempDir(), "l.png")}, []string{"logo", "l.png", "not a regular file"}},
		"pages, pipe":      {Brand{Pages: filepath.Dir(pipe(t, t.TempDir(), "login.html"))}, []string{"login.html", "not a regular file"}},
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
		"catalog, unnamed": {Brand{Pages: with(t, "locales/eo.json", `{"login.title": "Ensaluti", "_direction": "ltr"}`)}, []string{"locales/eo.json", `missing key "_name"`}},
		"catalog, aimless": {Brand{Pages: with(t, "locales/eo.json", `{"login.title": "Ensaluti", "_name": "Esperanto"}`)}, []string{"locales/eo.json", "_direction is neither ltr nor rtl"}},
		"catalog, extra":   {Brand{Pages: with(t, "locales/de.json", catalog(func(c map[string]any) { c["login.titel"] = "x" }))}, []string{"locales/de.json", `unknown key "login.titel"`}},
		"catalog, empty":   {Brand{Pages: with(t, "locales/de.json", catalog(func(c map[string]any) { c["login.title"] = " " }))}, []string{`"login.title" has no text`}},
		"catalog, value":   {Brand{Pages: with(t, "locales/de.json", catalog(func(c map[string]any) { c["code.resent"] = "Sent" }))}, []string{`"code.resent" must show {address}`}},
		"catalog, typo":    {Brand{Pages: with(t, "locales/de.json", catalog(func(c map[string]any) { c["code.resent"] = "{adresse} {address}" }))}, []string{"{adresse}"}},
		"catalog, plural":  {Brand{Pages: with(t, "locales/pl.json", string(english))}, []string{"locales/pl.json", `"few"`}},
		"catalog, JSON":    {Brand{Pages: with(t, "locales/de.json", "{")}, []string{"locales/de.json", "not a catalog"}},
		"catalog, name":    {Brand{Pages: with(t, "locales/PT_br.json", "{}")}, []string{"PT_br.json", "BCP 47"}},
		"subject, lines":   {Brand{Pages: with(t, "locales/de.json", `{"mail.subject": "{code} {site}\r\nBcc: x@evil.test"}`)}, []string{"locales/de.json", `key "mail.subject": the subject holds a line break`, "write one short line"}},
		"subject, U+2028":  {Brand{Pages: with(t, "locales/fr.json", `{"mail.new.subject": "\u2028{site}"}`)}, []string{"locales/fr.json", `"mail.new.subject"`, "control character"}},
		"subject, NEL":     {Brand{Pages: with(t, "locales/fr.json", `{"app.plain.subject": "Link\u0085"}`)}, []string{`"app.plain.subject"`, "control character"}},
		"subject, long":    {Brand{Pages: with(t, "locales/en.json", `{"app.title": "`+strings.Repeat("x", 560)+` {site}"}`)}, []string{"locales/en.json", `"app.title"`, "longer than 800 bytes"}},
		"subject, often":   {Brand{Pages: with(t, "locales/en.json", `{"mail.subject_quiet": "{site} {site}"}`)}, []string{`"mail.subject_quiet"`, "with the longest values"}},
		"text, bell":       {Brand{Pages: with(t, "locales/en.json", `{"app.text.code": "\u0007 {code} {site} {lasts}"}`)}, []string{`"app.text.code": the text message holds`}},
		"text, long":       {Brand{Pages: with(t, "locales/en.json", `{"app.text.link": "{site} {link} {lasts} `+strings.Repeat("é", 600)+`"}`)}, []string{`"app.text.link"`, "longer than 1600 characters"}},
		"name, paragraphs": {Brand{Name: "a\u2029b"}, []string{"brand: the name holds a line break"}},
		"pages, UTF-16":    {Brand{Pages: with(t, "layout.html", "\xff\xfe<\x00h\x001\x00>\x00")}, []string{"layout.html", "not UTF-8"}},
		"pages, blank":     {Brand{Pages: with(t, "layout.html", " ")}, []string{"layout.html", "leaves the page empty"}},
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

// TestEveryTextIsLookedAt: whatever heads a mail, and each text message, stands in the
// list of what is proved.
func TestEveryTextIsLookedAt(t *testing.T) {
	look, err := PlainLook()
	check(t, err)
	said := map[string]bool{}
	for _, quiet := range []bool{false, true} {
		m := &Mails{cfg: MailConfig{SubjectCode: !quiet}, look: look, now: sampleNow}
		for _, letter := range SampleLetters("en") {
			said[m.view(letter).Subject] = true
		}
	}
	for subject := range said {
		if !slices.ContainsFunc(subjects, func(key string) bool {
			start, _, _ := strings.Cut(look.languages.all[0].say(key, 0, sampleValue), " ")
			return strings.HasPrefix(subject, start)
		}) {
			t.Errorf("%q is proved by nothing", subject)
		}
	}
	for key := range look.languages.all[0].texts {
		if strings.Contains(key, "subject") && !slices.Contains(subjects, key) || strings.HasPrefix(key, "app.text.") && !slices.Contains(messages, key) {
			t.Errorf("%s is not proved", key)
		}
	}
}

func sampleValue(name string) string {
	return map[string]string{"code": "482913", "site": "wiki.example.com", "into": "Acme"}[name]
}

// TestLongestNamesAreCarried: the longest title of a site beside the longest host, and
// the longest names of an app and an organization, in every language.
func TestLongestNamesAreCarried(t *testing.T) {
	look, err := NewLook(Brand{})
	check(t, err)
	long := strings.Repeat("😀", MaxTitle)
	label := strings.Repeat("x", 60) + "."
	at, err := origin.Parse("https://" + label + label + label + label + "example:65535")
	check(t, err)
	look.Sites(func(origin.Origin) Site { return Site{Title: long} })
	m, err := NewMails(MailConfig{Look: look})
	check(t, err)
	for _, lang := range look.Languages() {
		for _, letter := range SampleLetters(lang) {
			if letter.Site, letter.For = at, at; letter.App != "" {
				letter.App, letter.Into = long, long
			}
			message, err := m.Compose(letter)
			check(t, err)
			if message.MessageID = "sample@example.com"; !strings.Contains(message.FromName, "😀") {
				t.Fatalf("from %q", message.FromName)
			}
			if err := rfc5322.Check(message); err != nil {
				t.Errorf("%s, %s: %v", lang, letter.Kind, err)
			}
		}
	}
}

// A catalog of one's own says what it changes. The rest is that of the language, else
// of the one that it is a variant of, else English; numbers keep their forms.
func TestPartialCatalogs(t *testing.T) {
	dir := with(t, "locales/de.json", `{"login.title": "Herein!"}`)
	for name, text := range map[string]string{
		"en.json":    `{"login.title": "Come in"}`,
		"de-AT.json": `{"_name": "Deutsch (Österreich)", "_direction": "ltr", "login.title": "Servus"}`,
		"cs.json":    "\ufeff" + `{"_name": "Čeština", "_direction": "ltr", "login.title": "Přihlášení", "when.minutes": {"one": "za {n} minutu", "few": "za {n} minuty", "other": "za {n} minut"}}`,
	} {
		check(t, os.WriteFile(filepath.Join(dir, "locales", name), []byte(text), 0o600))
	}
	own, err := NewLook(Brand{Pages: dir})
	check(t, err)
	builtin, err := NewLook(Brand{})
	check(t, err)
	for lang, want := range map[string]struct{ title, rest string }{
		"en": {"Come in", "en"}, "de": {"Herein!", "de"}, "de-AT": {"Servus", "de"}, "cs": {"Přihlášení", "en"}, "fr": {"", "fr"},
	} {
		c, like := own.Choose(lang, ""), builtin.Choose(want.rest, "")
		if c.Lang() != lang {
			t.Fatalf("%s is %s", lang, c.Lang())
		}
		if got := c.text("login.title", 0); want.title != "" && got != want.title {
			t.Errorf("%s: the title is %q", lang, got)
		}
		for key := range builtin.languages.all[0].texts {
			switch key {
			case "login.title", "when.minutes", keyName:
				continue
			}
			if got, want := c.text(key, 3), like.text(key, 3); got != want || got == "" {
				t.Errorf("%s: %s is %q, want %q", lang, key, got, want)
			}
		}
	}
	if got := own.Choose("cs", "").When(3 * time.Minute); got != "za 3 minuty" {
		t.Error(got)
	}
	if names := builtin.languages.all[0].texts[keyName]; own.Choose("en", "").name() != names.text {
		t.Error("a partial English has lost its name")
	}
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
		check(t, own.Render(&a, v))
		check(t, builtin.Render(&b, builtin.Samples("ar")[i]))
		if a.String() != b.String() {
			t.Fatalf("%s %s differs", v.Screen, v.State)
		}
	}
	if err := Export(dir); err == nil || !strings.Contains(err.Error(), "would be overwritten") {
		t.Errorf("a second export: %v", err)
	}
}

func BenchmarkNewLook(b *testing.B) {
	for b.Loop() {
		if _, err := NewLook(Brand{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMail is the mail with the code, both parts.
func BenchmarkMail(b *testing.B) {
	mails, err := NewMails(MailConfig{FromAddress: "login@example.com", SubjectCode: true})
	check(b, err)
	letter := SampleLetters("de")[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mails.Compose(letter); err != nil {
			b.Fatal(err)
		}
	}
}

// Every outcome has words, also ones that come later.
func TestEveryOutcomeHasWords(t *testing.T) {
	shown := regexp.MustCompile(`eq \.Outcome "(\w+)"`)
	text, err := builtinTemplates.ReadFile("templates/account.html")
	check(t, err)
	var known []string
	for _, m := range shown.FindAllStringSubmatch(string(text), -1) {
		known = append(known, m[1])
	}
	for outcome, word := range outcomeWords {
		if !strings.Contains(strings.Join(known, " "), word) {
			t.Errorf("%s is shown as %s, for which there is no text", outcome, word)
		}
	}
	l, err := NewLook(Brand{})
	check(t, err)
	if got := l.languages.all[0].Attempts([]challenge.Attempt{{Outcome: "new"}})[0].Outcome; got != "unfinished" {
		t.Error(got)
	}
}

// TestOneFormOfAddress: a language addresses people in one way, in all its texts.
func TestOneFormOfAddress(t *testing.T) {
	l, err := PlainLook()
	check(t, err)
	other := map[string]*regexp.Regexp{
		"de": regexp.MustCompile(`\b(du|dich|dir|dein\w*)\b`),
		"es": regexp.MustCompile(`\b([Uu]sted|Pida|Introduzca|Ha cerrado|[Ss]u (dirección|correo))\b`),
		"fr": regexp.MustCompile(`(^|\PL)([Tt]u|toi|ton|ta)(\PL|$)`),
		"it": regexp.MustCompile(`\b([Ss]uo indirizzo|sua e-mail|chieda|revochi)\b|È uscito`),
		"ja": regexp.MustCompile(`サイン(イン|アウト)`),
		"nl": regexp.MustCompile(`\b[Uu]w?\b`),
	}
	for _, c := range l.languages.all {
		if other[c.Lang()] == nil {
			continue
		}
		for key, text := range c.texts {
			if said := fmt.Sprint(text); other[c.Lang()].MatchString(said) {
				t.Errorf("%s %s: %s", c.Lang(), key, said)
			}
		}
	}
}

// pipe makes a file that can't be read to its end.
func pipe(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
