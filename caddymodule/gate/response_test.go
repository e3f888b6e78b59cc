package gate

import "testing"

// Whatever a browser could store as one of our cookies, the app may not set.
func TestSetsOwnCookie(t *testing.T) {
	for _, line := range []string{
		"__Host-gatehouse=evil; Path=/; Secure", "__Secure-gatehouse=evil; Domain=example.com", "gatehouse=evil", " GATEHOUSE = evil", "=__Host-gatehouse=evil",
		"__host-gatehouse-flow=evil", "gatehouse-device=evil", "gatehouse", "\x0bgatehouse=evil",
	} {
		if !new(House).setsOwn(line) {
			t.Errorf("%q sets a cookie of ours in some browser", line)
		}
	}
	for _, line := range []string{"a=b", "a=gatehouse", "gatehouse2=x", "xgatehouse=y", "a=b; gatehouse=x", ""} {
		if new(House).setsOwn(line) {
			t.Errorf("%q is the app's", line)
		}
	}
}
