package pages

import (
	"bytes"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	texttemplate "text/template"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// letterKinds are the mails there are. Each has two templates, named for it.
var letterKinds = []outbox.LetterKind{
	outbox.LetterSignIn, outbox.LetterNewDevice,
	outbox.LetterCode, outbox.LetterLink, outbox.LetterInvite, outbox.LetterPlain,
}

// mailTemplates hold both parts of every kind of mail.
type mailTemplates map[string]mailTemplate

type mailTemplate struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

func loadMailTemplates(files fs.FS) (mailTemplates, error) {
	all := mailTemplates{}
	for _, kind := range letterKinds {
		text, errText := texttemplate.ParseFS(files, "mail/"+string(kind)+".txt")
		html, errHTML := htmltemplate.ParseFS(files, "mail/layout.html", "mail/"+string(kind)+".html")
		if err := errors.Join(errText, errHTML); err != nil {
			return nil, fmt.Errorf("mail template %s: %w", kind, err)
		}
		all[string(kind)] = mailTemplate{text, html}
	}
	return all, nil
}

func (all mailTemplates) render(v *MailView) (text, html string, err error) {
	t, ok := all[v.Kind]
	if !ok {
		return "", "", fmt.Errorf("there is no mail %q", v.Kind)
	}
	var a, b bytes.Buffer
	a.Grow(1 << 10)
	b.Grow(3 << 10) // what mails have at most
	part := "layout.html"
	if v.Kind == string(outbox.LetterPlain) {
		part = "main" // as few words as can be, and no frame
	}
	if err := errors.Join(t.text.Execute(&a, v), t.html.ExecuteTemplate(&b, part, v)); err != nil {
		return "", "", err
	}
	return a.String(), b.String(), nil
}
