package screen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// catalog is one language: a file of texts by key. A text is a string, or, if
// it depends on a number, one string for each plural form of the language, by
// the names of CLDR. {name} in a text stands for a value; emphasis and the
// direction of addresses are added to the value, so texts hold no HTML.
type Catalog struct {
	tag   language.Tag
	file  string // where it came from, for errors
	texts map[string]forms
}

// forms is a text, or one by plural form if it depends on a number.
type forms struct {
	text   string
	byForm map[string]string // nil if it does not
}

// in returns the text of a plural form.
func (f forms) in(form string) (text string, ok bool) {
	if f.byForm == nil {
		return f.text, form == "other"
	}
	text, ok = f.byForm[form]
	return text, ok
}

// all are the texts by plural form.
func (f forms) all() map[string]string {
	if f.byForm == nil {
		return map[string]string{"other": f.text}
	}
	return f.byForm
}

// The keys that say something of the language itself.
const (
	keyName      = "_name"      // its name in itself, for the list of languages
	keyDirection = "_direction" // ltr or rtl
)

// readForms reads a string or an object of plural forms.
func readForms(value any) (f forms, ok bool) {
	if text, ok := value.(string); ok {
		return forms{text: text}, true
	}
	object, ok := value.(map[string]any)
	if !ok {
		return f, false
	}
	f.byForm = map[string]string{}
	for form, value := range object {
		if f.byForm[form], ok = value.(string); !ok {
			return f, false
		}
	}
	if other := f.byForm["other"]; other != "" && len(f.byForm) == 1 {
		return forms{text: other}, true
	}
	return f, true
}

// parseCatalog reads a catalog. Its name, as in pt-BR.json, is its language.
func parseCatalog(file string, data []byte) (*Catalog, error) {
	name := strings.TrimSuffix(file[strings.LastIndexByte(file, '/')+1:], ".json")
	tag, err := language.Parse(name)
	if err != nil || tag.String() != name {
		return nil, fmt.Errorf("%s: the name of a catalog is a language as BCP 47 writes it, as in en.json, pt-BR.json or zh-Hans.json", file)
	}
	var texts map[string]any
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // written by some editors on Windows
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, fmt.Errorf("%s: not a catalog (one JSON object of texts by key): %w", file, err)
	}
	c := &Catalog{tag: tag, file: file, texts: make(map[string]forms, len(texts))}
	for key, value := range texts {
		var ok bool
		if c.texts[key], ok = readForms(value); !ok {
			return nil, fmt.Errorf(`%s: key %q: a text is a string, or plural forms like {"one": "…", "other": "…"}`, file, key)
		}
	}
	return c, nil
}

func (f forms) plural() bool { return f.byForm != nil }

var formNames = map[plural.Form]string{
	plural.Other: "other", plural.Zero: "zero", plural.One: "one",
	plural.Two: "two", plural.Few: "few", plural.Many: "many",
}

func (c *Catalog) formOf(n int) string {
	return formNames[plural.Cardinal.MatchPlural(c.tag, n, 0, 0, 0, 0)]
}

// values tells what stands in the place of a name, nil for none.
type values func(name string) string

// given are values in pairs: a name, and what stands in its place.
func given(pairs ...string) values {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// say returns a text with its values in place, for a number if it depends on
// one.
func (c *Catalog) say(key string, n int, v values) string {
	return fill(c.text(key, n), func(name string) string {
		if name == "n" {
			return strconv.Itoa(n)
		}
		return v(name)
	})
}

// sayHTML is say for a page: everything is escaped, and what has a direction of
// its own keeps it in a right-to-left text.
func (c *Catalog) sayHTML(key string, n int, v values) template.HTML {
	text := html.EscapeString(c.text(key, n))
	return template.HTML(fill(text, func(name string) string {
		if name == "n" {
			return strconv.Itoa(n)
		}
		value := html.EscapeString(v(name))
		switch name {
		case "address", "session":
			return `<b><bdi dir="ltr">` + breakable(value) + `</bdi></b>`
		case "time":
			return `<bdi dir="ltr" class="nb">` + value + `</bdi>`
		case "host", "network", "reference", "support", "part":
			return `<bdi dir="ltr">` + value + `</bdi>`
		case "agent":
			// It begins with a name in Latin letters, and its words are the text's.
			return `<bdi dir="` + c.direction() + `">` + value + `</bdi>`
		case "site":
			return `<bdi>` + value + `</bdi>`
		}
		return value
	}))
}

// A line of a narrow phone has room for an address of so many letters.
const narrow = 24

// breakable lets an address that does not fit into a line break before its @,
// rather than anywhere. A shorter one goes to the next line as a whole.
func breakable(address string) string {
	if len(address) < narrow {
		return address
	}
	return strings.Replace(address, "@", "<wbr>@", 1)
}

// fill puts values in the place of all {names}.
func fill(text string, value func(name string) string) string {
	before, rest, found := strings.Cut(text, "{")
	if !found {
		return text
	}
	var b strings.Builder
	for b.WriteString(before); found; {
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString("{" + rest)
			break
		}
		b.WriteString(value(name))
		before, rest, found = strings.Cut(after, "{")
		b.WriteString(before)
	}
	return b.String()
}

func (c *Catalog) text(key string, n int) string {
	f := c.texts[key]
	if !f.plural() {
		return f.text
	}
	if text, ok := f.in(c.formOf(n)); ok {
		return text
	}
	return f.byForm["other"]
}

func (c *Catalog) has(key string) bool {
	_, ok := c.texts[key]
	return ok
}

func (c *Catalog) name() string { return c.texts[keyName].text }

// Lang is the language, as BCP 47 has it.
func (c *Catalog) Lang() string      { return c.tag.String() }
func (c *Catalog) direction() string { return c.texts[keyDirection].text }

// when tells how long from now, as in "in 12 minutes", never too short.
func (c *Catalog) When(d time.Duration) string {
	switch seconds := max(WholeSeconds(d), 1); {
	case seconds < 60:
		return c.say("when.seconds", seconds, nil)
	case seconds <= 60*60:
		return c.say("when.minutes", (seconds+59)/60, nil)
	default:
		return c.say("when.hours", min((seconds+3599)/3600, 90), nil)
	}
}

// lasts tells how long something lives, as in "2 hours", never too long: in the
// largest unit that leaves nothing over, and in no number that has more than 90,
// beyond which a catalog need not have a plural form.
func (c *Catalog) lasts(d time.Duration) string {
	n, key := max(int(d/time.Second), 1), "lasts.seconds"
	for _, larger := range []struct {
		of  int
		key string
	}{{60, "lasts.minutes"}, {60, "lasts.hours"}, {24, "lasts.days"}} {
		if n%larger.of != 0 && n <= 90 {
			break
		}
		n, key = n/larger.of, larger.key
	}
	return c.say(key, min(n, 90), nil)
}

// WholeMinutes rounds down, but not to none: a lifetime is never promised
// longer than it is.
func WholeMinutes(d time.Duration) int { return max(int(d/time.Minute), 1) }

// WholeSeconds rounds up, so that trying again then is not too early.
func WholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// utc writes a time the same way in every language.
func UTC(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 ") + "UTC"
}
