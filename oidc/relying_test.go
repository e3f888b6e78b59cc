package oidc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// The tests here are whole sign-ins with real relying parties: what apps are
// built with, each a server of its own.

// party is a relying party that serves at an address of its own.
type party struct {
	name string
	// start returns the program, which prints a line once it serves.
	start func(t testing.TB, issuer, port string) *exec.Cmd
	path  string // of its redirect URI
}

// patience bounds what another program is given time for.
const patience = 60 * time.Second

// npm is where .ci/tools has put the packages of e2e/npm/package.json.
func npm(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../e2e/npm/node_modules")
	must(t, err)
	if _, err := os.Stat(filepath.Join(dir, "openid-client")); err != nil {
		t.Fatalf("the packages from npm are missing, .ci/tools installs them: %v", err)
	}
	return dir
}

// script is a program of testdata, beside the packages from npm.
func script(name string) func(testing.TB, string, string) *exec.Cmd {
	return func(t testing.TB, issuer, port string) *exec.Cmd {
		text, err := os.ReadFile("testdata/" + name + ".mjs")
		must(t, err)
		dir := t.TempDir()
		must(t, os.Symlink(npm(t), filepath.Join(dir, "node_modules")))
		must(t, os.WriteFile(filepath.Join(dir, "party.mjs"), text, 0o600))
		cmd := exec.CommandContext(t.Context(), "node", "party.mjs")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "ISSUER="+issuer, "ID=party", "SECRET="+partySecret, "PORT="+port, "AFTER=http://localhost:"+port+"/after")
		return cmd
	}
}

// relying builds the relying parties in Go, once. They are a module of their own,
// so that what they need is none of the product's.
var relying = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "relying")
	if err != nil {
		return "", err
	}
	relyingDir = dir
	for from, to := range map[string]string{"go.mod": "go.mod", "go.sum": "go.sum", "main.go.txt": "main.go"} {
		text, err := os.ReadFile("testdata/relying/" + from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), text, 0o600)
		}
		if err != nil {
			return "", err
		}
	}
	program := filepath.Join(dir, "relying")
	out, err := exec.Command("go", "build", "-C", dir, "-o", program, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return program, err
})

func golang(kind string) func(testing.TB, string, string) *exec.Cmd {
	return func(t testing.TB, issuer, port string) *exec.Cmd {
		program, err := relying()
		must(t, err)
		return exec.CommandContext(t.Context(), program, kind, issuer, "party", partySecret, "localhost:"+port, "localhost:"+port)
	}
}

const partySecret = "party-0123456789abcdef0123456789abcde"

// relyingDir is where relying has built, empty for nowhere.
var relyingDir string

// TestMain removes what relying has built.
func TestMain(m *testing.M) {
	code := m.Run()
	if relyingDir != "" {
		_ = os.RemoveAll(relyingDir)
	}
	os.Exit(code)
}

var parties = []party{
	{"coreos/go-oidc", golang("go-oidc"), "/callback"},
	{"zitadel/oidc", golang("zitadel"), "/callback"},
	{"openid-client", script("openid-client"), "/callback"},
	{"oauth4webapi", script("oauth4webapi"), "/callback"},
	{"express-openid-connect", script("express-openid-connect"), "/callback"},
	{"Auth.js", script("auth.js"), "/auth/callback/gatehouse"},
	{"mod_auth_openidc", apache, "/protected/redirect"},
}

// run starts the party, and stops it at the end.
func (r party) run(t testing.TB, issuer, port string) {
	t.Helper()
	cmd := r.start(t, issuer, port)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a shell's program ends with it
	must(t, cmd.Start())
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	line := make(chan error, 1)
	go func() {
		lines := bufio.NewReader(out)
		_, err := lines.ReadString('\n')
		line <- err
		_, _ = io.Copy(io.Discard, lines)
	}()
	select {
	case err := <-line:
		if err != nil {
			t.Fatalf("%s has ended: %v", r.name, err)
		}
	case <-time.After(patience):
		t.Fatalf("%s does not start", r.name)
	}
}

// visit goes to an address as a person, through sign-ins, until a page of another
// origin than the provider's.
func (b *browser) visit(at string) *page {
	b.Helper()
	answer := b.get(at)
	for range 40 {
		if to, err := answer.Location(); err == nil {
			_ = answer.Body.Close()
			answer = b.get(to.String())
			continue
		}
		got := read(b, answer)
		if !strings.HasPrefix(answer.Request.URL.String(), b.issuer+"/") {
			return got
		}
		if answer = b.interact(b, got); answer == nil {
			b.Fatalf("the browser stays at %s: %s, %s", got.Request.URL.Path, got.Status, got.heading())
		}
	}
	b.Fatal("this goes round in circles")
	return nil
}

// learned is what a party tells of a sign-in.
type learned struct {
	SignedIn  *bool          `json:"signed_in"`
	ID        map[string]any `json:"id"`
	Info      map[string]any `json:"info"`
	Refreshed bool           `json:"refreshed"`
	Logout    string         `json:"logout"`
}

func (b *browser) learned(p *page) (out learned) {
	b.Helper()
	if err := json.Unmarshal([]byte(p.text), &out); err != nil {
		b.Fatalf("the app answers %s: %s", p.Status, p.text)
	}
	return out
}

// begin starts a sign-in at a party.
func (b *browser) begin(r party, base string) *page {
	b.Helper()
	switch r.name {
	case "mod_auth_openidc":
		return b.visit(base + "/protected/")
	case "Auth.js":
		var token struct {
			Value string `json:"csrfToken"`
		}
		must(b, json.Unmarshal([]byte(read(b, b.get(base+"/auth/csrf")).text), &token))
		answer := b.post(base+"/auth/signin/gatehouse", url.Values{"csrfToken": {token.Value}, "callbackUrl": {base + "/"}}, "Origin: "+base)
		at, err := answer.Location()
		must(b, err)
		return b.visit(at.String())
	}
	return b.visit(base + "/login")
}

// beginIn starts a sign-in at a party as a person does.
func (w window) beginIn(r party, base string) {
	w.Helper()
	switch r.name {
	case "mod_auth_openidc":
		w.open(base + "/protected/")
	case "Auth.js":
		w.open(base + "/auth/signin")
		w.until("document.readyState !== 'loading'", "true")
		w.do("document.querySelector('form[action$=\"/signin/gatehouse\"] button').click()")
	default:
		w.open(base + "/login")
	}
}

func TestRelyingParties(t *testing.T) {
	browser := openChromium(t)
	for _, r := range parties {
		t.Run(r.name, func(t *testing.T) {
			port := caddytest.FreePort(t)
			base := "http://localhost:" + port
			p := gatehouse(t, clients+`
		app party {
			secret `+partySecret+`
			redirect_uri `+base+r.path+`
			post_logout_redirect_uri `+base+`/after
			backchannel_logout_uri `+base+`/backchannel-logout
			allow any
		}`)
			r.run(t, p.issuer, port)
			b := p.someone()
			got := b.learned(b.begin(r, base))
			if got.ID["sub"] == nil || got.ID["sub"] != got.Info["sub"] || got.Info["email"] != b.email || !got.Refreshed {
				t.Errorf("the app has learned %+v", got)
			}
			switch r.name {
			case "express-openid-connect":
				// It asks whether it was told of an ending at every request.
				b.follow(b.get(p.issuer + "/_gatehouse/logout"))
				for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
					after := b.learned(read(t, b.get(base+"/")))
					if after.SignedIn != nil && !*after.SignedIn {
						break
					}
					if time.Now().After(end) {
						t.Fatal("the app does not hear of the sign-out")
					}
				}
			case "openid-client":
				if at, _ := b.follow(b.get(got.Logout)); at == nil || at.String() != base+"/after" {
					t.Errorf("after the sign-out the browser is sent to %v", at)
				}
				b.wantSignedOut()
			}

			w := browser.window(t)
			w.beginIn(r, base)
			w.signIn(p, "chromium@example.com")
			w.until("location.origin", base)
			w.until("document.readyState", "complete")
			text := w.value("document.body.innerText")
			if r.name == "Auth.js" { // its page says nothing of itself
				w.open(base + "/")
				text = w.value("document.body.innerText")
			}
			shown := b.learned(&page{Response: &http.Response{}, text: text})
			if shown.Info["email"] != "chromium@example.com" || shown.ID["sub"] == "" || shown.ID["sub"] == got.ID["sub"] {
				t.Errorf("Chromium shows %s", text)
			}
		})
	}
}

// apache is Debian's Apache with mod_auth_openidc, which hands what it has learned
// to a script as headers would.
func apache(t testing.TB, issuer, port string) *exec.Cmd {
	const modules = "/usr/lib/apache2/modules"
	if _, err := os.Stat(modules + "/mod_auth_openidc.so"); err != nil {
		t.Fatalf("Debian's libapache2-mod-auth-openidc is missing, .ci/tools installs it: %v", err)
	}
	dir := t.TempDir()
	// The page says what the module has put into the environment.
	must(t, os.Mkdir(filepath.Join(dir, "protected"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "protected", "index.shtml"),
		[]byte(`{"id":{"sub":"<!--#echo var="OIDC_CLAIM_sub" -->"},"info":{"sub":"<!--#echo var="OIDC_CLAIM_sub" -->","email":"<!--#echo var="OIDC_CLAIM_email" -->"},"refreshed":true}`), 0o644))
	must(t, os.Chmod(dir, 0o755))
	config := filepath.Join(dir, "apache.conf")
	must(t, os.WriteFile(config, []byte(fmt.Sprintf(`
ServerRoot %[1]s
ServerName localhost
Listen 127.0.0.1:%[2]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
DefaultRuntimeDir %[1]s
LoadModule mpm_event_module %[3]s/mod_mpm_event.so
LoadModule authn_core_module %[3]s/mod_authn_core.so
LoadModule authz_core_module %[3]s/mod_authz_core.so
LoadModule authz_user_module %[3]s/mod_authz_user.so
LoadModule dir_module %[3]s/mod_dir.so
LoadModule mime_module %[3]s/mod_mime.so
LoadModule filter_module %[3]s/mod_filter.so
LoadModule include_module %[3]s/mod_include.so
LoadModule auth_openidc_module %[3]s/mod_auth_openidc.so
DocumentRoot %[1]s
DirectoryIndex index.shtml
TypesConfig /dev/null
AddType application/json .shtml
AddOutputFilter INCLUDES .shtml
OIDCProviderMetadataURL %[4]s/.well-known/openid-configuration
OIDCClientID party
OIDCClientSecret %[5]s
OIDCRedirectURI http://localhost:%[2]s/protected/redirect
OIDCCryptoPassphrase 0123456789abcdef0123456789abcdef
OIDCPKCEMethod S256
OIDCScope "openid email"
OIDCSSLValidateServer Off
OIDCPassClaimsAs environment
OIDCCacheShmMax 100
<Directory %[1]s>
	Options +Includes
	Require all granted
</Directory>
<Location /protected>
	AuthType openid-connect
	Require valid-user
</Location>
`, dir, port, modules, issuer, partySecret)), 0o644))
	// A line on standard output once it serves, as the others print.
	return exec.CommandContext(t.Context(), "sh", "-c", `/usr/sbin/apache2 -f "$1" -X & i=0; while [ ! -e "$2/pid" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; echo ready; wait`, "sh", config, dir)
}

// TestSinglePageApp is oidc-client-ts in Chromium: a page without a secret, at an
// origin of its own, which calls the provider itself.
func TestSinglePageApp(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/npm/", http.StripPrefix("/npm/", http.FileServer(http.Dir(npm(t)))))
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	base := strings.Replace(site.URL, "127.0.0.1", "localhost", 1)
	p := gatehouse(t, clients+`
		app page {
			redirect_uri `+base+`/
			allow any
		}`)
	html, err := os.ReadFile("testdata/spa.html")
	must(t, err)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, strings.ReplaceAll(string(html), "{{ISSUER}}", p.issuer))
	})
	c := openChromium(t).window(t)
	c.open(base + "/")
	c.until("document.title", "ready")
	const email = "page@example.com"
	c.do("manager.signinRedirect()")
	c.signIn(p, email)
	c.until("document.title", "signed in")
	c.until("user.email", email)
	c.until("manager.signinSilent().then(u => u.profile.email)", email) // by the refresh token, across origins
	c.until("manager.revokeTokens(['access_token', 'refresh_token']).then(() => 'revoked')", "revoked")
}

// chromium is Debian's Chromium, for as long as a test runs.
type chromium struct{ browser context.Context }

func openChromium(t *testing.T) chromium {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	browser, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { cancel(); stop() })
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("starting chromium (Debian's package chromium): %v", err)
	}
	return chromium{browser}
}

// window is a window with cookies of its own.
type window struct {
	testing.TB
	tab context.Context
}

func (c chromium) window(t testing.TB) window {
	tab, cancel := chromedp.NewContext(c.browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return window{t, tab}
}

func (w window) open(at string) {
	w.Helper()
	if err := chromedp.Do(w.tab, chromedp.Navigate(at)); err != nil {
		w.Fatalf("opening %s: %v", at, err)
	}
}

// value is what a script comes to in the page; empty while it fails.
func (w window) value(js string) string {
	ctx, done := context.WithTimeout(w.tab, patience)
	defer done()
	got, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("Promise.resolve("+js+").then(String)", chromedp.EvalAwaitPromise))
	return got
}

// until waits for a script to come to a value.
func (w window) until(js, want string) {
	w.Helper()
	got := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = w.value(js); got == want {
			return
		}
	}
	w.Fatalf("%s is %q, want %q, at %s", js, got, want, w.value("location.href"))
}

func (w window) do(js string) {
	w.Helper()
	if _, err := chromedp.Run(w.tab, chromedp.Evaluate[string](js+";''", chromedp.EvalAwaitPromise)); err != nil {
		w.Fatal(err)
	}
}

// signIn goes through the provider's pages as they are shown.
func (w window) signIn(p *op, email string) {
	w.Helper()
	w.until("location.origin + location.pathname", p.issuer+"/_gatehouse/login")
	w.fill("email", email)
	w.until("location.pathname", "/_gatehouse/code")
	w.fill("code", p.code(email))
}

// fill sends the form that a field stands in.
func (w window) fill(field, value string) {
	w.Helper()
	w.until("document.readyState !== 'loading' && document.getElementById('"+field+"') !== null", "true")
	w.do("document.getElementById('" + field + "').value = '" + value + "'; document.forms[0].submit()")
}
