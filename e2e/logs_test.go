package e2e

import "testing"

// TestLogSearch: the search at the end of the whole run can fail.
func TestLogSearch(t *testing.T) {
	const text = "ts 1795300150.482913\nthe code 482913 is here\nport 1482913\n"
	if got := lineWith(text, "482913"); got != "the code 482913 is here" {
		t.Errorf("the line with the code: %q", got)
	}
	if got := lineWith("ts 1795300150.482913\nport 4829131\nid bf0a-482913b70e2f\n", "482913"); got != "" {
		t.Errorf("a number that only looks like the code: %q", got)
	}
	if got := lineWith("a\nx token-in-path/abc y\nb", "token-in-path"); got != "x token-in-path/abc y" {
		t.Errorf("the line with the token: %q", got)
	}
}
