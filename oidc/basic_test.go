package oidc_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPlans runs what mirrors the modules of the OpenID Foundation's
// certification plans. docs/oidc.md lists them.
func TestPlans(t *testing.T) {
	p := gatehouse(t, clients)
	runAll(t, p, slices.Concat(basicPlan, configPlan))
}

type module struct {
	name string
	run  func(*op)
}

// someone is a new person with a new browser each time.
func (p *op) someone() *browser {
	return p.browser("u" + strings.ToLower(random()[:8]) + "x@example.com")
}

// happy is a whole sign-in and its tokens.
func (p *op) happy(q *request) (*browser, answer) {
	p.Helper()
	b := p.someone()
	return b, p.tokens(q, b.signIn(q))
}

var basicPlan = []module{
	{"oidcc-server", func(p *op) {
		q := wiki.ask()
		b := p.someone()
		code := b.signIn(q)
		if len(code)*6 < 128 {
			p.Errorf("the code has %d characters", len(code))
		}
		claims := p.checkTokens(q, p.redeem(q, code), true)
		for _, claim := range []string{"name", "email"} {
			if _, ok := claims[claim]; ok {
				p.Errorf("the ID token has %s, which nobody asked for", claim)
			}
		}
	}},
	{"oidcc-response-type-missing", func(p *op) {
		p.someone().denied(wiki.ask("response_type", ""), "invalid_request", "unsupported_response_type")
	}},
	{"oidcc-userinfo-get", func(p *op) {
		_, a := p.happy(wiki.ask("scope", "openid email"))
		p.checkUserInfo(a, p.userInfo(a.str("access_token")))
	}},
	{"oidcc-userinfo-post-header", func(p *op) {
		_, a := p.happy(wiki.ask())
		r, err := http.NewRequest(http.MethodPost, p.endpoint("userinfo_endpoint"), nil)
		must(p, err)
		p.checkUserInfo(a, p.do(r, "Authorization: Bearer "+a.str("access_token")))
	}},
	{"oidcc-userinfo-post-body", func(p *op) {
		_, a := p.happy(wiki.ask())
		p.checkUserInfo(a, p.call(p.endpoint("userinfo_endpoint"), client{}, url.Values{"access_token": {a.str("access_token")}}))
	}},
	{"oidcc-ensure-request-without-nonce-succeeds-for-code-flow", func(p *op) { p.happy(wiki.ask("nonce", "")) }},
	{"oidcc-scope-email", func(p *op) {
		q := wiki.ask("scope", "openid email")
		b := p.someone()
		a := p.redeem(q, b.signIn(q))
		if claims := p.checkTokens(q, a, true); claims["email"] != nil {
			p.Error("the ID token has email")
		}
		u := p.userInfo(a.str("access_token"))
		if !p.oracle && (u.str("email") != b.email || u.json["email_verified"] != true) {
			p.Errorf("userinfo: %s", u.text)
		}
	}},
	{"oidcc-scope-profile", func(p *op) { p.ignoresScope("profile") }},
	{"oidcc-scope-address", func(p *op) { p.ignoresScope("address") }},
	{"oidcc-scope-phone", func(p *op) { p.ignoresScope("phone") }},
	{"oidcc-scope-all", func(p *op) { p.ignoresScope("email profile address phone") }},
	{"oidcc-alternate-happy-flow", func(p *op) { p.happy(wiki.ask("scope", "email openid")) }},
	{"oidcc-display-page", func(p *op) { p.happy(wiki.ask("display", "page")) }},
	{"oidcc-display-popup", func(p *op) { p.happy(wiki.ask("display", "popup")) }},
	{"oidcc-prompt-login", func(p *op) {
		q := wiki.ask()
		b := p.someone()
		first := p.checkTokens(q, p.redeem(q, b.signIn(q)), true)
		time.Sleep(1100 * time.Millisecond) // auth_time has seconds
		q = wiki.ask("prompt", "login")
		again := p.checkTokens(q, p.redeem(q, b.signIn(q)), true)
		if len(b.pages) == 0 {
			p.Error("nobody was asked to sign in")
		}
		if before, ok := first["auth_time"].(float64); ok && again["auth_time"].(float64) <= before {
			p.Errorf("auth_time %v after %v", again["auth_time"], before)
		}
	}},
	{"oidcc-prompt-none-not-logged-in", func(p *op) {
		state := strings.Repeat("aZ9-._~x", 16)
		got := p.someone().denied(wiki.ask("prompt", "none", "state", state), "login_required", "interaction_required")
		for name := range got {
			if !slices.Contains([]string{"error", "error_description", "state", "iss"}, name) {
				p.Errorf("the client gets %s", name)
			}
		}
	}},
	{"oidcc-prompt-none-logged-in", func(p *op) {
		q := wiki.ask("max_age", "10000")
		b := p.someone()
		first := p.checkTokens(q, p.redeem(q, b.signIn(q)), true)
		q = wiki.ask("prompt", "none", "max_age", "10000")
		again := p.checkTokens(q, p.redeem(q, b.signIn(q)), true)
		if first["sub"] != again["sub"] || first["auth_time"] != again["auth_time"] || len(b.pages) > 0 {
			p.Errorf("%v, then %v, by %v", first, again, b.pages)
		}
	}},
	{"oidcc-max-age-1", func(p *op) {
		q := wiki.ask()
		b := p.someone()
		first := p.checkTokens(q, p.redeem(q, b.signIn(q)), true)
		time.Sleep(2500 * time.Millisecond) // as the module does
		q = wiki.ask("max_age", "1")
		again := p.checkTokens(q, p.redeem(q, b.signIn(q)), true)
		at, ok := again["auth_time"].(float64)
		if before, known := first["auth_time"].(float64); !ok || len(b.pages) == 0 || known && at <= before {
			p.Errorf("auth_time %v after %v, by %v", again["auth_time"], first["auth_time"], b.pages)
		}
	}},
	{"oidcc-max-age-10000", func(p *op) {
		q := wiki.ask("max_age", "15000")
		b := p.someone()
		first := p.checkTokens(q, p.redeem(q, b.signIn(q)), true)
		q = wiki.ask("max_age", "10000")
		again := p.checkTokens(q, p.redeem(q, b.signIn(q)), true)
		if first["auth_time"] == nil || first["auth_time"] != again["auth_time"] || len(b.pages) > 0 {
			p.Errorf("auth_time %v, then %v, by %v", first["auth_time"], again["auth_time"], b.pages)
		}
	}},
	{"oidcc-ensure-request-with-unknown-parameter-succeeds", func(p *op) { p.happy(wiki.ask("extra", "foobar")) }},
	{"oidcc-id-token-hint", func(p *op) {
		q := wiki.ask()
		b := p.someone()
		a := p.redeem(q, b.signIn(q))
		first := p.checkTokens(q, a, true)
		q = wiki.ask("prompt", "none", "id_token_hint", a.str("id_token"))
		again := p.checkTokens(q, p.redeem(q, b.signIn(q)), true)
		if first["sub"] != again["sub"] {
			p.Errorf("sub %v, then %v", first["sub"], again["sub"])
		}
	}},
	{"oidcc-login-hint", func(p *op) { p.happy(wiki.ask("login_hint", "buffy@example.com")) }},
	{"oidcc-ui-locales", func(p *op) { p.happy(wiki.ask("ui_locales", "se")) }},
	{"oidcc-claims-locales", func(p *op) { p.happy(wiki.ask("claims_locales", "se")) }},
	{"oidcc-ensure-request-with-acr-values-succeeds", func(p *op) {
		acrs, _ := p.meta["acr_values_supported"].([]any)
		if p.oracle {
			acrs = []any{"urn:any"}
		}
		q := wiki.ask("acr_values", acrs[0].(string))
		b := p.someone()
		if claims := p.checkTokens(q, p.redeem(q, b.signIn(q)), true); !p.oracle && !slices.Contains(acrs, claims["acr"]) {
			p.Errorf("acr is %v", claims["acr"])
		}
	}},
	{"oidcc-codereuse", func(p *op) {
		q := wiki.ask()
		b := p.someone()
		code := b.signIn(q)
		p.tokens(q, code)
		p.wantTokenError(p.redeem(q, code), 400, "invalid_grant")
	}},
	{"oidcc-ensure-registered-redirect-uri", func(p *op) {
		p.staysHere(wiki.ask("redirect_uri", wiki.redirect+"/other"))
	}},
	{"oidcc-ensure-post-request-succeeds", func(p *op) {
		if p.oracle {
			return // it takes GET alone, unless its cookies are made for all sites
		}
		q := wiki.ask()
		b := p.someone()
		at, page := b.follow(b.post(p.endpoint("authorization_endpoint"), q.params, "Origin: http://localhost:9999", "Sec-Fetch-Site: cross-site"))
		if at == nil {
			p.Fatalf("%s %s", page.Status, page.text)
		}
		p.tokens(q, b.check(q, at).Get("code"))
	}},
	{"oidcc-server-client-secret-post", func(p *op) {
		methods, _ := p.meta["token_endpoint_auth_methods_supported"].([]any)
		if !slices.Contains(methods, any("client_secret_post")) {
			p.Error("client_secret_post is not announced")
		}
		p.happy(posts.ask())
	}},
	{"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", func(p *op) {
		p.someone().denied(wiki.ask("request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported", "invalid_request_object")
	}},
	{"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", func(p *op) {
		p.someone().denied(wiki.ask("request_uri", "https://rp.example.com/object"), "request_uri_not_supported")
	}},
	{"oidcc-claims-essential", func(p *op) {
		p.happy(wiki.ask("claims", `{"userinfo":{"name":{"essential":true}}}`))
	}},
	{"oidcc-ensure-request-object-with-redirect-uri", func(p *op) {
		p.staysHere(wiki.ask("redirect_uri", "https://evil.example.com/", "request", "eyJhbGciOiJub25lIn0.e30."))
	}},
	{"oidcc-refresh-token", func(p *op) {
		q := wiki.ask("scope", "openid offline_access", "prompt", "consent")
		_, a := p.happy(q)
		first := p.claims(a.str("id_token"))
		if len(a.str("refresh_token"))*6 < 128 {
			p.Fatalf("refresh_token is %q", a.str("refresh_token"))
		}
		time.Sleep(1100 * time.Millisecond) // iat has seconds
		again := p.refresh(wiki, a.str("refresh_token"))
		claims := p.checkTokens(q, again, false)
		if first["sub"] != claims["sub"] || first["iat"] == claims["iat"] || first["auth_time"] != claims["auth_time"] {
			p.Errorf("%v, then %v", first, claims)
		}
		p.wantTokenError(p.refresh(second, again.str("refresh_token")), 400, "invalid_grant")
	}},
	{"oidcc-ensure-request-with-valid-pkce-succeeds", func(p *op) { p.happy(wiki.ask()) }},
}

func (p *op) checkUserInfo(tokens, got answer) {
	p.Helper()
	if got.StatusCode != 200 || !strings.HasPrefix(got.Header.Get("Content-Type"), "application/json") || got.str("sub") != p.claims(tokens.str("id_token"))["sub"] {
		p.Errorf("userinfo: %s %s", got.Status, got.text)
	}
	for name, value := range got.json {
		if value == nil || value == "" {
			p.Errorf("userinfo: %s is %v", name, value)
		}
	}
}

// ignoresScope: a scope that is not announced does no harm.
func (p *op) ignoresScope(scope string) {
	p.Helper()
	_, a := p.happy(wiki.ask("scope", "openid "+scope))
	p.checkUserInfo(a, p.userInfo(a.str("access_token")))
}

func (p *op) wantTokenError(a answer, status int, code string) {
	p.Helper()
	if a.StatusCode != status || a.str("error") != code || a.str("access_token") != "" {
		p.Errorf("the token endpoint: %s %s, want %d %s", a.Status, a.text, status, code)
	}
}

// staysHere: the request is answered with a page, and the browser sent nowhere.
func (p *op) staysHere(q *request) *page {
	p.Helper()
	answer := p.someone().get(p.endpoint("authorization_endpoint") + "?" + q.params.Encode())
	got := read(p, answer)
	if answer.StatusCode != http.StatusBadRequest || answer.Header.Get("Location") != "" {
		p.Errorf("%s, Location %q", answer.Status, answer.Header.Get("Location"))
	}
	return got
}

var configPlan = []module{
	{"oidcc-discovery-endpoint-verification", func(p *op) {
		m := p.meta
		has := func(name, value string) {
			p.Helper()
			list, _ := m[name].([]any)
			if !slices.Contains(list, any(value)) {
				p.Errorf("%s is %v, without %s", name, m[name], value)
			}
		}
		has("response_types_supported", "code")
		has("subject_types_supported", "public")
		has("id_token_signing_alg_values_supported", "RS256")
		has("grant_types_supported", "authorization_code")
		has("scopes_supported", "openid")
		has("code_challenge_methods_supported", "S256")
		has("claims_supported", "sub")
		if m["issuer"] != p.issuer || m["request_uri_parameter_supported"] != false {
			p.Errorf("%v", m)
		}
		for name, value := range m {
			if at, ok := value.(string); strings.HasSuffix(name, "_endpoint") && (!ok || !strings.HasPrefix(at, p.issuer+"/")) {
				p.Errorf("%s is %v", name, value)
			}
		}
		kids := map[string]bool{}
		for _, key := range p.keys.Keys {
			if !key.IsPublic() || key.KeyID == "" || kids[key.KeyID] {
				p.Errorf("a key of the JWKS: kid %q", key.KeyID)
			}
			kids[key.KeyID] = true
		}
		if len(kids) == 0 {
			p.Error("the JWKS is empty")
		}
	}},
}
