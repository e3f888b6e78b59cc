package caddymodule

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// from asks a host as a client with another address of this machine.
func (b *bothWays) from(client, host, method, path string, headers ...string) *http.Response {
	b.Helper()
	r, err := http.NewRequest(method, b.origin(host)+path, nil)
	must(b, err)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", b.addr)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}
	resp, err := watched{transport, &b.seen}.RoundTrip(r)
	must(b, err)
	b.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// Clients of a trusted network pass without a sign-in and are nobody to the app,
// or the person whom the configuration names. Who is signed in is named as ever.
func TestTrust(t *testing.T) {
	b := newBothWays(t, nil, "", "*@example.com", []string{"X-User", "X-Sub"}, "header X-User local", "header X-Sub sub",
		"trust 127.0.0.2 127.0.3.0/24", "trust 127.0.0.4 as home@example.com")
	b.each(t, func(t *testing.T, host string) {
		spoof := "Remote-User: root@evil.test"
		for _, client := range []string{"127.0.0.2", "127.0.3.77"} {
			h := readEcho(t, b.from(client, host, "GET", "/", spoof)).Header
			if h.Get("Remote-User") != "" || h.Get("X-User") != "" || h.Get("X-Gatehouse-Assertion") != "" {
				t.Errorf("from %s the app is told %v", client, h)
			}
		}
		h := readEcho(t, b.from("127.0.0.4", host, "POST", "/", spoof)).Header
		if h.Get("Remote-User") != "home@example.com" || h.Get("X-User") != "home" || h.Get("X-Sub") != "" || h.Get("X-Gatehouse-Assertion") != "" {
			t.Errorf("as a person: %v", h)
		}
		for _, client := range []string{"127.0.0.5", "127.0.4.1"} {
			if got := b.from(client, host, "GET", "/").StatusCode; got != 401 {
				t.Errorf("from %s: %d", client, got)
			}
		}
		cookie := b.signedIn("alice@example.com")
		for _, client := range []string{"127.0.0.2", "127.0.0.4", "127.0.0.5"} {
			if h := readEcho(t, b.from(client, host, "GET", "/", cookie)).Header; h.Get("Remote-User") != "alice@example.com" {
				t.Errorf("signed in, from %s: %q", client, h.Get("Remote-User"))
			}
		}
		// A token that counts for nothing is told so, there too.
		if got := b.from("127.0.0.2", host, "GET", "/", "X-Gatehouse-Token: ght_x").StatusCode; got != 401 {
			t.Errorf("with a bad token: %d", got)
		}
		if got := b.from("127.0.0.4", "app.example.com", "GET", "/_gatehouse/account", navigation...); got.StatusCode == 200 {
			t.Error("the network has an account page")
		}
		if got := b.from("127.0.0.4", "app.example.com", "GET", "/_gatehouse/session", "Sec-Fetch-Site: same-origin").StatusCode; got != 401 {
			t.Errorf("the network has a session: %d", got)
		}
	})
	why, err := runningApp(t).instance.Why(t.Context(), "alice@example.com", b.origin("app.example.com"))
	must(t, err)
	if besides := fmt.Sprint(why.Gates[0].Besides); !strings.Contains(besides, "nobody has to sign in from 127.0.0.2") {
		t.Errorf("why says %s", besides)
	}
}

// A network is as ambient as a cookie.
func TestTrustNotForPagesOfOtherSites(t *testing.T) {
	b := newBothWays(t, nil, "", "*@example.com", nil, "trust 127.0.0.2")
	b.each(t, func(t *testing.T, host string) {
		own := b.origin(host)
		follow := []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html"}
		for _, c := range []struct {
			name, method string
			headers      []string
			passes       bool
		}{
			{"a link that is followed", "GET", follow, true},
			{"a form of another site", "POST", append([]string{"Origin: https://evil.test"}, follow...), false},
			{"a frame in another site", "GET", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, false},
			{"an image in another site", "GET", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, false},
			{"a script of another site", "GET", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Origin: https://evil.test"}, false},
			{"a script of a sibling", "POST", []string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Origin: https://blog.example.com"}, false},
			{"a form of a sibling", "POST", []string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Origin: https://blog.example.com"}, false},
			{"an image of a sibling", "GET", []string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"}, false},
			{"a sibling's link", "GET", append([]string{"Sec-Fetch-Site: same-site"}, follow[1:]...), true},
			{"a frame in a sandbox", "PUT", []string{"Sec-Fetch-Site: same-origin", "Origin: null"}, false},
			{"a preflight", "OPTIONS", []string{"Origin: https://evil.test", "Access-Control-Request-Method: PUT"}, false},
			{"a script of its own", "POST", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Origin: " + own}, true},
			{"typed", "GET", []string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"}, true},
			{"a program", "DELETE", nil, true},
			{"an old browser, a foreign form", "POST", []string{"Origin: https://evil.test", "Accept: text/html"}, false},
			{"an old browser, no origin told", "POST", []string{"Origin: null"}, false},
			{"an old browser, a foreign image", "GET", []string{"Referer: https://evil.test/", "Accept: image/*"}, false},
			{"an old browser, a link", "GET", []string{"Referer: https://evil.test/", "Accept: text/html"}, true},
			{"an old browser, its own", "POST", []string{"Origin: " + own, "Referer: " + own + "/x"}, true},
			{"two origins", "GET", []string{"Origin: " + own, "Origin: https://evil.test"}, false},
		} {
			if got := b.from("127.0.0.2", host, c.method, "/", c.headers...).StatusCode; (got == 200) != c.passes {
				t.Errorf("%s: %d, passes must be %v", c.name, got, c.passes)
			}
		}
	})
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Trust = []Trust{{Networks: []string{"192.0.2.0/24"}}} })
	socket := []string{"Connection: Upgrade", "Upgrade: websocket"}
	for from, passes := range map[string]bool{"https://evil.test": false, "null": false, testSite: true} {
		made := &recordingApp{}
		prepared(g, made).ServeHTTP(newRecorder(), request("GET", testSite+"/", append(socket, "Origin: "+from)...))
		if made.last() != nil {
			t.Errorf("%s: a request without a connection passed", from)
		}
		app := &recordingApp{}
		handler(g, app).ServeHTTP(newRecorder(), withLocalPort(request("GET", testSite+"/", append(socket, "Origin: "+from)...), 443))
		if (app.last() != nil) != passes {
			t.Errorf("a WebSocket of %s passed: %v", from, !passes)
		}
	}
}

// What says that it came through a proxy that nobody listed is a tunnel, and all
// the world would be at home; so it is where a listed one names no client.
func TestTrustOnlyAtFirstHand(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Trust = []Trust{{Networks: []string{"192.0.2.0/24"}}} })
	passes := func(r *http.Request, vars ...func(map[string]any)) bool {
		app := &recordingApp{}
		handler(g, app, vars...).ServeHTTP(newRecorder(), r)
		return app.last() != nil
	}
	at := func(headers ...string) *http.Request {
		return withLocalPort(request("GET", testSite+"/", headers...), 443)
	}
	if !passes(at()) {
		t.Fatal("a client of the network does not pass")
	}
	made := &recordingApp{}
	if prepared(g, made).ServeHTTP(newRecorder(), request("GET", testSite+"/")); made.last() != nil {
		t.Error("a request that a handler made passes")
	}
	early := at()
	early.TLS.HandshakeComplete = false
	if passes(early) {
		t.Error("early data passes")
	}
	for _, name := range []string{"X-Forwarded-For", "x-forwarded-for", "X_Forwarded_For", "Forwarded", "Via", "CF-Connecting-IP", "Cf-Connecting-Ip", "X-Real-IP", "X-Real-Ip"} {
		if passes(at(name + ": 192.0.2.7")) {
			t.Errorf("%s of an unlisted peer passes", name)
		}
	}
	trusted := func(client string) func(map[string]any) {
		return func(vars map[string]any) {
			vars[caddyhttp.TrustedProxyVarKey], vars[caddyhttp.ClientIPVarKey] = true, client
		}
	}
	proxied := at("X-Forwarded-For: 192.0.2.7", "Via: 1.1 x")
	proxied.RemoteAddr = "10.0.0.1:1234"
	if !passes(proxied, trusted("192.0.2.7")) || passes(proxied, trusted("198.51.100.1")) {
		t.Error("a listed proxy is not believed about its client, or not about all")
	}
	silent := at()
	silent.RemoteAddr = "192.0.2.9:1234"
	if passes(silent, trusted("192.0.2.9")) {
		t.Error("the clients of a proxy that names none pass")
	}
}

// A proxy sets one header and hands on what its clients say in the others: nobody is at
// home where a listed one names two clients.
func TestTrustNotWhereTwoClientsAreNamed(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) { g.Trust = []Trust{{Networks: []string{"192.0.2.0/24"}}} })
	for _, c := range []struct {
		headers []string
		passes  bool
	}{
		{nil, true},
		{[]string{"X-Real-Ip: 192.0.2.7"}, true},
		{[]string{"X-Real-Ip: ::ffff:192.0.2.7", "Cf-Connecting-Ip: 192.0.2.7", "Forwarded: for=10.9.9.9, For=\"192.0.2.7:4711\";proto=https"}, true},
		{[]string{"Forwarded: proto=https", "X-Original-Forwarded-For: 203.0.113.9"}, true},
		{[]string{"X-Real-Ip: 203.0.113.9"}, false},
		{[]string{"X-Real-Ip: 192.0.2.8"}, false},
		{[]string{"X-Real-Ip: 10.0.0.1"}, false}, // the proxy itself
		{[]string{"X-Real-Ip: unix:"}, false},
		{[]string{"X-Real-Ip: 192.0.2.7", "X-Real-Ip: 203.0.113.9"}, false},
		{[]string{"X-Proxyuser-Ip: 203.0.113.9"}, false},
		{[]string{"X-Envoy-External-Address: 203.0.113.9"}, false},
		{[]string{"Cf-Connecting-Ip: 2001:db8::9"}, false},
		{[]string{"True-Client-Ip: 203.0.113.9"}, false},
		{[]string{"Forwarded: for=192.0.2.7, for=203.0.113.9"}, false},
		{[]string{"Forwarded: by=x;FOR=\"[2001:db8::9]:99\""}, false},
		{[]string{"Forwarded: for=_hidden"}, false},
		{[]string{"Forwarded: for=unknown;proto=https"}, false},
		{[]string{"X-Forwarded-For: 192.0.2.7, unix:"}, false},
		{[]string{"X-Forwarded-For: 192.0.2.7, unknown"}, false},
		{[]string{"X-Forwarded-For: 192.0.2.7,"}, false},
		{[]string{"X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: -"}, false},
		{[]string{"X-Forwarded-For: unknown, [::ffff:192.0.2.7]:4711"}, true},
	} {
		app := &recordingApp{}
		headers := c.headers
		if !slices.ContainsFunc(headers, func(line string) bool { return strings.HasPrefix(line, "X-Forwarded-For:") }) {
			headers = append(headers, "X-Forwarded-For: 192.0.2.7")
		}
		r := withLocalPort(request("GET", testSite+"/", headers...), 443)
		r.RemoteAddr = "10.0.0.1:1234"
		handler(g, app, func(vars map[string]any) {
			vars[caddyhttp.TrustedProxyVarKey], vars[caddyhttp.ClientIPVarKey] = true, "192.0.2.7"
		}).ServeHTTP(newRecorder(), r)
		if got := app.last() != nil; got != c.passes {
			t.Errorf("%q passes: %v", c.headers, got)
		}
	}
}

// A wide network was seldom meant to hold this machine and its containers.
func TestTrustOwnNetworks(t *testing.T) {
	for network, clients := range map[string]map[string]bool{
		"10.0.0.0/8":     {"10.1.2.3": true, "10.88.0.5": false, "10.42.1.1": false, "10.244.0.9": false},
		"172.16.0.0/12":  {"172.16.0.5": true, "172.17.0.1": false, "172.31.255.1": false},
		"172.17.0.0/16":  {"172.17.0.1": true, "172.18.0.1": false},
		"172.20.5.0/24":  {"172.20.5.9": true},
		"127.0.0.0/8":    {"127.0.0.1": true},
		"192.168.0.0/16": {"192.168.1.7": true, "192.169.0.1": false},
		"2001:db8::/32":  {"2001:db8::1": true, "::1": false},
	} {
		homes, err := parseTrust([]Trust{{Networks: []string{network}}})
		must(t, err)
		f := newFixture(t)
		g := f.gate(nil)
		g.gate.Homes = homes
		for client, want := range clients {
			app := &recordingApp{}
			handler(g, app, func(vars map[string]any) { vars[caddyhttp.ClientIPVarKey] = client }).
				ServeHTTP(newRecorder(), withLocalPort(request("GET", testSite+"/"), 443))
			if got := app.last() != nil; got != want {
				t.Errorf("trust %s, %s: passes %v, want %v", network, client, got, want)
			}
		}
	}
	for _, network := range []string{"0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "2000::/3", "192.168.1.1/24", "home", "private_ranges", ""} {
		if _, err := parseTrust([]Trust{{Networks: []string{network}}}); err == nil {
			t.Errorf("trust %s is taken", network)
		}
	}
}

// Where most clients at home are one private address, it is seldom a person.
func TestDoctorNamesOneClientAtHome(t *testing.T) {
	for name, c := range map[string]struct {
		clients []string
		warns   bool
	}{
		"a bridge":           {[]string{"192.168.1.1", "192.168.1.1", "192.168.1.7"}, true},
		"a tunnel":           {[]string{"127.0.0.1"}, true},
		"people":             {[]string{"192.168.1.1", "192.168.1.7", "192.168.1.8"}, false},
		"one on the outside": {[]string{"203.0.113.9"}, false},
	} {
		homes, err := parseTrust([]Trust{{Networks: []string{"192.168.1.0/24"}}})
		must(t, err)
		f := newFixture(t)
		if found := f.app.examineTrust(); found != nil {
			t.Errorf("without trust: %+v", found)
		}
		g := f.gate(func(g *Gate) { g.Trust = []Trust{{Networks: []string{"192.168.1.0/24"}}} })
		g.gate.Homes = homes
		for i := range 30 {
			client := c.clients[i%len(c.clients)]
			handler(g, &recordingApp{}, func(vars map[string]any) { vars[caddyhttp.ClientIPVarKey] = client }).
				ServeHTTP(newRecorder(), withLocalPort(request("GET", testSite+"/"), 443))
		}
		found := f.app.examineTrust()
		if len(found) != 1 || (found[0].Level == operate.LevelWarning) != c.warns || c.warns && !strings.Contains(found[0].Found, c.clients[0]) {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// The person who stands for a network is asked about like any other, has no fresh
// sign-in, and is audited.
func TestTrustAs(t *testing.T) {
	f := newFixture(t)
	home := []Trust{{Networks: []string{"192.0.2.0/24"}, As: "home@example.com"}}
	passes := func(g *Gate) bool {
		app := &recordingApp{}
		handler(g, app).ServeHTTP(newRecorder(), withLocalPort(request("GET", testSite+"/"), 443))
		return app.last() != nil
	}
	g := f.gate(func(g *Gate) { g.Trust, g.Headers = home, []string{"remote", "assertion", "cloudflare"} })
	app := &recordingApp{}
	handler(g, app).ServeHTTP(newRecorder(), withLocalPort(request("GET", testSite+"/"), 443))
	if h := app.last().Header; h.Get("Remote-User") != "home@example.com" || h.Get("X-Gatehouse-Assertion") != "" || h.Get("Cf-Access-Jwt-Assertion") != "" {
		t.Errorf("%v", h)
	}
	if f.logs.FilterMessageSnippet("its network is trusted").Len() != 1 {
		t.Error("nothing tells of it")
	}
	g.gate.Rule = f.gate(func(g *Gate) { g.Deny = []string{"home@example.com"} }).gate.Rule
	if passes(g) {
		t.Error("passes as somebody who is not admitted any more")
	}
	if passes(f.gate(func(g *Gate) { g.Trust, g.Fresh = home, caddy.Duration(3600e9) })) {
		t.Error("counts as a fresh sign-in")
	}
	signed := "Cookie: " + f.signIn("mallory@elsewhere.test", testSite)
	app = &recordingApp{}
	handler(f.gate(func(g *Gate) { g.Trust = home }), app).ServeHTTP(newRecorder(), withLocalPort(request("GET", testSite+"/", signed), 443))
	if app.last() != nil {
		t.Error("somebody signed in whom the gate does not admit passes as the network")
	}
}

// A start refuses what would trust everybody, and the doctor tells of what may.
func TestTrustRefusedAtStart(t *testing.T) {
	m := newMachine(t)
	text := func(server, gate string) []byte {
		whole := strings.Replace(m.text("", ""), "gatehouse any\n", "gatehouse *@example.com {\n"+gate+"\n}\n", 1)
		return m.adapt(strings.Replace(whole, "admin off\n", "admin off\nservers {\n"+server+"\n}\n", 1))
	}
	if got := m.refuses(text("trusted_proxies static 10.0.0.0/8", "trust 192.168.1.0/24")); !strings.Contains(got, "trusted_proxies_strict") {
		t.Error(got)
	}
	if got := m.refuses(text("", "trust 192.168.1.0/24 as home@elsewhere.test")); !strings.Contains(got, "does not admit this address") || strings.Contains(got, "home@") {
		t.Error(got)
	}
	must(t, caddytest.Load(text("trusted_proxies static 10.0.0.0/8\ntrusted_proxies_strict", "trust 192.168.1.0/24 as home@example.com")))
	b := newBothWays(t, nil, "", "*@example.com", nil, "trust 127.0.0.9")
	doctor := func() operate.Finding { return runningApp(t).examineTrust()[0] }
	if doctor().Do != "" {
		t.Errorf("%+v", doctor())
	}
	for range 30 {
		b.from("127.0.0.8", "app.example.com", "GET", "/")
	}
	if f := doctor(); !strings.Contains(f.Found, "127.0.0.8") || f.Do == "" {
		t.Errorf("%+v", f)
	}
}

// What a network opened in somebody's name ends when that goes: the line, the
// address on it, or the person.
func TestStreamsOfATrustedNetworkAreCut(t *testing.T) {
	app := &streamingApp{}
	c := newGatedCaddy(t, app)
	list := filepath.Join(c.dir, "people.txt")
	begin := func(path string) io.Reader {
		t.Helper()
		must(t, os.WriteFile(list, []byte("alice@example.com\nbob@example.com\n"), 0o600))
		c.runGate("file:"+list, "trust 127.0.0.1/32 as alice@example.com")
		return c.openStream(app, false, path, "x=y")
	}
	body := begin("/events/person")
	must(t, os.WriteFile(list, []byte("bob@example.com\n"), 0o600))
	wantCut(t, body)
	for path, line := range map[string]string{"/events/as": "trust 127.0.0.1/32 as bob@example.com", "/events/nobody": "trust 127.0.0.1/32", "/events/line": "headers none"} {
		body := begin(path)
		c.runGate("file:"+list, line)
		wantCut(t, body)
	}
	begin("/events/goes-on")
	bobs := c.openStream(app, false, "/events/bob", c.session("bob@example.com"))
	c.runGate("alice@example.com", "trust 127.0.0.1/32 as alice@example.com")
	wantCut(t, bobs)
	eventually(t, "the stream of the network goes on alone", func() bool { return c.core().Sessions().Streams() == 1 })
}
