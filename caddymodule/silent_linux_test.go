package caddymodule

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/internal/files"
	"github.com/gatehouse-auth/gatehouse/internal/files/filestest"
)

// TestFilesThatDoNotAnswer: a file on a network that is gone ends a reload with an
// error, and holds up neither the next reload nor the end nor other lists.
func TestFilesThatDoNotAnswer(t *testing.T) {
	m := newMachine(t)
	file := func(name, content string) string {
		path := filepath.Join(m.dir, name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	people, silent := file("people.txt", "alice@example.com\n"), file("silent.txt", "bob@example.com\n")
	site := "handle /people {\ngatehouse file:" + people + " {\ndeny file:" + silent + "\n}\nrespond ok\n}"
	m.load("", site)
	sess := m.signIn("alice@example.com")
	status := func() int { return m.ask(http.MethodGet, "/people", nil, sess).StatusCode }
	if got := status(); got != http.StatusOK {
		t.Fatalf("who is listed gets %d", got)
	}
	filestest.Silent(t, silent)
	time.Sleep(time.Second / 2) // so that a look has begun
	must(t, os.WriteFile(people, []byte("carol@example.com\n"), 0o600))
	eventually(t, "who was taken out of another list is refused", func() bool { return status() == http.StatusForbidden })

	secret := file("secret", strings.Repeat("s", 32))
	filestest.Silent(t, secret)
	pages := file("login.html", "x")
	filestest.Silent(t, pages)
	withPages := strings.Replace(string(m.config("", "")), `"store":`, `"brand":{"pages":"`+m.dir+`/pages"},"store":`, 1)
	must(t, os.Mkdir(m.dir+"/pages", 0o700))
	must(t, os.Rename(pages, m.dir+"/pages/login.html"))
	for name, config := range map[string][]byte{
		"list": m.config("", site), "secret": m.config("secret {file."+secret+"}", ""), "pages": []byte(withPages),
	} {
		began := time.Now()
		if got := m.refuses(config); !strings.Contains(got, "does not answer") {
			t.Errorf("%s: refused with %q", name, got)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	logo := file("logo.png", "x")
	filestest.Silent(t, logo)
	text := m.text("brand Acme {\nlogo "+logo+"\n}", "")
	if _, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil); !errors.Is(err, files.ErrSilent) && (err == nil || !strings.Contains(err.Error(), "does not answer")) {
		t.Errorf("logo: %v", err)
	}
	m.load("", "")
	began := time.Now()
	must(t, caddy.Stop())
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the end took %v", took)
	}
}
