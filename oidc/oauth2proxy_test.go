//go:build prove

package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
)

// oauth2ProxyVersion can be built as a module; later ones can't.
const oauth2ProxyVersion = "v7.6.0"

// oauth2-proxy takes a minute to build: its turn comes among the long proofs.
func init() { parties = append(parties, party{"oauth2-proxy", oauth2Proxy, "/oauth2/callback"}) }

// oauth2Proxy stands in front of an app that answers with the headers it gets.
func oauth2Proxy(t testing.TB, issuer, port string) *exec.Cmd {
	dir := t.TempDir()
	build := exec.Command("go", "install", "github.com/oauth2-proxy/oauth2-proxy/v7@"+oauth2ProxyVersion)
	build.Dir, build.Env = dir, append(build.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building oauth2-proxy: %v: %s", err, out)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sub := map[string]any{"sub": r.Header.Get("X-Forwarded-User")}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": sub, "info": map[string]any{"sub": sub["sub"], "email": r.Header.Get("X-Forwarded-Email")}, "refreshed": true})
	}))
	t.Cleanup(app.Close)
	base := "http://localhost:" + port
	return exec.CommandContext(t.Context(), "sh", "-c", `"$@" >/dev/null & curl -s --retry 100 --retry-delay 1 --retry-connrefused '`+base+`/ping' >/dev/null; echo ready; wait`,
		"sh", filepath.Join(dir, "oauth2-proxy"),
		"--provider=oidc", "--oidc-issuer-url="+issuer, "--client-id=party", "--client-secret="+partySecret, "--redirect-url="+base+"/oauth2/callback",
		"--http-address=127.0.0.1:"+port, "--upstream="+app.URL, "--email-domain=*", "--scope=openid email", "--code-challenge-method=S256",
		"--cookie-secret=0123456789abcdef0123456789abcdef", "--cookie-secure=false", "--skip-provider-button=true", "--reverse-proxy=false")
}
