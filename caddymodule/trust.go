package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// Trust is a network whose clients need no sign-in.
type Trust struct {
	// Networks are CIDRs. Those of this machine and of its containers count only
	// where they are written themselves, not as a part of a wider one.
	Networks []string `json:"networks,omitempty"`
	// As is the address that the app is told of. The gate must admit it. Default:
	// nobody.
	As string `json:"as,omitempty"`
}

const tryTrust = "write for example\n    trust 192.168.1.0/24"

// parseTrust reads what is written into the form that requests are judged by.
func parseTrust(all []Trust) (homes []gate.Home, err error) {
	for _, t := range all {
		if len(t.Networks) == 0 {
			return nil, errors.New("trust names no network; " + tryTrust)
		}
		h := gate.Home{}
		for _, text := range t.Networks {
			network, err := parseCIDR("trust", text)
			if err != nil {
				return nil, err
			}
			if !policy.IsHome(network) {
				return nil, fmt.Errorf("trust %s: that is a large part of the internet, and nobody there would have to sign in; name the networks of your own machines, as in\n    trust 192.168.1.0/24", text)
			}
			h.Networks = append(h.Networks, network)
		}
		if t.As != "" {
			if h.As, err = address.Parse(t.As); err != nil {
				return nil, fmt.Errorf("trust: as %q: %w; write for example\n    trust 192.168.1.0/24 as home@example.com", t.As, err)
			}
		}
		homes = append(homes, h)
	}
	return homes, nil
}

func (g *Gate) readTrust(d *caddyfile.Dispenser) error {
	args, err := option.Arguments(d, 1, option.Many, "trust 192.168.1.0/24")
	if err != nil {
		return err
	}
	t := Trust{Networks: args}
	if as := slices.Index(args, "as"); as >= 0 {
		if as != len(args)-2 {
			return errors.New("trust: one address follows as, at the end of the line; write for example\n    trust 192.168.1.0/24 as home@example.com")
		}
		t.Networks, t.As = args[:as], args[as+1]
	}
	g.Trust = append(g.Trust, t)
	_, err = parseTrust(g.Trust)
	return err
}

// trusted are all networks of the gate, as they are written.
func (g *Gate) trusted() (all []string) {
	for _, t := range g.Trust {
		all = append(all, t.Networks...)
	}
	return all
}

// checkTrust refuses to trust networks where clients can choose their address, and
// people whom the gate does not admit.
func (a *App) checkTrust(app *caddyhttp.App) error {
	for _, g := range a.allGates() {
		if len(g.Trust) == 0 {
			continue
		}
		for _, name := range a.serversOf(g) {
			if server := app.Servers[name]; server != nil && readsFromTheLeft(server) {
				return fmt.Errorf("the gate at %s trusts a network, and the server on %s takes the first address in X-Forwarded-For for the client's, which anybody can write: write trusted_proxies_strict beside trusted_proxies", g, strings.Join(server.Listen, ", "))
			}
		}
		for _, h := range g.gate.Homes {
			if !h.As.IsZero() && !g.gate.Rule.Policy.Admits(h.As) {
				return fmt.Errorf("the gate at %s: trust … as %s: the gate does not admit this address; name it on the gate's line, or leave as out", g, h.As.Masked())
			}
		}
		if g.Fresh > 0 {
			a.log.Warn(fmt.Sprintf("the gate at %s has trust beside fresh: a network is no fresh sign-in, so that everybody has to sign in there all the same", g))
		}
	}
	return nil
}

// serversOf are the servers that requests for the gate come in at.
func (a *App) serversOf(g *Gate) (names []string) {
	for _, z := range a.authzs {
		if slices.ContainsFunc(z.Sites, func(s *AuthzSite) bool { return s.gate == g }) {
			return z.servers
		}
	}
	for _, s := range g.guard.Place.Spots {
		names = append(names, s.Server)
	}
	return names
}

// examineTrust tells of a gate that may take a tunnel for people at home.
func (a *App) examineTrust() []operate.Finding {
	const check = "trust"
	if !slices.ContainsFunc(a.allGates(), func(g *Gate) bool { return len(g.Trust) > 0 }) {
		return nil
	}
	if client, ok := a.house.MostlyOne(); ok {
		return []operate.Finding{operate.Warning(check, fmt.Sprintf("most requests at gates with trust come from one private address, %s", client),
			"if that is a proxy, a tunnel or a container's bridge, everybody behind it passes as if at home: list it in trusted_proxies, and take it out of trust")}
	}
	return []operate.Finding{operate.Fine(check, "the clients of gates with trust are not one private address")}
}
