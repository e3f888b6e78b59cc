package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// Both answer requests themselves, so they stand where respond does not come
// before them, after everything that may refuse first.
func init() {
	httpcaddyfile.RegisterDirective("gatehouse_authz", parseAuthz)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_authz", httpcaddyfile.Before, "forward_auth")
	httpcaddyfile.RegisterDirective("gatehouse_portal", parsePortal)
	httpcaddyfile.RegisterDirectiveOrder("gatehouse_portal", httpcaddyfile.Before, "forward_auth")
}

// parseAuthz reads the directive. Syntax:
//
//	gatehouse_authz {
//	    login <url>
//	    site  <host> <who...> {
//	        deny    <who...>
//	        public  <path...>|pwa
//	        prefix  <path>
//	        trust   <cidr...> [as <address>]
//	        fresh   <duration>
//	        basic   on|off
//	        headers <preset...>
//	        header  <Name> email|local|name|groups|sub
//	        name    "<title>"
//	        icon    <file>
//	    }
//	}
func parseAuthz(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	at := h.Token()
	a := new(Authz)
	err := noArguments(h.Dispenser, "gatehouse_authz {\n        login https://auth.example.com\n        site wiki.example.com *@example.com\n    }")
	if err == nil {
		err = authzWords.Read(h.Dispenser, a)
	}
	if err == nil {
		err = a.checkWithin(h)
	}
	if err != nil {
		return nil, option.At(at, err)
	}
	return []httpcaddyfile.ConfigValue{route(h, nil, a)}, nil
}

// noArguments refuses matchers and arguments: behind a matcher, Caddy would
// answer 200 to what does not match.
func noArguments(d *caddyfile.Dispenser, try string) error {
	name := d.Val()
	if d.NextArg() {
		return fmt.Errorf("%s: %q is too much on this line, it takes neither matcher nor arguments; write\n    %s", name, d.Val(), try)
	}
	return nil
}

var authzWords = option.Block[*Authz]{
	Of: "gatehouse_authz",
	Words: []option.Word[*Authz]{
		option.Text("login https://auth.example.com", func(a *Authz) *string { return &a.Login }),
		option.Line("site", (*Authz).readSite),
	},
}

var siteWords = option.Block[*AuthzSite]{
	Of:    "site",
	Words: onGate("deny", "public", "prefix", "trust", "fresh", "basic", "headers", "header", "name", "icon"),
	Elsewhere: map[string]string{
		"cors": "it is for a gate: to the proxy that asks here, the 2xx that answers a preflight request means that it is allowed; have that proxy answer them",
	},
}

// onGate are lines of a gate that a site has, too.
func onGate(names ...string) (lines []option.Word[*AuthzSite]) {
	for _, name := range names {
		lines = append(lines, option.Line(name, func(s *AuthzSite, d *caddyfile.Dispenser) error {
			g := s.asGate()
			err := gateWords.ReadLine(d, g)
			s.take(g)
			return err
		}))
	}
	return lines
}

func (a *Authz) readSite(d *caddyfile.Dispenser) error {
	args, err := option.Arguments(d, 1, option.Many, "site wiki.example.com *@example.com")
	if err != nil {
		return err
	}
	s := &AuthzSite{Site: args[0], Allow: args[1:]}
	if _, err := origin.ParseSitePattern(s.Site); err != nil {
		return err
	}
	if _, err := parseWho("site "+s.Site, s.Allow); err != nil {
		return err
	}
	a.Sites = append(a.Sites, s)
	return siteWords.Read(d, s)
}

// checkWithin checks the handler together with the global option.
func (a *Authz) checkWithin(h httpcaddyfile.Helper) error {
	app, groups, err := globalOf(h)
	if err != nil {
		return err
	}
	a.app = app
	return a.parse(groups)
}

// parsePortal reads the directive. Syntax:
//
//	gatehouse_portal {
//	    origin <url...>
//	}
func parsePortal(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	at := h.Token()
	p := new(Portal)
	err := noArguments(h.Dispenser, "gatehouse_portal")
	if err == nil {
		err = portalWords.Read(h.Dispenser, p)
	}
	if err == nil {
		_, _, err = globalOf(h)
	}
	if err != nil {
		return nil, option.At(at, err)
	}
	return []httpcaddyfile.ConfigValue{route(h, nil, p)}, nil
}

var portalWords = option.Block[*Portal]{
	Of: "gatehouse_portal",
	Words: []option.Word[*Portal]{
		option.List("origin https://auth.example.com", func(p *Portal) *[]string { return &p.Origins }, good(parseOrigins)),
	},
}

// readToken reads a machine client. Syntax:
//
//	token <name> {
//	    secret <value> [<old value...>]
//	    site   <host...>
//	    path   <path...>
//	    method <method...>
//	    until  <day>
//	}
func (a *App) readToken(d *caddyfile.Dispenser) error {
	args, err := option.Arguments(d, 1, 1, "token backup {\n        secret {file./run/secrets/backup}\n        site wiki.example.com\n    }")
	if err != nil {
		return err
	}
	t := &Token{Name: args[0]}
	if err := tokenWords.Read(d, t); err != nil {
		return err
	}
	a.Tokens = append(a.Tokens, t)
	return a.checkTokens()
}

var tokenWords = option.Block[*Token]{
	Of: "token",
	Words: []option.Word[*Token]{
		option.Line("secret", func(t *Token, d *caddyfile.Dispenser) error {
			if err := option.Once("secret", t.Secret != ""); err != nil {
				return err
			}
			args, err := option.Arguments(d, 1, option.Many, "secret {file./run/secrets/backup}")
			if err != nil {
				return err
			}
			t.Secret, t.OldSecrets = args[0], args[1:]
			return nil
		}),
		option.List("site wiki.example.com", func(t *Token) *[]string { return &t.Sites }),
		option.List("path /api/*", func(t *Token) *[]string { return &t.Paths }),
		option.List("method GET", func(t *Token) *[]string { return &t.Methods }),
		option.Text("until 2027-06-30", func(t *Token) *string { return &t.Until }),
	},
}
