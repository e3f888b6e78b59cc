package caddymodule

import (
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
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
//	    initiate_login_uri       <uri>
//	    allow                    <who...>
//	    pkce                     required|optional
//	    id_token_email           on|off
//	    id_token_alg             RS256|ES256
//	    consent                  on|off
//	    subject                  public|pairwise
//	}
func (a *App) readApp(d *caddyfile.Dispenser) error {
	args, err := option.Arguments(d, 1, 1, "app shop {\n        api_key {file./run/secrets/shop}\n    }")
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
	if err := appWords.Read(d, c); err != nil {
		return err
	}
	return a.checkApps()
}

var appWords = option.Block[*AppClient]{
	Of: "app",
	Words: []option.Word[*AppClient]{
		option.Text(`name "Example shop"`, func(c *AppClient) *string { return &c.Name }),
		option.List("api_key {file./run/secrets/shop}", func(c *AppClient) *[]string { return &c.APIKeys }),
		option.List("publishable_key pk_live_…", func(c *AppClient) *[]string { return &c.PublishableKeys }),
		option.List("callback https://app.example.com/*", func(c *AppClient) *[]string { return &c.Callbacks }),
		option.Text("dev_callback http://localhost:3000/auth/callback", func(c *AppClient) *string { return &c.DevCallback }),
		option.Line("redirect", (*AppClient).readRedirect),
		option.Text("verification_url https://app.example.com/auth/verify", func(c *AppClient) *string { return &c.VerificationURL }),
		option.Span("link_lifetime 15m", func(c *AppClient) *caddy.Duration { return &c.LinkLifetime }),
		option.Span("session_lifetime 168h", func(c *AppClient) *caddy.Duration { return &c.SessionLifetime }),
		option.Line("auto_create", func(c *AppClient, d *caddyfile.Dispenser) error { return switched(d, &c.AutoCreate) }),
		option.Line("auto_verify", func(c *AppClient, d *caddyfile.Dispenser) error { return switched(d, &c.AutoVerify) }),
		option.Line("organizations", func(c *AppClient, d *caddyfile.Dispenser) error { return switched(d, &c.Organizations) }),
		option.Line("profile", func(c *AppClient, d *caddyfile.Dispenser) error { return switched(d, &c.Profile) }),
		option.List("fingerprint ip user_agent", func(c *AppClient) *[]string { return &c.Fingerprint }),
		option.List("origin https://app.example.com", func(c *AppClient) *[]string { return &c.Origins }),
		option.Line("plan", (*AppClient).readPlan),
		option.List("secret {file./run/secrets/wiki}", func(c *AppClient) *[]string { return &c.Secrets }),
		option.List("redirect_uri https://wiki.example.com/callback", func(c *AppClient) *[]string { return &c.RedirectURIs }),
		option.List("post_logout_redirect_uri https://wiki.example.com/", func(c *AppClient) *[]string { return &c.PostLogoutRedirectURIs }),
		option.Text("backchannel_logout_uri https://wiki.example.com/backchannel", func(c *AppClient) *string { return &c.BackchannelLogoutURI }),
		option.Text("initiate_login_uri https://wiki.example.com/login", func(c *AppClient) *string { return &c.InitiateLoginURI }),
		option.List("allow *@example.com", func(c *AppClient) *[]string { return &c.Allow }),
		option.Text("pkce required", func(c *AppClient) *string { return &c.PKCE }),
		option.OnOff("id_token_email", func(c *AppClient) **bool { return &c.IDTokenEmail }),
		option.Text("id_token_alg RS256", func(c *AppClient) *string { return &c.IDTokenAlg }),
		option.OnOff("consent", func(c *AppClient) **bool { return &c.Consent }),
		option.Text("subject public", func(c *AppClient) *string { return &c.Subject }),
	},
}

// switched reads on or off.
func switched(d *caddyfile.Dispenser, to *bool) error {
	var on *bool
	if err := option.Switch(d, &on); err != nil {
		return err
	}
	*to = *on
	return nil
}

func (c *AppClient) readRedirect(d *caddyfile.Dispenser) error {
	args, err := option.Arguments(d, 2, option.Many, "redirect login https://app.example.com/authenticate")
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
	args, err := option.Arguments(d, 1, 2, "plan free {\n        seats 3\n        export off\n    }")
	if err != nil {
		return err
	}
	p := AppPlan{ID: args[0], Entitlements: map[string]any{}}
	if len(args) == 2 {
		p.Name = args[1]
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		at, feature := d.Token(), d.Val()
		values, err := option.Arguments(d, 1, option.Many, feature+" 3")
		if err != nil {
			return option.At(at, err)
		}
		if _, twice := p.Entitlements[feature]; twice {
			return option.At(at, fmt.Errorf("plan %s: %s is there twice", p.ID, feature))
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
