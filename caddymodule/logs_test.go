package caddymodule

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
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

// addText remembers what looks like a token: signed ones, and words of 40
// characters, which 240 random bits take. Ids are shorter.
func (s *secretsSeen) addText(text string) { s.add(tokenIn.FindAllString(text, -1)...) }

var tokenIn = regexp.MustCompile(`[A-Za-z0-9_-]{40,}(?:\.[A-Za-z0-9_-]+)*`)

// watched is a transport that remembers the secrets of all answers: cookies,
// and tokens where they lead or in what they say.
type watched struct {
	*http.Transport
	seen *secretsSeen
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for _, c := range resp.Cookies() {
		if strings.Contains(c.Name, "gatehouse") {
			w.seen.add(c.Value)
		}
	}
	w.seen.addText(resp.Header.Get("Location"))
	if resp.StatusCode != http.StatusSwitchingProtocols && resp.Header.Get("Content-Encoding") == "" {
		resp.Body = &watchedBody{ReadCloser: resp.Body, seen: w.seen}
	}
	return resp, nil
}

// watchedBody remembers the tokens in the first part of a body.
type watchedBody struct {
	io.ReadCloser
	seen *secretsSeen
	mu   sync.Mutex // streams are closed while they are read
	text []byte
}

const watchedMost = 64 << 10

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p[:min(n, watchedMost-len(b.text))]...)
	return n, err
}

func (b *watchedBody) Close() error {
	b.mu.Lock()
	b.seen.addText(string(b.text))
	b.mu.Unlock()
	return b.ReadCloser.Close()
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
		m.seen.addText(parsed.Text)
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

// What is given out is remembered, wherever an answer has it.
func TestSecretsAreSeen(t *testing.T) {
	cookie, ticket, signed := strings.Repeat("c", 20), strings.Repeat("t", 43), "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQeyJhbGciOi.eyJzdWIiOiJhIn0.c2ln"
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "__Host-gatehouse="+cookie)
		w.Header().Set("Location", "/handover?ticket="+ticket)
		_, _ = io.WriteString(w, `{"token":"`+signed+`","sid":"0rm6yCXrTGiQ0vKM9tWbLw"}`)
	}))
	defer site.Close()
	var seen secretsSeen
	resp, err := (&http.Client{Transport: watched{new(http.Transport), &seen}}).Get(site.URL)
	must(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	must(t, errors.Join(err, resp.Body.Close()))
	if got := strings.Join(seen.words, " "); got != cookie+" "+ticket+" "+signed {
		t.Errorf("seen: %s", got)
	}
}
