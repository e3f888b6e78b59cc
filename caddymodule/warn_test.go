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
		warned := warnedOfGates(t, o)
		if c.says == "" && warned != "" || !strings.Contains(warned, c.says) {
			t.Errorf("%s %v warns %q, want %q", c.who, c.gate, warned, c.says)
		}
	}
}

// TestStartWarnsOfAGateBesideTheDomain: it takes no session from there.
func TestStartWarnsOfAGateBesideTheDomain(t *testing.T) {
	for _, c := range []struct {
		global string
		gate   []string
		warns  bool
	}{
		{"domain example.org", nil, true},
		{"domain example.com", []string{"origin https://app.example.org"}, true},
		{"domain example.org", []string{"portal https://auth.example.org"}, false},
		{"domain example.com", nil, false},
		{"", nil, false},
	} {
		o := newOperated(t)
		o.run(c.global, "any", c.gate...)
		if warned := warnedOfGates(t, o); strings.Contains(warned, "which is not under "+c.global) != c.warns || c.global == "" && warned != "" {
			t.Errorf("%s %v warns %q, want one: %t", c.global, c.gate, warned, c.warns)
		}
	}
}

func warnedOfGates(t *testing.T, o *operated) (warned string) {
	t.Helper()
	text, err := os.ReadFile(o.logFile())
	must(t, err)
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.Contains(line, `"level":"warn"`) && strings.Contains(line, "the gate at ") {
			warned += line
		}
	}
	return warned
}
