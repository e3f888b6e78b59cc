package pages

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

var shownToken = regexp.MustCompile(`ght_[A-Za-z0-9_-]{43}`)

// A token is made soon after signing in, shown once, and ended at once.
func TestTokens(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.get("/_gatehouse/account/tokens")
	b.wantsTo("/_gatehouse/login?return_to=%2F_gatehouse%2Faccount%2Ftokens")
	b.signIn("alice@example.com")
	b.get("/_gatehouse/account")
	b.wants(http.StatusOK, `href="/_gatehouse/account/tokens"`)
	b.get("/_gatehouse/account/tokens")
	b.wants(http.StatusOK, "You have no tokens.", `<option value="https://app.example.com">app.example.com</option>`)

	good := []string{"name", "backup", "site", "https://app.example.com", "days", "30"}
	b.post("/_gatehouse/account/tokens", good...)
	b.wants(http.StatusOK, "Copy the token now", "backup", "app.example.com", "2026-12-21")
	secret := shownToken.FindString(b.body)
	if b.last.Header.Get("Cache-Control") != "no-store" {
		t.Error("the page with the token may be kept")
	}
	session, err := h.service.CheckToken(t.Context(), secret)
	check(t, err)
	if session == nil || session.User() != "token:alice@example.com/backup" {
		t.Fatalf("the token shown stands for %v", session)
	}
	b.get("/_gatehouse/account/tokens")
	b.wants(http.StatusOK, "End backup")
	if strings.Contains(b.body, "ght_") {
		t.Error("the token is shown again")
	}

	for name, bad := range map[string][]string{
		"the same name": good,
		"no name":       {"site", "https://app.example.com", "days", "30"},
		"a bad name":    {"name", "a/b", "site", "https://app.example.com", "days", "30"},
		"no site":       {"name", "a", "days", "30"},
		"another site":  {"name", "a", "site", "https://evil.test", "days", "30"},
		"a star":        {"name", "a", "site", "*.example.com", "days", "30"},
		"no days":       {"name", "a", "site", "https://app.example.com"},
		"ten years":     {"name", "a", "site", "https://app.example.com", "days", "3650"},
	} {
		b.post("/_gatehouse/account/tokens", bad...)
		b.wants(http.StatusUnprocessableEntity, "Choose a name of letters")
		if strings.Contains(b.body, "ght_") {
			t.Errorf("%s: a token is shown", name)
		}
	}

	h.advance(5 * time.Minute)
	b.post("/_gatehouse/account/tokens", "name", "late", "site", "https://app.example.com", "days", "30")
	b.wantsTo("/_gatehouse/login?return_to=%2F_gatehouse%2Faccount%2Ftokens&max_age=300")

	made, err := h.service.Tokens(t.Context(), session.Subject)
	check(t, err)
	mallory := h.browser()
	mallory.signIn("mallory@example.com")
	mallory.post("/_gatehouse/account/tokens/" + made[0].ID + "/end")
	if again, _ := h.service.CheckToken(t.Context(), secret); again == nil {
		t.Fatal("another person has ended the token")
	}
	b.post("/_gatehouse/account/tokens/" + made[0].ID + "/end")
	b.wantsTo("/_gatehouse/account/tokens?ended")
	if again, _ := h.service.CheckToken(t.Context(), secret); again != nil {
		t.Error("the token is good after its end")
	}
	b.get("/_gatehouse/account/tokens/" + made[0].ID + "/end")
	b.wants(http.StatusMethodNotAllowed)
}

func TestTokensAreBounded(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("alice@example.com")
	for i := range authcore.MaxMachines {
		b.post("/_gatehouse/account/tokens", "name", "n"+string(rune('a'+i)), "site", "https://app.example.com", "days", "90")
		b.wants(http.StatusOK)
	}
	b.post("/_gatehouse/account/tokens", "name", "more", "site", "https://app.example.com", "days", "90")
	b.wants(http.StatusUnprocessableEntity, "You have 20 tokens")
}

// The form is the same origin as the app behind it, so that the app's scripts
// can send it: what it makes is good where the session is and nowhere else, but
// at a portal. What the person may not open has no token at all.
func TestTokensAreForSitesOfTheSession(t *testing.T) {
	const own, wiki, closed = "https://app.example.com", "https://wiki.example.com", "https://closed.example.com"
	protects := func(o authcore.Origin) bool { return strings.HasSuffix(o.Host(), ".example.com") }
	for name, c := range map[string]struct {
		domain string
		portal bool
		good   []string
	}{
		"a site":                   {good: []string{own}},
		"a portal":                 {portal: true, good: []string{own, wiki}},
		"one session for a domain": {domain: "example.com", good: []string{own, wiki}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(cfg *authcore.Config, page *Config) {
				cfg.Protects, cfg.Domain = protects, c.domain
				page.Sites = func(*authcore.Session) []authcore.Origin {
					return []authcore.Origin{mustOrigin(t, own), mustOrigin(t, wiki)}
				}
			})
			h.portal = c.portal
			b := h.browser()
			b.signIn("alice@example.com")
			for i, site := range []string{own, wiki, closed} {
				good := slices.Contains(c.good, site)
				b.get("/_gatehouse/account/tokens")
				if strings.Contains(b.body, `<option value="`+site+`">`) != good {
					t.Errorf("%s in the list: %v", site, !good)
				}
				b.post("/_gatehouse/account/tokens", "name", "n"+string(rune('a'+i)), "site", site, "days", "30")
				if made := shownToken.MatchString(b.body); made != good {
					t.Errorf("%s: made %v, status %d", site, made, b.last.StatusCode)
				}
			}
		})
	}
}
