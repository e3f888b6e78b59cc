package e2e

import (
	"bufio"
	"bytes"
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
	p := &process{TB: t, path: path, dir: t.TempDir(), admin: "localhost:" + freePort(t)}
	p.config = filepath.Join(p.dir, "Caddyfile")
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	from := len(logs.String())
	t.Cleanup(func() {
		_ = p.kill(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("the logs:\n%s", lastLines(logs.String()[from:], 20))
		}
	})
	return p
}

func (p *process) run(args ...string) *exec.Cmd {
	cmd := exec.Command(p.path, args...)
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
	port := freePort(t)
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

// What was answered is on disk, whenever the process dies.
func TestKillLosesNothing(t *testing.T) {
	port := freePort(t)
	p := newProcess(t, "{\n gatehouse {\n mail log\n"+limits+"}\n}\nhttp://localhost:"+port+" {\n gatehouse any\n respond {http.auth.user.email}\n}\n")
	var in []*visitor
	for i := range rounds(3, 100) {
		p.start()
		v := newVisitor(t, "http://localhost:"+port)
		v.waits()
		alice := fmt.Sprintf("alice-%d@example.net", i)
		v.post("/_gatehouse/login", "email", alice).must(t, http.StatusSeeOther)
		code := boxCode.FindStringSubmatch(p.box())
		if code == nil {
			t.Fatal("no code on the terminal")
		}
		keepSecret("code", code[1])
		v.post("/_gatehouse/code", "code", code[1]).must(t, http.StatusSeeOther)
		_ = p.kill(syscall.SIGKILL)
		in = append(in, v)
	}
	p.start()
	in[0].waits()
	for i, v := range in {
		v.get("/").must(t, http.StatusOK).shows(t, fmt.Sprintf("alice-%d@example.net", i))
	}
}
