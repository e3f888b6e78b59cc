package pages

import (
	"net/http/httptest"
	"testing"
)

// BenchmarkLogin is the page that most visitors see first.
func BenchmarkLogin(b *testing.B) {
	look, err := NewLook(Brand{})
	check(b, err)
	at := mustOrigin(b, "https://app.example.com")
	p := &Pages{look: look}
	r := httptest.NewRequest("GET", "https://app.example.com/_gatehouse/logout", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("Accept-Language", "de-CH,de;q=0.9,en;q=0.8")
	for b.Loop() {
		e := p.exchange(httptest.NewRecorder(), r, Visit{Origin: at})
		v := e.view("login", "form")
		v.titled("login.title")
		v.Languages = look.languages.links(e.words, nil)
		e.page(200, v)
	}
}
