package pages

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

var notMeLink = regexp.MustCompile(`/_gatehouse/not-me/[\w-]+`)

func TestNotMe(t *testing.T) {
	h := newHouse(t)
	alice := h.browser()
	alice.signIn("alice@example.com") // a browser that is known from now on
	h.advance(2 * time.Minute)
	attacker := h.browser()
	m := attacker.start("alice@example.com")
	path := notMeLink.FindString(m.Text)
	if path == "" || !strings.Contains(m.HTML, path) {
		t.Fatalf("the mail has no way to say it wasn't me:\n%s", m.Text)
	}

	for range 3 { // scanners open it, and type nothing
		alice.get(path)
		alice.wants(200, "Stop these emails?", "The address that the email came to")
	}
	alice.post(path, "email", "bob@example.com")
	alice.wants(422, "isn&#39;t the address")
	alice.post(path, "email", "")
	alice.wants(422, "Enter your email address")
	alice.post(path+"x", "email", "alice@example.com")
	alice.wants(422)
	attacker.get("/_gatehouse/code")
	attacker.wants(200, "autocomplete=\"one-time-code\"") // nothing has changed so far

	alice.post(path, "email", "Alice@Example.com")
	alice.wantsTo("/_gatehouse/not-me/done")
	alice.get("/_gatehouse/not-me/done")
	alice.wants(200, "stopped for 24 hours")
	attacker.post("/_gatehouse/code", "code", m.Code)
	attacker.wants(429)
	attacker.post(linkPath(m))
	attacker.wants(410)

	// Whoever asks from a browser that is not known sees no difference, and
	// causes no mail.
	h.advance(2 * time.Minute)
	stranger := h.browser()
	stranger.post("/_gatehouse/login", "email", "alice@example.com")
	stranger.wantsTo("/_gatehouse/code")
	h.advance(2 * time.Minute)
	attacker.post("/_gatehouse/resend")
	attacker.wantsTo("/_gatehouse/code?resent=1")
	h.advance(2 * time.Minute)
	if m := alice.start("alice@example.com"); m.To.String() != "alice@example.com" || m.Code == "" {
		t.Errorf("the known browser's mail: %q to %s", m.Subject, m.To)
	}
	if n := len(h.outbox.mails); n != 0 {
		t.Errorf("%d mails more than the known browser asked for", n)
	}
	h.advance(25 * time.Hour)
	h.browser().start("alice@example.com")
}

func TestNotMeLeavesTheOwnSignIn(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	m := b.start("alice@example.com")
	b.post(notMeLink.FindString(m.Text), "email", "alice@example.com")
	b.wantsTo("/_gatehouse/not-me/done")
	b.post("/_gatehouse/code", "code", m.Code)
	b.wantsTo("/")
}

func TestNewBrowserIsTold(t *testing.T) {
	h := newHouse(t)
	first := h.browser()
	first.signIn("alice@example.com") // the first of all: no notice
	h.advance(2 * time.Minute)
	first.signIn("alice@example.com") // a known browser: no notice
	h.advance(2 * time.Minute)
	other := h.browser()
	other.headers.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1")
	other.signIn("alice@example.com")
	m := h.mail()
	if m.Subject != "New sign-in to app.example.com" || m.To.String() != "alice@example.com" {
		t.Errorf("%q to %s", m.Subject, m.To)
	}
	for _, part := range []string{m.Text, m.HTML} {
		for _, want := range []string{"Safari on iOS", "203.0.113.x", "https://app.example.com/_gatehouse/account"} {
			if !strings.Contains(part, want) {
				t.Errorf("the notice does not say %q:\n%s", want, part)
			}
		}
	}
	if m.Code != "" || m.Link != "" || strings.Contains(m.Text, "/link/") {
		t.Error("a notice carries something to sign in with")
	}
	if n := len(h.outbox.mails); n != 0 {
		t.Errorf("%d mails too many", n)
	}
}
