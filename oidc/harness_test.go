package oidc_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// op is a provider under test: ours behind a real Caddy, or another one that
// shows whether a test is right.
type op struct {
	testing.TB
	issuer string
	meta   map[string]any
	keys   jose.JSONWebKeySet
	// interact answers a page for a person, and returns what comes of it.
	interact func(b *browser, page *page) *http.Response
	oracle   bool

	house *house // ours alone
	seen  *secrets
}

// house is our own provider's surroundings.
type house struct {
	dir  string
	mail *smtptest.Server
	text string // of the whole configuration
}

// secrets are what was issued and must stand in no log.
type secrets struct {
	mu    sync.Mutex
	words []string
}

func (s *secrets) add(words ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range words {
		if len(w) >= 16 {
			s.words = append(s.words, w)
		}
	}
}

// client is a client of the provider under test.
type client struct {
	id, secret, redirect string
	post                 bool // it shows its secret in the body
}

// The clients that every provider under test has.
var (
	wiki   = client{id: "wiki", secret: "wiki-0123456789abcdef0123456789abcdef", redirect: "http://localhost:9999/wiki/callback"}
	second = client{id: "second", secret: "second-0123456789abcdef0123456789abcd", redirect: "http://localhost:9999/second/callback"}
	posts  = client{id: "posts", secret: "posts-0123456789abcdef0123456789abcde", redirect: "http://localhost:9999/posts/callback", post: true}
	legacy = client{id: "legacy", secret: "legacy-0123456789abcdef0123456789abc", redirect: "http://localhost:9999/legacy/callback"}
	curve  = client{id: "curve", redirect: "http://localhost:9999/curve/callback"}
	spa    = client{id: "spa", redirect: "http://localhost:9999/spa/callback"}
)

const afterLogout = "http://localhost:9999/wiki/after"

// clients is how ours are configured.
const clients = `
		app wiki {
			name "The Wiki"
			secret wiki-0123456789abcdef0123456789abcdef
			redirect_uri http://localhost:9999/wiki/callback http://127.0.0.1/native
			post_logout_redirect_uri http://localhost:9999/wiki/after
			allow any
			id_token_email off
			profile on
		}
		app second {
			secret second-0123456789abcdef0123456789abcd
			redirect_uri http://localhost:9999/second/callback
			allow any
		}
		app posts {
			secret posts-0123456789abcdef0123456789abcde
			redirect_uri http://localhost:9999/posts/callback
			allow any
		}
		app legacy {
			secret legacy-0123456789abcdef0123456789abc
			redirect_uri http://localhost:9999/legacy/callback
			allow any
			pkce optional
		}
		app curve {
			redirect_uri http://localhost:9999/curve/callback
			allow any
			id_token_alg ES256
		}
		app spa {
			redirect_uri http://localhost:9999/spa/callback
			allow any
		}`

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// gatehouse starts a portal with these apps in a real Caddy. At the end nothing
// that was issued may stand in any log.
func gatehouse(t testing.TB, apps string) *op {
	t.Helper()
	p := &op{TB: t, issuer: "http://localhost:" + caddytest.FreePort(t)}
	p.house = &house{dir: t.TempDir(), mail: smtptest.Start(t, smtptest.Options{})}
	p.interact, p.seen = p.asPerson, &secrets{}
	t.Cleanup(p.checkLogs)
	t.Cleanup(func() { must(t, caddy.Stop()) })
	p.load(apps)
	p.discover()
	return p
}

// load puts a configuration with these apps into effect.
func (p *op) load(apps string) {
	p.Helper()
	p.house.text = fmt.Sprintf(`{
	admin off
	persist_config off
	grace_period 5s
	storage file_system %[1]s/caddy
	log {
		output file %[1]s/caddy.log
		level DEBUG
	}
	gatehouse {
		store badger %[1]s/store
		secret 0123456789abcdef0123456789abcdef0123456789abcdef
		mail smtp %[2]s {
			tls off
		}
		from "Example" <login@example.com>
		limits {
			per_recipient 1000 1m
		}
		group staff *@staff.example.com
		%[4]s
	}
}
%[3]s {
	bind 127.0.0.1
	log {
		output file %[1]s/access.log
	}
	gatehouse_portal
}`, p.house.dir, p.house.mail.Addr, p.issuer, apps)
	p.reload(p.house.text)
}

// reload puts a configuration into effect.
func (p *op) reload(text string) {
	p.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	must(p, err)
	must(p, caddytest.Load(config))
}

// checkLogs looks for what was issued in every log.
func (p *op) checkLogs() {
	for _, name := range []string{"caddy.log", "access.log"} {
		log, err := os.ReadFile(filepath.Join(p.house.dir, name))
		must(p, err)
		if len(log) == 0 {
			p.Errorf("%s is empty", name)
		}
		for _, word := range p.seen.words {
			if strings.Contains(string(log), word) {
				p.Errorf("%s holds %q, which was issued or is a secret", name, word)
			}
		}
	}
}

// discover reads metadata and keys.
func (p *op) discover() {
	p.Helper()
	p.meta = nil
	p.getJSON(p.issuer+"/.well-known/openid-configuration", &p.meta)
	p.getJSON(p.endpoint("jwks_uri"), &p.keys)
}

func (p *op) endpoint(name string) string {
	p.Helper()
	at, ok := p.meta[name].(string)
	if !ok {
		p.Fatalf("the metadata has no %s", name)
	}
	return at
}

func (p *op) getJSON(at string, into any) *http.Response {
	p.Helper()
	answer, err := http.Get(at)
	must(p, err)
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || !strings.HasPrefix(kind, "application/json") && !strings.HasPrefix(kind, "application/jwk-set+json") {
		p.Fatalf("%s: %s %s", at, answer.Status, answer.Header.Get("Content-Type"))
	}
	must(p, json.NewDecoder(answer.Body).Decode(into))
	return answer
}

// browser is a person's browser.
type browser struct {
	*op
	http  *http.Client
	email string
	pages []string // paths of the pages that the person has met
	from  string   // the page that it shows, as far as its Referer may tell
}

func (p *op) browser(email string) *browser {
	jar, err := cookiejar.New(nil)
	must(p, err)
	return &browser{op: p, email: email, http: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is a page with its text.
type page struct {
	*http.Response
	text string
}

var hiddenField = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"`)

// fields are the hidden fields of the page's forms.
func (p *page) fields() url.Values {
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(p.text, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	return form
}

func (b *browser) get(at string) *http.Response {
	b.Helper()
	r, err := http.NewRequest(http.MethodGet, at, nil)
	must(b, err)
	r.Header.Set("Accept", "text/html")
	return b.send(r)
}

func (b *browser) post(at string, form url.Values, headers ...string) *http.Response {
	b.Helper()
	r, err := http.NewRequest(http.MethodPost, at, strings.NewReader(form.Encode()))
	must(b, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.issuer)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	return b.send(r)
}

func (b *browser) send(r *http.Request) *http.Response {
	b.Helper()
	if b.from != "" {
		r.Header.Set("Referer", b.from)
	}
	answer, err := b.http.Do(r)
	must(b, err)
	switch policy := answer.Header.Get("Referrer-Policy"); {
	case policy == "no-referrer":
		b.from = ""
	case !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html"):
	case !strings.HasPrefix(r.URL.String(), b.issuer+"/"):
		b.from = "" // an app's page leads here by its address alone
	case policy == "strict-origin":
		b.from = b.issuer + "/"
	default:
		b.from = r.URL.String()
	}
	if u, err := answer.Location(); err == nil {
		b.seen.add(u.Query().Get("code"))
	}
	return answer
}

func read(t testing.TB, answer *http.Response) *page {
	t.Helper()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	must(t, answer.Body.Close())
	return &page{answer, string(text)}
}

// follow goes on from an answer, as a person does, until the browser is sent away
// from the provider. It returns where; nil with a page that leads no further.
func (b *browser) follow(answer *http.Response) (*url.URL, *page) {
	b.Helper()
	for range 30 {
		at, err := answer.Location()
		if err != nil {
			p := read(b, answer)
			b.pages = append(b.pages, answer.Request.URL.Path)
			if answer.StatusCode != http.StatusOK || !strings.Contains(p.text, "<form") {
				return nil, p
			}
			if answer = b.interact(b, p); answer == nil {
				return nil, p
			}
			continue
		}
		_ = answer.Body.Close()
		if !strings.HasPrefix(at.String(), b.issuer+"/") {
			return at, nil
		}
		answer = b.get(at.String())
	}
	b.Fatal("this goes round in circles")
	return nil, nil
}

// asPerson fills the forms of our own pages.
func (p *op) asPerson(b *browser, page *page) *http.Response {
	form := page.fields()
	switch path := page.Request.URL.Path; {
	case path == "/_gatehouse/login":
		form.Set("email", b.email)
		return b.post(p.issuer+"/_gatehouse/login", form)
	case path == "/_gatehouse/code":
		form.Set("code", p.code(b.email))
		return b.post(p.issuer+"/_gatehouse/code", form)
	case path == "/_gatehouse/logout":
		return b.post(p.issuer+"/_gatehouse/logout", form)
	case strings.Contains(page.text, `action="/oauth2/consent"`):
		form.Set("decision", "allow")
		return b.post(p.issuer+"/oauth2/consent", form)
	}
	return nil
}

// code waits for the next code; notices of new browsers go to the same address.
func (p *op) code(email string) string {
	for {
		m := p.house.mail.NextTo(p, email)
		if strings.Contains(m.Parse(p).Text, "/_gatehouse/link/") {
			return m.Code(p)
		}
	}
}

// request is a request for authorization.
type request struct {
	client   client
	params   url.Values
	verifier string
}

func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// ask is a good request, changed by params in pairs; an empty value takes one out.
func (c client) ask(pairs ...string) *request {
	q := &request{client: c, verifier: random()}
	sum := sha256.Sum256([]byte(q.verifier))
	q.params = url.Values{
		"client_id": {c.id}, "redirect_uri": {c.redirect}, "response_type": {"code"}, "scope": {"openid"},
		"state": {random()[:10]}, "nonce": {random()[:10]},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		if q.params.Del(pairs[i]); pairs[i+1] != "" {
			q.params.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// authorize goes through the whole sign-in, and returns what the client gets.
func (b *browser) authorize(q *request) url.Values {
	b.Helper()
	b.pages = nil
	at, page := b.follow(b.get(b.endpoint("authorization_endpoint") + "?" + q.params.Encode()))
	if at == nil {
		b.Fatalf("the browser stays at %s: %s, %s", page.Request.URL, page.Status, page.heading())
	}
	return b.check(q, at)
}

// check checks what every answer to a client has.
func (b *browser) check(q *request, at *url.URL) url.Values {
	b.Helper()
	want, err := url.Parse(q.params.Get("redirect_uri"))
	must(b, err)
	got := at.Query()
	if at.Host != want.Host || at.Path != want.Path || at.Fragment != "" {
		b.Fatalf("the browser is sent to %s", at)
	}
	if got.Get("state") != q.params.Get("state") {
		b.Errorf("state is %q, want %q", got.Get("state"), q.params.Get("state"))
	}
	if got.Get("iss") != b.issuer {
		b.Errorf("iss is %q", got.Get("iss"))
	}
	return got
}

// signIn is authorize for a request that must lead to a code.
func (b *browser) signIn(q *request) string {
	b.Helper()
	got := b.authorize(q)
	if got.Get("code") == "" || got.Get("error") != "" {
		b.Fatalf("no code: %v", got)
	}
	return got.Get("code")
}

// denied is authorize for a request that must end in one of these errors.
func (b *browser) denied(q *request, codes ...string) url.Values {
	b.Helper()
	got := b.authorize(q)
	b.wantError(got, codes...)
	return got
}

func (b *browser) wantError(got url.Values, codes ...string) {
	b.Helper()
	for _, code := range codes {
		if got.Get("error") == code && got.Get("code") == "" {
			return
		}
	}
	b.Errorf("the client gets %v, want error %v", got, codes)
}

// answer is a JSON answer.
type answer struct {
	*http.Response
	json map[string]any
	text string
}

func (a answer) str(name string) string {
	s, _ := a.json[name].(string)
	return s
}

// call posts a form as a client, with its credentials.
func (p *op) call(at string, c client, form url.Values, headers ...string) answer {
	p.Helper()
	form = cloned(form)
	switch {
	case c.secret == "":
		form.Set("client_id", c.id)
	case c.post:
		form.Set("client_id", c.id)
		form.Set("client_secret", c.secret)
	}
	r, err := http.NewRequest(http.MethodPost, at, strings.NewReader(form.Encode()))
	must(p, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.secret != "" && !c.post {
		r.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret))
	}
	return p.do(r, headers...)
}

func cloned(form url.Values) url.Values {
	out := url.Values{}
	for name, values := range form {
		out[name] = values
	}
	return out
}

func (p *op) do(r *http.Request, headers ...string) answer {
	p.Helper()
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	must(p, err)
	page := read(p, resp)
	a := answer{Response: resp, text: page.text}
	_ = json.Unmarshal([]byte(page.text), &a.json)
	p.seen.add(a.str("access_token"), a.str("refresh_token"), a.str("id_token"))
	return a
}

// redeem shows a code.
func (p *op) redeem(q *request, code string, pairs ...string) answer {
	p.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {q.params.Get("redirect_uri")}, "code_verifier": {q.verifier},
	}
	for i := 0; i < len(pairs); i += 2 {
		if form.Del(pairs[i]); pairs[i+1] != "" {
			form.Set(pairs[i], pairs[i+1])
		}
	}
	return p.call(p.endpoint("token_endpoint"), q.client, form)
}

func (p *op) refresh(c client, token string, pairs ...string) answer {
	p.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return p.call(p.endpoint("token_endpoint"), c, form)
}

// tokens shows a code that must be good, and checks what every answer has.
func (p *op) tokens(q *request, code string) answer {
	p.Helper()
	a := p.redeem(q, code)
	p.checkTokens(q, a, true)
	return a
}

// checkTokens checks what every module of the plans does.
func (p *op) checkTokens(q *request, a answer, first bool) map[string]any {
	p.Helper()
	if a.StatusCode != 200 || a.str("access_token") == "" || !strings.EqualFold(a.str("token_type"), "Bearer") {
		p.Fatalf("the token endpoint: %s %s", a.Status, a.text)
	}
	if a.Header.Get("Cache-Control") != "no-store" && !strings.Contains(a.Header.Get("Cache-Control"), "no-store") {
		p.Errorf("Cache-Control is %q", a.Header.Get("Cache-Control"))
	}
	if n, ok := a.json["expires_in"].(float64); !ok || n <= 0 {
		p.Errorf("expires_in is %v", a.json["expires_in"])
	}
	claims := p.claims(a.str("id_token"))
	now := float64(time.Now().Unix())
	exp, _ := claims["exp"].(float64)
	iat, _ := claims["iat"].(float64)
	sub, _ := claims["sub"].(string)
	if claims["iss"] != p.issuer || !hasAudience(claims["aud"], q.client.id) || sub == "" || len(sub) > 255 ||
		exp <= now-300 || iat > now+5 || iat < now-300 {
		p.Errorf("the ID token: %v", claims)
	}
	if nonce := q.params.Get("nonce"); first && nonce != "" && claims["nonce"] != nonce || first && nonce == "" && claims["nonce"] != nil {
		p.Errorf("nonce is %v, want %q", claims["nonce"], nonce)
	}
	if hash, ok := claims["at_hash"]; ok {
		sum := sha256.Sum256([]byte(a.str("access_token")))
		if hash != base64.RawURLEncoding.EncodeToString(sum[:16]) {
			p.Errorf("at_hash is %v", hash)
		}
	}
	return claims
}

func hasAudience(aud any, id string) bool {
	if list, ok := aud.([]any); ok {
		return len(list) == 1 && list[0] == id
	}
	return aud == id
}

// claims verifies a token of ours and returns its claims.
func (p *op) claims(token string) map[string]any {
	p.Helper()
	claims, _ := p.verify(token)
	return claims
}

func (p *op) verify(token string) (claims map[string]any, header jose.Header) {
	p.Helper()
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		p.Fatalf("a token can't be read: %v", err)
	}
	header = jws.Signatures[0].Protected
	if header.KeyID == "" {
		p.Error("the header has no kid")
	}
	payload, err := jws.Verify(p.keys)
	if err != nil {
		p.Fatalf("a token does not verify: %v", err)
	}
	must(p, json.Unmarshal(payload, &claims))
	return claims, header
}

// userInfo asks who an access token is for.
func (p *op) userInfo(access string) answer {
	p.Helper()
	r, err := http.NewRequest(http.MethodGet, p.endpoint("userinfo_endpoint"), nil)
	must(p, err)
	return p.do(r, "Authorization: Bearer "+access)
}

var heading = regexp.MustCompile(`(?s)<h1>(.*?)</h1>`)

// heading is what the page says first.
func (p *page) heading() string {
	if m := heading.FindStringSubmatch(p.text); m != nil {
		return html.UnescapeString(m[1])
	}
	return p.text[:min(len(p.text), 300)]
}
