// Package maillog shows mails on the terminal instead of sending them, for
// development: who would get it, and the code and link to sign in with.
//
//	╔══════════════════════════════════════════════════════════════════════
//	║  A mail to alice@example.com (shown here, not sent)
//	║
//	║  Subject  482913 is your Example sign-in code
//	║  Code     482913
//	║  Link     http://localhost:8080/_gatehouse/link/…
//	╚══════════════════════════════════════════════════════════════════════
//
// It writes to the terminal itself, never through a logger: logs are collected
// and kept, and a code is a secret while it lives. The box is open on the right,
// so that it stands straight whatever width a terminal gives a character, and a
// link can be copied over two lines without a frame in between.
//
// It keeps nothing.
package maillog

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// Sender writes to one terminal. It is safe for concurrent use: boxes do not
// mix.
type Sender struct {
	colour bool

	mu sync.Mutex
	w  io.Writer
}

// New makes a Sender that writes to w, or to the standard error output if w is
// nil. It uses colour if w is a terminal and NO_COLOR is not set.
func New(w io.Writer) *Sender {
	if w == nil {
		w = os.Stderr
	}
	return &Sender{w: w, colour: isTerminal(w) && os.Getenv("NO_COLOR") == ""}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Name implements outbox.Sender.
func (s *Sender) Name() string { return "log" }

// Send shows m with a single write. Only a terminal that can't be written to is
// an error, SenderDown.
func (s *Sender) Send(_ context.Context, m outbox.Message) error {
	text := s.box(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := io.WriteString(s.w, text); err != nil {
		return &outbox.SendError{
			Fault: outbox.SenderDown, Reason: "mail log: can't write to the terminal", Err: err,
		}
	}
	return nil
}

// unsent says why somebody is sent nothing: %s is the address.
var unsent = map[string]string{
	"not_allowed": "no gate admits %s",
	"paused":      "%s said that sign-in mails were not asked for",
	"held":        "mail to %s came back, or was called spam",
	"limited":     "%s would get it too late: so many mails wait",
}

// Unsent implements outbox.Witness: pages say the same to everybody, and without this
// a developer would wait for a box.
func (s *Sender) Unsent(to, why string) {
	reason, known := unsent[why]
	if !known {
		reason = "%s (" + why + ")"
	}
	text := s.framed(func(line func(string)) {
		line("not sent: " + fmt.Sprintf(reason, printable(to)))
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.w, text)
}

// framed is a box around lines.
func (s *Sender) framed(write func(line func(string))) string {
	var b strings.Builder
	rule := strings.Repeat("═", 70)
	b.WriteString("\n" + s.paint(frame, "╔"+rule) + "\n")
	write(func(text string) { b.WriteString(s.paint(frame, "║") + "  " + text + "\n") })
	b.WriteString(s.paint(frame, "╚"+rule) + "\n\n")
	return b.String()
}

func (s *Sender) box(m outbox.Message) string {
	return s.framed(func(line func(string)) { s.lines(m, line) })
}

func (s *Sender) lines(m outbox.Message, line func(string)) {
	line(fmt.Sprintf("A mail to %s (shown here, not sent)", printable(m.To.String())))
	line("")
	line("Subject  " + printable(m.Subject))
	if m.Code != "" {
		line("Code     " + s.paint(strong, printable(m.Code)))
	}
	if m.Link != "" {
		line("Link     " + s.paint(strong, printable(m.Link)))
	}
	if m.Code == "" && m.Link == "" { // a notice: what it says is in its text
		line("")
		for text := range strings.Lines(m.Text) {
			line(printable(strings.TrimRight(text, "\r\n")))
		}
	}
}

// SGR codes of ECMA-48: yellow, and bold.
const (
	frame  = "33"
	strong = "1"
)

func (s *Sender) paint(sgr, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// printable drops control and format characters: an escape sequence in a
// browser's name must not steer the developer's terminal, nor may text run
// backwards.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.C, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// SendText shows a text message, as Send shows a mail.
func (s *Sender) SendText(_ context.Context, t outbox.Text) error {
	text := s.textBox(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := io.WriteString(s.w, text); err != nil {
		return &outbox.SendError{
			Fault: outbox.SenderDown, Reason: "sms log: can't write to the terminal", Err: err,
		}
	}
	return nil
}

func (s *Sender) textBox(t outbox.Text) string {
	return s.framed(func(line func(string)) {
		line(fmt.Sprintf("A text message to %s (shown here, not sent)", printable(t.To.String())))
		line("")
		line(printable(t.Body))
		if t.Code != "" {
			line("Code     " + s.paint(strong, printable(t.Code)))
		}
	})
}
