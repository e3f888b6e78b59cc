package pages

import (
	"strings"
	"testing"
	"time"
)

func TestLinkInTheSameBrowser(t *testing.T) {
	b := newHouse(t).browser()
	m := b.start("alice@example.com", "return_to", "/docs")
	for range 3 {
		b.get(linkPath(m))
		b.wants(200, "Sign in to", "data-now")
		b.do("HEAD", linkPath(m), nil)
		b.wants(200)
	}
	token := strings.TrimPrefix(linkPath(m), "/_gatehouse/link/")
	if strings.Contains(b.body, token) {
		t.Error("the page repeats the link's token")
	}
	b.post(linkPath(m))
	b.wantsTo("/docs")
	if got := b.last.Header.Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("Referrer-Policy %q: the app gets the link as Referer", got)
	}
	b.get("/_gatehouse/session")
	b.wants(200, `"amr":["email"]`)
}

func TestLinkInAnotherBrowser(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	m := b.start("alice@example.com", "return_to", "/docs")
	stranger := h.browser()
	for range 10 {
		stranger.get(linkPath(m))
		stranger.wants(200, "Finish where you started", "alice@example.com", "2026-11-21 14:25 UTC", "Firefox on Windows", "203.0.113.x")
		stranger.post(linkPath(m))
		stranger.wants(403, "Go back there and type the code from the email.", `href="/_gatehouse/login"`)
	}
	if len(stranger.last.Cookies()) > 0 {
		t.Error("the browser that did not ask got a cookie")
	}
	b.post("/_gatehouse/code", "code", m.Code)
	b.wantsTo("/docs")
	stranger.post(linkPath(m))
	stranger.wants(410) // dead goes before foreign
}

func TestLinksThatAreNone(t *testing.T) {
	b := newHouse(t).browser()
	m := b.start("alice@example.com")
	token := strings.TrimPrefix(linkPath(m), "/_gatehouse/link/")
	for _, bad := range []string{token[:42], token + "A", token + "=", strings.ToUpper(token), "x", token + "/x", "%00", strings.Repeat("a", 5000)} {
		b.get("/_gatehouse/link/" + bad)
		b.wants(410, "incomplete or too old")
		b.post("/_gatehouse/link/" + bad)
		b.wants(410)
	}
	b.post(linkPath(m))
	b.wantsTo("/")
}

// TestDeadLinkLeadsToANewMail: in the browser that asked, one press sends a new
// mail, and nobody types the address again. Elsewhere nothing is offered but the
// form.
func TestDeadLinkLeadsToANewMail(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	old := b.start("alice@example.com", "return_to", "/docs")
	h.advance(11 * time.Minute)
	stranger := h.browser()
	stranger.get(linkPath(old))
	stranger.wants(410, "This link has expired", "A link works for 10 minutes.", `<a class="button" href="/_gatehouse/login">Sign in</a>`)
	b.get(linkPath(old))
	b.wants(410, "This link has expired", `action="/_gatehouse/resend"`, "Send a new email")
	if strings.Contains(b.body, "alice") {
		t.Error("the page of a dead link tells whose it was")
	}
	b.post("/_gatehouse/resend", "flow", fieldIn(b.body, "flow"))
	b.wants(303)
	m := h.mail()
	if m.Code == old.Code || m.Link == old.Link {
		t.Error("the new mail repeats what is dead")
	}
	b.post(linkPath(m))
	b.wantsTo("/docs")
	b.get(linkPath(old))
	b.wants(410, "signed in as", "Go to ")
}

// fieldIn is the value of a hidden field.
func fieldIn(body, name string) string {
	_, rest, _ := strings.Cut(body, `name="`+name+`" value="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
