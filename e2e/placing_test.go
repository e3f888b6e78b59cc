package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A gate behind a path guards that path, whichever way a request comes to it,
// and its pages are reached all the same.
func TestGateBehindMatcher(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "admin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"index.html": "front page", "admin/index.html": "the admin's page"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, plan{site: `
	root ` + root + `
	rewrite /back-door /admin/index.html
	try_files {path} {path}/index.html /index.html
	gatehouse /admin* any
	file_server`})
	v := s.visitor()
	v.get("/").must(t, 200).shows(t, "front page")
	v.get("/nothing-here").must(t, 200).shows(t, "front page")
	for _, path := range []string{"/admin", "/admin/", "/ADMIN/index.html", "/admin/index.html", "/back-door", "/admin/nothing-here"} {
		if a := v.get(path); a.StatusCode != 302 || strings.Contains(a.body, "admin's") {
			t.Errorf("%s: %s %q", path, a.Status, a.body)
		}
	}
	v.get("/_gatehouse/login").must(t, 200).shows(t, `name="email"`)
	v.get("/_gatehouse/nothing-here").must(t, 404)
	v.signIn(person("alice"))
	v.get("/back-door").must(t, 200).shows(t, "the admin's page")
}

// What answers requests for the pages before the gate hides them, and such a
// configuration does not start; with gatehouse_first people sign in all the same.
func TestGatehouseFirst(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"index.html", "report.html"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("the "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := "root " + root + "\ntry_files {path} =404\ngatehouse any\nfile_server"
	s := start(t, plan{site: "gatehouse_first\n" + files})
	v := s.visitor()
	v.get("/missing.html").must(t, 404)
	v.get("/report.html").must(t, 302)
	v.signIn(person("alice"))
	v.get("/report.html").must(t, 200).shows(t, "the report.html")
	moved := "@rest not path /app/*\nredir @rest https://other.example.com{uri}\ngatehouse any\nreverse_proxy APP"
	s.load(plan{site: "gatehouse_first\n" + moved})
	v = s.visitor()
	v.get("/x").must(t, 302)
	v.get("/app/x").must(t, 302)
	v.signIn(person("bob"))
	v.get("/app/x").must(t, 200)
	for _, hidden := range []string{files, moved, "route {\nerror 404\ngatehouse any\nreverse_proxy APP\n}"} {
		if err := s.tryLoad(plan{site: hidden}); err == nil || !strings.Contains(err.Error(), "\n    gatehouse_first") {
			t.Errorf("%s: %v", hidden, err)
		}
	}
	// Which files there are is hidden by a route alone.
	s.load(plan{site: "root " + root + "\nroute {\ngatehouse any\ntry_files {path} =404\nfile_server\n}"})
	v = s.visitor()
	v.get("/missing.html").must(t, 302)
	v.get("/report.html").must(t, 302)
}

// A proxy that is trusted hands on what its clients say of the path.
func TestKeep(t *testing.T) {
	s := start(t, plan{
		caddy: "servers {\ntrusted_proxies static 127.0.0.1/32\ntrusted_proxies_strict\n}",
		site:  "gatehouse any {\npublic /public/*\nkeep X-Forwarded-Prefix\n}\nreverse_proxy APP",
	})
	s.app.requests()
	v := s.visitor()
	v.get("/public/x", "Accept", "application/json", "X-Original-URL", "/admin", "X-Rewrite-Url", "/admin", "X-Forwarded-Uri", "/admin", "X-Forwarded-Prefix", "/wiki").must(t, 200)
	seen := s.app.requests()[0]
	if got := seen.header("X-Forwarded-Prefix"); len(got) != 1 || got[0] != "/wiki" {
		t.Errorf("the app sees the prefix %q", got)
	}
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri"} {
		if got := seen.header(name); len(got) > 0 {
			t.Errorf("the app sees %s: %q", name, got)
		}
	}
	within(t, patience, "the log tells", func() bool { return strings.Contains(logs.since(s.from), "keep X-Original-Url") })
}

// A named matcher with nothing to do with paths works too.
func TestGateBehindNamedMatcher(t *testing.T) {
	s := start(t, plan{site: `
	@inside header X-Inside yes
	gatehouse @inside any
	reverse_proxy APP`})
	v := s.visitor()
	v.get("/x").must(t, 200)
	v.get("/x", "X-Inside", "yes").must(t, 302)
	v.signIn(person("alice"))
	v.get("/x", "X-Inside", "yes").must(t, 200)
}

// Inside handle the pages need a handle of their own, and a configuration that
// lacks it does not start.
func TestGateInsideHandle(t *testing.T) {
	inside := `
	handle /team/* {
		gatehouse any
		reverse_proxy APP
	}
	handle {
		respond "the public part"
	}`
	s := start(t, plan{site: "handle /_gatehouse/* {\ngatehouse_pages\n}\n" + inside})
	v := s.visitor()
	v.get("/").must(t, 200).shows(t, "the public part")
	v.get("/team/x").must(t, 302).leadsTo(t, "/_gatehouse/login?return_to=%2Fteam%2Fx")
	v.post("/_gatehouse/login", "email", "nobody").must(t, 422)
	alice := person("alice")
	v.signIn(alice)
	if who := v.app("/team/x").Header.Get("Remote-User"); who != alice {
		t.Errorf("the app sees %q", who)
	}
	err := s.tryLoad(plan{site: inside})
	if err == nil || !strings.Contains(err.Error(), "gatehouse_pages") {
		t.Errorf("a gate whose pages nobody can reach: %v", err)
	}
	v.get("/team/x").must(t, 200)
}

// Two gates on one request must both admit, and the inner one finds the session
// although the outer hides its cookie from what comes after.
func TestNestedGates(t *testing.T) {
	alice, bob := person("alice"), person("bob")
	s := start(t, plan{site: `
	gatehouse ` + alice + ` ` + bob + `
	route /inner/* {
		gatehouse ` + alice + `
	}
	handle /_gatehouse/* {
		gatehouse_pages
	}
	reverse_proxy APP`})
	hers, his := s.visitor(), s.visitor()
	hers.signIn(alice)
	his.signIn(bob)
	hers.get("/inner/x").must(t, 200)
	his.get("/x").must(t, 200)
	his.get("/inner/x").must(t, 403)
}

// A host that the configuration does not name gets no page, no mail and no app.
func TestForeignHosts(t *testing.T) {
	s := start(t, plan{sites: `http://:PORT {
	bind 127.0.0.2
	gatehouse any {
		origin https://app.example.com
	}
	reverse_proxy APP
}`})
	for _, host := range []string{"evil.example", "app.example.com:8443", "app.example.com.evil.example", "app.example.com@evil.example", ""} {
		w := s.wire()
		w.request("GET /_gatehouse/login", host)
		if a := w.answer(); a.StatusCode == 200 && strings.Contains(a.body, "email") {
			t.Errorf("Host %q gets the sign-in page", host)
		}
	}
	s.visitor().get("/x", "X-Forwarded-Host", "evil.example").must(t, 302).leadsTo(t, "/_gatehouse/login?return_to=%2Fx")
}
