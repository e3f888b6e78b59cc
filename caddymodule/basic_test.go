package caddymodule

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

const (
	syncSecret = "sync-secret-of-more-than-32-bytes-0123"
	oldSecret  = "sync-secret-before-of-32-bytes-and-more"
)

// newTokenSites is what both ways of basic_test.go have: a token sync that is good for
// both hosts, one elsewhere that is not, and one that is over.
func newTokenSites(t *testing.T, lines ...string) *bothWays {
	b := newBothWaysWith(t, newGatedCaddy(t, nil), "", `token sync {
			secret `+syncSecret+` `+oldSecret+`
			site app.example.com:{port} wiki.example.com:{port}
			path /* 
		}
		token elsewhere {
			secret elsewhere-`+syncSecret+`
			site auth.example.com:{port}
		}
		token old {
			secret old-`+syncSecret+`
			site app.example.com:{port} wiki.example.com:{port}
			until 2020-01-01
		}`, "*@example.com", nil, lines...)
	return b
}

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Programs that know nothing but a password send the token as one, with any user
// name, and others as Cloudflare Access has it. The app never sees it.
func TestTokenAsPassword(t *testing.T) {
	b := newTokenSites(t, "public /open")
	b.each(t, func(t *testing.T, host string) {
		for name, headers := range map[string][]string{
			"basic": {basic("anybody", syncSecret)}, "basic without a user": {basic("", syncSecret)}, "lower case": {strings.Replace(basic("x", syncSecret), "Basic", "basic", 1)},
			"the secret before": {basic("x", oldSecret)}, "bearer": {"Authorization: Bearer " + syncSecret},
			"access":      {"Cf-Access-Client-Id: whatever.access", "Cf-Access-Client-Secret: " + syncSecret},
			"same origin": {basic("x", syncSecret), "Sec-Fetch-Site: same-origin", "Origin: " + b.origin(host)},
			"own page":    {basic("x", syncSecret), "Referer: " + b.origin(host) + "/page"},
			"no padding":  {strings.TrimRight(basic("xx", syncSecret), "=")},
		} {
			h := readEcho(t, b.at(host, "GET", "/", headers...)).Header
			if h.Get("Remote-User") != "token:sync" {
				t.Errorf("%s: the app is told of %q", name, h["Remote-User"])
			}
			if host == "app.example.com" && (h.Get("Authorization") != "" || h.Get("Cf-Access-Client-Secret") != "" || h.Get("Cf-Access-Client-Id") != "") {
				t.Errorf("%s: the app sees %v", name, h)
			}
		}
		for header, want := range map[string]string{
			basic("x", "elsewhere-"+syncSecret):                    "not good for this site",
			basic("x", "old-"+syncSecret):                          "expired",
			"Authorization: Bearer old-" + syncSecret:              "expired",
			"Authorization: Bearer ght_" + strings.Repeat("a", 43): "not known",
			basic("x", "ght_"+strings.Repeat("a", 43)):             "not known",
		} {
			resp := b.at(host, "GET", "/", header)
			body := read(t, resp)
			if resp.StatusCode != 401 && resp.StatusCode != 403 || !strings.Contains(body, want) {
				t.Errorf("%.40s: %s %s, want %q", header, resp.Status, body, want)
			}
		}
		// In any other form it does not count, and the app does not see it either.
		person := "ght_" + strings.Repeat("a", 43)
		for _, token := range []string{syncSecret, person} {
			encoded := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
			for _, value := range []string{
				"Token " + token, "token=" + token, "Bearer\t" + token, "Bearer " + token + ", x", "bearer: " + token, token, "Basic " + encoded(token+":"), "basic " + strings.TrimRight(encoded(token+":x"), "="),
				"Basic " + base64.URLEncoding.EncodeToString([]byte(token+":?>")), "Basic " + token, "Basic " + encoded(token), `Digest username="x", response="` + token + `"`,
				"Bearer " + encoded(token), "PRIVATE-TOKEN:" + token, "AWS4-HMAC-SHA256 Credential=" + token + "/x",
			} {
				if token == syncSecret && strings.HasSuffix(value, "/x") {
					continue // of what is configured only whole words are known
				}
				h := readEcho(t, b.at(host, "GET", "/open", "Authorization: "+value)).Header
				if host == "app.example.com" && len(h["Authorization"]) > 0 || h.Get("Remote-User") != "" {
					t.Errorf("%.20s: the app sees %v", value, h)
				}
				resp := b.at(host, "GET", "/", "Authorization: "+value)
				if body := read(t, resp); resp.StatusCode != 401 || !strings.Contains(body, "does not count") && !(token == person && strings.Contains(body, "not known")) {
					t.Errorf("%.20s: %s %s", value, resp.Status, body)
				}
			}
		}
		// What is not ours is the app's.
		for _, headers := range [][]string{{basic("alice", "her password")}, {"Authorization: Bearer of-the-app"}, {"Authorization: Digest x"}, {"Authorization: Basic %%%"}, {"Cf-Access-Client-Id: a", "Cf-Access-Client-Secret: b"}} {
			h := readEcho(t, b.at(host, "GET", "/open", headers...)).Header
			for _, line := range headers {
				name, value, _ := strings.Cut(line, ": ")
				if h.Get(name) != value {
					t.Errorf("%s: the app got %q", line, h[name])
				}
			}
			if got := b.at(host, "GET", "/", headers...).StatusCode; got != 401 {
				t.Errorf("%s opened the site: %d", headers, got)
			}
		}
	})
}

// Caddy knows Cookie and Authorization alone for secrets.
func TestTokenStaysOutOfTheLog(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.seen.add(syncSecret)
	c.run("token sync {\n\t\tsecret "+syncSecret+"\n\t\tsite app.example.com:{port}\n\t\t}", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	log
	gatehouse *@example.com
	reverse_proxy /gone 127.0.0.1:1
	reverse_proxy {app}
}`)
	for path, want := range map[string]int{"/": 200, "/gone": 502, "/_gatehouse/session": 401} {
		for _, headers := range [][]string{{"Cf-Access-Client-Id: x", "Cf-Access-Client-Secret: " + syncSecret}, {basic("x", syncSecret)}, {"X-Gatehouse-Token: " + syncSecret}} {
			if got := c.fetch(c.client(false), "GET", path, nil, headers...).StatusCode; got != want {
				t.Errorf("%s with %.20s: %d, want %d", path, headers[0], got, want)
			}
		}
	}
}

// Browsers repeat a password by themselves, also with requests that pages of other
// sites make: there it counts for nothing. No page can have them send a bearer token.
func TestPasswordFromAnotherSite(t *testing.T) {
	b := newTokenSites(t, "public /open")
	socket := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Version: 13", "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	b.each(t, func(t *testing.T, host string) {
		other := b.origin("auth.example.com")
		for _, from := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.test", "Origin: null", "Origin: " + other,
			"Referer: https://evil.test/", "Referer: " + other + "/x", "Referer: about:blank"} { // a browser without Sec-Fetch-* sends no Origin with a GET
			for _, method := range []string{"GET", "POST"} {
				if resp := b.at(host, method, "/", basic("x", syncSecret), from); resp.StatusCode != 401 {
					t.Errorf("%s with %s: %s", method, from, resp.Status)
				}
			}
			if h := readEcho(t, b.at(host, "GET", "/open", basic("x", syncSecret), from)).Header; h.Get("Remote-User") != "" {
				t.Errorf("with %s a public path is told of %q", from, h.Get("Remote-User"))
			}
			for _, header := range []string{"Authorization: Bearer " + syncSecret, "X-Gatehouse-Token: " + syncSecret} {
				if h := readEcho(t, b.at(host, "GET", "/", header, from)).Header; h.Get("Remote-User") != "token:sync" {
					t.Errorf("%.20s with %s: %v", header, from, h)
				}
			}
		}
		cookie := b.signedIn("alice@example.com")
		resp := b.at(host, "GET", "/", basic("x", syncSecret), "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", cookie)
		if h := readEcho(t, resp).Header; h.Get("Remote-User") != "alice@example.com" {
			t.Errorf("a person who comes from another site is %q", h.Get("Remote-User"))
		}
		if host == "app.example.com" {
			for header, want := range map[string]int{basic("x", syncSecret): 403, "X-Gatehouse-Token: " + syncSecret: 101, "Authorization: Bearer " + syncSecret: 101} {
				w := b.dial()
				b.send(w, append([]string{"GET /socket HTTP/1.1", "Host: {host}", "Origin: https://evil.test", header}, append(socket, "", "")...)...)
				line, err := w.r.ReadString('\n')
				must(t, err)
				if got := strings.Contains(line, " 403 "); got != (want == 403) {
					t.Errorf("a WebSocket with %.20s: %s", header, line)
				}
			}
		}
	})
}

// Basic is offered, before our own challenge, to programs that are no browser.
func TestBasicIsOfferedToProgramsAlone(t *testing.T) {
	b := newTokenSites(t, "basic on")
	b.each(t, func(t *testing.T, host string) {
		cookie := b.signedIn("mallory@example.com")
		for name, c := range map[string]struct {
			headers []string
			offered bool
		}{
			"curl": {[]string{"Accept: */*"}, true}, "git": {[]string{"User-Agent: git/2.47"}, true}, "a bad token": {[]string{basic("x", "old-"+syncSecret)}, true},
			"an app's password": {[]string{basic("x", "y")}, true},
			"a script":          {[]string{"Accept: */*", "Sec-Fetch-Mode: cors"}, false}, "a browser's WebSocket": {[]string{"Sec-Fetch-Dest: websocket"}, false},
			"an old browser": {[]string{"Accept: text/html,*/*", "X-Requested-With: XMLHttpRequest"}, false},
		} {
			resp := b.at(host, "GET", "/", c.headers...)
			lines := resp.Header["Www-Authenticate"]
			offered := len(lines) == 2 && strings.HasPrefix(lines[0], `Basic realm="`+host) && strings.HasPrefix(lines[1], "Gatehouse ")
			if resp.StatusCode != 401 || offered != c.offered || !c.offered && len(lines) != 1 {
				t.Errorf("%s: %s %q", name, resp.Status, lines)
			}
		}
		if resp := b.at(host, "GET", "/", cookie, basic("x", "y")); resp.StatusCode != 200 {
			t.Errorf("with a session: %s", resp.Status)
		}
	})
	f := newFixture(t)
	on := true
	a := f.authz(func(a *Authz) { a.Sites[0].Basic = &on })
	method, target, headers := proxies["nginx"]("Accept: */*")
	if w := asks(t, a, method, target, headers...); w.Code != 401 || len(w.Header()["Www-Authenticate"]) != 1 || !strings.HasPrefix(w.Header().Get("Www-Authenticate"), "Basic ") {
		t.Errorf("to nginx: %d %q", w.Code, w.Header()["Www-Authenticate"])
	}
	g := f.gate(nil)
	if w, _ := ask(g, "GET", testSite+"/", "Accept: */*"); strings.Contains(strings.Join(w.Header()["Www-Authenticate"], ""), "Basic") {
		t.Error("offered where nobody wrote so")
	}
}

// A gate further in knows that the token came as a password.
func TestPasswordThroughTwoHandlers(t *testing.T) {
	f := newFixture(t, machines)
	g := f.gate(nil)
	app := &recordingApp{}
	h := handler(joined(f.app, new(Cleaner)), handlerFunc(func(w http.ResponseWriter, r *http.Request) error { return g.ServeHTTP(w, r, app) }))
	for from, want := range map[string]int{"Sec-Fetch-Site: cross-site": 401, "Sec-Fetch-Site: none": 200} {
		w := newRecorder()
		h.ServeHTTP(w, request("GET", testSite+"/api/x", basic("x", backupSecret), from))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", from, w.Code, want)
		}
	}
}

// A token that a person made is said to be over when it is, and has its name in
// the list of sessions.
func TestTokenOfAPersonThatIsOver(t *testing.T) {
	f := newFixture(t)
	g := f.gate(nil)
	in := f.signInFor("alice@example.com", testSite)
	site, err := origin.ParseSitePattern(testSite)
	must(t, err)
	m := session.Machine{Name: "laptop", Sites: []origin.SitePattern{site}}
	made := func() string {
		secret, _, no, err := f.run.Service.Sessions().MakeToken(t.Context(), in.Session, mustOrigin(t, testSite), m, f.clock.now().Add(24*time.Hour))
		must(t, err)
		if no != "" {
			t.Fatal(no)
		}
		return secret
	}
	old, renewed := made(), made() // both work while programs are moved over
	for _, secret := range []string{old, renewed} {
		if w, r := ask(g, "GET", testSite+"/", basic("x", secret)); r == nil || r.Header.Get("Remote-User") != "token:alice@example.com/laptop" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if _, _, no, _ := f.run.Service.Sessions().MakeToken(t.Context(), in.Session, mustOrigin(t, testSite), m, f.clock.now().Add(24*time.Hour)); no != session.NameTaken {
		t.Errorf("a third of the name: %q", no)
	}
	list, _, err := f.run.Core.Sessions().List(t.Context(), "", 10)
	must(t, err)
	names := 0
	for _, s := range list {
		if s.Machine == "laptop" {
			names++
		}
	}
	if names != 2 {
		t.Errorf("%+v", list)
	}
	f.clock.add(25 * time.Hour)
	for _, secret := range []string{old, renewed} {
		if w, _ := ask(g, "GET", testSite+"/", "Authorization: Bearer "+secret); w.Code != 401 || !strings.Contains(w.Body.String(), "has expired or was ended") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
