package pages

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// MailConfig is what mails are made of.
type MailConfig struct {
	FromName    string // empty: the site's name
	FromAddress string // empty: gatehouse@ the site's host, for senders that only show mail
	SubjectCode bool   // the code first in the subject
	Look        *Look  // nil: the one that comes with Gatehouse
}

// Mails puts letters into words. It implements authcore.Composer and is safe
// for concurrent use.
type Mails struct {
	cfg   MailConfig
	look  *Look
	now   func() time.Time
	forms kept[mailKey, mailForm]
}

// NewMails makes the Mails of a configuration.
func NewMails(c MailConfig) (*Mails, error) {
	look := c.Look
	if look == nil {
		var err error
		if look, err = plainLook(); err != nil {
			return nil, err
		}
	}
	return &Mails{cfg: c, look: look, now: time.Now}, nil
}

// Compose puts a letter into words, in the language of the page where it was
// asked for.
func (m *Mails) Compose(l authcore.Letter) (authcore.Message, error) {
	v := m.view(l)
	text, html, err := m.parts(v)
	if err != nil {
		return authcore.Message{}, fmt.Errorf("mail template: %w", err)
	}
	message := m.Envelope(l)
	if message.FromName == "" {
		message.FromName = v.Site
	}
	message.Subject, message.Text, message.HTML, message.Language = v.Subject, text, html, v.Lang
	return message, nil
}

// Envelope is the mail of a letter without its words: sender, recipient, ids and
// date. Its FromName is empty where none is configured.
func (m *Mails) Envelope(l authcore.Letter) authcore.Message {
	from := m.cfg.FromAddress
	if from == "" {
		from = "gatehouse@" + mailHost(l.Site)
	}
	_, domain, _ := strings.Cut(from, "@")
	return authcore.Message{
		FromName: m.cfg.FromName, FromAddress: from, To: l.To, ReplyTo: m.look.brand.Support,
		MessageID: randomID() + "@" + domain, References: "login." + l.Thread + "@" + domain, EntityRef: l.Thread,
		Date: m.now(),
	}
}

// mailHost is a host that can stand in an address.
func mailHost(o origin.Origin) string {
	if host := o.Hostname(); host != "" && !strings.Contains(host, ":") {
		return host
	}
	return "localhost"
}

func randomID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// MailView is what a mail's templates can show. Its version is ViewVersion.
type MailView struct {
	Version   int
	Kind      string // sign_in or new_device
	Subject   string
	Preheader string // shown by mail programs beside the subject
	Lang      string
	Dir       string // ltr or rtl
	Accent    string // colour of the button
	Left      string // left, in a right-to-left language right
	Site      string
	Host      string
	Support   string
	Address   string // whom the mail is for
	Code      string // empty when only the link works
	Link      string
	Label     string // what the link says
	NotMe     string // link to say "this wasn't me", empty for none
	Minutes   int    // that code and link live
	AskedAt   string
	Agent     string
	Network   string

	words *catalog
	site  origin.Origin
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
	}
	return ""
}

func (m *Mails) view(l authcore.Letter) *MailView {
	words := m.look.languages.choose(l.Language, "")
	v := m.look.mailView(words, l.Kind, l.Site, wholeMinutes(l.Lifetime))
	v.Address, v.Code, v.Link, v.NotMe = l.To.Display(), l.Code, l.Link, l.NotMe
	v.AskedAt, v.Agent, v.Network = utc(l.AskedAt), words.agent(l.Agent), near(l.Network)
	m.name(v)
	return v
}

// mailView begins the view of a mail with what it has in common with others.
func (l *Look) mailView(words *catalog, kind authcore.LetterKind, site origin.Origin, minutes int) *MailView {
	v := &MailView{
		Version: ViewVersion, Kind: string(kind), Lang: words.lang(), Dir: words.direction(), Left: "left",
		Accent: l.accent, Site: l.siteName(site), Host: site.Host(), Support: l.brand.Support, Minutes: minutes,
		words: words, site: site,
	}
	if v.Dir == "rtl" {
		v.Left = "right"
	}
	return v
}

// name chooses subject, preheader and the words on the button.
func (m *Mails) name(v *MailView) {
	subject, label, preheader := "mail.subject", "mail.link", "mail.preheader"
	if v.Code != "" && !m.cfg.SubjectCode {
		subject = "mail.subject_quiet"
	}
	if v.Code == "" {
		subject, label, preheader = "mail.subject_link", "mail.link_only", "mail.asked_nowhere"
	}
	if v.Kind == string(authcore.LetterNewDevice) {
		subject, label = "mail.new.subject", "mail.new.link"
	}
	v.Subject = v.words.say(subject, 0, v.value)
	v.Label = v.words.say(label, 0, v.value)
	v.Preheader = v.words.say(preheader, v.Minutes, v.value)
}
