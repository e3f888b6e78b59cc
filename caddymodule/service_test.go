package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

func anAddress(t *testing.T, s string) address.Address {
	t.Helper()
	a, err := address.Parse(s)
	must(t, err)
	return a
}

// TestAllows: a stream is judged by the gate that let it pass, as the newest
// configuration has it, and by those at its place when that gate is gone.
func TestAllows(t *testing.T) {
	f := newFixture(t)
	gate := func(key string, change func(*Gate)) {
		f.gate(func(g *Gate) {
			g.guard.Place = &routes.Place{Place: gate.Place{Key: key, Hosts: []string{key + ".example.com"}}}
			change(g)
		})
	}
	gate("staff", func(g *Gate) { g.Allow = []string{"alice@example.com"} })
	gate("short", func(g *Gate) { g.Allow, g.SessionMax = []string{"any"}, caddy.Duration(time.Hour) })
	gate("report", func(g *Gate) { g.Allow, g.ReportOnly = []string{"alice@example.com"}, true })
	gate("denied", func(g *Gate) { g.Allow, g.Deny = []string{"any"}, []string{"bob@example.com"} })
	gate("admin", func(g *Gate) { g.Allow, g.Paths = []string{"alice@example.com"}, []string{"/admin/*"} })
	gate("fresh", func(g *Gate) { g.Allow, g.Fresh = []string{"any"}, caddy.Duration(time.Minute) })

	tests := []struct {
		gate, at, path, who string
		age                 time.Duration
		want                bool
	}{
		{"staff", "staff", "/", "alice", 0, true},
		{"staff", "staff", "/", "bob", 0, false},
		{"short", "short", "/", "bob", 30 * time.Minute, true},
		{"short", "short", "/", "bob", 2 * time.Hour, false},
		{"report", "report", "/", "bob", 0, true},
		{"denied", "denied", "/", "alice", 0, true},
		{"denied", "denied", "/", "bob", 0, false},
		{"fresh", "fresh", "/", "bob", time.Hour, true}, // holds when a request begins
		{"gone", "staff", "/", "alice", 0, true},
		{"gone", "staff", "/", "bob", 0, false},
		{"gone", "admin", "/admin/x", "bob", 0, false},
		{"gone", "admin", "/public", "bob", 0, true}, // nothing guards it now
		{"gone", "elsewhere", "/", "bob", 0, true},
	}
	for _, test := range tests {
		target := session.Target{Origin: mustOrigin(t, "https://"+test.at+".example.com"), Path: test.path}
		sess := &session.Session{AMR: []string{"email"}, Address: anAddress(t, test.who+"@example.com"), AuthTime: time.Now().Add(-test.age)}
		v := &session.Visitor{Session: sess, UnderWay: true}
		rules := f.app.rules(&session.Stream{Gate: test.gate, Target: target})
		got := len(rules) == 0 || slices.ContainsFunc(rules, func(r *session.SiteRule) bool {
			return f.run.Service.Sessions().Judge(r, v, target).Decision == session.Allowed
		})
		if got != test.want {
			t.Errorf("%+v: allowed %v", test, got)
		}
	}
	for who, want := range map[string]bool{"alice@example.com": true, "bob@example.com": true, "carol@other.example": true} {
		if got := f.app.mayReceive(anAddress(t, who)); got != want {
			t.Errorf("%s may receive mail: %v", who, got)
		}
	}
}

func TestMailGoesOnlyToThoseAGateAdmits(t *testing.T) {
	f := newFixture(t)
	f.gate(func(g *Gate) { g.Allow, g.Deny = []string{"staff"}, []string{"bob@example.com"} })
	for who, want := range map[string]bool{"alice@example.com": true, "bob@example.com": false, "carol@example.com": false} {
		if got := f.app.mayReceive(anAddress(t, who)); got != want {
			t.Errorf("%s may receive mail: %v", who, got)
		}
	}
	if f.app.isOpen() {
		t.Error("a gate for some is open to all")
	}
}

func TestEventsAreLoggedWithoutAddresses(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	app := &App{log: zap.New(core)}
	happened := event.Event{Address: anAddress(t, "alice@example.com"), Mark: "0123456789abcdef", Reason: "limited"}
	for _, name := range []string{event.Begin, event.MailFailed, event.Alarm, event.SignedIn} {
		happened.Name = name
		app.observe(happened)
	}
	happened.Name = event.Refused
	for range 1000 {
		app.observe(happened)
	}
	if n := logs.Len(); n != 5 {
		t.Errorf("%d lines, want 5: what a client repeats is logged once", n)
	}
	levels := ""
	for _, entry := range logs.All() {
		line := fmt.Sprint(entry.Message, entry.ContextMap())
		if strings.Contains(line, "alice@") || strings.Contains(line, "@example.com") {
			t.Errorf("an address is shown: %s", line)
		}
		if !strings.Contains(line, happened.Mark) {
			t.Errorf("the mark is missing: %s", line)
		}
		levels += entry.Level.CapitalString() + " "
	}
	if levels != "INFO ERROR ERROR INFO WARN " {
		t.Errorf("levels %s", levels)
	}
}

func TestWhoAmIEscapesWhatItShows(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Remote-Name", "<script>alert(1)</script>")
	r.Header.Set("X-Other", "not shown")
	w := httptest.NewRecorder()
	must(t, new(WhoAmI).ServeHTTP(w, r, nil))
	body := w.Body.String()
	if strings.Contains(body, "<script>") || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("not escaped:\n%s", body)
	}
	if strings.Contains(body, "not shown") || !strings.Contains(body, `action="/_gatehouse/logout"`) {
		t.Errorf("the page is another one:\n%s", body)
	}
	style := body[strings.Index(body, "<style>")+len("<style>") : strings.Index(body, "</style>")]
	if !strings.Contains(w.Header().Get("Content-Security-Policy"), "style-src "+web.StyleSource(style)+";") {
		t.Error("the browser would refuse the page's style")
	}
}

func TestSecretsAreNamedAndNotShown(t *testing.T) {
	t.Setenv("GATEHOUSE_TEST_A", "left")
	got, err := option.ExpandSecret("secret", "a{env.GATEHOUSE_TEST_A}b{c}")
	if err != nil || got != "aleftb{c}" {
		t.Errorf("%q, %v", got, err)
	}
	_, err = option.ExpandSecret("secret", "literal-part{env.GATEHOUSE_TEST_A}{env.GATEHOUSE_TEST_NONE}{file./nowhere/x}")
	if err == nil || !strings.Contains(err.Error(), "{file./nowhere/x}: no such file or directory: write") || !strings.Contains(err.Error(), "{env.GATEHOUSE_TEST_NONE} resolves to nothing") {
		t.Fatalf("the placeholders are not named: %v", err)
	}
	for _, secret := range []string{"literal-part", "left"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a part of the secret is shown: %v", err)
		}
	}
}
