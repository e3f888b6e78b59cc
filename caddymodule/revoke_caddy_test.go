package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// manyEndings is a real Caddy with a portal, two sites, an API and one session of
// every kind, all of them Alice's.
type manyEndings struct {
	*operated
	app      *streamingApp
	config   []byte
	asserted atomic.Value // the last assertion that the app saw

	held    map[string]holding
	streams map[string]io.Reader
	sids    map[string]string // of what operators can end
	subs    []string
}

// holding is how a session is shown to whoever asks for it.
type holding struct {
	host, method, path, body string
	header                   string
	says                     string // in the answer of a live one, beside 200
}

const (
	configuredSecret = "the-secret-of-a-configured-token-0"
	endingsGlobal    = `token nightly {
			secret ` + configuredSecret + `
			site app.example.com:{port}
		}
		app shop {
			api_key ` + apiLiveKey + `
			callback https://shop.example.com/*
			verification_url https://shop.example.com/auth/verify
			auto_create on
		}
		sms log`
	endingsSites = `
https://auth.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse_portal
}
https://wiki.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse file:{dir}/wiki.txt
	reverse_proxy {app} {
		flush_interval -1
	}
}
https://api.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse_api
}`
)

// streamKinds are those that have answers under way.
var streamKinds = []string{"browser", "portal's site", "person's token", "configured token"}

func newManyEndings(t *testing.T) *manyEndings {
	app := &streamingApp{}
	e := &manyEndings{app: app, held: map[string]holding{}, streams: map[string]io.Reader{}, sids: map[string]string{}}
	e.operated = &operated{gatedCaddy: newGatedCaddy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/events") {
			app.ServeHTTP(w, r)
			return
		}
		e.asserted.Store(r.Header.Get("X-Gatehouse-Assertion"))
		r.Header.Del("X-Gatehouse-Assertion") // what clients see, no log may have
		echo(w, r)
	}))}
	e.admin = "unix/" + e.dir + "/admin.sock"
	e.sites = endingsSites
	must(t, os.WriteFile(filepath.Join(e.dir, "wiki.txt"), []byte("alice@example.com\nbob@example.com\n"), 0o600))
	e.reload("*@example.com")
	e.atTheGates()
	e.atTheAPI()
	for _, kind := range streamKinds {
		e.open(kind)
	}
	return e
}

// reload takes a configuration into use whose gates admit who.
func (e *manyEndings) reload(who string) {
	e.Helper()
	e.config = e.operated.config(strings.ReplaceAll(endingsGlobal, "{port}", e.port()), who, "headers remote assertion")
	e.load(e.config)
}

// restart stops Caddy, with all that is in memory, and starts it again.
func (e *manyEndings) restart() {
	e.Helper()
	must(e, caddy.Stop())
	e.load(e.config)
}

func (e *manyEndings) atTheGates() {
	e.Helper()
	service := runningApp(e).house.Running().Service
	portal := e.signInAt("alice@example.com", "auth.example.com")
	there := session.Browser{Origin: mustOrigin(e, e.origin("wiki.example.com"))}
	cookie, state := service.Sessions().HandoverState(there)
	there.Flow = cookie
	ticket, _, err := service.Sessions().GiveTicket(e.Context(), session.Browser{Origin: mustOrigin(e, e.origin("auth.example.com")), Session: portal.Session}, session.Handover{Site: there.Origin, State: state})
	must(e, err)
	taken, err := service.Sessions().TakeTicket(e.Context(), there, ticket)
	must(e, err)
	if taken.Session == nil {
		e.Fatal(taken.Verdict)
	}
	browser := e.signIn("alice@example.com")
	site, err := origin.ParseSitePattern("app.example.com:" + e.port())
	must(e, err)
	secret, made, no, err := service.Sessions().MakeToken(e.Context(), browser.Session, origin.Origin{}, session.Machine{Name: "ci", Sites: []origin.SitePattern{site}}, time.Now().Add(time.Hour))
	must(e, err)
	if no != "" {
		e.Fatal(no)
	}
	e.seen.add(taken.Token, secret)
	const app, wiki, auth = "app.example.com", "wiki.example.com", "auth.example.com"
	e.held["browser"] = holding{host: app, path: "/", header: "Cookie: " + cookieOf(browser), says: `"alice@example.com"`}
	e.held["portal"] = holding{host: auth, path: "/_gatehouse/session", header: "Cookie: " + cookieOf(portal), says: portal.Session.ID}
	e.held["portal's site"] = holding{host: wiki, path: "/", header: "Cookie: " + cookieOf(&authcore.SignIn{Session: taken.Session, Token: taken.Token}), says: `"alice@example.com"`}
	e.held["person's token"] = holding{host: app, path: "/", header: "Authorization: Bearer " + secret, says: "token:alice@example.com/ci"}
	e.held["configured token"] = holding{host: app, path: "/", header: "Authorization: Bearer " + configuredSecret, says: "token:nightly"}
	e.sids["browser"], e.sids["portal"] = browser.Session.ID, portal.Session.ID
	e.sids["portal's site"], e.sids["person's token"] = taken.Session.ID, made.ID
	e.subs = append(e.subs, browser.Session.Subject)
}

func (e *manyEndings) atTheAPI() {
	e.Helper()
	const host = "api.example.com"
	ask := func(h holding) map[string]any {
		status, text := e.askAPI(h)
		if status != http.StatusOK {
			e.Fatalf("%s: %d %s", h.path, status, text)
		}
		var out map[string]any
		must(e, json.Unmarshal([]byte(text), &out))
		return out
	}
	keyed := holding{host: host, method: "POST", header: bearer}
	with := func(path, body string) holding { h := keyed; h.path, h.body = path, body; return h }

	ask(with("/v1/auth/users/create", `{"email":"alice@example.com"}`))
	link := ask(with("/v1/auth/magic_links/create", `{"email":"alice@example.com"}`))
	bird := ask(with("/v1/auth/magic_links/verify", fmt.Sprintf(`{"token":%q,"session_expires_in":60}`, link["token"])))
	e.held["Streambird's token"] = with("/v1/auth/sessions/verify", fmt.Sprintf(`{"session_token":%q}`, bird["session_token"]))
	e.held["Streambird's JWT"] = with("/v1/auth/sessions/verify", fmt.Sprintf(`{"session_jwt":%q}`, bird["session_jwt"]))

	ask(with("/v1/apps/shop/auth/magic-link", `{"email":"alice@example.com","redirectUrl":"https://shop.example.com/cb"}`))
	token := ""
	for token == "" {
		_, after, found := strings.Cut(e.mail.NextTo(e, "alice@example.com").Parse(e).Text, "/auth/verify?token=")
		if found {
			token, _, _ = strings.Cut(after, "&")
		}
	}
	stack := ask(with("/v1/apps/shop/auth/verify", fmt.Sprintf(`{"token":%q}`, token)))
	jwt, _ := stack["sessionToken"].(string)
	e.held["StackBE's JWT"] = holding{host: host, path: "/v1/apps/shop/auth/session", header: "Authorization: Bearer " + jwt, says: `"valid":true`}

	otp := ask(with("/reflex/otp", `{"email":"alice@example.com"}`))
	reflex := ask(with("/reflex/validate", fmt.Sprintf(`{"email":"alice@example.com","otp":%q}`, otp["otp"])))
	e.held["reflex's token"] = holding{host: host, path: "/reflex/session", header: fmt.Sprintf("Authorization: Bearer %s", reflex["session_token"]), says: `"session_is_valid":true`}
}

func (e *manyEndings) askAPI(h holding) (status int, text string) {
	e.Helper()
	r, err := http.NewRequest(h.method, e.origin(h.host)+h.path, strings.NewReader(h.body))
	must(e, err)
	name, value, _ := strings.Cut(h.header, ": ")
	r.Header.Set(name, value)
	if h.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := e.client(true).Do(r)
	must(e, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(e, err)
	return resp.StatusCode, string(body)
}

// passes tells whether the next request with a session does.
func (e *manyEndings) passes(kind string) bool {
	e.Helper()
	h := e.held[kind]
	status, text := e.askAPI(h)
	return status == http.StatusOK && strings.Contains(text, h.says)
}

// open opens an answer that does not end by itself.
func (e *manyEndings) open(kind string) {
	e.Helper()
	h := e.held[kind]
	h.path = "/events/" + kind[:4]
	r, err := http.NewRequest("GET", e.origin(h.host)+h.path, nil)
	must(e, err)
	name, value, _ := strings.Cut(h.header, ": ")
	r.Header.Set(name, value)
	resp, err := e.client(true).Do(r)
	must(e, err)
	e.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		e.Fatalf("%s: %s", kind, resp.Status)
	}
	e.app.opened.wait(e, kind)
	_, err = io.ReadFull(resp.Body, make([]byte, 5))
	must(e, err)
	e.streams[kind] = resp.Body
}

// listed are the ids that operators see.
func (e *manyEndings) listed() (sids []string) {
	e.Helper()
	var out struct {
		Sessions []struct {
			SID string `json:"sid"`
		} `json:"sessions"`
	}
	e.want(http.StatusOK, "GET", "/gatehouse/sessions", "", &out)
	for _, s := range out.Sessions {
		sids = append(sids, s.SID)
	}
	return sids
}

// check holds everything against what should be over.
func (e *manyEndings) check(when string, over func(kind string) bool) {
	e.Helper()
	for kind := range e.held {
		if got := e.passes(kind); got == over(kind) {
			e.Errorf("%s, %s: passes %v", when, kind, got)
		}
	}
	sids := e.listed()
	for kind, sid := range e.sids {
		if got := slices.Contains(sids, sid); got == over(kind) {
			e.Errorf("%s, %s: listed %v", when, kind, got)
		}
	}
}

var (
	gateKinds = []string{"browser", "portal", "portal's site", "person's token"}
	appKinds  = []string{"Streambird's token", "Streambird's JWT", "StackBE's JWT", "reflex's token"}
)

// TestRevokeAllOnCaddy ends sessions as operators do, in a real Caddy.
func TestRevokeAllOnCaddy(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(e *manyEndings)
		ends []string
		// no records end, so that lists go on to show them
		policy bool
	}{
		"revoke --all":         {end: func(e *manyEndings) { e.done("revoke", "--all") }, ends: slices.Concat(gateKinds, appKinds)},
		"rotate-keys --revoke": {end: func(e *manyEndings) { e.done("rotate-keys", "--revoke") }, ends: slices.Concat(gateKinds, appKinds)},
		"rotate-keys":          {end: func(e *manyEndings) { e.done("rotate-keys") }},
		"revoke one":           {end: func(e *manyEndings) { e.done("revoke", e.sids["browser"]) }, ends: []string{"browser"}},
		"revoke a site's":      {end: func(e *manyEndings) { e.done("revoke", e.sids["portal's site"]) }, ends: []string{"portal", "portal's site"}},
		"revoke a token":       {end: func(e *manyEndings) { e.done("revoke", e.sids["person's token"]) }, ends: []string{"person's token"}},
		"revoke a person":      {end: func(e *manyEndings) { e.done("revoke", "alice@example.com") }, ends: slices.Concat(gateKinds, appKinds)},
		"delete a person":      {end: func(e *manyEndings) { e.want(http.StatusNoContent, "DELETE", "/gatehouse/users/"+e.subs[0], "", nil) }, ends: gateKinds},
		"policy":               {end: func(e *manyEndings) { e.reload("bob@example.com") }, ends: []string{"browser", "person's token"}, policy: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newManyEndings(t)
			over := func(kind string) bool { return slices.Contains(c.ends, kind) }
			e.check("before", func(string) bool { return false })
			c.end(e)
			if c.policy {
				for kind := range e.held {
					if got := e.passes(kind); got == over(kind) {
						t.Errorf("%s: passes %v", kind, got)
					}
				}
			} else {
				e.check("at once", over)
			}
			cut := map[string]bool{}
			for _, kind := range streamKinds {
				if over(kind) {
					wantCut(t, e.streams[kind])
					cut[e.app.closed.wait(t, "end at the app")] = true
				}
			}
			for _, kind := range streamKinds {
				if got := cut["/events/"+kind[:4]]; got != over(kind) {
					t.Errorf("%s: its stream was cut %v", kind, got)
				}
			}
			if !over("configured token") {
				left := 1 + len(streamKinds) - len(cut)
				e.open("configured token")
				e.sweep(t)
				eventually(t, "a stream for each that nothing ended", func() bool { return e.core().Sessions().Streams() == left })
			}
			if c.policy {
				return
			}
			e.restart()
			e.check("after a restart", over)
			if over("person's token") {
				e.fails(cli.ExitNo, []string{"neither a live session nor a person"}, "revoke", e.sids["person's token"])
			}
		})
	}
}

// sweep waits until all streams have been looked at again: one of somebody who is
// taken off a list is cut by nothing else.
func (e *manyEndings) sweep(t *testing.T) {
	t.Helper()
	const witness = "witness"
	bob := e.signInAt("bob@example.com", "wiki.example.com")
	e.held[witness] = holding{host: "wiki.example.com", header: "Cookie: " + cookieOf(bob)}
	e.open(witness)
	must(t, os.WriteFile(filepath.Join(e.dir, "wiki.txt"), []byte("alice@example.com\n"), 0o600))
	wantCut(t, e.streams[witness])
	if path := e.app.closed.wait(t, "end of the witness"); path != "/events/"+witness[:4] {
		t.Errorf("%s was cut", path)
	}
	delete(e.held, witness)
}

// keyOf is the key that a token says it was signed with.
func keyOf(t testing.TB, token string) string {
	t.Helper()
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	must(t, err)
	var h struct {
		Key string `json:"kid"`
	}
	must(t, json.Unmarshal(head, &h))
	return h.Key
}

// A token of the configuration goes on, but not what was signed for it with a
// key that has become known.
func TestConfiguredTokenIsSignedForAnewAfterARevocation(t *testing.T) {
	e := newManyEndings(t)
	signedWith := func() string {
		status, text := e.askAPI(e.held["configured token"])
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		return keyOf(t, e.asserted.Load().(string))
	}
	before := signedWith()
	if signedWith() != before {
		t.Fatal("the key changed by itself")
	}
	e.done("revoke", "--all")
	after := signedWith()
	if after == before {
		t.Error("the app still gets assertions signed with the old key")
	}
	keys := e.core().Keys().AllPublic()
	if len(keys.Key(after)) != 1 || len(keys.Key(before)) != 0 {
		t.Errorf("jwks.json has %d of the new key and %d of the old", len(keys.Key(after)), len(keys.Key(before)))
	}
}
