package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/caddymodule/caddytest"
)

// command builds the binary, once for all tests.
var command = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(os.Getenv("HOME"), "gatehouse")
	build := exec.Command("go", append(append([]string{"build", "-o", path}, buildFlags...), "..")...)
	build.Env = append(os.Environ(), "HOME="+realHome)
	out, err := build.CombinedOutput()
	if err != nil {
		err = &exec.Error{Name: "go build: " + string(out), Err: err}
	}
	return path, err
})

// process is a gatehouse of its own, with a data directory that tests keep.
type process struct {
	testing.TB
	path, dir, config, admin string

	cmd   *exec.Cmd
	boxes chan string // what stood in boxes on the terminal
	done  chan error
}

func newProcess(t *testing.T, config string) *process {
	t.Helper()
	path, err := command()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{TB: t, path: path, dir: t.TempDir(), admin: "localhost:" + caddytest.FreePort(t)}
	p.config = filepath.Join(p.dir, "Caddyfile")
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	from := logs.size()
	t.Cleanup(func() {
		_ = p.kill(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("the logs:\n%s", lastLines(logs.since(from), 20))
		}
	})
	return p
}

func (p *process) run(args ...string) *exec.Cmd {
	cmd := exec.Command(p.path, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+p.dir, "XDG_CONFIG_HOME="+p.dir, "HOME="+p.dir, "CADDY_ADMIN="+p.admin)
	return cmd
}

// start serves until kill, and sorts what is printed: boxes, and logs.
func (p *process) start() {
	p.Helper()
	p.cmd = p.run("run", "--config", p.config)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		p.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.boxes, p.done = make(chan string, 100), make(chan error, 1)
	boxes, done, cmd := p.boxes, p.done, p.cmd
	go func() {
		var box strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			line := lines.Text()
			switch {
			case strings.HasPrefix(line, "╔"), strings.HasPrefix(line, "║"):
				box.WriteString(line + "\n")
			case strings.HasPrefix(line, "╚"):
				boxes <- box.String()
				box.Reset()
			default:
				_, _ = io.WriteString(logs, line+"\n")
			}
		}
		done <- cmd.Wait()
	}()
}

// box waits for the next box on the terminal.
func (p *process) box() string {
	p.Helper()
	select {
	case box := <-p.boxes:
		return box
	case <-time.After(patience):
		p.Fatal("no box on the terminal")
		return ""
	}
}

func (p *process) kill(with syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(with)
	p.cmd = nil
	return <-p.done
}

var (
	boxCode = regexp.MustCompile(`Code +([0-9]{6})`)
	boxLink = regexp.MustCompile(`(http\S+/_gatehouse/link/\S+)`)
)

// What a newcomer does first: the example, an address, and the code that stands
// on the terminal. Then the power goes, and they are still signed in.
func TestExampleFromTheCommandLine(t *testing.T) {
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	port := caddytest.FreePort(t)
	p := newProcess(t, strings.ReplaceAll(string(example), "localhost:8080", "localhost:"+port))
	v := newVisitor(t, "http://localhost:"+port)
	p.start()
	v.waits()
	v.get("/").must(t, http.StatusFound).leadsTo(t, "/_gatehouse/login?return_to=%2F")
	v.post("/_gatehouse/login", "email", "alice@example.com").must(t, http.StatusSeeOther)
	box := p.box()
	code, link := boxCode.FindStringSubmatch(box), boxLink.FindStringSubmatch(box)
	if code == nil || link == nil || !strings.Contains(box, "alice@example.com") {
		t.Fatalf("the box on the terminal:\n%s", box)
	}
	keepSecret("code", code[1])
	keepSecret("link token", link[1][strings.LastIndex(link[1], "/")+1:])
	v.get(link[1]).must(t, http.StatusOK)
	v.post("/_gatehouse/code", "code", code[1]).must(t, http.StatusSeeOther).leadsTo(t, "/")
	v.get("/").must(t, http.StatusOK).shows(t, "Remote-User", "alice@example.com")

	t.Run("validate beside the server", func(t *testing.T) {
		if out, err := p.run("validate", "--config", p.config).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		broken := filepath.Join(p.dir, "broken")
		_ = os.WriteFile(broken, bytes.ReplaceAll(example, []byte("gatehouse any"), []byte("gatehouse")), 0o600)
		out, err := p.run("validate", "--adapter", "caddyfile", "--config", broken).CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("broken:")) {
			t.Errorf("a gate that names nobody is valid, or the error has no file and line: %v\n%s", err, out)
		}
		v.get("/").must(t, http.StatusOK)
	})

	_ = p.kill(syscall.SIGKILL)
	p.start()
	v.waits()
	v.get("/").must(t, http.StatusOK).shows(t, "alice@example.com")
	v.post("/_gatehouse/logout").must(t, http.StatusSeeOther)
	v.get("/").must(t, http.StatusFound)
	if err := p.kill(syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// With mail log, a developer sees why somebody gets no mail; the visitor does not.
func TestNobodyAdmitsOnTheTerminal(t *testing.T) {
	port := caddytest.FreePort(t)
	p := newProcess(t, "{\n gatehouse {\n mail log\n"+limits+"}\n}\nhttp://localhost:"+port+" {\n gatehouse *@example.com\n respond ok\n}\n")
	p.start()
	base := "http://localhost:" + port
	v, w := newVisitor(t, base), newVisitor(t, base)
	v.waits()
	from := logs.since(0)
	if want := "guarded: localhost:" + port + "; mail: shown on this terminal, not sent; store: " + p.dir; !strings.Contains(from, want) || !strings.Contains(from, "; open "+base+"\"") {
		t.Errorf("the start does not say %q", want)
	}
	v.post("/_gatehouse/login", "email", "mallory@example.net").must(t, http.StatusSeeOther)
	if box := p.box(); !strings.Contains(box, "║  not sent: no gate admits mallory@example.net\n") || boxCode.MatchString(box) {
		t.Errorf("the box:\n%s", box)
	}
	closed := v.get("/_gatehouse/code").must(t, http.StatusOK)
	p.signIn(w, "alice@example.com")
	w = newVisitor(t, base)
	w.post("/_gatehouse/login", "email", "bob@example.com").must(t, http.StatusSeeOther)
	p.box()
	open := w.get("/_gatehouse/code").must(t, http.StatusOK)
	if strings.Contains(closed.body, "admit") || len(closed.body)-len("mallory@example.net")*strings.Count(closed.body, "mallory@example.net") != len(open.body)-len("bob@example.com")*strings.Count(open.body, "bob@example.com") {
		t.Errorf("the page differs:\n%s\n%s", closed.body, open.body)
	}
}

// waits until the server answers.
func (v *visitor) waits() {
	v.Helper()
	within(v, patience, "the server answers", func() bool {
		response, err := v.client.Get(v.base + "/_gatehouse/login")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// What was answered is on disk, whenever the process dies: in the middle of
// other people's sign-ins, over and over.
func TestKillLosesNothing(t *testing.T) {
	port := caddytest.FreePort(t)
	p := newProcess(t, "{\n gatehouse {\n mail log\n"+limits+"}\n}\nhttp://localhost:"+port+" {\n gatehouse any\n respond {http.auth.user.email}\n}\n")
	base := "http://localhost:" + port
	var before *visitor
	var usedLink string
	in := map[string]*visitor{}
	for i := range rounds(20, 100) {
		began := time.Now()
		p.start()
		v, out := newVisitor(t, base), newVisitor(t, base)
		v.waits()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the start after %d kills took %v", i, took)
		}
		if before != nil {
			before.get("/").must(t, http.StatusFound) // signed out
			newVisitor(t, base).get(usedLink).must(t, http.StatusGone)
		}
		alice := fmt.Sprintf("alice-%d@example.net", i)
		usedLink = p.signIn(v, alice)
		p.signIn(out, fmt.Sprintf("bob-%d@example.net", i))
		out.post("/_gatehouse/logout").must(t, http.StatusSeeOther)
		before, in[alice] = out, v

		var others sync.WaitGroup
		for n := range 4 {
			others.Go(func() { newVisitor(t, base).beginUntilItDies(fmt.Sprintf("other-%d-%d", i, n)) })
		}
		for range 5 + i%20 { // now and then in a commit
			p.box()
		}
		_ = p.kill(syscall.SIGKILL)
		others.Wait()
	}
	p.start()
	newVisitor(t, base).waits()
	for alice, v := range in {
		v.get("/").must(t, http.StatusOK).shows(t, alice)
	}
}

// signIn takes the code from the terminal, and returns the path of the link
// that came with it.
func (p *process) signIn(v *visitor, email string) (link string) {
	p.Helper()
	v.post("/_gatehouse/login", "email", email).must(p, http.StatusSeeOther)
	box := p.box()
	for !strings.Contains(box, email) { // one that waited in the queue
		box = p.box()
	}
	code, found := boxCode.FindStringSubmatch(box), boxLink.FindStringSubmatch(box)
	if code == nil || found == nil {
		p.Fatalf("no code and link on the terminal:\n%s", box)
	}
	keepSecret("code", code[1])
	v.post("/_gatehouse/code", "code", code[1]).must(p, http.StatusSeeOther)
	return strings.TrimPrefix(found[1], v.base)
}

// beginUntilItDies asks for codes as long as there is a server.
func (v *visitor) beginUntilItDies(name string) {
	for i := 0; ; i++ {
		form := strings.NewReader(fmt.Sprintf("email=%s-%d@example.net", name, i))
		r, _ := http.NewRequest(http.MethodPost, v.base+"/_gatehouse/login", form)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		response, err := v.client.Do(r)
		if err != nil {
			return
		}
		_ = response.Body.Close()
	}
}

// The Caddyfile of the example for Kubernetes runs, and the commands reach its admin
// socket by --config, as kubectl exec has them.
func TestCommandsInThePod(t *testing.T) {
	raw, err := os.ReadFile("../examples/kubernetes/gatehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "  Caddyfile: |\n")
	text, _, found := strings.Cut(rest, "\n---\n")
	if !found {
		t.Fatal("the example has changed its form")
	}
	p := newProcess(t, "")
	portal := caddytest.FreePort(t)
	for _, name := range []string{"secret", "smtp"} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(strings.Repeat(name, 8)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text = strings.NewReplacer("/run/secrets/gatehouse", p.dir, "unix//run/gatehouse", "unix/"+p.dir, "badger /data", "badger "+p.dir+"/store",
		":8080", ":"+portal, ":9091", ":"+caddytest.FreePort(t)).Replace(text)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	within(t, patience, "the admin socket answers", func() bool { return p.run("status", "--config", p.config).Run() == nil })
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"why", "alice@example.com", "https://wiki.example.com"}, 0, "*@example.com"},
		{[]string{"why", "mallory@example.net", "https://wiki.example.com"}, 3, "not allowed: no entry names this address"},
		{[]string{"revoke", "alice@example.com"}, 3, "nobody with this address is known here"},
	} {
		out, err := p.run(append(c.args, "--config", p.config)...).CombinedOutput()
		code := 0
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if code != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%q: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.says, out)
		}
	}
}
