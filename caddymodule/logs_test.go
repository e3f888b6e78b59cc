package caddymodule

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A test's log is looked through when it ends: no code, link, token or cookie
// that the test saw issued may be in it, and no address in full.

// secretsSeen are what the logs of a test may not hold.
type secretsSeen struct {
	mu    sync.Mutex
	words []string
}

func (s *secretsSeen) add(words ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range words {
		if w != "" {
			s.words = append(s.words, w)
		}
	}
}

// addCookies remembers the cookies that an answer sets.
func (s *secretsSeen) addCookies(resp *http.Response) {
	for _, c := range resp.Cookies() {
		if strings.Contains(c.Name, "gatehouse") {
			s.add(c.Value)
		}
	}
}

// logOutput is where the configuration of a test writes its log, at level
// DEBUG. A benchmark writes none.
func (m *machine) logOutput() string {
	if _, isBench := m.TB.(*testing.B); isBench {
		return "output discard"
	}
	return "output file " + m.logFile() + "\n\t\tlevel DEBUG"
}

func (m *machine) logFile() string { return filepath.Join(m.dir, "log") }

// checkLog looks through the log.
func (m *machine) checkLog() {
	text, err := os.ReadFile(m.logFile())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	must(m, err)
	m.addMails()
	for _, line := range strings.Split(string(text), "\n") {
		for _, secret := range m.seen.words {
			if holds(line, secret) {
				m.Errorf("the log holds %q:\n%s", secret, line)
			}
		}
		// Caddy itself logs the URI of admin requests, which commands don't put
		// addresses in, and what upstreams get at level DEBUG.
		if m.mayLogAddresses {
			continue
		}
		if found := addressInLog.FindString(line); found != "" && !strings.Contains(line, `"logger":"admin.api"`) && !strings.Contains(line, `"logger":"http.handlers.reverse_proxy"`) && !strings.Contains(line, `"logger":"http.log.access`) {
			m.Errorf("the log holds the address %s:\n%s", found, line)
		}
	}
}

// addressInLog finds people, and not where mail comes from.
var addressInLog = regexp.MustCompile(`\b(alice|bob|carol|eve|mallory)@[a-z.]+`)

// addMails remembers the code and the link of every mail.
func (m *machine) addMails() {
	for _, mail := range m.mail.Messages() {
		parsed := mail.Parse(m)
		for _, code := range codeInMail.FindAllString(parsed.Subject, -1) {
			m.seen.add(code)
		}
		for _, link := range linkInMail.FindAllStringSubmatch(parsed.Text, -1) {
			m.seen.add(link[1])
		}
	}
}

var (
	codeInMail = regexp.MustCompile(`\b[0-9]{6,10}\b`)
	linkInMail = regexp.MustCompile(`/_gatehouse/(?:link|not-me)/([A-Za-z0-9_-]+)`)
)

// holds tells whether a secret is in a line. Six digits also occur in longer
// numbers, such as times.
func holds(line, secret string) bool {
	for rest := line; ; {
		i := strings.Index(rest, secret)
		if i < 0 {
			return false
		}
		before, after := rest[:i], rest[i+len(secret):]
		isNumber := codeInMail.MatchString(secret) && len(secret) <= 10
		if !isNumber || !endsInNumber(before) && !strings.ContainsAny(after[:min(1, len(after))], "0123456789.") {
			return true
		}
		rest = after
	}
}

func endsInNumber(s string) bool {
	return s != "" && strings.ContainsAny(s[len(s)-1:], "0123456789.")
}

func TestLogsAreLookedThrough(t *testing.T) {
	for _, test := range []struct {
		line, secret string
		want         bool
	}{
		{`{"ts":1795298732.482913,"msg":"x"}`, "482913", false},
		{`{"ts":1795482913.1,"msg":"x"}`, "482913", false},
		{`{"msg":"code 482913"}`, "482913", true},
		{`{"code":482913}`, "482913", true},
		{`{"ts":1482913.1,"code":"482913"}`, "482913", true},
		{`{"uri":"/_gatehouse/link/AbC-_9"}`, "AbC-_9", true},
	} {
		if holds(test.line, test.secret) != test.want {
			t.Errorf("%s in %s", test.secret, test.line)
		}
	}
}
