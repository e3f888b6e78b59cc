package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// besideApp shows what it received, and tries to set cookies of ours.
func besideApp(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Set-Cookie", "__Host-gatehouse=stolen; Secure; Path=/")
	w.Header().Add("Set-Cookie", "own=1")
	echo(w, r)
}

// besideSite is a site with these lines in it.
func besideSite(lines ...string) string {
	return "https://app.example.com:{port} {\n	bind 127.0.0.1\n	tls {tls}\n	" + strings.Join(lines, "\n	") + "\n}\n"
}

// checkCleaned sends what a stranger with somebody's cookie would, and looks at
// what the app sees of it.
func (c *gatedCaddy) checkCleaned(t *testing.T, name, path, cookie string, headers ...string) {
	t.Helper()
	lines := append([]string{"POST " + path + " HTTP/1.1", "Host: {host}", "Cookie: a=b; " + cookie, "Remote-User: root", "remote-email: root@evil.test",
		"X-Forwarded-User: root", "X-Rewrite-Url: /admin", "X-Hop: 1", "Upgrade: h2c", "Connection: close, Upgrade, X-Hop, Remote-Groups",
		"Transfer-Encoding: chunked", "Trailer: X-Sum, Remote-Name"}, headers...)
	resp := c.raw(append(lines, "", "2", "hi", "0", "X-Sum: 1", "Remote-Name: root", "Cookie: "+cookie, "", "")...)
	set := strings.Join(resp.Header["Set-Cookie"], "; ")
	e := readEcho(t, resp)
	if len(e.claims()) > 0 || e.Header.Get("Cookie") != "a=b" || e.Header.Get("Upgrade") != "" || e.Header.Get("X-Hop") != "" || len(e.Trailer) != 1 || e.Body != "hi" {
		t.Errorf("%s: the app saw %v, trailers %v", name, e.Header, e.Trailer)
	}
	if set != "own=1" {
		t.Errorf("%s: the app could set %q", name, set)
	}
}

// A named matcher says for which requests a gate stands. All others went to the
// app as strangers had made them, with any Remote-User and our cookies.
func TestRequestsBesideANamedMatcherAreCleaned(t *testing.T) {
	c := newGatedCaddy(t, http.HandlerFunc(besideApp))
	for name, test := range map[string]struct {
		matcher string
		headers []string // that lead beside the gate
	}{
		"not path":    {"not path /rest/*", nil},
		"not address": {"not remote_ip 127.0.0.0/8", nil},
		"header":      {"header X-Api *", nil},
		"no header":   {"not header X-Key *", []string{"X-Key: 1"}},
		"expression":  {"expression `!path('/rest/*')`", nil},
		"block":       {"{\n	path /admin/*\n	method GET\n	}", nil},
	} {
		c.run("", "", besideSite("@x "+test.matcher, "gatehouse @x *@example.com", "reverse_proxy {app}"))
		cookie := c.session("alice@example.com")
		c.checkCleaned(t, name, "/rest/x", cookie, test.headers...)
		login := c.fetch(c.client(false), "GET", "/_gatehouse/login", nil, page)
		if body, _ := io.ReadAll(login.Body); login.StatusCode != 200 || !strings.Contains(string(body), `name="email"`) {
			t.Errorf("%s: the form: %s", name, login.Status)
		}
		if resp := c.fetch(c.client(false), "GET", "/admin/x", nil, "X-Api: 1", page); name != "not address" && resp.StatusCode != 302 {
			t.Errorf("%s: a visitor at the gate: %s", name, resp.Status)
		}
	}
}

// What says that a request has another method than it has would lead around a
// gate for methods.
func TestMethodOverridePastAGateForMethods(t *testing.T) {
	c := newGatedCaddy(t, nil)
	for matcher, gone := range map[string]bool{"not method GET HEAD": true, "{\n	path /x\n	not method GET HEAD\n	}": true, "path /admin/*": false} {
		c.run("", "", besideSite("@w "+matcher, "gatehouse @w any", "reverse_proxy {app}"))
		for _, name := range []string{"X-Http-Method-Override", "x-method-override", "X-HTTP-Method"} {
			got := readEcho(t, c.fetch(c.client(false), "GET", "/x", nil, name+": DELETE"))
			if (got.Header.Get(name) == "") != gone {
				t.Errorf("%s: the app saw %v", matcher, got.Header)
			}
		}
		if resp := c.fetch(c.client(false), "DELETE", "/x", nil); gone && resp.StatusCode != 401 {
			t.Errorf("%s: DELETE is a %s", matcher, resp.Status)
		}
	}
}

// Where a matcher can't tell, the gate asks.
func TestMatcherThatFailsIsGuarded(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("", "", besideSite("@x expression `int({header.X-N}) > 3`", "gatehouse @x *@example.com", "reverse_proxy {app}"))
	for n, want := range map[string]int{"9": 401, "1": 200, "x": 401, "": 401} {
		if resp := c.fetch(c.client(false), "GET", "/", nil, "X-N: "+n); resp.StatusCode != want {
			t.Errorf("X-N %q: %s, want %d", n, resp.Status, want)
		}
	}
}

// Gates with matchers share a site: each has its own hosts, and the pages, which
// the first of them serves, are there for the visitors of all.
func TestLimitedGatesShareTheirPages(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("", "", `https://*.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	@intern host intern.example.com
	@wiki host wiki.example.com
	gatehouse @intern alice@example.com {
		client_ip 192.0.2.0/24
	}
	gatehouse @wiki *@example.com
	gatehouse /admin/* alice@example.com {
		client_ip 192.0.2.0/24
	}
	reverse_proxy {app}
}`)
	client := c.client(false)
	for _, test := range []struct {
		host, path string
		want       int
	}{
		{"wiki", "/_gatehouse/login", 200}, {"wiki", "/", 302}, {"intern", "/", 403},
		{"wiki", "/admin/x", 302}, {"other", "/", 200},
	} {
		r, err := http.NewRequest("GET", c.origin(test.host+".example.com")+test.path, nil)
		must(t, err)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		resp, err := client.Do(r)
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%s%s: %s, want %d", test.host, test.path, resp.Status, test.want)
		}
	}
	in := c.signInAt("alice@example.com", "wiki.example.com")
	r, err := http.NewRequest("GET", c.origin("wiki.example.com")+"/", nil)
	must(t, err)
	r.Header.Set("Cookie", "__Host-gatehouse="+in.Token)
	resp, err := client.Do(r)
	must(t, err)
	defer resp.Body.Close()
	if got := readEcho(t, resp); got.Header.Get("Remote-User") != "alice@example.com" {
		t.Errorf("%v", got.Header)
	}
}

// Beside a gate in a handle, and in error routes, the cleaner does what the gate
// would.
func TestCleaner(t *testing.T) {
	c := newGatedCaddy(t, http.HandlerFunc(besideApp))
	c.run("", "", besideSite(`handle /team/* {
		gatehouse *@example.com
		reverse_proxy {app}
	}
	handle /_gatehouse/* {
		gatehouse_pages
	}
	handle /early {
		error 404
	}
	handle /late {
		gatehouse *@example.com
		error 404
	}
	handle {
		gatehouse_clean
		reverse_proxy {app}
	}
	handle_errors {
		gatehouse_clean
		reverse_proxy {app}
	}`))
	cookie := c.session("alice@example.com")
	c.checkCleaned(t, "another handle", "/x", cookie)
	c.checkCleaned(t, "an error before a gate", "/early", cookie)
	for path, who := range map[string]string{"/team/x": "alice@example.com", "/late": "alice@example.com", "/early": ""} {
		resp := c.fetch(c.client(false), "GET", path, nil, "Cookie: a=b; "+cookie, "Remote-User: root", "Remote-Name: root")
		set := strings.Join(resp.Header["Set-Cookie"], "; ")
		got := readEcho(t, resp)
		if got.Header.Get("Remote-User") != who || got.Header.Get("Remote-Name") != "" || got.Header.Get("Cookie") != "a=b" || set != "own=1" {
			t.Errorf("%s: %v, sets %q", path, got.Header, set)
		}
	}
	if resp := c.raw("TRACE /x HTTP/1.1", "Host: {host}", "Connection: close", "", ""); resp.StatusCode != 405 {
		t.Errorf("TRACE: %s", resp.Status)
	}
}

// A cleaner for the whole site takes nothing from gates and pages further in,
// and nothing from requests that a gate has passed.
func TestCleanerBeforeAndAfterGates(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	c := newGatedCaddy(t, nil)
	c.run("token ci {\n secret "+secret+"\n site app.example.com:{port}\n }", "", besideSite(`route {
		gatehouse_clean
		route /team/* {
			gatehouse *@example.com
			gatehouse_clean
			reverse_proxy {app}
		}
		gatehouse_pages
		gatehouse_clean
		reverse_proxy {app}
	}`))
	cookie := c.session("alice@example.com")
	client := c.client(false)
	for header, who := range map[string]string{
		"Cookie: " + cookie: "alice@example.com", "Authorization: Bearer " + secret: "token:ci", "X-Gatehouse-Token: " + secret: "token:ci",
	} {
		got := readEcho(t, c.fetch(client, "GET", "/team/x", nil, header, "Remote-User: root"))
		beside := readEcho(t, c.fetch(client, "GET", "/x", nil, header, "Remote-User: root"))
		if got.Header.Get("Remote-User") != who || len(beside.claims()) > 0 {
			t.Errorf("%.20s: %v, beside the gate %v", header, got.Header, beside.Header)
		}
		for _, e := range []echoed{got, beside} {
			if e.Header.Get("Cookie") != "" || e.Header.Get("Authorization") != "" || e.Header.Get("X-Gatehouse-Token") != "" {
				t.Errorf("%.20s: the app saw %v", header, e.Header)
			}
		}
	}
	if resp := c.fetch(client, "GET", "/team/x", nil); resp.StatusCode != 401 {
		t.Errorf("nobody: %s", resp.Status)
	}
	resp := c.fetch(client, "POST", "/_gatehouse/login", strings.NewReader("email=alice%40example.com"),
		"Content-Type: application/x-www-form-urlencoded", "Origin: "+c.origin("app.example.com"), "Sec-Fetch-Site: same-origin")
	if resp.StatusCode != 303 || !strings.Contains(strings.Join(resp.Header["Set-Cookie"], ";"), "gatehouse-flow=") {
		t.Errorf("a start: %s, sets %q", resp.Status, resp.Header["Set-Cookie"])
	}
	me := c.fetch(client, "GET", "/_gatehouse/account", nil, "Cookie: "+cookie)
	if body, _ := io.ReadAll(me.Body); me.StatusCode != 200 || !strings.Contains(string(body), "alice@example.com") {
		t.Errorf("who is signed in: %s %s", me.Status, body)
	}
}

// What a portal does not know passes on cleaned, and the portal is there behind
// a gate for some paths.
func TestBesideAPortal(t *testing.T) {
	c := newGatedCaddy(t, http.HandlerFunc(besideApp))
	c.run("", "", besideSite("gatehouse_portal", "gatehouse /admin/* alice@example.com", "reverse_proxy {app}"))
	cookie := c.session("alice@example.com")
	c.checkCleaned(t, "behind a portal", "/x", cookie)
	if got := readEcho(t, c.fetch(c.client(false), "GET", "/admin/x", nil, "Cookie: "+cookie)); got.Header.Get("Remote-User") != "alice@example.com" {
		t.Errorf("a gate behind a portal: %v", got.Header)
	}
}

// The doctor says the same as the start about handlers beside the gates.
func TestDoctorNamesWhatIsNotCleaned(t *testing.T) {
	app, err := provisioned("{\n	admin off\n	gatehouse {\n		mail log\n	}\n}\napp.example.com {\n	gatehouse any\n	reverse_proxy localhost:3000\n	handle_errors {\n		reverse_proxy localhost:4000\n	}\n}")
	must(t, err)
	must(t, app.placeGates())
	found := app.examineRoutes()[1:]
	if len(found) != 1 || found[0].Level != operate.LevelWarning || !strings.Contains(found[0].Found, "reverse_proxy localhost:4000 in handle_errors at app.example.com") || !strings.Contains(found[0].Do, "gatehouse_clean") {
		t.Errorf("%+v", found)
	}
	if found := new(App).examineRoutes(); found[1].Level != operate.LevelOK {
		t.Errorf("%+v", found)
	}
}

// Cleaning costs a passing request the wrapper of its answer and what its
// placeholders say, and nothing after a gate.
func TestCleaningAllocatesLittle(t *testing.T) {
	f := newFixture(t)
	app := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	cleaner := joined(f.app, new(Cleaner))
	again := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return cleaner.ServeHTTP(w, r, app) })
	w := discard{http.Header{}}
	cost := func(next caddyhttp.Handler, first caddyhttp.MiddlewareHandler) float64 {
		r := request("GET", testSite+"/x", "Accept: */*", "Cookie: a=b")
		return testing.AllocsPerRun(100, func() {
			_ = first.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil), next)
		})
	}
	none, one, two := cost(app, passOn{}), cost(app, cleaner), cost(again, cleaner)
	if one > none+2 || two != one {
		t.Errorf("%v allocations without a cleaner, %v with one, %v with two", none, one, two)
	}
}

// In JSON a gate may stand behind matchers of its route, and handlers may be of
// anybody's.
func TestBesideInJSON(t *testing.T) {
	const gate = `{"handler": "gatehouse", "allow": ["any"]}`
	const app = `{"handler": "reverse_proxy", "upstreams": [{"dial": "localhost:3000"}]}`
	const admin = `"match": [{"path": ["/admin/*"]}]`
	const pages = `{"match": [{"path": ["/_gatehouse/*"]}], "handle": [{"handler": "gatehouse_pages"}]}, `
	for name, test := range map[string]struct{ routes, err, warning string }{
		"for some":           {pages + `{` + admin + `, "handle": [` + gate + `]}, {"handle": [` + app + `]}`, "gatehouse_clean", ""},
		"for the same":       {pages + `{` + admin + `, "handle": [` + gate + `]}, {` + admin + `, "handle": [` + app + `]}`, "", ""},
		"for fewer":          {pages + `{` + admin + `, "handle": [` + gate + `]}, {"match": [{"path": ["/admin/*"], "method": ["GET"]}], "handle": [` + app + `]}`, "", ""},
		"for more":           {pages + `{` + admin + `, "handle": [` + gate + `]}, {"match": [{"path": ["/admin/*", "/x"]}], "handle": [` + app + `]}`, "gatehouse_clean", ""},
		"cleaned":            {pages + `{"handle": [{"handler": "gatehouse_clean"}]}, {` + admin + `, "handle": [` + gate + `]}, {"handle": [` + app + `]}`, "", ""},
		"in the gate":        {`{"handle": [{"handler": "gatehouse", "allow": ["any"], "match": [{"path": ["/admin/*"]}]}]}, {"handle": [` + app + `]}`, "", ""},
		"an unknown handler": {`{"handle": [{"handler": "test_unknown"}, ` + gate + `, ` + app + `]}`, "", "test_unknown at app.example.com gets requests as strangers send them"},
	} {
		config := new(caddy.Config)
		must(t, json.Unmarshal([]byte(`{"admin": {"disabled": true}, "apps": {"gatehouse": {"mail": [{"sender": "log"}]}, "http": {"servers": {"s": {"listen": [":443"], "routes": [
			{"match": [{"host": ["app.example.com"]}], "handle": [{"handler": "subroute", "routes": [`+test.routes+`]}], "terminal": true}]}}}}}`), config))
		ctx, err := caddy.ProvisionContext(config)
		must(t, err)
		module, err := ctx.App("gatehouse")
		must(t, err)
		a := module.(*App)
		if err = a.placeGates(); (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v", name, err)
		}
		found := a.uncleaned
		if len(found) > 1 || (len(found) == 1) != (test.warning != "") || len(found) == 1 && !strings.HasPrefix(found[0].Found, test.warning) {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func init() { caddy.RegisterModule(unknownHandler{}) }

// unknownHandler is a handler of somebody else's.
type unknownHandler struct{ passOn }

func (unknownHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_unknown", New: func() caddy.Module { return new(unknownHandler) }}
}

// What we ship passes what the doctor looks at in a configuration.
func TestShippedConfigurationsPassTheDoctor(t *testing.T) {
	for _, file := range []string{"../Caddyfile.example", "../examples/Caddyfile"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			must(t, err)
			app, err := provisioned(strings.Replace(string(text), "\n{\n", "\n{\n\tadmin off\n", 1))
			must(t, err)
			must(t, app.placeGates())
			for _, f := range slices.Concat(app.examineRoutes(), app.examineAccount(), app.examineProxies()) {
				if f.Level == operate.LevelError {
					t.Errorf("%s: %s; %s", f.Check, f.Found, f.Do)
				}
			}
		})
	}
}
