package maillog

import (
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

func TestColour(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	// A character device, as terminals are.
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	m := outbox.Message{Subject: "s", Code: "482913"}
	if got := New(device).box(m); !strings.Contains(got, "\x1b[1m482913\x1b[0m") {
		t.Errorf("no colour on a terminal: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := New(device).box(m); strings.Contains(got, "\x1b") {
		t.Errorf("colour with NO_COLOR: %q", got)
	}
}
