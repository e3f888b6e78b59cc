package caddymodule

import (
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// strangers are addresses all over the internet that nobody lists as proxies,
// some of them reserved for examples.
var strangers = map[string][]string{
	"IPv4": {"11.22.33.44:1", "52.0.2.1:1", "77.7.7.7:1", "100.200.1.1:1", "149.1.2.3:1", "192.0.2.1:1", "198.51.100.1:1", "203.0.113.1:1"},
	"IPv6": {"[2001:db8::1]:1", "[2606:ffff::1]:1", "[2a00:ffff::1]:1", "[3fff::1]:1"},
}

// trustsEverybody tells whether the server's trusted_proxies hold every address,
// in one range or in several, wherever they come from.
func trustsEverybody(s *caddyhttp.Server) bool {
	for _, family := range strangers {
		if !slices.ContainsFunc(family, func(peer string) bool { return !trusts(s, peer) }) {
			return true
		}
	}
	return false
}

// trusts asks Caddy itself.
func trusts(s *caddyhttp.Server, peer string) bool {
	r := sampleRequest("", "/")
	r.RemoteAddr = peer
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, s)
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted
}
