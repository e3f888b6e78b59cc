package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

func init() { caddy.RegisterModule(new(stubbornApp)) }

// stubbornApp is another app of the same configuration, whose start fails.
type stubbornApp struct{}

func (*stubbornApp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "stubborn", New: func() caddy.Module { return new(stubbornApp) }}
}
func (*stubbornApp) Start() error { return errors.New("stubborn does not start") }
func (*stubbornApp) Stop() error  { return nil }

// machine is where a Caddy runs: directories, a port, a mail server.
type machine struct {
	testing.TB
	dir, url string
	mail     *smtptest.Server
	seen     secretsSeen // what the log may not hold
	// mayLogAddresses: the audit log of this test has them in full
	mayLogAddresses bool
}

func newMachine(t testing.TB) *machine {
	m := &machine{TB: t, dir: t.TempDir(), mail: smtptest.Start(t, smtptest.Options{})}
	m.url = "http://localhost:" + caddytest.FreePort(t)
	t.Cleanup(m.checkLog)
	t.Cleanup(func() { must(t, caddy.Stop()) })
	return m
}

// config is a whole configuration; global and site add lines to it.
func (m *machine) config(global, site string) []byte { return m.adapt(m.text(global, site)) }

func (m *machine) text(global, site string) string {
	return fmt.Sprintf(`{
	admin off
	persist_config off
	grace_period 5s
	storage file_system %[1]s/caddy
	log {
		%[6]s
	}
	gatehouse {
		store badger %[1]s/store
		mail smtp %[2]s {
			tls off
		}
		from "Example" <login@example.com>
		%[3]s
	}
}
%[4]s {
	bind 127.0.0.1
	gatehouse any
	%[5]s
	gatehouse_whoami
}`, m.dir, m.mail.Addr, global, m.url, site, m.logOutput())
}

func (m *machine) adapt(text string) []byte {
	m.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	must(m, err)
	return config
}

func (m *machine) load(global, site string) {
	m.Helper()
	m.loadText(m.text(global, site))
}

func (m *machine) loadText(text string) {
	m.Helper()
	must(m, caddytest.Load(m.adapt(text)))
}

// refuses loads a configuration that must be refused, and returns the reason.
func (m *machine) refuses(config []byte) string {
	m.Helper()
	err := caddytest.Load(config)
	if err == nil {
		m.Fatal("the configuration was taken")
	}
	return err.Error()
}

func (m *machine) signIn(email string) []*http.Cookie {
	m.Helper()
	begun := m.ask(http.MethodPost, "/_gatehouse/login", url.Values{"email": {email}}, nil)
	done := m.ask(http.MethodPost, "/_gatehouse/code", url.Values{"code": {m.mail.NextTo(m, email).Code(m)}}, begun.Cookies())
	if done.StatusCode != http.StatusSeeOther {
		m.Fatalf("signing in: %s", done.Status)
	}
	return done.Cookies()
}

func (m *machine) ask(method, path string, form url.Values, cookies []*http.Cookie) *http.Response {
	m.Helper()
	r, err := http.NewRequest(method, m.url+path, strings.NewReader(form.Encode()))
	must(m, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	resp, err := watched{&http.Transport{DisableKeepAlives: true}, &m.seen}.RoundTrip(r)
	must(m, err)
	_, err = io.Copy(io.Discard, resp.Body)
	must(m, err)
	must(m, resp.Body.Close())
	return resp
}

// wantSignedIn asks for the app with the cookies of a session.
func (m *machine) wantSignedIn(cookies []*http.Cookie) {
	m.Helper()
	if got := m.ask(http.MethodGet, "/", nil, cookies).StatusCode; got != http.StatusOK {
		m.Fatalf("with a session: %d", got)
	}
}

// wantOneUser checks that the store is in use by one configuration alone.
func (m *machine) wantOneUser() {
	m.Helper()
	dir, err := filepath.EvalSymlinks(filepath.Join(m.dir, "store"))
	must(m, err)
	if n, _ := stores.References(dir); n != 1 {
		m.Fatalf("%d configurations hold the store, not one", n)
	}
}

func runningApp(t testing.TB) *App {
	t.Helper()
	app, err := caddy.ActiveContext().App("gatehouse")
	must(t, err)
	return app.(*App)
}
