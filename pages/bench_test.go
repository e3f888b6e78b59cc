package pages

import (
	"net/http/httptest"
	"testing"
)

// BenchmarkLogin is the page that most visitors see first, with its headers, as
// a browser takes it.
func BenchmarkLogin(b *testing.B) { benchmarkSample(b, "login", "form") }

// BenchmarkCode is the page that they see next, when it has to be rendered.
func BenchmarkCode(b *testing.B) { benchmarkSample(b, "code", "sent_if") }

func benchmarkSample(b *testing.B, screen, state string) {
	b.Helper()
	look, err := NewLook(Brand{})
	check(b, err)
	var view *View
	for _, v := range look.Samples("de") {
		if view == nil && v.Screen == screen && v.State == state {
			view = v
		}
	}
	p := &Pages{look: look}
	r := httptest.NewRequest("GET", "https://wiki.example.com/_gatehouse/"+screen, nil)
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("Accept-Language", "de-CH,de;q=0.9,en;q=0.8")
	visit := Visit{Origin: mustOrigin(b, "https://wiki.example.com")}
	b.ReportAllocs()
	for b.Loop() {
		p.exchange(httptest.NewRecorder(), r, visit).page(200, view)
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
