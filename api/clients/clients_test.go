package clients_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/link"
	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/api/stackbe"
	"github.com/gatehouse-auth/gatehouse/api/streambird"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// patience bounds what another program is given time for.
const patience = 60 * time.Second

// npm is where .ci/tools has put the packages of e2e/npm/package.json.
func npm(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../e2e/npm/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "jose")); err != nil {
		t.Fatalf("the packages from npm are missing, .ci/tools installs them: %v", err)
	}
	return dir
}

// house is an instance with all dialects.
func house(t testing.TB, change func(*apitest.House)) *apitest.House {
	t.Helper()
	return apitest.New(t, func(h *apitest.House) {
		callbacks, err := origin.ParseCallbacks([]string{"http://localhost:3000/callback"})
		if err != nil {
			t.Fatal(err)
		}
		h.Alone = true
		h.App.Callbacks, h.App.Organizations = callbacks, true
		for _, use := range []origin.RedirectUse{origin.RedirectLogin, origin.RedirectRegistration} {
			if err := h.App.Redirects.Add(use, "http://localhost:3000/authenticate"); err != nil {
				t.Fatal(err)
			}
		}
		if change != nil {
			change(h)
		}
	}, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{
			link.New(h.Parts()),
			reflex.New(h.Parts(), reflex.Options{}),
			stackbe.New(h.Parts()),
			streambird.New(h.Parts()),
		}
	})
}

// folder holds files beside the packages from npm, the way an app's sources
// stand.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(npm(t), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// serve starts a program that serves until the test ends, and returns the first
// line that it prints.
func serve(t testing.TB, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), env...), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("%s %v ended: %v", name, args, err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return strings.TrimSpace(line)
}

// nextMail waits for the mail after the first n.
func nextMail(t testing.TB, h *apitest.House, n int) outbox.Message {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if sent := h.Mail.Sent(); len(sent) > n {
			return sent[n]
		}
	}
	t.Fatalf("mail %d was not sent", n+1)
	return outbox.Message{}
}
