package pages

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
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
	b.wants(http.StatusOK, "Copy the token now", "backup", "app.example.com", "2026-12-21", "Never used")
	secret := shownToken.FindString(b.body)
	if b.last.Header.Get("Cache-Control") != "no-store" {
		t.Error("the page with the token may be kept")
	}
	sess, _, err := h.service.Sessions().CheckToken(t.Context(), secret)
	check(t, err)
	if sess == nil || sess.User() != "token:alice@example.com/backup" {
		t.Fatalf("the token shown stands for %v", sess)
	}
	b.get("/_gatehouse/account/tokens")
	b.wants(http.StatusOK, "Revoke backup", "Last used:")
	if strings.Contains(b.body, "ght_") {
		t.Error("the token is shown again")
	}
	b.post("/_gatehouse/account/tokens", good...) // the next one, before the former ends
	b.wants(http.StatusOK, "Copy the token now")
	if again, _, _ := h.service.Sessions().CheckToken(t.Context(), secret); again == nil {
		t.Error("the former token has ended")
	}
	b.post("/_gatehouse/account/tokens", good...)
	b.wants(http.StatusUnprocessableEntity, "Two of your tokens for this site have this name")

	for name, bad := range map[string]struct {
		says string
		form []string
	}{
		"no name":      {"Choose a name of letters", []string{"site", "https://app.example.com", "days", "30"}},
		"a bad name":   {"Choose a name of letters", []string{"name", "a/b", "site", "https://app.example.com", "days", "30"}},
		"no site":      {"make a token for this site here", []string{"name", "a", "days", "30"}},
		"another site": {"make a token for this site here", []string{"name", "a", "site", "https://evil.test", "days", "30"}},
		"a star":       {"make a token for this site here", []string{"name", "a", "site", "*.example.com", "days", "30"}},
		"no days":      {"Choose one of the numbers of days", []string{"name", "a", "site", "https://app.example.com"}},
		"ten years":    {"Choose one of the numbers of days", []string{"name", "a", "site", "https://app.example.com", "days", "3650"}},
	} {
		b.post("/_gatehouse/account/tokens", bad.form...)
		b.wants(http.StatusUnprocessableEntity, bad.says)
		if strings.Contains(b.body, "ght_") {
			t.Errorf("%s: a token is shown", name)
		}
	}

	h.advance(5 * time.Minute)
	b.post("/_gatehouse/account/tokens", "name", "late", "site", "https://app.example.com", "days", "30")
	b.wantsTo("/_gatehouse/login?return_to=%2F_gatehouse%2Faccount%2Ftokens&max_age=300")

	made, err := h.service.Sessions().Tokens(t.Context(), sess.Subject, origin.Origin{})
	check(t, err)
	mallory := h.browser()
	mallory.signIn("mallory@example.com")
	mallory.post("/_gatehouse/account/tokens/" + made[0].ID + "/end")
	if again, _, _ := h.service.Sessions().CheckToken(t.Context(), secret); again == nil {
		t.Fatal("another person has ended the token")
	}
	b.post("/_gatehouse/account/tokens/" + made[0].ID + "/end")
	b.wantsTo("/_gatehouse/account/tokens?ended")
	if again, _, _ := h.service.Sessions().CheckToken(t.Context(), secret); again != nil {
		t.Error("the token is good after its end")
	}
	b.get("/_gatehouse/account/tokens/" + made[0].ID + "/end")
	b.wants(http.StatusMethodNotAllowed)
}

func TestTokensAreBounded(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("alice@example.com")
	for i := range session.MaxMachines {
		b.post("/_gatehouse/account/tokens", "name", "n"+string(rune('a'+i)), "site", "https://app.example.com", "days", "90")
		b.wants(http.StatusOK)
	}
	b.post("/_gatehouse/account/tokens", "name", "more", "site", "https://app.example.com", "days", "90")
	b.wants(http.StatusUnprocessableEntity, "You have 20 tokens for this site")
}

// The form is the same origin as the app behind it, so that the app's scripts
// can send it: what it makes is good there and nowhere else, but at a portal with
// the whole account page. What the person may not open has no token at all.
func TestTokensAreForSitesOfTheOrigin(t *testing.T) {
	const own, wiki, closed = "https://app.example.com", "https://wiki.example.com", "https://closed.example.com"
	protects := func(o origin.Origin) bool { return strings.HasSuffix(o.Host(), ".example.com") }
	for name, c := range map[string]struct {
		domain        string
		portal, whole bool
		refused       bool // the person may not open the site
		good          []string
	}{
		"a site alone":             {whole: true, good: []string{own}},
		"a portal of its own":      {portal: true, whole: true, good: []string{own, wiki}},
		"a portal that is a site":  {portal: true, good: []string{own}},
		"one session for a domain": {domain: "example.com", good: []string{own}},
		"a site that is closed":    {domain: "example.com", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(cfg *authcore.Config, page *Config) {
				cfg.Protects, cfg.Domain = protects, c.domain
				page.Sites = func(*session.Session) []origin.Origin {
					return []origin.Origin{mustOrigin(t, own), mustOrigin(t, wiki)}
				}
				page.Opens = func(_ *session.Session, o origin.Origin) bool { return o.String() == own && !c.refused }
			})
			h.portal, h.account.Whole = c.portal, c.whole
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
			b.post("/_gatehouse/account/tokens", "name", "long", "site", own, "days", "31")
			if made := shownToken.MatchString(b.body); made != (c.whole && len(c.good) > 0) {
				t.Errorf("31 days: made %v", made)
			}
		})
	}
}

// On an app's own origin a token for another site is neither seen nor ended, and
// its name is not given away.
func TestTokensOfOtherSitesAreOutOfReach(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("alice@example.com")
	sess, err := h.service.Sessions().Check(t.Context(), b.cookie("__Host-gatehouse").Value, h.origin)
	check(t, err)
	pattern, err := origin.ParseSitePattern("https://wiki.example.com")
	check(t, err)
	m := session.Machine{Name: "backup", Sites: []origin.SitePattern{pattern}}
	secret, made, no, err := h.service.Sessions().MakeToken(t.Context(), sess, origin.Origin{}, m, h.now().Add(time.Hour))
	check(t, err)
	if no != "" {
		t.Fatal(no)
	}
	h.account = Account{At: mustOrigin(t, "https://auth.example.com")}
	b.get("/_gatehouse/account/tokens")
	b.wants(http.StatusOK, "You have no tokens.", `href="https://auth.example.com/_gatehouse/account/tokens"`)
	b.post("/_gatehouse/account/tokens/" + made.ID + "/end")
	if again, _, _ := h.service.Sessions().CheckToken(t.Context(), secret); again == nil {
		t.Fatal("another site's token is ended")
	}
	b.post("/_gatehouse/account/tokens", "name", "backup", "site", "https://app.example.com", "days", "30")
	b.wants(http.StatusOK, "Copy the token now")
	own := shownToken.FindString(b.body)
	b.post(regexp.MustCompile(`/_gatehouse/account/tokens/[^"/]+/end`).FindString(b.body))
	b.wantsTo("/_gatehouse/account/tokens?ended")
	if again, _, _ := h.service.Sessions().CheckToken(t.Context(), own); again != nil {
		t.Error("this site's token is good after its end")
	}
}
