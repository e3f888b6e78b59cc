package maillog_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/maillog"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

var _ outbox.Sender = (*maillog.Sender)(nil)

const link = "http://localhost:8080/_gatehouse/link/0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

func message(t *testing.T) outbox.Message {
	t.Helper()
	to, err := address.Parse("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Message{
		To: to, Subject: "482913 は「例」のサインインコードです", Text: "ignored\n", Code: "482913", Link: link,
	}
}

func show(t *testing.T, m outbox.Message) string {
	t.Helper()
	var out strings.Builder
	if err := maillog.New(&out).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestBox(t *testing.T) {
	rule := strings.Repeat("═", 70)
	want := "\n╔" + rule + "\n" +
		"║  A mail to alice@example.com (shown here, not sent)\n" +
		"║  \n" +
		"║  Subject  482913 は「例」のサインインコードです\n" +
		"║  Code     482913\n" +
		"║  Link     " + link + "\n" +
		"╚" + rule + "\n\n"
	if diff := cmp.Diff(want, show(t, message(t))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	linkOnly := message(t)
	linkOnly.Code = ""
	if got := show(t, linkOnly); strings.Contains(got, "Code") || !strings.Contains(got, link) {
		t.Errorf("a mail without a code:\n%s", got)
	}
}

func TestNoticeShowsItsText(t *testing.T) {
	m := message(t)
	m.Code, m.Link, m.Text = "", "", "New sign-in\nfrom Firefox\n"
	if got := show(t, m); !strings.Contains(got, "║  New sign-in\n║  from Firefox\n") {
		t.Errorf("got:\n%s", got)
	}
}

// A User-Agent is a stranger's text on a developer's terminal.
func TestNothingSteersTheTerminal(t *testing.T) {
	m := message(t)
	m.Subject = "a\x1b[2J\x1b]0;x\x07\r\n\u202eb\u0085\x00\xff"
	m.Link = "http://x/\x1b[8m"
	m.Code = ""
	for _, r := range strings.ReplaceAll(show(t, m), "\n", "") {
		if r < ' ' || r == 0x7f || r == '\u202e' || r == '\u0085' {
			t.Errorf("%U got through", r)
		}
	}
}

func TestBoxesDoNotMix(t *testing.T) {
	var out bytes.Buffer
	s, m := maillog.New(&out), message(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := s.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if want := strings.Repeat(show(t, m), 20); out.String() != want {
		t.Errorf("got:\n%s", out.String())
	}
}

func TestUnwritableTerminalIsDown(t *testing.T) {
	r, w := io.Pipe()
	_ = r.Close()
	var failed *outbox.SendError
	err := maillog.New(w).Send(t.Context(), message(t))
	if !errors.As(err, &failed) || failed.Fault != outbox.SenderDown || strings.Contains(err.Error(), "482913") {
		t.Errorf("got %v", err)
	}
}

func TestColourOnlyOnATerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := maillog.New(f).Send(t.Context(), message(t)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(got, []byte("\x1b")) {
		t.Errorf("colour in a file:\n%q", got)
	}
}

// Without a mail, too, a developer sees what became of an address.
func TestUnsent(t *testing.T) {
	for why, want := range map[string]string{
		"not_allowed": "║  not sent: no gate admits bob@example.com\n",
		"held":        "║  not sent: mail to bob@example.com came back, or was called spam\n",
		"eclipse":     "║  not sent: bob@example.com (eclipse)\n",
	} {
		var out strings.Builder
		maillog.New(&out).Unsent("bob@example.com", why)
		if got := out.String(); !strings.Contains(got, want) || !strings.HasPrefix(got, "\n╔") || !strings.HasSuffix(got, "╝\n\n") && !strings.HasSuffix(got, "═\n\n") {
			t.Errorf("%s:\n%s", why, got)
		}
	}
	var out strings.Builder
	maillog.New(&out).Unsent("bob\x1b[31m@example.com", "not_allowed")
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("an address steers the terminal: %q", out.String())
	}
}
