package maillog

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

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
	var b strings.Builder
	rule := strings.Repeat("═", 70)
	line := func(text string) { b.WriteString(s.paint(frame, "║") + "  " + text + "\n") }
	b.WriteString("\n" + s.paint(frame, "╔"+rule) + "\n")
	line(fmt.Sprintf("A text message to %s (shown here, not sent)", printable(t.To.String())))
	line("")
	line(printable(t.Body))
	if t.Code != "" {
		line("Code     " + s.paint(strong, printable(t.Code)))
	}
	b.WriteString(s.paint(frame, "╚"+rule) + "\n\n")
	return b.String()
}
