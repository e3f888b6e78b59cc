package caddymodule

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// With report_only the app is told who asks also where client_ip or fresh would
// have refused the request, and nobody whom the policy refuses.
func TestReportOnlyTellsWho(t *testing.T) {
	f := newFixture(t)
	far := func(g *Gate) { g.ReportOnly, g.ClientIP = true, []string{"203.0.113.0/24"} }
	fresh := func(g *Gate) { g.ReportOnly, g.Fresh = true, caddy.Duration(time.Minute) }
	staff := func(g *Gate) { far(g); g.Allow = []string{"staff"} }
	for name, c := range map[string]struct {
		gate      func(*Gate)
		who, want string
	}{
		"client_ip":            {far, "alice@example.com", "alice@example.com"},
		"fresh":                {fresh, "alice@example.com", "alice@example.com"},
		"client_ip and policy": {staff, "carol@example.com", ""},
		"nobody":               {far, "", ""},
	} {
		g, headers := f.gate(c.gate), []string{"Remote-User: root@evil.test"}
		if c.who != "" {
			headers = append(headers, "Cookie: "+f.signIn(c.who, testSite))
		}
		f.clock.add(2 * time.Minute)
		_, r := ask(g, "GET", testSite+"/", headers...)
		if r == nil {
			t.Errorf("%s: the request did not pass", name)
		} else if got := r.Header.Get("Remote-User"); got != c.want {
			t.Errorf("%s: the app sees %q, want %q", name, got, c.want)
		}
	}
}
