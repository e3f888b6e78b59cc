package caddymodule

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// switching is a person who has changed the host name in a proxy's configuration
// made for Authelia or oauth2-proxy, and what is answered.
type switching struct {
	*testing.T
	f     *fixture
	a     *Authz
	alice string // a Cookie header
}

// at asks as a proxy, with the headers that the other's documentation shows.
func (s *switching) at(target string, headers ...string) *httptest.ResponseRecorder {
	s.Helper()
	return asks(s, s.a, "GET", target, append([]string{"Host: wiki.example.com"}, headers...)...)
}

func (s *switching) forward(headers ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.at("/api/authz/forward-auth", append(headers, "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /page")...)
}

func (s *switching) original(headers ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.at("/api/authz/auth-request", append(headers, "X-Original-Method: GET", "X-Original-URL: https://wiki.example.com/page")...)
}

func (s *switching) oauth(target string, headers ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.at(target, append(headers, "X-Real-IP: 203.0.113.9", "X-Forwarded-Uri: /page")...)
}

func (s *switching) gives(w *httptest.ResponseRecorder, status int, headers ...string) {
	s.Helper()
	if w.Code != status {
		s.Errorf("%d, want %d", w.Code, status)
	}
	for _, line := range headers {
		name, want, _ := strings.Cut(line, ": ")
		if got := w.Header().Get(name); want == "" && got != "" || !strings.HasPrefix(got, want) {
			s.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// authelias and oauth2Proxys are the checks of each row of docs/switching.md, by
// its first column.
var authelias = map[string]func(*switching){
	"`/api/authz/forward-auth`, `/auth-request`, `/ext-authz/*`": func(s *switching) {
		s.gives(s.forward(s.alice), 200)
		s.gives(s.original(s.alice), 200)
		s.gives(s.at("/api/authz/ext-authz/page", s.alice, "X-Forwarded-Proto: https"), 200)
	},
	"`/api/verify` (before 4.38)": func(s *switching) {
		s.gives(s.at("/api/verify?rd=https://auth.example.com/", s.alice, "X-Original-URL: https://wiki.example.com/page"), 403, "Location: ")
	},
	"allowed": func(s *switching) {
		s.gives(s.forward(s.alice), 200, "Remote-User: alice@", "Remote-Groups: admins,staff", "Remote-Email: alice@")
	},
	"`Remote-User`":         func(s *switching) { s.gives(s.forward(s.alice), 200, "Remote-User: alice@example.com") },
	"no session, page view": func(s *switching) { s.formOrPage() },
	"no session, script": func(s *switching) {
		w := s.forward("Accept: application/json", "X-Requested-With: XMLHttpRequest")
		s.gives(w, 401, `WWW-Authenticate: Gatehouse login_url="https://auth.example.com/`, "Location: ", "Content-Type: application/json")
	},
	"auth-request without a session": func(s *switching) {
		s.gives(s.original(navigation...), 401, "Location: https://auth.example.com/_gatehouse/login?")
	},
	"refused": func(s *switching) {
		carol := "Cookie: " + s.f.signIn("carol@example.com", "https://auth.example.com")
		s.gives(s.forward(carol), 403)
		s.gives(s.original(carol), 403)
	},
	"a proxy that is not listed": func(s *switching) {
		headers := []string{s.alice, "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /page"}
		s.gives(asksAs(s, false, s.a, "GET", "/api/authz/forward-auth", headers...), 400)
	},
	"Envoy with `path_prefix: /api/authz/ext-authz/`": func(s *switching) {
		s.gives(s.at("/api/authz/ext-authz//page", s.alice, "X-Forwarded-Proto: https"), 200)
		s.gives(s.at("/api/authz/ext-authz//public/x", "Host: x.apps.example.com", "X-Forwarded-Proto: https"), 401)
		s.gives(s.at("/api/authz/ext-authz/public/x", "Host: x.apps.example.com", "X-Forwarded-Proto: https"), 200)
	},
	"headers that contradict each other": func(s *switching) {
		s.gives(s.forward(s.alice, "X-Original-URL: https://wiki.example.com/other"), 400)
	},
	"rules by path, method, network, user and group": func(s *switching) {
		s.gives(s.forward(s.alice, "X-Forwarded-For: 203.0.113.9"), 200)
		s.gives(s.at("/api/authz/forward-auth", "Host: gatehouse:9091", "X-Forwarded-Method: DELETE", "X-Forwarded-Proto: https", "X-Forwarded-Host: x.apps.example.com", "X-Forwarded-Uri: /public/a"), 200)
	},
	"passwords, TOTP, WebAuthn, LDAP": func(s *switching) { s.gives(s.at("/api/firstfactor"), 403) },
	"`Authorization: Basic` on protected sites": func(s *switching) {
		s.gives(s.forward("Authorization: Basic YWxpY2U6cGFzc3dvcmQ="), 401, "WWW-Authenticate: Gatehouse")
		s.gives(s.forward("Authorization: Bearer "+backupSecret), 200, "Remote-User: token:backup")
	},
	"the portal's address in the query (`?authelia_url=`)": func(s *switching) {
		w := s.at("/api/authz/forward-auth?authelia_url=https://evil.test/", append(navigation, "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /page")...)
		s.gives(w, 302, "Location: https://auth.example.com/")
	},
	"cookie domains": func(s *switching) {
		w := s.at("/api/authz/forward-auth", append(navigation, "Host: gatehouse:9091", "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: far.test", "X-Forwarded-Uri: /page")...)
		s.gives(w, 302, "Location: https://far.test/_gatehouse/login?")
	},
}

// formOrPage: 302 for a page, 303 after a form, whose query is not taken along.
func (s *switching) formOrPage() {
	s.gives(s.forward(navigation...), 302, "Location: https://auth.example.com/_gatehouse/login?return_to=")
	w := s.at("/api/authz/forward-auth", append(navigation, "X-Forwarded-Method: POST", "X-Forwarded-Proto: https", "X-Forwarded-Host: wiki.example.com", "X-Forwarded-Uri: /page?x=1")...)
	s.gives(w, 303)
	if to := w.Header().Get("Location"); !strings.HasSuffix(to, "wiki.example.com%2Fpage") {
		s.Errorf("a form leads to %q", to)
	}
}

var oauth2Proxys = map[string]func(*switching){
	"`/oauth2/auth`": func(s *switching) {
		s.gives(s.oauth("/oauth2/auth", s.alice), 200)
		s.gives(s.oauth("/oauth2/auth", navigation...), 401, "Location: ")
		s.gives(s.oauth("/oauth2/auth", "Cookie: "+s.f.signIn("carol@example.com", "https://auth.example.com")), 403)
	},
	"`/oauth2/sign_in?rd=`, `/oauth2/start?rd=`": func(s *switching) {
		for _, path := range []string{"/oauth2/sign_in", "/oauth2/start"} {
			s.gives(s.at(path+"?rd=%2Fpage", "X-Forwarded-Proto: https"), 302, "Location: https://auth.example.com/_gatehouse/login?return_to=https%3A%2F%2Fwiki.example.com%2Fpage")
			s.gives(s.at(path+"?rd=https%3A%2F%2Fevil.test", "X-Forwarded-Proto: https"), 302, "Location: https://auth.example.com/_gatehouse/login?return_to=https%3A%2F%2Fwiki.example.com%2F")
		}
	},
	"`X-Auth-Request-Redirect`": func(s *switching) {
		s.gives(s.at("/oauth2/sign_in", "X-Forwarded-Proto: https", "X-Auth-Request-Redirect: /page"), 302, "Location: https://auth.example.com/_gatehouse/login?return_to=https%3A%2F%2Fwiki.example.com%2Fpage")
	},
	"`/oauth2/callback`, `/oauth2/userinfo`": func(s *switching) {
		s.gives(s.oauth("/oauth2/callback?code=x&state=y", s.alice), 403)
		s.gives(s.oauth("/oauth2/userinfo", s.alice), 403)
		s.gives(s.at("/_gatehouse/session", s.alice, "X-Forwarded-Proto: https"), 200)
	},
	"`/oauth2/sign_out`": func(s *switching) {
		s.gives(s.oauth("/oauth2/sign_out?rd=%2F", s.alice), 403)
		s.gives(s.at("/_gatehouse/logout", s.alice, "X-Forwarded-Proto: https"), 200)
	},
	"`X-Auth-Request-User`, `-Email`, `-Groups`, `-Preferred-Username`": func(s *switching) {
		s.gives(s.at("/oauth2/auth", s.alice, "Host: x.apps.example.com", "X-Forwarded-Uri: /"), 200, "X-Auth-Request-User: alice@", "X-Auth-Request-Email: alice@", "X-Auth-Request-Groups: admins,staff")
		s.gives(s.oauth("/oauth2/auth", s.alice), 200, "X-Auth-Request-User: ")
	},
	"`X-Forwarded-User`, `-Email`, …": func(s *switching) {
		s.gives(s.at("/oauth2/auth", s.alice, "Host: x.apps.example.com", "X-Forwarded-Uri: /"), 200, "X-Forwarded-User: alice@", "X-Forwarded-Email: alice@")
	},
	"`X-Auth-Request-Access-Token`, `Authorization` from the provider": func(s *switching) {
		s.gives(s.at("/oauth2/auth", s.alice, "Host: x.apps.example.com", "X-Forwarded-Uri: /"), 200, "X-Auth-Request-Access-Token: ", "Authorization: ")
	},
	"`?allowed_groups=`, `?allowed_emails=`": func(s *switching) {
		s.gives(s.oauth("/oauth2/auth?allowed_groups=nobody&allowed_emails=bob@example.com", s.alice), 403)
		s.gives(s.oauth("/oauth2/auth?allowed_emails=carol@example.com", "Cookie: "+s.f.signIn("carol@example.com", "https://auth.example.com")), 403)
	},
	"`trusted_ips` by `X-Real-IP`": func(s *switching) {
		a := s.f.authz(func(a *Authz) { a.Sites[0].Trust = []Trust{{Networks: []string{"198.51.100.0/24"}}} })
		for client, want := range map[string]int{"198.51.100.7": 200, "203.0.113.9": 401} {
			w := newRecorder()
			r := withLocalPort(request("GET", "https://wiki.example.com/oauth2/auth", "X-Real-Ip: "+client, "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Uri: /page"), 443)
			handler(a, &recordingApp{}, func(vars map[string]any) {
				vars[caddyhttp.TrustedProxyVarKey], vars[caddyhttp.ClientIPVarKey] = true, "198.51.100.7"
			}).ServeHTTP(w, r)
			s.gives(w, want)
		}
	},
	"`Host` and `X-Forwarded-Host` name two sites": func(s *switching) {
		s.gives(s.oauth("/oauth2/auth", s.alice, "X-Forwarded-Host: x.apps.example.com"), 403)
	},
	"`X-Forwarded-Uri` missing": func(s *switching) { s.gives(s.at("/oauth2/auth", s.alice), 403) },
	"`--skip-auth-route`": func(s *switching) {
		s.gives(s.at("/oauth2/auth", "Host: x.apps.example.com", "X-Forwarded-Uri: /public/x"), 200)
		s.gives(s.at("/oauth2/auth", "Host: x.apps.example.com", "X-Forwarded-Uri: /publicx"), 401)
	},
	"`--email-domain`, `--authenticated-emails-file`": func(s *switching) {
		s.gives(s.at("/oauth2/auth", "Cookie: "+s.f.signIn("carol@example.com", "https://auth.example.com"), "Host: x.apps.example.com", "X-Forwarded-Uri: /"), 200)
	},
	"as reverse proxy itself": func(s *switching) { s.gives(s.at("/page", s.alice), 403) },
	"signs in with":           func(s *switching) { s.gives(s.at("/oauth2/start?provider=google", "X-Forwarded-Proto: https"), 302) },
}

// TestSwitching checks each row of the page for people who come from Authelia or
// oauth2-proxy, and that it has no row without a check.
func TestSwitching(t *testing.T) {
	text, err := os.ReadFile("../docs/switching.md")
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "## Authelia\n")
	ofAuthelia, ofOAuth, _ := strings.Cut(rest, "## oauth2-proxy\n")
	for _, half := range []struct {
		page   string
		checks map[string]func(*switching)
	}{{ofAuthelia, authelias}, {ofOAuth, oauth2Proxys}} {
		rows := 0
		for line := range strings.Lines(half.page) {
			cells := strings.Split(line, " | ")
			if name := strings.TrimPrefix(cells[0], "| "); len(cells) == 3 && name[0] != '|' && name != "---" {
				rows++
				check := half.checks[name]
				if check == nil {
					t.Errorf("no check for the row %q", name)
					continue
				}
				t.Run(name, func(t *testing.T) { check(newSwitching(t)) })
			}
		}
		if rows != len(half.checks) {
			t.Errorf("%d rows and %d checks", rows, len(half.checks))
		}
	}
}

func newSwitching(t *testing.T) *switching {
	f := newFixture(t, sharedCookie, func(_ *fixture, cfg *authcore.Config) {
		site, err := origin.ParseSitePattern("wiki.example.com")
		must(t, err)
		cfg.Machines = []session.ConfiguredMachine{{Machine: session.Machine{Name: "backup", Sites: []origin.SitePattern{site}}, Hash: session.HashMachine(backupSecret), Until: time.Time{}}}
	})
	return &switching{t, f, f.authz(), "Cookie: " + f.signIn("alice@example.com", "https://auth.example.com")}
}
