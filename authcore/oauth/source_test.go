package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth/oauthtest"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	clientID = "5f1e0c5e-0000-4000-8000-000000000001"
	secret   = "s3cret~of-the.application"
)

// shelf is a Keeper in memory.
type shelf struct {
	mu   sync.Mutex
	kept map[string]string
	fail error
}

func (s *shelf) Keep(_ context.Context, name, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[string]string{}
	}
	if s.fail == nil {
		s.kept[name] = value
	}
	return s.fail
}

func (s *shelf) Kept(_ context.Context, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[name], s.fail
}

func credentials(p *oauthtest.Provider) oauth.Config {
	return oauth.Config{TokenURL: p.URL, ClientID: clientID, ClientSecret: secret, Scopes: []string{"mail"}}
}

func refreshing(p *oauthtest.Provider, k oauth.Keeper) oauth.Config {
	c := credentials(p)
	c.RefreshToken, c.Keeper = "refresh-of-the-configuration", k
	return c
}

func source(t *testing.T, c oauth.Config) *oauth.Source {
	t.Helper()
	s, err := oauth.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantGood(t *testing.T, p *oauthtest.Provider, s *oauth.Source) string {
	t.Helper()
	token, err := s.Token(t.Context())
	if err != nil || !p.Good(token) {
		t.Fatalf("%q, %v; the provider says %v", token, err, p.Wrong())
	}
	return token
}

// wantFailure wants an error with these words and no secret.
func wantFailure(t *testing.T, s *oauth.Source, words ...string) {
	t.Helper()
	token, err := s.Token(t.Context())
	var failed *outbox.SendError
	if !errors.As(err, &failed) || failed.Fault != outbox.SenderDown || token != "" {
		t.Fatalf("%q, %v", token, err)
	}
	for _, word := range words {
		if !strings.Contains(failed.Reason, word) {
			t.Errorf("%q lacks %q", failed.Reason, word)
		}
	}
	for _, word := range []string{secret, "refresh-of-the", "refresh-1", "access-"} {
		if strings.Contains(failed.Reason, word) {
			t.Errorf("%q tells %q", failed.Reason, word)
		}
	}
}

func TestClientCredentials(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret, Scope: "mail"})
	s := source(t, credentials(p))
	first := wantGood(t, p, s)
	if second := wantGood(t, p, s); second != first {
		t.Error("a token that is good was replaced")
	}
	p.End()
	s.Refused("another")
	if token, _ := s.Token(t.Context()); token != first {
		t.Error("the refusal of another token counts")
	}
	s.Refused(first)
	if second := wantGood(t, p, s); second == first {
		t.Error("a refused token is held")
	}
	c := credentials(p)
	c.ClientSecret = "another~secret"
	wrong := source(t, c)
	_, err := wrong.Token(t.Context())
	if err == nil || strings.Contains(err.Error(), "another~secret") || !strings.Contains(err.Error(), "invalid_client AADSTS7000215: Invalid client secret [...] provided; check client_id and client_secret") {
		t.Error(err)
	}
}

func TestServiceAccount(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ServiceAccount: "mailer@test.iam.gserviceaccount.com", Subject: "login@example.com", Scope: "https://mail.google.com/"})
	c := oauth.Config{ServiceAccount: outbox.Credential(p.KeyFile(t)), Subject: "login@example.com", Scopes: []string{"https://mail.google.com/"}}
	wantGood(t, p, source(t, c))
	c.Subject = "boss@example.com"
	wantFailure(t, source(t, c), "unauthorized_client", "grant it the permission")
	for _, text := range []string{"{}", "not JSON", strings.Replace(p.KeyFile(t), "MII", "XXX", 1), strings.Replace(p.KeyFile(t), "BEGIN PRIVATE KEY", "BEGIN", 1)} {
		c.ServiceAccount = outbox.Credential(text)
		if _, err := oauth.New(c); err == nil || strings.Contains(err.Error(), "MII") || !strings.Contains(err.Error(), "service_account") {
			t.Errorf("%v", err)
		}
	}
}

func TestRefreshTokenIsReplacedAndKept(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret, Scope: "mail", Refresh: "refresh-of-the-configuration", Rotate: true})
	k := &shelf{}
	s := source(t, refreshing(p, k))
	for range 3 {
		s.Refused(wantGood(t, p, s))
	}
	// After a restart the one in the configuration is long dead.
	wantGood(t, p, source(t, refreshing(p, k)))
	if len(k.kept) != 1 {
		t.Errorf("kept %v", k.kept)
	}
	// Another one in the configuration counts, not what was kept for the old one.
	p2 := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret, Refresh: "new-consent"})
	c := refreshing(p2, k)
	c.RefreshToken = "new-consent"
	wantGood(t, p2, source(t, c))
}

// A store that was put back from a copy keeps a dead one; that of the
// configuration may be good.
func TestKeptRefreshTokenIsDead(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret, Refresh: "refresh-of-the-configuration", Rotate: true})
	k := &shelf{}
	wantGood(t, p, source(t, refreshing(p, k)))
	for name := range k.kept {
		k.kept[name] = "long dead"
	}
	p2 := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret, Refresh: "refresh-of-the-configuration"})
	p.Fail(p2.ServeHTTP)
	s := source(t, refreshing(p, k))
	if token, err := s.Token(t.Context()); err != nil || !p2.Good(token) {
		t.Error(err)
	}
}

func TestRevokedConsent(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret, Refresh: "refresh-of-the-configuration"})
	s := source(t, refreshing(p, &shelf{}))
	token := wantGood(t, p, s)
	p.Revoke()
	s.Refused(token)
	wantFailure(t, s, "invalid_grant", "AADSTS70008", "give consent again")
}

func TestStoreThatFails(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret, Refresh: "refresh-of-the-configuration", Rotate: true})
	k := &shelf{fail: errors.New("no room for refresh-of-the-configuration")}
	s := source(t, refreshing(p, k))
	wantFailure(t, s, "can't be read from the store")
	k.mu.Lock()
	k.fail = nil
	k.mu.Unlock()
	wantGood(t, p, s)
}

// The provider says when it wants to be asked again, and is not asked before.
func TestRetryAfterOfTheProvider(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret})
	s := source(t, credentials(p))
	p.Fail(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":"temporarily_unavailable","error_description":"AADSTS90055: too many requests"}`)
	})
	wantFailure(t, s, "429", "too many requests")
	asked := p.Requests()
	p.Fail(nil)
	wantFailure(t, s, "429")
	if p.Requests() != asked {
		t.Error("it was asked again at once")
	}
	oauth.Advance(s, 121*time.Second)
	wantGood(t, p, s)
}

// A token is replaced before it ends, and does until its end while the provider
// is away.
func TestRenewal(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret, Life: time.Hour})
	s := source(t, credentials(p))
	first := wantGood(t, p, s)
	oauth.Advance(s, 50*time.Minute)
	if token := wantGood(t, p, s); token != first {
		t.Error("replaced too early")
	}
	oauth.Advance(s, 6*time.Minute)
	p.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if token := wantGood(t, p, s); token != first {
		t.Error("it was not used to its end")
	}
	oauth.Advance(s, 5*time.Minute)
	wantFailure(t, s, "HTTP 500")
	p.Fail(nil)
	if token := wantGood(t, p, s); token == first {
		t.Error("it was used beyond its end")
	}
}

func TestNoUsableAnswer(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret})
	for words, handle := range map[string]http.HandlerFunc{
		"no token that can be read": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"characters": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"a\u0001b"}`)
		},
		"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"HTTP 302": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		},
	} {
		p.Fail(handle)
		wantFailure(t, source(t, credentials(p)), words)
	}
}

// Of many that need a token one asks.
func TestOneAsksForAll(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ClientID: clientID, ClientSecret: secret})
	c := credentials(p)
	s := source(t, c)
	wantGood(t, p, s)
	before := p.Requests()
	token, _ := s.Token(t.Context())
	s.Refused(token)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { wantGood(t, p, s) })
	}
	all.Wait()
	if n := p.Requests() - before; n != 1 {
		t.Errorf("%d requests", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Refused(wantGood(t, p, s))
	if _, err := s.Token(ctx); err == nil {
		t.Error("a call that was given up has a token")
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	for want, c := range map[string]oauth.Config{
		"client_id":     {TokenURL: "https://id.example.com/token", ClientSecret: secret},
		"refresh_token": {TokenURL: "https://id.example.com/token", ClientID: clientID},
		"https://":      {TokenURL: "http://id.example.com/token", ClientID: clientID, ClientSecret: secret},
		"token URL":     {TokenURL: "nonsense", ClientID: clientID, ClientSecret: secret},
	} {
		if _, err := oauth.New(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for _, tenant := range []string{"", "a/b", "https://example.com", "../x", "a b"} {
		if _, err := oauth.MicrosoftURL(tenant); err == nil {
			t.Errorf("tenant %q", tenant)
		}
	}
	if url, err := oauth.MicrosoftURL("example.onmicrosoft.com"); err != nil || url != "https://login.microsoftonline.com/example.onmicrosoft.com/oauth2/v2.0/token" {
		t.Error(url, err)
	}
}

func TestSecretsNeverShow(t *testing.T) {
	c := oauth.Config{TokenURL: "https://id.example.com/token", ClientID: clientID, ClientSecret: secret, RefreshToken: "refresh-of-the-configuration"}
	s := source(t, c)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %v %+v %#v %v %+v", asJSON, c, c, c, s, *s)
	for _, word := range []string{secret, "refresh-of-the-configuration"} {
		if strings.Contains(got, word) {
			t.Errorf("%q shows: %s", word, got)
		}
	}
}
