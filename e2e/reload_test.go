package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// use keeps asking the app as v, until told to stop, and tells how many answers
// were 200 and how many were not. A connection that breaks before an answer is
// not counted: Caddy resets some that come in while one listener takes over from
// another, with or without a gate, and browsers ask again.
func (v *visitor) use() (stop func() (good, bad int64)) {
	var good, bad atomic.Int64
	var all sync.WaitGroup
	quit := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				r, _ := http.NewRequest(http.MethodGet, v.base+"/x", nil)
				response, err := v.client.Do(r)
				if err != nil {
					continue
				}
				body, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK || err != nil {
					bad.Add(1)
					v.Logf("lost: %s, %v\n%.500s", response.Status, err, body)
					continue
				}
				good.Add(1)
			}
		})
	}
	return func() (int64, int64) {
		close(quit)
		all.Wait()
		return good.Load(), bad.Load()
	}
}

// A reload loses no request, signs nobody out, and a sign-in that began before
// it ends after it.
func TestReloadUnderUse(t *testing.T) {
	s := start(t, plan{})
	v, late := s.visitor(), s.visitor()
	v.signIn(person("alice"))
	code := late.begin(person("bob")).Code(t)
	stop := v.use()
	for i := range rounds(20, 200) {
		s.load(plan{global: []string{"subject_code on", "subject_code off"}[i%2], site: s.plan.site})
	}
	late.post("/_gatehouse/code", "code", code).must(t, http.StatusSeeOther)
	if good, bad := stop(); bad > 0 || good == 0 {
		t.Errorf("over all reloads %d requests were answered and %d lost", good, bad)
	}
}

// A configuration that is refused, wherever that is noticed, changes nothing.
func TestRejectedReload(t *testing.T) {
	s := start(t, plan{global: "secret 0123456789abcdef0123456789abcdef"})
	v := s.visitor()
	v.signIn(person("alice"))
	notADirectory := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notADirectory, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stop := v.use()
	for what, c := range map[string]struct {
		plan plan
		says string
	}{
		"nobody is named":         {plan{site: "gatehouse\nreverse_proxy APP"}, "gatehouse"},
		"no such group":           {plan{site: "gatehouse staff\nreverse_proxy APP"}, "staff"},
		"no such option":          {plan{global: "pasword x"}, "pasword"},
		"no such file":            {plan{site: "gatehouse file:/nowhere/people.txt\nreverse_proxy APP"}, "/nowhere/people.txt"},
		"an empty variable":       {plan{global: "secret {env.NOT_SET_ANYWHERE}"}, "NOT_SET_ANYWHERE"},
		"another secret":          {plan{global: "secret 00000000000000000000000000000000"}, "restart"},
		"another part of Caddy's": {plan{site: "gatehouse any\nlog {\n output file " + notADirectory + "/x.log\n}\nreverse_proxy APP"}, notADirectory},
	} {
		err := s.tryLoad(c.plan)
		if err == nil {
			t.Fatalf("%s: it was taken", what)
		}
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the error does not name %q: %v", what, c.says, err)
		}
	}
	if good, bad := stop(); bad > 0 || good == 0 {
		t.Errorf("while configurations were refused %d requests were answered and %d lost", good, bad)
	}
	other := s.visitor()
	other.signIn(person("bob")) // and the whole way still works
	s.load(s.plan)
	v.get("/").must(t, 200)
}

// State is on disk: a new process knows who is signed in, and what was used.
func TestRestartKeepsSession(t *testing.T) {
	s := start(t, plan{})
	v, gone := s.visitor(), s.visitor()
	alice := person("alice")
	m := v.begin(alice)
	v.post("/_gatehouse/code", "code", m.Code(t)).must(t, http.StatusSeeOther)
	gone.signIn(person("bob"))
	kept := map[string]string{"gatehouse": gone.cookie("gatehouse")}
	gone.post("/_gatehouse/logout").must(t, http.StatusSeeOther)
	s.restart()
	if who := v.app("/").Header.Get("Remote-User"); who != alice {
		t.Errorf("after a restart the app sees %q", who)
	}
	v.get("/_gatehouse/link/"+strings.TrimPrefix(m.Link(t), s.url+"/_gatehouse/link/")).must(t, http.StatusGone)
	s.visitorWith(kept).get("/").must(t, http.StatusFound)
}

// A session ends by itself: without use, and in the end with use too.
func TestSessionsEnd(t *testing.T) {
	s := start(t, plan{global: "session idle 1h max 3h"})
	v := s.visitor()
	v.signIn(person("alice"))
	s.pass(59 * time.Minute)
	v.get("/").must(t, http.StatusOK)
	s.pass(59 * time.Minute)
	v.get("/").must(t, http.StatusOK)
	s.pass(59 * time.Minute)
	v.get("/").must(t, http.StatusOK)
	s.pass(4 * time.Minute)
	v.get("/").must(t, http.StatusFound)
	v.signIn(person("alice"))
	s.pass(61 * time.Minute)
	v.get("/").must(t, http.StatusFound)
}

// A reload takes up what was edited in a template, a catalog or a logo, without more
// words; in JSON nobody has looked at the files, and it says what to write.
func TestReloadTakesUpFiles(t *testing.T) {
	port := caddytest.FreePort(t)
	p := newProcess(t, "{\n gatehouse {\n mail log\n brand Example {\n pages pages\n }\n }\n}\nhttp://localhost:"+port+" {\n gatehouse any\n respond ok\n}\n")
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(p.dir, "pages", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reload := func(file string, more ...string) string {
		t.Helper()
		cmd := p.run(append([]string{"reload", "--config", file}, more...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("reload: %v\n%s", err, out)
		}
		return string(out)
	}
	const hint = "write --force"
	put("locales/en.json", `{"login.title": "Come in"}`)
	p.start()
	v := newVisitor(t, "http://localhost:"+port)
	v.waits()
	v.get("/_gatehouse/login").must(t, http.StatusOK).shows(t, "<h1>Come in</h1>", "Email address")
	put("locales/en.json", `{"login.title": "Enter"}`)
	if said := reload(p.config); strings.Contains(said, hint) {
		t.Errorf("with a Caddyfile: %s", said)
	}
	v.get("/_gatehouse/login").must(t, http.StatusOK).shows(t, "<h1>Enter</h1>")
	put("style.css", "h1{color:#123}")
	reload(p.config)
	v.get("/_gatehouse/login").must(t, http.StatusOK).shows(t, "<style>h1{color:#123}")

	adapted, err := p.run("adapt", "--config", p.config).Output()
	if err != nil {
		t.Fatal(err)
	}
	json := filepath.Join(p.dir, "gatehouse.json")
	if err := os.WriteFile(json, adapted, 0o600); err != nil {
		t.Fatal(err)
	}
	put("style.css", "h1{color:#456}")
	if said := reload(json); !strings.Contains(said, hint) {
		t.Errorf("with JSON: %s", said)
	}
	v.get("/_gatehouse/login").must(t, http.StatusOK).shows(t, "<style>h1{color:#123}")
	if said := reload(json, "--force"); strings.Contains(said, hint) {
		t.Errorf("with JSON and --force: %s", said)
	}
	v.get("/_gatehouse/login").must(t, http.StatusOK).shows(t, "<style>h1{color:#456}")
}
