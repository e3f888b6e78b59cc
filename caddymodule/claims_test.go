package caddymodule

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

// identityHeaders are all headers that an app may take a visitor's identity
// from.
var identityHeaders = []string{
	"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Forwarded-Groups",
	"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username", "X-Auth-Request-Groups",
	"Cf-Access-Authenticated-User-Email", "Cf-Access-Jwt-Assertion", "X-Gatehouse-Assertion",
}

// spellings are the ways to write a header that some app reads as name.
func spellings(name string) []string {
	replaced := func(with string) string { return strings.ReplaceAll(name, "-", with) }
	return []string{
		name, strings.ToLower(name), strings.ToUpper(name), replaced("_"), replaced("."), replaced(""),
		replaced("--"), replaced("-_."), "-" + name, name + "-", "_" + strings.ToLower(name) + "_",
		"!#$%&'*+^`|~" + name, replaced("\xc2\xad"), strings.Replace(name, "-", "_", 1),
	}
}

func TestClaimOfFindsEverySpelling(t *testing.T) {
	for _, name := range identityHeaders {
		for _, spelling := range spellings(name) {
			if header.ClaimOf(spelling) != header.IdentityClaim {
				t.Errorf("%q would reach the app", spelling)
			}
		}
	}
	for _, name := range []string{"X-Rewrite-URL", "x_original_url", "X.Original.URI", "X-Forwarded-Uri", "X-Forwarded-Prefix", "X-Host", "X_Original_Host", "X-Sendfile-Type", "x.accel.mapping"} {
		if header.ClaimOf(name) != header.RouteClaim {
			t.Errorf("%q would tell the app another path", name)
		}
	}
	for _, name := range []string{"Forwarded", "X-Real-IP", "x_real_ip", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Forwarded-Port", "X.Forwarded.Ssl"} {
		if header.ClaimOf(name) != header.WayClaim {
			t.Errorf("%q would tell the app another client", name)
		}
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto"} {
		if header.ClaimOf(name) != header.ForwardedClaim {
			t.Errorf("%q as a trailer would tell the app another client", name)
		}
	}
	for _, name := range []string{
		"", "-", "Accept", "Cookie", "Content-Type", "Referer", "Remote", "Remote-Users", "Remote-Emai",
		"X-Requested-With", "From", "Te", "Host", "Trailer", "Authorization", "X-Gatehouse-Assertions",
		strings.Repeat("x", 10_000),
	} {
		if header.ClaimOf(name) != header.NoClaim {
			t.Errorf("%q is nobody's claim", name)
		}
	}
}

func TestClaimOfDoesNotAllocate(t *testing.T) {
	names := append([]string{"Accept", "User-Agent", "Cookie", "X-Requested-With"}, identityHeaders...)
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			header.ClaimOf(name)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
