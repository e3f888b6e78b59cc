package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
)

// withKey calls the API with a key and returns the status.
func (o *operated) withKey(key string) int {
	o.Helper()
	origin, err := origin.Parse("https://app.example.com")
	must(o, err)
	r := httptest.NewRequest(http.MethodGet, "/v1/auth/jwks/default", nil)
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	if !runningApp(o.gatedCaddy).house.Running().API.Serve(w, r, api.Visit{Origin: origin, Named: origin, Client: netip.MustParseAddr("192.0.2.1")}) {
		o.Fatal("nobody answers")
	}
	return w.Code
}

func idOf(t testing.TB, key string) string {
	t.Helper()
	k, err := apps.ParseKey(strings.TrimSpace(key))
	must(t, err)
	return k.ID()
}

// A key is rotated with the server running: made, added, used beside the old
// one, which is then taken out.
func TestKeyRotation(t *testing.T) {
	o := newOperated(t)
	file := filepath.Join(o.dir, "shop.key")
	o.fails(cli.ExitFailed, []string{"no server answers"}, "apps")
	first, advice, code := o.command("apps", "shop", "--new-key") // before anything runs
	wantText(t, advice, "shown once", "api_key {file./run/secrets/shop}", "gatehouse reload --force", idOf(t, first))
	if code != cli.ExitDone || strings.Count(first, "\n") != 1 {
		t.Fatalf("%d %q", code, first)
	}
	must(t, os.WriteFile(file, []byte(first), 0o600))
	load := func() { o.Helper(); o.run("app shop {\n\t\t\tapi_key {file."+file+"}\n\t\t}", "any") }
	load()
	wantText(t, o.done("apps"), "shop", idOf(t, first), "api_key", "live", "not since the start")
	if status := o.withKey(strings.TrimSpace(first)); status != 200 {
		t.Fatalf("the first key: %d", status)
	}
	wantText(t, o.done("apps", "shop"), "just now")

	second, advice, _ := o.command("apps", "shop", "--rotate")
	wantText(t, advice, "take out "+idOf(t, first), "when the old one was last used")
	must(t, os.WriteFile(file, []byte(first+second), 0o600))
	load()
	for _, key := range []string{first, second} {
		if status := o.withKey(strings.TrimSpace(key)); status != 200 {
			t.Errorf("while both are there: %d", status)
		}
	}
	var list operate.AppList
	o.document(&list, "apps")
	if len(list.Apps) != 1 || len(list.Apps[0].Keys) != 2 || list.Apps[0].Keys[0].LastUsed == nil {
		t.Errorf("%+v", list)
	}
	must(t, os.WriteFile(file, []byte(second), 0o600))
	load()
	if a, b := o.withKey(strings.TrimSpace(first)), o.withKey(strings.TrimSpace(second)); a != 401 || b != 200 {
		t.Errorf("after the old one was taken out: %d, the new one %d", a, b)
	}
	if log, err := os.ReadFile(o.logFile()); err != nil || strings.Contains(string(log), strings.TrimSpace(second)) {
		t.Errorf("the log has a key, or is not there: %v", err)
	}
}

func TestAppsCommand(t *testing.T) {
	o := newOperated(t)
	o.run("app shop {\n\t\t\tname \"Shop\"\n\t\t\tapi_key "+apiLiveKey+"\n\t\t\tpublishable_key "+apiLivePub+"\n\t\t}\n\t\tapp bare\n\t\tsms log", "any")
	out := o.done("apps")
	wantText(t, out, idOf(t, apiLiveKey), idOf(t, apiLivePub), "publishable_key", "bare", "every call is refused")
	if strings.Contains(out, apiLiveKey[8:]) {
		t.Error("a key is shown again")
	}
	if out := o.done("apps", "bare"); strings.Contains(out, "shop") {
		t.Errorf("another app is listed: %s", out)
	}
	wantText(t, o.done("status"), "sms\n  log: not tried yet")
	var made struct {
		ID, Key  string
		Replaces []string
	}
	o.document(&made, "apps", "shop", "--rotate", "--publishable")
	if made.ID != idOf(t, made.Key) || !strings.HasPrefix(made.Key, "pk_live_") || len(made.Replaces) != 1 || made.Replaces[0] != idOf(t, apiLivePub) {
		t.Errorf("%+v", made)
	}
	test, _, _ := o.command("apps", "shop", "--new-key", "--test")
	if !strings.HasPrefix(test, "sk_test_") || len(strings.TrimSpace(test)) != len("sk_test_")+48 {
		t.Errorf("%q", test)
	}
	o.fails(cli.ExitNo, []string{"no app \"other\": there are shop, bare"}, "apps", "other")
	o.fails(cli.ExitNo, []string{"no app \"other\""}, "apps", "other", "--rotate")
	o.fails(cli.ExitNo, []string{"no api_key for test data", "--new-key"}, "apps", "shop", "--rotate", "--test")
	o.fails(cli.ExitUsage, []string{"--new-key for one more"}, "apps", "shop", "--rotate", "--new-key")
	o.fails(cli.ExitUsage, []string{"for which app"}, "apps", "--new-key")
	o.fails(cli.ExitUsage, []string{"add --new-key or --rotate"}, "apps", "shop", "--test")
	o.fails(cli.ExitUsage, []string{"can't be the id"}, "apps", "a b", "--new-key")
	if status, text := o.call("POST", "/gatehouse/apps", ""); status != 405 {
		t.Errorf("%d %s", status, text)
	}
	o.run("", "any")
	if out, errs, code := o.command("apps"); code != cli.ExitDone || !strings.Contains(errs, "there are no apps") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	o.fails(cli.ExitNo, []string{"the configuration has none"}, "apps", "shop")
}
