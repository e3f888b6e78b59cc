package screen

import (
	"html"
	"html/template"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// StartOver asks the sign-in page to say why one is back on it.
const StartOver = "start_over"

// LanguageLink leads to the same page in another language.
type LanguageLink struct {
	Name string // of the language in itself
	Lang string
	URL  string
	Here bool // this is the page's language
}

// switcher leads to the sign-in page in every language. The zero value leads
// nowhere.
type switcher struct {
	all  []*Catalog
	here *Catalog
	kept string // what the addresses keep of the query, to be followed by more
}

// mostKept bounds what the links keep of one parameter, in bytes: there are
// many links, and nothing longer is read.
const mostKept = origin.MaxReturnTo

// switcher keeps what the sign-in page has to know in any language.
func (l *languages) switcher(here *Catalog, query url.Values) switcher {
	s := switcher{all: l.all, here: here}
	for _, name := range []string{"login_hint", "max_age", "return_to", StartOver} {
		if query.Has(name) && len(query.Get(name)) <= mostKept {
			s.kept += name + "=" + url.QueryEscape(query.Get(name)) + "&"
		}
	}
	return s
}

func (s switcher) address(c *Catalog) string {
	return Root + "login?" + s.kept + "ui_locales=" + c.Lang()
}

// Languages are the links of a page that can be had in other languages.
func (v *View) Languages() []LanguageLink {
	var all []LanguageLink
	for _, c := range v.switcher.all {
		all = append(all, LanguageLink{Name: c.name(), Lang: c.Lang(), URL: v.switcher.address(c), Here: c == v.switcher.here})
	}
	return all
}

// LanguageItems are the same links as items of a list, put together without the
// template's help: escaping twelve of them takes it longer than the rest of the
// page.
func (v *View) LanguageItems() template.HTML {
	var b strings.Builder
	for _, c := range v.switcher.all {
		b.WriteString(`<li><a href="` + html.EscapeString(v.switcher.address(c)) + `" lang="` + c.Lang() + `" hreflang="` + c.Lang() + `"`)
		if c == v.switcher.here {
			b.WriteString(` aria-current="true"`)
		}
		b.WriteString(">" + html.EscapeString(c.name()) + "</a>")
	}
	return template.HTML(b.String())
}

// offer lets the visitor have the sign-in page in another language.
func (l *Look) Offer(v *View, query url.Values) { v.switcher = l.languages.switcher(v.words, query) }
