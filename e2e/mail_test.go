package e2e

import (
	"bytes"
	"html"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

// TestMailsAsReceived reads both mails as a real server received them: what
// their headers say, and that their two parts say the same.
func TestMailsAsReceived(t *testing.T) {
	s := start(t, plan{global: "brand \"Example Wiki\" {\n support help@example.com\n}"})
	for _, lang := range []string{"en", "ar"} {
		alice, known := person("alice"), s.visitor()
		known.post("/_gatehouse/login", "email", alice, "ui_locales", lang).must(t, http.StatusSeeOther)
		first := mails.NextTo(t, alice)
		known.post("/_gatehouse/code", "code", first.Code(t)).must(t, http.StatusSeeOther)
		unseen := s.visitor()
		unseen.post("/_gatehouse/login", "email", alice, "ui_locales", lang).must(t, http.StatusSeeOther)
		second := mails.NextTo(t, alice)
		unseen.post("/_gatehouse/code", "code", second.Code(t)).must(t, http.StatusSeeOther)
		notice := mails.NextTo(t, alice)

		for _, m := range []smtptest.Message{first, second, notice} {
			headersAreRight(t, m, alice, lang)
			partsAgree(t, m, lang)
		}
		subject := first.Parse(t).Subject
		if code := first.Code(t); !strings.HasPrefix(strings.TrimLeft(subject, "\u2066\u2068"), code) {
			t.Errorf("the subject %q does not begin with the code", subject)
		}
		if text := notice.Parse(t).Text; strings.Contains(text, "/link/") || !strings.Contains(text, "/_gatehouse/account") {
			t.Errorf("the notice of a new browser can sign in, or leads nowhere:\n%s", text)
		}
		// So that no mail program shows one of them as an answer to another.
		seen := map[string]bool{}
		for _, m := range []smtptest.Message{first, second, notice} {
			for _, name := range []string{"References", "Message-Id", "X-Entity-Ref-Id", "Subject"} {
				value := m.Parse(t).Header.Get(name)
				if value == "" || seen[value] {
					t.Errorf("%s %q is empty or that of another mail", name, value)
				}
				seen[value] = true
			}
		}
	}
}

func headersAreRight(t *testing.T, m smtptest.Message, to, lang string) {
	t.Helper()
	parsed := m.Parse(t)
	for name, want := range map[string]string{
		"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Content-Language": lang,
		"From": `"Example sign-in" <login@example.com>`, "To": "<" + to + ">", "Reply-To": "<help@example.com>",
		"Mime-Version": "1.0", "List-Unsubscribe": "", "Feedback-Id": "", "In-Reply-To": "", "Cc": "", "Bcc": "",
	} {
		if got := parsed.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, err := mail.ParseDate(parsed.Header.Get("Date")); err != nil {
		t.Errorf("Date: %v", err)
	}
	if !slices.Equal(m.To, []string{to}) {
		t.Errorf("the mail went to %q", m.To)
	}
	if id := parsed.Header.Get("Message-Id"); !strings.HasSuffix(id, "@example.com>") {
		t.Errorf("Message-ID %q is of another domain than From", id)
	}
	if kind := parsed.Header.Get("Content-Type"); !strings.HasPrefix(kind, "multipart/alternative") || !slices.Equal(parsed.Parts, []string{"text/plain", "text/html"}) {
		t.Errorf("%s of %q", kind, parsed.Parts)
	}
	for line := range bytes.Lines(m.Data) {
		if len(bytes.TrimRight(line, "\r\n")) > 78 {
			t.Errorf("a line of %d characters: %.100s", len(line), line)
		}
	}
}

func partsAgree(t *testing.T, m smtptest.Message, lang string) {
	t.Helper()
	parsed := m.Parse(t)
	page := html.UnescapeString(parsed.HTML)
	links := linksIn.FindAllString(parsed.Text, -1)
	if len(links) == 0 {
		t.Errorf("no link in the text:\n%s", parsed.Text)
	}
	for _, link := range links {
		if !strings.Contains(page, `href="`+link+`"`) {
			t.Errorf("the HTML lacks %.60s", link)
		}
	}
	// Every sentence of the text stands in the HTML too, but what introduces a
	// link: that is a button there.
	for line := range strings.Lines(parsed.Text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasSuffix(line, ":") && !strings.Contains(line, "://") && !strings.Contains(line, "help@") && !strings.Contains(page, line) {
			t.Errorf("the HTML lacks %q", line)
		}
	}
	if n := len(parsed.HTML); n > 3<<10 || strings.Contains(page, "<img") || strings.Contains(page, "src=") {
		t.Errorf("the HTML has %d bytes, or a picture", n)
	}
	if want := `lang="` + lang + `"`; strings.Count(page, want) != 2 || strings.Contains(page, `dir="rtl"`) != (lang == "ar") {
		t.Errorf("the HTML is not marked as %s", want)
	}
}
