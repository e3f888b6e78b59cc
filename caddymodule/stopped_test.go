package caddymodule

import (
	"net/http"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// After a reload Caddy's old server may accept one more connection: a waiting
// Accept is woken to give up, but can miss that. Whom the new configuration
// removes does not get in by it, and whom it admits does.
func TestOldConfigurationAsksTheNewOne(t *testing.T) {
	var config authcore.Config
	f := newFixture(t, func(_ *fixture, cfg *authcore.Config) { config = *cfg })
	g := f.gate(nil)
	alice, bob := f.signIn("alice@example.com", testSite), f.signIn("bob@example.com", testSite)
	wants := func(cookie string, status int) {
		t.Helper()
		if w, _ := ask(g, "GET", testSite+"/", "Cookie: "+cookie); w.Code != status {
			t.Errorf("answered %d, want %d", w.Code, status)
		}
	}
	only, err := policy.ParseWhoList([]string{"alice@example.com"})
	must(t, err)
	rule := &session.SiteRule{}
	rule.Policy, err = policy.Compile(only, nil, nil)
	must(t, err)
	config.Rules = func(st *session.Stream) []*session.SiteRule {
		if st.Gate != g.guard.Place.Key {
			t.Errorf("asked about the gate %q", st.Gate)
		}
		return []*session.SiteRule{rule}
	}
	newer := f.run.Core.Use(config)
	defer newer.Close()
	wants(bob, http.StatusOK) // it may still be refused
	must(t, f.app.Stop())
	wants(bob, http.StatusForbidden)
	wants(alice, http.StatusOK)
}
