package gate_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// On net/http alone a gate inside another one finds the session, the app sees who
// it is and neither cookies nor what a stranger claims, and an answer under way is
// cut when the session ends.
func TestGatesOnPlainHTTP(t *testing.T) {
	mail := make(terminal, 1)
	g, err := newGate(mail)
	if err != nil {
		t.Fatal(err)
	}
	streaming := make(chan bool, 1)
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q", r.Header.Get("Remote-User"), r.Header.Get("X-Forwarded-User"), r.Header.Get("Cookie"))
		if r.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
			streaming <- true
			<-r.Context().Done()
		}
	})
	server := httptest.NewUnstartedServer(gate.Wrap(g, gate.Wrap(g, app)))
	server.Config.ConnContext = gate.ConnContext
	server.Start()
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	do := func(method, path string, form url.Values) (int, string, error) {
		r, err := http.NewRequest(method, server.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Error(err)
			return 0, "", err
		}
		r.Header = http.Header{"Sec-Fetch-Site": {"same-origin"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Remote-User": {"root"}, "x_forwarded_user": {"root"}}
		answer, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return 0, "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body), err
	}
	if status, body, _ := do("GET", "/", nil); status != 401 || strings.Contains(body, "root") {
		t.Errorf("nobody: %d %s", status, body)
	}
	if status, _, _ := do("POST", "/_gatehouse/login", url.Values{"email": {"alice@example.com"}}); status != 303 {
		t.Errorf("a start: %d", status)
	}
	if status, _, _ := do("POST", "/_gatehouse/code", url.Values{"code": {<-mail}}); status != 303 {
		t.Errorf("a code: %d", status)
	}
	if status, body, _ := do("GET", "/", nil); status != 200 || body != `alice@example.com  ""` {
		t.Errorf("signed in: %d %s", status, body)
	}
	cut := make(chan error, 1)
	go func() {
		_, _, err := do("GET", "/stream", nil)
		cut <- err
	}()
	<-streaming
	if status, _, _ := do("POST", "/_gatehouse/logout", nil); status != 303 {
		t.Errorf("a sign-out: %d", status)
	}
	if <-cut == nil {
		t.Error("the answer ended as if it were whole")
	}
	if status, _, _ := do("GET", "/", nil); status != 401 {
		t.Errorf("after the end: %d", status)
	}
}

// Whom the server does not trust gets no answer to a question, and what stands
// nowhere lets nobody pass.
func TestPlainHTTPIsClosedByDefault(t *testing.T) {
	g, err := newGate(make(terminal, 1))
	if err != nil {
		t.Fatal(err)
	}
	app := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the app was reached") })
	for name, test := range map[string]struct {
		handler gate.Middleware
		path    string
		want    int
	}{
		"a question":     {&gate.ForwardAuth{House: g.House, Sites: []*gate.Site{{Gate: g}}}, "/api/authz/forward-auth", 400},
		"a strict one":   {&gate.ForwardAuth{House: g.House}, "/oauth2/auth", 403},
		"another path":   {&gate.ForwardAuth{House: g.House}, "/", 403},
		"a gate nowhere": {&gate.Gate{House: g.House, Rule: g.Rule}, "/", 400},
		"pages nowhere":  {&gate.Pages{House: g.House}, "/_gatehouse/login", 400},
		"no rule":        {&gate.Gate{House: g.House, Place: g.Place, Pages: g.Pages}, "/", 401},
		"another host":   {g, "//evil.test/", 400},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "http://127.0.0.1"+test.path, nil)
		if strings.HasPrefix(test.path, "//") {
			r = httptest.NewRequest("GET", "http:"+test.path, nil)
		}
		if gate.Wrap(test.handler, app).ServeHTTP(w, r); w.Code != test.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// The portal's own pages are for GET and HEAD, health too, which asks nothing else.
func TestPortalMethods(t *testing.T) {
	g, err := newGate(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	portal := gate.Wrap(&gate.Portal{House: g.House, Place: g.Place, Health: func(context.Context) (any, bool) { asked++; return "fine", true }}, http.NotFoundHandler())
	for _, path := range []string{"/_gatehouse/health", "/", "/_gatehouse/account"} {
		for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "DELETE": 405, "PATCH": 405, "OPTIONS": 405, "TRACE": 405} {
			w, before := httptest.NewRecorder(), asked
			r := httptest.NewRequest(method, "http://127.0.0.1"+path, nil)
			portal.ServeHTTP(w, r)
			if want == 200 && path != "/_gatehouse/health" {
				want = 303 // to sign in
			}
			if w.Code != want || want == 405 && (w.Header().Get("Allow") != "GET, HEAD" || asked != before) {
				t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}
