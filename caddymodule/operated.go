package caddymodule

import (
	"fmt"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
	"github.com/gatehouse-auth/gatehouse/caddymodule/senders"
)

// operated is this configuration, as operators ask about it.
func (a *App) operated(service *authcore.Service, core *authcore.Core) *operate.Instance {
	setup := operate.Setup{InsecureHTTP: a.insecureHTTP(), AuditOff: a.Audit == auditOff, Domain: a.Domain}
	if a.From != nil {
		setup.FromName, setup.From = a.From.Name, a.From.Address
	}
	for _, m := range a.mail {
		setup.Mail = append(setup.Mail, lineOf(m))
	}
	var gates []operate.Gate
	var places []*routes.Place
	for _, p := range a.portals {
		places = append(places, p.place)
	}
	for _, g := range a.allGates() {
		out := operate.Gate{At: g.String(), ReportOnly: g.ReportOnly, Rule: &g.gate.Rule, ClientIP: g.ClientIP, Trust: g.trusted(), Covers: g.at, OnPath: g.guard.OnPath}
		if !g.guard.Place.Behind {
			out.Hosts = g.guard.Place.Hosts
		}
		gates = append(gates, out)
		places = append(places, g.guard.Place)
	}
	var addresses []string
	for _, p := range places {
		for _, o := range p.Addresses() {
			addresses = append(addresses, o.String())
		}
	}
	return operate.New(operate.Config{
		Service: service, Core: core, Groups: a.groups, Version: Version(), Store: a.storeStatus, Lists: a.listStates.all,
		Gates: gates, Open: addresses, Senders: a.mailSenders, Setup: setup, Asks: a.asks(), DNS: doctorDNS,
		Routes: a.examineRoutes, Portals: a.examineAccount, Proxies: a.examineProxies,
	})
}

// asks is the first gatehouse_authz, nil for none.
func (a *App) asks() *operate.Asks {
	if len(a.authzs) == 0 {
		return nil
	}
	z := a.authzs[0]
	out := &operate.Asks{Address: z.address, Scheme: z.login.Scheme(), Login: z.login, Portal: a.portalBehind(z.login), Claims: gate.HeaderNames(gate.Presets, nil)}
	for _, s := range z.Sites {
		out.Sites = append(out.Sites, s.pattern)
		for _, name := range gate.HeaderNames(s.Headers, s.Fields) {
			if !slices.Contains(out.Headers, name) {
				out.Headers = append(out.Headers, name)
			}
		}
	}
	for _, other := range a.authzs[1:] {
		for _, s := range other.Sites {
			out.Others = append(out.Others, s.Site)
		}
	}
	return out
}

// portalBehind is where the portal at o listens for a proxy that ends TLS; empty where
// browsers reach it themselves.
func (a *App) portalBehind(o origin.Origin) string {
	for _, p := range a.portals {
		if p.place.TLS || !p.place.Covers(o) || len(p.place.Spots) == 0 {
			continue
		}
		for _, port := range p.place.Ports {
			if o.Port() == strconv.Itoa(int(port)) {
				return ""
			}
		}
		return a.listenAddress(p.place.Spots[0].Server)
	}
	return ""
}

// doctorDNS is the machine's own; tests have another.
var doctorDNS operate.Resolver = net.DefaultResolver

// lineOf is how the doctor sees a way to send mail.
func lineOf(m senders.MailModule) operate.MailLine {
	switch m := m.(type) {
	case *senders.MailLog:
		return operate.MailLine{Kind: "log"}
	case *senders.MailDir:
		return operate.MailLine{Kind: "dir"}
	case *senders.SMTP:
		return operate.MailLine{Kind: "smtp", Address: m.Address, Clear: m.TLS == "off"}
	}
	return operate.MailLine{Kind: "http"}
}

// release is the version of a binary that was made as a release (packaging/): the
// linker sets it. Other builds know their module's.
var release string

// Version is that of this build: of Gatehouse, and of the Caddy it is in.
func Version() string {
	const module = "github.com/gatehouse-auth/gatehouse"
	own := "(devel)"
	if release != "" {
		own = release
	} else if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && m.Version != "" {
				own = m.Version
			}
		}
	}
	simple, _ := caddy.Version()
	return own + ", Caddy " + simple
}

// storeStatus is where state lives, and how that is.
func (a *App) storeStatus() operate.StoreStatus {
	if a.open == nil {
		return operate.StoreStatus{}
	}
	return a.open.status()
}

// examineRoutes tells which handlers get requests that are led around a gate for
// a path, and which get them as strangers send them.
func (a *App) examineRoutes() []operate.Finding {
	return append(warnings("paths", "no matcher leads around a gate for a path", a.around),
		warnings("cleaning", "no app on a gated host gets identity headers or cookies past the gates", a.uncleaned)...)
}

// warnings are the findings of one check, or that there are none.
func warnings(check, none string, found []routes.Finding) (out []operate.Finding) {
	for _, f := range found {
		out = append(out, operate.Warning(check, f.Found, f.Do))
	}
	if out == nil {
		out = append(out, operate.Fine(check, "%s", none))
	}
	return out
}

// examineProxies looks at whom Caddy believes about client addresses.
func (a *App) examineProxies() []operate.Finding {
	app, err := a.httpApp()
	if err != nil || app == nil {
		return nil
	}
	var out []operate.Finding
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		out = append(out, examineServer(name, app.Servers[name], a.believesNoAsker(name, app.Servers[name])))
	}
	return append(out, a.examineTrust()...)
}

// examineServer looks at one server; deaf: a gatehouse_authz in it refuses all.
func examineServer(name string, server *caddyhttp.Server, deaf bool) operate.Finding {
	const check = "trusted_proxies"
	listen := strings.Join(server.Listen, " ")
	switch {
	case deaf:
		return operate.Error(check, fmt.Sprintf("server %s (%s) believes no proxy, so that its gatehouse_authz refuses every question", name, listen),
			"write in the global options, with the addresses of the proxies that ask\n    "+operate.TrustBlock(strings.Join(server.Listen[:min(1, len(server.Listen))], "")))
	case !trustsSomebody(server):
		return operate.Note(check, fmt.Sprintf("server %s (%s) believes nobody about client addresses", name, listen),
			"right if clients connect to it directly; behind a proxy or load balancer write servers { trusted_proxies static <its networks> }, or all clients count as one")
	case trustsEverybody(server):
		return operate.Error(check, fmt.Sprintf("server %s (%s) believes everybody about client addresses", name, listen),
			"name only the networks of your own proxies in trusted_proxies: anybody can write the X-Forwarded-For that passes client_ip and limits")
	case readsFromTheLeft(server):
		return operate.Warning(check, fmt.Sprintf("server %s (%s) takes the first address in X-Forwarded-For for the client's", name, listen),
			"write trusted_proxies_strict beside trusted_proxies: behind a proxy that adds to the header anybody can write the first address, and get around limits and client_ip")
	}
	return operate.Fine(check, "server %s (%s) believes the proxies that are listed", name, listen)
}
