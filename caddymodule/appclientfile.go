package caddymodule

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// readApp reads an app. Syntax:
//
//	app <id> {
//	    name             "<name>"
//	    api_key          <key...>
//	    publishable_key  <key...>
//	    callback         <pattern...>
//	    dev_callback     <url>
//	    redirect         login|registration|invite <url...>
//	    verification_url <url>
//	    link_lifetime    <duration>
//	    session_lifetime <duration>
//	    auto_create      on|off
//	    auto_verify      on|off
//	    organizations    on|off
//	    profile          on|off
//	    fingerprint      [ip] [user_agent]
//	    origin           <url...>
//	    plan             <id> ["<name>"] { <feature> <number>|on|off|<word...> }
//
//	    secret                   <value...>
//	    redirect_uri             <uri...>
//	    post_logout_redirect_uri <uri...>
//	    backchannel_logout_uri   <uri>
//	    allow                    <who...>
//	    pkce                     required|optional
//	    id_token_email           on|off
//	    id_token_alg             RS256|ES256
//	    consent                  on|off
//	    subject                  public|pairwise
//	}
func (a *App) readApp(d *caddyfile.Dispenser) error {
	args, err := arguments(d, 1, 1, "app shop {\n        api_key {file./run/secrets/shop}\n    }")
	if err != nil {
		return err
	}
	for _, other := range a.Apps {
		if other.ID == args[0] {
			return fmt.Errorf("app %s is there twice; write all its options in one block", args[0])
		}
	}
	c := &AppClient{ID: args[0]}
	a.Apps = append(a.Apps, c)
	if err := appWords.read(d, c); err != nil {
		return err
	}
	return a.checkApps()
}

var appWords = words[*AppClient]{
	block: "app",
	known: []word[*AppClient]{
		{"name", func(c *AppClient, d *caddyfile.Dispenser) error { return oneOf(d, &c.Name, `name "Example shop"`) }},
		{"api_key", func(c *AppClient, d *caddyfile.Dispenser) error {
			return addAll(d, &c.APIKeys, "api_key {file./run/secrets/shop}")
		}},
		{"publishable_key", func(c *AppClient, d *caddyfile.Dispenser) error {
			return addAll(d, &c.PublishableKeys, "publishable_key pk_live_…")
		}},
		{"callback", func(c *AppClient, d *caddyfile.Dispenser) error {
			return addAll(d, &c.Callbacks, "callback https://app.example.com/*")
		}},
		{"dev_callback", func(c *AppClient, d *caddyfile.Dispenser) error {
			return oneOf(d, &c.DevCallback, "dev_callback http://localhost:3000/auth/callback")
		}},
		{"redirect", (*AppClient).readRedirect},
		{"verification_url", func(c *AppClient, d *caddyfile.Dispenser) error {
			return oneOf(d, &c.VerificationURL, "verification_url https://app.example.com/auth/verify")
		}},
		{"link_lifetime", func(c *AppClient, d *caddyfile.Dispenser) (err error) {
			var text string
			if err = oneOf(d, &text, "link_lifetime 15m"); err == nil {
				c.LinkLifetime, err = duration("link_lifetime", text)
			}
			return err
		}},
		{"session_lifetime", func(c *AppClient, d *caddyfile.Dispenser) (err error) {
			var text string
			if err = oneOf(d, &text, "session_lifetime 168h"); err == nil {
				c.SessionLifetime, err = duration("session_lifetime", text)
			}
			return err
		}},
		{"auto_create", func(c *AppClient, d *caddyfile.Dispenser) error { return switched(d, &c.AutoCreate) }},
		{"auto_verify", func(c *AppClient, d *caddyfile.Dispenser) error { return switched(d, &c.AutoVerify) }},
		{"organizations", func(c *AppClient, d *caddyfile.Dispenser) error { return switched(d, &c.Organizations) }},
		{"profile", func(c *AppClient, d *caddyfile.Dispenser) error { return switched(d, &c.Profile) }},
		{"fingerprint", func(c *AppClient, d *caddyfile.Dispenser) error {
			return addAll(d, &c.Fingerprint, "fingerprint ip user_agent")
		}},
		{"origin", func(c *AppClient, d *caddyfile.Dispenser) error {
			return addAll(d, &c.Origins, "origin https://app.example.com")
		}},
		{"plan", (*AppClient).readPlan},
		{"secret", func(c *AppClient, d *caddyfile.Dispenser) error {
			return addAll(d, &c.Secrets, "secret {file./run/secrets/wiki}")
		}},
		{"redirect_uri", func(c *AppClient, d *caddyfile.Dispenser) error {
			return addAll(d, &c.RedirectURIs, "redirect_uri https://wiki.example.com/callback")
		}},
		{"post_logout_redirect_uri", func(c *AppClient, d *caddyfile.Dispenser) error {
			return addAll(d, &c.PostLogoutRedirectURIs, "post_logout_redirect_uri https://wiki.example.com/")
		}},
		{"backchannel_logout_uri", func(c *AppClient, d *caddyfile.Dispenser) error {
			return oneOf(d, &c.BackchannelLogoutURI, "backchannel_logout_uri https://wiki.example.com/backchannel")
		}},
		{"allow", func(c *AppClient, d *caddyfile.Dispenser) error { return addAll(d, &c.Allow, "allow *@example.com") }},
		{"pkce", func(c *AppClient, d *caddyfile.Dispenser) error { return oneOf(d, &c.PKCE, "pkce required") }},
		{"id_token_email", func(c *AppClient, d *caddyfile.Dispenser) error { return onOff(d, &c.IDTokenEmail) }},
		{"id_token_alg", func(c *AppClient, d *caddyfile.Dispenser) error { return oneOf(d, &c.IDTokenAlg, "id_token_alg RS256") }},
		{"consent", func(c *AppClient, d *caddyfile.Dispenser) error { return onOff(d, &c.Consent) }},
		{"subject", func(c *AppClient, d *caddyfile.Dispenser) error { return oneOf(d, &c.Subject, "subject public") }},
	},
}

// addAll reads a line that may be written several times.
func addAll(d *caddyfile.Dispenser, list *[]string, try string) error {
	args, err := arguments(d, 1, many, try)
	*list = append(*list, args...)
	return err
}

// switched reads on or off.
func switched(d *caddyfile.Dispenser, to *bool) error {
	var on *bool
	if err := onOff(d, &on); err != nil {
		return err
	}
	*to = *on
	return nil
}

func (c *AppClient) readRedirect(d *caddyfile.Dispenser) error {
	args, err := arguments(d, 2, many, "redirect login https://app.example.com/authenticate")
	if err != nil {
		return err
	}
	if c.Redirects == nil {
		c.Redirects = map[string][]string{}
	}
	c.Redirects[args[0]] = append(c.Redirects[args[0]], args[1:]...)
	return nil
}

// readPlan reads a plan. Each line of its block is a feature.
func (c *AppClient) readPlan(d *caddyfile.Dispenser) error {
	args, err := arguments(d, 1, 2, "plan free {\n        seats 3\n        export off\n    }")
	if err != nil {
		return err
	}
	p := AppPlan{ID: args[0], Entitlements: map[string]any{}}
	if len(args) == 2 {
		p.Name = args[1]
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		at, feature := d.Token(), d.Val()
		values, err := arguments(d, 1, many, feature+" 3")
		if err != nil {
			return locate(at, err)
		}
		if _, twice := p.Entitlements[feature]; twice {
			return locate(at, fmt.Errorf("plan %s: %s is there twice", p.ID, feature))
		}
		p.Entitlements[feature] = entitlement(values)
	}
	c.Plans = append(c.Plans, p)
	return nil
}

// entitlement is a number, on or off, or a list of words.
func entitlement(values []string) any {
	if len(values) == 1 {
		if n, err := strconv.ParseInt(values[0], 10, 64); err == nil && n > -1<<53 && n < 1<<53 {
			return n
		}
		switch values[0] {
		case "on", "true":
			return true
		case "off", "false":
			return false
		}
	}
	return values
}

// trimSpace takes off the line end that a file with a key has.
func trimSpace(s string) string { return strings.TrimSpace(s) }
