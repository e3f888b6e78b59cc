package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"

	// What main.go builds in.
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
)

// mails is the one mail server of all tests.
var mails *smtptest.Server

// realHome is where the toolchain keeps its cache.
var realHome = os.Getenv("HOME")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	suite := &suite{}
	defer suite.close()
	dir, err := os.MkdirTemp("", "gatehouse-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	suite.Cleanup(func() { _ = os.RemoveAll(dir) })
	mails = smtptest.Start(suite, smtptest.Options{})
	// The product trusts what the system trusts; here that is this server.
	certificate := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(certificate, mails.CertPEM, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for name, value := range map[string]string{
		"SSL_CERT_FILE": certificate, "SSL_CERT_DIR": dir, "HOME": dir, "XDG_DATA_HOME": dir, "XDG_CONFIG_HOME": dir,
	} {
		_ = os.Setenv(name, value)
	}
	suite.Cleanup(func() { closeBrowser() })
	code := m.Run()
	if code == 0 && !logsAreClean() {
		return 1
	}
	return code
}

// suite stands in for a test where something outlives all of them.
type suite struct {
	testing.TB
	cleanups []func()
}

func (s *suite) Helper()           {}
func (s *suite) Cleanup(fn func()) { s.cleanups = append(s.cleanups, fn) }
func (s *suite) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func (s *suite) close() {
	for _, fn := range slices.Backward(s.cleanups) {
		fn()
	}
}

// logs is everything that Caddy and Gatehouse logged, of all tests.
var logs = &record{}

// record is a buffer that many write to.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Len()
}

// since is what was written behind the first so many bytes.
func (r *record) since(from int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.buf.Bytes()[from:])
}

// logWriter is a module, so that a configuration can say "output e2e".
type logWriter struct{}

func init() { caddy.RegisterModule(logWriter{}) }

func (logWriter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.writers.e2e", New: func() caddy.Module { return new(logWriter) }}
}

func (logWriter) String() string    { return "e2e" }
func (logWriter) WriterKey() string { return "e2e" }
func (logWriter) OpenWriter() (io.WriteCloser, error) {
	return struct {
		io.Writer
		io.Closer
	}{logs, io.NopCloser(nil)}, nil
}

func (*logWriter) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

// secrets is what must be in no log: every code, link token and cookie that was
// given out. The first value is what it was.
var secrets sync.Map

func keepSecret(kind, value string) {
	if value != "" {
		secrets.Store(value, kind)
	}
}

// keepTokens keeps what looks like a token: signed ones, and words of 40
// characters, which 240 random bits take. Ids are shorter. What a browser takes
// along to the portal as state is a hash of a cookie, and opens nothing.
func keepTokens(kind, text string) {
	if strings.Contains(text, "state=") {
		text = stateIn.ReplaceAllString(text, "")
	}
	for word := range strings.FieldsFuncSeq(text, isBetweenTokens) {
		if len(word) < 40 {
			continue // an expression takes seconds for an answer of megabytes
		}
		for _, token := range tokenIn.FindAllString(word, -1) {
			keepSecret(kind, token)
		}
	}
}

// isBetweenTokens tells whether no token has r in it.
func isBetweenTokens(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_' && r != '.'
}

// logsAreClean looks for every secret of the whole run in all logs, and for
// panics, which Caddy catches.
func logsAreClean() bool {
	for _, m := range mails.Messages() {
		mail := m.Parse(&suite{})
		if code := subjectCode.FindString(mail.Subject); code != "" {
			keepSecret("code", code)
		}
		for _, token := range linkIn.FindAllStringSubmatch(mail.Text, -1) {
			keepSecret("token in a mail", token[1])
		}
		keepTokens("token in a mail", mail.Text)
	}
	text, found, clean := logs.since(0), 0, true
	if text == "" && len(mails.Messages()) == 0 {
		return true // -run chose tests that start no server
	}
	if line := lineWith(text, "panic"); line != "" {
		fmt.Printf("--- FAIL: something panicked: %s\n", line)
		clean = false
	}
	secrets.Range(func(value, kind any) bool {
		found++
		if line := lineWith(text, value.(string)); line != "" {
			fmt.Printf("--- FAIL: a %v is in the logs: %s\n", kind, line)
			clean = false
		}
		return true
	})
	if found == 0 || text == "" {
		fmt.Println("--- FAIL: there were no secrets, or no logs, to look through")
		return false
	}
	return clean
}

var (
	subjectCode = regexp.MustCompile(`^[0-9]{6,}`)
	linkIn      = regexp.MustCompile(`/_gatehouse/(?:link|not-me)/([A-Za-z0-9_-]+)`)
	tokenIn     = regexp.MustCompile(`[A-Za-z0-9_-]{40,}(?:\.[A-Za-z0-9_-]+)*`)
	stateIn     = regexp.MustCompile(`[?&]state=[A-Za-z0-9_-]+`)
)

// lineWith returns the first line of text with secret in it. A code is looked
// for as a number of its own: its digits may be part of another one, or of an
// id.
func lineWith(text, secret string) string {
	isCode := subjectCode.MatchString(secret) && len(secret) < 12
	for from := 0; ; {
		at := strings.Index(text[from:], secret)
		if at < 0 {
			return ""
		}
		at += from
		from = at + len(secret)
		if isCode && (isInWord(text, at-1) || isInWord(text, from) || at > 0 && text[at-1] == '.') {
			continue
		}
		begin := strings.LastIndexByte(text[:at], '\n') + 1
		line, _, _ := strings.Cut(text[begin:], "\n")
		return line
	}
}

func isInWord(text string, at int) bool {
	if at < 0 || at >= len(text) {
		return false
	}
	c := text[at] | 0x20 // small letters
	return '0' <= text[at] && text[at] <= '9' || 'a' <= c && c <= 'z'
}
