package clients_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
)

// TestJose verifies a session's JWT with the library that Streambird's own
// clients use.
func TestJose(t *testing.T) {
	t.Run("STREAM-93", func(t *testing.T) {
		h := house(t, nil)
		key := []string{"Authorization", "Bearer " + apitest.LiveKey}
		h.Do("POST", "/v1/auth/users/create", map[string]any{"email": "alice@example.com"}, key...)
		made := h.Do("POST", "/v1/auth/magic_links/create", map[string]any{"email": "alice@example.com"}, key...)
		s := h.Do("POST", "/v1/auth/magic_links/verify", map[string]any{"token": made.String("token"), "session_expires_in": 60}, key...)
		dir := folder(t, map[string]string{"jose.mjs": read(t, "testdata/jose.mjs")})
		out, err := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "jose.mjs"), h.Server.URL, apitest.LiveKey, s.String("session_jwt")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var got struct {
			Header                struct{ Alg, Kid, Typ string }
			Session, Same, Forged string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if id := s.String("session.id"); got.Session != id || got.Same != id || got.Header.Alg != "RS256" || got.Forged != "ERR_JWS_SIGNATURE_VERIFICATION_FAILED" {
			t.Errorf("jose says %s", out)
		}
	})
}

// TestRedirector completes a sign-in through the one-line redirector as its
// documentation prints it; only the host is another, and the type that a
// JavaScript engine does not know is left out.
func TestRedirector(t *testing.T) {
	t.Run("STACKBE-63", func(t *testing.T) {
		h := house(t, nil)
		source := strings.NewReplacer("https://api.example.com", h.Server.URL, ": Request", "").Replace(read(t, "testdata/redirector.ts"))
		dir := folder(t, map[string]string{"route.mjs": source, "serve.mjs": read(t, "testdata/serve.mjs")})
		app := serve(t, dir, nil, "node", "serve.mjs", filepath.Join(dir, "route.mjs"))
		h.App.VerificationURL = app + "/auth/verify"
		if a := h.Do("POST", "/v1/apps/shop/auth/magic-link", map[string]any{"email": "alice@example.com"}, "Authorization", "Bearer "+apitest.LiveKey); a.Status != 200 {
			t.Fatal(a.Text)
		}
		link := h.LastMail().Link
		if !strings.HasPrefix(link, app+"/auth/verify?token=") {
			t.Fatalf("link %s", link)
		}
		var at *url.URL
		browser := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if at = r.URL; at.Path == "/callback" { // nobody is there
				return http.ErrUseLastResponse
			}
			return nil
		}}
		resp, err := browser.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if at == nil || at.Path != "/callback" {
			t.Fatalf("the browser ends at %v, status %d", at, resp.StatusCode)
		}
		s := h.Do("GET", "/v1/apps/shop/auth/session", nil, "Authorization", "Bearer "+at.Query().Get("token"))
		if s.Status != 200 || s.String("email") != "alice@example.com" {
			t.Errorf("session %s", s.Text)
		}
	})
}
