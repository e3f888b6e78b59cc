package senders

import (
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/gmail"
	"github.com/gatehouse-auth/gatehouse/authcore/graph"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// Graph is a mailbox at Microsoft 365, over Microsoft Graph.
type Graph struct {
	// User is the mailbox that mails are sent from.
	User   string  `json:"user,omitempty"`
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`
	// BaseURL replaces the address of the API, for a national cloud.
	BaseURL string `json:"base_url,omitempty"`
}

// Gmail is a mailbox at Google Workspace, over Gmail's API.
type Gmail struct {
	// User is the mailbox that mails are sent from.
	User   string  `json:"user,omitempty"`
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`
	// BaseURL replaces the address of the API, for a test server.
	BaseURL string `json:"base_url,omitempty"`
}

// UnmarshalCaddyfile reads "graph <tenant>" and its block.
func (g *Graph) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := option.Arguments(d, 1, 1, "mail graph example.onmicrosoft.com")
	if err != nil {
		return err
	}
	g.OAuth2 = &OAuth2{Provider: providerMicrosoft, Tenant: args[0]}
	return readAll(d, g, option.Block[*Graph]{
		Of: "mail graph",
		Words: append(oauth2Words(func(g *Graph) *OAuth2 { return g.OAuth2 }),
			option.Text("user login@example.com", func(g *Graph) *string { return &g.User }),
			option.Text("base_url https://graph.microsoft.us", func(g *Graph) *string { return &g.BaseURL })),
	})
}

// UnmarshalCaddyfile reads "gmail" and its block.
func (g *Gmail) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if _, err := option.Arguments(d, 0, 0, "mail gmail {\n        service_account /etc/gatehouse/google.json\n        user login@example.com\n    }"); err != nil {
		return err
	}
	g.OAuth2 = &OAuth2{Provider: providerGoogle}
	return readAll(d, g, option.Block[*Gmail]{
		Of: "mail gmail",
		Words: append(oauth2Words(func(g *Gmail) *OAuth2 { return g.OAuth2 }),
			option.Text("user login@example.com", func(g *Gmail) *string { return &g.User }),
			option.Text("base_url http://localhost:8025", func(g *Gmail) *string { return &g.BaseURL })),
	})
}

// CaddyModule returns the Caddy module information.
func (*Graph) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".graph", New: func() caddy.Module { return new(Graph) }}
}

// Validate finds out what is wrong without the machine.
func (g *Graph) Validate() error { _, err := g.sender(nil); return err }

// NewSender implements MailModule.
func (g *Graph) NewSender(keep oauth.Keeper) (outbox.Sender, error) { return g.sender(&outside{keep}) }

func (g *Graph) sender(on *outside) (outbox.Sender, error) {
	if g.OAuth2 == nil || g.OAuth2.Provider != providerMicrosoft {
		return nil, errors.New("mail graph: it takes tokens of microsoft alone; write mail graph <tenant>")
	}
	box, err := g.OAuth2.mailbox(on, "graph", g.User, g.BaseURL)
	if err != nil || on == nil {
		return nil, err
	}
	return graph.New(box)
}

// CaddyModule returns the Caddy module information.
func (*Gmail) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".gmail", New: func() caddy.Module { return new(Gmail) }}
}

// Validate finds out what is wrong without the machine.
func (g *Gmail) Validate() error { _, err := g.sender(nil); return err }

// NewSender implements MailModule.
func (g *Gmail) NewSender(keep oauth.Keeper) (outbox.Sender, error) { return g.sender(&outside{keep}) }

func (g *Gmail) sender(on *outside) (outbox.Sender, error) {
	if g.OAuth2 == nil || g.OAuth2.Provider != providerGoogle {
		return nil, errors.New("mail gmail: it takes tokens of google alone; write mail gmail with a service_account or a refresh_token")
	}
	box, err := g.OAuth2.mailbox(on, "gmail", g.User, g.BaseURL)
	if err != nil || on == nil {
		return nil, err
	}
	return gmail.New(box)
}

// mailbox makes what an API sends from.
func (o *OAuth2) mailbox(on *outside, way, user, baseURL string) (oauth.Mailbox, error) {
	box := oauth.Mailbox{User: user, BaseURL: baseURL}
	err := box.Check("mail " + way)
	if err == nil {
		box.Tokens, err = o.source(on, "mail "+way+" "+user, way, user)
	}
	return box, err
}
