package caddymodule

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
)

func TestOrigins(t *testing.T) {
	f := newFixture(t)
	g := f.gate(func(g *Gate) {
		g.Public = []string{"/public"}
		g.Origins = []string{"https://named.example.com:8443", "http://plain.test"}
		g.guard.Place = &routes.Place{Place: gate.Place{Key: "k", Hosts: []string{"app.example.com", "*.apps.example.com", "localhost", "::1"}, Origins: []origin.Origin{
			mustOrigin(t, "https://named.example.com:8443"), mustOrigin(t, "http://plain.test"),
		}}}
	})
	for _, test := range []struct {
		scheme, host string
		status       int
	}{
		{"https", "app.example.com", 401}, {"https", "APP.example.com", 401}, {"https", "app.example.com.", 401},
		{"https", "app.example.com:443", 401}, {"https", "app.example.com:9443", 401}, // the port of the listener, below
		{"https", "app.example.com:8443", 400}, {"https", "app.example.com:80", 400}, {"https", "app.example.com:99999", 400},
		{"https", "x.apps.example.com", 401}, {"https", "x.y.apps.example.com", 400}, {"https", "apps.example.com", 400},
		{"https", "named.example.com:8443", 401}, {"https", "named.example.com", 400},
		{"http", "localhost:1234", 401}, {"http", "[::1]:1234", 401}, {"https", "localhost", 401},
		{"http", "app.example.com", 400}, {"http", "plain.test", 400},
		{"https", "evil.test", 400}, {"https", "app.example.com@evil.test", 400}, {"https", "", 400}, {"https", "app.example.com evil", 400},
		{"https", "127.1", 400}, {"https", "aapp.example.com", 400}, {"https", "app-example.com", 400},
	} {
		for _, path := range []string{"/x", "/public"} {
			r := request("GET", test.scheme+"://app.example.com"+path)
			r.Host = test.host
			r = withLocalPort(r, 9443)
			w := newRecorder()
			app := &recordingApp{}
			handler(g, app).ServeHTTP(w, r)
			want := test.status
			if path == "/public" && (want == 401 || test.scheme == "http") {
				want = 200 // plain http matters only where people sign in
			}
			if w.Code != want {
				t.Errorf("%s://%s%s: %d, want %d", test.scheme, test.host, path, w.Code, want)
			}
			if w.Code == 400 && !strings.Contains(w.Body.String(), "detail") {
				t.Errorf("%s: the answer does not say what to do: %s", test.host, w.Body)
			}
		}
	}
}

func TestBadOriginNamesHostAndRemedy(t *testing.T) {
	f := newFixture(t)
	r := request("GET", testSite+"/")
	r.Host = "192.0.2.1:8080"
	w := newRecorder()
	handler(f.gate(nil), &recordingApp{}).ServeHTTP(w, r)
	var answer struct{ Error, Detail string }
	must(t, json.Unmarshal(w.Body.Bytes(), &answer))
	if answer.Error != "bad_origin" || !strings.Contains(answer.Detail, `"192.0.2.1:8080"`) || !strings.Contains(answer.Detail, "origin https://192.0.2.1:8080") {
		t.Errorf("%+v", answer)
	}
}

func TestInsecureHTTP(t *testing.T) {
	for _, test := range []struct {
		name    string
		on      bool
		trusted bool
		headers []string
		status  int
		says    string
	}{
		{"off", false, false, nil, 400, "insecure_http on"},
		{"a proxy that says nothing", false, false, nil, 400, "send X-Forwarded-Proto, and list its address in Caddy's trusted_proxies"},
		{"a trusted proxy that says nothing", false, true, nil, 400, "send X-Forwarded-Proto"},
		{"on", true, false, nil, 401, ""},
		{"a proxy that is not trusted", false, false, []string{"X-Forwarded-Proto: https"}, 400, "trusted_proxies"},
		{"a trusted proxy", false, true, []string{"X-Forwarded-Proto: https"}, 401, ""},
		{"a trusted proxy's websocket", false, true, []string{"X-Forwarded-Proto: wss"}, 401, ""},
		{"a trusted proxy over http", false, true, []string{"X-Forwarded-Proto: http"}, 400, "insecure_http"},
		{"junk", false, true, []string{"X-Forwarded-Proto: javascript"}, 400, "X-Forwarded-Proto"},
		{"empty", false, true, []string{"X-Forwarded-Proto: "}, 400, "X-Forwarded-Proto"},
		{"contradiction", false, true, []string{"X-Forwarded-Proto: https, http"}, 400, "X-Forwarded-Proto"},
		{"contradiction in two lines", false, true, []string{"X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, 400, "X-Forwarded-Proto"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, func(f *fixture, _ *authcore.Config) { f.run.InsecureHTTP = test.on })
			h := handler(f.gate(nil), &recordingApp{}, func(vars map[string]any) { vars[caddyhttp.TrustedProxyVarKey] = test.trusted })
			w := newRecorder()
			h.ServeHTTP(w, request("GET", "http://app.example.com/", test.headers...))
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
				t.Errorf("%d %s, want %d and %q", w.Code, w.Body, test.status, test.says)
			}
		})
	}
}

// The page about a host that is nobody's has a title of its own.
func TestTitleAtAnUnknownHost(t *testing.T) {
	f := newFixture(t)
	w, _ := ask(f.gate(nil), "GET", "https://10.0.0.7/", "Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	if body := w.Body.String(); w.Code != 400 || !strings.Contains(body, "<title>Wrong address</title>") || strings.Contains(body, "<bdi></bdi>") {
		t.Errorf("%d %s", w.Code, body)
	}
}
