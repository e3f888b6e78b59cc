package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// ticking is an app that sends a line every 50 ms until the request ends.
func ticking(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/stream" {
		echo(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		if _, err := fmt.Fprint(w, "data: tick\n\n"); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// openStream returns a channel that is closed when the answer ends.
func (o *operated) stream(in *authcore.SignIn) <-chan struct{} {
	o.Helper()
	resp := o.fetch(o.client(false), "GET", "/stream", nil, "Cookie: "+cookieOf(in))
	if resp.StatusCode != http.StatusOK {
		o.Fatal(resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() {
		o.Fatal("the stream does not begin")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines.Scan() {
		}
	}()
	return ended
}

func newStreaming(t *testing.T) *operated {
	o := &operated{gatedCaddy: newGatedCaddy(t, http.HandlerFunc(ticking))}
	o.admin = "unix/" + o.dir + "/admin.sock"
	return o
}

func mustBeCut(t *testing.T, what string, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(5 * time.Second): // 2 s are promised
		t.Errorf("%s: the stream goes on", what)
	}
}

func mustGoOn(t *testing.T, what string, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
		t.Errorf("%s: the stream was cut", what)
	default:
	}
}

// However a session ends, it is refused at once and its streams are cut.
func TestEndingsCutStreams(t *testing.T) {
	o := newStreaming(t)
	o.run("", "staff")
	bob := o.signIn("bob@example.com")
	others := o.stream(bob)
	for what, end := range map[string]func(in *authcore.SignIn){
		"sign-out":       func(in *authcore.SignIn) { o.form("/_gatehouse/logout", "", cookieOf(in)) },
		"account page":   func(in *authcore.SignIn) { o.form("/_gatehouse/account/sessions/end-all", "", cookieOf(in)) },
		"admin, session": func(in *authcore.SignIn) { o.done("revoke", in.Session.ID) },
		"admin, person":  func(in *authcore.SignIn) { o.done("revoke", "alice@example.com") },
		"admin, delete":  func(in *authcore.SignIn) { o.done("users", "alice@example.com", "--delete") },
	} {
		in := o.signIn("alice@example.com")
		open := o.stream(in)
		end(in)
		if resp := o.fetch(o.client(false), "GET", "/x", nil, "Cookie: "+cookieOf(in)); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: the next request gets %s", what, resp.Status)
		}
		mustBeCut(t, what, open)
	}
	mustGoOn(t, "another person's", others)
	in := o.signIn("alice@example.com")
	open := o.stream(in)
	o.done("rotate-keys", "--revoke")
	mustBeCut(t, "revoked keys", open)
	mustBeCut(t, "revoked keys, another person's", others)
}

// Somebody removed from the Caddyfile, a group or a file loses requests and
// streams there, and keeps what is still allowed elsewhere.
func TestPolicyIsContinuous(t *testing.T) {
	o := newStreaming(t)
	people := o.dir + "/people.txt"
	write := func(text string) { must(t, os.WriteFile(people, []byte(text), 0o600)) }
	write("alice@example.com\nbob@example.com\n")
	status := func(in *authcore.SignIn, path string) int {
		return o.fetch(o.client(false), "GET", path, nil, "Cookie: "+cookieOf(in)).StatusCode
	}
	t.Run("file", func(t *testing.T) {
		o.run("", "file:"+people)
		alice, bob := o.signIn("alice@example.com"), o.signIn("bob@example.com")
		hers, his := o.stream(alice), o.stream(bob)
		write("bob@example.com\n")
		mustBeCut(t, "file", hers)
		mustGoOn(t, "file", his)
		if got := status(alice, "/x"); got != 403 {
			t.Errorf("%d", got)
		}
		// She is not signed out: the pages still know her.
		if got := status(alice, "/_gatehouse/session"); got != 200 {
			t.Errorf("signed out: %d", got)
		}
		write("alice@example.com\n")
		eventually(t, "she is let in again", func() bool { return status(alice, "/x") == 200 })
		mustBeCut(t, "file, the other", his)
	})
	t.Run("file of a group", func(t *testing.T) {
		write("alice@example.com\n")
		o.run("group crew file:"+people, "crew")
		alice := o.signIn("alice@example.com")
		hers := o.stream(alice)
		write("# nobody\n")
		mustBeCut(t, "file of a group", hers)
		if got := status(alice, "/x"); got != 403 {
			t.Errorf("%d", got)
		}
	})
	t.Run("group", func(t *testing.T) {
		o.run("group crew alice@example.com carol@example.com", "crew")
		alice, carol := o.signIn("alice@example.com"), o.signIn("carol@example.com")
		hers, carols := o.stream(alice), o.stream(carol)
		o.run("group crew carol@example.com", "crew")
		mustBeCut(t, "group", hers)
		if got := status(alice, "/x"); got != 403 {
			t.Errorf("%d", got)
		}
		mustGoOn(t, "group", carols)
		o.run("group crew alice@example.com carol@example.com", "crew", "deny carol@example.com")
		mustBeCut(t, "deny", carols)
	})
}

func TestReportOnly(t *testing.T) {
	o := newStreaming(t)
	o.run("", "staff", "report_only", "fresh 1h")
	before := o.metrics()
	client := o.client(false)
	if resp := o.fetch(client, "GET", "/x", nil); resp.StatusCode != 200 {
		t.Errorf("without a session: %s", resp.Status)
	}
	carol := func() *authcore.SignIn {
		o.run("", "carol@example.com")
		in := o.signIn("carol@example.com")
		o.run("", "staff", "report_only")
		return in
	}()
	if resp := o.fetch(client, "GET", "/x", nil, "Cookie: "+cookieOf(carol)); resp.StatusCode != 200 {
		t.Errorf("somebody it does not admit: %s", resp.Status)
	}
	e := readEcho(t, o.fetch(client, "GET", "/x", nil, "Remote-User: admin"))
	if len(e.claims()) != 0 {
		t.Errorf("a spoofed identity passes: %v", e.claims())
	}
	open := o.stream(carol)
	now := o.metrics()
	for _, reason := range []string{"login_required", "not_allowed"} {
		name := `caddy_gatehouse_refusals_total{reason="` + reason + `",report_only="true"}`
		if now[name] <= before[name] {
			t.Errorf("%s: %v, then %v", name, before[name], now[name])
		}
	}
	if found := o.audited(gate.EventAccess); len(found) == 0 || found[0]["detail"] != "report_only" || found[0]["reason"] != "not_allowed" {
		t.Errorf("%v", found)
	}
	warned := false
	for _, line := range o.lines() {
		warned = warned || line["level"] == "warn" && strings.Contains(fmt.Sprint(line["msg"]), "report_only")
	}
	if !warned {
		t.Error("no warning at start")
	}
	mustGoOn(t, "report_only", open)
	// Pages work as ever.
	o.done("revoke", carol.Session.ID)
	if resp := o.fetch(client, "GET", "/_gatehouse/session", nil, "Cookie: "+cookieOf(carol)); resp.StatusCode != 401 {
		t.Errorf("the pages know an ended session: %s", resp.Status)
	}
}

func init() { caddy.RegisterModule(heard{}) }

// heard is a handler of Caddy's events that keeps them.
type heard struct{}

var heardEvents struct {
	sync.Mutex
	all []caddy.Event
}

func (heard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.heard", New: func() caddy.Module { return heard{} }}
}

func (heard) Handle(_ context.Context, e caddy.Event) error {
	heardEvents.Lock()
	defer heardEvents.Unlock()
	heardEvents.all = append(heardEvents.all, e)
	return nil
}

var _ caddyevents.Handler = heard{}

func heardNames() map[string]int {
	heardEvents.Lock()
	defer heardEvents.Unlock()
	names := map[string]int{}
	for _, e := range heardEvents.all {
		names[e.Name()]++
		if _, err := json.Marshal(e.Data); err != nil {
			panic(err)
		}
	}
	return names
}

// Without the events app an event costs nothing.
func TestCaddyEventsAreFree(t *testing.T) {
	app, e := new(App), event.Event{Name: event.SignedIn}
	if n := testing.AllocsPerRun(100, func() { app.emit(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCaddyEvents(t *testing.T) {
	o := newOperated(t)
	var config map[string]any
	must(t, json.Unmarshal(o.config("", "staff"), &config))
	config["apps"].(map[string]any)["events"] = map[string]any{"subscriptions": []any{map[string]any{
		"events":   []string{"gatehouse_signed_in", "gatehouse_signed_out", "gatehouse_refused", "gatehouse_revoked"},
		"handlers": []any{map[string]any{"handler": "heard"}},
	}}}
	text, err := json.Marshal(config)
	must(t, err)
	o.load(text)
	in := o.signIn("alice@example.com")
	o.form("/_gatehouse/logout", "", cookieOf(in))
	o.form("/_gatehouse/code", "code=123456")
	o.signIn("alice@example.com")
	o.done("revoke", "alice@example.com")
	want := map[string]int{"gatehouse_signed_in": 2, "gatehouse_signed_out": 1, "gatehouse_refused": 1, "gatehouse_revoked": 1}
	eventually(t, "all events are heard", func() bool { return fmt.Sprint(heardNames()) == fmt.Sprint(want) })
	heardEvents.Lock()
	defer heardEvents.Unlock()
	data := heardEvents.all[0].Data
	if data["sub"] != in.Session.Subject || data["sid"] != in.Session.ID || data["address"] != "a***@e***.com" || data["method"] != "code" {
		t.Errorf("%v", data)
	}
}
