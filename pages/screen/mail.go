package screen

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// MailConfig is what mails are made of.
type MailConfig struct {
	FromName    string // empty: the site's name
	FromAddress string // empty: gatehouse@ the site's host, for senders that only show mail
	SubjectCode bool   // the code first in the subject
	Look        *Look  // nil: the one that comes with Gatehouse
}

// Mails puts letters into words. It implements outbox.Composer and is safe
// for concurrent use.
type Mails struct {
	cfg  MailConfig
	look *Look
	now  func() time.Time
}

// NewMails makes the Mails of a configuration.
func NewMails(c MailConfig) (*Mails, error) {
	look := c.Look
	if look == nil {
		var err error
		if look, err = PlainLook(); err != nil {
			return nil, err
		}
	}
	return &Mails{cfg: c, look: look, now: time.Now}, nil
}

// Compose puts a letter into words, in the language of the page where it was
// asked for, or that an app asked for. A letter to a number is a text message,
// which is its Text alone.
//
// The mails of an app name the app, and never the host of the API: they can be
// all its own.
func (m *Mails) Compose(l outbox.Letter) (outbox.Message, error) {
	v := m.view(l)
	if !l.Phone.IsZero() {
		return outbox.Message{Text: v.words.say(textMessage(l), 0, v.value), Language: v.Lang}, nil
	}
	text, html, err := m.look.mails.render(v)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("mail template: %w", err)
	}
	from := m.cfg.FromAddress
	if from == "" {
		from = "gatehouse@" + mailHost(l.Site)
	}
	return outbox.Message{
		FromName: cmp.Or(m.cfg.FromName, v.Site), FromAddress: from, To: l.To, ReplyTo: m.look.brand.Support,
		Subject: v.Subject, Text: text, HTML: html, Language: v.Lang,
		Date: m.now(),
	}, nil
}

// textMessage is the text of a message to a number.
func textMessage(l outbox.Letter) string {
	if l.Code == "" {
		return "app.text.link"
	}
	return "app.text.code"
}

// mailHost is a host that can stand in an address.
func mailHost(o origin.Origin) string {
	if host := o.Hostname(); host != "" && !strings.Contains(host, ":") {
		return host
	}
	return "localhost"
}

// MailView is what a mail's templates can show. Its version is ViewVersion.
type MailView struct {
	Version   int
	Kind      string // sign_in, new_device, admitted; of apps: app_code, app_link, app_invite, app_plain
	Subject   string
	Preheader string // shown by mail programs beside the subject
	Lang      string
	Dir       string // ltr or rtl
	Accent    string // colour of the button
	Left      string // left, in a right-to-left language right
	Site      string // the brand's name, else the host; the name of the app that asked
	Host      string // empty for an app
	Support   string // empty for an app
	Address   string // whom the mail is for
	Code      string // empty when only the link works
	Link      string
	Label     string // what the link says
	NotMe     string // link to say "this wasn't me", empty for none
	Minutes   int    // that code and link live
	Lasts     string // the same in words, as in "2 hours"
	Into      string // of app_invite: what the app calls the place, empty for the app itself
	AskedAt   string
	Agent     string
	Network   string

	words *Catalog
}

// T returns the text with this key in the language of the mail, as plain text.
func (v *MailView) T(key string) (string, error) { return v.N(key, 0) }

// N is T for a text that depends on a number.
func (v *MailView) N(key string, n int) (string, error) {
	if !v.words.has(key) {
		return "", errNoText(key)
	}
	if v.Dir == "rtl" {
		return v.words.say(key, n, v.isolated), nil
	}
	return v.words.say(key, n, v.value), nil
}

// isolated is value for a right-to-left text, in which a date or a host keeps
// its own order between isolate (U+2067 for right to left, U+2068 for what it
// begins with) and U+2069. Subjects go without: not every list of mails knows
// them.
func (v *MailView) isolated(name string) string {
	value, isolate := v.value(name), "\u2068"
	if name == "lasts" {
		return value // words of the text's own language
	}
	if name == "agent" { // begins with a name in Latin letters, and its words are the text's
		isolate = "\u2067"
	}
	if value == "" {
		return ""
	}
	return isolate + value + "\u2069"
}

// value is what stands in a text in the place of {name}.
func (v *MailView) value(name string) string {
	switch name {
	case "address":
		return v.Address
	case "site":
		return v.Site
	case "host":
		return v.Host
	case "code":
		return v.Code
	case "time":
		return v.AskedAt
	case "agent":
		return v.Agent
	case "network":
		return v.Network
	case "support":
		return v.Support
	case "link":
		return v.Link
	case "lasts":
		return v.Lasts
	case "into":
		return v.Into
	}
	return ""
}

// view is what the templates show of a letter.
func (m *Mails) view(l outbox.Letter) *MailView {
	words := m.look.languages.choose(l.Language, "")
	v := &MailView{
		Version: ViewVersion, Kind: string(l.Kind), Lang: words.Lang(), Dir: words.direction(), Left: "left",
		Accent: m.look.accent, Site: m.look.siteName(l.Site), Host: l.Site.Host(), Support: m.look.brand.Support,
		Address: l.To.Display(), Code: l.Code, Link: l.Link, NotMe: l.NotMe, Into: l.Into,
		Minutes: WholeMinutes(l.Lifetime), Lasts: words.lasts(l.Lifetime),
		AskedAt: UTC(l.AskedAt), Agent: words.Agent(l.Agent), Network: Near(l.Network), words: words,
	}
	if l.App != "" {
		v.Site, v.Host, v.Support = l.App, "", ""
	}
	if v.Dir == "rtl" {
		v.Left = "right"
	}
	if titled := m.look.Titled(l.For); titled != "" && l.App == "" {
		v.Site = titled
	}
	m.name(v)
	return v
}

// name chooses subject, preheader and the words on the button.
func (m *Mails) name(v *MailView) {
	subject, label, preheader := "mail.subject", "mail.link_only", "mail.preheader"
	switch kind := outbox.LetterKind(v.Kind); {
	case kind == outbox.LetterNewDevice:
		subject, label, preheader = "mail.new.subject", "mail.new.link", "mail.new.when_nowhere"
	case kind == outbox.LetterAdmitted:
		subject, label, preheader = "mail.admitted.subject", "mail.new.link", "mail.asked_nowhere"
	case kind == outbox.LetterCode:
		subject, preheader = "app.code.subject", "app.valid"
	case kind == outbox.LetterLink:
		subject, preheader = "app.title", "app.valid_once"
	case kind == outbox.LetterInvite:
		subject, label, preheader = "app.invite.subject", "app.invite.accept", "app.valid_once"
		if v.Into != "" {
			subject = "app.invite.subject_into"
		}
	case kind == outbox.LetterPlain:
		subject, preheader = "app.plain.subject", "app.valid"
	case v.Code == "":
		subject, preheader = "mail.subject_link", "mail.asked_nowhere"
	case !m.cfg.SubjectCode:
		subject = "mail.subject_quiet"
	}
	v.Subject = v.words.say(subject, 0, v.value)
	v.Label = v.words.say(label, 0, v.value)
	v.Preheader = v.words.say(preheader, v.Minutes, v.value)
}

// letterKinds are the mails there are. Each has two templates, named for it.
var letterKinds = []outbox.LetterKind{
	outbox.LetterSignIn, outbox.LetterNewDevice, outbox.LetterAdmitted,
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
