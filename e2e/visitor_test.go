package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// visitor is a person with a browser of their own: cookies, and the headers
// that browsers send for page views. Redirects are answers here, not followed.
type visitor struct {
	testing.TB
	base   string
	client *http.Client
}

// answer is what came back, read to the end.
type answer struct {
	*http.Response
	body string
}

func (s *server) visitor() *visitor { return newVisitor(s, s.url) }

func newVisitor(t testing.TB, base string) *visitor {
	jar, _ := cookiejar.New(nil)
	transport := &http.Transport{
		// Every name is this machine; the sites tell apart by Host.
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		MaxIdleConnsPerHost: 300,
	}
	caddytest.Keep(t, transport)
	return &visitor{t, base, &http.Client{
		Jar: jar, Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// get views a page. headers are pairs that replace what a browser sends; an
// empty value removes.
func (v *visitor) get(path string, headers ...string) *answer {
	v.Helper()
	return v.do(http.MethodGet, path, nil, headers...)
}

// post sends a form of this site's own. fields are pairs.
func (v *visitor) post(path string, fields ...string) *answer {
	v.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return v.do(http.MethodPost, path, strings.NewReader(form.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin", "Origin", v.base)
}

func (v *visitor) do(method, path string, body io.Reader, headers ...string) *answer {
	v.Helper()
	if !strings.Contains(path, "://") {
		path = v.base + path
	}
	r, err := http.NewRequestWithContext(context.Background(), method, path, body)
	if err != nil {
		v.Fatal(err)
	}
	r.Header = http.Header{
		"Accept":         {"text/html,application/xhtml+xml,*/*;q=0.8"},
		"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"},
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"},
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	response, err := v.client.Do(r)
	if err != nil {
		v.Fatalf("%s %s: %v", method, path, err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		v.Fatalf("%s %s: %v", method, path, err)
	}
	for _, c := range response.Cookies() {
		if c.Value != "planted" {
			keepSecret("cookie "+c.Name, c.Value)
		}
	}
	keepTokens("token in an answer", response.Header.Get("Location")+" "+string(text))
	return &answer{response, string(text)}
}

// must fails the test unless the answer has this status.
func (a *answer) must(t testing.TB, status int) *answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: %s, want %d\n%.2000s", a.Request.Method, a.Request.URL.Path, a.Status, status, a.body)
	}
	return a
}

// shows fails the test unless the body has all of texts.
func (a *answer) shows(t testing.TB, texts ...string) *answer {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Fatalf("%s %s does not show %q:\n%.3000s", a.Request.Method, a.Request.URL.Path, text, a.body)
		}
	}
	return a
}

// leadsTo fails the test unless the answer sends the browser to this path.
func (a *answer) leadsTo(t testing.TB, location string) *answer {
	t.Helper()
	if got := a.Header.Get("Location"); got != location {
		t.Fatalf("%s %s leads to %q, want %q", a.Request.Method, a.Request.URL.Path, got, location)
	}
	return a
}

// seen is what the app saw, for an answer of the app.
func (a *answer) seen(t testing.TB) seen {
	t.Helper()
	var s seen
	if err := json.Unmarshal([]byte(a.body), &s); err != nil {
		t.Fatalf("not an answer of the app: %v\n%s %.500s", err, a.Status, a.body)
	}
	return s
}

// begin asks for a code.
func (v *visitor) begin(address string) smtptest.Message {
	v.Helper()
	v.post("/_gatehouse/login", "email", address).must(v, http.StatusSeeOther).leadsTo(v, "/_gatehouse/code")
	return mails.NextTo(v, address)
}

// signIn takes the whole way with the code.
func (v *visitor) signIn(address string) {
	v.Helper()
	v.post("/_gatehouse/code", "code", v.begin(address).Code(v)).must(v, http.StatusSeeOther)
}

// cookie is the value of one of this browser's cookies.
func (v *visitor) cookie(name string) string {
	u, _ := url.Parse(v.base)
	for _, c := range v.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// app asks the app who it sees.
func (v *visitor) app(path string, headers ...string) seen {
	v.Helper()
	return v.get(path, append([]string{"Accept", "application/json"}, headers...)...).must(v, http.StatusOK).seen(v)
}

// within waits until ok, or fails with what was waited for.
func within(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// visitorWith is somebody who holds these cookies.
func (s *server) visitorWith(cookies map[string]string) *visitor {
	v := s.visitor()
	u, _ := url.Parse(v.base)
	for name, value := range cookies {
		v.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
	}
	return v
}
