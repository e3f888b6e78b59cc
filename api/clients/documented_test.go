package clients_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// TestCurlScripts runs the scripts of examples/apis as a person would, who
// pastes what the mails have.
func TestCurlScripts(t *testing.T) {
	scripts, err := filepath.Glob("../../examples/apis/*.sh")
	if err != nil || len(scripts) != 4 {
		t.Fatalf("%v %v", scripts, err)
	}
	link := func(m outbox.Message) string { return m.Link }
	code := func(m outbox.Message) string { return m.Code }
	for script, c := range map[string]struct {
		pastes []func(outbox.Message) string
		says   []string
	}{
		"stackbe.sh":    {[]func(outbox.Message) string{link}, []string{`"success":true`, `"valid":true`, `"planName":`, `"name":"A. Customer"`, `"orgRole":"owner"`}},
		"streambird.sh": {[]func(outbox.Message) string{link, code}, []string{`"user_created":true`, `"method_type":"email"`, `"sessions":[`, `"kty":"RSA"`, `Successfully deleted session`}},
		"link.sh":       {[]func(outbox.Message) string{code}, []string{`"userExistsOnLink":false`, `"createdAt":`, `"smsSent":`, `"authenticationSuccessful":true`, `"email":"alice@example.com"`}},
		"reflex.sh":     {[]func(outbox.Message) string{link}, []string{`"recent_attempts":1`, `"valid":true`, `"session_is_valid":true`, `"persistent_id":"ff8d9819fc0e12bf0d24892e45987e249a28dce836a85cad60e28eaaa8c6d976"`, `"session_is_valid":false`}},
	} {
		t.Run(script, func(t *testing.T) {
			h := house(t, nil)
			cmd := exec.CommandContext(t.Context(), "sh", "../../examples/apis/"+script)
			cmd.Env = append(os.Environ(), "BASE="+h.Server.URL, "APP=shop", "KEY="+apitest.LiveKey, "PUB="+apitest.LivePub, "EMAIL=alice@example.com")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for i, paste := range c.pastes {
				if _, err := io.WriteString(in, paste(nextMail(t, h, i))+"\n"); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, want := range c.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the script does not show %s:\n%s", want, out.String())
				}
			}
		})
	}
}

// program takes a program out of docs/bring-your-own-sessions.md and starts it.
func program(t *testing.T, name string, h *apitest.House) (home string) {
	t.Helper()
	found := regexp.MustCompile("(?s)```js " + regexp.QuoteMeta(name) + "\n(.*?)```").FindStringSubmatch(read(t, "../../docs/bring-your-own-sessions.md"))
	if found == nil {
		t.Fatalf("the document has no program %s", name)
	}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	env := []string{"API=" + h.Server.URL, "APP_ID=shop", "API_KEY=" + apitest.LiveKey, "PUBLISHABLE_KEY=" + apitest.LivePub, "PORT=" + port, "SECRET=" + strings.Repeat("s", 32)}
	return serve(t, folder(t, map[string]string{name: found[1]}), env, "node", name)
}

// person is somebody with a browser that keeps cookies.
type person struct {
	*testing.T
	client http.Client
}

func newPerson(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t, http.Client{Jar: jar, Timeout: patience}}
}

// does opens a page, or posts a form, and returns the text after redirects.
func (p *person) does(address string, form url.Values) string {
	p.Helper()
	request := func() (*http.Response, error) { return p.client.Get(address) }
	if form != nil {
		request = func() (*http.Response, error) { return p.posts(address, form) }
	}
	resp, err := request()
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// posts sends a form as the page at address does.
func (p *person) posts(address string, form url.Values) (*http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	return p.postsFrom(u.Scheme+"://"+u.Host, address, form)
}

// formsOfOthers: a page of another site asks for a mail to its owner in this browser,
// so that what came of it would sign the browser in as them, or signs it out.
func (p *person) formsOfOthers(home string, paths ...string) {
	p.Helper()
	for _, path := range paths {
		for _, from := range []string{"https://evil.example", "null", strings.Replace(home, "http:", "https:", 1), ""} {
			resp, err := p.postsFrom(from, home+path, url.Values{"email": {"mallory@example.com"}, "code": {"123456"}})
			if err != nil {
				p.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden || resp.Header.Get("Set-Cookie") != "" {
				p.Errorf("a form of %q for %s: %d %v", from, path, resp.StatusCode, resp.Header)
			}
		}
	}
}

func (p *person) postsFrom(from, address string, form url.Values) (*http.Response, error) {
	r, err := http.NewRequestWithContext(p.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if from != "" {
		r.Header.Set("Origin", from)
	}
	return p.client.Do(r)
}

func (p *person) sees(text, want string) {
	p.Helper()
	if !strings.Contains(text, want) {
		p.Fatalf("want %q: %s", want, text)
	}
}

// TestOwnSessionsByLink runs the documented app that signs people in by link.
func TestOwnSessionsByLink(t *testing.T) {
	h := house(t, nil)
	home := program(t, "stackbe.mjs", h)
	alice, mallory := newPerson(t), newPerson(t)
	alice.sees(alice.does(home+"/", nil), "<form")
	alice.sees(alice.does(home+"/login", url.Values{"email": {"alice@example.com"}}), "We have sent you a mail")
	mail := nextMail(t, h, 0).Link
	mallory.sees(mallory.does(mail, nil), "<button")
	alice.sees(alice.does(mail, nil), "<button")
	alice.sees(alice.does(mail, url.Values{}), "Signed in as alice@example.com")
	alice.sees(alice.does(home+"/", nil), "Signed in as alice@example.com")
	mallory.sees(mallory.does(home+"/login", url.Values{"email": {"mallory@example.com"}}), "We have sent you a mail")
	alice.sees(alice.does(nextMail(t, h, 1).Link, url.Values{}), "in the browser where you asked")
	alice.sees(alice.does(home+"/logout", url.Values{}), "<form")
	alice.formsOfOthers(home, "/login", "/logout")
}

// TestOwnSessionsByCode runs the documented app that signs people in by code.
func TestOwnSessionsByCode(t *testing.T) {
	h := house(t, nil)
	home := program(t, "link.mjs", h)
	bob := newPerson(t)
	bob.sees(bob.does(home+"/", nil), "<form")
	bob.sees(bob.does(home+"/login", url.Values{"email": {"bob@example.com"}}), "/code")
	code := nextMail(t, h, 0).Code
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	bob.sees(bob.does(home+"/code", url.Values{"code": {wrong}}), "/code")
	bob.sees(bob.does(home+"/code", url.Values{"code": {code}}), "Signed in as bob@example.com")
	bob.sees(bob.does(home+"/logout", url.Values{}), "<form")
	bob.formsOfOthers(home, "/login", "/code", "/logout")

	// After a lock the program says what to do, and gets out by it.
	carol := newPerson(t)
	carol.sees(carol.does(home+"/login", url.Values{"email": {"carol@example.com"}}), "/code")
	nextMail(t, h, 1)
	for range 5 {
		carol.does(home+"/code", url.Values{"code": {wrong}})
	}
	carol.sees(carol.does(home+"/code", url.Values{"code": {wrong}}), `look the email up again`)
	carol.sees(carol.does(home+"/code", url.Values{"code": {wrong}}), `<a href="/">Start again</a>`)
	h.Sleep(11 * time.Second)
	carol.sees(carol.does(home+"/", nil), "/login")
	carol.sees(carol.does(home+"/login", url.Values{"email": {"carol@example.com"}}), "/code")
	mail := nextMail(t, h, 2)
	if code = mail.Code; code == "" { // half of the budget is used up by who is not known yet
		pressed := carol.does(mail.Link, url.Values{})
		code = regexp.MustCompile(`>(\d{6})<`).FindStringSubmatch(pressed)[1]
	}
	carol.sees(carol.does(home+"/code", url.Values{"code": {code}}), "Signed in as carol@example.com")
}

// TestOwnSessionsWithAuthJS runs the documented app whose sessions Auth.js keeps.
func TestOwnSessionsWithAuthJS(t *testing.T) {
	h := house(t, nil)
	home := program(t, "authjs.mjs", h)
	dora := newPerson(t)
	dora.sees(dora.does(home+"/", nil), "/login")
	form := dora.does(home+"/login", url.Values{"email": {"dora@example.com"}})
	dora.sees(form, "/auth/callback/credentials")
	secret := regexp.MustCompile(`name="client_secret" value="([^"]+)"`).FindStringSubmatch(form)
	csrf := func() string {
		return regexp.MustCompile(`"csrfToken":"([^"]+)"`).FindStringSubmatch(dora.does(home+"/auth/csrf", nil))[1]
	}
	code := nextMail(t, h, 0).Code
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	answer := func(code string) string {
		return dora.does(home+"/auth/callback/credentials", url.Values{"csrfToken": {csrf()}, "callbackUrl": {home + "/"}, "email": {"dora@example.com"}, "client_secret": {secret[1]}, "code": {code}})
	}
	answer(wrong)
	dora.sees(dora.does(home+"/", nil), "/login")
	dora.sees(answer(code), "Signed in as dora@example.com")
	dora.sees(dora.does(home+"/", nil), "Signed in as dora@example.com")
}

// TestCurlScriptsSayWhatWentWrong: what the server answers is printed.
func TestCurlScriptsSayWhatWentWrong(t *testing.T) {
	h := house(t, nil)
	for _, script := range []string{"link.sh", "reflex.sh", "stackbe.sh", "streambird.sh"} {
		cmd := exec.CommandContext(t.Context(), "sh", "../../examples/apis/"+script)
		cmd.Env = append(os.Environ(), "BASE="+h.Server.URL, "APP=shop", "KEY=sk_live_"+strings.Repeat("0", 48), "PUB=pk_live_"+strings.Repeat("0", 48), "EMAIL=alice@example.com")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "This API key is not known.") {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// TestDocumentsPassRedocly checks the OpenAPI documents with a linter of others.
func TestDocumentsPassRedocly(t *testing.T) {
	documents, err := filepath.Glob("../openapi/*.json")
	if err != nil || len(documents) != 4 {
		t.Fatalf("%v %v", documents, err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(npm(t), ".bin", "redocly"), append([]string{"lint", "--format=summary"}, documents...)...)
	cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "CI=true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
