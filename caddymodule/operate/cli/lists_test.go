package cli

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

func TestBrowserInLists(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 Firefox/153.0": "Firefox, Windows",
		"curl/8.0": "curl", "Mozilla/5.0 (X11; Linux x86_64)": "Linux", "": "",
	} {
		if got := screen.Browser(agent); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
	if got := short(strings.Repeat("ü", 20)); got != strings.Repeat("ü", 15)+"..." {
		t.Errorf("%q", got)
	}
}
