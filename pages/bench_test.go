package pages

import (
	"github.com/gatehouse-auth/gatehouse/pages/screen"
	"net/http/httptest"
	"testing"
)

// BenchmarkLogin is the page that most visitors see first, with its headers, as
// a browser takes it.
func BenchmarkLogin(b *testing.B) { benchmarkSample(b, "login", "form") }

// BenchmarkCode is the page that they see next, when it has to be rendered.
func BenchmarkCode(b *testing.B) { benchmarkSample(b, "code", "sent_if") }

func benchmarkSample(b *testing.B, shown, state string) {
	b.Helper()
	look, err := screen.NewLook(screen.Brand{})
	check(b, err)
	var view *screen.View
	for _, v := range look.Samples("de") {
		if view == nil && v.Screen == shown && v.State == state {
			view = v
		}
	}
	p := &Pages{look: look}
	r := httptest.NewRequest("GET", "https://wiki.example.com/_gatehouse/"+shown, nil)
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("Accept-Language", "de-CH,de;q=0.9,en;q=0.8")
	visit := Visit{Origin: mustOrigin(b, "https://wiki.example.com")}
	b.ReportAllocs()
	for b.Loop() {
		p.exchange(httptest.NewRecorder(), r, visit).page(200, view)
	}
}
