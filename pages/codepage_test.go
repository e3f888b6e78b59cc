package pages

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"
)

// plainly undoes what does not matter: html/template also writes + as a number.
func plainly(page string) string { return strings.ReplaceAll(page, "&#43;", "+") }

// The form for a code that is put together is the one that the template makes,
// in every language, whoever saw it before.
func TestCodePageIsWhatTheTemplateMakes(t *testing.T) {
	branded, err := NewLook(Brand{Name: `A+B & "C" <d> {address} '`, Support: "o'help+1@example.com"})
	check(t, err)
	plain, err := plainLook()
	check(t, err)
	for i, c := range plain.languages.all {
		h := newHouse(t)
		own := *plain
		if h.pages.open = i%2 == 0; h.pages.open {
			own = *branded
		}
		h.pages.look = &own
		for _, who := range []struct{ address, to string }{
			{"alice@example.com", "/"},
			{"o'hara+list&x@a-rather-long-host-name.example.com", "/a?b=c&d=<e>\"+%41"},
			{"bob@bücher.example", "https://wiki.example.com/" + strings.Repeat("long/", 300)},
		} {
			b := h.browser()
			b.headers.Set("Accept-Language", c.lang())
			b.post("/_gatehouse/login", "email", who.address, "return_to", who.to)
			b.wantsTo("/_gatehouse/code")
			for _, later := range []bool{false, true} {
				if later {
					h.nextMinute()
				}
				b.get("/_gatehouse/code")
				b.wants(200)
				header, together := b.last.Header, b.body
				b.headers.Set("Accept-Encoding", "gzip")
				b.get("/_gatehouse/code")
				unzipped := gunzip(t, b.body)
				if len(b.body) > maxPage && len(who.to) < 100 {
					t.Errorf("%s: %d bytes", c.lang(), len(b.body))
				}
				b.headers.Del("Accept-Encoding")
				own.brand.Pages = "own" // each page is rendered then
				b.get("/_gatehouse/code")
				own.brand.Pages = ""
				if plainly(b.body) != plainly(together) || unzipped != together {
					t.Fatalf("%s, %v, %v:\n%s\nwant\n%s", c.lang(), who, later, together, b.body)
				}
				if got, want := header.Get("Content-Security-Policy"), b.last.Header.Get("Content-Security-Policy"); got != want {
					t.Errorf("policy %s, want %s", got, want)
				}
			}
		}
		if n := len(h.pages.codes.made); n != 2 {
			t.Errorf("%d forms are kept, want 2", n)
		}
	}
}

func gunzip(t *testing.T, body string) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader([]byte(body)))
	check(t, err)
	text, err := io.ReadAll(r)
	check(t, err)
	return string(text)
}
