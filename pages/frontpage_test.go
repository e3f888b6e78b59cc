package pages

import (
	"fmt"
	"strings"
	"testing"
)

// What one visitor is shown depends on nothing but what the page is asked for:
// whoever comes first, the second sees what they would have seen alone.
func TestFrontPageIsEverybodysAndNobodysElse(t *testing.T) {
	asks := []struct{ target, language, encoding string }{
		{"/_gatehouse/login", "en", ""},
		{"/_gatehouse/login", "de", ""},
		{"/_gatehouse/login", "en", "gzip"},
		{"/_gatehouse/login?return_to=/a", "en", ""},
		{"/_gatehouse/login?return_to=/b", "en", ""},
		{"/_gatehouse/login?return_to=https://wiki.example.com/", "en", ""},
		{"/_gatehouse/login?login_hint=bob@example.com", "en", ""},
		{"/_gatehouse/login?start_over=1", "en", ""},
		{"/_gatehouse/login?ui_locales=fr", "en", ""},
		{"https://wiki.example.com/_gatehouse/login", "en", ""},
		{"/_gatehouse/login?return_to=/" + strings.Repeat("y", maxFrontQuery), "en", ""},
	}
	show := func(h *house, i int) string {
		b := h.browser()
		b.headers.Set("Accept-Language", asks[i].language)
		b.headers.Set("Accept-Encoding", asks[i].encoding)
		b.get(asks[i].target)
		b.wants(200)
		return fmt.Sprint(b.last.Header, b.body)
	}
	shared := newHouse(t)
	signedIn := shared.browser()
	signedIn.signIn("alice@example.com")
	signedIn.get("/_gatehouse/login")
	signedIn.wants(200, "alice@example.com")
	seen := map[string]int{}
	for round := range 2 {
		for i, ask := range asks {
			alone, together := show(newHouse(t), i), show(shared, i)
			if alone != together || strings.Contains(together, "alice") {
				t.Errorf("round %d: %v is shown as\n%s\nwant\n%s", round, ask, together, alone)
			}
			if other, ok := seen[together]; ok && other != i {
				t.Errorf("%v and %v are shown the same", asks[other], ask)
			}
			seen[together] = i
		}
	}
	signedIn.get("/_gatehouse/login")
	signedIn.wants(200, "alice@example.com")
}

func TestFrontPagesAreBounded(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	for i := range 2 * maxKept {
		b.get(fmt.Sprintf("/_gatehouse/login?return_to=/%d", i))
		b.wants(200, fmt.Sprintf(`value="/%d"`, i))
	}
	b.get("/_gatehouse/login?return_to=/" + strings.Repeat("x", maxFrontQuery))
	b.wants(200)
	if n := len(h.pages.fronts.made); n != maxKept {
		t.Errorf("%d pages are kept, want %d", n, maxKept)
	}
	for key := range h.pages.fronts.made {
		if len(key.query) > maxFrontQuery {
			t.Errorf("a page with %d bytes of query is kept", len(key.query))
		}
	}
}
