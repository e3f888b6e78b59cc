package screen

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares a text with what is kept in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		check(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got, make golden rewrites it):\n%s", name, diff)
	}
}

// fleeting are the parts of a page that say nothing when they change: the style
// and the name of the script.
var fleeting = regexp.MustCompile(`(?s)<style>.*?</style>|<script.*?</script>`)

func TestGoldenPages(t *testing.T) {
	l, err := NewLook(Brand{Support: "help@example.com"})
	check(t, err)
	for _, lang := range []string{"en", "ar"} {
		var all strings.Builder
		for _, v := range l.Samples(lang) {
			var page strings.Builder
			check(t, l.Render(&page, v))
			_, body, _ := strings.Cut(fleeting.ReplaceAllString(page.String(), ""), "<head>")
			fmt.Fprintf(&all, "==== %s %s\n", v.Screen, v.State)
			for line := range strings.Lines(body) {
				if strings.TrimSpace(line) != "" {
					all.WriteString(line)
				}
			}
		}
		golden(t, "pages."+lang+".txt", all.String())
	}
}

func TestGoldenMails(t *testing.T) {
	l, err := NewLook(Brand{Name: "Acme Wiki", Support: "help@example.com"})
	check(t, err)
	m := &Mails{look: l, now: sampleNow, cfg: MailConfig{SubjectCode: true, FromAddress: "login@example.com"}}
	for _, c := range l.languages.all {
		var all strings.Builder
		for _, letter := range SampleLetters(c.Lang()) {
			mail, err := m.Compose(letter)
			check(t, err)
			fmt.Fprintf(&all, "==== %s\nFrom: %s <%s>\nTo: %s\nReply-To: %s\nSubject: %s\nContent-Language: %s\n\n%s",
				letter.Kind, mail.FromName, mail.FromAddress, mail.To, mail.ReplyTo, mail.Subject, mail.Language, mail.Text)
			if c.Lang() == "en" || c.Lang() == "ar" {
				all.WriteString("\n" + mail.HTML)
			}
		}
		golden(t, "mails."+c.Lang()+".txt", all.String())
	}
}

// TestMailParts: both parts of a mail say the same, and only what is meant.
func TestMailParts(t *testing.T) {
	l, err := NewLook(Brand{Name: `Acme <b>"Wiki"`})
	check(t, err)
	m := &Mails{look: l, now: sampleNow, cfg: MailConfig{SubjectCode: true}}
	for _, c := range l.languages.all {
		for _, letter := range SampleLetters(c.Lang()) {
			letter.Agent = `<script>{{.Code}}</script> https://evil.test/ Firefox/1`
			if letter.App != "" {
				letter.App = l.brand.Name
			}
			mail, err := m.Compose(letter)
			check(t, err)
			for _, want := range []string{letter.Code, letter.Link, letter.NotMe} {
				if !strings.Contains(mail.Text, want) || !strings.Contains(mail.HTML, want) {
					t.Errorf("%s in %s: a part lacks %q", letter.Kind, c.Lang(), want)
				}
			}
			for _, part := range []string{mail.Text, mail.HTML, mail.Subject} {
				if strings.Contains(part, "evil") || strings.Contains(part, "<script") || strings.Contains(part, "{{") {
					t.Errorf("%s in %s carries what a visitor sent:\n%s", letter.Kind, c.Lang(), part)
				}
			}
			named := letter.Kind == outbox.LetterPlain || strings.Contains(mail.Text, `Acme <b>"Wiki"`)
			if strings.Contains(mail.HTML, "<b>") || !named {
				t.Errorf("%s in %s: the name is not written as it is", letter.Kind, c.Lang())
			}
			if letter.Code != "" && (!strings.Contains(mail.Subject, letter.Code) || !strings.Contains(mail.HTML, ">"+letter.Code+"<")) {
				t.Errorf("%s in %s: the code does not stand alone, or not in the subject %q", letter.Kind, c.Lang(), mail.Subject)
			}
			if letter.App != "" && strings.Contains(mail.Subject+mail.Text+mail.HTML, letter.Site.Host()) {
				t.Errorf("%s in %s: the mail of an app names our host", letter.Kind, c.Lang())
			}
			if mail.Language != c.Lang() || strings.Contains(mail.HTML, `dir="rtl"`) != (c.direction() == "rtl") {
				t.Errorf("%s in %s: language %s", letter.Kind, c.Lang(), mail.Language)
			}
		}
	}
}

// TestTextMessages: what a telephone shows, in every language.
func TestTextMessages(t *testing.T) {
	m, err := NewMails(MailConfig{})
	check(t, err)
	number, err := address.ParsePhone("+15005550009")
	check(t, err)
	var all strings.Builder
	for _, c := range m.look.languages.all {
		for _, letter := range SampleLetters(c.Lang()) {
			if letter.Kind != outbox.LetterCode && letter.Kind != outbox.LetterLink {
				continue
			}
			letter.To, letter.Phone = address.Address{}, number
			message, err := m.Compose(letter)
			check(t, err)
			fmt.Fprintf(&all, "%s: %s\n", c.Lang(), message.Text)
			if message.HTML != "" || !strings.Contains(message.Text, letter.Code) || !strings.Contains(message.Text, letter.Link) {
				t.Errorf("%+v", message)
			}
		}
	}
	golden(t, "texts.txt", all.String())
}

// TestLasts: a lifetime is said as people say it, and never longer than it is.
func TestLasts(t *testing.T) {
	l, err := PlainLook()
	check(t, err)
	for d, want := range map[time.Duration]string{
		0: "1 second", time.Second: "1 second", 59 * time.Second: "59 seconds", time.Minute: "1 minute", 90 * time.Second: "90 seconds",
		100 * time.Second: "1 minute", 10 * time.Minute: "10 minutes", time.Hour: "1 hour", 90 * time.Minute: "90 minutes",
		150 * time.Minute: "2 hours", 24 * time.Hour: "1 day", 25 * time.Hour: "25 hours", 7 * 24 * time.Hour: "7 days", 500 * 24 * time.Hour: "90 days",
	} {
		if got := l.languages.all[0].lasts(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	for _, c := range l.languages.all {
		for d := time.Second; d < 100*24*time.Hour; d += d/7 + time.Second {
			if text := c.lasts(d); text == "" || strings.Contains(text, "{") {
				t.Errorf("%v in %s: %q", d, c.Lang(), text)
			}
		}
	}
}

func TestQuietSubject(t *testing.T) {
	m, err := NewMails(MailConfig{})
	check(t, err)
	mail, err := m.Compose(SampleLetters("en")[0])
	check(t, err)
	if strings.Contains(mail.Subject, "482913") || !strings.Contains(mail.Text, "482913") {
		t.Errorf("subject_code off: %q", mail.Subject)
	}
	if mail.FromAddress != "gatehouse@wiki.example.com" || mail.FromName != "wiki.example.com" {
		t.Errorf("without from: %s <%s>", mail.FromName, mail.FromAddress)
	}
}

func TestChoiceOfLanguage(t *testing.T) {
	l, err := NewLook(Brand{})
	check(t, err)
	for _, c := range []struct{ asked, accept, want string }{
		{"", "", "en"},
		{"", "de-CH,de;q=0.9,en;q=0.8", "de"},
		{"", "pt", "pt-BR"},
		{"", "zh-CN", "zh-Hans"},
		{"", "xx,tlh;q=0.5", "en"},
		{"", "fi, he;q=0.4", "he"},
		{"", "iw", "he"},
		{"", ";;;,,,", "en"},
		{"fr", "de", "fr"},
		{"qaa ar", "de", "ar"},
		{"qaa", "de", "de"},
		{"\x00\xff -- de", "", "de"},
		{strings.Repeat("x", 5000), strings.Repeat("de,", 5000), "de"},
	} {
		if got := l.languages.choose(c.asked, c.accept).Lang(); got != c.want {
			t.Errorf("ui_locales %.20q, Accept-Language %.20q: %s, want %s", c.asked, c.accept, got, c.want)
		}
	}
}

func TestNetworksForPeople(t *testing.T) {
	for network, want := range map[string]string{
		"203.0.113.0/24": "203.0.113.x", "198.51.100.0/24": "198.51.100.x", "10.0.0.0/24": "10.0.0.x",
		"2001:db8:7::/48": "2001:db8:7:x", "2001:db8::/48": "2001:db8:0:x", "": "", "nowhere": "nowhere",
	} {
		if got := Near(network); got != want {
			t.Errorf("near(%q) is %q, want %q", network, got, want)
		}
	}
}

func TestLanguagesForAListOfOnesOwn(t *testing.T) {
	look, err := PlainLook()
	check(t, err)
	v := &View{switcher: look.languages.switcher(look.languages.all[0], nil)}
	for _, l := range v.Languages() {
		if want := l.URL + `" lang="` + l.Lang; !strings.Contains(string(v.LanguageItems()), want) {
			t.Errorf("the list lacks %s", want)
		}
	}
}

func sampleNow() time.Time { return SampleTime }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
