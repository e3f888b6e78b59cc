package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/webdav"
)

const syncToken = "sync-secret-0123456789abcdef0123456789abcdef"

// Programs that people have, and that know nothing but user and password, get
// through with a token, and the app sees neither.
func TestProgramsWithAPassword(t *testing.T) {
	dir := t.TempDir()
	program := func(name string, args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), name, args...)
		c.Dir = dir
		c.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "NO_PROXY=*"}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	must := func(name string, args ...string) string {
		t.Helper()
		out, err := program(name, args...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return out
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	is := func(name, want string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}

	write("files/repo/readme", "a repository")
	must("git", "-C", "files/repo", "init", "-q")
	must("git", "-C", "files/repo", "add", "readme")
	must("git", "-C", "files/repo", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "first")
	must("git", "clone", "-q", "--bare", "files/repo", "files/repo.git")
	must("git", "-C", "files/repo.git", "update-server-info")
	const calendar = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20261130T000000Z\r\nDTSTART:20261130T000000Z\r\nSUMMARY:lunch\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	write("files/calendar.ics", calendar)
	write("files/dav/report.txt", "figures")

	files := http.FileServer(http.Dir(filepath.Join(dir, "files")))
	dav := &webdav.Handler{Prefix: "/dav", FileSystem: webdav.Dir(filepath.Join(dir, "files/dav")), LockSystem: webdav.NewMemLS()}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "" || r.Header.Get("Remote-User") != "token:sync":
			t.Errorf("the app got %s %s of %q with %q", r.Method, r.URL, r.Header.Get("Remote-User"), r.Header.Get("Authorization"))
		case strings.HasPrefix(r.URL.Path, "/dav/"):
			dav.ServeHTTP(w, r)
		default:
			files.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(app.Close)
	keepSecret("token", syncToken)
	s := start(t, plan{
		global: "token sync {\n secret " + syncToken + "\n site localhost\n}",
		site:   "gatehouse *@example.com {\n basic on\n}\nreverse_proxy " + strings.TrimPrefix(app.URL, "http://"),
	})
	with := func(password string) string { return strings.Replace(s.url, "://", "://me:"+password+"@", 1) }

	if out := must("curl", "-sS", "-u", "me:"+syncToken, s.url+"/dav/report.txt"); out != "figures" {
		t.Errorf("curl: %s", out)
	}
	must("git", "clone", "-q", with(syncToken)+"/repo.git", "cloned")
	is("cloned/readme", "a repository")
	if out, err := program("git", "clone", "-q", with("wrong")+"/repo.git", "none"); err == nil {
		t.Errorf("git got in with a wrong password: %s", out)
	}

	obscured := strings.TrimSpace(must("rclone", "obscure", syncToken))
	rclone := func(args ...string) {
		t.Helper()
		must("rclone", append([]string{"--config", "/dev/null", "--webdav-url", s.url + "/dav/", "--webdav-vendor", "other", "--webdav-user", "me", "--webdav-pass", obscured}, args...)...)
	}
	write("up/new.txt", "written by rclone")
	rclone("copy", "up", ":webdav:")
	is("files/dav/new.txt", "written by rclone")
	rclone("copy", ":webdav:", "down")
	is("down/report.txt", "figures")

	write("vdirsyncer", `[general]
status_path = "`+dir+`/status"
[pair calendar]
a = "there"
b = "here"
collections = null
[storage there]
type = "http"
url = "`+s.url+`/calendar.ics"
username = "me"
password = "`+syncToken+`"
[storage here]
type = "filesystem"
path = "`+dir+`/synced"
fileext = ".ics"
`)
	if err := os.Mkdir(filepath.Join(dir, "synced"), 0o700); err != nil {
		t.Fatal(err)
	}
	must("vdirsyncer", "-c", "vdirsyncer", "discover", "calendar")
	must("vdirsyncer", "-c", "vdirsyncer", "sync")
	synced, err := filepath.Glob(filepath.Join(dir, "synced", "*.ics"))
	if err != nil || len(synced) != 1 {
		t.Fatalf("vdirsyncer wrote %v, %v", synced, err)
	}
}

// Behind nginx a program that sends nothing before it is asked is offered Basic, too,
// and gets through with a token.
func TestBasicBehindNginx(t *testing.T) {
	top := newTopology(t)
	text := strings.Replace(top.config, "mail log\n", "mail log\n\t\ttoken sync {\n\t\t\tsecret "+syncToken+"\n\t\t\tsite "+top.url+"\n\t\t}\n", 1)
	top.run(strings.Replace(text, "public /public/*\n", "public /public/*\n\t\t\tbasic on\n", 1))
	top.process("nginx", "nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;")
	curl := func(args ...string) string {
		t.Helper()
		args = append([]string{"--silent", "--show-error", "--noproxy", "*", "--resolve", "wiki.localhost:" + top.port + ":127.0.0.1", "--include"}, args...)
		out, err := exec.CommandContext(t.Context(), "curl", append(args, top.url+"/files")...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	asked := curl()
	offers := regexp.MustCompile(`(?im)^www-authenticate: (\S+)`).FindAllStringSubmatch(asked, -1)
	if !strings.HasPrefix(asked, "HTTP/1.1 401") || len(offers) == 0 || offers[0][1] != "Basic" {
		t.Errorf("a program that sends nothing: %s", asked)
	}
	if browser := curl("--header", "Sec-Fetch-Mode: cors", "--header", "Sec-Fetch-Site: same-origin", "--header", "Sec-Fetch-Dest: empty"); strings.Contains(browser, "Basic") || !strings.HasPrefix(browser, "HTTP/1.1 401") {
		t.Errorf("a browser's script: %s", browser)
	}
	for _, how := range []string{"--basic", "--anyauth"} { // the latter asks first, and sends once it is offered
		if got := curl(how, "--user", "anybody:"+syncToken); !strings.Contains(got, "HTTP/1.1 200") {
			t.Errorf("%s: %s", how, got)
		}
	}
	if got := curl("--basic", "--user", "anybody:"+strings.Repeat("x", 40)); !strings.HasPrefix(got, "HTTP/1.1 401") {
		t.Errorf("a wrong password: %s", got)
	}
}
