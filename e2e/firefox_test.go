//go:build prove

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// firefox is Debian's Firefox, spoken to by Marionette, its own protocol for
// tests: JSON in netstrings over TCP.
type firefox struct {
	testing.TB
	base  string
	conn  net.Conn
	lines *bufio.Reader
	last  int
}

// quiet are settings that keep Firefox from asking the network for anything, and
// give Marionette a free port.
const quiet = `user_pref("marionette.port", 0);
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("browser.safebrowsing.downloads.remote.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "");
user_pref("toolkit.telemetry.enabled", false);
user_pref("toolkit.startup.max_resumed_crashes", -1);
`

func (s *server) firefox() *firefox {
	s.Helper()
	// Not the test's own directory: Firefox may still write into it when it is removed,
	// which must not fail the test.
	profile, err := os.MkdirTemp("", "gatehouse-e2e-firefox")
	if err == nil {
		err = os.WriteFile(filepath.Join(profile, "user.js"), []byte(quiet), 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
	process := exec.Command("firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", profile)
	process.Env = append(process.Environ(), "MOZ_DISABLE_CONTENT_SANDBOX=1", "HOME="+profile)
	if err := process.Start(); err != nil {
		s.Fatalf("starting firefox-esr (Debian's package): %v", err)
	}
	s.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait(); _ = os.RemoveAll(profile) })
	f := &firefox{TB: s, base: s.url}
	within(s, 3*patience, "Firefox listens", func() bool {
		port, err := os.ReadFile(filepath.Join(profile, "MarionetteActivePort"))
		if err == nil {
			f.conn, err = net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(string(port)))
		}
		return err == nil
	})
	s.Cleanup(func() { _ = f.conn.Close() })
	f.lines = bufio.NewReader(f.conn)
	f.receive() // who it is
	f.call("WebDriver:NewSession", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"acceptInsecureCerts": true}}})
	return f
}

func (f *firefox) receive() json.RawMessage {
	f.Helper()
	_ = f.conn.SetDeadline(time.Now().Add(3 * patience))
	length, err := f.lines.ReadString(':')
	if err != nil {
		f.Fatalf("Firefox: %v", err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		f.Fatalf("Firefox sent %q: %v", length, err)
	}
	message := make([]byte, n)
	for read := 0; read < n; {
		more, err := f.lines.Read(message[read:])
		if err != nil {
			f.Fatalf("Firefox: %v", err)
		}
		read += more
	}
	return message
}

// call sends a command and returns its value.
func (f *firefox) call(command string, parameters map[string]any) json.RawMessage {
	f.Helper()
	f.last++
	message, err := json.Marshal([]any{0, f.last, command, parameters})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := fmt.Fprintf(f.conn, "%d:%s", len(message), message); err != nil {
		f.Fatalf("Firefox: %v", err)
	}
	var answer [4]json.RawMessage
	if err := json.Unmarshal(f.receive(), &answer); err != nil {
		f.Fatalf("%s: %v", command, err)
	}
	if string(answer[2]) != "null" {
		f.Fatalf("%s %v: %s", command, parameters, answer[2])
	}
	return answer[3]
}

func (f *firefox) open(path string) {
	f.Helper()
	if !strings.Contains(path, "://") {
		path = f.base + path
	}
	f.call("WebDriver:Navigate", map[string]any{"url": path})
}

func (f *firefox) element(selector string) string {
	f.Helper()
	var found struct{ Value map[string]string }
	_ = json.Unmarshal(f.call("WebDriver:FindElement", map[string]any{"using": "css selector", "value": selector}), &found)
	for _, id := range found.Value {
		return id
	}
	f.Fatalf("Firefox shows no %s", selector)
	return ""
}

func (f *firefox) click(selector string) {
	f.Helper()
	f.call("WebDriver:ElementClick", map[string]any{"id": f.element(selector)})
}

// enter types into a field and presses Enter.
func (f *firefox) enter(selector, text string) {
	f.Helper()
	f.call("WebDriver:ElementSendKeys", map[string]any{"id": f.element(selector), "text": text + "\ue007"})
}

// eval evaluates JavaScript to text.
func (f *firefox) eval(js string) string {
	f.Helper()
	var result struct{ Value any }
	_ = json.Unmarshal(f.call("WebDriver:ExecuteScript", map[string]any{"script": "return String(" + js + ")", "args": []any{}}), &result)
	return fmt.Sprint(result.Value)
}

func (f *firefox) sees(text string) {
	f.Helper()
	within(f, patience, "Firefox shows "+text, func() bool { return strings.Contains(f.eval("document.body?.innerText"), text) })
}

// newTab opens another tab and goes to it. The one before stays open.
func (f *firefox) newTab() (before string) {
	f.Helper()
	var at struct{ Value string }
	_ = json.Unmarshal(f.call("WebDriver:GetWindowHandle", nil), &at)
	var opened struct{ Handle string }
	_ = json.Unmarshal(f.call("WebDriver:NewWindow", map[string]any{"type": "tab"}), &opened)
	f.call("WebDriver:SwitchToWindow", map[string]any{"handle": opened.Handle})
	return at.Value
}

// TestFirefox is a short journey in the other engine: code, link, focus, what
// the script adds, and the way to another origin after the form.
func TestFirefox(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	f := s.firefox()
	f.open("/report")
	f.enter("#email", alice)
	f.sees("Check your email")
	m := mails.NextTo(t, alice)
	within(t, patience, "the focus is on the code", func() bool { return f.eval("document.activeElement?.id") == "code" })
	f.enter("#code", wrong(m.Code(t)))
	f.sees("4 tries left")
	within(t, patience, "the focus is on the message", func() bool { return f.eval("document.activeElement?.id") == "error" })
	if title := f.eval("document.title"); !strings.HasPrefix(title, "Error: ") {
		t.Errorf("the title is %q", title)
	}
	// The link in a second tab; the first one goes on by itself.
	first := f.newTab()
	f.open(m.Link(t))
	f.sees(alice)
	f.call("WebDriver:SwitchToWindow", map[string]any{"handle": first})
	f.sees(alice)
	if at := f.eval("location.pathname"); at != "/report" {
		t.Errorf("the waiting tab went on to %s", at)
	}
	f.open("/_gatehouse/logout")
	f.click("main form button")
	f.sees("You're signed out")
	// And with a code that is pasted.
	f.open("/again")
	f.enter("#email", alice)
	f.sees("Check your email")
	code := mails.NextTo(t, alice).Code(t)
	within(t, patience, "the script has run", func() bool { return f.eval("document.readyState") == "complete" })
	f.call("WebDriver:ExecuteScript", map[string]any{"script": "(" + pasted + ")('" + code[:3] + " " + code[3:] + "')", "args": []any{}})
	f.sees("/again")
}

// TestFirefoxServiceWorkers: what the other engine sends from a worker is a page
// view as well.
func TestFirefoxServiceWorkers(t *testing.T) {
	s := start(t, plan{})
	for _, answers := range workers {
		f := s.firefox()
		alice := person("alice")
		f.open("/")
		f.enter("#email", alice)
		f.sees("Check your email")
		f.enter("#code", mails.NextTo(t, alice).Code(t))
		within(t, patience, "the app is there", func() bool { return f.eval("document.title") == "App" })
		f.eval("(" + install(answers) + `.then(() => fetch("/_gatehouse/logout", {method: "POST"})).then(r => document.title = "ready"), "")`)
		within(t, patience, "the worker is installed", func() bool { return f.eval("document.title") == "ready" })
		f.open("/page?x=1")
		f.sees("Email")
		if at := f.eval("location.pathname + location.search"); at != "/_gatehouse/login?return_to=%2Fpage%3Fx%3D1" {
			t.Errorf("%s: the page view ends at %s", answers, at)
		}
	}
}

// TestFirefoxNarrow: the other engine scrolls nothing sideways either.
func TestFirefoxNarrow(t *testing.T) {
	g := pictureGallery(t, screen.Brand{})
	s := &server{TB: t, url: g.base}
	f := s.firefox()
	f.call("WebDriver:SetWindowRect", map[string]any{"width": 500, "height": 800})
	for _, scene := range g.scenes {
		if scene.name == "link ready" {
			continue // its form sends itself, which here is never answered by a page
		}
		for _, lang := range []string{"de", "ar"} {
			f.open(scene.path + "?lang=" + lang)
			// A window of Firefox has a least width; a frame has none.
			f.eval("document.documentElement.style.width = '280px'")
			if wide, _ := strconv.Atoi(f.eval("document.body.scrollWidth")); wide > 280 && scene.name != "mail" {
				t.Errorf("%s in %s is %d pixels wide", scene.name, lang, wide)
			}
		}
	}
}
