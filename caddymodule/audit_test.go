package caddymodule

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// form posts a form as a browser does, and returns the answer's
// status.
func (o *operated) form(path, body string, cookies ...string) int {
	o.Helper()
	resp := o.fetch(o.client(false), "POST", path, strings.NewReader(body), "Content-Type: application/x-www-form-urlencoded",
		"Sec-Fetch-Site: same-origin", "Cookie: "+strings.Join(cookies, "; "))
	return resp.StatusCode
}

func TestAuditLog(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	o.run("", "staff", "deny bob@example.com", "client_ip 127.0.0.0/8")
	alice := o.signIn("alice@example.com")
	o.form("/_gatehouse/login", "email=mallory@example.net") // may not sign in
	o.form("/_gatehouse/code", "code=123456")                // no flow
	o.form("/_gatehouse/logout", "", cookieOf(alice))        // signs out
	again := o.signIn("alice@example.com")
	o.done("revoke", again.Session.ID)
	o.done("rotate-keys")
	o.signIn("alice@example.com")
	o.done("rotate-keys", "--revoke")
	o.signIn("alice@example.com")
	o.done("users", "alice@example.com", "--delete")
	o.done("test-email", "ops@example.net")

	for _, want := range []struct{ event, reason string }{
		{EventConfig, "reloaded"}, {event.Begin, ""}, {event.Begin, "not_allowed"}, {event.MailSent, ""},
		{event.Answer, "no_flow"}, {event.SignedIn, ""}, {event.SignedOut, "signed_out"},
		{event.Ended, "revoked"}, {event.Ended, "by_operator"}, {event.Keys, "by_operator"},
		{event.Keys, "revoked"}, {event.Revoked, "keys_revoked"}, {event.Deleted, "by_operator"},
		{event.Admin, "end_session"}, {event.Admin, "rotate_keys"}, {event.Admin, "revoke_keys"},
		{event.Admin, "delete_user"}, {event.Admin, "test_email"},
	} {
		found := slices.ContainsFunc(o.audited(want.event), func(e map[string]any) bool {
			reason, _ := e["reason"].(string)
			return reason == want.reason
		})
		if !found {
			t.Errorf("no event %s with reason %q", want.event, want.reason)
		}
	}
	for _, e := range o.audited("") {
		if address, _ := e["address"].(string); address != "" && (!strings.Contains(address, "***") || e["mark"] == nil) {
			t.Errorf("%v", e)
		}
		if e["msg"] != e["event"] || e["ts"] == nil {
			t.Errorf("%v", e)
		}
	}
	signedIn := o.audited(event.SignedIn)[0]
	for _, field := range []string{"address", "mark", "sub", "sid", "challenge", "origin", "client_ip", "method"} {
		if signedIn[field] == nil {
			t.Errorf("signed_in has no %s: %v", field, signedIn)
		}
	}
}

func TestAuditOfRefusals(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	bob := o.signIn("bob@example.com")
	o.run("", "staff", "deny bob@example.com")
	if resp := o.fetch(o.client(false), "GET", "/x", nil, "Cookie: "+cookieOf(bob)); resp.StatusCode != 403 {
		t.Fatal(resp.Status)
	}
	found := o.audited(gate.EventAccess)
	if len(found) != 1 || found[0]["reason"] != "not_allowed" || found[0]["sid"] != bob.Session.ID || found[0]["mark"] == nil {
		t.Errorf("%v", found)
	}
}

// What a client repeats without end must not fill the disk.
func TestAuditIsBounded(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	for range 50 {
		o.form("/_gatehouse/code", "code=123456")
	}
	if n := len(o.audited(event.Answer)); n != 1 {
		t.Errorf("%d lines for one client's repetitions", n)
	}
}

func TestAuditFullAndOff(t *testing.T) {
	o := newOperated(t)
	o.mayLogAddresses = true
	o.run("audit full", "staff")
	o.signIn("alice@example.com")
	found := o.audited(event.SignedIn)
	if len(found) != 1 || found[0]["address"] != "alice@example.com" {
		t.Errorf("%v", found)
	}
	o.run("audit off", "staff")
	events := func() int { // without the mails of the first sign-in, which may come late
		return len(o.audited("")) - len(o.audited(event.MailSent))
	}
	before := events()
	o.signIn("alice@example.com")
	if n := events(); n != before {
		t.Errorf("%d events more while the log is off", n-before)
	}
	// What somebody has to do something about is told all the same.
	o.mail.RefuseTo("bob@example.com", 550)
	o.form("/_gatehouse/login", "email=bob@example.com")
	eventually(t, "a failed mail is in the ordinary log", func() bool {
		return slices.ContainsFunc(o.lines(), func(e map[string]any) bool {
			return e["logger"] == "gatehouse" && e["event"] == event.MailFailed && e["level"] == "error"
		})
	})
}

// Every event and every field is documented, and nothing else is.
func TestAuditIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/audit.md")
	must(t, err)
	events, err := os.ReadFile("../authcore/event/event.go")
	must(t, err)
	names := []string{gate.EventAccess, gate.EventHome, EventConfig}
	for _, m := range regexp.MustCompile(`(?m)^\t[A-Z][A-Za-z]+\s+= "([a-z_]+)"`).FindAllSubmatch(events, -1) {
		names = append(names, string(m[1]))
	}
	e := event.Event{Name: "x", Mark: "m", Subject: "s", Session: "s", Challenge: "c", Origin: "https://app.example.com", Method: "m", Reason: "r", Sender: "s", Detail: "d", Message: "i", Letter: "l", App: "a", Operator: "o", Took: time.Second, Expires: time.Now()}
	e.Address, e.Client = anAddress(t, "alice@example.com"), netip.MustParseAddr("192.0.2.1")
	for _, f := range new(App).fields(e) {
		names = append(names, f.Key)
	}
	for _, name := range append(names, "event", "not_logged") {
		if !strings.Contains(string(text), "| `"+name+"` |") {
			t.Errorf("docs/audit.md has no row for %s", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(append(names, "event", "not_logged"), m[1]) {
			t.Errorf("docs/audit.md has a row for %s, which is nothing", m[1])
		}
	}
}
