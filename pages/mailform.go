package pages

import (
	"html"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// mailKey is all that a mail depends on within one configuration, beside what
// fills its gaps.
type mailKey struct {
	kind    string
	words   *catalog
	site    origin.Origin
	minutes int
	given   uint // which of the gaps have something in them
}

// mailForm is a mail with gaps for what belongs to one person.
type mailForm struct{ text, html *stencil }

// gaps are the fields that belong to one person, in the order of their marks.
func (v *MailView) gaps() []*string {
	return []*string{&v.Address, &v.Code, &v.Link, &v.NotMe, &v.AskedAt, &v.Agent, &v.Network}
}

// parts returns both parts of a mail.
func (m *Mails) parts(v *MailView) (text, htmlText string, err error) {
	if m.look.brand.Pages != "" { // templates of one's own may look at any field
		return m.look.mails.render(v)
	}
	key := mailKey{kind: v.Kind, words: v.words, site: v.site, minutes: v.Minutes}
	values, escaped := make([]string, len(marks)), make([]string, len(marks))
	for i, field := range v.gaps() {
		values[i], escaped[i] = *field, html.EscapeString(*field)
		if *field != "" {
			key.given |= 1 << i
		}
	}
	form, ok := m.forms.get(key)
	if !ok {
		text, htmlText, err = m.look.mails.render(m.marked(key))
		if err != nil {
			return "", "", err
		}
		form = mailForm{cut(text), cut(htmlText)}
		m.forms.put(key, form)
	}
	return string(form.text.fill(values)), string(form.html.fill(escaped)), nil
}

// marked is the view of a mail with marks where it has gaps.
func (m *Mails) marked(key mailKey) *MailView {
	v := m.look.mailView(key.words, authcore.LetterKind(key.kind), key.site, key.minutes)
	for i, field := range v.gaps() {
		if key.given&(1<<i) != 0 {
			*field = marks[i]
		}
	}
	m.name(v)
	return v
}
