package caddymodule

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
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
	r := routes.SampleRequest("", "/")
	r.RemoteAddr = peer
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, s)
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted
}

// readsFromTheLeft tells whether the server takes the first address in
// X-Forwarded-For for the client's. Behind a proxy that adds to the header, as
// most do, anybody can write that one.
func readsFromTheLeft(s *caddyhttp.Server) bool {
	return trustsSomebody(s) && s.TrustedProxiesStrict == 0
}

// trustsSomebody tells whether the server has trusted_proxies. Caddy forgets
// the text (TrustedProxiesRaw) once it has read it; what came of it is a field
// that only reflection sees.
func trustsSomebody(s *caddyhttp.Server) bool {
	field := reflect.ValueOf(s).Elem().FieldByName("trustedProxies")
	return s.TrustedProxiesUnix || len(s.TrustedProxiesRaw) > 0 || field.IsValid() && !field.IsZero()
}

// believesNoAsker tells whether a gatehouse_authz stands in the server, which has
// no proxies to believe: every question is refused there.
func (a *App) believesNoAsker(name string, server *caddyhttp.Server) bool {
	return !trustsSomebody(server) && slices.ContainsFunc(a.authzs, func(z *Authz) bool { return slices.Contains(z.servers, name) })
}

// warnOfLooseProxies tells of servers with gates where client_ip and the limits
// rest on what a client says.
func (a *App) warnOfLooseProxies(app *caddyhttp.App) {
	servers := map[string]bool{}
	for _, g := range a.gates {
		for _, s := range g.guard.Place.Spots {
			servers[s.Server] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		if server := app.Servers[name]; readsFromTheLeft(server) {
			a.log.Warn(fmt.Sprintf("the server on %s takes the first address in X-Forwarded-For for the client's, and behind a proxy that adds to the header anybody can write that one: limits and client_ip can be got around; write trusted_proxies_strict beside trusted_proxies", strings.Join(server.Listen, ", ")))
		}
	}
}
