package screen

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

// check compares the catalog with the English one, which has every key; what is
// left out is not wrong. All that is wrong is told at once.
func (c *Catalog) check(english *Catalog) error {
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(english.texts)) {
		problem := c.checkText(english, key)
		if problem == "" && c.has(key) {
			problem = c.checkCarried(key)
		}
		if problem != "" {
			wrong = append(wrong, problem)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.texts)) {
		if _, known := english.texts[key]; !known {
			wrong = append(wrong, fmt.Sprintf("unknown key %q", key))
		}
	}
	if strings.TrimSpace(c.name()) == "" {
		wrong = append(wrong, fmt.Sprintf("missing key %q: what the language is called, in itself", keyName))
	}
	if d := c.direction(); d != "ltr" && d != "rtl" {
		wrong = append(wrong, keyDirection+" is neither ltr nor rtl")
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s: %s", c.file, strings.Join(wrong, "; "))
	}
	return nil
}

// describe takes what says something of the language from the catalog that comes with
// Gatehouse for it, if there is one.
func (c *Catalog) describe(builtin map[string]*Catalog) {
	if same := builtin[c.Lang()]; same != nil {
		c.take(same, keyName, keyDirection)
	}
}

// complete takes the texts that are left out from the catalog that comes with
// Gatehouse: of the language, else of the one that it is a variant of, else English.
func (c *Catalog) complete(builtin map[string]*Catalog) {
	from := builtin["en"]
	for tag := c.tag; tag != language.Und; tag = tag.Parent() {
		if near := builtin[tag.String()]; near != nil {
			from = near
			break
		}
	}
	c.take(from, slices.Collect(maps.Keys(from.texts))...)
}

func (c *Catalog) take(from *Catalog, keys ...string) {
	for _, key := range keys {
		if !c.has(key) {
			c.texts[key] = from.texts[key]
		}
	}
}

func (c *Catalog) checkText(english *Catalog, key string) string {
	text, ok := c.texts[key]
	if !ok {
		return ""
	}
	want := []string{"other"}
	if english.texts[key].plural() {
		want = c.pluralForms()
	}
	values := placeholders(english.texts[key])
	for _, form := range want {
		if t, _ := text.in(form); strings.TrimSpace(t) == "" {
			return fmt.Sprintf("key %q has no text for %q", key, form)
		}
	}
	for form, t := range text.all() {
		if !slices.Contains(want, form) {
			return fmt.Sprintf("key %q has a form %q that the language does not use; it uses %s", key, form, strings.Join(want, ", "))
		}
		for _, name := range placeholders(forms{text: t}) {
			if !slices.Contains(values, name) {
				return fmt.Sprintf("key %q has {%s}, which it can't show; it can show %v", key, name, values)
			}
		}
	}
	// "one" may say "a minute" instead of "1 minute"; other values must be said.
	for _, name := range values {
		if name != "n" && !slices.Contains(placeholders(text), name) {
			return fmt.Sprintf("key %q must show {%s}", key, name)
		}
	}
	return ""
}

// subjects are the texts that head a mail, and messages those that are one.
var (
	subjects = []string{
		"mail.subject", "mail.subject_quiet", "mail.subject_link", "mail.new.subject", "mail.admitted.subject",
		"app.title", "app.code.subject", "app.invite.subject", "app.invite.subject_into", "app.plain.subject",
	}
	messages = []string{"app.text.code", "app.text.link"}
)

// maxMessage bounds a text message in characters: Twilio takes no more.
const maxMessage = 1600

// checkCarried says why a text can't go out as the subject of a mail or as a text
// message, by the rule that mails are built by, where its values are the longest.
func (c *Catalog) checkCarried(key string) string {
	filled := c.say(key, 0, func(name string) string { return strings.Repeat("x", longest(key, name)) })
	var problem error
	switch {
	case slices.Contains(subjects, key):
		problem = rfc5322.CheckPhrase("subject", filled)
	case !slices.Contains(messages, key):
	case utf8.RuneCountInString(filled) > maxMessage:
		problem = fmt.Errorf("the text message is longer than %d characters", maxMessage)
	default:
		problem = rfc5322.CheckPhrase("text message", strings.ReplaceAll(c.text(key, 0), "\n", " "))
	}
	if problem == nil {
		return ""
	}
	return fmt.Sprintf("key %q: %v, with the longest values that it can show: write one short line", key, problem)
}

// longest is how many bytes stand at most in the place of {name}.
func longest(key, name string) int {
	const title, host, code, link = utf8.UTFMax * MaxTitle, 253 + len(":65535"), 10, 1000
	switch isApp := strings.HasPrefix(key, "app."); {
	case name == "code":
		return code
	case name == "link":
		return link
	case name == "site" && !isApp:
		return title + len(" ()") + host
	}
	return title
}

// pluralForms lists the forms that whole numbers from 1 to 90 take: nothing we
// count goes beyond.
func (c *Catalog) pluralForms() []string {
	seen := map[string]bool{}
	for n := 1; n <= 90; n++ {
		seen[c.formOf(n)] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func placeholders(f forms) []string {
	var names []string
	for _, text := range f.all() {
		fill(text, func(name string) string {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
			return ""
		})
	}
	slices.Sort(names)
	return names
}
