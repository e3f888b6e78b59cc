package caddymodule

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// Somebody has used up the mails of an hour: an operator lets the next one go out
// at once. Wrong codes, and the owner's "this wasn't me", stay in force.
func TestUnlock(t *testing.T) {
	o := newOperated(t)
	config := o.config("", "staff")
	o.load([]byte(strings.Replace(string(config), `"count":1000`, `"count":2`, 1)))
	start := func(email string) int {
		return (&seeker{o: o}).post("/_gatehouse/login", url.Values{"email": {email}}).StatusCode
	}
	for range 2 {
		if got := start("alice@example.com"); got != 303 {
			t.Fatal(got)
		}
	}
	first := o.mail.NextTo(t, "alice@example.com")
	if got := start("alice@example.com"); got != 429 {
		t.Fatalf("a start over the limit: %d", got)
	}

	wantText(t, o.done("unlock", "ALICE@example.com"), "don't count any more")
	if got := start("alice@example.com"); got != 303 {
		t.Errorf("a start after unlock: %d", got)
	}
	// What strangers see of an address that nobody admits is the same.
	for _, want := range []int{303, 303, 429} {
		if got := start("mallory@example.net"); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	o.done("unlock", "mallory@example.net")
	if got := start("mallory@example.net"); got != 303 {
		t.Error(got)
	}
	var out operate.Unlocked
	o.document(&out, "unlock", "bob@example.com")
	if out.Mails || out.PausedUntil != nil || out.Email != "bob@example.com" {
		t.Errorf("%+v", out)
	}
	wantText(t, o.done("unlock", "bob@example.com"), "nothing held mail")
	o.fails(cli.ExitUsage, []string{"write an address"}, "unlock", "nonsense")
	o.fails(cli.ExitUsage, []string{"unlock <address>"}, "unlock")
	o.want(405, "GET", "/gatehouse/unlock", "", nil)

	notMe := regexp.MustCompile(`/_gatehouse/not-me/[A-Za-z0-9_-]+`).FindString(first.Parse(t).Text)
	if resp := (&seeker{o: o}).post(notMe, url.Values{"email": {"alice@example.com"}}); resp.StatusCode != 303 {
		t.Fatal(resp.Status)
	}
	wantText(t, o.done("unlock", "alice@example.com"), "this wasn't me")
	o.asks("alice@example.com")
	eventually(t, "the pause is in force after unlock", func() bool {
		return strings.Contains(o.done("why", "alice@example.com"), "paused at")
	})
	if n := len(o.audited("admin_action")); n != 5 {
		t.Errorf("%d entries in the audit log", n)
	}
	for _, e := range o.audited("admin_action") {
		if e["reason"] != "unlock" || e["address"] == nil || e["address"] == "alice@example.com" {
			t.Errorf("%v", e)
		}
	}
}

// Whoever talks an operator into unlock must not get more tries by it.
func TestUnlockLeavesFailures(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	for range 2 { // ten a day
		s := o.asks("alice@example.com")
		code := wrongCode(o.code("alice@example.com"))
		for range 5 {
			s.answers(code)
		}
	}
	o.done("unlock", "alice@example.com")
	o.asks("alice@example.com")
	if text := o.mail.NextTo(t, "alice@example.com").Parse(t).Text; regexp.MustCompile(`\b[0-9]{6}\b`).MatchString(text) {
		t.Errorf("a mail with a code: %s", text)
	}
}
