package caddymodule

import (
	"os"
	"strings"
	"testing"
)

// TestStartWarnsOfWhatIsSeldomMeant: what is allowed, and opens more or asks more
// than whoever wrote it thinks.
func TestStartWarnsOfWhatIsSeldomMeant(t *testing.T) {
	for _, c := range []struct {
		who  string
		gate []string
		says string // empty: nothing
	}{
		{"any alice@example.com", nil, "admits any, so whoever proves an address gets in"},
		{"*@example.com any", nil, "admits any, so whoever proves an address gets in"},
		{"any", nil, ""},
		{"alice@example.com *@example.org", nil, ""},
		{"any", []string{"deny alice@example.com"}, ""},
		{"any", []string{"report_only"}, "lets everybody pass and only logs"},
	} {
		o := newOperated(t)
		o.run("", c.who, c.gate...)
		text, err := os.ReadFile(o.logFile())
		must(t, err)
		warned := ""
		for line := range strings.SplitSeq(string(text), "\n") {
			if strings.Contains(line, `"level":"warn"`) && strings.Contains(line, "the gate at ") {
				warned += line
			}
		}
		if c.says == "" && warned != "" || !strings.Contains(warned, c.says) {
			t.Errorf("%s %v warns %q, want %q", c.who, c.gate, warned, c.says)
		}
	}
}
