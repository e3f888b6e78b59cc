package oidc_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// TestOwn is what the plans don't ask: PKCE, the table of docs/oidc.md on RFC
// 9700, revocation, introspection, bad input.
func TestOwn(t *testing.T) {
	p := gatehouse(t, clients)
	runAll(t, p, ownList)
	runAll(t, p, ours)
}

func runAll(t *testing.T, p *op, list []module) {
	for _, m := range list {
		t.Run(m.name, func(t *testing.T) {
			on := *p
			on.TB = t
			m.run(&on)
		})
	}
}

// ownList are tests that any good provider passes.
var ownList = []module{
	{"PKCE: the verifier is missing", func(p *op) {
		q := wiki.ask()
		p.wantTokenError(p.redeem(q, p.someone().signIn(q), "code_verifier", ""), 400, "invalid_grant")
	}},
	{"PKCE: another verifier", func(p *op) {
		q := wiki.ask()
		p.wantTokenError(p.redeem(q, p.someone().signIn(q), "code_verifier", random()), 400, "invalid_grant")
	}},
	{"PKCE: a verifier and no challenge", func(p *op) {
		q := legacy.ask("code_challenge", "", "code_challenge_method", "")
		p.wantTokenError(p.redeem(q, p.someone().signIn(q)), 400, "invalid_grant")
	}},
	{"PKCE: neither, where it is optional", func(p *op) {
		q := legacy.ask("code_challenge", "", "code_challenge_method", "")
		b := p.someone()
		p.checkTokens(q, p.redeem(q, b.signIn(q), "code_verifier", ""), true)
	}},
	{"PKCE: plain", func(p *op) {
		p.someone().denied(wiki.ask("code_challenge_method", "plain"), "invalid_request")
		p.someone().denied(wiki.ask("code_challenge_method", ""), "invalid_request")
	}},
	{"PKCE: no challenge of a public client", func(p *op) {
		p.someone().denied(spa.ask("code_challenge", "", "code_challenge_method", ""), "invalid_request")
	}},
	{"PKCE: no challenge of a client with a secret", func(p *op) {
		p.someone().denied(wiki.ask("code_challenge", "", "code_challenge_method", ""), "invalid_request")
	}},
	{"PKCE: a challenge of other characters", func(p *op) {
		for _, bad := range []string{strings.Repeat("a", 42), strings.Repeat("a", 129), strings.Repeat("a", 42) + "+"} {
			p.someone().denied(wiki.ask("code_challenge", bad), "invalid_request")
		}
	}},
	{"a public client", func(p *op) { p.happy(spa.ask()) }},
	{"code: bound to client and redirect_uri", func(p *op) {
		q := wiki.ask()
		code := p.someone().signIn(q)
		stolen := *q
		stolen.client = second
		p.wantTokenError(p.redeem(&stolen, code), 400, "invalid_grant")
		p.wantTokenError(p.redeem(q, code, "redirect_uri", second.redirect), 400, "invalid_grant")
	}},
	{"code: 50 at once", func(p *op) {
		q := wiki.ask()
		code := p.someone().signIn(q)
		answers := make([]answer, 50)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = p.redeem(q, code) })
		}
		all.Wait()
		won := 0
		for _, a := range answers {
			if a.StatusCode == 200 {
				won++
				if u := p.userInfo(a.str("access_token")); !p.oracle && u.StatusCode != 200 {
					p.Errorf("the loser has ended the winner's: %s", u.Status)
				}
				continue
			}
			p.wantTokenError(a, 400, "invalid_grant")
		}
		if won != 1 {
			p.Errorf("%d have won", won)
		}
	}},
	{"refresh: rotation", func(p *op) {
		q := spa.ask("scope", "openid offline_access", "prompt", "consent")
		_, a := p.happy(q)
		next := p.refresh(spa, a.str("refresh_token"))
		if next.StatusCode != 200 || next.str("refresh_token") == a.str("refresh_token") || next.str("refresh_token") == "" {
			p.Fatalf("%s %s", next.Status, next.text)
		}
		if last := p.refresh(spa, next.str("refresh_token")); last.StatusCode != 200 {
			p.Errorf("%s %s", last.Status, last.text)
		}
	}},
	{"refresh: a part of the scope, and no more", func(p *op) {
		q := wiki.ask("scope", "openid email offline_access", "prompt", "consent")
		_, a := p.happy(q)
		less := p.refresh(wiki, a.str("refresh_token"), "scope", "openid")
		if less.StatusCode != 200 || less.str("scope") != "openid" {
			p.Fatalf("%s %s", less.Status, less.text)
		}
		token := less.str("refresh_token")
		if token == "" {
			token = a.str("refresh_token")
		}
		p.wantTokenError(p.refresh(wiki, token, "scope", "openid profile"), 400, "invalid_scope")
	}},
	{"token: who calls", func(p *op) {
		q := wiki.ask()
		code := p.someone().signIn(q)
		for _, c := range []client{{id: "wiki", secret: "wrong-0123456789abcdef0123456789abcdef"}, {id: "nobody", secret: "x"}, {id: "wiki"}} {
			wrong := *q
			wrong.client = c
			a := p.redeem(&wrong, code)
			p.wantTokenError(a, 401, "invalid_client")
		}
		wrong := *q
		wrong.client.secret = "wrong"
		if a := p.redeem(&wrong, code); !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic") {
			p.Errorf("WWW-Authenticate is %q", a.Header.Get("WWW-Authenticate"))
		}
		p.tokens(q, code)
	}},
	{"token: what is missing or unknown", func(p *op) {
		p.wantTokenError(p.call(p.endpoint("token_endpoint"), wiki, url.Values{}), 400, "invalid_request")
		p.wantTokenError(p.call(p.endpoint("token_endpoint"), wiki, url.Values{"grant_type": {"password"}}), 400, "unsupported_grant_type")
		p.wantTokenError(p.call(p.endpoint("token_endpoint"), wiki, url.Values{"grant_type": {"authorization_code"}}), 400, "invalid_request")
		p.wantTokenError(p.call(p.endpoint("token_endpoint"), wiki, url.Values{"grant_type": {"refresh_token"}}), 400, "invalid_request")
		p.wantTokenError(p.refresh(wiki, "nonsense"), 400, "invalid_grant")
	}},
	{"revocation: of an access token, a refresh token, an unknown one", func(p *op) {
		_, a := p.happy(wiki.ask("scope", "openid offline_access", "prompt", "consent"))
		at := p.endpoint("revocation_endpoint")
		if r := p.call(at, wiki, url.Values{"token": {"unknown"}}); r.StatusCode != 200 {
			p.Errorf("an unknown token: %s", r.Status)
		}
		if r := p.call(at, wiki, url.Values{"token": {a.str("access_token")}}); r.StatusCode != 200 {
			p.Errorf("an access token: %s", r.Status)
		}
		if u := p.userInfo(a.str("access_token")); u.StatusCode != 401 {
			p.Errorf("userinfo after revocation: %s", u.Status)
		}
		if p.oracle {
			return // with an access token it revokes the grant
		}
		next := p.refresh(wiki, a.str("refresh_token"))
		if next.StatusCode != 200 {
			p.Fatalf("%s %s", next.Status, next.text)
		}
		token := next.str("refresh_token")
		p.call(at, wiki, url.Values{"token": {token}})
		p.wantTokenError(p.refresh(wiki, token), 400, "invalid_grant")
		if u := p.userInfo(next.str("access_token")); u.StatusCode != 401 {
			p.Errorf("the grant's access token: %s", u.Status)
		}
	}},
	{"introspection", func(p *op) {
		_, a := p.happy(wiki.ask("scope", "openid email offline_access", "prompt", "consent"))
		at := p.endpoint("introspection_endpoint")
		for _, token := range []string{a.str("access_token"), a.str("refresh_token")} {
			i := p.call(at, wiki, url.Values{"token": {token}})
			if i.StatusCode != 200 || i.json["active"] != true || i.str("client_id") != "wiki" || i.json["exp"] == nil {
				p.Errorf("%s %s", i.Status, i.text)
			}
		}
		if i := p.call(at, wiki, url.Values{"token": {"unknown"}}); strings.TrimSpace(i.text) != `{"active":false}` {
			p.Errorf("%s %s", i.Status, i.text)
		}
		if i := p.call(at, client{id: "wiki", secret: "wrong"}, url.Values{"token": {a.str("access_token")}}); i.StatusCode != 401 {
			p.Errorf("%s %s", i.Status, i.text)
		}
	}},
	{"userinfo: no token, a wrong one, one in the address", func(p *op) {
		_, a := p.happy(wiki.ask())
		r, err := http.NewRequest(http.MethodGet, p.endpoint("userinfo_endpoint"), nil)
		must(p, err)
		if got := p.do(r); got.StatusCode < 400 || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Bearer") && !p.oracle {
			p.Errorf("no token: %s %q", got.Status, got.Header.Get("WWW-Authenticate"))
		}
		if got := p.userInfo("nonsense"); got.StatusCode != 401 || !strings.Contains(got.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			p.Errorf("a wrong token: %s %q", got.Status, got.Header.Get("WWW-Authenticate"))
		}
		if got := p.userInfo(a.str("id_token")); got.StatusCode != 401 {
			p.Errorf("an ID token: %s", got.Status)
		}
	}},
	{"metadata of RFC 8414", func(p *op) {
		if p.oracle {
			return // it has the one of OpenID Connect alone
		}
		var m map[string]any
		p.getJSON(p.issuer+"/.well-known/oauth-authorization-server", &m)
		if m["issuer"] != p.issuer || m["authorization_response_iss_parameter_supported"] != true {
			p.Errorf("%v", m)
		}
	}},
}

// ours are tests of what other providers may do otherwise.
var ours = []module{
	{"RFC 9700: a redirect is compared byte by byte", func(p *op) {
		for _, uri := range []string{
			wiki.redirect + "/", wiki.redirect + "?x=1", wiki.redirect + "#x", "HTTP://localhost:9999/wiki/callback", "http://localhost:9998/wiki/callback",
			"http://localhost:9999/wiki/../wiki/callback", "http://localhost:9999/wiki%2fcallback", "http://localhost:9999@evil.example.com/wiki/callback",
			"http://127.0.0.1:x/native", "http://127.0.0.1:1@evil.example.com/native", "http://127.0.0.1.evil.example.com/native", "",
			"javascript:alert(1)", second.redirect,
		} {
			page := p.staysHere(wiki.ask("redirect_uri", uri))
			if !strings.Contains(page.text, "redirect_uri") {
				p.Errorf("%q: the page does not say what is wrong", uri)
			}
		}
	}},
	{"RFC 8252: the port of a loopback address is free", func(p *op) {
		for _, uri := range []string{"http://127.0.0.1:54321/native", "http://127.0.0.1/native"} {
			q := wiki.ask("redirect_uri", uri)
			p.tokens(q, p.someone().signIn(q))
		}
	}},
	{"RFC 9700: errors before client and redirect_uri are proven", func(p *op) {
		for _, pairs := range [][]string{{"client_id", ""}, {"client_id", "nobody"}, {"client_id", strings.Repeat("x", 9000)}, {"redirect_uri", ""}} {
			p.staysHere(wiki.ask(pairs...))
		}
	}},
	{"bad input: every parameter twice, oversized, of the wrong kind", func(p *op) {
		long := strings.Repeat("x", 9000)
		for _, name := range []string{"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "prompt", "max_age", "login_hint", "id_token_hint", "ui_locales", "claims", "acr_values", "request", "request_uri"} {
			q := wiki.ask()
			q.params[name] = []string{q.params.Get(name), "other"}
			if name == "client_id" || name == "redirect_uri" {
				p.staysHere(q)
				continue
			}
			b := p.someone()
			at, page := b.follow(b.get(p.endpoint("authorization_endpoint") + "?" + q.params.Encode()))
			if at == nil {
				p.Fatalf("%s twice: %s", name, page.heading())
			}
			b.wantError(at.Query(), "invalid_request")
			if got := at.Query().Get("state"); name == "state" && got != "" {
				p.Errorf("of two states one is given back: %s", got)
			}
		}
		for _, name := range []string{"state", "nonce", "scope", "claims", "prompt", "login_hint", "id_token_hint", "ui_locales", "acr_values", "max_age"} {
			q := wiki.ask(name, long)
			b := p.someone()
			at, page := b.follow(b.get(p.endpoint("authorization_endpoint") + "?" + q.params.Encode()))
			if at == nil {
				p.Fatalf("%s too long: %s", name, page.heading())
			}
			b.wantError(at.Query(), "invalid_request")
		}
		for name, values := range map[string][]string{
			"max_age": {"-1", "soon", "1.5"}, "prompt": {"none login", "magic"}, "claims": {"{", "[]", `"x"`, `{"userinfo":1}`},
			"response_mode": {"fragment", "form_post"}, "id_token_hint": {"x", "a.b.c"}, "code_challenge_method": {"s256"},
		} {
			for _, value := range values {
				p.someone().denied(wiki.ask(name, value), "invalid_request")
			}
		}
		p.someone().denied(wiki.ask("response_type", "token"), "unsupported_response_type")
		p.someone().denied(wiki.ask("response_type", "code id_token"), "unsupported_response_type")
		p.someone().denied(wiki.ask("scope", ""), "invalid_scope")
		p.someone().denied(wiki.ask("scope", "email"), "invalid_scope")
		p.someone().denied(wiki.ask("registration", "{}"), "registration_not_supported")
	}},
	{"bad input: scopes without number", func(p *op) {
		p.someone().denied(wiki.ask("scope", "openid"+strings.Repeat(" a", 10_000)), "invalid_request")
	}},
	{"bad input: at the token endpoint", func(p *op) {
		at := p.endpoint("token_endpoint")
		q := wiki.ask()
		code := p.someone().signIn(q)
		for _, name := range []string{"grant_type", "code", "redirect_uri", "code_verifier"} {
			form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {wiki.redirect}, "code_verifier": {q.verifier}}
			form.Add(name, "other")
			p.wantTokenError(p.call(at, wiki, form), 400, "invalid_request")
		}
		for _, kind := range []string{"application/json", "multipart/form-data; boundary=x", ""} {
			r, err := http.NewRequest(http.MethodPost, at, strings.NewReader(`{"grant_type":"authorization_code"}`))
			must(p, err)
			r.SetBasicAuth(wiki.id, wiki.secret)
			p.wantTokenError(p.do(r, "Content-Type: "+kind), 400, "invalid_request")
		}
		if a := p.call(at, wiki, url.Values{"code": {strings.Repeat("x", 70<<10)}}); a.StatusCode != 413 {
			p.Errorf("a body of 70 KiB: %s", a.Status)
		}
		both := url.Values{"grant_type": {"authorization_code"}, "client_id": {"wiki"}, "client_secret": {wiki.secret}}
		p.wantTokenError(p.call(at, wiki, both), 400, "invalid_request")
		p.wantTokenError(p.call(at, wiki, url.Values{"grant_type": {"authorization_code"}, "client_id": {"second"}}), 401, "invalid_client")
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			r, err := http.NewRequest(method, at, nil)
			must(p, err)
			if a := p.do(r); a.StatusCode != 405 || a.Header.Get("Allow") != "POST" {
				p.Errorf("%s: %s", method, a.Status)
			}
		}
		p.tokens(q, code)
	}},
	{"RFC 9700: a posted request is asked for again with 303", func(p *op) {
		a := p.someone().post(p.endpoint("authorization_endpoint"), wiki.ask().params)
		if a.StatusCode != http.StatusSeeOther {
			p.Error(a.Status)
		}
	}},
	{"refresh: a repeat within ten seconds gets the same answer", func(p *op) {
		_, a := p.happy(spa.ask("scope", "openid offline_access"))
		first := p.refresh(spa, a.str("refresh_token"))
		again := p.refresh(spa, a.str("refresh_token"))
		if first.StatusCode != 200 || first.text != again.text {
			p.Errorf("%s, then %s", first.text, again.text)
		}
		if u := p.userInfo(again.str("access_token")); u.StatusCode != 200 {
			p.Errorf("%s %s", u.Status, u.text)
		}
	}},
	{"refresh: an older one again ends the grant", func(p *op) {
		_, a := p.happy(spa.ask("scope", "openid offline_access"))
		next := p.refresh(spa, a.str("refresh_token"))
		last := p.refresh(spa, next.str("refresh_token"))
		if last.StatusCode != 200 {
			p.Fatalf("%s %s", last.Status, last.text)
		}
		p.wantTokenError(p.refresh(spa, a.str("refresh_token")), 400, "invalid_grant")
		p.wantTokenError(p.refresh(spa, last.str("refresh_token")), 400, "invalid_grant")
		if u := p.userInfo(last.str("access_token")); u.StatusCode != 401 {
			p.Errorf("userinfo: %s", u.Status)
		}
	}},
	{"refresh: none without offline_access", func(p *op) {
		if _, a := p.happy(wiki.ask()); a.str("refresh_token") != "" {
			p.Error("there is one")
		}
	}},
	{"revocation: another client's token stays", func(p *op) {
		_, a := p.happy(wiki.ask("scope", "openid offline_access"))
		for _, token := range []string{a.str("access_token"), a.str("refresh_token")} {
			if r := p.call(p.endpoint("revocation_endpoint"), second, url.Values{"token": {token}}); r.StatusCode != 200 {
				p.Errorf("%s", r.Status)
			}
			if i := p.call(p.endpoint("introspection_endpoint"), second, url.Values{"token": {token}}); strings.TrimSpace(i.text) != `{"active":false}` {
				p.Errorf("another client learns %s", i.text)
			}
		}
		if u := p.userInfo(a.str("access_token")); u.StatusCode != 200 {
			p.Errorf("userinfo: %s", u.Status)
		}
		if r := p.refresh(wiki, a.str("refresh_token")); r.StatusCode != 200 {
			p.Errorf("refresh: %s", r.Status)
		}
		if i := p.call(p.endpoint("introspection_endpoint"), spa, url.Values{"token": {a.str("access_token")}}); i.StatusCode != 401 {
			p.Errorf("a public client asks: %s", i.Status)
		}
	}},
	{"everything ends with the session", func(p *op) {
		b, a := p.happy(wiki.ask("scope", "openid offline_access"))
		q := wiki.ask()
		late := b.signIn(q)
		b.follow(b.get(p.issuer + "/_gatehouse/logout"))
		p.wantTokenError(p.refresh(wiki, a.str("refresh_token")), 400, "invalid_grant")
		p.wantTokenError(p.redeem(q, late), 400, "invalid_grant")
		if u := p.userInfo(a.str("access_token")); u.StatusCode != 401 {
			p.Errorf("userinfo: %s", u.Status)
		}
		if i := p.call(p.endpoint("introspection_endpoint"), wiki, url.Values{"token": {a.str("access_token")}}); i.json["active"] != false {
			p.Errorf("introspection: %s", i.text)
		}
	}},
	{"a new sign-in of the same person keeps what apps hold", func(p *op) {
		b, a := p.happy(wiki.ask("scope", "openid offline_access"))
		q := second.ask("prompt", "login")
		p.tokens(q, b.signIn(q))
		if r := p.refresh(wiki, a.str("refresh_token")); r.StatusCode != 200 || p.claims(r.str("id_token"))["auth_time"] != p.claims(a.str("id_token"))["auth_time"] {
			p.Errorf("%s %s", r.Status, r.text)
		}
	}},
	{"a new sign-in of another person ends it", func(p *op) {
		b, a := p.happy(wiki.ask("scope", "openid offline_access"))
		b.email = "other@example.com"
		q := wiki.ask("prompt", "select_account")
		p.tokens(q, b.signIn(q))
		p.wantTokenError(p.refresh(wiki, a.str("refresh_token")), 400, "invalid_grant")
	}},
	{"single sign-on", func(p *op) {
		b, first := p.happy(wiki.ask())
		q := second.ask()
		a := p.tokens(q, b.signIn(q))
		if len(b.pages) != 0 {
			p.Errorf("the person meets %v", b.pages)
		}
		one, two := p.claims(first.str("id_token")), p.claims(a.str("id_token"))
		if one["sub"] != two["sub"] || one["sid"] != two["sid"] || one["auth_time"] != two["auth_time"] {
			p.Errorf("%v, then %v", one, two)
		}
	}},
	{"email in the ID token is the client's choice", func(p *op) {
		q := second.ask("scope", "openid email")
		b := p.someone()
		if claims := p.claims(p.tokens(q, b.signIn(q)).str("id_token")); claims["email"] != b.email || claims["email_verified"] != true {
			p.Errorf("%v", claims)
		}
		q = wiki.ask("claims", `{"id_token":{"email":null}}`)
		if claims := p.claims(p.tokens(q, b.signIn(q)).str("id_token")); claims["email"] != b.email {
			p.Errorf("asked for by claims: %v", claims)
		}
	}},
	{"claims: another person is meant", func(p *op) {
		b, _ := p.happy(wiki.ask())
		b.denied(wiki.ask("prompt", "none", "claims", `{"id_token":{"sub":{"value":"somebody else"}}}`), "login_required")
	}},
	{"claims: one of several people is meant", func(p *op) {
		b, a := p.happy(wiki.ask())
		sub := p.claims(a.str("id_token"))["sub"].(string)
		for claims, want := range map[string]string{
			`{"id_token":{"sub":{"values":["somebody else"]}}}`: "login_required", `{"userinfo":{"sub":{"values":["x","y"]}}}`: "login_required",
			`{"id_token":{"sub":{"value":7}}}`: "invalid_request", `{"id_token":{"sub":{"values":[null]}}}`: "invalid_request", `{"userinfo":{"sub":{"value":{"x":1}}}}`: "invalid_request",
			`{"id_token":{"sub":{"values":["x","` + sub + `"]}}}`: "", `{"userinfo":{"sub":{"value":"` + sub + `"}},"id_token":{"sub":null}}`: "",
			`{"userinfo":{"sub":{"value":"` + sub + `"}},"id_token":{"sub":{"value":"x"}}}`: "login_required",
		} {
			if got := b.authorize(wiki.ask("prompt", "none", "claims", claims)); got.Get("error") != want {
				p.Errorf("%s: %v, want %q", claims, got, want)
			}
		}
	}},
	{"somebody else is meant: the app learns it once the person has tried", func(p *op) {
		_, a := p.happy(wiki.ask())
		theirs := p.claims(a.str("id_token"))["sub"].(string)
		for _, pairs := range [][]string{
			{"id_token_hint", a.str("id_token")}, {"claims", `{"id_token":{"sub":{"value":"` + theirs + `"}}}`}, {"id_token_hint", a.str("id_token"), "prompt", "login"},
		} {
			b, _ := p.happy(wiki.ask())
			q := wiki.ask(pairs...)
			at, err := b.get(p.endpoint("authorization_endpoint") + "?" + q.params.Encode()).Location()
			must(p, err)
			page := read(p, b.get(at.String()))
			back := at.Query().Get("return_to") // "Continue as"
			if !strings.Contains(page.text, html.EscapeString(back)) {
				p.Errorf("the page does not lead on:\n%s", page.text)
			}
			if at, _ = b.follow(b.get(p.issuer + back)); at == nil {
				p.Fatalf("%s leads nowhere", pairs)
			}
			b.wantError(b.check(q, at), "login_required")
			b.denied(wiki.ask(pairs...), "login_required") // who signs in again is still another
		}
	}},
	{"id_token_hint: in no log, by GET and POST, with and without a session", func(p *op) {
		b, a := p.happy(wiki.ask())
		q := wiki.ask("id_token_hint", a.str("id_token"), "prompt", "login")
		p.tokens(q, b.signIn(q))
		stranger := p.browser(b.email)
		q = wiki.ask("id_token_hint", a.str("id_token"))
		if p.claims(p.tokens(q, stranger.signIn(q)).str("id_token"))["sub"] != p.claims(a.str("id_token"))["sub"] {
			p.Error("who is meant is somebody else after the sign-in")
		}
		if at, _ := p.browser(b.email).follow(p.browser(b.email).post(p.endpoint("authorization_endpoint"), q.params)); at == nil {
			p.Error("a posted request leads nowhere")
		}
		long := wiki.ask("id_token_hint", a.str("id_token"), "state", strings.Repeat("s", 3000))
		p.tokens(long, p.browser(b.email).signIn(long))
		p.someone().denied(q, "login_required")
	}},
	{"claims: an acr that can't be reached", func(p *op) {
		p.someone().denied(wiki.ask("claims", `{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`), "unmet_authentication_requirements")
		p.happy(wiki.ask("claims", `{"id_token":{"acr":{"essential":true,"values":["phr","`+p.meta["acr_values_supported"].([]any)[0].(string)+`"]}}}`))
	}},
	{"claims: 4 KiB, through the sign-in", func(p *op) {
		claims := `{"userinfo":{"email":null,"x":{"value":"` + strings.Repeat("y", 4000) + `"}}}`
		q := wiki.ask("claims", claims)
		b := p.someone()
		if u := p.userInfo(p.tokens(q, b.signIn(q)).str("access_token")); u.str("email") != b.email {
			p.Errorf("%s", u.text)
		}
	}},
	{"id_token_hint: of another person", func(p *op) {
		_, a := p.happy(wiki.ask())
		b, _ := p.happy(wiki.ask())
		b.denied(wiki.ask("prompt", "none", "id_token_hint", a.str("id_token")), "login_required")
	}},
	{"name is told where the client may know it and asks", func(p *op) {
		b, a := p.happy(wiki.ask("scope", "openid profile"))
		b.post(p.issuer+"/_gatehouse/account/name", url.Values{"name": {"Alice Example"}})
		if u := p.userInfo(a.str("access_token")); u.str("name") != "Alice Example" {
			p.Errorf("wiki: %s", u.text)
		}
		for _, q := range []*request{second.ask("scope", "openid profile"), wiki.ask(), second.ask("claims", `{"userinfo":{"name":{"essential":true}}}`)} {
			if u := p.userInfo(p.tokens(q, b.signIn(q)).str("access_token")); u.json["name"] != nil {
				p.Errorf("%s: %s", q.client.id, u.text)
			}
		}
	}},
	{"cancel on the sign-in page", func(p *op) {
		q := wiki.ask()
		b := p.someone()
		login := read(p, b.get(p.issuer+b.get(p.endpoint("authorization_endpoint")+"?"+q.params.Encode()).Header.Get("Location")))
		if !strings.Contains(login.text, "The Wiki") {
			p.Error("the page does not say for which app")
		}
		got := b.check(q, b.cancels(login))
		b.wantError(got, "access_denied")
	}},
	{"CORS", func(p *op) {
		own, foreign := "http://localhost:9999", "https://evil.example.com"
		for _, at := range []string{"token_endpoint", "userinfo_endpoint", "revocation_endpoint"} {
			for o, want := range map[string]string{own: own, foreign: ""} {
				r, err := http.NewRequest(http.MethodOptions, p.endpoint(at), nil)
				must(p, err)
				a := p.do(r, "Origin: "+o, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
				if a.StatusCode != 204 || a.Header.Get("Access-Control-Allow-Origin") != want || a.Header.Get("Access-Control-Allow-Credentials") != "" {
					p.Errorf("preflight of %s at %s: %s %v", o, at, a.Status, a.Header)
				}
				a = p.call(p.endpoint(at), spa, url.Values{"token": {"x"}}, "Origin: "+o)
				if a.Header.Get("Access-Control-Allow-Origin") != want {
					p.Errorf("%s at %s: %v", o, at, a.Header)
				}
			}
		}
		for _, at := range []string{"introspection_endpoint"} {
			r, err := http.NewRequest(http.MethodOptions, p.endpoint(at), nil)
			must(p, err)
			if a := p.do(r, "Origin: "+own, "Access-Control-Request-Method: POST"); a.Header.Get("Access-Control-Allow-Origin") != "" {
				p.Errorf("%s: %v", at, a.Header)
			}
		}
		r, err := http.NewRequest(http.MethodGet, p.issuer+"/.well-known/openid-configuration", nil)
		must(p, err)
		if a := p.do(r, "Origin: "+foreign); a.Header.Get("Access-Control-Allow-Origin") != "*" {
			p.Errorf("discovery: %v", a.Header)
		}
	}},
	{"tokens are not taken for one another", func(p *op) {
		_, a := p.happy(wiki.ask("scope", "openid offline_access"))
		p.wantTokenError(p.refresh(wiki, a.str("access_token")), 400, "invalid_grant")
		p.wantTokenError(p.refresh(wiki, a.str("id_token")), 400, "invalid_grant")
		if u := p.userInfo(a.str("refresh_token")); u.StatusCode != 401 {
			p.Errorf("userinfo with a refresh token: %s", u.Status)
		}
		p.someone().denied(wiki.ask("id_token_hint", a.str("access_token")), "invalid_request")
	}},
	{"alg none and HS256 are no hints", func(p *op) {
		_, a := p.happy(wiki.ask())
		for _, forged := range forgeries(p, a.str("id_token")) {
			p.someone().denied(wiki.ask("id_token_hint", forged), "invalid_request")
		}
	}},
	{"ES256 where the client wants it", func(p *op) {
		q := curve.ask()
		b := p.someone()
		claims, header := p.verify(p.tokens(q, b.signIn(q)).str("id_token"))
		if header.Algorithm != "ES256" || claims["sub"] == nil {
			p.Errorf("%v", header)
		}
		again := curve.ask("prompt", "none", "id_token_hint", p.redeem(q, b.signIn(q)).str("id_token"))
		if b.authorize(again).Get("code") == "" {
			p.Error("its ID token is no hint")
		}
	}},
	{"what else stands at the portal", func(p *op) {
		for _, path := range []string{"/oauth2/", "/oauth2/other", "/.well-known/other", "/oauth2/authorize/x"} {
			r, err := http.NewRequest(http.MethodGet, p.issuer+path, nil)
			must(p, err)
			if a := p.do(r); a.StatusCode != 404 {
				p.Errorf("%s: %s", path, a.Status)
			}
		}
	}},
	{"HEAD neither gets a code nor signs out", func(p *op) {
		b, hint := p.hinted()
		for _, at := range []string{
			p.endpoint("authorization_endpoint") + "?" + wiki.ask().params.Encode(),
			p.endpoint("end_session_endpoint") + "?" + url.Values{"id_token_hint": {hint}}.Encode(),
		} {
			r, err := http.NewRequest(http.MethodHead, at, nil)
			must(p, err)
			if a := b.send(r); a.StatusCode != 200 || a.Header.Get("Location") != "" {
				p.Errorf("%s: %s, Location %q", r.URL.Path, a.Status, a.Header.Get("Location"))
			}
		}
		if b.authorize(wiki.ask("prompt", "none")).Get("code") == "" {
			p.Error("the person was signed out")
		}
	}},
	{"a code is not passed on by Referer", func(p *op) {
		b, _ := p.happy(wiki.ask())
		answer := b.get(p.endpoint("authorization_endpoint") + "?" + wiki.ask().params.Encode())
		if answer.Header.Get("Referrer-Policy") != "no-referrer" || answer.StatusCode != 303 || answer.Header.Get("Cache-Control") != "no-store" {
			p.Errorf("%s %v", answer.Status, answer.Header)
		}
	}},
	{"a long life of codes", func(p *op) {
		if grant.CodeLifetime > time.Minute {
			p.Error(grant.CodeLifetime)
		}
	}},
}

// A code that an operator told proves no mailbox: apps are told so, and who wants a
// proof asks for a mail.
func TestOperatorsCode(t *testing.T) {
	x := newBare(t, time.Now, func(c *grant.Client) { c.EmailInIDToken = true })
	told, _ := x.signInBy("alice@example.com", false)
	mailed, _ := x.signIn("bob@example.com")
	for name, c := range map[string]struct {
		v      pages.Visit
		proved bool
	}{"told": {told, false}, "mailed": {mailed, true}} {
		t.Run(name, func(t *testing.T) {
			got := x.tokens(c.v)
			for range 2 { // also after a refresh
				payload, err := base64.RawURLEncoding.DecodeString(strings.Split(got.ID, ".")[1])
				must(t, err)
				var claims map[string]any
				must(t, json.Unmarshal(payload, &claims))
				if acr, ok := claims["acr"]; claims["email_verified"] != c.proved || ok != c.proved || ok && acr != "urn:gatehouse:email" || claims["email"] == nil {
					t.Errorf("the ID token: %s", payload)
				}
				r := httptest.NewRequest(http.MethodGet, "/oauth2/userinfo", nil)
				r.Header.Set("Authorization", "Bearer "+got.Access)
				w := httptest.NewRecorder()
				x.h.Serve(w, r, x.visit)
				if want := `"email_verified":` + strconv.FormatBool(c.proved); !strings.Contains(w.Body.String(), want) {
					t.Errorf("userinfo: %s", w.Body)
				}
				got = x.refresh(got.Refresh)
			}
			for _, pairs := range [][]string{
				{"max_age", "3000"}, {"claims", `{"id_token":{"acr":{"essential":true}}}`}, {"claims", `{"id_token":{"acr":{"essential":true,"value":"urn:gatehouse:email"}}}`},
				{"prompt", "login"}, {"max_age", "0", "prompt", "login"},
			} {
				// As it is, and after a sign-in that the request asked for.
				at, err := url.Parse(x.authorize(x.visit, pairs...).Header().Get("Location"))
				must(t, err)
				back, err := url.Parse(at.Query().Get("return_to"))
				must(t, err)
				again, _ := x.signInBy(name+"@example.com", c.proved)
				for stage, v := range map[string]pages.Visit{"before": c.v, "after": again} {
					q := append([]string{}, pairs...)
					if stage == "after" {
						q = append(q, "gatehouse_since", back.Query().Get("gatehouse_since"))
					}
					wants := !c.proved || stage == "before" && slices.Contains(pairs, "login")
					to := x.authorize(v, q...).Header().Get("Location")
					if asks := strings.HasPrefix(to, "/_gatehouse/login?") && strings.Contains(to, "max_age=0"); asks != wants {
						t.Errorf("%v, %s: %s", pairs, stage, to)
					}
					if slices.Contains(pairs, "login") {
						continue
					}
					if at := x.authorize(v, append(q, "prompt", "none")...).Header().Get("Location"); strings.Contains(at, "error=login_required") != wants {
						t.Errorf("%v with prompt=none, %s: %s", pairs, stage, at)
					}
				}
			}
			if at := x.authorize(c.v, "prompt", "none", "acr_values", "urn:gatehouse:email").Header().Get("Location"); !strings.Contains(at, "code=") {
				t.Errorf("a sign-in that nobody wants proved: %s", at)
			}
		})
	}
}

// Nobody signs up by a code that an operator told: the app would go on knowing them by
// an address that they have not shown to be theirs.
func TestOperatorsCodeSignsNobodyUp(t *testing.T) {
	who, err := policy.ParseWhoList([]string{"staff@example.com"})
	must(t, err)
	staff, err := policy.Compile(who, nil, nil)
	must(t, err)
	for name, c := range map[string]struct {
		change func(*grant.Client)
		email  string
		signs  bool // up, after a mail
	}{
		"a stranger":                           {func(*grant.Client) {}, "alice@example.com", true},
		"a stranger, where consent is asked":   {func(c *grant.Client) { c.Consent = true }, "alice@example.com", true},
		"who is named":                         {func(*grant.Client) {}, "staff@example.com", false},
		"who is named, where consent is asked": {func(c *grant.Client) { c.Consent = true }, "staff@example.com", true},
		"where nobody has to sign up":          {func(c *grant.Client) { c.SignUp = false }, "alice@example.com", false},
	} {
		t.Run(name, func(t *testing.T) {
			x := newBare(t, time.Now, func(cl *grant.Client) { cl.SignUp, cl.Named = true, staff; c.change(cl) })
			told, _ := x.signInBy(c.email, false)
			mailed, _ := x.signIn(c.email)
			for _, pairs := range [][]string{nil, {"prompt", "consent"}, {"scope", "openid"}} {
				to := x.authorize(told, pairs...).Header().Get("Location")
				if asks := strings.HasPrefix(to, "/_gatehouse/login?") && strings.Contains(to, "max_age=0"); asks != c.signs || asks == strings.Contains(to, "code=") {
					t.Errorf("%v: %q", pairs, to)
				}
			}
			if at := x.authorize(told, "prompt", "none").Header().Get("Location"); strings.Contains(at, "error=login_required") != c.signs {
				t.Errorf("prompt=none: %s", at)
			}
			if !c.signs {
				return
			}
			// The mark is of the person, whatever session it was shown to.
			page := x.authorize(mailed).Body.String()
			form := url.Values{"decision": {"allow"}}
			for _, field := range []string{"request_query", "mark"} {
				_, rest, _ := strings.Cut(page, `name="`+field+`" value="`)
				value, _, ok := strings.Cut(rest, `"`)
				if !ok || value == "" {
					t.Fatalf("no %s:\n%s", field, page)
				}
				form.Set(field, html.UnescapeString(value))
			}
			agree := func(v pages.Visit) string {
				r := httptest.NewRequest(http.MethodPost, "/oauth2/consent", strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Origin", v.Origin.String())
				w := httptest.NewRecorder()
				x.h.Serve(w, r, v)
				return w.Header().Get("Location")
			}
			for range 2 {
				if to := agree(told); !strings.HasPrefix(to, "/_gatehouse/login?") {
					t.Errorf("signed up: %q", to)
				}
			}
			if to := agree(mailed); !strings.Contains(to, "code=") {
				t.Errorf("by a mail: %q", to)
			}
			// Who has signed up is known: from then on a code that an operator told is
			// a sign-in like any other.
			if to := x.authorize(told).Header().Get("Location"); !strings.Contains(to, "code=") {
				t.Errorf("after the sign-up: %q", to)
			}
		})
	}
}

// cancels presses the link that leads back to the app.
func (b *browser) cancels(page *page) *url.URL {
	b.Helper()
	_, rest, ok := strings.Cut(page.text, `<a href="/oauth2/authorize?`)
	path, _, _ := strings.Cut(rest, `"`)
	if !ok || !strings.Contains(path, "gatehouse_cancel=1") {
		b.Fatalf("there is no way back:\n%s", page.text)
	}
	at, _ := b.follow(b.get(b.issuer + "/oauth2/authorize?" + strings.ReplaceAll(path, "&amp;", "&")))
	if at == nil {
		b.Fatal("the browser stays here")
	}
	return at
}

// forgeries are an ID token without a signature, with one made of the public key,
// and with one of somebody else's.
func forgeries(p *op, token string) []string {
	p.Helper()
	parts := strings.Split(token, ".")
	encoded := base64.RawURLEncoding.EncodeToString
	none := encoded([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	kid := p.keys.Keys[0].KeyID
	public, err := x509.MarshalPKIXPublicKey(p.keys.Keys[0].Key)
	must(p, err)
	signed := encoded([]byte(`{"alg":"HS256","typ":"JWT","kid":"`+kid+`"}`)) + "." + parts[1]
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	mac.Write([]byte(signed))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(p, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	must(p, err)
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(p, err)
	jws, err := signer.Sign(payload)
	must(p, err)
	other, err := jws.CompactSerialize()
	must(p, err)
	return []string{none, signed + "." + encoded(mac.Sum(nil)), other}
}
