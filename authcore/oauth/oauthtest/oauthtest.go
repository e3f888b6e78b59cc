// Package oauthtest is a provider of access tokens on 127.0.0.1 for tests. It
// checks all that it gets, as providers do, and misbehaves when told to.
//
// State of the process: all that a provider has given out.
package oauthtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Options say whom the provider knows.
type Options struct {
	ClientID, ClientSecret string
	Scope                  string
	Refresh                string // a refresh token that is good; empty: none is
	Rotate                 bool   // each use of a refresh token replaces it
	ServiceAccount         string // address of a service account
	Subject                string // for whom the service account may act
	Life                   time.Duration
}

// Provider is one running.
type Provider struct {
	URL string // of the token endpoint

	opts Options
	key  *rsa.PrivateKey

	mu       sync.Mutex
	refresh  string
	tokens   []string // those that are good
	issued   int
	requests int
	wrong    []string // what was wrong with requests
	fail     http.HandlerFunc
}

// Start starts a provider that stops with the test.
func Start(t testing.TB, opts Options) *Provider {
	t.Helper()
	if opts.Life == 0 {
		opts.Life = time.Hour
	}
	p := &Provider{opts: opts, refresh: opts.Refresh}
	if opts.ServiceAccount != "" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		p.key = key
	}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	p.URL = srv.URL + "/token"
	return p
}

// KeyFile is the service account's key file, of many lines like Google's.
func (p *Provider) KeyFile(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": "test", "private_key_id": "key-1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": p.opts.ServiceAccount, "token_uri": p.URL,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// Good tells whether a token is one that the provider gave and has not ended.
func (p *Provider) Good(token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.tokens, token)
}

// End ends the access tokens that were given so far.
func (p *Provider) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = nil
}

// Revoke withdraws consent: neither tokens nor refresh tokens are good any more.
func (p *Provider) Revoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens, p.refresh = nil, ""
}

// Refresh is the refresh token that is good now.
func (p *Provider) Refresh() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refresh
}

// Fail has requests answered by handle, nil ends that.
func (p *Provider) Fail(handle http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = handle
}

// Requests is how many there were.
func (p *Provider) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// Wrong is what was wrong with requests so far.
func (p *Provider) Wrong() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.wrong)
}

// ServeHTTP is the token endpoint.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	if p.fail != nil {
		p.fail(w, r)
		return
	}
	code, description := p.judge(r)
	w.Header().Set("Content-Type", "application/json")
	if code != "" {
		p.wrong = append(p.wrong, code+" "+description)
		status := http.StatusBadRequest
		if code == "invalid_client" {
			status = http.StatusUnauthorized
		}
		w.WriteHeader(status)
		write(w, map[string]any{"error": code, "error_description": description})
		return
	}
	p.issued++
	token := "access-" + strconv.Itoa(p.issued) + "-" + rand.Text()
	p.tokens = append(p.tokens, token)
	out := map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(p.opts.Life.Seconds())}
	if r.PostForm.Get("grant_type") == "refresh_token" && p.opts.Rotate {
		p.refresh = "refresh-" + strconv.Itoa(p.issued) + "-" + rand.Text()
		out["refresh_token"] = p.refresh
	}
	write(w, out)
}

func write(w io.Writer, v any) { _ = json.NewEncoder(w).Encode(v) }

// judge says what is wrong with a request, in RFC 6749's words.
func (p *Provider) judge(r *http.Request) (code, description string) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.RawQuery != "" {
		return "invalid_request", "not a form"
	}
	form := r.PostForm
	if form.Get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return p.judgeAssertion(form.Get("assertion"))
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		id, secret = user, password
	}
	switch {
	case id != p.opts.ClientID || secret != p.opts.ClientSecret:
		return "invalid_client", fmt.Sprintf("AADSTS7000215: Invalid client secret %s provided", secret)
	case p.opts.Scope != "" && form.Get("scope") != p.opts.Scope:
		return "invalid_scope", form.Get("scope")
	}
	switch form.Get("grant_type") {
	case "client_credentials":
		if p.opts.Refresh != "" || form.Has("refresh_token") {
			return "unauthorized_client", "no client credentials here"
		}
		return "", ""
	case "refresh_token":
		if p.refresh == "" || form.Get("refresh_token") != p.refresh {
			return "invalid_grant", fmt.Sprintf("AADSTS70008: the refresh token %s has expired or was revoked", form.Get("refresh_token"))
		}
		return "", ""
	}
	return "unsupported_grant_type", form.Get("grant_type")
}

// judgeAssertion checks the signed request of a service account.
func (p *Provider) judgeAssertion(text string) (code, description string) {
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || p.key == nil {
		return "invalid_grant", "no assertion of a service account"
	}
	payload, err := signed.Verify(&p.key.PublicKey)
	if err != nil {
		return "invalid_grant", "Invalid JWT Signature."
	}
	var claims struct {
		Iss, Sub, Aud, Scope string
		Iat, Exp             int64
	}
	if json.Unmarshal(payload, &claims) != nil || signed.Signatures[0].Header.KeyID != "key-1" {
		return "invalid_grant", "Invalid JWT"
	}
	now := time.Now().Unix()
	switch {
	case claims.Iss != p.opts.ServiceAccount, claims.Aud != p.URL:
		return "invalid_grant", "account not found"
	case claims.Sub != p.opts.Subject:
		return "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."
	case claims.Scope != p.opts.Scope:
		return "invalid_scope", claims.Scope
	case claims.Iat > now || claims.Exp <= now || claims.Exp-claims.Iat > 3600+60:
		return "invalid_grant", "Invalid JWT: Token must be a short-lived token"
	}
	return "", ""
}
