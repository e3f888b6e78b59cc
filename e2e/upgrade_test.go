package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// upgradeConfig is a Caddyfile as people have it: what it says must mean the
// same in the next release, or the changelog says what to write instead.
const upgradeConfig = `{
	gatehouse {
		mail log
		group staff alice@example.com *@example.org
		session idle 24h max 7d
		brand "Example" {
			accent "#205d3b"
		}
		token backup {
			secret 0123456789abcdef0123456789abcdef
			site localhost:PORT
			path /health
		}
	}
}
http://localhost:PORT {
	gatehouse staff {
		deny mallory@example.org
		public /open/*
		headers remote forwarded
		name "The wiki"
	}
	respond "for {http.request.header.Remote-User}"
}
`

// TestUpgrade: the store, sessions and Caddyfile of the last release under this
// build. GATEHOUSE_RELEASE names the directory that .ci/last-release made, with
// that release's binary and example; without it this build stands in for it.
func TestUpgrade(t *testing.T) {
	port := caddytest.FreePort(t)
	p := newProcess(t, strings.ReplaceAll(upgradeConfig, "PORT", port))
	example, err := filepath.Abs("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	now := p.path
	if last := os.Getenv("GATEHOUSE_RELEASE"); last != "" {
		p.path, example = filepath.Join(last, "gatehouse"), filepath.Join(last, "Caddyfile.example")
	}
	base := "http://localhost:" + port
	alice, bob := newVisitor(t, base), newVisitor(t, base)
	p.start()
	alice.waits()
	p.signIn(alice, "alice@example.com")
	p.signIn(bob, "bob@example.org")
	bob.post("/_gatehouse/logout").must(t, http.StatusSeeOther)
	// One who is in the middle of it: the mail has gone out, the code is not typed yet.
	carol := newVisitor(t, base)
	carol.post("/_gatehouse/login", "email", "carol@example.org").must(t, http.StatusSeeOther)
	code := boxCode.FindStringSubmatch(p.box())
	if code == nil {
		t.Fatal("no code on the terminal")
	}
	keepSecret("code", code[1])
	if err := p.kill(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}

	p.path = now
	for _, config := range []string{p.config, example} {
		if out, err := p.run("validate", "--adapter", "caddyfile", "--config", config).CombinedOutput(); err != nil || bytes.Contains(out, []byte(`"level":"warn"`)) {
			t.Errorf("%s is not valid any more: %v\n%s", config, err, out)
		}
	}
	p.start()
	alice.waits()
	alice.get("/").must(t, http.StatusOK).shows(t, "for alice@example.com")
	bob.get("/").must(t, http.StatusFound)
	bob.get("/open/x").must(t, http.StatusOK)
	carol.post("/_gatehouse/code", "code", code[1]).must(t, http.StatusSeeOther)
	carol.get("/").must(t, http.StatusOK).shows(t, "for carol@example.org")
	if err := p.kill(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}
