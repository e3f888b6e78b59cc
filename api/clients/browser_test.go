package clients_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// site is an app's page at an origin of its own, which loads the package from
// npm, which loads our script.
func site(t *testing.T, h **apitest.House) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("/npm/", http.StripPrefix("/npm/", http.FileServer(http.Dir(npm(t)))))
	html := read(t, "testdata/page.html")
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, strings.NewReplacer("{{API}}", (*h).Server.URL, "{{KEY}}", apitest.LivePub).Replace(html))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// tab is a page in Chromium.
type tab struct {
	*testing.T
	ctx context.Context
}

func open(t *testing.T, address string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { cancel(); stop() })
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatalf("starting chromium (Debian's package chromium): %v", err)
	}
	b := &tab{t, ctx}
	for end := time.Now().Add(patience); b.eval("document.title") != "ready"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the package from npm has not loaded our script")
		}
	}
	return b
}

// eval returns what a script comes to, as text.
func (b *tab) eval(js string) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("Promise.resolve("+js+").then(String)", chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v", js, err)
	}
	return text
}

// call returns what a promise comes to, as value, or its error.
func (b *tab) call(js string) map[string]any {
	b.Helper()
	text := b.eval(js + ".then(v => JSON.stringify({value: v ?? null}), e => JSON.stringify({error: e.errorType, status: e.status, message: e.message}))")
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		b.Fatalf("%s: %s", js, text)
	}
	return out
}

// TestScriptInABrowser signs somebody in on an app's page in Chromium with the
// package that Streambird publishes.
func TestScriptInABrowser(t *testing.T) {
	var h *apitest.House
	app := site(t, &h)
	h = house(t, func(h *apitest.House) {
		orig, err := origin.Parse(app.URL)
		if err != nil {
			t.Fatal(err)
		}
		h.App.Origins, h.App.AutoVerify = []origin.Origin{orig}, true
	})
	b := open(t, app.URL)
	if in := b.call("client.sessions.isLoggedIn()")["value"]; in != false {
		t.Errorf("before anything happened somebody is signed in: %v", in)
	}
	b.eval(`(window.digits = new Promise(shown => window.waiting = client.magicLinks.loginOrCreate("alice@example.com", shown))) && "asked"`)
	press(t, h, nextMail(t, h, 0).Link, b.eval("window.digits"))
	session, _ := b.call("window.waiting")["value"].(map[string]any)
	if token, _ := session["sessionToken"].(string); len(token) != 64 || session["sessionJwt"] == "" {
		t.Fatalf("session %v", session)
	}
	if in := b.call("client.sessions.isLoggedIn()")["value"]; in != true {
		t.Errorf("after the link was used nobody is signed in: %v", in)
	}
	verified, _ := b.call("client.sessions.verify()")["value"].(map[string]any)
	if verified["sessionToken"] != session["sessionToken"] {
		t.Errorf("verified %v", verified)
	}
	if refused := b.call("client.sessions.verify({sessionExpiresIn: 60})"); refused["status"] != 403.0 {
		t.Errorf("a page extends its session: %v", refused)
	}
	b.call(`client.users.update({firstName: "Alice"})`)
	user, _ := b.call("client.users.getCurrentUser()")["value"].(map[string]any)
	if user["firstName"] != "Alice" || user["emails"].([]any)[0].(map[string]any)["email"] != "alice@example.com" {
		t.Errorf("user %v", user)
	}
	if refused := b.call(`client.users.update({emails: [{email: "victim@example.com"}]})`); refused["status"] != 403.0 {
		t.Errorf("attaching an address: %v", refused)
	}
	code, _ := b.call(`client.otps.email.loginOrCreate({email: "bob@example.com", expiresIn: "5"})`)["value"].(map[string]any)
	if code["userCreated"] != true || len(nextMail(t, h, 1).Code) != 6 {
		t.Errorf("code %v", code)
	}
	if refused := b.call(`client.magicLinks.beginLoginOrCreate("nobody")`); refused["error"] != "invalid_email" || refused["status"] != 400.0 {
		t.Errorf("a bad address: %v", refused)
	}
	if refused := b.call(`client.wallets.beginRegistration({})`); refused["message"] != "wallets.beginRegistration is not supported by this server." {
		t.Errorf("a wallet: %v", refused)
	}
	b.call("client.sessions.delete()")
	if in := b.call("client.sessions.isLoggedIn()")["value"]; in != false {
		t.Errorf("after the session was deleted somebody is signed in: %v", in)
	}
	fill(b, h)
	unwaited(b, h)
}

// fill signs in with the form that init shows.
func fill(b *tab, h *apitest.House) {
	b.Helper()
	b.eval(`client.init({elementId: "login", enabledProducts: ["emailMagicLink"], callbacks: {onSuccess: d => document.title = d.eventType, onError: d => document.title = d.eventData.message}}) ?? "shown"`)
	b.eval(`document.querySelector("#login input").value = "carol@example.com"`)
	b.eval(`document.querySelector("#login button").click() ?? "pressed"`)
	link := nextMail(b.T, h, 2).Link
	var digits string
	for end := time.Now().Add(patience); digits == "" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		digits = b.eval(`(document.querySelector("#login").innerText.match(/type (\d\d) there/) ?? ["", ""])[1]`)
	}
	press(b.T, h, link, digits)
	for end := time.Now().Add(patience); b.eval("document.title") != "EVENT_SUCCESS"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("the form: %s", b.eval(`document.title + ": " + document.querySelector("#login").innerText`))
		}
	}
}

// unwaited shows the form where the link in the mail signs in at the app: nothing is
// waited for, and the page is told as soon as the mail is out.
func unwaited(b *tab, h *apitest.House) {
	b.Helper()
	for call, said := range map[string]string{
		`client.wallets.beginRegistration({})`:        "wallets.beginRegistration is not supported by this server.",
		`client.oauth.verify("x")`:                    "oauth.verify is not supported by this server.",
		`client.otps.sms.loginOrCreate({})`:           "otps.sms.loginOrCreate is not supported by this server.",
		`client.passwords.email.authenticate({})`:     "passwords.email.authenticate is not supported by this server.",
		`client.magicLinks.somethingOfTheOriginal()`:  "magicLinks.somethingOfTheOriginal is not supported by this server.",
		`Promise.resolve(client).then(c => c.more())`: "more is not supported by this server.",
	} {
		if refused := b.call(call); refused["message"] != said {
			b.Errorf("%s: %v, want %q", call, refused, said)
		}
	}
	b.eval(`document.title = "", client.init({elementId: "login", config: {emailMagicLink: {autoVerify: false}}, callbacks: {onSuccess: d => document.title = d.eventType + " " + d.eventData.emailId.slice(0, 6), onError: d => document.title = d.eventData.message}}) ?? "shown"`)
	b.eval(`document.querySelector("#login input").value = "dora@example.com"`)
	b.eval(`document.querySelector("#login button").click() ?? "pressed"`)
	for end := time.Now().Add(patience); b.eval("document.title") != "EVENT_SUCCESS email_"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("the form: %s", b.eval(`document.title + ": " + document.querySelector("#login").innerText`))
		}
	}
	nextMail(b.T, h, 3)
}

// press does what a person does with the link of a mail and the digits that the
// page shows.
func press(t *testing.T, h *apitest.House, link, digits string) {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	if a := h.Do("POST", u.Path+"?"+u.RawQuery, url.Values{"digits": {digits}}); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
}
